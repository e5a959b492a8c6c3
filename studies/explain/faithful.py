"""Whether genes that are said to matter do: they are taken out of counts, or put back, and cells embedded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding import Selection
from lexicell.embedding.candidates import CandidateGenes
from lexicell.explanation import GeneRows, contributions
from lexicell.explanation.cells import pooled_vectors
from studies.explain.cells import ExplainedCells, explained_cells
from studies.explain.gradients import STEPS, integrated_gradients, missing
from studies.explain.known import TESTS, difference, ranked_by_scanpy

__all__ = ["DELETED", "DIRECTIONS", "Curves", "area", "faithfulness", "kept", "places", "removed"]

#: Genes that are taken out of a cell, or put back.
DELETED = (0, 1, 2, 5, 10, 20, 50)
#: What cells are scored by.
DIRECTIONS = ("difference", "classifier")
#: Cells of a group, of which half are held out; cells whose vectors are computed together; resamplings.
_LEAST, _TOGETHER, _DRAWS = 10, 200, 1000


def places(
    counts: sp.csr_array[Any], genes: CandidateGenes, selection: Selection, values: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Which place each stored count's gene has among the selected genes of its cell, the highest value first.

    Parameters
    ----------
    counts
        ``[n, v]``.
    genes
        The ``m`` candidates.
    selection
        Of these cells, genes ascending in each.
    values
        ``[nnz]`` of the selected genes; the first of equal ones is the lower row of the lexicon.

    Returns
    -------
    numpy.ndarray
        0 for the first gene; -1 for a gene that is not selected. Columns that are one gene share its place.
    """
    m, sizes = len(genes.rows), np.diff(selection.indptr)
    cell = np.repeat(np.arange(len(selection)), sizes)
    order = np.lexsort((-values, cell))
    place = np.empty(len(values), np.int64)
    place[order] = np.arange(len(values)) - np.repeat(selection.indptr[:-1], sizes)
    chosen = cell * m + np.searchsorted(genes.rows, selection.genes)
    rank = genes.rank[counts.indices].astype(np.int64)
    stored = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr)) * m + rank
    found = np.minimum(np.searchsorted(chosen, stored), max(0, len(chosen) - 1))
    there = (rank >= 0) & (chosen[found] == stored if len(chosen) else False)
    return np.where(there, place[found] if len(place) else -1, -1)


def removed(counts: sp.csr_array[Any], place: NDArray[np.int64], n: int) -> sp.csr_array[Any]:
    """Counts without the first `n` selected genes of each cell: other genes may be selected then."""
    return _with(counts, np.where((place >= 0) & (place < n), 0, counts.data))


def kept(counts: sp.csr_array[Any], place: NDArray[np.int64], n: int) -> sp.csr_array[Any]:
    """Counts without the selected genes of each cell but for the first `n`."""
    return _with(counts, np.where(place >= n, 0, counts.data))


def _with(counts: sp.csr_array[Any], data: NDArray[Any]) -> sp.csr_array[Any]:
    return sp.csr_array((data.astype(np.float32), counts.indices, counts.indptr), counts.shape)


def area(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area under curves ``[n, len(DELETED)]`` over the number of genes, over the last such number."""
    return np.asarray(np.trapezoid(curve, DELETED, axis=1) / DELETED[-1])


@dataclass(frozen=True)
class Curves:
    """Scores of ``n`` cells of a group as genes go, and as they come back, by what they are ranked by.

    Attributes
    ----------
    deletion, insertion
        Way -> ``[n, len(DELETED)]`` scores.
    """

    deletion: dict[str, NDArray[np.float64]]
    insertion: dict[str, NDArray[np.float64]]


def faithfulness(key: str, captum: Path | None) -> dict[str, Any]:
    """Areas of both curves by direction, and how alike attributions are.

    Half of each group's cells, drawn once, give directions, the classifier, ranked genes and a baseline; the
    others are what is looked at.
    """
    of, rng = explained_cells(key), np.random.default_rng(0)
    held = np.zeros(len(of.labels), bool)
    for group in of.groups:
        mine = rng.permutation(np.flatnonzero(of.labels == group))
        held[mine[: len(mine) // 2]] = True
    groups = [group for group in of.groups if (of.labels == group).sum() >= _LEAST]
    fitted, lacking = _Fitted.of(of, ~held), missing(captum)
    result: dict[str, Any] = {
        "cells": int(held.sum()),
        "groups": {group: int((held & (of.labels == group)).sum()) for group in groups},
        "left out": [group for group in of.groups if group not in groups],
        "captum": lacking or _version(),
        "steps": STEPS,
    }
    for direction in DIRECTIONS:
        by_group, alike, seconds = {}, [], []
        for group in groups:
            vector = fitted.direction(direction, group)
            cells = np.flatnonzero(held & (of.labels == group))
            counts = of.counts[cells]
            selection = of.select(counts)
            ways, told = _attributions(of, selection, vector, fitted, group, lacking)
            scores = partial(_scores, of, vector)
            base = of.embed(of.counts[held]) @ vector
            inside = of.labels[held] == group
            by_group[group] = (
                _curves(of, counts, selection, ways, scores),
                float(base[inside].mean() - base[~inside].mean()),
            )
            alike.append(told["alike"])
            seconds.append((told["seconds"], len(cells)))
        result[direction] = _told(by_group) | {"alike": _mean_alike(alike), "seconds": _mean_seconds(seconds)}
    return result


@dataclass(frozen=True)
class _Fitted:
    """What the other half of the cells gives."""

    cells: ExplainedCells
    half: NDArray[np.bool_]
    vectors: NDArray[np.float64]
    classifier: Any
    ranked: dict[str, NDArray[np.int64]]
    weights: sp.csr_array[Any]

    @classmethod
    def of(cls, of: ExplainedCells, half: NDArray[np.bool_]) -> _Fitted:
        from sklearn.linear_model import LogisticRegression

        vectors, labels = of.embed(of.counts[half]), of.labels[half]
        fitted = LogisticRegression(max_iter=2000).fit(vectors, labels.astype(str))
        selection = of.select(of.counts[half])
        at = np.searchsorted(of.rows.rows, selection.genes)
        weights = sp.csr_array(
            (selection.weights.astype(np.float64), at, selection.indptr), (len(labels), len(of.rows.rows))
        )
        # Groups of one cell have no variance, which a t-test divides by.
        names, sizes = np.unique(labels.astype(str), return_counts=True)
        tested = half & np.isin(of.labels.astype(str), names[sizes > 1])
        ranked = ranked_by_scanpy(of, of.adata[tested], TESTS["t-test"])
        return cls(of, half, vectors, fitted, ranked, weights)

    def direction(self, name: str, group: str) -> NDArray[np.float64]:
        """Of length 1: a group's difference, or what a classifier adds for it less what it adds for all."""
        if name == "difference":
            return difference(self.vectors, self.cells.labels[self.half] == group)
        rows = self.classifier.coef_
        row = rows[list(self.classifier.classes_).index(group)] - rows.mean(axis=0)
        return np.asarray(row / np.linalg.norm(row), np.float64)

    def baseline(self, group: str) -> NDArray[np.float64]:
        """Mean weights ``[m]`` of the cells of other groups."""
        return np.asarray(self.weights[self.cells.labels[self.half] != group].mean(axis=0))


def _version() -> str:
    from importlib.metadata import version

    return version("captum")


def _scores(
    of: ExplainedCells, vector: NDArray[np.float64], counts: sp.csr_array[Any]
) -> NDArray[np.float64]:
    return np.asarray(of.embed(counts) @ vector)


def closed_forms(
    selection: Selection, rows: GeneRows, vector: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """What the length changes: gradient times weight, and the score less that without the gene, ``[nnz]``.

    With ``c`` the exact contribution, ``s`` the score and ``u`` the cell's own vector, the gradient times the
    weight is ``c - s <share T, u> / length``: the share of a gene in the length is taken off.
    """
    sizes, shares = np.diff(selection.indptr), selection.shares
    at = np.searchsorted(rows.rows, selection.genes)
    pooled = pooled_vectors(selection, rows, unit=False)
    cell, table = np.repeat(np.arange(len(selection)), sizes), rows.table.astype(np.float64)
    lengths = np.linalg.norm(pooled, axis=1)
    along, squares = np.empty(len(at)), np.einsum("ij,ij->i", table, table)[at]
    for start in range(0, len(selection), _TOGETHER):
        stop = min(start + _TOGETHER, len(selection))
        some = slice(int(selection.indptr[start]), int(selection.indptr[stop]))
        along[some] = np.einsum("ij,ij->i", table[at[some]], pooled[cell[some]])
    gains, dots, lengths = (table @ vector)[at], (pooled @ vector)[cell], lengths[cell]
    gradient = shares * (gains - dots * along / lengths**2) / lengths
    without = np.sqrt(np.maximum(lengths**2 - 2 * shares * along + shares**2 * squares, 1e-24))
    return {"gradient": gradient, "one out": dots / lengths - (dots - shares * gains) / without}


def _attributions(
    of: ExplainedCells,
    selection: Selection,
    vector: NDArray[np.float64],
    fitted: _Fitted,
    group: str,
    lacking: str,
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    rows = of.rows
    began = time.perf_counter()
    exact = contributions(selection, rows, vector)
    seconds = {"exact": (time.perf_counter() - began) / len(selection)}
    ways = {"exact": exact.values}
    began = time.perf_counter()
    ways |= closed_forms(selection, rows, vector)
    seconds["gradient"] = (time.perf_counter() - began) / len(selection)
    if not lacking:
        for name, baseline in (("IG from 0", None), ("IG from the rest", fitted.baseline(group))):
            ways[name], seconds[name], scores = integrated_gradients(selection, rows, vector, baseline)
            np.testing.assert_allclose(scores, exact.scores, rtol=0, atol=1e-9)
    place = np.zeros(len(rows.rows))
    place[fitted.ranked[group]] = -np.arange(len(fitted.ranked[group]))
    ways["t-test"] = place[exact.genes]
    ways["expression"] = selection.weights.astype(np.float64)
    ways["random"] = np.random.default_rng(1).random(len(exact.values))
    pairs = [("exact", name) for name in ways if name not in {"exact", "random"}]
    pairs += [("IG from 0", "gradient")] if "IG from 0" in ways else []
    alike = {f"{a}, {b}": _spearman(selection, ways[a], ways[b]) for a, b in pairs}
    return ways, {"alike": alike, "seconds": seconds}


def _spearman(selection: Selection, one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[Any]:
    """Rank correlation of two attributions in each cell, ``[n]``."""
    from scipy.stats import rankdata

    found = []
    for a, b in zip(selection.indptr[:-1], selection.indptr[1:], strict=True):
        if b - a > 2:
            found.append(np.corrcoef(rankdata(one[a:b]), rankdata(other[a:b]))[0, 1])
    return np.array(found)


def _curves(
    of: ExplainedCells,
    counts: sp.csr_array[Any],
    selection: Selection,
    ways: dict[str, NDArray[np.float64]],
    scores: Any,
) -> Curves:
    genes = of.plan.folded.genes
    deletion, insertion = {}, {}
    for name, values in ways.items():
        place = places(counts, genes, selection, values)
        deletion[name] = np.stack([scores(removed(counts, place, n)) for n in DELETED], axis=1)
        insertion[name] = np.stack([scores(kept(counts, place, n)) for n in DELETED], axis=1)
    return Curves(deletion, insertion)


def _told(by_group: dict[str, tuple[Curves, float]]) -> dict[str, Any]:
    """Areas, curves and their intervals; each group counts the same, as each cell in it.

    A change is told in leads: how much higher the group scores than all others.
    """
    told: dict[str, Any] = {}
    rng = np.random.default_rng(2)
    ways = list(next(iter(by_group.values()))[0].deletion)
    drawn = {
        group: rng.integers(0, n := len(one.deletion["exact"]), (_DRAWS, n))
        for group, (one, _) in by_group.items()
    }
    for kind in ("deletion", "insertion"):
        sign = -1 if kind == "deletion" else 1
        areas: dict[str, dict[str, NDArray[np.float64]]] = {way: {} for way in ways}
        curves: dict[str, list[NDArray[np.float64]]] = {way: [] for way in ways}
        for group, (one, lead) in by_group.items():
            for way in ways:
                scores = getattr(one, kind)[way]
                changed = sign * (scores - scores[:, :1]) / lead
                areas[way][group] = area(changed)
                curves[way].append(changed.mean(axis=0))
        means = {
            way: np.mean([found[group][drawn[group]].mean(axis=1) for group in found], axis=0)
            for way, found in areas.items()
        }
        told[kind] = {
            way: {
                "area": _rounded(np.mean([found.mean() for found in areas[way].values()])),
                "interval": _interval(means[way]),
                "less than exact": _interval(means["exact"] - means[way]),
                "curve": [_rounded(value) for value in np.mean(curves[way], axis=0)],
                "groups": {group: _rounded(found.mean()) for group, found in areas[way].items()},
            }
            for way in ways
        }
    told["lead"] = {group: _rounded(lead) for group, (_, lead) in by_group.items()}
    return told


def _interval(drawn: NDArray[np.float64]) -> list[float]:
    return [_rounded(value) for value in np.quantile(drawn, (0.025, 0.975))]


def _rounded(value: Any) -> float:
    return round(float(value), 4)


def _mean_alike(alike: list[dict[str, NDArray[Any]]]) -> dict[str, float]:
    return {pair: _rounded(np.mean([np.nanmean(one[pair]) for one in alike])) for pair in alike[0]}


def _mean_seconds(seconds: list[tuple[dict[str, float], int]]) -> dict[str, float]:
    """Of a cell."""
    whole = sum(n for _, n in seconds)
    return {way: float(f"{sum(of[way] * n for of, n in seconds) / whole:.3g}") for way in seconds[0][0]}
