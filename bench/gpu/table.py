"""The numbers of a run side by side, for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import shorten
from typing import Any

from bench.gpu.plan import PREDICTED
from bench.gpu.steps import Outcome

__all__ = ["table"]

_TIMED = ("headline", "peers", "engine", "training", "sizes", "threads")
_LONGEST = 150  # characters of a reason; the record has all of it


def table(outcomes: Mapping[str, Outcome]) -> str:
    """Put the numbers side by side: cells/s, prediction, shares of what the memory allows; then all steps.

    Parameters
    ----------
    outcomes
        By name of the step.
    """
    memory = outcomes["memory"].details if "memory" in outcomes else {}
    lines = [f"{'M cells/s':>10} {'predicted':>10} {'of copy':>8} {'of gather':>10} {'ratio':>7}  case"]
    for step in _TIMED:
        rows: dict[str, dict[str, Any]] = outcomes[step].details.get("rows", {}) if step in outcomes else {}
        if rows:
            lines.append(f"-- {step}")
        for name, row in rows.items():
            predicted = PREDICTED.get(name)
            shares = [
                _share(row, memory, moved, most)
                for moved, most in (
                    ("memory_bytes_per_cell", "copy_bytes_per_s"),
                    ("gathered_bytes_per_cell", "gather_bytes_per_s"),
                )
            ]
            cells = [
                f"{row['cells_per_s'] / 1e6:10.3f}",
                f"{predicted / 1e6:10.3f}" if predicted else " " * 10,
                f"{shares[0]:8.0%}" if shares[0] else " " * 8,
                f"{shares[1]:10.0%}" if shares[1] else " " * 10,
                f"{row['ratio']:7.1f}" if "ratio" in row else " " * 7,
            ]
            lines.append(f"{' '.join(cells)}  {name}")
    lines.append("")
    for name, outcome in outcomes.items():
        reason = shorten(outcome.reason, _LONGEST, placeholder=" ...")
        lines.append(f"{name}: {outcome.status}{f' ({reason})' if reason else ''}")
    return "\n".join(lines)


def _share(row: Mapping[str, Any], memory: Mapping[str, Any], moved: str, most: str) -> float:
    if moved not in row or most not in memory:
        return 0.0
    return float(row["cells_per_s"] * row[moved] / memory[most])
