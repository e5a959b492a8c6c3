"""The command line: one module per verb, nothing heavy imported before a verb runs."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 unexpected, 2 usage, 3 partial, 4 corrupt, 130 interrupted.

    An output that can't be written, for a full disk say, ends with 3 where part of it is kept, else with 1.

    Parameters
    ----------
    args
        Arguments without the program's name; by default those of the process.
    """
    with _sigterm_as_interrupt():  # before anything else: imports take most of a second
        try:
            from lexicell.cli._app import run
        except KeyboardInterrupt:
            sys.stderr.write("lexicell: error: interrupted; no output was written\n")
            sys.exit(130)
        run(args)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C, so that a scheduler leaves nothing half-written either."""
    if threading.current_thread() is not threading.main_thread():  # the only one that may set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
