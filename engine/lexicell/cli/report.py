"""``lexicell report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt

__all__ = ["report"]


def report(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="What lexicell embed wrote: a .zarr or an .h5ad.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT.html", help="The page.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA",
            help="The cells that STORE was made of, for what genes contribute and for columns of obs that "
            "STORE lacks; may be repeated, as several inputs are for lexicell embed.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Column of obs with the groups that are coloured and explained."),
    ] = None,
    batch_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Column of obs with batches that quality is told by.")
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(metavar="SENTENCE", help="Score cells by this sentence; may be repeated."),
    ] = None,
    annotation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .csv or .parquet of lexicell annotate. Default: NAME.annotation.csv beside STORE; "
            "none for none.",
        ),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A folder of lexicell evaluate. Default: NAME.evaluation beside STORE; none for none.",
        ),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .json of lexicell embed --profile. Default: NAME.profile.json beside STORE; "
            "none for none.",
        ),
    ] = None,
    basis: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Draw cells where obsm has them, as in X_umap. Default: a UMAP of the vectors.",
        ),
    ] = None,
    color_genes: Annotated[
        list[str] | None,
        typer.Option(
            "--color-gene",
            metavar="GENE",
            help="A gene that cells can be coloured by, beside those that vary most; may be repeated.",
        ),
    ] = None,
    obs_columns: Annotated[
        list[str] | None,
        typer.Option(
            "--obs-column",
            metavar="KEY",
            help="Column of obs that cells can be coloured by; may be repeated. Default: all.",
        ),
    ] = None,
    max_cells: Annotated[
        int, typer.Option(min=1, max=50_000, help="Cells that are drawn; of more, a sample of every group.")
    ] = 50_000,
    title: Annotated[str | None, typer.Option(help="Of the page. Default: the name of STORE.")] = None,
    sets: Annotated[
        str,
        typer.Option(
            help='Gene sets: "go" (terms that the texts name), "go-bp" (56 processes), a .gmt file or "none".'
        ),
    ] = "go",
    lexicon: opt.LexiconName = "human-go-minilm",
    projection: Annotated[
        Path | None,
        typer.Option("--projection", "-p", help="Folder of the projection that STORE was made with."),
    ] = None,
    genes: opt.Genes = None,
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    seed: opt.Seed = 0,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Write one page about the run that made STORE: its cells, what they are made of, and whether it is good.

    The page is one file that needs no network. Cells can be zoomed, coloured by any column, by what a gene
    contributes or by the score of a sentence, and selected with a lasso, which tells what they share.
    """
    from lexicell.reporting import report as write_page

    with _console.bar("reporting", "cells") as bar:
        done = write_page(
            store, output, data=data or None, group=group, batch_key=batch_key, text=text or None,
            annotation=annotation, evaluation=evaluation, profile=profile, basis=basis,
            color_genes=color_genes or (), obs_columns=obs_columns or (), max_cells=max_cells, title=title,
            sets=sets, lexicon=lexicon, projection=projection, genes=genes, layer=layer, use_raw=use_raw,
            modality=modality, follow_links=follow_links, seed=seed, overwrite=overwrite,
            listener=_console.listen(bar),
        )  # fmt: skip
    if as_json:
        _console.result_json(done.as_dict())
        return
    drawn = "all" if done.shown == done.cells else f"{done.shown:,}"
    _console.result(
        f"{done.output}: {drawn} of {done.cells:,} cells, {done.bytes / 1e6:.1f} MB, in {done.seconds:.1f} s "
        "(open it in a browser)"
    )
