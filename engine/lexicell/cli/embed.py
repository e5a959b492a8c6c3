"""``lexicell embed``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lexicell.cli import _console
from lexicell.cli._options import (
    DataList,
    DeviceOption,
    FollowLinks,
    GeneColumn,
    Json,
    Layer,
    LexiconName,
    Modality,
    Organism,
    Overwrite,
    Resume,
    UseRaw,
    ValuesOption,
    Workers,
)
from lexicell.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lexicell.embedding import Options
    from lexicell.embedding.inputs import Inputs, Output
    from lexicell.embedding.profile import Profile

__all__ = ["embed"]


def embed(
    data: DataList,
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="A .zarr (AnnData-Zarr v3, also by URL), or an .h5ad (a copy of an .h5ad, plus vectors).",
        ),
    ],
    lexicon: LexiconName = "human-go-minilm",
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
    layer: Layer = None,
    use_raw: UseRaw = False,
    modality: Modality = None,
    follow_links: FollowLinks = False,
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
    each: Annotated[
        bool, typer.Option("--each", help="One .zarr for each input, in the folder OUT, and not one for all.")
    ] = False,
    workers: Workers = None,
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Embed the cells of IN into OUT.

    OUT gets obsm["X_lexicell"] (cells x dimensions), three quality columns in obs and uns["lexicell"]. A
    .zarr grows as OUT.partial and gets its name when it is complete; after an interrupt, --resume goes on.
    """
    if rapids:
        _install_rapids()

    from lexicell.atlas import expand_inputs
    from lexicell.embedding import Options
    from lexicell.embedding.inputs import Inputs, Output, run_mode
    from lexicell.embedding.profile import profiled

    options = Options(
        lexicon=lexicon, projection=projection, recipe=recipe, top_k=top_k, weight=weight, values=values,
        gene_column=gene_column, organism=organism, min_coverage=min_coverage, mask=mask_genes or (),
        device=device,
    )  # fmt: skip
    paths = expand_inputs(data)
    mode = run_mode(overwrite=overwrite, resume=resume)
    columns = tuple(obs_column or ())
    parts = _each(paths, output) if each else [(tuple(paths), output)]
    jobs = [
        (Inputs(of, layer, use_raw, modality, follow_links), Output(to, dtype, columns, mode))
        for of, to in parts
    ]
    if not dry_run:
        for inputs, made in jobs:
            made.check(inputs)
    with profiled(None if dry_run else profile, replace=overwrite or resume) as recorded:
        told = [_embed(inputs, made, options, workers, scheduler, dry_run=dry_run) for inputs, made in jobs]
    if as_json:
        told_all: dict[str, Any] = {"outputs": [facts for facts, _ in told]} if each else told[0][0]
        seen = {} if recorded is None else {"profile": {"trace": str(profile), **recorded.facts()}}
        _console.result_json(told_all | seen)
        return
    for facts, sentence in told:
        if dry_run:
            _console.facts(facts)
        else:
            _console.result(sentence)
    if recorded is not None:
        _tell(recorded, sum(facts["cells"] - facts["resumed_cells"] for facts, _ in told), profile)


def _embed(
    inputs: Inputs,
    output: Output,
    options: Options,
    workers: int | None,
    scheduler: str | None,
    *,
    dry_run: bool,
) -> tuple[dict[str, Any], str]:
    """Embed into one store, or plan it: what happened as plain values, and in a sentence."""
    from lexicell._trace import stage
    from lexicell.embedding import make_plan
    from lexicell.embedding.probe import foresee
    from lexicell.embedding.run import run_to_store

    with ExitStack() as opened:
        with stage("plan"):
            source = opened.enter_context(inputs.open())
            listener = _console.listen(opened.enter_context(_console.bar("embedding", "cells")))
            plan = make_plan(source, options, listener)
        facts = plan.describe(2 if output.dtype == "f16" else 4)
        if dry_run:
            facts["output"] = str(output.path)
            if not output.is_h5ad:
                facts |= foresee(plan, output, inputs, workers)
            return facts, ""
        done = run_to_store(plan, output, inputs, workers=workers, scheduler=scheduler, listener=listener)
    sentence = (
        f"{done.cells:,} cells x {done.dim} -> {done.output} in {done.seconds:.1f} s "
        f"({done.cells_per_second:,.0f} cells/s), {done.coverage:.1%} of the counts described"
    )
    return {**facts, **asdict(done)}, sentence


def _tell(profile: Profile, cells: int, path: Path | None) -> None:
    """Print where the time went; not a result, so beside it."""
    _console.table(*profile.table(), say=_console.note)
    _console.note(profile.beside())
    left_out = f"; {profile.lost:,} spans are only in the sums" if profile.lost else ""
    _console.note(
        f"{cells:,} cells in {profile.seconds:.2f} s from first to last ({cells / profile.seconds:,.0f} "
        f"cells/s) -> {path}{left_out}"
    )


def _each(paths: Sequence[str], folder: str) -> list[tuple[tuple[str, ...], str]]:
    """One output for each input, by the input's name."""
    names = [Path(path.rstrip("/")).name.removesuffix(".gz") for path in paths]
    stems = [name.rpartition(".")[0] or name for name in names]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        msg = f"--each: two inputs are called {twice}, so their outputs would be one; rename one of them"
        raise InputError(msg)
    return [((path,), f"{folder.rstrip('/')}/{stem}.zarr") for path, stem in zip(paths, stems, strict=True)]


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
