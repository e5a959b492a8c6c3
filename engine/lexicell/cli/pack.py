"""``lexicell pack``."""

from __future__ import annotations

from typing import Annotated

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt

__all__ = ["pack"]


def pack(
    data: opt.DataList,
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="A .zarr (AnnData-Zarr v3), a folder or a URL.")
    ],
    lexicon: opt.LexiconName = "human-go-minilm",
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    obs_columns: Annotated[
        list[str] | None,
        typer.Option("--obs-column", help="Column of obs to keep; may be repeated. Default: all."),
    ] = None,
    workers: opt.Workers = None,
    dry_run: opt.DryRun = False,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Pack IN... into one atlas OUT that is small and read fast.

    The genes of all inputs are united, those of the lexicon first and in its order; counts are stored in two
    bytes where that loses nothing. obs gets two columns, input and input_row, that tell where a cell is from.
    Every row is compared with its input at the end. OUT grows as OUT.partial and gets its name when it is
    complete; after an interrupt, --resume goes on.
    """
    from lexicell.packing import pack as run

    with _console.bar("packing", "cells") as bar:
        done = run(
            data, output, lexicon=lexicon, layer=layer, use_raw=use_raw, modality=modality,
            follow_links=follow_links, obs_columns=obs_columns, resume=resume, overwrite=overwrite,
            dry_run=dry_run, workers=workers, listener=_console.listen(bar),
        )  # fmt: skip
    if as_json:
        _console.result_json(done.plan if dry_run else done.as_dict())
        return
    if dry_run:
        _console.facts(done.plan)
        return
    _console.result(
        f"{done.cells:,} cells x {done.columns:,} genes, {done.values:,} counts as {done.dtype} -> "
        f"{done.output} in {done.seconds:.1f} s ({done.cells_per_second:,.0f} cells/s): "
        f"{done.input_bytes / 1e6:,.1f} MB before, {done.output_bytes / 1e6:,.1f} MB after"
    )
