"""The wording of error messages, kept in one file: `python -m tests.messages` writes it anew."""
