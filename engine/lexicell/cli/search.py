"""``lexicell search`` and ``lexicell describe``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt

if TYPE_CHECKING:
    import pandas as pd

    from lexicell.words import Search

__all__ = ["describe", "search"]

_SHOWN = 10


def search(
    data: Annotated[str, typer.Argument(metavar="IN", help="Cells, or a store of their vectors.")],
    text: Annotated[
        list[str] | None, typer.Argument(metavar="SENTENCE...", help="What the cells do, in a sentence.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "--out",
            help="A .csv or .parquet for the scores of all cells; or a folder, for very many.",
        ),
    ] = None,
    like: Annotated[
        str | None, typer.Option(metavar="CELL", help="In place of sentences: the cells most like this one.")
    ] = None,
    genes: Annotated[
        str | None,
        typer.Option(metavar="GENES", help="In place of sentences: INS,IAPP or a file with one name a line."),
    ] = None,
    lexicon: opt.LexiconName = "human-go-minilm",
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    min_coverage: opt.MinCoverage = 0.0,
    mask_genes: opt.MaskGenes = None,
    seed: opt.Seed = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that write a folder. Default: one for each CPU.")
    ] = None,
    overwrite: opt.Overwrite = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run to a folder, or begin it.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Find the cells of IN that a sentence speaks of, without labels.

    The genes that did it are printed: look at them before the cells. Vectors say less of genes than counts
    do (docs/words.md has by how much), and the genes of a store are those that were asked for, measured or
    not. Scores have mean 0 and standard deviation 1 over the cells.
    """
    from lexicell.words import search as find

    with _console.bar("searching", "cells") as bar:
        found = find(
            data, text, output, like=like, genes=genes, lexicon=lexicon, layer=layer, use_raw=use_raw,
            modality=modality, follow_links=follow_links, values=values, gene_column=gene_column,
            organism=organism, min_coverage=min_coverage, mask_genes=mask_genes or (), seed=seed,
            workers=workers, overwrite=overwrite, resume=resume, listener=_console.listen(bar),
        )  # fmt: skip
    if as_json:
        _console.result_json(found.as_dict())
    else:
        _show(found)
    if output is not None:
        _console.note(f"written: {output}")


def describe(
    text: Annotated[
        list[str],
        typer.Argument(metavar="SENTENCE...", help="A sentence, or a type by its name or id (CL:0000236)."),
    ],
    data: Annotated[
        str | None, typer.Option("--data", metavar="IN", help="Cells: which of the genes they measure.")
    ] = None,
    lexicon: opt.LexiconName = "human-go-minilm",
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    as_json: opt.Json = False,
) -> None:
    """Show which genes a sentence calls up, before any cell is looked at.

    A good sentence says what a cell does, in words that the texts of its genes use too. Genes that many
    sentences call up say little: "others" is the share of the shipped sentences that call up the gene.
    """
    from lexicell.words import describe as called_up

    found = called_up(
        text, data, lexicon=lexicon, layer=layer, use_raw=use_raw, modality=modality,
        follow_links=follow_links, values=values, gene_column=gene_column, organism=organism,
        listener=_console.listen(lambda done, total, beside="": None),  # noqa: ARG005
    )  # fmt: skip
    if as_json:
        _console.result_json({"genes": found.to_dict("records")})
        return
    for name, table in found.groupby("type", sort=False):
        _show_called(str(name), table)


def _show(found: Search) -> None:
    for question, best in found.best(_SHOWN).groupby("question", sort=False):
        _console.result(f"\n{question}")
        mine = found.genes[found.genes["type"] == question]
        if len(mine):
            _console.result(f"genes: {', '.join(mine['gene'][:_SHOWN])}")
        rows = [(str(cell), f"{score:.2f}") for cell, score in zip(best["cell"], best["score"], strict=True)]
        _console.table(("cell", "score"), rows)


def _show_called(name: str, table: pd.DataFrame) -> None:
    _console.result(f"\n{name}")
    rows = [
        (row["gene"], f"{row['likeness']:.1f}", f"{row['others']:.2f}", *_measured(row), str(row["name"]))
        for row in table.head(2 * _SHOWN).to_dict("records")
    ]
    measured = ("measured",) if "measured" in table else ()
    _console.table(("gene", "likeness", "others", *measured, "name"), rows)
    if measured:
        n = int(table["measured"].sum())
        _console.result(f"{n} of the {len(table)} genes that it calls up are measured")


def _measured(row: dict[Any, Any]) -> tuple[str, ...]:
    return ("yes" if row["measured"] else "no",) if "measured" in row else ()
