"""From genes that sentences call up to names of groups of cells, and whether a type is there at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import softmax

from lexicell.words.cells import CellGroups, Profile

__all__ = ["ABSENT", "CALLED", "Naming", "called_up", "name_groups", "of_cells", "offset_of", "weigh_alone"]

#: Genes that a sentence calls up.
CALLED = 200
#: Genes whose weights are kept once cells have corrected them.
KEPT = 100
#: Rounds in which cells correct the genes.
_ROUNDS = 3
#: How much likeness counts when they do.
_POWER = 2
#: Slope of the choice between sentences, in standard deviations of a sentence over the groups.
_SLOPE = 2.0
#: What the uncorrected evidence adds to that, times the logarithm of one and evidence, and for how much of it
#: at most: else a sentence that is rare here would take a frequent type's cells, which stand out less.
_DIRECT, _MOST = 0.3, 7.0
#: Evidence below which a type is not there.
ABSENT = 1.5
#: Evidence below which a sentence is held back, and by how much at most.
_EVIDENCE, _HELD_BACK = 2.5, 6.0
#: Random sets of genes beside a sentence's, and genes of like mean expression that they are drawn among.
_DRAWS, _ALIKE = 199, 100
#: Random halves of the genes with which presence is tested, for each of the first groupings.
_SPLITS, _TESTED = 4, 3


@dataclass(frozen=True)
class Naming:
    """What ``S`` sentences say of the groups of a data set.

    Attributes
    ----------
    probability
        For each grouping ``[J, S]``, rows sum to 1.
    weights
        ``[S, m]`` float32, at most 100 of a row above 0: genes as the cells have corrected them; rows sum
        to 1.
    evidence
        ``[S]``: how far the genes that a sentence calls up stand out in the cells that it got for *other*
        genes, and half of how far they stand out anywhere; both in standard deviations of the sentences of
        the null. Below 1.5 a type is held not to be there.
    p_value
        ``[S]``: share of 199 random sets of genes, matched in mean expression, that stand out as much in a
        group of the first grouping. A small one says that the genes vary together here, as those of any
        process do; half of the types that are not there have one too.
    held_back
        ``[S]``: evidence is below 2.5, so a sentence gets cells only where it is clearly above others.
    """

    probability: tuple[NDArray[np.float64], ...]
    weights: NDArray[np.float32]
    evidence: NDArray[np.float64]
    p_value: NDArray[np.float64]
    held_back: NDArray[np.bool_]


def name_groups(
    groups: CellGroups,
    likeness: NDArray[np.float32],
    null: NDArray[np.float32],
    *,
    prior: Sequence[NDArray[np.float64]] | None = None,
    there: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> Naming:
    """Give each group of cells to the sentences, and let the cells correct the genes.

    A sentence calls up the 200 genes that it is most like, weighted by likeness. Their weighted mean
    enrichment in a group, in standard deviations of what the null's sentences have there, is the evidence.
    Sentences compete for each group with their evidence relative to the other groups; then genes are weighted
    anew, ``likeness^2`` times enrichment in the groups that a sentence got, three times. No label is used.

    Parameters
    ----------
    groups
        The cells.
    likeness
        ``[S, m]`` from `call_up`, of the candidates.
    null
        ``[B, m]`` likenesses of sentences about all kinds of cells, among which a given one must stand out.
    prior
        For each grouping ``[J, S]``, what is known beside the sentences (`lexicell.words.known`), in standard
        deviations of evidence.
    there
        ``[S]`` types that are known to be there: they are not held back.
    seed
        Of the halves of genes that presence is tested with.
    """
    called, null_called = sp.csr_array(called_up(likeness)), sp.csr_array(called_up(null))
    direct = [_evidence(part, called, null_called) for part in groups.profiles]
    highest = np.mean([found.max(axis=0) for found, _ in direct], axis=0)
    rng = np.random.default_rng(seed)
    by_chance = _by_chance(groups, called, rng)
    tested = [
        _held_out(part, likeness, called, null_called, rng)
        for part in groups.profiles[:_TESTED]
        for _ in range(_SPLITS)
    ]
    evidence = np.mean(tested, axis=0) + highest / 2
    held_back = np.clip(evidence - _EVIDENCE, -_HELD_BACK, 0)
    if there is not None:
        held_back[there] = 0
    squared = np.maximum(likeness, 0) ** _POWER
    probability, weights = [], np.zeros(likeness.shape)
    known = prior or [np.zeros(1)] * len(groups.profiles)
    for part, (found, _), more in zip(groups.profiles, direct, known, strict=True):
        offset = held_back + offset_of(found) + more
        chosen, corrected = _compete(part, found, squared, offset)
        probability.append(chosen)
        weights += corrected
    return Naming(tuple(probability), _most(weights), evidence, by_chance, held_back < 0)


def of_cells(
    probability: Sequence[NDArray[np.float64]],
    nearest: Sequence[NDArray[np.intp]],
    present: NDArray[np.bool_],
    full: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Probability of sentences for cells ``[n, S]``: the mean over groupings of what their groups have.

    Parameters
    ----------
    probability, nearest
        For each grouping ``[J, S]`` from `name_groups`, and the ``[n]`` groups of the cells.
    present
        ``[S]``; the others get 0.
    full
        ``[n]`` cells that have genes; the others get 0.
    """
    found = np.mean([groups[of] for groups, of in zip(probability, nearest, strict=True)], axis=0)
    found[:, ~present] = 0
    found[~full] = 0
    return np.asarray(found)


def weigh_alone(
    groups: CellGroups, likeness: NDArray[np.float32], null: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Let the cells correct the genes of each sentence without any competition: for a search.

    Genes are weighted by ``likeness^2`` and by how much more the groups express them in which the sentence's
    genes stand out (softmax of its evidence over the groups) than groups do on average, once.

    Parameters
    ----------
    groups, likeness, null
        As in `name_groups`.

    Returns
    -------
    numpy.ndarray
        ``[S, m]`` float32, at most 100 of a row above 0; rows sum to 1.
    """
    called, null_called = sp.csr_array(called_up(likeness)), sp.csr_array(called_up(null))
    squared = np.maximum(likeness, 0) ** _POWER
    weights = np.zeros(likeness.shape)
    for part in groups.profiles:
        share = softmax(_over_groups(_evidence(part, called, null_called)[0]), axis=0)
        share *= np.sqrt(part.sizes)[:, None]
        mean = (share / share.sum(axis=0)).T @ part.expression
        corrected = squared * np.maximum(mean - part.expression.mean(axis=0), 0)
        weights += corrected / np.maximum(corrected.sum(axis=1, keepdims=True), 1e-12)
    return _most(weights)


def called_up(likeness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Likeness of the genes that each sentence calls up, 0 for all others."""
    n = likeness.shape[1]
    if n <= CALLED:
        return np.maximum(likeness, 0)
    best = np.argpartition(-likeness, CALLED, axis=1)[:, :CALLED]
    found = np.zeros_like(likeness)
    np.put_along_axis(found, best, np.maximum(np.take_along_axis(likeness, best, 1), 0), 1)
    return found


def _pooled(part: Profile, weights: sp.csr_array) -> NDArray[np.float64]:
    """Weighted enrichment ``[J, S]``, with the spread that independent genes would give it."""
    lengths = np.sqrt(weights.astype(np.float64).power(2).sum(axis=1))
    pooled = (weights @ part.enrichment.T).T
    return np.asarray(pooled / np.maximum(lengths, 1e-12), np.float64)


def _evidence(
    part: Profile, called: sp.csr_array, null: sp.csr_array
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pooled enrichment of sentences and null, in robust standard deviations of the null, group by group."""
    other = _pooled(part, null)
    middle = np.median(other, axis=1, keepdims=True)
    spread = np.maximum(1.4826 * np.median(np.abs(other - middle), axis=1, keepdims=True), 1e-6)
    return (_pooled(part, called) - middle) / spread, (other - middle) / spread


def offset_of(evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """What uncorrected evidence adds to that relative to the other groups."""
    return np.asarray(_DIRECT * np.sign(evidence) * np.log1p(np.minimum(np.abs(evidence), _MOST)))


def _compete(
    part: Profile,
    evidence: NDArray[np.float64],
    squared: NDArray[np.float32],
    offset: NDArray[np.float64] | float,
) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
    """Probability of sentences for groups ``[J, S]``, and the weights of genes that it ends with."""
    weights: NDArray[np.floating] = squared
    for correction in range(_ROUNDS + 1):
        relative = _over_groups(evidence) + offset
        probability = softmax(_SLOPE * relative, axis=1)
        if correction == _ROUNDS:
            break
        weights = _corrected(part, probability, squared)
        evidence = _pooled(part, sp.csr_array(weights.astype(np.float32)))
    return probability, weights


def _corrected(
    part: Profile, probability: NDArray[np.float64], squared: NDArray[np.float32]
) -> NDArray[np.floating]:
    """Weigh genes by likeness and by how much more a sentence's groups express them than the others'."""
    share = probability * np.sqrt(part.sizes)[:, None]
    mean = (share.T @ part.expression) / np.maximum(share.sum(axis=0)[:, None], 1e-9)
    others = (mean.sum(axis=0, keepdims=True) - mean) / max(len(mean) - 1, 1)
    weights = squared * np.maximum(mean - others, 0)
    return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12))


def _over_groups(evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = evidence - evidence.mean(axis=0)
    return np.asarray(centred / np.maximum(centred.std(axis=0), 1e-9))


def _by_chance(groups: CellGroups, called: sp.csr_array, rng: np.random.Generator) -> NDArray[np.float64]:
    """Share of random sets of genes, as many and as much expressed, that stand out as much, ``[S]``."""
    order = np.argsort(groups.mean, kind="stable")
    bins = np.arange(len(order)) // _ALIKE
    part = groups.profiles[0]
    found = _pooled(part, called).max(axis=0)
    exceeding = np.ones(called.shape[0])
    other = called.copy()
    for _ in range(_DRAWS):
        instead = np.empty(len(order), called.indices.dtype)
        instead[order] = order[np.lexsort((rng.random(len(order)), bins))]
        other.indices = instead[called.indices]
        exceeding += _pooled(part, other).max(axis=0) >= found
    return np.asarray(exceeding / (1 + _DRAWS))


def _held_out(
    part: Profile,
    likeness: NDArray[np.float32],
    called: sp.csr_array,
    null: sp.csr_array,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Evidence of one half of the genes in the groups that the other half gave to each sentence, ``[S]``."""
    half: NDArray[np.bool_] = np.less(rng.random(likeness.shape[1]), 0.5)
    rest: NDArray[np.bool_] = np.logical_not(half)
    found = []
    for seen, unseen in ((half, rest), (rest, half)):
        evidence, _ = _evidence(part, _only(called, seen), _only(null, seen))
        squared = np.maximum(likeness * seen, 0) ** _POWER
        probability, _ = _compete(part, evidence, squared, 0.0)
        other, _ = _evidence(part, _only(called, unseen), _only(null, unseen))
        share = probability * np.sqrt(part.sizes)[:, None]
        found.append((share * other).sum(axis=0) / np.maximum(share.sum(axis=0), 1e-9))
    return np.asarray(np.mean(found, axis=0))


def _only(weights: sp.csr_array, genes: NDArray[np.bool_]) -> sp.csr_array:
    """Weights of some genes, 0 of the others."""
    kept = weights.copy()
    kept.data = kept.data * genes[kept.indices]
    return kept


def _most(weights: NDArray[np.floating]) -> NDArray[np.float32]:
    """Keep the 100 largest of each row; rows sum to 1."""
    if weights.shape[1] > KEPT:
        least = -np.partition(-weights, KEPT - 1, axis=1)[:, KEPT - 1 : KEPT]
        weights = np.where(weights >= least, weights, 0)
    return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12), np.float32)
