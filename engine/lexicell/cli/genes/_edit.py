"""``lexicell genes subset``, ``merge`` and ``diff``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexicell.cli import _console
from lexicell.cli._options import FollowLinks, Json, Overwrite
from lexicell.cli.genes._inspect import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lexicell.lexicon import LexiconDiff

__all__ = ["diff", "merge", "subset"]

_SHOWN = 5
_WIDTH = 240

Source = Annotated[str, typer.Argument(metavar="LEXICON", help="Bundled name or folder.")]
Name = Annotated[str | None, typer.Option(help="Name of the new lexicon. Default: OUT's.")]


def subset(
    lexicon: Source,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to create.")],
    genes: Annotated[
        Path | None,
        typer.Option(
            help="Keep the genes in this file: a symbol, alias, NCBI or Ensembl id per line; - is stdin.",
            allow_dash=True,
        ),
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="Keep the genes of this data set (.h5ad, .zarr, 10x).")
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--types", help="Keep genes of this type (protein-coding); may be repeated."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop",
            help="Leave out genes whose text is flagged: name-only, shared or placeholder; repeatable.",
        ),
    ] = None,
    organism: Annotated[
        str | None, typer.Option(help="Whose names --genes and --like hold: human or mouse.")
    ] = None,
    follow_links: FollowLinks = False,
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a lexicon of some genes of LEXICON to OUT; a gene is kept if every option keeps it."""
    from lexicell.lexicon import subset_lexicon

    var = None
    if like is not None:
        from lexicell.counts import open_counts

        with open_counts(like, follow_links=follow_links) as source:
            var = source.var
    made = subset_lexicon(
        lexicon, output, genes=None if genes is None else _names(genes), like=var, types=types or (),
        drop=drop or (),  # type: ignore[arg-type]  # checked there
        organism=organism, name=name, overwrite=overwrite, notify=_console.note,
    )  # fmt: skip
    show(made, as_json=as_json)


def merge(
    lexicons: Annotated[
        list[str], typer.Argument(metavar="LEXICON LEXICON...", help="Bundled names or folders, two or more.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to create.")],
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write all genes of several lexicons to OUT; of genes in both, the lexicon named first has its way."""
    from lexicell.lexicon import merge_lexicons

    made = merge_lexicons(lexicons, output, name=name, overwrite=overwrite, notify=_console.note)
    show(made, as_json=as_json)


def diff(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="Bundled name or folder.")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="Bundled name or folder.")],
    as_json: Json = False,
) -> None:
    """Show what differs between two lexicons: genes, texts, names, flags, vectors and their making.

    Differences are a result, not an error: the exit code is 0. --json lists all of them.
    """
    from lexicell.lexicon import diff_lexicons

    found = diff_lexicons(first, second)
    if as_json:
        _console.result_json(found.as_dict())
    else:
        _show_diff(found)


def _names(path: Path) -> list[str]:
    from lexicell.errors import InputError
    from lexicell.lexicon import read_gene_list

    if str(path) != "-":
        return list(read_gene_list(path))
    try:
        return sys.stdin.read().splitlines()
    except UnicodeDecodeError as error:
        message = f"The names on stdin are not UTF-8 (byte 0x{error.object[error.start]:02x})."
        raise InputError(message) from error


def _show_diff(found: LexiconDiff) -> None:
    from lexicell.lexicon import word_diff

    if found.identical:
        _console.result(f"identical: {found.common:,} genes, and everything else")
        return
    if found.about:
        _console.table(
            ("", "first", "second"), [(c.what, _cell(c.first), _cell(c.second)) for c in found.about]
        )
        _console.result("")
    _console.facts(
        {
            "genes in both": found.common,
            "only in the first": len(found.only_first),
            "only in the second": len(found.only_second),
            "texts changed": len(found.texts),
            "symbols changed": len(found.symbols),
            "flags changed": len(found.flags),
            **{f"{column} changed": n for column, n in found.other_columns.items()},
            "files that differ": ", ".join(found.files) or "none",
            "vectors changed, text equal": "lengths differ" if found.vectors is None else len(found.vectors),
        }
    )
    for what, genes in (("only in the first", found.only_first), ("only in the second", found.only_second)):
        _some(what, genes)
    _some("symbols changed", [f"{_cell(c.first)} -> {_cell(c.second)}" for c in found.symbols])
    _some("flags changed", [f"{c.what}: {_cell(c.first)} -> {_cell(c.second)}" for c in found.flags])
    if found.texts:
        _console.result("\ntexts changed:")
        for change in found.texts[:_SHOWN]:
            words = word_diff(change.first or "", change.second or "")
            short = words if len(words) <= _WIDTH else words[: _WIDTH - 3] + "..."
            _console.result(f"  {change.what}: {short}")
        _more(len(found.texts))
    if found.vectors:
        _console.result("\nvectors changed although the text is equal, largest difference first:")
        rows = [(v.gene, f"{v.max_difference:.3g}", f"{v.cosine:.6f}") for v in found.vectors[:_SHOWN]]
        _console.table(("gene", "largest difference", "cosine"), rows)
        _more(len(found.vectors))


def _some(what: str, values: Sequence[str]) -> None:
    if values:
        more = f", ... ({len(values) - 2 * _SHOWN:,} more)" if len(values) > 2 * _SHOWN else ""
        _console.result(f"\n{what}: {', '.join(values[: 2 * _SHOWN])}{more}")


def _more(n: int) -> None:
    if n > _SHOWN:
        _console.result(f"  ... and {n - _SHOWN:,} more")


def _cell(value: Any) -> str:
    if value in {"", None}:
        return "-"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
