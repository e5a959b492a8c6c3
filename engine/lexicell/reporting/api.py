"""``lexicell.report``: one page about a run, its cells and what they are made of."""

from __future__ import annotations

import re
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
from lexicell.embedding import Event, Listener, Note
from lexicell.embedding.aligned import DEFAULT_LEXICON
from lexicell.embedding.events import log
from lexicell.embedding.labels import as_text
from lexicell.embedding.profile import read_profile
from lexicell.embedding.remake import is_imported
from lexicell.errors import InputError, MissingExtraError
from lexicell.evaluation.report_files import read_report
from lexicell.explanation.api import GeneSets
from lexicell.explanation.pathways import TEXTS
from lexicell.lexicon import GeneList, Lexicon
from lexicell.projection import Projection
from lexicell.reporting import sections
from lexicell.reporting.columns import categories_of, column_of, read_annotation, read_obs_columns
from lexicell.reporting.commands import embed_command, name_of, report_command
from lexicell.reporting.content import Categories, Cells, Command, Genes, Numbers, Page, Section, Sentence
from lexicell.reporting.gather import files_beside, of_counts, placed_cells, search_stored
from lexicell.reporting.gene_sections import group_section, sentence_section
from lexicell.reporting.html import render
from lexicell.reporting.layout import EXTRA, umap_of_vectors
from lexicell.reporting.opened import OpenedRun, open_run
from lexicell.reporting.sampling import choose_cells
from lexicell.words.api import Text

if TYPE_CHECKING:
    from anndata import AnnData

    from lexicell.words import Search

__all__ = ["MOST_CELLS", "Reported", "report"]

#: Cells of a page at most: what a browser moves smoothly and a file of 10 MB holds.
MOST_CELLS = 50_000
#: Folders of a path, which are the user's own and no part of a page.
_FOLDERS = re.compile(r"(?<![\w:/.])(?:~|[A-Za-z]:)?/(?:[^\s/:]+/)+")
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
        ``NAME.annotation.csv`` or ``.parquet`` beside the store ``NAME.zarr``, where it is there.
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
    notes: list[Sentence] = []

    def tell(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(Sentence(_FOLDERS.sub("", event.text), event.serious))
        listener(event)

    with ExitStack() as opened:
        run = open_run(
            store, data, opened, layer=layer, use_raw=use_raw, modality=modality, follow_links=follow_links
        )
        for note in () if run.counts is None else run.counts.notes:
            tell(Note(note))
        beside = files_beside(store, annotation, evaluation, profile, tell)
        annotated = read_annotation(beside.annotation, run.names, run.label) if beside.annotation else None
        evaluated = read_report(beside.evaluation) if beside.evaluation else None
        profiled = read_profile(beside.profile) if beside.profile else None
        there, points = placed_cells(run, basis, tell)
        labels = None if group is None else run.column(group)
        places = np.flatnonzero(there)
        strata = np.zeros(len(places), np.int64) if labels is None else pd.factorize(labels.iloc[places])[0]
        shown = places[choose_cells(strata, max_cells, seed)]
        vectors = run.vectors(shown)
        grouped = None if labels is None else categories_of(str(group), labels, shown, "obs", tell)
        told = of_counts(
            run, shown, vectors, grouped, text, color_genes, sets,
            lexicon=lexicon, projection=projection, genes=genes, seed=seed, listener=tell,
        )  # fmt: skip
        scores = told.search
        if text is not None and scores is None:
            scores = search_stored(run, text, lexicon, tell)
            scores = replace(scores, scores=scores.scores.iloc[shown])
        columns = _columns(run, shown, grouped, annotated, scores, obs_columns, tell)
        by = {name: as_text(run.column(name)) for name in (batch_key, group) if name is not None}
        quality = sections.quality_section(run, told.coverage, len(shown), by)
    if points is None:
        tell(Note(f"laying out {len(shown):,} cells by UMAP"))
        positions, layout = umap_of_vectors(vectors, seed)
    else:
        positions, layout = points[shown].astype(np.float32), f"{basis}, as the data have it"
    cells = _cells(run, shown, positions, layout, columns, group, told.genes, seed)
    commands = _commands(
        run, target, data,
        embed={
            "projection": projection, "genes": genes, "layer": layer, "use_raw": use_raw,
            "modality": modality,
        },
        report={
            "group": group, "batch_key": batch_key, "text": _sentences(text), "basis": basis,
            "color_gene": tuple(color_genes), "obs_column": tuple(obs_columns), "seed": seed or None,
            "max_cells": max_cells if max_cells != MOST_CELLS else None,
        },
    )  # fmt: skip
    after: list[Section] = []
    if scores is not None:
        after.append(sentence_section(scores.genes, cells))
    if grouped is not None:
        after.append(group_section(grouped, told.explanation, vectors, told.why))
    if evaluated is not None:
        used = str(run.facts.get("lexicon", {}).get("identity", ""))
        after.append(sections.evaluation_section(evaluated, len(run.names), used))
    if profiled is not None:
        after.append(sections.time_section(profiled))
    name = title or name_of(run.label)
    page = Page(
        name,
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


def _check(output: str | Path, max_cells: int, seed: int, *, overwrite: bool) -> Path:
    target = Path(output)
    if target.suffix not in {".html", ".htm"}:
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


def _columns(
    run: OpenedRun,
    shown: NDArray[np.intp],
    grouped: Categories | None,
    annotated: pd.DataFrame | None,
    scores: Search | None,
    obs_columns: Sequence[str],
    listener: Listener,
) -> list[Categories | Numbers]:
    """All that cells can be coloured by, but genes: groups, annotation, sentences, ``obs``."""
    columns: list[Categories | Numbers] = [] if grouped is None else [grouped]
    if annotated is not None:
        for name, values in annotated.items():
            column = column_of(f"annotation: {name}", values, shown, "annotation", listener)
            columns += [] if column is None else [column]
    if scores is not None:
        for name, values in scores.scores.items():
            columns.append(Numbers(str(name), "sentence", values.to_numpy(np.float32)))
    asked = (obs_columns,) if isinstance(obs_columns, str) else tuple(obs_columns)
    present = {column.name for column in columns}
    return columns + read_obs_columns(run, shown, asked, listener, present=present)


def _cells(
    run: OpenedRun,
    shown: NDArray[np.intp],
    positions: NDArray[np.float32],
    layout: str,
    columns: Sequence[Categories | Numbers],
    group: str | None,
    genes: Genes | None,
    seed: int,
) -> Cells:
    """Shuffle cells, so that no group is drawn over the others."""
    order = np.random.default_rng(seed).permutation(len(shown))
    shuffled = [
        replace(column, codes=column.codes[order])
        if isinstance(column, Categories)
        else replace(column, values=column.values[order])
        for column in columns
    ]
    if genes is not None:
        genes = replace(
            genes, contributions=genes.contributions[:, order], top=genes.top[order],
            top_contributions=genes.top_contributions[order],
        )  # fmt: skip
    names = run.names[shown[order]].astype(str).tolist()
    return Cells(names, positions[order], layout, len(run.names), tuple(shuffled), group or "", genes)


def _commands(
    run: OpenedRun, output: Path, data: Any, *, embed: dict[str, Any], report: dict[str, Any]
) -> tuple[Command, ...]:
    of_data = {"data": [name_of(part) for part in data] if isinstance(data, list | tuple) else data}
    if data is not None and not isinstance(data, str | Path | list | tuple):
        of_data = {"data": "DATA"}
    elif isinstance(data, str | Path):
        of_data = {"data": name_of(data)}
    named = {name: value for name, value in embed.items() if name in {"projection", "genes"}}
    files = {name: Path(value) for name, value in named.items() if isinstance(value, str | Path)}
    others = {name: value for name, value in embed.items() if name not in named}
    inputs = of_data["data"]
    name = " ".join(inputs) if isinstance(inputs, list) else inputs
    return (
        embed_command(run, files | others, data=name),
        report_command(run, output, of_data | report | files | others),
    )


def _sentences(text: Text | None) -> tuple[str, ...]:
    if text is None:
        return ()
    return (text,) if isinstance(text, str) else tuple(text.values() if isinstance(text, Mapping) else text)


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
