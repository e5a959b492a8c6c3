"""Names for cells of another panel: by the genes that only one side has, and by those that both have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lexicell.annotation.namer import CellNamer, Cells, NamesCells, fit_cells
from lexicell.embedding import Listener, Note
from lexicell.errors import InputError
from lexicell.learn.bridge import Bridge, fit_bridge
from lexicell.learn.classify import fit_classifier, held_out_accuracy, threshold_of
from lexicell.learn.common_genes import common_components
from lexicell.learn.gene_atlas import atlas_likenesses
from lexicell.learn.likeness import Likeness
from lexicell.lexicon import GeneAtlas

__all__ = ["LEAST_GENES", "SHIFTED", "Evidence", "Likenesses", "connect_panels", "name_by_composition"]

#: Genes that are enough to say something; those of a panel of their own, or of cells between panels.
LEAST_GENES = 3
_LEAST_VARYING = 10
#: A query is another mixture of classes if more of its cells than this would have to be of another class; the
#: same mixture comes to 0.17 at most, half of the classes to 0.26 and more (PBMC3k, Baron).
SHIFTED = 0.2
#: Rounds in which the reference is made like it, and the least part of a class there.
_ROUNDS, _LEAST_SHARE = 4, 0.01


@dataclass(frozen=True)
class Evidence:
    """What a bridge says of finished vectors, to be multiplied with other evidence.

    Attributes
    ----------
    bridge
        Of the genes that only one side has.
    threshold
        Probability below which a cell is "unknown".
    """

    bridge: Bridge
    threshold: float

    @property
    def classes(self) -> tuple[str, ...]:
        """``C`` names."""
        return self.bridge.classes

    def predict_proba(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """``[n, C]``."""
        return self.bridge.evidence(np.asarray(vectors, np.float32)).astype(np.float32)


@dataclass(frozen=True)
class Likenesses:
    """What tells which genes are alike, beside their texts.

    Attributes
    ----------
    atlas
        What unlabelled cells of other data sets have told, or None.
    through
        Unlabelled cells that have measured the genes of both sides, or None.
    """

    atlas: GeneAtlas | None = None
    through: Likeness | None = None

    @property
    def beside(self) -> tuple[Likeness, ...]:
        """Those of the atlas."""
        return atlas_likenesses(self.atlas)

    def check(self, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        """Raise InputError where the cells given as having measured both panels have not."""
        if self.through is None:
            return
        seen = (self.through.vectors != 0).any(axis=1)
        here = [int(seen[genes].sum()) for genes in (first, second)]
        if min(here) < _LEAST_VARYING:
            msg = (
                f"the cells of --through vary in {here[0]:,} of the reference's own {len(first):,} genes and "
                f"in {here[1]:,} of the query's {len(second):,}: they have not measured both panels"
            )
            raise InputError(msg)

    @property
    def facts(self) -> dict[str, Any]:
        """What there is to say."""
        learned = [] if self.atlas is None else [cells.name for cells in self.atlas.data]
        return {"atlas": learned, "through": 0 if self.through is None else self.through.vectors.shape[1]}

    def __str__(self) -> str:
        parts = ["the genes' texts"]
        if self.atlas is not None:
            parts.append(f"a gene atlas ({', '.join(self.facts['atlas'])})")
        if self.through is not None:
            parts.append(f"{self.facts['through']:,} cells that measured both panels")
        return " and ".join(parts)


def connect_panels(
    reference: Cells,
    labels: NDArray[Any],
    query: Cells,
    likenesses: Likenesses,
    facts: dict[str, Any],
    where: str,
    *,
    method: Literal["logistic", "knn"],
    seed: int,
    listener: Listener,
) -> CellNamer:
    """Connect panels by the genes that only one of them has, and by those that both have, if there are some.

    Parameters
    ----------
    reference, labels, query, likenesses, method, seed, listener
        See `fit_reference`.
    facts
        What is known already.
    where
        The same, as the beginning of a sentence.
    """
    known = np.flatnonzero(labels != "")
    lexicon, measured = reference.aligned.lexicon, query.aligned.genes.rows
    common = np.intersect1d(reference.aligned.genes.rows, measured)
    alone = np.setdiff1d(measured, common)
    genes = query.highly_variable(alone)
    if len(genes) < _LEAST_VARYING:
        msg = (
            f"{query.aligned.source.label}: its cells vary in {len(genes)} genes that the reference lacks, "
            "too few to compare them with another panel: give more cells, or genes that both measure"
        )
        raise InputError(msg)
    of_reference = reference.highly_variable(np.setdiff1d(reference.aligned.genes.rows, common))
    likenesses.check(of_reference, genes)
    cells = reference.select(of_reference)
    bridge = fit_bridge(
        cells.take(known),
        lexicon.vectors(lexicon.rows),
        labels[known],
        beside=likenesses.beside,
        through=likenesses.through,
        genes=genes,
        seed=seed,
        listener=listener,
    )
    named = labels[known][bridge.labelled]
    plan = query.plan(bridge.projection, genes)
    facts |= {"genes": plan.folded.table.n_genes, **likenesses.facts}
    connected = f"{where}, so {likenesses} connect them"
    transductive = (
        "the query's vectors are centred and scaled by its own mean and standard deviation (transductive: a "
        "cell's label depends on the others)"
    )
    sides = None
    if len(common) >= LEAST_GENES:
        sides = reference.select(common).take(known), query.select(common)
        common = np.intersect1d(sides[0].used, sides[1].used)
    if sides is None or len(common) < LEAST_GENES:
        facts["why"] = f"{connected}, and {transductive}"
        listener(Note(facts["why"], serious=True))

        def fitted(shares: NDArray[np.float64]) -> NamesCells:
            return fit_cells(bridge.recentred(shares).held_out, named, method, seed)

        classifier = fit_cells(bridge.held_out, named, method, seed)
        return CellNamer(
            "bridge", classifier, plan, bridge.finish, facts, shares=bridge.shares, recentred=fitted
        )
    components = common_components(*sides)
    # Whichever classifier is asked for: a product needs probabilities, and votes are 0 or 1.
    of_common = fit_classifier(components[0], labels[known], seed=seed)
    by_common = held_out_accuracy(components[0], labels[known], seed=seed)
    by_other = held_out_accuracy(bridge.held_out, named, seed=seed)
    facts |= {"genes_common": len(common), "held_out_common": by_common, "held_out_other": by_other}
    facts["why"] = (
        f"{connected} as to the genes that only one side has; of held-out reference cells, which a query is "
        f"not, these name {by_other:.0%} rightly, and the {len(common):,} genes that both have "
        f"{by_common:.0%} (mean over classes). What the two say is multiplied, and {transductive}"
    )
    listener(Note(facts["why"], serious=True))
    product = of_common.predict_proba(components[0])[bridge.labelled] * bridge.evidence(bridge.held_out)
    threshold = threshold_of(product / product.sum(axis=1, keepdims=True), bridge.codes)

    def evidence(shares: NDArray[np.float64]) -> NamesCells:
        return Evidence(bridge.recentred(shares), threshold)

    return CellNamer(
        "both",
        Evidence(bridge, threshold),
        plan,
        bridge.finish,
        facts,
        common=np.where(sides[1].sizes[:, None] > 0, of_common.predict_proba(components[1]), np.float32(0)),
        shares=bridge.shares,
        recentred=evidence,
    )


def name_by_composition(
    namer: CellNamer,
    probability: NDArray[np.float32],
    mixed_by: Callable[[NamesCells], NDArray[np.float32]],
    listener: Listener,
) -> tuple[NDArray[np.float32], float]:
    """Name cells again where classes are not as frequent as in the reference; and how much they differ.

    Parameters
    ----------
    namer
        With `shares` and `recentred`.
    probability
        ``[N, C]`` of the query's cells by its first classifier, after the mixture.
    mixed_by
        Gives the same by another one.
    listener
        Is told where it is done.
    """
    assert namer.shares is not None  # noqa: S101 -- they come together
    assert namer.recentred is not None  # noqa: S101
    shift = float(np.abs(probability.mean(axis=0) - namer.shares).sum() / 2)
    if shift <= SHIFTED:
        return probability, shift
    now = namer.shares
    for _ in range(_ROUNDS):
        now = (now + np.maximum(probability.mean(axis=0), _LEAST_SHARE)) / 2
        now = now / now.sum()
        probability = mixed_by(namer.recentred(now))
    text = (
        f"classes seem to be other parts of the query than of the reference (by {shift:.2f} of 1), so the "
        "reference was weighed to be like it; where classes are missing, names are less right: look at them"
    )
    listener(Note(text, serious=True))
    return probability, shift
