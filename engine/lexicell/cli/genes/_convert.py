"""``lexicell genes convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lexicell.cli import _console
from lexicell.cli._options import Json, Overwrite
from lexicell.cli.genes._inspect import show

__all__ = ["convert"]


def convert(
    given: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="Gene vectors: .json, .parquet or .npz; or a lexicon.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="Folder to create; where IN is a lexicon, a .parquet or .safetensors.",
        ),
    ],
    encoder_id: Annotated[str | None, typer.Option(help="Model that made the vectors (required).")] = None,
    source: Annotated[
        str | None, typer.Option(help="Whose texts they are made from, and who published them (required).")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of texts and vectors (required).")] = None,
    organism: Annotated[str | None, typer.Option(help="Species whose genes they are (required).")] = None,
    source_date: Annotated[str, typer.Option(help="Date or release of the source.")] = "",
    attribution: Annotated[str, typer.Option(help="Sentence to credit it with.")] = "",
    encoder_revision: Annotated[str, typer.Option(help="Version of the model.")] = "",
    pooling: Annotated[str | None, typer.Option(help="How it made one vector: mean, cls or api.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens that it sees at once.")] = None,
    names: Annotated[
        Path | None, typer.Option(help="File with the name of each vector, one per line, in place of IN's.")
    ] = None,
    names_are: Annotated[
        Literal["symbol", "ncbi", "ensembl"] | None,
        typer.Option(help="What the names are. Default: what most of them look like."),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="Table of the encoded texts: brings ids, aliases and texts."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="How TABLE's texts were put together; see genes build."),
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="TABLE's column of texts.")] = None,
    ids: Annotated[
        str | None,
        typer.Option(
            metavar="LEXICON", help="Lexicon that brings ids, aliases and orthologues: human-go-minilm."
        ),
    ] = None,
    dtype: Annotated[
        Literal["float16", "float32"] | None,
        typer.Option(help="Type of the vectors. Default: that of IN, float32 for JSON."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the lexicon. Default: OUT's.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a lexicon of gene vectors from elsewhere (GenePT), or a file of vectors of a lexicon.

    Four facts about vectors from elsewhere must be given: --encoder-id, --source, --licence, --organism.
    """
    from lexicell.errors import InputError
    from lexicell.lexicon import TextOptions, bundled_lexicons, export_vectors, import_vectors

    facts = {"--encoder-id": encoder_id, "--source": source, "--licence": licence, "--organism": organism}
    if given in bundled_lexicons() or Path(given).is_dir():
        if stated := [option for option, value in facts.items() if value]:
            message = (
                f"{given} is a lexicon and says itself where it comes from; leave out {', '.join(stated)}."
            )
            raise InputError(message)
        written = export_vectors(given, output, overwrite=overwrite)
        told = {"output": str(written), "bytes": written.stat().st_size, "lexicon": given}
        (_console.result_json if as_json else _console.facts)(told)
        return
    if lacking := [option for option, value in facts.items() if not value]:
        message = f"Say where the vectors of {given} come from: {', '.join(lacking)} must be given."
        raise InputError(message)
    known = {"pooling": pooling, "max_tokens": max_tokens}
    lexicon = import_vectors(
        given, output, encoder_id=encoder_id or "", source=source or "", licence=licence or "",
        organism=organism or "", source_date=source_date, attribution=attribution,
        encoder_revision=encoder_revision, names=names, names_are=names_are, texts=texts,
        text_options=TextOptions(recipe=text, text_column=text_column), ids=ids, dtype=dtype, name=name,
        overwrite=overwrite, notify=_console.note,
        **{option: value for option, value in known.items() if value is not None},  # type: ignore[arg-type]
    )  # fmt: skip
    show(lexicon, as_json=as_json)
