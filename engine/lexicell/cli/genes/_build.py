"""``lexicell genes build``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lexicell.cli import _console
from lexicell.cli._options import Json, Overwrite
from lexicell.cli.genes._inspect import show

__all__ = ["build"]


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
    from lexicell.lexicon import EncoderOptions, TextOptions, build_lexicon

    with _console.bar("encoding", "texts") as bar:
        lexicon = build_lexicon(
            table, output, encoder=encoder, encoder_options=EncoderOptions(folder=encoder_folder),
            texts=TextOptions(
                id_column=id_column, symbol_column=symbol_column, ensembl_column=ensembl_column,
                alias_column=alias_column, name_column=name_column, text_column=text_column,
            ),
            orthologues=orthologues, name=name, organism=organism, source=source, source_date=source_date,
            licence=licence, attribution=attribution, dtype=dtype, overwrite=overwrite, progress=bar,
            notify=_console.note,
        )  # fmt: skip
    show(lexicon, as_json=as_json)
