"""``lexicell genes learn``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt
from lexicell.errors import InputError

__all__ = ["learn"]


def learn(
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA...", help="Unlabelled cells, one data set each; NAME=FILE names one."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "--out", help="Parquet file to write.", show_default=False)
    ] = None,
    lexicon: opt.LexiconName = "human-go-minilm",
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    min_coverage: opt.MinCoverage = 0.5,
    seed: opt.Seed = 0,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Learn from unlabelled cells which genes are alike, for panels that share few genes.

    Each data set gives loadings of its genes on 50 components; what texts foretell of them goes to all other
    genes. `annotate`, `train` and `evaluate` take the file as --atlas. Data sets of many tissues are best.
    """
    from lexicell.learn.gene_atlas import learn_gene_atlas

    if output is None:
        msg = "name the Parquet file to write (--output)"
        raise InputError(msg)
    named: dict[str, str] = {}
    for one in data:
        name, named_so, file = one.partition("=")
        if not named_so or Path(one).exists():
            name, file = Path(one).stem, one
        if name in named:
            msg = f"two data sets are called {name}; give each its own name, as NAME=FILE"
            raise InputError(msg)
        named[name] = file
    with _console.bar("learning", "cells") as bar:
        atlas = learn_gene_atlas(
            named, output, lexicon=lexicon, layer=layer, use_raw=use_raw, modality=modality,
            follow_links=follow_links, values=values, gene_column=gene_column, organism=organism,
            min_coverage=min_coverage, seed=seed, overwrite=overwrite, listener=_console.listen(bar),
        )  # fmt: skip
    facts = [{"name": cells.name, "cells": cells.cells, "genes": cells.genes} for cells in atlas.data]
    if as_json:
        _console.result_json({"data": facts, "output": str(output), **atlas.card})
        return
    rows = [(str(one["name"]), f"{one['cells']:,}", f"{one['genes']:,}") for one in facts]
    _console.table(("data set", "cells", "genes with loadings"), rows)
    _console.note(f"written: {output}")
