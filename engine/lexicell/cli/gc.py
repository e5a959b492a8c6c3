"""``lexicell gc``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from lexicell.cli import _console
from lexicell.cli._options import Json

__all__ = ["gc"]


def gc(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="The .zarr that runs were to write: a folder or a URL.")
    ],
    everything: Annotated[
        bool, typer.Option("--all", help="Remove the unfinished run too, so that it can't be continued.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove what killed runs have left of OUT, and no run will use again.

    A complete OUT is never touched, and nothing is removed while a process writes to it.
    """
    from lexicell.store import gc as collect

    freed = collect(output, everything=everything)
    if as_json:
        _console.result_json(asdict(freed))
        return
    for kept in freed.kept:
        _console.note(f"{kept} is kept: it is the store that was being replaced, and there is no other")
    _console.result(f"{output}: {freed.objects:,} objects removed, {freed.bytes / 1e6:,.1f} MB freed")
