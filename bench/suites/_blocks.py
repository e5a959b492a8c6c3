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
    """The cells of the largest row, made when they are needed; the other rows have the first, as views.

    Parameters
    ----------
    rows
        Of one group.
    bench
        Makes the cells.
    """

    def __init__(self, rows: Sequence[Scenario], bench: Workbench) -> None:
        self._bench = bench
        self._most = {row.data: row for row in sorted(rows, key=bench.cells)}
        self._blocks: dict[tuple[str, str], list[CsrBlock]] = {}

    def of(self, row: Scenario) -> list[CsrBlock]:
        """The cells of a row; `Missing` where a real data set is not here."""
        kind = row.data, row.counts
        if kind not in self._blocks:
            self._blocks[kind] = self._bench.blocks(replace(self._most[row.data], counts=row.counts))
        return first(self._blocks[kind], self._bench.cells(row))
