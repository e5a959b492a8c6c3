"""``lexicell genes export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lexicell.cli import _console
from lexicell.cli._options import Json, Overwrite

__all__ = ["export"]


def export(
    lexicon: Annotated[str, typer.Argument(metavar="LEXICON", help="Bundled name or folder.")],
    output: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="File to create.")],
    normalise: Annotated[
        bool, typer.Option("--normalise/--no-normalise", help="Scale each cell's vector to length 1.")
    ] = True,
    dtype: Annotated[
        Literal["float16", "float32"] | None,
        typer.Option(help="Type of the table. Default: float16 where that loses nothing."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write an ONNX graph from selected genes and their weights to cell vectors, to serve elsewhere."""
    from lexicell.exports import export_cell
    from lexicell.lexicon import Lexicon

    opened = Lexicon.open(lexicon)
    path = export_cell(opened, output, normalise=normalise, dtype=dtype, overwrite=overwrite)
    told = {
        "output": str(path),
        "bytes": path.stat().st_size,
        "lexicon": opened.name,
        "identity": opened.identity,
        "genes": opened.n_genes,
        "dim": opened.dim,
    }
    if as_json:
        _console.result_json(told)
    else:
        _console.facts({**told, "inputs": "genes int64 [n, k], weights float32 [n, k]", "result": "z"})
