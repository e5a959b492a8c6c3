"""``lexicell evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt
from lexicell.errors import InputError, InputNotFoundError

if TYPE_CHECKING:
    from lexicell.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="Labelled cells, as for `lexicell embed`: one data set; or several, each as NAME=DATA "
            "(parts of one data set have its name).",
        ),
    ],
    label: Annotated[
        str | None, typer.Option(help="Column of obs with the classes. Of --generated not needed.")
    ] = None,
    scenarios: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            help="few-shot, disjoint, partial, batches, transfer or described; may be repeated. Default: "
            "few-shot and disjoint, and with --batch-key batches, with --query transfer, with --describe or "
            "--types described.",
        ),
    ] = None,
    protocol: Annotated[
        Literal["cz"] | None,
        typer.Option(
            help="cz: tasks of cz-benchmarks, run by that package on our vectors, in place of all scenarios."
        ),
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(
            help="Data set that is classified by DATA (transfer), labelled too; or, with --protocol cz, one "
            "of another organism."
        ),
    ] = None,
    query_label: Annotated[
        str | None, typer.Option(help="Column of obs with the query's classes. Default: as --label.")
    ] = None,
    label_map: Annotated[Path | None, typer.Option(help="JSON: label of the query -> label of DATA.")] = None,
    describe: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Sentences about the classes (described): lines of a class, a tab and a sentence.",
        ),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(help="Types whose sentences come with the package, where classes have their names."),
    ] = None,
    markers: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Genes that sentences are compared with: a class, a tab and GENE,GENE.",
        ),
    ] = None,
    generated: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Cells that a model generated: how near they are to DATA, in place of all scenarios.",
        ),
    ] = None,
    generated_values: Annotated[
        Literal["counts", "normalised", "lognorm", "log2", "log10", "sqrt"] | None,
        typer.Option(help="What the numbers of the generated cells are; see --values."),
    ] = None,
    batch_key: Annotated[
        str | None, typer.Option(help="Column of obs with batches, each of which is left out once.")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods to compare, as paper,pca50-hvg. Default: all.")
    ] = None,
    embeddings: Annotated[
        list[str] | None,
        typer.Option(
            "--embedding",
            metavar="NAME=PATH[#KEY]",
            help="Vectors of the same cells from elsewhere, joined by id: a store, .h5ad, AnnData-Zarr, "
            "Parquet or CSV; may be repeated. KEY is that of obsm.",
        ),
    ] = None,
    n: Annotated[
        str | None,
        typer.Option(
            "--n",
            help="Labelled cells of each class. Default: 3,5,10,20,50 few-shot, 1,3,10 beside sentences.",
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="Draws for each n, and of a transfer; up to five of sentences.")
    ] = 10,
    panels: Annotated[int, typer.Option(min=1, help="Draws of disjoint panels.")] = 5,
    seed: opt.Seed = 0,
    lexicon: opt.LexiconName = "human-go-minilm",
    atlas: opt.Atlas = "bundled",
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
    scib: Annotated[bool, typer.Option("--scib", help="Also compute scores of scib-metrics.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that classify. Default: one for each CPU.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "--out", help="Folder for scores.csv, evaluation.json, tables.md and pictures."
        ),
    ] = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Show how well embeddings tell labelled cells apart, beside controls on the same draws.

    Each method that reads text is also run with the genes' vectors shuffled and with random ones; components
    of expression stand beside them. Numbers are macro-F1, mean and 95 % interval over draws.

    --describe and --types: how right sentences name the same classes, beside shuffled texts, random
    likenesses, sentences under other names, --markers and a few labelled cells, in one table.

    --protocol cz: label prediction, clustering, silhouette, integration of batches and of species as
    cz-benchmarks has them (pip install "lexicell[cz]").

    --generated: Wasserstein and MMD distances of generated cells from real ones, beside those of real halves
    and of cells with shuffled genes.
    """
    if generated is not None:
        _refuse(protocol=protocol, query=query, query_label=query_label, label_map=label_map,
                describe=describe, types=types, markers=markers, batch_key=batch_key, scenario=scenarios,
                methods=methods, embedding=embeddings, n=n, scib=scib or None, workers=workers)  # fmt: skip
        _generated(
            data, generated, label=label, generated_values=generated_values, draws=draws, lexicon=lexicon,
            layer=layer, use_raw=use_raw, modality=modality, follow_links=follow_links, values=values,
            gene_column=gene_column, organism=organism, min_coverage=min_coverage,
            mask_genes=mask_genes or (), genes=genes, seed=seed, output=output, overwrite=overwrite,
            as_json=as_json,
        )  # fmt: skip
        return
    if generated_values is not None:
        msg = "--generated-values is for --generated"
        raise InputError(msg)
    from lexicell.evaluation import evaluate as run

    named = None if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
    asked: tuple[Any, ...] = tuple(scenarios or ())
    with _console.bar("evaluating", "embeddings") as bar:
        found = run(
            _data_sets(data), label=label, query=query, query_label=query_label,
            label_map=_read_map(label_map), describe=describe, types=types, markers=markers,
            batch_key=batch_key, methods=named, embeddings=_embeddings(embeddings),
            protocol=protocol, scenarios=asked or None,
            n=_sizes(n), draws=draws, panels=panels, scib=scib, lexicon=lexicon, atlas=atlas, layer=layer,
            use_raw=use_raw, modality=modality, follow_links=follow_links, values=values,
            gene_column=gene_column, organism=organism, min_coverage=min_coverage,
            mask_genes=mask_genes or (), genes=genes, seed=seed, workers=workers, output=output,
            overwrite=overwrite, listener=_console.listen(bar),
        )  # fmt: skip
    if as_json:
        _console.result_json(found.as_dict())
    else:
        _show(found)


def _refuse(**options: Any) -> None:
    """Raise InputError where an option is given that generated cells have no use for."""
    if given := [name for name, value in options.items() if value is not None]:
        msg = f"--{given[0].replace('_', '-')} is for labelled cells, and not for --generated; leave it out"
        raise InputError(msg)


def _generated(data: list[str], generated: str, *, as_json: bool, **options: Any) -> None:
    from lexicell.evaluation import evaluate_generated as run

    with _console.bar("evaluating", "draws") as bar:
        found = run(data, generated, listener=_console.listen(bar), **options)
    if as_json:
        _console.result_json(found.as_dict())
        return
    for number, setting in enumerate(dict.fromkeys(line.setting for line in found.lines())):
        _console.result(("\n" if number else "") + f"generative, {setting}")
        _console.table(*found.table(setting))


def _data_sets(data: list[str]) -> list[str] | dict[str, list[str]]:
    """One data set, or several by their names."""
    named = [("", part) if Path(part).exists() or "=" not in part else part.split("=", 1) for part in data]
    if not any(name for name, _ in named):
        return data
    if not all(name and part for name, part in named):
        msg = "several data sets are each given a name, as NAME=DATA; one data set has none"
        raise InputError(msg)
    sets: dict[str, list[str]] = {}
    for name, part in named:
        sets.setdefault(name, []).append(part)
    return sets


def _embeddings(named: list[str] | None) -> dict[str, str] | None:
    pairs = [one.partition("=") for one in named or ()]
    if not all(name and path for name, _, path in pairs):
        msg = "an embedding is given a name, as --embedding NAME=PATH"
        raise InputError(msg)
    if len({name for name, _, _ in pairs}) < len(pairs):
        msg = "two embeddings have the same name; give each its own"
        raise InputError(msg)
    return {name: path for name, _, path in pairs} or None


def _sizes(n: str | None) -> tuple[int, ...] | None:
    if n is None:
        return None
    try:
        return tuple(int(size) for size in n.split(","))
    except ValueError:
        msg = f"--n takes whole numbers, as 3,5,10; not {n!r}"
        raise InputError(msg) from None


def _read_map(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"{path} does not exist; give a JSON that maps labels of the query to those of the reference"
        raise InputNotFoundError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{path} is not a JSON file that can be read ({error})"
        raise InputError(msg) from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        msg = f'{path} is not a map of labels; write it as {{"label of the query": "label of the reference"}}'
        raise InputError(msg)
    return found


def _show(found: Evaluation) -> None:
    lines = found.lines()
    keys = dict.fromkeys((line.data, line.scenario, line.where) for line in lines)
    for number, key in enumerate(keys):
        here = [line for line in lines if (line.data, line.scenario, line.where) == key]
        _console.result(("\n" if number else "") + ", ".join(key))
        shown = ["macro_f1", "accuracy", "rare_f1", *["auroc"] * all("auroc" in line.scores for line in here)]
        rows = []
        for line in sorted(here, key=lambda line: line.is_control):
            f1, *others = (line.scores[name] for name in shown)
            spread = "" if f1.low != f1.low else f"{f1.low:.3f} - {f1.high:.3f}"
            mark = " (transductive)" if line.transductive else ""
            rows.append((line.label + mark, f"{f1.mean:.3f}", spread, *(f"{s.mean:.3f}" for s in others)))
        titles = ("method", "macro-F1", "95 % interval", "accuracy", "rare F1", "AUROC")
        _console.table(titles[: len(shown) + 2], rows)
        for line in here:
            for rival, compared in line.against.items():
                if rival.startswith("best"):
                    gap = compared.difference
                    _console.result(
                        f"{line.label} against {rival}: {gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
                    )
    for data in dict.fromkeys(line.data for line in lines if line.scenario == "cz"):
        _console.result(f"\n{data}, cz, all cells")
        _console.table(*found.cz_table(data))
