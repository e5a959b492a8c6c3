"""Do gene vectors know which genes belong together? Membership of gene sets, predicted for held-out genes.

The protocol is that of ylaboratory/gene-embedding-benchmarks (single-gene task), read from its code: an SVM
with an RBF kernel on the vectors as they are, ten negatives for each positive, its cost chosen by the mean
AUROC of three folds of 80 % of the genes, and the AUROC of the other 20 %.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import blake3
import numpy as np
from numpy.typing import NDArray

from lexicell.errors import InputError, needing
from lexicell.lexicon import Lexicon
from lexicell.lexicon.gene_sets import MatchedSets, Term
from lexicell_kernels.cpu import available_cpus

__all__ = [
    "GeneSplit",
    "GeneVectors",
    "Membership",
    "MembershipProtocol",
    "NameLeak",
    "draw_split",
    "name_leak",
    "predict_membership",
]

#: Lexicon rows int ``[n]`` -> vectors float32 ``[n, d]``; `Lexicon.vectors` is one.
GeneVectors = Callable[[NDArray[np.integer[Any]]], NDArray[np.float32]]


@dataclass(frozen=True)
class MembershipProtocol:
    """How membership is predicted.

    Attributes
    ----------
    seed, repeats
        Of the splits; each repeat draws negatives and splits anew.
    costs
        Values of C that are tried.
    negatives
        For each positive.
    held_out
        Share of positives, and of negatives, that is scored at the end.
    folds
        Of the rest, to choose the cost.
    most_genes
        Larger sets are predicted from so many genes of theirs, drawn anew in each repeat; memory grows with
        the square (500: 250 MB a thread).
    """

    seed: int = 0
    repeats: int = 1
    costs: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
    negatives: int = 10
    held_out: float = 0.2
    folds: int = 3
    most_genes: int = 500


@dataclass(frozen=True)
class GeneSplit:
    """The genes of one prediction.

    Attributes
    ----------
    rows
        ``[n]`` int32 lexicon rows, no row twice.
    positive
        ``[n]`` bool.
    fold
        ``[n]`` int8, -1 for held-out genes.
    """

    rows: NDArray[np.int32]
    positive: NDArray[np.bool_]
    fold: NDArray[np.int8]


@dataclass(frozen=True)
class Membership:
    """How well membership was predicted.

    Attributes
    ----------
    sets
        What was predicted.
    tables
        Names of the tables.
    auroc
        ``[terms, tables, repeats]`` of held-out genes: 0.5 for guessing, 1 for no mistake.
    n_positives, n_negatives
        ``[terms]`` genes of each kind.
    """

    sets: MatchedSets
    tables: tuple[str, ...]
    auroc: NDArray[np.float64]
    n_positives: NDArray[np.int64]
    n_negatives: NDArray[np.int64]

    def by_term(self, table: str) -> NDArray[np.float64]:
        """AUROC of each term, mean over the repeats."""
        means: NDArray[np.float64] = self.auroc[:, self.tables.index(table)].mean(axis=-1)
        return means

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Id of each term -> its name, genes and AUROC by table."""
        means = self.auroc.mean(axis=-1).tolist()
        return {
            term.id: {
                "name": term.label,
                "positives": int(self.n_positives[i]),
                "negatives": int(self.n_negatives[i]),
                **dict(zip(self.tables, means[i], strict=True)),
            }
            for i, term in enumerate(self.sets.terms)
        }


@dataclass(frozen=True)
class NameLeak:
    """Whether the texts give away what is predicted.

    Attributes
    ----------
    positives, negatives
        ``[terms]`` share of a term's genes, and of the genes negatives are drawn from, whose text holds the
        term's name word for word.
    """

    positives: NDArray[np.float64]
    negatives: NDArray[np.float64]

    @property
    def auroc(self) -> NDArray[np.float64]:
        """``[terms]`` AUROC of knowing nothing but whether the name is there."""
        return (1 + self.positives - self.negatives) / 2

    @property
    def matters(self) -> bool:
        """Whether one gene in twenty, on average over the terms, is given away."""
        return bool(len(self.positives) and np.mean(self.positives - self.negatives) >= 0.05)


def predict_membership(
    sets: MatchedSets,
    tables: Mapping[str, GeneVectors],
    protocol: MembershipProtocol | None = None,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Membership:
    """Predict which genes belong to each set, from each table on the same splits.

    Parameters
    ----------
    sets
        From `match_gene_sets`.
    tables
        Name -> vectors by lexicon row.
    protocol
        By default the benchmark's.
    threads
        Terms at a time; by default as many as there are processors.
    progress
        Called with terms done and all terms, from the calling thread.

    Returns
    -------
    Membership
        The same for any number of threads, and for each term whatever the others are.

    Raises
    ------
    InputError
        If no set can be predicted.
    MissingExtraError
        If scikit-learn is not installed.

    Notes
    -----
    Where this differs from the benchmark's code: its random numbers depend on the order of Python sets and
    cannot be repeated, so each term draws by a generator of its own; its genes are those that 38 embeddings
    have in common, these are the lexicon's; sets beyond `MembershipProtocol.most_genes` are sampled.
    """
    with needing("evaluate", "Predicting gene sets"):
        import sklearn.svm  # noqa: F401
    protocol = protocol or MembershipProtocol()
    if not sets.terms:
        largest = max((n for _, n in sets.skipped), default=0)
        msg = f"no set of {sets.name} has enough described genes to be predicted; the largest has {largest}"
        raise InputError(msg)
    jobs = [(i, repeat) for i in range(len(sets.terms)) for repeat in range(protocol.repeats)]
    auroc = np.empty((len(sets.terms), len(tables), protocol.repeats))
    sizes = np.empty((len(sets.terms), 2), np.int64)

    ended = threading.Event()  # so that an interrupt need not wait for the largest sets

    def run(i: int, repeat: int) -> None:
        split = draw_split(sets.terms[i], protocol, repeat)
        sizes[i] = split.positive.sum(), (~split.positive).sum()
        for j, vectors in enumerate(tables.values()):
            if ended.is_set():
                return
            auroc[i, j, repeat] = held_out_auroc(vectors(split.rows), split, protocol)

    pool = ThreadPoolExecutor(threads or available_cpus())
    try:
        # The largest first, so that the last thread does not end long after the others.
        jobs.sort(key=lambda job: -len(sets.terms[job[0]].positives))
        for done, future in enumerate(as_completed([pool.submit(run, *job) for job in jobs]), start=1):
            future.result()
            if progress is not None:
                progress(done // protocol.repeats, len(sets.terms))
    finally:
        ended.set()
        pool.shutdown(cancel_futures=True)
    return Membership(sets, tuple(tables), auroc, sizes[:, 0], sizes[:, 1])


def draw_split(term: Term, protocol: MembershipProtocol, repeat: int = 0) -> GeneSplit:
    """Draw negatives, held-out genes and folds of one term.

    As many negatives are drawn from each group; what the groups share or lack is made up for from the whole
    pool. Positives and negatives are shuffled and cut on their own. A pool that is too small is taken whole.

    Raises
    ------
    InputError
        If there is no negative for each fold and the held-out genes.
    """
    digest = blake3.blake3(term.id.encode()).digest(8)
    rng = np.random.default_rng([protocol.seed, repeat, int.from_bytes(digest, "little")])
    positives = rng.permutation(term.positives)[: protocol.most_genes]
    total = min(protocol.negatives * len(positives), len(term.pool))
    drawn = [
        rng.choice(group, min(total // len(term.groups), len(group)), replace=False) for group in term.groups
    ]
    chosen = np.unique(np.concatenate(drawn)) if drawn else np.empty(0, np.int32)
    others = rng.permutation(np.setdiff1d(term.pool, chosen))[: total - len(chosen)]
    negatives = rng.permutation(np.concatenate([chosen, others]))
    if min(len(positives), len(negatives)) <= protocol.folds:
        msg = (
            f"the set {term.label!r} leaves {len(negatives)} genes as negatives for its {len(positives)}; "
            "give a file with more sets"
        )
        raise InputError(msg)
    folds = [_folds(len(genes), protocol) for genes in (positives, negatives)]
    positive = np.repeat([True, False], [len(positives), len(negatives)])
    rows = np.concatenate([positives, negatives]).astype(np.int32)
    return GeneSplit(rows, positive, np.concatenate(folds))


def held_out_auroc(vectors: NDArray[np.float32], split: GeneSplit, protocol: MembershipProtocol) -> float:
    """AUROC of the held-out genes of one split, with the cost that is best in the folds.

    Squared distances are computed once for all costs and folds, whatever ``d``, and the kernel from them; the
    benchmark's ``gamma="scale"`` is taken from the genes that each model is fitted to.

    Parameters
    ----------
    vectors
        ``[n, d]``, of ``split.rows``.
    split, protocol
        What to predict, and how.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.svm import SVC

    wide = vectors.astype(np.float64)
    squares = (wide * wide).sum(axis=1)
    distances = squares[:, None] + squares - 2 * (wide @ wide.T)
    np.maximum(distances, 0, out=distances)

    def auroc(fitted: NDArray[np.bool_], tested: NDArray[np.bool_], costs: Sequence[float]) -> list[float]:
        variance = wide[fitted].var()
        gamma = 1 / (wide.shape[1] * variance) if variance > 0 else 1.0
        kernel = np.exp(-gamma * distances[np.ix_(fitted, fitted)])
        cross = np.exp(-gamma * distances[np.ix_(tested, fitted)])
        scores = []
        for cost in costs:
            model = SVC(C=cost, kernel="precomputed", class_weight="balanced")
            model.fit(kernel, split.positive[fitted])
            scores.append(float(roc_auc_score(split.positive[tested], model.decision_function(cross))))
        return scores

    tried = np.mean(
        [
            auroc((split.fold >= 0) & (split.fold != fold), split.fold == fold, protocol.costs)
            for fold in range(protocol.folds)
        ],
        axis=0,
    )
    best = protocol.costs[int(np.argmax(tried))]  # the first of several
    return auroc(split.fold >= 0, split.fold < 0, [best])[0]


def name_leak(lexicon: Lexicon, sets: MatchedSets) -> NameLeak | None:
    """Look for the terms' names in the texts of the genes; None where the lexicon stores no texts.

    A word-for-word match, whatever the case: a lower bound, as a text may say the same in other words.
    """
    texts = [(text or "").casefold() for text in lexicon.read_genes(["text"]).column("text").to_pylist()]
    if not any(texts):
        return None
    shares = []
    for term in sets.terms:
        name = term.label.casefold()
        shares.append(
            [np.mean([name in texts[row] for row in rows] or 0.0) for rows in (term.positives, term.pool)]
        )
    leaks = np.array(shares, np.float64).reshape(-1, 2)
    return NameLeak(leaks[:, 0], leaks[:, 1])


def _folds(n: int, protocol: MembershipProtocol) -> NDArray[np.int8]:
    """Cut n shuffled genes: the first `held_out` are -1, the others contiguous folds 0, 1, ..."""
    size = max(1, int(protocol.held_out * n))
    sizes = [len(part) for part in np.array_split(np.arange(n - size), protocol.folds)]
    return np.repeat(np.arange(-1, protocol.folds, dtype=np.int8), [size, *sizes])
