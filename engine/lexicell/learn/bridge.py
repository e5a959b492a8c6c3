"""Bridge: from a gene's text to how it differs between classes, for panels that share no gene.

A gene that no reference cell has measured still has a text, and an atlas may have measured it. Kernel ridge
regression from the genes that were measured predicts what every gene that is like them would tell about the
classes; the prediction is a row of the gene table, so it folds. The reference is embedded with each gene's
row predicted *without that gene*, in closed form: reference and query are then alike, both made of rows that
other genes gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import softmax

from lexicell.embedding.events import Listener, Note, ignore
from lexicell.embedding.selected import SelectedCells
from lexicell.errors import InputError
from lexicell.learn.likeness import Likeness, likeness_matrix
from lexicell.projection import Pooling, Projection, Residual
from lexicell_kernels import Weight

__all__ = ["Bridge", "fit_bridge", "weight_matrix"]

#: Standard deviations of a gene below this would make its class profile a matter of single counts.
_LEAST_SPREAD = 1e-3
#: Panels that are simulated to see which directions survive another panel, and the share of genes of each.
_PANELS, _SHARE = 20, 0.3
#: Share of the within-class scatter that is replaced by its mean on the diagonal.
_SHRINKAGE = 0.3
#: What each likeness counts beside others, and beside cells that measured both panels, which count 1.
_BESIDE, _BESIDE_CELLS = 0.6, 0.3
#: Genes that get their rows at once.
_GENES = 1_024


@dataclass(frozen=True, eq=False)
class Bridge:
    """A map learned on one panel of genes, for any other.

    Attributes
    ----------
    projection
        What each gene tells about each class, ``C`` dimensions, as rows of genes; all genes weighted by
        ``log1p`` and not scaled to length 1. `finish` makes the vectors to compare of its output.
    classes
        ``C`` names, sorted.
    rotation
        ``[C, C - 1]`` float32: the directions in which classes differ whichever genes a panel has.
    held_out
        ``[n, C - 1]`` float32 finished vectors of the labelled cells, in order, without any gene's own row.
    labelled
        ``[n]`` positions of these cells among those given.
    means
        ``[C, C - 1]`` float64: the classes' means of `held_out`.
    codes
        ``[n]`` numbers of the classes of these cells.
    sums
        ``[n, C]`` float32: what `held_out` was before it was centred, scaled and turned.
    """

    projection: Projection
    classes: tuple[str, ...]
    rotation: NDArray[np.float32]
    held_out: NDArray[np.float32]
    labelled: NDArray[np.int64]
    means: NDArray[np.float64]
    codes: NDArray[np.int64]
    sums: NDArray[np.float32]

    def finish(self, vectors: NDArray[np.float32], n_genes: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Make vectors of one data set comparable with those of another panel.

        Evidence adds up over genes, so a mean over genes is multiplied with their number; what the panel adds
        to every cell is removed by centring and scaling with the data set's own mean and standard deviation.
        The result depends on the cells that are given together, so it is transductive.

        Parameters
        ----------
        vectors
            ``[n, C]`` as embedded with `projection`.
        n_genes
            ``[n]`` genes used in each cell.

        Returns
        -------
        numpy.ndarray
            float32 ``[n, C - 1]``.
        """
        return _standardised(vectors * np.asarray(n_genes)[:, None]) @ self.rotation

    @property
    def shares(self) -> NDArray[np.float64]:
        """``[C]`` part of the labelled cells that each class is."""
        return np.asarray(np.bincount(self.codes, minlength=len(self.classes)) / len(self.codes))

    def recentred(self, shares: NDArray[np.floating[Any]]) -> Bridge:
        """Centre and scale the labelled cells as if classes were as frequent as in a query.

        A query is centred by its own mean. Where it lacks classes, or has them in other numbers, that is not
        the mean of the reference; weighing the classes makes it so.

        Parameters
        ----------
        shares
            ``[C]`` parts of the query's cells.
        """
        weights = (np.asarray(shares, np.float64) / self.shares)[self.codes]
        held_out = _standardised(self.sums, weights) @ self.rotation
        return replace(self, held_out=held_out, means=_means(held_out, self.codes, len(self.classes)))

    def evidence(self, finished: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of classes by the distance to their means, to be multiplied with other evidence.

        They are less sure than a classifier of `held_out` is, which has not seen how far panels differ.

        Parameters
        ----------
        finished
            ``[n, C - 1]`` of `finish`.

        Returns
        -------
        numpy.ndarray
            float64 ``[n, C]``, rows sum to 1.
        """
        distance = (self.means**2).sum(axis=1) - 2 * finished.astype(np.float64) @ self.means.T
        return np.asarray(softmax(-distance / 2, axis=1))


def weight_matrix(cells: SelectedCells) -> tuple[sp.csr_array, NDArray[np.int32]]:
    """Weights of the cells' genes, ``[N, m]`` float32 CSR, and the ``m`` lexicon rows, ascending."""
    rows = cells.used
    columns = np.searchsorted(rows, cells.genes).astype(np.int32)
    return sp.csr_array((cells.weights(), columns, cells.indptr), shape=(len(cells), len(rows))), rows


def fit_bridge(
    cells: SelectedCells,
    vectors: NDArray[np.float32],
    labels: NDArray[Any] | None,
    *,
    beside: Sequence[Likeness] = (),
    through: Likeness | None = None,
    genes: NDArray[np.int32] | None = None,
    gamma: float = 3.0,
    ridge: float = 1.0,
    seed: int = 0,
    listener: Listener = ignore,
) -> Bridge:
    """Learn what a gene's text tells about classes, to name cells of a panel with other genes.

    Parameters
    ----------
    cells
        Reference cells with all described genes of their panel, or the few thousand most variable ones:
        memory and time grow with the square and the cube of their number (4,000 genes: some seconds).
    vectors
        ``[G, d]`` vectors of all genes of the lexicon.
    labels
        ``[N]``; cells without (None, NaN, "") are left out.
    beside
        What else tells which genes are alike; see `lexicell.learn.gene_atlas`. Kernels of all are added, each
        counts 0.6.
    through
        Cells that have measured the genes of both panels, see `through_cells`: their kernel counts 1, and all
        others 0.3.
    genes
        ``[m]`` lexicon rows that get a row of the table, ascending; others are masked. None for all.
    gamma
        Of the kernel ``exp(gamma (cos - 1))`` between genes; texts are centred over the genes in use.
    ridge
        What is added to the kernel's diagonal: how much of a gene's profile is its own affair.
    seed
        Of the simulated panels.
    listener
        Called with notes on what is left out.

    Returns
    -------
    Bridge

    Raises
    ------
    InputError
        There are fewer than two classes or three genes, or something is not finite.
    """
    if labels is None:
        msg = "a bridge is learned from labels; name their column, or choose an objective without"
        raise InputError(msg)
    codes, names = pd.factorize(pd.Series(np.asarray(labels, object)).replace("", None), sort=True)
    labelled = np.flatnonzero(codes >= 0)
    if len(names) < 2:
        msg = f"a bridge needs two classes or more; there is {', '.join(map(str, names)) or 'no label'}"
        raise InputError(msg)
    if len(labelled) < len(codes):
        listener(Note(f"{len(codes) - len(labelled):,} cells have no label; a bridge leaves them out"))
    weights, rows = weight_matrix(cells.take(labelled))
    if len(rows) < 3:
        msg = f"a bridge needs the texts of three genes or more; the cells have {len(rows)}"
        raise InputError(msg)
    codes = codes[labelled]
    profiles = _profiles(weights, codes, len(names))
    likenesses = _weighed(Likeness("texts", vectors, centred=True), beside, through)
    coefficients, unseen = _regress(likeness_matrix(likenesses, rows, rows, gamma), profiles, ridge)
    rotation = _rotation(weights, unseen, codes, len(names), seed)
    sums = _evidence(weights, unseen)
    held_out = _standardised(sums) @ rotation
    pooling = Pooling(None, str(Weight.LOG1P), normalise=False)
    wanted = np.arange(len(vectors), dtype=np.int32) if genes is None else genes
    table = np.concatenate(
        [
            likeness_matrix(likenesses, wanted[start : start + _GENES], rows, gamma) @ coefficients
            for start in range(0, len(wanted), _GENES)
        ]
    )
    classes = len(names)
    projection = Projection(
        np.zeros((classes, vectors.shape[1]), np.float32),
        residual=Residual(wanted, table.astype(np.float32), np.eye(classes, dtype=np.float32)),
        masked=None if genes is None else ~np.isin(np.arange(len(vectors)), wanted),
        pooling=pooling,
    )
    means = _means(held_out, codes, classes)
    return Bridge(projection, tuple(map(str, names)), rotation, held_out, labelled, means, codes, sums)


def _profiles(weights: sp.csr_array, codes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """How a gene's mean in each class differs from the mean of classes, in its standard deviations."""
    n = len(codes)
    sizes = np.bincount(codes, minlength=n_classes)
    share = sp.csr_array((1 / sizes[codes], (codes, np.arange(n))), shape=(n_classes, n))
    means = np.asarray((share @ weights).todense(), np.float64).T
    mean = np.asarray(weights.sum(axis=0, dtype=np.float64)) / n
    square = np.asarray(weights.multiply(weights).sum(axis=0, dtype=np.float64)) / n
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    contrast: NDArray[np.float64] = means - means.mean(axis=1, keepdims=True)
    return contrast / np.maximum(spread, _LEAST_SPREAD)[:, None]


def _weighed(
    texts: Likeness, beside: Sequence[Likeness], through: Likeness | None
) -> list[tuple[Likeness, float]]:
    """Likenesses with what each counts."""
    if through is not None:
        return [*((likeness, _BESIDE_CELLS) for likeness in (texts, *beside)), (through, 1.0)]
    return [(likeness, _BESIDE) for likeness in (texts, *beside)] if beside else [(texts, 1.0)]


def _regress(
    kernel: NDArray[np.float64], targets: NDArray[np.float64], ridge: float
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Kernel ridge: coefficients ``[m, C]``, and each gene's row predicted from all other genes."""
    inverse = np.linalg.inv(kernel + ridge * np.eye(len(kernel)))
    coefficients = inverse @ targets
    unseen = targets - coefficients / np.diag(inverse)[:, None]
    return coefficients, unseen.astype(np.float32)


def _evidence(weights: sp.csr_array, table: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the kernel gives with this table, times the number of genes."""
    totals = np.maximum(np.asarray(weights.sum(axis=1, dtype=np.float64)), 1e-12)
    n_genes = np.diff(weights.indptr)
    return np.asarray((weights @ table) * (n_genes / totals)[:, None], np.float32)


def _standardised(evidence: NDArray[Any], weights: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """Columns of mean 0 and standard deviation 1, cells counting as they are weighed."""
    centred = evidence - np.average(evidence.astype(np.float64), axis=0, weights=weights)
    spread = np.sqrt(np.average(centred**2, axis=0, weights=weights))
    return np.asarray(centred / np.where(spread > 0, spread, 1), np.float32)


def _means(vectors: NDArray[np.float32], codes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    return _sums(vectors.astype(np.float64), codes, n_classes) / np.bincount(codes)[:, None]


def _rotation(
    weights: sp.csr_array, table: NDArray[np.float32], codes: NDArray[np.int64], n_classes: int, seed: int
) -> NDArray[np.float32]:
    """Discriminant analysis over panels that see a part of the genes each, all classes counting the same."""
    rng = np.random.default_rng(seed)
    by_column = sp.csc_array(weights)
    scatter = np.zeros((n_classes, n_classes))
    means = np.zeros((n_classes, n_classes))
    sizes = np.bincount(codes, minlength=n_classes)
    views = []
    for _ in range(_PANELS):
        genes = np.flatnonzero(rng.random(len(table)) < max(_SHARE, 2 / len(table)))
        panel = sp.csr_array(by_column[:, genes])
        panel.sort_indices()
        view = _standardised(_evidence(panel, table[genes])).astype(np.float64)
        views.append(view)
        means += _sums(view, codes, n_classes) / sizes[:, None] / _PANELS
    for view in views:
        off = view - means[codes]
        scatter += (off / sizes[codes][:, None]).T @ off / (_PANELS * n_classes)
    scatter += _SHRINKAGE * np.trace(scatter) / n_classes * np.eye(n_classes)
    variance, axes = np.linalg.eigh(scatter)
    whitened = axes / np.sqrt(np.maximum(variance, 1e-12))
    between = means @ whitened
    _, _, directions = np.linalg.svd(between - between.mean(axis=0))
    rotation: NDArray[np.float32] = (whitened @ directions[: n_classes - 1].T).astype(np.float32)
    return rotation


def _sums(values: NDArray[np.float64], codes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    picks = sp.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(n_classes, len(codes)))
    return np.asarray(picks @ values)
