"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "Atlas",
    "Data",
    "DataList",
    "DeviceOption",
    "DryRun",
    "FollowLinks",
    "GeneColumn",
    "Genes",
    "Json",
    "Layer",
    "LexiconName",
    "MaskGenes",
    "MinCoverage",
    "Modality",
    "ObsColumns",
    "Organism",
    "Overwrite",
    "Resume",
    "Seed",
    "UseRaw",
    "ValuesOption",
    "Workers",
]

Data = Annotated[
    Path,
    typer.Argument(
        metavar="IN",
        help="An .h5ad, an AnnData-Zarr, a MuData (.h5mu), a 10x .h5, or a folder with matrix.mtx.",
    ),
]
DataList = Annotated[
    list[str],
    typer.Argument(
        metavar="IN...",
        help="An .h5ad, an AnnData-Zarr (also by URL), a MuData (.h5mu), a 10x .h5 or folder; several of "
        "these, a pattern, a folder that holds them, or a .txt with one on each line.",
    ),
]
LexiconName = Annotated[
    str, typer.Option("--lexicon", "-l", help="Bundled lexicon or lexicon folder.", show_default=True)
]
Atlas = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="What unlabelled cells have told of genes, beside texts: a file of `lexicell genes learn`, "
        '"bundled" or "none".',
    ),
]
Layer = Annotated[str | None, typer.Option(help="Read this layer instead of X.")]
UseRaw = Annotated[bool, typer.Option("--use-raw", help="Read .raw instead of X.")]
Modality = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Modality of a MuData, or type of feature of a matrix with several. Default: gene expression; a "
        "MuData is refused.",
    ),
]
FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links", help="Read other files too that an HDF5 file says it lies in. Default: refuse."
    ),
]
ValuesOption = Annotated[
    Literal["counts", "normalised", "lognorm", "log2", "log10", "sqrt"] | None,
    typer.Option(
        "--values",
        help="What the matrix holds; lognorm is log1p (natural), log2 and log10 are of 1 + x. Default: found "
        "out; logarithms and roots are refused.",
    ),
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
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run, or begin one.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Shards made at once. Default: one for each CPU, or Dask worker.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
MinCoverage = Annotated[
    float, typer.Option(min=0, max=1, help="Least share of the counts that must lie in described genes.")
]
MaskGenes = Annotated[
    list[str] | None,
    typer.Option(
        "--mask-genes",
        metavar="FLAG",
        help="Never use genes whose text is flagged: name-only, shared or placeholder; may be repeated.",
    ),
]
Genes = Annotated[
    Path | None,
    typer.Option(
        "--genes",
        metavar="FILE",
        help="Use the genes of this text file only, one name a line, as in the data set or the lexicon.",
    ),
]
ObsColumns = Annotated[
    list[str] | None, typer.Option("--obs-column", help="Column of obs to keep in a .zarr; may be repeated.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
Seed = Annotated[int, typer.Option(min=0, help="Of whatever is drawn.")]
