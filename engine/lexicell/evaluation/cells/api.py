"""``lexicell.evaluate``: from labelled data sets to scores beside their controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

from lexicell.counts import Values, expand_inputs
from lexicell.embedding import AlignOptions, Listener, Note
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.events import log
from lexicell.errors import InputError, MissingExtraError, needing
from lexicell.evaluation.cells.cz import CZ_METHODS, evaluate_by_cz, tasks_of_cz
from lexicell.evaluation.cells.described import DescribedTypes
from lexicell.evaluation.cells.evaluator import evaluate_panels
from lexicell.evaluation.cells.figures import write_figures
from lexicell.evaluation.cells.given import given_methods
from lexicell.evaluation.cells.learned_methods import resolve_methods
from lexicell.evaluation.cells.markers import read_markers
from lexicell.evaluation.cells.methods import Method
from lexicell.evaluation.cells.panels import Panel, panel_of
from lexicell.evaluation.cells.protocol import CellProtocol
from lexicell.evaluation.cells.report import Evaluation
from lexicell.evaluation.cells.report_files import check_output
from lexicell.evaluation.cells.splits import Scenario
from lexicell.learn.gene_atlas import resolve_atlas
from lexicell.lexicon import GeneAtlas, GeneList, Lexicon
from lexicell.words import Description
from lexicell.words.descriptions import gather_descriptions

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["evaluate"]

#: One data set; see `lexicell.embed`.
Data: TypeAlias = Union[str, Path, Sequence[str | Path], "AnnData"]


def evaluate(
    data: Data | Mapping[str, Data],
    *,
    label: str | None = None,
    query: Data | None = None,
    query_label: str | None = None,
    label_map: Mapping[str, str] | None = None,
    describe: Mapping[str, str] | Sequence[Description] | str | Path | None = None,
    types: str | Sequence[str] | None = None,
    markers: Mapping[str, Sequence[str]] | str | Path | None = None,
    batch_key: str | None = None,
    methods: Sequence[str | Method] | None = None,
    embeddings: Mapping[str, str | Path] | None = None,
    protocol: Literal["cz"] | None = None,
    scenarios: Sequence[Scenario] | None = None,
    n: Sequence[int] | None = None,
    draws: int = 10,
    panels: int = 5,
    scib: bool = False,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    atlas: str | Path | GeneAtlas = "bundled",
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    values: Values | str | None = None,
    gene_column: str | None = None,
    organism: str | None = None,
    min_coverage: float = 0.5,
    mask_genes: Sequence[str] = (),
    genes: GeneList | None = None,
    seed: int = 0,
    workers: int | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener = log,
) -> Evaluation:
    """Evaluate how well embeddings tell labelled cells apart, beside their controls.

    Parameters
    ----------
    data
        A labelled data set, see `lexicell.embed`; or several by their names, each evaluated on its own.
    label
        Column of ``obs`` with the classes; nothing can be done without.
    query, query_label, label_map
        Data set to classify by the first (scenario "transfer"), the column of its classes where it has
        another name, and which of its labels mean which of the reference.
    describe, types
        Sentences about the classes, by the names that `label` has for them, as for `lexicell.annotate`
        (scenario "described"). Classes without a sentence do not count; a sentence of no class competes in
        one row only.
    markers
        Genes of the classes that sentences are compared with, by name; or a file with a name, a tab and genes
        with commas between them on each line.
    batch_key
        Column of ``obs`` with batches (scenario "batches").
    methods
        Names or methods; by default all that there are.
    embeddings
        Vectors from elsewhere, by names: a store, an ``.h5ad``, AnnData-Zarr, Parquet or CSV, ``PATH#KEY``
        where the key of ``obsm`` is not the only one; joined by id as `lexicell.import_embedding` does.
        Cells that lack a vector in one of them are left out for all methods. Their genes are unknown, so they
        have rows where all genes of one data set are seen: "few-shot" and "batches".
    protocol
        "cz": hand the vectors to the tasks of cz-benchmarks, in place of all scenarios: label prediction,
        clustering, silhouette, with `batch_key` integration of batches, and with a `query` of another
        organism that of species. By default of "lexicell" and "pca50-hvg"; methods that learn from labels
        have no such vectors. That package draws by its own seed.
    scenarios
        Some of "few-shot", "disjoint", "partial", "batches", "transfer" and "described". By default the
        first two, "batches" where there is a `batch_key`, "transfer" where there is a `query` and
        "described" where there are `describe` or `types`.
    n, draws
        Labelled cells of each class, few-shot and beside sentences, by default 3, 5, 10, 20, 50 and 1, 3, 10;
        draws for each of them, and of a transfer. Sentences are run for at most five draws, each with a seed
        of its own: `seed`, ``seed + 1`` and so on.
    panels
        Draws of disjoint panels.
    scib
        Also compute scores of scib-metrics.
    lexicon
        Bundled name, folder or opened lexicon.
    atlas
        What other cells have told of genes: a file of ``lexicell genes learn``, "bundled" or "none". Data
        sets of it that share cells with those evaluated are left out.
    layer, use_raw, modality, follow_links, values, gene_column, organism, min_coverage, mask_genes, genes
        How data sets are read and understood; see `lexicell.embed`.
    seed
        Of everything that is drawn.
    workers
        Threads that classify; by default one for each CPU. They don't change the numbers.
    output
        Folder for ``scores.csv``, ``evaluation.json``, ``tables.md`` and, with matplotlib, pictures.
    overwrite
        Replace these.
    listener
        Called with notes on what was left out, and progress.

    Returns
    -------
    Evaluation
        The same numbers for the same data, lexicon, methods and seed.

    Raises
    ------
    InputError, CountsError, CoverageError, OutputExistsError
        A data set cannot be used, or has no class that is large enough; or an output exists.
    MissingExtraError
        scikit-learn, or what ``scib`` or ``protocol`` needs, is not installed.
    """
    if label is None:
        msg = "name the column of obs with the classes (--label)"
        raise InputError(msg)
    methods = [methods] if isinstance(methods, str) else methods
    scenarios = (scenarios,) if isinstance(scenarios, str) else scenarios  # type: ignore[assignment]
    descriptions = gather_descriptions(describe, types)
    usual: list[Scenario] = ["few-shot", "disjoint"]
    if batch_key is not None:
        usual.append("batches")
    if query is not None:
        usual.append("transfer")
    if descriptions:
        usual.append("described")
    chosen = tuple(dict.fromkeys(scenarios or usual))
    rules = CellProtocol(chosen, draws=draws, panels=panels, seed=seed, scib=scib)
    if n is not None:
        rules = replace(rules, n=tuple(sorted(set(n))), few=tuple(sorted(set(n))))
    second = query is not None or label_map is not None or bool(query_label)
    if protocol is not None:
        _check_cz(
            protocol,
            scenarios=scenarios,
            describe=describe,
            types=types,
            markers=markers,
            n=n,
            scib=scib or None,
        )
        methods = CZ_METHODS if methods is None else methods
        if second and query is None:
            msg = "a query's label and a map of labels are for a query: give one (--query)"
            raise InputError(msg)
    elif "transfer" in chosen and query is None:
        msg = "a transfer needs a second data set to classify (--query)"
        raise InputError(msg)
    elif "transfer" not in chosen and second:
        msg = "a query, its label and a map of labels are for the scenario transfer: ask for it, or not"
        raise InputError(msg)
    if "described" in chosen and not descriptions:
        msg = "the scenario described needs sentences (--describe) or names of types that have one (--types)"
        raise InputError(msg)
    if "described" not in chosen and (descriptions or markers is not None):
        msg = "sentences, types and markers are for the scenario described: ask for it, or not"
        raise InputError(msg)
    if chosen == ("described",) and (methods is not None or embeddings or batch_key is not None or scib):
        msg = "sentences make no vectors: methods, embeddings, batches and scib are for other scenarios"
        raise InputError(msg)
    compared = () if chosen == ("described",) else resolve_methods(methods)
    asked = None
    if descriptions:
        asked = DescribedTypes(descriptions, None if markers is None else read_markers(markers))
    _check_extras(rules)
    if output is not None:
        check_output(Path(output), overwrite=overwrite)
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    options = AlignOptions(
        lexicon=opened, values=values, gene_column=gene_column, organism=organism,
        min_coverage=min_coverage, mask_genes=mask_genes, genes=genes,
    )  # fmt: skip

    def read(data_set: Any, column: str, key: str | None) -> Panel:
        return panel_of(
            data_set,
            options,
            label=column,
            batch_key=key,
            layer=layer,
            use_raw=use_raw,
            modality=modality,
            follow_links=follow_links,
            listener=listener,
        )

    data_sets = data if isinstance(data, Mapping) else {_name(data): data}
    if embeddings and len(data_sets) > 1:
        msg = "embeddings are of one data set; evaluate each with its own"
        raise InputError(msg)
    panels_read = {name: read(data_set, label, batch_key) for name, data_set in data_sets.items()}
    if embeddings:
        ((name, panel),) = panels_read.items()
        given, panels_read[name] = given_methods(embeddings, panel, name, listener)
        compared = resolve_methods([*compared, *given])
    queried = None if query is None else read(query, query_label or label, None)
    if protocol is not None:
        evaluation = evaluate_by_cz(
            panels_read, opened, query=queried, label_map=label_map, methods=compared, seed=seed,
            listener=listener,
        )  # fmt: skip
    else:
        evaluation = evaluate_panels(
            panels_read,
            opened,
            query=queried,
            label_map=label_map,
            described=asked,
            methods=compared,
            protocol=rules,
            atlas=resolve_atlas(atlas, opened),
            workers=workers,
            listener=listener,
        )
    if output is not None:
        paths = evaluation.write(output, overwrite=overwrite)
        try:
            paths += write_figures(evaluation, Path(output), overwrite=overwrite)
        except MissingExtraError as error:  # the numbers are worth more than the picture
            listener(Note(f"no pictures: {error}", serious=True))
        listener(Note(f"written: {', '.join(map(str, paths))}"))
    return evaluation


def _name(data: Any) -> str:
    """What a data set is called in the results."""
    if isinstance(data, str | Path):
        data = expand_inputs([data])
    if isinstance(data, Sequence) and len(data) == 1:
        name = Path(str(data[0]).rstrip("/")).name
        return name.rpartition(".")[0] or name
    return "data"


def _check_cz(protocol: str, **options: Any) -> None:
    """Raise where there is no such protocol, no package for it, or an option that it has no use for."""
    if protocol != "cz":
        msg = f"the protocol can be 'cz', not {protocol!r}; leave it out for the scenarios of this package"
        raise InputError(msg)
    if given := [name for name, value in options.items() if value is not None]:
        msg = f"{given[0]} is not for cz-benchmarks, which draws and scores itself; leave it out"
        raise InputError(msg)
    tasks_of_cz()


def _check_extras(protocol: CellProtocol) -> None:
    with needing("evaluate", "Evaluating cells"):
        import sklearn  # noqa: F401
    if protocol.scib and find_spec("scib_metrics") is None:
        msg = "--scib needs a package that is not installed: pip install scib-metrics"
        raise MissingExtraError(msg)
