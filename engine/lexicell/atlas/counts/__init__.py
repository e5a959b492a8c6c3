"""Readers of every common format, one or many inputs at a time: all are a CountSource."""
