"""``lexicell explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from lexicell.explanation import Explanation

__all__ = ["explain"]

_SHOWN, _LESS, _PATHWAYS = 10, 5, 5
#: Groups of which more than one line is printed.
_MANY = 20
#: What is shown: head -> column and format.
_OF_CELL = {
    "gene": ("gene", ""),
    "contribution": ("contribution", ".4f"),
    "share of weights": ("share", ".1%"),
}
_OF_GROUP = {
    "gene": ("gene", ""),
    "contribution": ("contribution", ".4f"),
    "agreement": ("agreement", ".4f"),
    "p of texts": ("p_adjusted", ".3f"),
    "cells": ("share_of_cells", ".0%"),
    "rest": ("share_of_rest", ".0%"),
    "effect": ("effect", ".1f"),
    "p of donors": ("donor_p_adjusted", ".2g"),
}
_OF_SETS = {
    "gene set": ("pathway", ""),
    "contribution": ("contribution", ".4f"),
    "genes": ("n_genes", ""),
    "adjusted p": ("p_adjusted", ".3f"),
}
#: Heads, and rows.
_Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def explain(
    data: opt.DataList,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "--out",
            help="A .csv or .parquet for the genes; or a folder for all tables, which can be continued.",
        ),
    ] = None,
    group: Annotated[str | None, typer.Option(metavar="KEY", help="Column of obs with the groups.")] = None,
    contrast: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Compare group A with group B. Default: each with all others."),
    ] = None,
    donor: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Column of obs with the independent samples, three or more a side."),
    ] = None,
    cell: Annotated[
        str | None, typer.Option(metavar="NAME", help="One cell to explain, in place of groups.")
    ] = None,
    like: Annotated[
        str | None, typer.Option(metavar="NAME", help="Score cells by their likeness to this one.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="SENTENCE", help="Score cells by the vector of a sentence.")
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="Score cells by a class of the projection."),
    ] = None,
    sets: Annotated[
        str,
        typer.Option(
            help='Gene sets: "go" (terms that the texts name), "go-bp" (56 processes), a .gmt file or "none".'
        ),
    ] = "go",
    gsea: Annotated[
        bool, typer.Option("--gsea", help="Show gseapy's preranked enrichment of the same genes beside.")
    ] = False,
    permutations: Annotated[int, typer.Option(min=0, help="Of the nulls; 0 for no p-values.")] = 10_000,
    lexicon: opt.LexiconName = "human-go-minilm",
    projection: Annotated[
        Path | None,
        typer.Option("--projection", "-p", help="Folder of a learned projection, without a head."),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="How cells are embedded; see lexicell embed.")] = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Genes of a cell, in place of the recipe's.")
    ] = None,
    weight: Annotated[
        str | None, typer.Option(help="log1p, count, uniform or rank, in place of the recipe's.")
    ] = None,
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    min_coverage: opt.MinCoverage = 0.5,
    mask_genes: opt.MaskGenes = None,
    genes: opt.Genes = None,
    seed: opt.Seed = 0,
    workers: opt.Workers = None,
    scheduler: Annotated[
        str | None, typer.Option(help='Address of a Dask scheduler, or "local", for a run to a folder.')
    ] = None,
    overwrite: opt.Overwrite = False,
    resume: opt.Resume = False,
    as_json: opt.Json = False,
) -> None:
    """Tell which genes, and which sets of genes, put the cells of IN where they are.

    Contributions are exact: they sum to the score. A group stands where it does by genes that count more in
    it, and by others that count less, which are told apart. A gene contributes because groups express it
    differently and because its text agrees with those of the others: "agreement" is the latter part, and "p
    of texts" (adjusted) how often another gene's text would agree as much. "cells" and "rest" are the shares
    of cells that use the gene, "effect" is Cohen's d. Cells are never taken for independent samples: name
    donors (--donor) for inference.
    """
    from lexicell.explanation import explain as tell

    with _console.bar("explaining", "cells") as bar:
        found = tell(
            data, output, group=group, contrast=contrast, donor=donor, cell=cell, like=like, text=text,
            class_name=class_name, sets=sets, gsea=gsea, permutations=permutations, lexicon=lexicon,
            projection=projection, recipe=recipe, top_k=top_k, weight=weight, layer=layer, use_raw=use_raw,
            modality=modality, follow_links=follow_links, values=values, gene_column=gene_column,
            organism=organism, min_coverage=min_coverage, mask_genes=mask_genes or (), genes=genes, seed=seed,
            workers=workers, scheduler=scheduler, overwrite=overwrite, resume=resume,
            listener=_console.listen(bar),
        )  # fmt: skip
    if as_json:
        _console.result_json(found.as_dict())
    else:
        _show(found)
    if output is not None:
        _console.note(f"written: {output}")


def _show(found: Explanation) -> None:
    import pandas as pd

    groups = found.groups.to_dict("index")
    if len(groups) > _MANY:
        _show_many(found)
        return
    for name, of in groups.items():
        score = f"score {of['score']:.3f}"
        if pd.notna(of.get("in_rest")):
            beside = f"{of['in_group']:.3f} in {of['cells']:,} cells, {of['in_rest']:.3f} in {of['rest']:,}"
            score += f" ({beside})"
        _console.result(f"\n{name}: {score}")
        genes = found.genes[found.genes["group"] == name]
        if "more" not in genes:
            _console.table(*_table(genes.head(_SHOWN), _OF_CELL))
        else:
            _console.table(*_genes(genes[genes["more"]].head(_SHOWN)))
            less = genes[~genes["more"] & (genes["contribution"] > 0)].head(_LESS)
            if len(less):
                _console.result(f"less of: {_listed(less)}")
        if found.pathways is not None:
            sets = found.pathways.query("group == @name and redundant_with == '' and contribution > 0")
            if len(sets):
                _console.result("")
                _console.table(*_sets(sets.head(_PATHWAYS)))
    if "inference" in found.groups and (found.groups["rest"] > 0).any():
        _console.result("")
        for text, n in found.groups["inference"].value_counts().items():
            _console.result(f"{text} ({n} of {len(groups)} groups)")


def _show_many(found: Explanation) -> None:
    """One line a group."""
    genes = found.genes[found.genes["more"]]
    first = {name: _listed(part.head(_LESS)) for name, part in genes.groupby("group", observed=True)}
    rows = [
        (str(name), f"{of['cells']:,}", f"{of['score']:.3f}", first.get(str(name), ""))
        for name, of in found.groups.to_dict("index").items()
    ]
    _console.table(("group", "cells", "score", "genes that contribute most"), rows)


def _listed(genes: pd.DataFrame) -> str:
    return ", ".join(
        f"{gene} {value:.3f}" for gene, value in zip(genes["gene"], genes["contribution"], strict=True)
    )


def _genes(genes: pd.DataFrame) -> _Table:
    """Columns that have a value."""
    columns = {head: of for head, of in _OF_GROUP.items() if genes[of[0]].notna().any() or not len(genes)}

    if "p of texts" not in columns:  # of a given direction all of a contribution is agreement
        columns.pop("agreement")
    return _table(genes, columns)


def _sets(sets: pd.DataFrame) -> _Table:
    beside = {"NES": ("nes", ".1f"), "GSEA's q": ("gsea_q", ".3f")} if "nes" in sets else {}
    return _table(sets, _OF_SETS | beside | {"leading": ("genes", "")})


def _table(table: pd.DataFrame, columns: Mapping[str, tuple[str, str]]) -> _Table:
    import pandas as pd

    parts = [
        [format(value, form) if pd.notna(value) else "" for value in table[name]]
        for name, form in columns.values()
    ]
    return tuple(columns), list(zip(*parts, strict=True))
