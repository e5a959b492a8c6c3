"""Inputs that are damaged on purpose: a case is a number, the same number the same damage."""
