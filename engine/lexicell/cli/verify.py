"""``lexicell verify``."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from lexicell.cli import _console
from lexicell.cli._options import Json
from lexicell.errors import CorruptDataError

__all__ = ["verify"]


def verify(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="A .zarr that lexicell wrote: a folder or a URL.")
    ],
    as_json: Json = False,
) -> None:
    """Hash all of OUT again and compare with what was written.

    Ends with 0 where all is as it was, 3 where OUT is not complete, 4 where something is damaged.
    """
    from lexicell.store import examine

    with _console.bar("verifying", "objects") as bar:
        started = time.perf_counter()
        found = examine(output, tick=bar)
        seconds = time.perf_counter() - started
    speed = found.bytes / seconds / 1e9
    if as_json:
        _console.result_json({**asdict(found), "seconds": seconds, "gigabytes_per_second": speed})
    if found.problems and as_json:
        raise typer.Exit(CorruptDataError.exit_code)
    found.raise_for_problems()
    if as_json:
        return
    if found.extra:
        shown = ", ".join(found.extra[:5])
        _console.note(f"{len(found.extra):,} objects are not the store's, and do it no harm: {shown}")
    _console.result(
        f"{found.target}: {found.objects:,} objects of {found.shards:,} shards are as written, "
        f"{found.bytes / 1e6:,.1f} MB in {seconds:.1f} s ({speed:.2f} GB/s)"
    )
