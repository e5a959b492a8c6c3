"""The command line: one module per verb, nothing heavy imported before a verb runs."""

from lexicell.cli._app import app, main

__all__ = ["app", "main"]
