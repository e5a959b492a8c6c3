"""How much of a data set a lexicon describes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lexicell.embedding.aligned import AlignedCells
from lexicell.embedding.events import Listener, ignore
from lexicell.lexicon import Alignment, Route

__all__ = ["GeneCoverage", "gene_coverage"]


@dataclass(frozen=True)
class GeneCoverage:
    """What a lexicon knows of a data set.

    Attributes
    ----------
    routes
        ``(label, columns, share of the counts)`` for each route that occurs, "not matched" last.
    coverage
        Share of all counts that lies in described genes.
    used
        The same of those that are neither masked nor left out of a list.
    missing
        ``(gene, share of the counts)`` of the most expressed columns without a description.
    alignment
        What was counted.
    """

    routes: tuple[tuple[str, int, float], ...]
    coverage: float
    used: float
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
            "used": self.used,
            "routes": {label: {"columns": n, "counts": share} for label, n, share in self.routes},
            "missing": dict(self.missing),
            "ambiguous": list(self.alignment.ambiguous),
            "displaced": list(self.alignment.displaced),
            "dates": list(self.alignment.dates),
            "numbered": list(self.alignment.numbered),
            "var": [asdict(use) for use in self.alignment.columns],
        }


def gene_coverage(cells: AlignedCells, *, n_missing: int = 20, listener: Listener = ignore) -> GeneCoverage:
    """Sum every column of a data set, in one pass over all its cells.

    Parameters
    ----------
    cells
        The data set.
    n_missing
        How many undescribed genes to name.
    listener
        Is told the progress.

    Raises
    ------
    CountsError
        A count is negative, NaN or infinite; the message names cell and gene.
    """
    alignment, n_columns = cells.alignment, cells.source.n_columns
    totals = np.zeros(n_columns)
    for _, block in cells.blocks(summed=False, listener=listener):
        totals += np.bincount(block.indices, weights=block.data, minlength=n_columns)
    shares = totals / (totals.sum() or 1.0)
    described = alignment.rows >= 0
    routes = [
        (route.label, int(of_route.sum()), float(shares[of_route].sum()))
        for route in (*list(Route)[1:], Route.NONE)
        if (of_route := alignment.routes == route).any()
    ]
    order = np.argsort(np.where(described, -1.0, shares), kind="stable")[::-1]
    missing = [
        (_gene_name(cells, i), float(shares[i]))
        for i in order[:n_missing]
        if not described[i] and shares[i] > 0
    ]
    used = float(shares[cells.genes.rank >= 0].sum())
    return GeneCoverage(tuple(routes), float(shares[described].sum()), used, tuple(missing), alignment)


def _gene_name(cells: AlignedCells, column: int) -> str:
    name, shown = cells.alignment.names[column], str(cells.source.var.index[column])
    return name if name == shown else f"{shown} ({name})"
