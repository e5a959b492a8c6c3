"""``lexicell genes info`` and ``align``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt

if TYPE_CHECKING:
    from lexicell.lexicon import EncoderInfo

__all__ = ["align", "info", "show"]


def info(
    lexicon: Annotated[
        str, typer.Argument(metavar="LEXICON", help="Bundled name or folder.")
    ] = "human-go-minilm",
    as_json: opt.Json = False,
) -> None:
    """Show the card of a lexicon: what it is made of, covers and lacks; its files are hashed first."""
    from lexicell.lexicon import Lexicon, count_genes

    opened = Lexicon.open(lexicon)
    if as_json:
        _console.result_json({**_described(opened), "counts": count_genes(opened.read_genes()).as_dict()})
        return
    _console.markdown(opened.card)
    _console.facts({"identity": opened.identity, "folder": opened.path})


def align(
    data: opt.DataList,
    lexicon: opt.LexiconName = "human-go-minilm",
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    mask_genes: opt.MaskGenes = None,
    genes: opt.Genes = None,
    as_json: opt.Json = False,
) -> None:
    """Show which genes of IN a lexicon describes, by which route, and what is missing."""
    from lexicell.embedding import AlignOptions, align_cells, gene_coverage
    from lexicell.embedding.inputs import open_data

    options = AlignOptions(
        lexicon=lexicon, values=values, gene_column=gene_column, organism=organism, min_coverage=None,
        mask_genes=mask_genes or (), genes=genes,
    )  # fmt: skip
    with (
        open_data(data, layer, modality, use_raw=use_raw, follow_links=follow_links) as source,
        _console.bar("reading", "cells") as bar,
    ):
        listener = _console.listen(bar)
        report = gene_coverage(align_cells(source, options, listener), listener=listener)
    if as_json:
        _console.result_json(report.as_dict())
        return
    rows = [(label, f"{n:,}", f"{share:.1%}") for label, n, share in report.routes]
    _console.table(("route", "columns", "counts"), rows)
    _console.result(f"\n{report.coverage:.1%} of the counts lie in described genes")
    if mask_genes or genes:
        _console.result(f"{report.used:.1%} lie in those that are listed and not masked")
    if report.missing:
        _console.result("\nmost expressed genes without a description:")
        _console.table(("gene", "counts"), [(gene, f"{share:.2%}") for gene, share in report.missing])
    _console.result("\ncolumns of var:")
    _console.table(
        ("column", "genes", "use"),
        [(use.column, f"{use.genes:,}", use.use) for use in report.alignment.columns],
    )


def show(lexicon: Any, *, as_json: bool) -> None:
    """Print what a lexicon is made of."""
    if as_json:
        _console.result_json(_described(lexicon))
        return
    manifest = lexicon.info
    _console.facts(
        {
            "name": manifest.name,
            "folder": lexicon.path,
            "genes": manifest.n_genes,
            "vectors": f"{manifest.dim} x {manifest.dtype}",
            "organism": manifest.organism,
            "texts": manifest.text.source,
            "licence": manifest.text.licence or "not stated",
            "encoder": f"{manifest.encoder.id} ({_how(manifest.encoder)})",
            "identity": lexicon.identity,
            "credit": manifest.text.attribution or "not stated",
        }
    )


def _how(encoder: EncoderInfo) -> str:
    from lexicell.lexicon import UNKNOWN_POOLING

    if encoder.pooling == UNKNOWN_POOLING:
        return "vectors made elsewhere"
    return f"{encoder.pooling} pooling, {encoder.max_tokens:,} tokens"


def _described(lexicon: Any) -> dict[str, Any]:
    return {**lexicon.info.model_dump(mode="json"), "identity": lexicon.identity}
