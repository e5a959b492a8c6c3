"""How much of a data set a lexicon describes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lexicell._arrays import move
from lexicell.atlas import CountSource, Values, check_values, decode_values
from lexicell.embedding.events import Advanced, Listener, ignore
from lexicell.embedding.pipeline import MAX_NNZ
from lexicell.lexicon import Alignment, Route

__all__ = ["GeneReport", "gene_report"]


@dataclass(frozen=True)
class GeneReport:
    """What a lexicon knows of a data set.

    Attributes
    ----------
    routes
        ``(label, columns, share of the counts)`` for each route that occurs, "not matched" last.
    coverage
        Share of all counts that lies in described genes.
    missing
        ``(gene, share of the counts)`` of the most expressed columns without a description.
    alignment
        What was counted.
    """

    routes: tuple[tuple[str, int, float], ...]
    coverage: float
    missing: tuple[tuple[str, float], ...]
    alignment: Alignment

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {
            "gene_column": self.alignment.column,
            "organism": self.alignment.organism,
            "columns": len(self.alignment.names),
            "matched_columns": self.alignment.n_matched,
            "genes": self.alignment.n_genes,
            "coverage": self.coverage,
            "routes": {label: {"columns": n, "counts": share} for label, n, share in self.routes},
            "missing": dict(self.missing),
            "ambiguous": list(self.alignment.ambiguous),
            "displaced": list(self.alignment.displaced),
            "dates": list(self.alignment.dates),
            "numbered": list(self.alignment.numbered),
            "var": [asdict(use) for use in self.alignment.columns],
        }


def gene_report(
    source: CountSource,
    alignment: Alignment,
    values: Values,
    *,
    n_missing: int = 20,
    listener: Listener = ignore,
) -> GeneReport:
    """Sum every column of a data set, in one pass over all its cells.

    Parameters
    ----------
    source, alignment, values
        The data set, its genes and what its numbers are.
    n_missing
        How many undescribed genes to name.
    listener
        Is told the progress.

    Raises
    ------
    CountsError
        A count is negative, NaN or infinite; the message names cell and gene.
    """
    totals = np.zeros(source.n_columns)
    for start, stop in source.spans(MAX_NNZ):
        block = move(source.read(start, stop), "cpu")
        check_values(source, block, start, values)
        block = decode_values(block, values)
        totals += np.bincount(block.indices, weights=block.data, minlength=source.n_columns)
        listener(Advanced(stop, source.n_cells))
    shares = totals / (totals.sum() or 1.0)
    described = alignment.rows >= 0
    routes = [
        (route.label, int(of_route.sum()), float(shares[of_route].sum()))
        for route in (*list(Route)[1:], Route.NONE)
        if (of_route := alignment.routes == route).any()
    ]
    order = np.argsort(np.where(described, -1.0, shares), kind="stable")[::-1]
    missing = [
        (_gene_name(source, alignment, i), float(shares[i]))
        for i in order[:n_missing]
        if not described[i] and shares[i] > 0
    ]
    return GeneReport(tuple(routes), float(shares[described].sum()), tuple(missing), alignment)


def _gene_name(source: CountSource, alignment: Alignment, column: int) -> str:
    name, shown = alignment.names[column], str(source.var.index[column])
    return name if name == shown else f"{shown} ({name})"
