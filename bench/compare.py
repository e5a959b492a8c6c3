"""What moved between two runs beyond noise: ``python -m bench compare A B``; 1 if a ratio got worse.

A and B are runs, commits (their first digits will do) or files of records; of a scenario that was measured
more than once the last record counts. A ratio got worse if a peer's fell (lexicell is ahead by less) or a row
of our own costs more than it did beside its headline. Rates are told for information, and only of one kind of
machine.

A value with medians m moved if ``|log(mB / mA)| > max(log 1.10, 3 sqrt(sA^2 + sB^2))``. The standard error of
a median of n rounds is ``s = 1.2533 IQR / 1.349 / sqrt(n)``, all in log space: 1.349 standard deviations lie
between the quartiles of normal values, and their median scatters 1.2533 times as much as their mean. A single
round has no quartiles, so only the ten percent hold there.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import record
from bench.report.select import Record
from bench.report.words import code, day, machine_name, rate, round_to

__all__ = ["UnknownRunError", "change", "find", "main", "noise", "worse"]

_LEAST = math.log(1.10)


class UnknownRunError(ValueError):
    """There is no such run, commit or file."""


def find(word: str, records: Sequence[Record]) -> dict[str, Record]:
    """Records of a run, of a commit or in a file, by scenario.

    Raises
    ------
    UnknownRunError
        `word` is none of these, the beginning of several commits, or a file without records.
    """
    if Path(word).is_file():
        return {row["id"]: row for row in _read(Path(word))}
    fitting = [row for row in records if row["run"] == word]
    if not fitting and len(word) >= 4:
        fitting = [row for row in records if (row["commit"] or "").startswith(word)]
    commits = {row["commit"] for row in fitting}
    if len(commits) > 1 and word not in {row["run"] for row in fitting}:
        msg = f"{word} is the beginning of several commits: {', '.join(sorted(commits))}"
        raise UnknownRunError(msg)
    if not fitting:
        there = [
            f"{run} ({code(rows[0])}, {day(rows[0]['time'])})" for run, rows in record.runs(records).items()
        ]
        msg = f"{word} is no run, commit or file; there are {', '.join(there) or 'no records'}"
        raise UnknownRunError(msg)
    return {row["id"]: row for row in fitting}


def _read(path: Path) -> list[Record]:
    try:
        found = record.load(path)
    except ValueError as error:
        msg = f"{path} is not JSON Lines: {error}"
        raise UnknownRunError(msg) from error
    if not found:
        msg = f"{path} holds no records of format {record.FORMAT}"
        raise UnknownRunError(msg)
    return found


def change(a: Record, b: Record, what: str) -> float | None:
    """Logarithm of how many times as large ``ratio`` or ``rate`` is in `b`; None where one has none."""
    if a[what] is None or b[what] is None:
        return None
    return math.log(b[what] / a[what])


def noise(a: Record, b: Record, what: str) -> float:
    """How large a `change` must be to count."""
    return max(_LEAST, 3 * math.hypot(_error(a, what), _error(b, what)))


def _error(row: Record, what: str) -> float:
    low, high = row[f"{what}_iqr"]
    return 1.2533 * math.log(high / low) / 1.349 / math.sqrt(len(row["seconds"]))


def worse(a: Record, b: Record) -> bool | None:
    """Whether the ratio moved in the wrong direction; None if it didn't move."""
    by = change(a, b, "ratio")
    if by is None or abs(by) <= noise(a, b, "ratio"):
        return None
    return by < 0 if b["peer"] else by > 0


def main(argv: Sequence[str] | None = None) -> int:
    """Tell what moved from A to B; 1 if a ratio got worse, 2 if A or B is unknown."""
    parser = argparse.ArgumentParser(prog="python -m bench compare", description=main.__doc__)
    parser.add_argument("a", metavar="A", help="a run, a commit or a file of records")
    parser.add_argument("b", metavar="B", help="the later one")
    parser.add_argument("--records", type=Path, default=record.RECORDS, help="JSON Lines of runs")
    given = parser.parse_args(argv)
    try:
        records = _read(given.records) if given.records.is_file() else []
        a, b = find(given.a, records), find(given.b, records)
    except UnknownRunError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"A: {_described(a)}")
    print(f"B: {_described(b)}")
    both = [(row, b[name]) for name, row in a.items() if name in b]
    if not all(record.same_machine(*pair) for pair in both):
        print("DIFFERENT MACHINES: only ratios are compared.")
    lost = _tell_ratios(both)
    _tell_rates([pair for pair in both if record.same_machine(*pair)])
    for side, here, other in (("A", a, b), ("B", b, a)):
        for name in sorted(here.keys() - other.keys()):
            print(f"only in {side}: {name}")
    return 1 if lost else 0


def _described(rows: dict[str, Record]) -> str:
    """Runs, commits, dates and machines of some records."""
    said = {
        (row["run"], code(row), day(row["time"]), machine_name(row["machine"])): None for row in rows.values()
    }
    runs = "; ".join(f"run {run}, {commit}, {date}, {where}" for run, commit, date, where in said)
    return f"{runs}; {len(rows)} scenarios"


def _tell_ratios(both: Sequence[tuple[Record, Record]]) -> int:
    """Print the ratios that moved, and the rows that could not be compared; how many got worse."""
    lost = moved = compared = 0
    for a, b in both:
        if b["empty"] and not a["empty"]:
            print(f"no number in B: {_name(b)}: {b['empty']}")
        elif a["empty"] and not b["empty"]:
            print(f"no number in A: {_name(a)}: {a['empty']}")
        elif a["against"] != b["against"]:
            print(f"held against another row: {_name(b)}")
        elif a["ratio"] is not None and b["ratio"] is not None:
            compared += 1
            if (bad := worse(a, b)) is not None:
                moved, lost = moved + 1, lost + bad
                print(f"{'WORSE ' if bad else 'better'} {_name(b)}: {_moved(a, b, 'ratio')}")
    print(f"{moved} of {compared} ratios moved beyond noise, {lost} for the worse")
    return lost


def _tell_rates(both: Sequence[tuple[Record, Record]]) -> None:
    for a, b in both:
        by = change(a, b, "rate")
        if by is not None and abs(by) > noise(a, b, "rate"):
            print(f"for information: {_name(b)}: {_moved(a, b, 'rate')}")


def _moved(a: Record, b: Record, what: str) -> str:
    said = [rate(row["rate"], row["unit"]) if what == "rate" else round_to(row[what]) for row in (a, b)]
    times, needed = math.exp(change(a, b, what) or 0), math.exp(noise(a, b, what))
    return f"{what} {said[0]} -> {said[1]} (x {times:.2f}; noise is up to x {needed:.2f})"


def _name(row: Record) -> str:
    return f"{row['scenario']['suite']} {row['scenario']['group']}: {row['label']}"
