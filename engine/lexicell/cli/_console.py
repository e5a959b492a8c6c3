"""How the command line speaks: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from lexicell._say import printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from lexicell.embedding import Event

__all__ = ["Bar", "bar", "error", "facts", "markdown", "note", "result", "result_json", "table"]


class Bar(Protocol):
    """Something to tell how far a job is."""

    def __call__(self, done: int, total: int, beside: str = "") -> None:
        """Show that `done` of `total` are done, and a few words beside it.

        What is done at the first call was done before: it does not count for the speed.
        """
        ...


def result(text: str) -> None:
    """Print a result."""
    sys.stdout.write(printable(text) + "\n")


def result_json(value: Mapping[str, Any]) -> None:
    """Print a result for machines."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")  # JSON writes out what a terminal obeys


def facts(values: Mapping[str, Any]) -> None:
    """Print names and values, aligned."""
    width = max(len(name) for name in values)
    for name, value in values.items():
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
        result(f"{name.replace('_', ' '):<{width}}  {shown}")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], say: Callable[[str], None] = result) -> None:
    """Print a table; columns of numbers are right-aligned, others left."""
    header, *rows = [[printable(cell).replace("\n", r"\n") for cell in row] for row in (header, *rows)]
    widths = [max(len(r[i]) for r in (header, *rows)) for i in range(len(header))]
    numbers = [all(r[i][:1] in "+-.0123456789" for r in rows) for i in range(len(header))]
    for i, row in enumerate((header, *rows)):
        cells = (
            cell.rjust(w) if c and numbers[c] else cell.ljust(w)
            for c, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        say("  ".join(cells).rstrip())
        if i == 0:
            say("  ".join("-" * w for w in widths))


def markdown(text: str) -> None:
    """Print Markdown, rendered where a person looks at a terminal; elsewhere it is text already."""
    if not sys.stdout.isatty():
        result(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(printable(text)), "")


def note(text: str) -> None:
    """Say how something was understood."""
    sys.stderr.write(printable(text) + "\n")


def error(text: str) -> None:
    """Say what went wrong."""
    bold, plain = ("\x1b[1;31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    sys.stderr.write(f"{bold}lexicell: error:{plain} {printable(text)}\n")


class _Notes(logging.Handler):
    """Prints what is logged as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        note(record.getMessage())


@contextmanager
def _kernel_notes() -> Iterator[None]:
    logger, notes = logging.getLogger("lexicell_kernels"), _Notes()
    level = logger.level
    logger.addHandler(notes)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(notes)
        logger.setLevel(level)


@contextmanager
def bar(what: str, unit: str) -> Iterator[Bar]:
    """Show a progress bar on stderr where that is a terminal; `note` may be called meanwhile.

    There it also tells that the kernel is being compiled, while nothing else moves.

    Parameters
    ----------
    what
        What is being done ("embedding").
    unit
        What is counted ("cells").
    """
    if not sys.stderr.isatty():
        yield lambda done, total, beside="": None  # noqa: ARG005
        return
    with _progress(unit) as progress, _kernel_notes():
        task = progress.add_task(what, start=False, total=None, beside="")

        def advance(done: int, total: int, beside: str = "") -> None:
            if progress.tasks[task].started:
                progress.update(task, completed=done, total=total, beside=beside)
            else:
                progress.reset(task, completed=done, total=total)

        yield advance


def _progress(unit: str) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f} {unit}/s" if speed else "")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TextColumn("{task.fields[beside]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def listen(advance: Bar) -> Any:
    """Listen to a run: notes are printed, progress moves the bar."""
    from lexicell.embedding import Advanced, Note, Started

    began = time.perf_counter()

    def listener(event: Event) -> None:
        if isinstance(event, Note):
            note(event.text)
        elif isinstance(event, Started):
            advance(event.done, event.cells)
        elif isinstance(event, Advanced):
            decoded = event.decoded / max(time.perf_counter() - began, 1e-3)
            advance(event.done, event.total, f"{decoded / 1e9:.2f} GB/s" if decoded else "")

    return listener
