"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "Data",
    "DeviceOption",
    "GeneColumn",
    "Json",
    "Layer",
    "LexiconName",
    "Organism",
    "Overwrite",
    "UseRaw",
    "ValuesOption",
]

Data = Annotated[
    Path,
    typer.Argument(
        metavar="IN", help="An .h5ad, an AnnData-Zarr, a 10x .h5, or a 10x folder with matrix.mtx."
    ),
]
LexiconName = Annotated[
    str, typer.Option("--lexicon", "-l", help="Bundled lexicon or lexicon folder.", show_default=True)
]
Layer = Annotated[str | None, typer.Option(help="Read this layer instead of X.")]
UseRaw = Annotated[bool, typer.Option("--use-raw", help="Read .raw instead of X.")]
ValuesOption = Annotated[
    Literal["counts", "normalised", "lognorm"] | None,
    typer.Option("--values", help="What the matrix holds. Default: found out; log1p values are refused."),
]
GeneColumn = Annotated[
    str | None,
    typer.Option(help='Column of var with gene ids or symbols, or "index". Default: the best match.'),
]
Organism = Annotated[str | None, typer.Option(help="Whose genes: human or mouse. Default: the better match.")]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option("--device", help="Where to embed; auto is the CPU for files, which cuda copies to the GPU."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
