"""``lexicell embed``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from lexicell.cli import _console
from lexicell.cli._options import (
    Data,
    DeviceOption,
    GeneColumn,
    Json,
    Layer,
    LexiconName,
    Organism,
    Overwrite,
    UseRaw,
    ValuesOption,
)
from lexicell.errors import InputError, MissingExtraError

__all__ = ["embed"]


def embed(
    data: Data,
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="A .zarr (AnnData-Zarr v3), or an .h5ad (a copy of an .h5ad input, plus vectors).",
        ),
    ],
    lexicon: LexiconName = "human-go-minilm",
    recipe: Annotated[str, typer.Option(help="Preset: paper or genept-w.")] = "paper",
    top_k: Annotated[
        int | None, typer.Option("--top-k", "-k", min=1, help="Genes per cell, in place of the recipe's.")
    ] = None,
    weight: Annotated[
        Literal["log1p", "count", "uniform", "rank"] | None,
        typer.Option(help="Weight of a gene, in place of the recipe's."),
    ] = None,
    dtype: Annotated[Literal["f32", "f16"], typer.Option(help="Type of the stored vectors.")] = "f32",
    layer: Layer = None,
    use_raw: UseRaw = False,
    values: ValuesOption = None,
    gene_column: GeneColumn = None,
    organism: Organism = None,
    min_coverage: Annotated[
        float,
        typer.Option(min=0, max=1, help="Least share of the counts that must lie in described genes."),
    ] = 0.5,
    mask_genes: Annotated[
        list[str] | None,
        typer.Option(
            "--mask-genes",
            metavar="FLAG",
            help="Never use genes whose text is flagged: name-only, shared or placeholder; may be repeated.",
        ),
    ] = None,
    obs_column: Annotated[
        list[str] | None,
        typer.Option("--obs-column", help="Column of obs to keep in a .zarr; may be repeated."),
    ] = None,
    device: DeviceOption = "auto",
    rapids: Annotated[
        bool,
        typer.Option("--rapids", help="Handle tables of cells and genes on the GPU (cudf.pandas)."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Embed the cells of IN into OUT.

    OUT gets obsm["X_lexicell"] (cells x dimensions), three quality columns in obs and uns["lexicell"]. It
    appears when it is complete, or not at all.
    """
    if rapids:
        _install_rapids()

    from lexicell.atlas import open_counts
    from lexicell.atlas.store import check_output
    from lexicell.embedding import Options, make_plan
    from lexicell.embedding.api import run_to_store

    options = Options(
        lexicon=lexicon, recipe=recipe, top_k=top_k, weight=weight, values=values, gene_column=gene_column,
        organism=organism, min_coverage=min_coverage, mask=mask_genes or (),
        device=device,
    )  # fmt: skip
    if not dry_run:
        check_output(output, overwrite=overwrite, data=data)
    with open_counts(data, layer=layer, use_raw=use_raw) as source, _console.bar("embedding", "cells") as bar:
        listener = _console.listen(bar)
        plan = make_plan(source, options, listener)
        described = plan.describe(2 if dtype == "f16" else 4)
        if dry_run:
            described["output"] = str(output)
            (_console.result_json if as_json else _console.facts)(described)
            return
        done = run_to_store(
            plan, output, copy_of=data, dtype=dtype, obs_columns=obs_column or (), overwrite=overwrite,
            listener=listener,
        )  # fmt: skip
    if as_json:
        _console.result_json({**described, **asdict(done)})
        return
    _console.result(
        f"{done.cells:,} cells x {done.dim} -> {done.output} in {done.seconds:.1f} s "
        f"({done.cells / done.seconds:,.0f} cells/s), {done.coverage:.1%} of the counts described"
    )


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
