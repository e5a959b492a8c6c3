"""The cells of a page: all that they can be coloured by, and their places, in the order they are drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._say import printable
from lexicell.embedding import Listener
from lexicell.reporting.columns import column_of, read_obs_columns
from lexicell.reporting.content import Categories, Cells, Genes, Numbers
from lexicell.reporting.opened import OpenedRun
from lexicell.words import Search

__all__ = ["columns_of", "drawn_cells"]


def columns_of(
    run: OpenedRun,
    shown: NDArray[np.intp],
    grouped: Categories | None,
    annotated: pd.DataFrame | None,
    scores: Search | None,
    obs_columns: tuple[str, ...],
    group: str | None,
    listener: Listener,
) -> list[Categories | Numbers]:
    """All that cells can be coloured by, but genes: groups, annotation, sentences, ``obs``."""
    columns: list[Categories | Numbers] = [] if grouped is None else [grouped]
    if annotated is not None:
        for name, values in annotated.items():
            column = column_of(f"annotation: {name}", values, shown, "annotation", listener)
            columns += [] if column is None else [column]
    if scores is not None:
        for name, values in scores.scores.items():
            columns.append(Numbers(printable(str(name)), "sentence", values.to_numpy(np.float32)))
    present = {column.name for column in columns}
    return columns + read_obs_columns(run, shown, obs_columns, listener, present=present, group=group)


def drawn_cells(
    run: OpenedRun,
    shown: NDArray[np.intp],
    positions: NDArray[np.floating[Any]],
    layout: str,
    columns: Sequence[Categories | Numbers],
    grouped: Categories | None,
    genes: Genes | None,
    seed: int,
) -> Cells:
    """Shuffle cells, so that no group is drawn over the others."""
    order = np.random.default_rng(seed).permutation(len(shown))
    shuffled = [
        replace(column, codes=column.codes[order])
        if isinstance(column, Categories)
        else replace(column, values=column.values[order])
        for column in columns
    ]
    if genes is not None:
        genes = replace(
            genes, contributions=genes.contributions[:, order], top=genes.top[order],
            top_contributions=genes.top_contributions[order],
        )  # fmt: skip
    names = [printable(str(name)) for name in run.names[shown[order]]]
    group = "" if grouped is None else grouped.name
    return Cells(names, _scaled(positions[order]), layout, len(run.names), tuple(shuffled), group, genes)


def _scaled(positions: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Positions ``[n, 2]`` of any size, the longer side from -1 to 1."""
    wide = positions.astype(np.longdouble)
    low, high = wide.min(axis=0), wide.max(axis=0)
    scaled = (wide - (low + high) / 2) / ((high - low).max() / 2 or 1)
    return np.asarray(scaled, np.float32)
