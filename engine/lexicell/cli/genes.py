"""``lexicell genes``: make and inspect lexicons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lexicell.cli import _console
from lexicell.cli._options import (
    Data,
    GeneColumn,
    Json,
    Layer,
    LexiconName,
    Organism,
    Overwrite,
    UseRaw,
    ValuesOption,
)

__all__ = ["app"]

app = typer.Typer(help="Make and inspect lexicons: genes, their texts and vectors.", no_args_is_help=True)


@app.command()
def build(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="Gene texts: .tsv, .csv (also .gz) or .parquet.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to create.")],
    encoder: Annotated[str, typer.Option(help="Text encoder.")] = "minilm",
    encoder_folder: Annotated[
        Path | None, typer.Option(help="Folder with the encoder's files. Default: searched for.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the lexicon. Default: OUT's.")] = None,
    organism: Annotated[str, typer.Option(help="Species whose symbols TABLE uses.")] = "human",
    id_column: Annotated[str | None, typer.Option(help="Column of NCBI gene ids.")] = None,
    symbol_column: Annotated[str | None, typer.Option(help="Column of symbols.")] = None,
    ensembl_column: Annotated[
        str | None, typer.Option(help="Column of Ensembl ids, | between several.")
    ] = None,
    alias_column: Annotated[str | None, typer.Option(help="Column of aliases, | between several.")] = None,
    name_column: Annotated[str | None, typer.Option(help="Column of full gene names.")] = None,
    text_column: Annotated[str, typer.Option(help="Column of the texts to encode.")] = "text",
    orthologues: Annotated[
        Path | None,
        typer.Option(help="CSV of human symbol, mouse symbol: the same rows then serve mouse data."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Where the texts are from, for the manifest.")] = None,
    source_date: Annotated[str, typer.Option(help="Their date or release.")] = "",
    licence: Annotated[str, typer.Option(help="Their licence.")] = "",
    attribution: Annotated[str, typer.Option(help="Sentence to credit them with.")] = "",
    dtype: Annotated[Literal["float16", "float32"], typer.Option(help="Type of the vectors.")] = "float16",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Encode the gene texts of TABLE and write a lexicon to OUT."""
    from lexicell.lexicon import build_lexicon

    with _console.bar("encoding", "texts") as bar:
        lexicon = build_lexicon(
            table, output, encoder=encoder, encoder_folder=encoder_folder, name=name, organism=organism,
            source=source, source_date=source_date, licence=licence, attribution=attribution,
            orthologues=orthologues, id_column=id_column, symbol_column=symbol_column,
            ensembl_column=ensembl_column, alias_column=alias_column, name_column=name_column,
            text_column=text_column, dtype=dtype, overwrite=overwrite, progress=bar, notify=_console.note,
        )  # fmt: skip
    _show(lexicon, as_json=as_json)


@app.command()
def info(
    lexicon: Annotated[
        str, typer.Argument(metavar="LEXICON", help="Bundled name or folder.")
    ] = "human-go-minilm",
    as_json: Json = False,
) -> None:
    """Show what a lexicon is made of, after hashing its files."""
    from lexicell.lexicon import Lexicon

    _show(Lexicon.open(lexicon), as_json=as_json)


@app.command()
def align(
    data: Data,
    lexicon: LexiconName = "human-go-minilm",
    layer: Layer = None,
    use_raw: UseRaw = False,
    values: ValuesOption = None,
    gene_column: GeneColumn = None,
    organism: Organism = None,
    as_json: Json = False,
) -> None:
    """Show which genes of IN a lexicon describes, by which route, and what is missing."""
    from lexicell.atlas import Values, open_counts, resolve_values
    from lexicell.embedding import gene_report
    from lexicell.lexicon import Lexicon, align_genes

    opened = Lexicon.open(lexicon)
    with open_counts(data, layer=layer, use_raw=use_raw) as source, _console.bar("reading", "cells") as bar:
        held = resolve_values(source, None if values is None else Values(values))
        alignment = align_genes(opened, source.var, column=gene_column, organism=organism)
        report = gene_report(source, alignment, held, listener=_console.listen(bar))
    if as_json:
        _console.result_json(report.as_dict())
        return
    _console.note(alignment.describe())
    rows = [(label, f"{n:,}", f"{share:.1%}") for label, n, share in report.routes]
    _console.table(("route", "columns", "counts"), rows)
    _console.result(f"\n{report.coverage:.1%} of the counts lie in described genes")
    if report.missing:
        _console.result("\nmost expressed genes without a description:")
        _console.table(("gene", "counts"), [(gene, f"{share:.2%}") for gene, share in report.missing])
    for what, names in (("could mean several genes", alignment.ambiguous),
                        ("aliases given way to a gene's own name", alignment.displaced)):  # fmt: skip
        if names:
            _console.result(f"\n{len(names):,} {what}: {', '.join(names[:10])}")


def _show(lexicon: Any, *, as_json: bool) -> None:
    manifest = lexicon.info
    if as_json:
        _console.result_json({**manifest.model_dump(mode="json"), "identity": lexicon.identity})
        return
    _console.facts(
        {
            "name": manifest.name,
            "folder": lexicon.path,
            "genes": manifest.n_genes,
            "vectors": f"{manifest.dim} x {manifest.dtype}",
            "organism": manifest.organism,
            "texts": manifest.text.source,
            "licence": manifest.text.licence or "not stated",
            "encoder": f"{manifest.encoder.id} ({manifest.encoder.pooling} pooling, "
            f"{manifest.encoder.max_tokens} tokens)",
            "identity": lexicon.identity,
            "credit": manifest.text.attribution or "not stated",
        }
    )
