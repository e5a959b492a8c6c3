"""One module for each table of scenarios: it makes rows into cases that can be run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Protocol, cast

from bench.measure import Case
from bench.scenario import Scenario
from bench.workbench import Workbench

__all__ = ["Suite", "find"]


class Suite(Protocol):
    """What a module of this package offers."""

    def cases(self, rows: Sequence[Scenario], bench: Workbench) -> AbstractContextManager[list[Case]]:
        """Make the rows of one group into cases; what they need is freed at the end."""
        ...


def find(name: str) -> Suite:
    """Return the module of a suite."""
    return cast("Suite", import_module(f"bench.suites.{name}"))
