"""Everything there is to say about a table of gene vectors before a cell is embedded with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lexicell.evaluation.controls import BAGS, CONTROLS, bag_vectors, control_vectors
from lexicell.evaluation.genes.geometry import Geometry, Neighbours, measure_geometry, nearest_genes
from lexicell.evaluation.genes.membership import (
    Membership,
    MembershipProtocol,
    NameLeak,
    name_leak,
    predict_membership,
)
from lexicell.lexicon import Lexicon
from lexicell.lexicon.gene_sets import GO_SETS, match_gene_sets, read_gene_sets

__all__ = ["GeneReport", "Prediction", "evaluate_genes"]

#: How the lexicon itself is called among its controls.
_OURS = "lexicon"


@dataclass(frozen=True)
class Prediction:
    """How well the members of some gene sets were predicted.

    Attributes
    ----------
    membership
        AUROCs of the tables ``"lexicon"``, ``"shuffled"`` and ``"random"``.
    leak
        How much of the answer stands in the texts; None where the lexicon stores none.
    """

    membership: Membership
    leak: NameLeak | None

    def summary(self) -> dict[str, dict[str, float]]:
        """Table -> mean, median, lowest and highest AUROC of its terms."""
        by_table = {table: self.membership.by_term(table) for table in self.membership.tables}
        if self.leak is not None:
            by_table["name in text"] = self.leak.auroc
        return {
            table: {
                "mean": float(auroc.mean()),
                "median": float(np.median(auroc)),
                "lowest": float(auroc.min()),
                "highest": float(auroc.max()),
            }
            for table, auroc in by_table.items()
        }


@dataclass(frozen=True)
class GeneReport:
    """What `evaluate_genes` found.

    Attributes
    ----------
    lexicon
        What was evaluated.
    protocol
        How membership was predicted.
    geometry
        Of the tables ``"lexicon"`` and ``"random"``.
    neighbours
        Of the requested genes.
    predictions
        One for each file of gene sets.
    """

    lexicon: Lexicon
    protocol: MembershipProtocol
    geometry: dict[str, Geometry]
    neighbours: tuple[Neighbours, ...]
    predictions: tuple[Prediction, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the cosines of pairs, for JSON."""
        return {
            "lexicon": self.lexicon.name,
            "identity": self.lexicon.identity,
            "genes": self.lexicon.n_genes,
            "dim": self.lexicon.dim,
            "seed": self.protocol.seed,
            "repeats": self.protocol.repeats,
            "geometry": {
                table: {
                    "mean_cosine": shape.mean_cosine,
                    "effective_rank": shape.effective_rank,
                    "zero_vectors": shape.n_zero,
                    "variance_of_components": {str(n): shape.share(n) for n in (1, 5, 10)},
                }
                for table, shape in self.geometry.items()
            },
            "neighbours": {p.gene: dict(p.nearest) for p in self.neighbours},
            "sets": {p.membership.sets.name: _prediction_dict(p) for p in self.predictions},
        }


def evaluate_genes(
    lexicon: Lexicon,
    *,
    neighbours: Sequence[str] | None = None,
    sets: Sequence[str | Path] = (GO_SETS,),
    protocol: MembershipProtocol | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> GeneReport:
    """Evaluate a lexicon's vectors: neighbours, geometry, and whether they tell gene sets apart.

    Parameters
    ----------
    lexicon
        What to evaluate.
    neighbours
        Genes whose neighbours are wanted; by default some well-known ones.
    sets
        GMT files, or ``"go-bp"`` for the Gene Ontology sets that come with the package; see `read_gene_sets`.
    protocol
        How membership is predicted; by default as in the benchmark.
    threads, progress
        See `predict_membership`.

    Returns
    -------
    GeneReport
        The same numbers for the same lexicon and seed.

    Raises
    ------
    InputError
        A file cannot be used, a gene is not in the lexicon, or no set has 20 described genes.
    CorruptDataError
        A file is truncated.
    MissingExtraError
        scikit-learn is not installed and there are sets.
    """
    protocol = protocol or MembershipProtocol()
    matched = [match_gene_sets(lexicon, read_gene_sets(path)) for path in sets]
    nearest = nearest_genes(lexicon, neighbours)
    vectors = lexicon.vectors(lexicon.rows)
    drawn = {control: control_vectors(vectors, control, seed=protocol.seed) for control in CONTROLS}
    shapes = {
        _OURS: measure_geometry(vectors, seed=protocol.seed),
        "random": measure_geometry(drawn["random"], seed=protocol.seed),
    }
    bags = {bag: bag_vectors(lexicon, bag, seed=protocol.seed) for bag in BAGS} if matched else {}
    drawn |= {bag: table for bag, table in bags.items() if table is not None}
    controls = {control: table.__getitem__ for control, table in drawn.items()}
    total = sum(len(sets_.terms) for sets_ in matched)
    predictions: list[Prediction] = []
    n_done = 0
    for sets_ in matched:

        def advance(done: int, _: int, n_done: int = n_done) -> None:
            if progress is not None:
                progress(n_done + done, total)

        membership = predict_membership(
            sets_, {_OURS: lexicon.vectors, **controls}, protocol, threads=threads, progress=advance
        )
        predictions.append(Prediction(membership, name_leak(lexicon, sets_)))
        n_done += len(sets_.terms)
    return GeneReport(lexicon, protocol, shapes, nearest, tuple(predictions))


def _prediction_dict(prediction: Prediction) -> dict[str, Any]:
    sets = prediction.membership.sets
    terms = prediction.membership.as_dict()
    if prediction.leak is not None:
        for term, auroc in zip(terms.values(), prediction.leak.auroc.tolist(), strict=True):
            term["name in text"] = auroc
    return {
        "genes": sets.n_names,
        "described": sets.n_matched,
        "skipped": dict(sets.skipped),
        "auroc": prediction.summary(),
        "name_in_text": None
        if prediction.leak is None
        else {
            "positives": float(prediction.leak.positives.mean()),
            "negatives": float(prediction.leak.negatives.mean()),
        },
        "terms": terms,
    }
