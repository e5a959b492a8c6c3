"""The counts of a group in memory, made once for all its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.peers.counts import first
from bench.scenario import Scenario
from bench.workbench import Workbench
from lexicell_kernels import CsrBlock

__all__ = ["Blocks"]


class Blocks:
    """The cells of the largest row; the other rows have the first of them, as views.

    Parameters
    ----------
    rows
        Of one group.
    bench
        Makes the cells.

    Raises
    ------
    Missing
        A real data set is not here.
    """

    def __init__(self, rows: Sequence[Scenario], bench: Workbench) -> None:
        self._bench = bench
        most = {row.data: row for row in sorted(rows, key=bench.cells)}
        kinds = {(row.data, row.counts) for row in rows}
        self._blocks = {kind: bench.blocks(replace(most[kind[0]], counts=kind[1])) for kind in kinds}

    def of(self, row: Scenario) -> list[CsrBlock]:
        """The cells of a row."""
        return first(self._blocks[row.data, row.counts], self._bench.cells(row))
