"""Labels for the cells of a query: from labelled cells, from a trained projection, or from texts alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lexicell.annotate.cell_ontology import CellType, embed_types, text_scores
from lexicell.annotate.reference import EVERY_GENE, Cells, Fitted, fit_reference, with_projection
from lexicell.annotate.result import Annotation, check_output, make_annotation
from lexicell.atlas import CountSource, check_writable, open_counts
from lexicell.embedding import Listener, Note, Options, make_plan
from lexicell.embedding.events import ignore, log
from lexicell.embedding.labels import read_labels
from lexicell.embedding.plan import DEFAULT_LEXICON
from lexicell.errors import InputError
from lexicell.learn.bridge import weight_matrix
from lexicell.learn.neighbours import smooth
from lexicell.lexicon import Lexicon
from lexicell.projection import Classifier, Projection

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["annotate", "annotate_anndata", "annotate_by_text"]

_KEY = "lexicell_label"
_METHODS = ("logistic", "knn")
#: Least probability in an average of logarithms.
_LEAST = 1e-4


def annotate(
    query: str | Path | AnnData,
    *,
    reference: str | Path | AnnData | Projection,
    label: str | None = None,
    method: Literal["logistic", "knn"] = "logistic",
    threshold: float | None = None,
    smoothed: bool = False,
    output: str | Path | None = None,
    key_added: str = _KEY,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    options: Options | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    reference_layer: str | None = None,
    reference_use_raw: bool = False,
    reference_modality: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    listener: Listener = log,
) -> Annotation:
    """Name the cells of a query by those of a reference.

    Parameters
    ----------
    query
        Cells to name; see `lexicell.embed`.
    reference
        A trained projection that has a classifier, or its folder; or labelled cells, to which a projection is
        fitted here. What is fitted depends on the genes: where the query measures genes with at least 30 % of
        the variance of the reference's 2,000 most dispersed ones, principal components of the genes that both
        measure; elsewhere a bridge of the genes' texts, whose result is transductive and says so.
    label
        Column of ``obs`` with the labels, for labelled cells.
    method
        ``"logistic"``: logistic regression with calibrated probabilities. ``"knn"``: the share of the votes
        of the ten nearest reference cells; of labelled cells only.
    threshold
        Confidence below which a cell is "unknown"; None for the one that loses 5 % of the reference cells
        which are named rightly when they are held out.
    smoothed
        Average each cell's log-probabilities with those of the cells of the query nearest to it in
        expression, ten times over; it uses the query's cells only, but a label then depends on them.
    output
        ``.h5ad`` (a copy of the query with three columns more), ``.csv`` or ``.parquet``.
    key_added
        Column of ``obs`` that gets the labels; two more get ``_confidence`` and ``_second`` appended.
    lexicon
        Bundled name, folder or opened lexicon.
    options
        How the query's counts and gene names are understood; its lexicon, projection and recipe are not used.
    layer, use_raw
        Read ``layers[layer]`` or ``.raw`` of the query instead of ``X``.
    modality, follow_links
        See `lexicell.embed`; links are followed in the reference too.
    reference_layer, reference_use_raw, reference_modality
        The same for a reference of labelled cells.
    seed
        Of folds, solvers and simulated panels.
    overwrite
        Replace an existing output.
    listener
        Is told what was understood and how far it is.

    Returns
    -------
    Annotation
        Labels of all cells; the same for the same input and seed.

    Raises
    ------
    InputError, CountsError, CoverageError, OutputExistsError
        Query, reference, an option or what lies at `output` is in the way.
    CorruptDataError
        An input is damaged.
    MissingExtraError
        scikit-learn is not installed.

    Notes
    -----
    Query and reference are read in blocks. Beside vectors, the counts of 2,000 genes of the reference (and
    with `smoothed` of the query) are in memory.
    """
    target = None if output is None else check_output(output, query, overwrite=overwrite)
    with open_counts(
        query, layer=layer, use_raw=use_raw, modality=modality, follow_links=follow_links
    ) as source:
        fitted, cells = _fit(
            source, reference, label, method, lexicon, options, reference_layer, reference_modality, seed,
            listener, reference_use_raw=reference_use_raw, follow_links=follow_links,
        )  # fmt: skip
        made = _annotate(fitted, cells, threshold, seed, listener, smoothed=smoothed)
    if target is not None:
        made.write(target, query=query, key=key_added, overwrite=overwrite)
    return made


def annotate_by_text(
    query: str | Path | AnnData,
    types: Sequence[CellType],
    *,
    threshold: float = -1.0,
    output: str | Path | None = None,
    key_added: str = _KEY,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    options: Options | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    overwrite: bool = False,
    listener: Listener = log,
) -> Annotation:
    """Name cells by the texts of cell types alone, without any labelled cell.

    Names and definitions are encoded by the encoder that made the lexicon; a cell gets the type nearest to
    it by cosine, the mean of the types being subtracted from types and the mean of the cells from cells.
    Labels are mostly wrong; see `lexicell annotate --help` for how often.

    Parameters
    ----------
    query, output, key_added, lexicon, options, layer, use_raw, modality, follow_links, overwrite, listener
        See `annotate`.
    types
        Two or more; see `read_types`.
    threshold
        Cosine below which a cell is "unknown".

    Returns
    -------
    Annotation
        Its confidence is a cosine from -1 to 1, not a probability.

    Raises
    ------
    InputError, CountsError, CoverageError, OutputExistsError
        See `annotate`; or the lexicon's vectors were made elsewhere, or by another version of the encoder.
    """
    target = None if output is None else check_output(output, query, overwrite=overwrite)
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    vectors = embed_types(types, opened, listener)
    with open_counts(
        query, layer=layer, use_raw=use_raw, modality=modality, follow_links=follow_links
    ) as source:
        cells = _cells(source, opened, options, listener)
        scores, quality = text_scores(cells, vectors)
        names = source.names(0, source.n_cells)
    why = f"no labelled cells were given, so cells are named by the texts of {len(types):,} cell types"
    listener(Note(f"{why}: most of these labels are wrong", serious=True))
    made = make_annotation(
        names,
        tuple(of.name for of in types),
        scores,
        threshold=threshold,
        mode="zero-shot",
        facts={"why": why, "cells": len(names), "coverage": float(quality.coverage.mean())},
    )
    if target is not None:
        made.write(target, query=query, key=key_added, overwrite=overwrite)
    return made


def annotate_anndata(
    adata: AnnData,
    *,
    reference: str | Path | AnnData | Projection,
    key_added: str = _KEY,
    **options: Any,
) -> None:
    """Name the cells of an AnnData in place.

    Parameters
    ----------
    adata
        Cells x genes.
    reference
        See `annotate`.
    key_added
        Name of what is written.
    **options
        Of `annotate`, but for `output` and `overwrite`.

    Returns
    -------
    None
        Writes ``adata.obs[key_added]`` and ``adata.obs[key_added + "_second"]`` (categorical),
        ``adata.obs[key_added + "_confidence"]`` (float32) and ``adata.uns[key_added]`` (what was used).

    Raises
    ------
    InputError, CountsError, CoverageError, CorruptDataError
        As `annotate`; `adata` is then unchanged.
    """
    check_writable(adata)
    made = annotate(adata, reference=reference, **options)
    for name, column in made.columns(key_added).items():
        adata.obs[name] = column.array
    adata.uns[key_added] = {"mode": made.mode, **made.facts}


def _fit(
    source: CountSource,
    reference: Any,
    label: str | None,
    method: Literal["logistic", "knn"],
    lexicon: str | Lexicon,
    options: Options | None,
    layer: str | None,
    modality: str | None,
    seed: int,
    listener: Listener,
    *,
    reference_use_raw: bool,
    follow_links: bool,
) -> tuple[Fitted, Cells]:
    """Find out what the reference is, and fit what it takes."""
    if method not in _METHODS:
        msg = f"methods are {' and '.join(_METHODS)}, not {method!r}"
        raise InputError(msg)
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    projection = _projection(reference)
    if projection is not None:
        classifier = _check_projection(projection, label, method)
        plan = make_plan(
            source,
            replace(options or Options(), lexicon=opened, projection=projection, recipe=None),
            listener,
        )
        why = f"the reference is the trained projection {projection.name}"
        facts = {"why": why, "projection": projection.identity, "genes": plan.folded.table.n_genes}
        bare = Cells(with_projection(plan, None), ignore)
        return Fitted("projection", classifier, plan, None, facts), bare
    cells = _cells(source, opened, options, listener)
    with open_counts(
        reference, layer=layer, use_raw=reference_use_raw, modality=modality, follow_links=follow_links
    ) as labelled:
        if label is None:
            have = ", ".join(labelled.obs_columns) or "no columns at all"
            msg = f"{labelled.label}: name the column of obs that holds its labels (--label); it has {have}"
            raise InputError(msg)
        labels = read_labels(labelled, label, listener, unlabelled="not learned from")
        known = Cells(make_plan(labelled, Options(lexicon=opened, recipe=EVERY_GENE), listener), listener)
        fitted = fit_reference(known, labels, cells, method=method, seed=seed, listener=listener)
    fitted.facts["reference_cells"] = int((labels != "").sum())
    return fitted, cells


def _annotate(
    fitted: Fitted, cells: Cells, threshold: float | None, seed: int, listener: Listener, *, smoothed: bool
) -> Annotation:
    """Name all cells of the query."""
    probability, quality = fitted.probability(listener)
    if smoothed:
        listener(Note("scores are averaged over each cell's neighbours in the query", serious=True))
        probability = _smooth(probability, cells, seed)
    if empty := quality.n_empty:
        listener(Note(f"{empty:,} cells have no gene in use, so they are unknown", serious=True))
    classifier = fitted.classifier
    source = fitted.plan.source
    facts = {
        **fitted.facts,
        "cells": source.n_cells,
        "coverage": float(quality.coverage.mean()),
        "smoothed": smoothed,
        "transductive": smoothed or fitted.mode == "bridge",
    }
    return make_annotation(
        source.names(0, source.n_cells),
        classifier.classes,
        probability,
        threshold=classifier.threshold if threshold is None else _threshold(threshold),
        mode=fitted.mode,
        facts=facts,
    )


def _smooth(probability: NDArray[np.float32], cells: Cells, seed: int) -> NDArray[np.float32]:
    """Average log-probabilities over neighbours; a cell of which nothing is known gets what they say."""
    from scipy.special import softmax

    logs = np.log(np.maximum(probability, _LEAST))  # no class is impossible because of one cell
    logs -= logs.mean(axis=1, keepdims=True)
    weights, _ = weight_matrix(cells.ranked(cells.dispersed()))
    return np.asarray(softmax(smooth(logs, weights, seed=seed), axis=1), np.float32)


def _cells(source: CountSource, lexicon: Lexicon, options: Options | None, listener: Listener) -> Cells:
    asked = replace(options or Options(), lexicon=lexicon, projection=None, recipe=EVERY_GENE)
    return Cells(make_plan(source, asked, listener), listener)


def _projection(reference: Any) -> Projection | None:
    """The projection that a reference is, or None where it is a data set."""
    if isinstance(reference, Projection):
        return reference
    if isinstance(reference, str | os.PathLike) and (Path(reference) / "projection.json").is_file():
        return Projection.load(Path(reference))
    return None


def _check_projection(projection: Projection, label: str | None, method: str) -> Classifier:
    name = projection.name
    if projection.classifier is None:
        msg = f"the projection {name} has no classifier; train it with labels, or give labelled cells"
        raise InputError(msg)
    if label is not None:
        msg = f"the projection {name} has labels of its own; leave --label out"
        raise InputError(msg)
    if method != "logistic":
        msg = f"the projection {name} holds no cells to be neighbours; leave --method out, or give the cells"
        raise InputError(msg)
    return projection.classifier


def _threshold(asked: float) -> float:
    if not 0 <= asked <= 1:
        msg = f"the threshold of a label is a probability from 0 to 1, not {asked}"
        raise InputError(msg)
    return asked
