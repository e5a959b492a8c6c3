"""How time is taken: cases in turn, round after round, each held against the first one of the same round.

Whatever else a machine does changes from second to second, so two times can be compared only where they lie
side by side. Every round runs every case once, in the same order; a ratio is the median, over the rounds, of
quotients within a round. The first round warms up and does not count. A case that takes long may leave out
the last rounds. A case that has a gate counts only if what it computes is right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.scenario import Scenario

__all__ = ["Case", "GateError", "Measured", "Taken", "measure"]


class GateError(AssertionError):
    """The result of a case is not what the reference says: its time would mean nothing."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Times that a case took by itself, where the clock around it would count too much."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario that can be run.

    Attributes
    ----------
    scenario
        Its row.
    label
        What a reader sees.
    n, unit
        How much one run does.
    run
        One repeat; may return its own times. None where there is nothing to run, for the reason in `empty`.
    peer
        Whether it is somebody else's way, and then `fairness`: what it does more or less than ours.
    gate
        Raises `GateError` unless the result is right, and tells how right.
    before
        Is called before each repeat and not timed.
    facts
        Is called after the rounds: what else is known, as plain values.
    rounds
        How many rounds are enough, since it takes long; None for all. Where it is one, the gate warms up.
    """

    scenario: Scenario
    label: str
    n: int = 0
    unit: str = "cells"
    run: Callable[[], object] | None = None
    peer: bool = False
    fairness: str = ""
    gate: Callable[[], dict[str, Any]] | None = None
    before: Callable[[], None] | None = None
    facts: Callable[[], dict[str, Any]] | None = None
    rounds: int | None = None
    empty: str = ""

    def takes_part(self, number: int) -> bool:
        """Whether it is run in a round; the one that warms up is number 0."""
        return self.rounds is None or (number <= self.rounds and number >= (self.rounds == 1))


@dataclass(slots=True)
class Measured:
    """What came out for a case; `empty` says why there are no times.

    Attributes
    ----------
    wrong
        Whether the gate refused it.
    """

    case: Case
    empty: str = ""
    wrong: bool = False
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    gate: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def each(self) -> NDArray[np.float64]:
        """Wall and CPU seconds of a unit, ``[2, rounds]``."""
        return np.array([self.seconds, self.cpu_seconds]) / self.case.n


def measure(
    cases: Sequence[Case], rounds: int, tick: Callable[[str], None] = lambda _: None
) -> list[Measured]:
    """Hold the cases against their references, then time them in `rounds` rounds after one that warms up.

    A case that fails is left out of the rounds, and says why; the others go on.
    """
    measured = [Measured(case, case.empty) for case in cases]
    for one in measured:
        if not one.empty and one.case.gate is not None:
            tick(f"checking {one.case.label}")
            try:
                one.gate = one.case.gate()
            except GateError as error:
                one.empty, one.wrong = f"not timed, since its result is wrong: {error}", True
    for number in range(rounds + 1):
        for one in measured:
            if one.empty or not one.case.takes_part(number):
                continue
            tick(f"round {number} of {rounds}: {one.case.label}")
            taken = _timed(one.case)
            if number:
                one.seconds.append(taken.seconds)
                one.cpu_seconds.append(taken.cpu_seconds)
    for one in measured:
        if not one.empty and one.case.facts is not None:
            one.facts = one.case.facts()
    return measured


def _timed(case: Case) -> Taken:
    if case.before is not None:
        case.before()
    assert case.run is not None, f"{case.scenario.id}: neither something to run nor a reason why not"
    start, cpu = time.perf_counter(), time.process_time()
    own = case.run()
    taken = Taken(time.perf_counter() - start, time.process_time() - cpu)
    return own if isinstance(own, Taken) else taken
