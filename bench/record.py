"""What is kept of a run: one line of JSON for each scenario, appended to a file that only grows."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from bench.measure import Measured

__all__ = ["FORMAT", "RECORDS", "Stamp", "append", "load", "make", "runs", "same_machine"]

FORMAT = 2
RECORDS = machine.RESULTS / "records.jsonl"
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What all records of a run share.

    Attributes
    ----------
    run
        Eight hex digits.
    commit, dirty
        Of the repository, and whether its working tree differs; None and True where there is none.
    machine
        `bench.machine.fingerprint`.
    """

    run: str
    commit: str | None
    dirty: bool
    machine: dict[str, Any]

    @classmethod
    def now(cls, run: str | None = None) -> Stamp:
        """Of a run that begins, or of a part of one that has."""
        commit = _git("rev-parse", "HEAD")
        changed = _git(
            "status", "--porcelain", "--", ".", ":!bench/results", ":!studies", ":!docs/images",
            ":!docs/benchmarks.md", ":!README.md",
        )  # fmt: skip
        return cls(run or secrets.token_hex(4), commit, changed != "", machine.fingerprint())


def _git(*words: str) -> str | None:
    try:
        said = subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True, check=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


def make(measured: Sequence[Measured], stamp: Stamp, load: float) -> list[dict[str, Any]]:
    """Records of a group whose headline comes first.

    Parameters
    ----------
    load
        Load average just before.
    """
    head = measured[0]
    return [
        {
            "format": FORMAT,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "run": stamp.run,
            "commit": stamp.commit,
            "dirty": stamp.dirty,
            "id": one.case.scenario.id,
            "scenario": asdict(one.case.scenario),
            "label": one.case.label,
            "peer": one.case.peer,
            "fairness": one.case.fairness,
            "unit": one.case.unit,
            "n": one.case.n,
            "seconds": [round(s, 6) for s in one.seconds],
            "cpu_seconds": [round(s, 6) for s in one.cpu_seconds],
            **_speed(one),
            **_against(one, head),
            "gate": one.gate,
            "facts": one.facts,
            "empty": one.empty,
            "affinity": _affinity(),
            "load": round(load, 2),
            "machine": stamp.machine,
        }
        for one in measured
    ]


def _speed(one: Measured) -> dict[str, Any]:
    if not one.seconds:
        return {"rate": None, "rate_iqr": None}
    low, middle, high = np.quantile(1 / one.each()[0], [0.25, 0.5, 0.75])
    return {"rate": _rounded(middle), "rate_iqr": [_rounded(low), _rounded(high)]}


def _against(one: Measured, head: Measured) -> dict[str, Any]:
    """How many times the time of the headline's unit a unit takes, by quotients within a round."""
    if one is head or not one.seconds or not head.seconds:
        against = None if one is head else head.case.scenario.id
        return {"against": against, "ratio": None, "ratio_iqr": None, "cpu_ratio": None}
    n = min(len(one.seconds), len(head.seconds))  # a case that takes long has only the first rounds
    wall, cpu = one.each()[:, :n] / np.maximum(head.each()[:, :n], 1e-12)
    low, middle, high = np.quantile(wall, [0.25, 0.5, 0.75])
    return {
        "against": head.case.scenario.id,
        "ratio": _rounded(middle),
        "ratio_iqr": [_rounded(low), _rounded(high)],
        "cpu_ratio": _rounded(float(np.median(cpu))),
    }


def _rounded(value: float) -> float:
    """Five significant digits."""
    return float(f"{value:.5g}")


def _affinity() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def append(records: Sequence[dict[str, Any]], path: Path = RECORDS) -> None:
    """Add records to the end of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")


def load(path: Path = RECORDS) -> list[dict[str, Any]]:
    """Read the records of this format, in the order in which they were written."""
    if not path.is_file():
        return []
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return [record for record in lines if record.get("format") == FORMAT and "scenario" in record]


def runs(records: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Records by run, the earliest run first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        found.setdefault(record["run"], []).append(record)
    return found


def same_machine(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two records come from the same kind of machine, so that their seconds may be compared."""
    return all(one["machine"].get(key) == other["machine"].get(key) for key in ("cpu", "cpus", "system"))
