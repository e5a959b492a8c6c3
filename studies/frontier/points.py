"""The recipes that are compared: how cells are pooled, and what the rows of the gene table are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.arrays import unit_rows
from lexicell.embedding import RECIPES
from lexicell.embedding.default_projection import whiten_and_scale
from lexicell.embedding.gene_statistics import GeneStatistics, highly_variable_columns
from lexicell.embedding.selected import select_counts
from lexicell.evaluation import Panel
from lexicell.evaluation.cells.across_panels import selected_cells
from lexicell.evaluation.cells.methods import embed_panel
from lexicell.evaluation.controls import bag_vectors, control_vectors
from lexicell.learn.augment import Views
from lexicell.learn.gene_atlas import gene_loadings
from lexicell.learn.gene_scales import predict_gene_scales
from lexicell.learn.objectives import fit
from lexicell.learn.settings import TrainSettings
from lexicell.lexicon import Lexicon
from lexicell.projection import Pooling
from lexicell.projection.whitening import fit_whitening, principal_axes
from lexicell_kernels import Weight

__all__ = ["LEARNED_FROM", "POINTS", "Folded", "GeneTables", "Point"]

#: Data sets that something may be learned from, for all others.
LEARNED_FROM = ("pbmc3k", "baron")
DEFAULT = RECIPES["lexicell"]
#: Of the ridge from texts to loadings, on features of mean square 1.
_RIDGE = 2_000.0
#: Share of the noise's variances that is replaced by their mean.
_SHRINKAGE = 0.1
#: Genes and steps of a map that is trained.
_TRAINED_GENES, _STEPS = 4_000, 150


@dataclass(frozen=True)
class Point:
    """A recipe, by what it does otherwise than the default.

    Attributes
    ----------
    name
        In tables.
    axis
        What it varies; points of an axis are drawn together.
    k
        Genes per cell, None for all described ones.
    weight
        Of a gene in a cell.
    power
        Of the gene scales.
    dims
        Dimensions that are kept, None for all.
    principal
        Whether these are principal directions of the table's rows; else those of a random rotation.
    half
        Whether the table is float16.
    rows
        What a gene's row is made of: "texts", "texts+words", "texts+loadings", "loadings", "foretold" or
        "infonce"; see `GeneTables.directions`.
    word_scales
        Whether scales are foretold by words beside the language model's vectors.
    ranked
        Power of the scales that counts are multiplied with to select genes.
    evened
        Whether directions in which halves of the other data's cells, parted count by count, differ much
        count less; see `GeneTables.evened`.
    centred
        Whether the mean cell of the other data is taken away.
    shipped
        Whether scales are those that come with the package, learned from PBMC3k and Baron both.
    """

    name: str
    axis: str
    k: int | None = DEFAULT.top_k
    weight: Weight = DEFAULT.weight
    power: float = 1.0
    dims: int | None = None
    principal: bool = False
    half: bool = False
    rows: str = "texts"
    word_scales: bool = False
    ranked: float = 0.0
    evened: bool = False
    centred: bool = False
    shipped: bool = False

    @property
    def pooling(self) -> Pooling:
        """How cells are pooled."""
        return Pooling(self.k, self.weight)


POINTS: tuple[Point, ...] = (
    Point("the default, k 128", "k"),
    *(Point(f"k {k or 'all'}", "k", k=k) for k in (64, 256, 512, 1_024, None)),
    *(Point(f"scales that have seen the cells, k {k}", "seen", k=k, shipped=True) for k in (128, 512)),
    *(
        Point(f"p {p}, {'principal' if principal else 'random'} directions", "p", dims=p, principal=principal)
        for p in (256, 192)
        for principal in (False, True)
    ),
    Point("k 256, p 192, random directions", "p", k=256, dims=192),
    *(Point(f"weight {w}", "weight", weight=w) for w in (Weight.COUNT, Weight.UNIFORM, Weight.RANK)),
    *(Point(f"scales to the power of {power:g}", "power", power=power) for power in (0.0, 0.5, 1.5, 2.0)),
    Point("scales to the power of 0.5, k 512", "power", k=512, power=0.5),
    Point("float16", "dtype", half=True),
    *(
        Point(f"genes selected by count x scale^{ranked:g}, k {k}", "candidate", k=k, ranked=ranked)
        for ranked, k in ((0.25, 64), (0.25, 128), (1.0, 128))
    ),
    *(
        Point(f"counting noise of other data evened out, k {k}", "candidate", k=k, evened=True)
        for k in (128, 256)
    ),
    Point("scales from texts and words", "candidate", word_scales=True),
    Point("rows and scales from texts and words", "candidate", rows="texts+words", word_scales=True),
    Point("texts beside loadings of other data", "candidate", rows="texts+loadings"),
    Point("texts beside loadings of other data, k 512", "candidate", k=512, rows="texts+loadings"),
    Point("loadings of other data, foretold where not measured", "candidate", rows="loadings"),
    Point("loadings of other data, foretold for all genes", "candidate", rows="foretold"),
    Point("the mean cell of other data taken away", "candidate", centred=True),
    Point("infonce between halves of panels, other data", "candidate", rows="infonce"),
)  # fmt: skip


@dataclass(frozen=True)
class Folded:
    """A recipe for one data set: rows ``[G, p]``, and what belongs to them.

    Attributes
    ----------
    rows
        ``[G, p]`` float32 of all genes of the lexicon.
    rank_factor
        ``[G]`` or None.
    bias
        ``[p]`` or None.
    pooling
        How cells are pooled.
    """

    rows: NDArray[np.float32]
    rank_factor: NDArray[np.float32] | None
    bias: NDArray[np.float32] | None
    pooling: Pooling

    def embed(self, panel: Panel) -> NDArray[np.float32]:
        """Embed the cells of a panel, ``[n, p]``."""
        factor = None if self.rank_factor is None else self.rank_factor[panel.rows]
        rows = self.rows[panel.rows]
        vectors: NDArray[np.float32] = embed_panel(
            panel, rows, self.pooling, bias=self.bias, rank_factor=factor
        ).vectors
        return vectors


class GeneTables:
    """What a recipe's table is for a data set, made without ever looking at that data set.

    Parameters
    ----------
    lexicon
        ``G`` genes.
    panels, statistics
        By data set; those of `LEARNED_FROM` are learned from.
    shipped
        ``[G]`` scales that come with the package.
    seed
        Of everything that is drawn.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        panels: Mapping[str, Panel],
        statistics: Mapping[str, GeneStatistics],
        shipped: NDArray[np.float32],
        seed: int = 0,
    ) -> None:
        self._panels, self._statistics, self._shipped, self._seed = panels, statistics, shipped, seed
        self._texts = lexicon.vectors(lexicon.rows)
        words = bag_vectors(lexicon, "LSA of texts", seed=seed)
        assert words is not None
        self._words = words
        ones = np.ones(lexicon.n_genes, np.float32)
        whitened = whiten_and_scale(self._texts, ones).apply(self._texts, np.arange(lexicon.n_genes))
        self._directions = unit_rows(whitened).astype(np.float32)
        self._scales, self._loadings = cache(self._scales_of), cache(self._loadings_of)
        self._trained, self._halves = cache(self._train), cache(self._halves_of)

    def folded(self, point: Point, data: str, control: str = "", seed: int = 0) -> Folded:
        """Make the table of a recipe, or a control of it: rows of the same lengths, without meaning."""
        scales = self._scales(_others(data), point.word_scales, point.shipped)
        bias = None
        if point.rows == "infonce":
            rows, bias = self._trained(_others(data))
        else:
            rows = self.directions(point, data) * scales[:, None] ** np.float32(point.power)
        if point.dims is not None:
            rows = self._turned(rows, point.dims, principal=point.principal)
        if control:
            rows, bias = control_vectors(rows, control, seed=seed), None
        if point.evened:
            rows = self.evened(rows, point, data)
        if point.half:
            rows = rows.astype(np.float16)
        factor = scales ** np.float32(point.ranked) if point.ranked else None
        made = Folded(np.ascontiguousarray(rows, np.float32), factor, bias, point.pooling)
        if not point.centred:
            return made
        plain = Folded(made.rows, factor, None, Pooling(point.k, point.weight, normalise=False))
        mean = np.mean([plain.embed(self._panels[name]).mean(axis=0) for name in _others(data)], axis=0)
        return Folded(made.rows, factor, -mean.astype(np.float32), point.pooling)

    def directions(self, point: Point, data: str) -> NDArray[np.float32]:
        """Directions of the genes' rows, ``[G, q]`` of length 1.

        "texts": whitened texts. "texts+words": these beside whitened components of the texts' words.
        "loadings": components of the other data; those of genes that were not measured there are foretold by
        ridge from texts and words, and all are with "foretold". "texts+loadings": texts beside half as long
        loadings. Rows of "infonce" are a map of texts and scales that was trained, and have its lengths.
        """
        if point.rows == "texts":
            return self._directions
        if point.rows == "texts+words":
            return _beside(self._directions, fit_whitening(self._words, kind="zca").apply(self._words))
        filled, foretold = self._loadings(_others(data))
        loadings = foretold if point.rows == "foretold" else filled
        if point.rows == "texts+loadings":
            return _beside(self._directions, 0.5 * unit_rows(loadings), as_long=False)
        return unit_rows(loadings).astype(np.float32)

    def evened(self, rows: NDArray[np.float32], point: Point, data: str) -> NDArray[np.float32]:
        """Divide directions by the root of the noise that counting makes there, ``[G, p]``.

        That is the standard deviation between two halves of the same cell, of which each has every other
        count by chance; a tenth of the variances is replaced by their mean.
        """
        plain = Folded(rows, None, None, Pooling(point.k, point.weight))
        noise = np.zeros((rows.shape[1],) * 2)
        for name in _others(data):
            first, second = self._halves(name)
            noise += np.cov((plain.embed(first) - plain.embed(second)).T)
        variance, axes = principal_axes(noise)
        shrunk = (1 - _SHRINKAGE) * variance + _SHRINKAGE * variance.mean()
        return np.asarray(rows @ (axes * shrunk**-0.25) @ axes.T, np.float32)

    def _halves_of(self, data: str) -> tuple[Panel, Panel]:
        """Each cell twice: every count is left to one of the two by chance."""
        panel = self._panels[data]
        counts = panel.counts
        drawn = np.random.default_rng(self._seed).binomial(np.rint(counts.data).astype(np.int64), 0.5)
        sides = []
        for values in (drawn, counts.data - drawn):
            side = sp.csr_array(
                (values.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape
            )
            totals = np.asarray(side.sum(axis=1, dtype=np.float64), np.float32)
            sides.append(Panel(side, panel.rows, totals))
        return sides[0], sides[1]

    def _scales_of(self, others: tuple[str, ...], words: bool, shipped: bool) -> NDArray[np.float32]:  # noqa: FBT001
        if shipped:
            return self._shipped
        features = self._features() if words else self._texts
        return predict_gene_scales([self._statistics[name] for name in others], features)

    def _features(self) -> NDArray[np.float32]:
        """Texts and words side by side, each whitened."""
        sides = [fit_whitening(part).apply(part) for part in (self._texts, self._words)]
        return np.hstack([part * np.sqrt(np.float32(part.shape[1])) for part in sides])

    def _loadings_of(self, others: tuple[str, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Loadings, foretold where a gene was not measured; and those that are foretold for all genes."""
        features = self._features().astype(np.float64)
        filled, foretold = [], []
        for name in others:
            cells = selected_cells(self._panels[name], len(features))
            loadings = gene_loadings(cells, seed=self._seed)
            seen: NDArray[np.bool_] = np.asarray(loadings.any(axis=1))
            design, target = features[seen], loadings[seen]
            gram = design.T @ design + _RIDGE * np.eye(features.shape[1])
            fitted = features @ np.linalg.solve(gram, design.T @ (target - target.mean(axis=0)))
            filled.append(np.where(seen[:, None], loadings, fitted))
            foretold.append(fitted)
        return np.hstack(filled).astype(np.float32), np.hstack(foretold).astype(np.float32)

    def _train(self, others: tuple[str, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Rows and bias of a map that joins halves of a panel, of the first of the other data sets."""
        panel = self._panels[others[0]]
        columns = highly_variable_columns(panel.counts, panel.totals, _TRAINED_GENES)
        counts, rows = panel.counts[:, columns], panel.rows[columns]
        genes = len(self._texts)
        cells = select_counts(counts, rows, panel.totals, n_lexicon=genes, weight=Weight.LOG1P)
        vectors = self._directions * self._scales(others, False, False)[:, None]  # noqa: FBT003
        settings = TrainSettings(
            "infonce", views=Views(panels=True), steps=_STEPS, learn_genes=False, device="cpu"
        )
        found = fit("infonce", cells, vectors, seed=self._seed, settings=settings).projection
        return found.apply(vectors, np.arange(genes)), found.bias

    def _turned(self, rows: NDArray[np.float32], p: int, *, principal: bool) -> NDArray[np.float32]:
        if principal:
            _, axes = principal_axes((rows.T @ rows).astype(np.float64))
        else:
            drawn = np.random.default_rng(self._seed).standard_normal((rows.shape[1],) * 2)
            axes, _ = np.linalg.qr(drawn)
        return np.asarray(rows @ axes[:, :p], np.float32)


def _others(data: str) -> tuple[str, ...]:
    """What is learned from, for a data set: never itself."""
    return tuple(name for name in LEARNED_FROM if name != data)


def _beside(
    first: NDArray[np.float32], second: NDArray[np.floating], *, as_long: bool = True
) -> NDArray[np.float32]:
    """Two rows of each gene side by side, scaled to length 1 together."""
    sides: Sequence[NDArray[np.floating]] = (first, unit_rows(second) if as_long else second)
    return np.asarray(unit_rows(np.hstack(sides)), np.float32)
