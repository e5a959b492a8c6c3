"""``lexicell export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt

__all__ = ["app"]

app = typer.Typer(
    help="Write cells as the inputs of other models.", invoke_without_command=True, no_args_is_help=True
)

Output = Annotated[str, typer.Argument(metavar="OUT", help="A new folder, or a URL.")]
ObsColumns = Annotated[
    list[str] | None, typer.Option("--obs-column", help="Column of obs that goes along; may be repeated.")
]
AsFiles = Annotated[
    Literal["hf", "parquet"] | None,
    typer.Option(
        "--as", help="hf for datasets.load_from_disk, or a folder of Parquet files. Default: by format."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Let the workers of this Dask scheduler do it, or local processes."),
]


@app.callback()
def _formats(
    listed: Annotated[
        bool, typer.Option("--list", help="Print the formats, whom they are for, and how they were checked.")
    ] = False,
) -> None:
    """Write cells as the inputs of other models.

    The same cell becomes the same bytes under any order of rows and columns, number of threads and workers,
    and after an interrupt.
    """
    if listed:
        from lexicell.exports import FORMATS

        rows = [(name, form.summary, form.checked) for name, form in FORMATS.items()]
        _console.table(("format", "for", "checked"), rows)


@app.command("geneformer")
def geneformer(
    data: opt.DataList,
    output: Output,
    tokens: Annotated[
        Path, typer.Option(help="Dictionary Ensembl id -> token: .json, .csv, .tsv or Geneformer's own .pkl.")
    ],
    medians: Annotated[
        Path, typer.Option(help="Dictionary Ensembl id -> median, in the same kinds of files.")
    ],
    mapping: Annotated[
        Path | None, typer.Option(help="Dictionary old Ensembl id -> the one that has a token (v2).")
    ] = None,
    version: Annotated[
        Literal["v1", "v2"], typer.Option(help="v1: up to 2,048 genes; v2: <cls>, up to 4,094 genes, <eos>.")
    ] = "v1",
    keep_counts: Annotated[
        bool, typer.Option("--keep-counts", help="Also write counts per 10,000, as lists.")
    ] = False,
    obs_columns: ObsColumns = None,
    container: AsFiles = None,
    lexicon: opt.LexiconName = "human-go-minilm",
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    workers: opt.Workers = None,
    scheduler: Scheduler = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Write Geneformer's input_ids, as its own tokenizer does.

    Cells keep their order and names (cell_id); those without a token are empty lists.
    """
    _export(**locals() | {"format": "geneformer"})


@app.command("cell-sentence")
def cell_sentence(
    data: opt.DataList,
    output: Output,
    top: Annotated[int | None, typer.Option(min=1, help="Words of a sentence. Default: all.")] = None,
    delimiter: Annotated[str, typer.Option(help="Between words.")] = " ",
    obs_columns: ObsColumns = None,
    container: AsFiles = None,
    lexicon: opt.LexiconName = "human-go-minilm",
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    genes: opt.Genes = None,
    workers: opt.Workers = None,
    scheduler: Scheduler = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Write each cell as a sentence of its genes, the most expressed first.

    n_tied tells how many words the order of the lexicon has chosen among genes of the same count.
    """
    _export(**locals() | {"format": "cell-sentence"})


@app.command("ranked")
def ranked(
    data: opt.DataList,
    output: Output,
    top: Annotated[int | None, typer.Option(min=1, help="Genes of a cell. Default: all.")] = None,
    obs_columns: ObsColumns = None,
    container: AsFiles = None,
    lexicon: opt.LexiconName = "human-go-minilm",
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    genes: opt.Genes = None,
    workers: opt.Workers = None,
    scheduler: Scheduler = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Write ranked genes with their counts; _genes.parquet says which gene a number is."""
    _export(**locals() | {"format": "ranked"})


@app.command("vectors")
def vectors(
    data: opt.DataList,
    output: Output,
    recipe: Annotated[str | None, typer.Option(help="lexicell, paper or genept-w.")] = None,
    projection: Annotated[str | None, typer.Option(metavar="FOLDER", help="A learned projection.")] = None,
    obs_columns: ObsColumns = None,
    container: AsFiles = None,
    lexicon: opt.LexiconName = "human-go-minilm",
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    genes: opt.Genes = None,
    workers: opt.Workers = None,
    scheduler: Scheduler = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Write lexicell's own vectors as a column of lists, with the cells' quality."""
    _export(**locals() | {"format": "vectors"})


def _export(*, data: Any, output: str, as_json: bool, **options: Any) -> None:
    from lexicell.exports import export as run

    name = options.pop("format")
    options["obs_columns"] = options["obs_columns"] or ()
    with _console.bar("exporting", "cells") as bar:
        done = run(name, data, output, listener=_console.listen(bar), **options)
    if as_json:
        _console.result_json(done.as_dict())
    else:
        dropped = int(done.facts["cells_read"]) - done.cells
        left_out = f", {dropped:,} cells left out" if dropped else ""
        _console.result(f"{done.cells:,} cells -> {done.output}{left_out}")
