"""``lexicell import-embedding``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt

__all__ = ["import_embedding"]


def import_embedding(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="What the tool wrote; cells follow one another.")
    ],
    output: Annotated[str, typer.Argument(metavar="OUT", help="A .zarr, here or at a URL.")],
    kind: Annotated[
        Literal[
            "geneformer", "scgpt", "uce", "state", "transcriptformer", "scimilarity", "npy", "parquet", "csv"
        ],
        typer.Option("--from", help="Who made the vectors, or what kind of file they are in."),
    ],
    data: Annotated[
        str | None,
        typer.Option(metavar="CELLS", help="The cells, as for `lexicell embed`. Default: those of FILE."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Key of obsm, or column of a table with the ids. Default: the tool's own; cell_id.",
        ),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ids of an .npy: text with one on each line, or another .npy."),
    ] = None,
    order_by: Annotated[
        Literal["length"] | None,
        typer.Option(
            help="A CSV of Geneformer without ids is in the order of lengths; --data is then the folder that "
            "`lexicell export geneformer` wrote. Refused where two are the same."
        ),
    ] = None,
    by_position: Annotated[
        bool, typer.Option("--by-position", help="Row i is cell i, where there are no ids.")
    ] = False,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Import vectors that another tool made into a store OUT, joined to cells by their ids.

    Ids that are missing and ids that are extra are told; an id that occurs twice is refused. A cell without a
    vector has a zero row, and lexicell_n_genes 0; all others have -1 there.
    """
    from lexicell.imports import import_embedding as run

    with _console.bar("importing", "rows") as bar:
        done = run(
            files, output, kind=kind, data=data, key=key, ids=ids, order_by=order_by, by_position=by_position,
            overwrite=overwrite, listener=_console.listen(bar),
        )  # fmt: skip
    if as_json:
        _console.result_json(done.as_dict())
    else:
        _console.result(
            f"{done.vectors:,} of {done.cells:,} cells have a vector, p = {done.dim} -> {done.output} in "
            f"{done.seconds:.1f} s"
        )
