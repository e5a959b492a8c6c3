"""``lexicell genes fetch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lexicell.cli import _console
from lexicell.cli._options import Json, Overwrite

if TYPE_CHECKING:
    from lexicell.lexicon import FetchedGenes

__all__ = ["fetch"]

_ORIGINS = {"downloaded": "downloaded", "unchanged": "cache, unchanged", "offline": "cache, NOT COMPARED"}


def fetch(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Parquet file to create.")],
    source: Annotated[Literal["ncbi"], typer.Option(help="Where genes and summaries come from.")] = "ncbi",
    organism: Annotated[Literal["human", "mouse"], typer.Option(help="Whose genes.")] = "human",
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--types",
            help="Gene type to keep, such as protein-coding. Default: all but biological-region.",
        ),
    ] = None,
    all_sources: Annotated[
        bool,
        typer.Option(
            "--all-sources",
            help="Also take summaries under terms of their own (OMIM). Default: RefSeq's and the Alliance's.",
        ),
    ] = False,
    base_url: Annotated[
        str | None,
        typer.Option(help="A mirror of NCBI's gene/DATA. Default: $LEXICELL_NCBI_URL, else NCBI itself."),
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Download again what the cache already holds.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a table of genes and their summaries from NCBI's dumps.

    About 150 MB are downloaded into the cache ($LEXICELL_CACHE); what has not changed at NCBI is not
    downloaded again, so after an interruption only the file that was on its way is.
    """
    from lexicell.lexicon import fetch_genes

    with _console.bar("downloading", "MB") as bar:
        fetched = fetch_genes(
            output, source=source, organism=organism, types=types or (), all_sources=all_sources,
            base_url=base_url, refresh=refresh, overwrite=overwrite, notify=_console.note,
            progress=lambda done, total: bar(round(done / 1e6), max(1, round(total / 1e6))),
        )  # fmt: skip
    if as_json:
        _console.result_json(fetched.as_dict())
    else:
        _show(fetched)


def _show(fetched: FetchedGenes) -> None:
    summaries = {"with a summary of their own": fetched.own}
    if fetched.organism == "mouse":
        summaries["with their human orthologue's"] = fetched.from_orthologue
    summaries["without a summary"] = fetched.without
    if fetched.several_orthologues:
        summaries["- several human orthologues"] = fetched.several_orthologues
    if fetched.withheld:
        summaries["- only from elsewhere (--all-sources)"] = fetched.withheld
    _console.facts({"table": fetched.path, f"{fetched.organism} genes": fetched.genes, **summaries})
    _console.result("")
    _console.table(
        ("gene type", "genes", "with a summary"),
        [(kind, f"{n:,}", f"{m:,}") for kind, (n, m) in fetched.types.items()],
    )
    if fetched.left_out:
        left_out = ", ".join(f"{n:,} {why}" for why, n in sorted(fetched.left_out.items()))
        _console.result(f"\nleft out: {left_out}")
    _console.result("")
    _console.table(
        ("dump", "changed", "MB", "from"),
        [
            (file.url.rpartition("/")[2], file.date, f"{file.bytes / 1e6:,.1f}", _ORIGINS[file.origin])
            for file in fetched.files
        ],
    )
    _console.result(f"\nnext: lexicell genes build {fetched.path} LEXICON")
