"""What a search finds, and where it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lexicell._files import check_table, staged_path, write_cells

__all__ = ["BEST", "Search"]

#: Cells that are shown of each question.
BEST = 10


@dataclass(frozen=True)
class Search:
    """Cells scored by what was asked for.

    Attributes
    ----------
    scores
        One row a cell, in order, index = names, one float32 column for each question: standardised, or for
        `like` the cosine; NaN for a cell without genes. Of a search that was written to a folder only the ten
        best cells of each question, NaN in the columns of others.
    genes
        ``type`` (the question), ``gene``, ``likeness``, ``weight`` and ``added``; see
        `lexicell.words.described.Described`. Empty for `like`.
    facts
        What was used, as plain values.
    """

    scores: pd.DataFrame
    genes: pd.DataFrame
    facts: Mapping[str, Any]

    def best(self, n: int = BEST) -> pd.DataFrame:
        """Return the ``n`` best cells of each question: ``question``, ``cell``, ``score``, best first."""
        parts = []
        for question in self.scores.columns:
            column = self.scores[question]
            order = (-column.to_numpy()).argsort(kind="stable")[:n]  # NaN is last
            found = {"question": question, "cell": column.index[order], "score": column.to_numpy()[order]}
            parts.append(pd.DataFrame(found))
        return pd.concat(parts, ignore_index=True)

    def as_dict(self) -> dict[str, Any]:
        """Facts, best cells and genes as plain JSON."""
        tables = {"best": self.best(), "genes": self.genes}
        return {**self.facts, **{name: part.to_dict("records") for name, part in tables.items()}}

    def write(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the scores of all cells as ``.csv`` or ``.parquet``; see `lexicell._files.check_table`."""
        target = check_table(path, "scores", overwrite=overwrite)
        with staged_path(target, replace=overwrite) as staging:
            write_cells(self.scores, staging, target.suffix)
        return target
