"""What an annotation says, and where it is written."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._files import check_new_file, staged_path, write_cells
from lexicell.counts import is_mudata
from lexicell.errors import InputError
from lexicell.projection import UNKNOWN

__all__ = ["Annotation", "Mode", "check_output", "make_annotation"]

#: How labels were found: by a trained projection, by genes that both data sets measure, by texts between
#: data sets of other genes, by the two together, or by sentences about cell types.
Mode = Literal["projection", "loadings", "bridge", "both", "described"]

_SUFFIXES = (".h5ad", ".csv", ".parquet")


@dataclass(frozen=True)
class Annotation:
    """Labels of cells.

    Attributes
    ----------
    cells
        One row per cell, index = names: ``label`` (categorical, or "unknown"), ``confidence`` (float32) and
        ``second`` (categorical), the second-best label.
    mode
        How labels were found.
    facts
        What was used and why, and what it came to, as plain values.
    types, genes
        Of names by sentences: each type with its evidence, and the genes that speak for it; see
        `lexicell.words.Described`. None otherwise.
    """

    cells: pd.DataFrame
    mode: Mode
    facts: Mapping[str, Any]
    types: pd.DataFrame | None = None
    genes: pd.DataFrame | None = None

    @property
    def summary(self) -> pd.DataFrame:
        """Each label with its ``cells``, their ``share`` and median ``confidence``, most frequent first."""
        groups = self.cells.groupby("label", observed=True)["confidence"]
        table = pd.DataFrame({"cells": groups.size(), "confidence": groups.median()})
        table.insert(1, "share", table["cells"] / max(len(self.cells), 1))
        return table.sort_values("cells", ascending=False, kind="stable")

    def as_dict(self) -> dict[str, Any]:
        """Facts and summary as plain JSON."""
        rows = self.summary.reset_index().astype({"label": str}).to_dict("records")
        told = {"mode": self.mode, **self.facts, "labels": rows}
        if self.types is not None and self.genes is not None:
            told["sentences"] = self.types.reset_index().to_dict("records")
            told["genes"] = self.genes.to_dict("records")
        return told

    @property
    def uns(self) -> dict[str, Any]:
        """What an AnnData is told: facts, and the tables of types and genes."""
        tables = {name: table for name in ("types", "genes") if (table := getattr(self, name)) is not None}
        return {"mode": self.mode, **self.facts, **tables}

    def columns(self, key: str) -> dict[str, pd.Series[Any]]:
        """Return the columns by the names that they get in ``obs``."""
        names = {"label": key, "confidence": f"{key}_confidence", "second": f"{key}_second"}
        return {name: self.cells[column] for column, name in names.items()}

    def write(self, path: str | Path, *, query: Any, key: str, overwrite: bool = False) -> Path:
        """Write a table, or a copy of the query with three columns more.

        Parameters
        ----------
        path
            ``.csv`` (where text that a spreadsheet would run as a formula begins with ``'``) or ``.parquet``:
            the cells' names and the three columns; ``.h5ad``: the query's file,
            with the columns of `columns` in ``obs`` and the facts in ``uns[key]``.
        query
            Where the cells are from.
        key
            Name of the label's column in ``obs``.
        overwrite
            Whether an output of this name is replaced.

        Raises
        ------
        InputError
            See `check_output`.
        WriteError
            The disk is full, or the folder may not be written to.
        """
        target = check_output(path, query, overwrite=overwrite)
        with staged_path(target, replace=overwrite) as staging:
            if target.suffix == ".h5ad":
                shutil.copyfile(query, staging)
                self._add_to(staging, key)
            else:
                write_cells(self.cells, staging, target.suffix)
        return target

    def _add_to(self, file: Path, key: str) -> None:
        import h5py
        from anndata.io import read_elem

        from lexicell.store import check_own, write_element

        with h5py.File(file, "r+") as opened:
            check_own(opened, ("obs", "uns"))
            obs = read_elem(opened["obs"])
            for name, column in self.columns(key).items():
                obs[name] = column.array  # by position: names may occur twice
            write_element(opened, "obs", obs)
            write_element(opened.require_group("uns"), key, self.uns)


def check_output(path: str | Path, query: Any, *, overwrite: bool) -> Path:
    """See that an annotation of `query` can be written to `path`, before the work is done.

    Raises
    ------
    InputError
        The suffix is none of .h5ad, .csv and .parquet, or an .h5ad is asked for of what is none.
    OutputExistsError
        There is such an output, and it is not to be replaced.
    """
    target = Path(path)
    if target.suffix not in _SUFFIXES:
        msg = f"{target}: labels are written to {', '.join(_SUFFIXES)}; name such a file"
        raise InputError(msg)
    is_h5ad = isinstance(query, str | Path) and str(query).endswith(".h5ad") and not is_mudata(query)
    if target.suffix == ".h5ad" and not is_h5ad:
        msg = f"{target}: an .h5ad is written as a copy of an .h5ad; name a .csv or .parquet"
        raise InputError(msg)
    if is_h5ad and target.exists() and target.samefile(query):
        msg = f"{target} is the query itself; name another file"
        raise InputError(msg)
    check_new_file(target, overwrite=overwrite)
    return target


def make_annotation(
    names: pd.Index[Any],
    classes: tuple[str, ...],
    scores: NDArray[np.float32],
    *,
    threshold: float,
    mode: Mode,
    facts: Mapping[str, Any],
) -> Annotation:
    """Name each cell by its best class.

    Parameters
    ----------
    names
        ``[n]``.
    classes
        ``C`` of them.
    scores
        ``[n, C]``, best largest; a row of zeros is a cell of which nothing is known.
    threshold
        Score below which a cell is "unknown".
    mode, facts
        See `Annotation`; the share of unknown cells is added.
    """
    n, c = scores.shape
    order = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    confidence = scores[np.arange(n), order[:, 0]].astype(np.float32)
    empty = ~scores.any(axis=1)
    kinds = pd.Index([*classes, UNKNOWN], dtype=object)
    best = np.where(empty | (confidence < threshold), c, order[:, 0]).astype(np.int64)
    runner_up = scores[np.arange(n), order[:, -1]]
    second = np.where(empty | (runner_up <= 0), c, order[:, -1]).astype(np.int64)
    cells = pd.DataFrame(
        {
            "label": pd.Categorical.from_codes(best, kinds),
            "confidence": confidence,
            "second": pd.Categorical.from_codes(second, kinds),
        },
        index=names,
    )
    unknown = float((best == c).mean()) if n else 0.0
    return Annotation(cells, mode, {**facts, "threshold": float(threshold), "unknown": unknown})
