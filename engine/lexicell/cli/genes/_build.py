"""``lexicell genes build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from lexicell.cli import _console
from lexicell.cli._options import Json, Overwrite
from lexicell.cli.genes._inspect import show

if TYPE_CHECKING:
    from lexicell.lexicon import TextFlag

__all__ = ["build"]

_NAMES = {"cost": "cost (estimated)", "tokens": "tokens (estimated)", "cached": "encoded before"}


def build(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Genes: .tsv, .csv (also .gz) or .parquet.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to create.")],
    # What becomes the text
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            metavar="RECIPE",
            help="summary, name+summary, name, go, name+go+summary, or a template with columns in braces. "
            "Default: name+summary where TABLE has summaries, else its column text.",
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column to encode as it stands, instead of a recipe.")
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop",
            metavar="FLAG",
            help="Leave out genes whose text is name-only, shared or a placeholder; may be repeated.",
        ),
    ] = None,
    # What encodes it
    encoder: Annotated[
        str,
        typer.Option(
            help="minilm, biobert, scibert, a folder, a name on the model hub (OWNER/MODEL), or openai:MODEL "
            "for an OpenAI-compatible service (OPENAI_API_KEY, OPENAI_BASE_URL)."
        ),
    ] = "minilm",
    encoder_folder: Annotated[
        Path | None, typer.Option(help="Folder with the encoder's files. Default: searched for.")
    ] = None,
    pooling: Annotated[
        Literal["mean", "cls"] | None, typer.Option(help="How tokens become a vector. Default: the model's.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens seen at once. Default: as many as the model can.")
    ] = None,
    long_text: Annotated[
        Literal["window", "truncate"],
        typer.Option(help="Longer texts: cut into windows whose vectors are averaged, or cut off."),
    ] = "window",
    precision: Annotated[
        Literal["float32", "int8"], typer.Option(help="int8: faster on a CPU, slightly different.")
    ] = "float32",
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the model runs.")] = "cpu",
    dimensions: Annotated[
        int | None, typer.Option(min=1, help="Length a service shortens its vectors to.")
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep vectors, so that no text is encoded twice.")
    ] = True,
    # Which column holds what
    id_column: Annotated[str | None, typer.Option(help="Column of NCBI gene ids.")] = None,
    symbol_column: Annotated[str | None, typer.Option(help="Column of symbols.")] = None,
    ensembl_column: Annotated[
        str | None, typer.Option(help="Column of Ensembl ids, | between several.")
    ] = None,
    alias_column: Annotated[str | None, typer.Option(help="Column of aliases, | between several.")] = None,
    name_column: Annotated[str | None, typer.Option(help="Column of full gene names.")] = None,
    orthologues: Annotated[
        Path | None,
        typer.Option(help="CSV of human symbol, mouse symbol: the same rows then serve mouse data."),
    ] = None,
    # What the manifest says; by default what TABLE says itself
    name: Annotated[str | None, typer.Option(help="Name of the lexicon. Default: OUT's.")] = None,
    organism: Annotated[
        str | None, typer.Option(help="Species whose symbols TABLE uses. Default: TABLE's, else human.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Where the texts are from. Default: as TABLE says.")
    ] = None,
    source_date: Annotated[str | None, typer.Option(help="Their date or release. Default: as above.")] = None,
    licence: Annotated[str | None, typer.Option(help="Their licence. Default: as above.")] = None,
    attribution: Annotated[
        str | None, typer.Option(help="Sentence to credit them with. Default: as above.")
    ] = None,
    # How it is written
    dtype: Annotated[Literal["float16", "float32"], typer.Option(help="Type of the vectors.")] = "float16",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be encoded, and what it costs; then stop.")
    ] = False,
    price: Annotated[
        float | None, typer.Option(min=0, help="US dollars per million tokens, for --dry-run.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Encode the gene texts of TABLE and write a lexicon to OUT.

    Interrupted, or repeated with more genes, a build goes on from the texts that were encoded before.
    """
    from lexicell.lexicon import EncoderOptions, TextOptions, build_lexicon, plan_build

    read: dict[str, Any] = {
        "texts": TextOptions(
            recipe=text, text_column=text_column, id_column=id_column, symbol_column=symbol_column,
            ensembl_column=ensembl_column, alias_column=alias_column, name_column=name_column,
            drop=cast("tuple[TextFlag, ...]", tuple(drop or ())),  # checked there
        ),
        "orthologues": orthologues,
        "encoder": encoder,
        "encoder_options": EncoderOptions(
            folder=encoder_folder, pooling=pooling, max_tokens=max_tokens, long_text=long_text,
            precision=precision, device=device, dimensions=dimensions,
        ),
        "dtype": dtype,
        "cache": cache,
        "notify": _console.note,
    }  # fmt: skip
    if dry_run:
        described = plan_build(table, price=price, **read).describe()
        if as_json:
            _console.result_json(described)
            return
        flags = ", ".join(f"{n:,} {flag}" for flag, n in described.pop("flags").items())
        described |= {"poor texts": flags or "none", "output": output}
        if isinstance(cost := described.get("cost"), float):
            described["cost"] = f"{cost:.4f} USD"
        elif cost is not None:
            described["cost"] = f"{cost}; give it with --price"
        if isinstance(each := described.get("price"), float):
            year = described.pop("price_as_of", None)
            told = f" as of {year}; --price takes today's" if year else ""
            described["price"] = f"{each:g} USD per million tokens{told}"
        exact = {} if "requests" in described else {"tokens": "tokens"}
        _console.facts({(_NAMES | exact).get(name, name): value for name, value in described.items()})
        return
    with _console.bar("encoding", "texts") as bar:
        lexicon = build_lexicon(
            table, output, name=name, organism=organism, source=source, source_date=source_date,
            licence=licence, attribution=attribution, overwrite=overwrite, progress=bar, **read,
        )  # fmt: skip
    show(lexicon, as_json=as_json)
