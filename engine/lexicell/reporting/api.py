"""``lexicell.report``: one page about a run, its cells and what they are made of."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._files import check_new_file, staged_path
from lexicell._say import printable
from lexicell.embedding import Event, Listener, Note
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.events import ignore, log
from lexicell.embedding.labels import as_text
from lexicell.embedding.remake import is_imported
from lexicell.errors import InputError, MissingExtraError
from lexicell.explanation.api import GeneSets
from lexicell.explanation.pathways import TEXTS
from lexicell.lexicon import GeneList, Lexicon
from lexicell.projection import Projection
from lexicell.reporting import sections
from lexicell.reporting.columns import categories_of, read_annotation
from lexicell.reporting.commands import commands_of, name_of
from lexicell.reporting.content import Page, Section, Sentence
from lexicell.reporting.drawn import columns_of, drawn_cells
from lexicell.reporting.files import EvaluationFile, ProfileFile, files_beside
from lexicell.reporting.gather import of_counts, placed_cells, search_stored
from lexicell.reporting.gene_sections import group_section, sentence_section
from lexicell.reporting.html import render
from lexicell.reporting.layout import EXTRA, umap_of_vectors
from lexicell.reporting.opened import OpenedRun, open_run
from lexicell.reporting.sampling import choose_cells
from lexicell.words.api import Text

if TYPE_CHECKING:
    from anndata import AnnData


__all__ = ["MOST_CELLS", "Reported", "report"]

#: Cells of a page at most: what a browser moves smoothly and a file of 10 MB holds.
MOST_CELLS = 50_000
#: Modules that the extra brings.
_NEEDED = ("jinja2", "umap", "sklearn")


@dataclass(frozen=True)
class Reported:
    """What a page shows.

    Attributes
    ----------
    output
        Where it is.
    cells, shown, without_vector
        Of the run, those that are drawn, and those of the run that have no place: cells without genes, or
        without coordinates.
    layout
        What the positions are.
    sections
        Names of its parts, in order.
    bytes, seconds
        Size of the file, and time that it took.
    """

    output: Path
    cells: int
    shown: int
    without_vector: int
    layout: str
    sections: tuple[str, ...]
    bytes: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, for ``--json``."""
        return {**asdict(self), "output": str(self.output), "sections": list(self.sections)}


def report(
    store: str | Path | AnnData,
    output: str | Path,
    *,
    data: str | Path | Sequence[str | Path] | AnnData | None = None,
    group: str | None = None,
    batch_key: str | None = None,
    text: Text | None = None,
    annotation: str | Path | None = None,
    evaluation: str | Path | None = None,
    profile: str | Path | None = None,
    basis: str | None = None,
    color_genes: Sequence[str] = (),
    obs_columns: Sequence[str] = (),
    max_cells: int = MOST_CELLS,
    title: str | None = None,
    sets: GeneSets = TEXTS,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    projection: Projection | str | Path | None = None,
    genes: GeneList | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    seed: int = 0,
    overwrite: bool = False,
    listener: Listener = log,
) -> Reported:
    """Write one page about a run: what it did, whether it is good, its cells, and what they are made of.

    The page is one file that needs no network: it opens from disk, in any browser with WebGL.

    Parameters
    ----------
    store
        A store that `lexicell.embed` wrote, ``.zarr`` or ``.h5ad``, or an AnnData with the results of
        ``lexicell.tl.embed``.
    output
        The ``.html``.
    data
        The cells that the store was made of, in any order, see `lexicell.embed`: for contributions of genes,
        gene sets, genes without a description, and columns of ``obs`` that the store lacks. None for those in
        the store itself, where it is an AnnData with counts, else for none.
    group
        Column of ``obs`` with the groups: cells are coloured by it at first, a sample has cells of all of
        them, and they are explained. Of more than 200 the rest is "other".
    batch_key
        Column of ``obs`` with the batches that quality is told by.
    text
        A sentence, several, or several by names, that cells are scored by as `lexicell.search` does.
    annotation
        A ``.csv`` or ``.parquet`` of `lexicell.annotate`, of the same cells. By default
        ``NAME.annotation.csv`` or ``.parquet`` beside the store ``NAME.zarr``, where it is there; "none" for
        none.
    evaluation
        A folder of `lexicell.evaluate`; by default ``NAME.evaluation`` beside the store.
    profile
        A ``.json`` of ``lexicell.embed(..., profile=...)``; by default ``NAME.profile.json`` beside it.
    basis
        Where cells are drawn: an array of ``obsm``, such as "X_umap", or columns of ``obs`` with a comma
        between; None for a UMAP of the vectors.
    color_genes
        Genes that cells can be coloured by, beside those whose contributions vary most.
    obs_columns
        Columns of ``obs`` that cells can be coloured by; by default all.
    max_cells
        Cells that are drawn, at most 50,000; of more, a sample that has cells of every group.
    title
        Of the page; by default the name of the store.
    sets
        Gene sets, see `lexicell.explain`.
    lexicon, projection, genes
        What the store was made with, where it is not the default; see `lexicell.embed`.
    layer, use_raw, modality, follow_links
        How data are read, see `lexicell.embed`.
    seed
        Of the sample, the layout, and nulls.
    overwrite
        Replace an existing output.
    listener
        Is told what was understood and how far it is.

    Returns
    -------
    Reported
        What the page shows.

    Raises
    ------
    InputError, OutputExistsError
        The store says nothing of a run; data, an annotation or an option are of other cells or can't be used;
        or `output` exists.
    PartialError
        The store is not complete.
    CountsError, CoverageError, CorruptDataError
        As `lexicell.embed`.
    MissingExtraError
        What makes pages is not installed.

    Examples
    --------
    >>> import lexicell
    >>> lexicell.report("pbmc.zarr", "pbmc.html", data="pbmc.h5ad", group="cell_type")  # doctest: +SKIP
    """
    began = time.perf_counter()
    target = _check(output, max_cells, seed, overwrite=overwrite)
    if any(find_spec(module) is None for module in _NEEDED):
        raise MissingExtraError.of(EXTRA, "A report")
    given = {
        "data": data, "group": group, "batch_key": batch_key, "text": text, "annotation": annotation,
        "evaluation": evaluation, "profile": profile, "basis": basis, "color_genes": _several(color_genes),
        "obs_columns": _several(obs_columns), "max_cells": max_cells, "title": title, "sets": sets,
        "lexicon": lexicon, "projection": projection, "genes": genes, "layer": layer, "use_raw": use_raw,
        "modality": modality, "follow_links": follow_links, "seed": seed,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if not _is_default(name, value)}
    notes: list[Sentence] = []
    private = _private(store, data, annotation, evaluation, profile, lexicon, projection, genes, output)

    def tell(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(Sentence(printable(_without(event.text, private)), event.serious))
        listener(event)

    with ExitStack() as opened:
        run = open_run(
            store, data, opened, layer=layer, use_raw=use_raw, modality=modality, follow_links=follow_links
        )
        for note in () if run.counts is None else run.counts.notes:
            tell(Note(note))
        beside = files_beside(store, annotation, evaluation, profile, tell)
        annotated, evaluated, profiled = None, None, None
        if beside.annotation is not None:
            with beside.reading(beside.annotation):
                annotated = read_annotation(beside.annotation, run.names, run.label)
        if beside.evaluation is not None:
            with beside.reading(beside.evaluation):
                evaluated = EvaluationFile.read(beside.evaluation)
        if beside.profile is not None:
            with beside.reading(beside.profile):
                profiled = ProfileFile.read(beside.profile)
        there, points = placed_cells(run, basis, tell)
        labels = None if group is None else run.column(group)
        places = np.flatnonzero(there)
        strata = (
            np.zeros(len(places), np.int64) if labels is None else pd.factorize(as_text(labels)[places])[0]
        )
        shown = places[choose_cells(strata, max_cells, seed)]
        vectors = run.vectors(shown)
        everywhere = np.arange(len(run.names))
        of_all = None if labels is None else categories_of(str(group), labels, everywhere, "obs", tell)
        grouped = None if of_all is None else replace(of_all, codes=of_all.codes[shown])
        by = [] if of_all is None else [of_all]
        if batch_key is not None and batch_key != group:
            by.insert(0, categories_of(batch_key, run.column(batch_key), everywhere, "obs", ignore))
        told = of_counts(
            run, shown, vectors, grouped, text, _several(color_genes), sets,
            lexicon=lexicon, projection=projection, genes=genes, seed=seed, listener=tell,
        )  # fmt: skip
        scores = told.search
        if text is not None and scores is None:
            scores = search_stored(run, text, lexicon, tell)
            scores = replace(scores, scores=scores.scores.iloc[shown])
        columns = columns_of(run, shown, grouped, annotated, scores, _several(obs_columns), group, tell)
        quality = sections.quality_section(run, told.coverage, len(shown), by)
    if points is None:
        listener(Note(f"laying out {len(shown):,} cells by UMAP"))
        positions, layout = umap_of_vectors(vectors, seed)
    else:
        positions, layout = points[shown], f"{basis}, as the data have it"
    cells = drawn_cells(run, shown, positions, layout, columns, grouped, told.genes, seed)
    after: list[Section] = []
    if scores is not None:
        after.append(sentence_section(scores.genes, cells))
    if grouped is not None:
        after.append(group_section(grouped, told.explanation, vectors, told.why))
    if evaluated is not None:
        used = str(run.facts.get("lexicon", {}).get("identity", ""))
        n_labelled = len(run.names) if grouped is None else sum(grouped.totals)
        after.append(sections.evaluation_section(evaluated, len(run.names), n_labelled, used))
    if profiled is not None:
        after.append(sections.time_section(profiled))
    commands = commands_of(run, store, target, options, told.gene_column)
    page = Page(
        printable(title or name_of(run.label)),
        _summary(run, there, shown, told.why),
        (sections.run_section(run, commands, notes, told.coverage), quality),
        cells,
        tuple(after),
        f"Made by lexicell {version('lexicell')} on {datetime.now(UTC):%-d %B %Y}.",
    )
    with staged_path(target, replace=overwrite) as staging:
        staging.write_text(render(page), encoding="utf-8")
        size = staging.stat().st_size
    parts = ("run", "quality", "cells", *(part.name for part in after))
    n = len(run.names)
    seconds = time.perf_counter() - began
    return Reported(target, n, len(shown), n - len(places), layout, parts, size, seconds)


#: What an option is that nobody has given.
_DEFAULTS: Mapping[str, Any] = {
    "color_genes": (), "obs_columns": (), "max_cells": MOST_CELLS, "sets": TEXTS, "lexicon": DEFAULT_LEXICON,
    "use_raw": False, "follow_links": False, "seed": 0,
}  # fmt: skip


def _is_default(name: str, value: Any) -> bool:
    default = _DEFAULTS.get(name)
    return value is default or (isinstance(value, str | int | tuple) and value == default)


def _several(names: Sequence[str]) -> tuple[str, ...]:
    """Names; one that is given as text is one."""
    return (names,) if isinstance(names, str) else tuple(names)


def _private(*given: Any) -> tuple[str, ...]:
    """Paths as messages may tell them, the longest first."""
    paths = set()
    for value in given:
        for part in value if isinstance(value, list | tuple) else (value,):
            if isinstance(part, str | Path) and "/" in str(part) and "://" not in str(part):
                paths |= {str(part), str(Path(part)), str(Path(part).parent)}
    return tuple(sorted(paths - {".", "/"}, key=len, reverse=True))


def _without(text: str, paths: Sequence[str]) -> str:
    """A note with names of files in place of their paths, which are the user's own."""
    for path in paths:
        text = text.replace(path + "/", "").replace(path, name_of(path))
    return text


def _check(output: str | Path, max_cells: int, seed: int, *, overwrite: bool) -> Path:
    target = Path(output)
    if target.suffix.lower() not in {".html", ".htm"}:
        msg = f"{target}: a report is an .html; name such a file"
        raise InputError(msg)
    if isinstance(max_cells, bool) or not isinstance(max_cells, int) or not 1 <= max_cells <= MOST_CELLS:
        msg = f"a page shows 1 to {MOST_CELLS:,} cells, not {max_cells!r}"
        raise InputError(msg)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 32:
        msg = f"the seed must be a whole number from 0 to 4294967295, not {seed!r}"
        raise InputError(msg)
    check_new_file(target, overwrite=overwrite)
    return target


def _summary(
    run: OpenedRun, there: NDArray[np.bool_], shown: NDArray[np.intp], why: str
) -> tuple[Sentence, ...]:
    n, placed = len(run.names), int(there.sum())
    sentences = [Sentence(f"{n:,} cells, embedded through the texts of their genes.")]
    if is_imported(run.facts):
        sentences = [Sentence(f"{n:,} cells, with vectors of another model.")]
    if placed < n:
        sentences.append(Sentence(f"{n - placed:,} of them have no vector or no place, and are not drawn."))
    if len(shown) < placed:
        text = (
            f"{len(shown):,} are drawn, a sample with cells of every group; what is said of genes, groups "
            "and sentences is of these. Quality is of all cells."
        )
        sentences.append(Sentence(text, serious=True))
    if why:
        sentences.append(Sentence(why))
    return tuple(sentences)
