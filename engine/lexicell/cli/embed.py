"""``lexicell embed``."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt
from lexicell.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lexicell.embedding.profile import Profile

__all__ = ["embed"]


def embed(
    data: opt.DataList,
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="A .zarr (AnnData-Zarr v3, also by URL), or an .h5ad (a copy of an .h5ad, plus vectors).",
        ),
    ],
    lexicon: opt.LexiconName = "human-go-minilm",
    projection: Annotated[
        Path | None,
        typer.Option(
            "--projection", metavar="FOLDER", help="Learned map, with the recipe it was learned with."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Preset: lexicell, paper or genept-w. Default: what the projection was learned with, or "
            "lexicell."
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", "-k", min=1, help="Genes per cell, in place of the recipe's.")
    ] = None,
    weight: Annotated[
        Literal["log1p", "count", "uniform", "rank"] | None,
        typer.Option(help="Weight of a gene, in place of the recipe's."),
    ] = None,
    dtype: Annotated[Literal["f32", "f16"], typer.Option(help="Type of the stored vectors.")] = "f32",
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
    obs_columns: opt.ObsColumns = None,
    device: opt.DeviceOption = "auto",
    rapids: Annotated[
        bool,
        typer.Option("--rapids", help="Handle tables of cells and genes on the GPU (cudf.pandas)."),
    ] = False,
    each: Annotated[
        bool, typer.Option("--each", help="One .zarr for each input, in the folder OUT, and not one for all.")
    ] = False,
    workers: opt.Workers = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Let the workers of this Dask scheduler make the shards (tcp://...), or local processes "
            '("local").',
        ),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            metavar="TRACE",
            help="Tell where the time went, and write it to this .json, for chrome://tracing or "
            "ui.perfetto.dev. An existing one is replaced with --overwrite or --resume.",
        ),
    ] = None,
    dry_run: opt.DryRun = False,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Embed the cells of IN into OUT.

    OUT gets obsm["X_lexicell"] (cells x dimensions), three quality columns in obs and uns["lexicell"]. A
    .zarr grows as OUT.partial and gets its name when it is complete; after an interrupt, --resume goes on.
    """
    if rapids:
        _install_rapids()

    from lexicell.embedding import embed as run
    from lexicell.embedding.profile import profiled

    runs = _each(data, output) if each else [(data, output)]
    done = []
    with profiled(None if dry_run else profile, replace=overwrite or resume) as recorded:
        for of, to in runs:
            with _console.bar("embedding", "cells") as bar:
                done.append(run(
                    of, to, lexicon=lexicon, projection=projection, recipe=recipe, top_k=top_k, weight=weight,
                    layer=layer, use_raw=use_raw, modality=modality, follow_links=follow_links,
                    values=values, gene_column=gene_column, organism=organism, min_coverage=min_coverage,
                    mask_genes=mask_genes or (), genes=genes, dtype=dtype, obs_columns=obs_columns or (),
                    overwrite=overwrite, resume=resume, dry_run=dry_run, device=device, workers=workers,
                    scheduler=scheduler, listener=_console.listen(bar),
                ))  # fmt: skip
    if as_json:
        told = [dict(one.plan) if dry_run else one.as_dict() for one in done]
        seen = {} if recorded is None else {"profile": {"trace": str(profile), **recorded.facts()}}
        _console.result_json(({"outputs": told} if each else told[0]) | seen)
        return
    used = "in genes that are used" if mask_genes or genes or projection else "described"
    for one in done:
        if dry_run:
            _console.facts(one.plan)
        else:
            _console.result(
                f"{one.cells:,} cells x {one.dim} -> {one.output} in {one.seconds:.1f} s "
                f"({one.cells_per_second:,.0f} cells/s), {one.coverage:.1%} of the counts {used}"
            )
    if recorded is not None:
        _tell(recorded, sum(one.cells - one.resumed_cells for one in done), profile)


def _tell(profile: Profile, cells: int, path: Path | None) -> None:
    """Print where the time went; not a result, so beside it."""
    _console.table(*profile.table(), say=_console.note)
    _console.note(profile.beside())
    left_out = f"; {profile.lost:,} spans are only in the sums" if profile.lost else ""
    _console.note(
        f"{cells:,} cells in {profile.seconds:.2f} s from first to last ({cells / profile.seconds:,.0f} "
        f"cells/s) -> {path}{left_out}"
    )


def _each(data: Sequence[str], folder: str) -> list[tuple[list[str], str]]:
    """One output for each input, by the input's name."""
    from lexicell.counts import expand_inputs

    paths = expand_inputs(data)
    names = [Path(path.rstrip("/")).name.removesuffix(".gz") for path in paths]
    stems = [name.rpartition(".")[0] or name for name in names]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        msg = f"--each: two inputs are called {twice}, so their outputs would be one; rename one of them"
        raise InputError(msg)
    return [([path], f"{folder.rstrip('/')}/{stem}.zarr") for path, stem in zip(paths, stems, strict=True)]


def _install_rapids() -> None:
    """Put cudf.pandas in the place of pandas, which only works before pandas is imported."""
    if find_spec("cudf") is None:
        raise MissingExtraError.of(extra="rapids13", why="--rapids")
    if "pandas" in sys.modules:
        _console.note("--rapids comes too late, pandas is imported already: tables stay on the CPU")
        return
    try:
        import_module("cudf.pandas").install()
    except Exception as error:  # cuDF looks for a GPU as soon as it is imported
        msg = f"--rapids: cudf.pandas cannot be used here ({error}); look at `lexicell doctor`"
        raise InputError(msg) from error
