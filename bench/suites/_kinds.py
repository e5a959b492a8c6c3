"""From a row's word for what is run to a case, whatever is missing for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bench.measure import Case
from bench.scenario import Scenario
from bench.workbench import Missing

__all__ = ["Kind", "Parts"]

#: Fields of a `Case` that depend on more than the kind.
Parts = dict[str, Any]
Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class Kind(Generic[Group]):
    """What all rows with the same word have in common.

    Attributes
    ----------
    label
        Of the case; ``{row.storage}`` and the like are replaced.
    make
        Gives the rest of the case: ``n``, ``run``, ``gate`` ... It is called with what the rows of a group
        share, and the row; `Missing` leaves the row without a number.
    peer, fairness
        See `bench.measure.Case`.
    """

    label: str
    make: Callable[[Group, Scenario], Parts]
    peer: bool = False
    fairness: str = ""

    def case(self, group: Group, row: Scenario) -> Case:
        """Make a case of a row."""
        try:
            parts = self.make(group, row)
        except Missing as why:
            parts = {"empty": str(why)}
        return Case(row, self.label.format(row=row), peer=self.peer, fairness=self.fairness, **parts)
