"""``lexicell annotate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt

if TYPE_CHECKING:
    from lexicell.annotation import Annotation

__all__ = ["annotate"]


def annotate(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="Cells to name: an .h5ad, an AnnData-Zarr, a 10x .h5 ...")
    ],
    reference: Annotated[
        str | None,
        typer.Option(help="Labelled cells, or the folder of a projection that was trained with labels."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="Column of obs with the labels of the reference; with sentences and no reference, of the "
            "QUERY, where a few cells are labelled."
        ),
    ] = None,
    describe: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A file with a name, a tab and a sentence about what it does on each line; no reference or "
            "label is needed, and if there is one both are weighed.",
        ),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(
            help="Types whose sentences come with the package, by groups (blood,pancreas) or names of the "
            "Cell Ontology; also together with --describe."
        ),
    ] = None,
    method: Annotated[
        Literal["logistic", "knn"], typer.Option(help="Classifier of labelled reference cells.")
    ] = "logistic",
    threshold: Annotated[
        float | None,
        typer.Option(
            help='Confidence below which a cell is "unknown". Default: what loses 5 % of the reference cells '
            "that are named rightly when held out; 0.4 with sentences."
        ),
    ] = None,
    mixture: Annotated[
        bool | None,
        typer.Option(
            "--mixture/--no-mixture",
            help="Hold cells of QUERY that look alike to be of one class. Default: across panels, and in one "
            "experiment with few labels.",
        ),
    ] = None,
    atlas: opt.Atlas = "bundled",
    through: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Unlabelled cells that have measured the genes of QUERY and reference; ten help.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "--out", help="An .h5ad (a copy of the query, plus labels), a .csv or a .parquet."
        ),
    ] = None,
    key_added: Annotated[
        str, typer.Option(help="Column of obs that gets the labels, in an .h5ad.")
    ] = "lexicell_label",
    lexicon: opt.LexiconName = "human-go-minilm",
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    reference_layer: Annotated[
        str | None, typer.Option(help="Read this layer of the reference instead of X.")
    ] = None,
    reference_use_raw: Annotated[
        bool, typer.Option("--reference-use-raw", help="Read .raw of the reference instead of X.")
    ] = False,
    reference_modality: Annotated[
        str | None, typer.Option(metavar="NAME", help="Modality of the reference.")
    ] = None,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    min_coverage: opt.MinCoverage = 0.5,
    mask_genes: opt.MaskGenes = None,
    genes: opt.Genes = None,
    seed: opt.Seed = 0,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Name the cells of QUERY by labelled cells, a projection learned from them, or sentences.

    Where QUERY measures genes with 30 % or more of the variance of the reference's 2,000 most variable ones,
    cells are compared by the genes that both measure; elsewhere the genes' texts, and what other cells tell
    of which genes are alike (--atlas, --through), connect the two. Which it was is told.

    --describe and --types need no labelled cell: a sentence calls up the genes whose texts say the same, and
    sentences compete for the cells; how well, and beside which controls, is in docs/words.md. Look at the
    genes of each type, which are printed: they are the evidence. One labelled cell of each type in QUERY
    (--label) mends most sentences that are not good enough.
    """
    from lexicell.annotation import annotate as name_cells

    with _console.bar("annotating", "cells") as bar:
        found = name_cells(
            query, output, reference=reference, label=label, describe=describe, types=types, method=method,
            threshold=threshold, mixture=mixture, atlas=atlas, through=through,
            key_added=key_added, lexicon=lexicon, layer=layer,
            use_raw=use_raw, modality=modality, follow_links=follow_links, reference_layer=reference_layer,
            reference_use_raw=reference_use_raw, reference_modality=reference_modality, values=values,
            gene_column=gene_column, organism=organism, min_coverage=min_coverage,
            mask_genes=mask_genes or (), genes=genes, seed=seed, overwrite=overwrite,
            listener=_console.listen(bar),
        )  # fmt: skip
    if as_json:
        _console.result_json(found.as_dict())
    else:
        _show(found)
    if output is not None:
        _console.note(f"written: {output}")


def _show(found: Annotation) -> None:
    rows = [
        (str(label), f"{row.cells:,}", f"{row.share:.1%}", f"{row.confidence:.2f}")
        for label, row in zip(found.summary.index, found.summary.itertuples(), strict=True)
    ]
    _console.table(("label", "cells", "share", "median confidence"), rows)
    facts = found.facts
    if found.types is not None and found.genes is not None:
        _console.result("")
        first = found.genes.groupby("type", sort=False)["gene"].agg(lambda genes: ", ".join(genes[:7]))
        rows = [
            (
                name,
                f"{row.evidence:.1f}",
                f"{row.p_value:.2f}",
                first.get(name, "") if row.present else "not here",
            )
            for name, row in zip(found.types.index, found.types.itertuples(), strict=True)
        ]
        _console.table(("type", "evidence", "p", "genes that speak for it most"), rows)
        _console.result(
            "evidence of the sentence alone: how far its genes stand out, in standard deviations of 217 "
            "others; p: share of random sets of genes that stand out as much, which is small for half of the "
            "types that are not here, too"
        )
    _console.result(
        f"\n{facts['cells']:,} cells, {facts['unknown']:.1%} unknown (confidence below "
        f"{facts['threshold']:.2f}); genes in use hold {facts['coverage']:.1%} of their counts"
    )
    _console.result(f"{found.mode}: {facts['why']}")
