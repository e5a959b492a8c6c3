"""Benchmarks: ``python -m bench [run|list|report|compare]``; without a word it runs all scenarios.

``run [SUITE...] [--only GROUP...] [--rounds 5] [--tiny]`` measures and appends to
``bench/results/records.jsonl``; ``report`` makes a page, figures and the tables of the records;
``compare A B`` tells what moved.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import record, scenario
from bench.measure import Measured, measure
from bench.suites import find
from bench.workbench import Workbench

__all__ = ["main", "run"]


def run(argv: Sequence[str]) -> int:
    """Measure scenarios, each suite in a process of its own; 1 if a result of ours was wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench run", description=run.__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(scenario.suites())}")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="GROUP", help="groups with one of these names"
    )
    parser.add_argument("--rounds", type=int, default=5, help="that count, after one that does not")
    parser.add_argument(
        "--tiny", action="store_true", help="few cells, one round, nothing recorded: does it run?"
    )
    parser.add_argument("--records", type=Path, help="JSON Lines to append to")
    parser.add_argument("--annbatch", metavar="PYTHON", help="an interpreter with annbatch, which needs 3.12")
    parser.add_argument(
        "--work",
        type=Path,
        help="folder for the files, which a later run of one suite finds again (default: a temporary one)",
    )
    parser.add_argument("--run", dest="name", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    suites = given.suites or scenario.suites()
    try:
        tables = [scenario.load(suite) for suite in suites]
    except ValueError as error:
        parser.error(str(error))
    stamp, started = record.Stamp.now(given.name), time.perf_counter()
    records = given.records or (None if given.tiny else record.RECORDS)
    if len(tables) == 1:
        return _run_suite(tables[0], given, stamp, records)
    # What one suite leaves in a process, threads and memory, slows the next one: torch's encoder tenfold.
    with tempfile.TemporaryDirectory(prefix="lexicell-bench-", dir=given.work) as folder:
        options = [word for word in argv if word not in given.suites]
        codes = [
            subprocess.run(  # noqa: S603
                [sys.executable, "-m", "bench", "run", suite, *options, "--work", folder, "--run", stamp.run],
                check=False,
            ).returncode
            for suite in suites
        ]
    where = f", run {stamp.run} in {records}" if records else ""
    print(f"{time.perf_counter() - started:.0f} s{where}", file=sys.stderr)
    return max(codes)


def _run_suite(
    rows: list[scenario.Scenario], given: argparse.Namespace, stamp: record.Stamp, records: Path | None
) -> int:
    console, progress = Console(width=None if sys.stdout.isatty() else 130), Console(stderr=True)
    wrong = 0
    with ExitStack() as stack:
        folder = given.work or stack.enter_context(tempfile.TemporaryDirectory(prefix="lexicell-bench-"))
        status = stack.enter_context(progress.status(""))
        bench = Workbench(Path(folder), tiny=given.tiny, python312=given.annbatch, tick=status.update)
        for group, members in scenario.groups(rows):
            if given.only and group not in given.only:
                continue
            load, began = os.getloadavg()[0], time.perf_counter()
            with find(rows[0].suite).cases(members, bench) as cases:
                measured = measure(cases, 1 if given.tiny else given.rounds, status.update)
            made = record.make(measured, stamp, load)
            if records is not None:
                record.append(made, records)
            wrong += sum(one.wrong and not one.case.peer for one in measured)
            title = f"{rows[0].suite}: {group}, {time.perf_counter() - began:.0f} s"
            console.print(_table(title, measured, made))
    return 1 if wrong else 0


def _table(title: str, measured: Sequence[Measured], made: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", expand=True)
    table.add_column("case", ratio=1)
    for heading in ("n", "per second", "quartiles", "time, first = 1", "facts"):
        table.add_column(heading, justify="right", max_width=36)
    for one, row in zip(measured, made, strict=True):
        if one.empty:
            table.add_row(escape(one.case.label), "", "", "", "", escape(one.empty))
            continue
        low, high = row["rate_iqr"]
        table.add_row(
            one.case.label,
            f"{one.case.n:,} {one.case.unit}",
            f"{row['rate']:,.6g}",
            f"{low:,.4g} - {high:,.4g}",
            "" if row["ratio"] is None else f"{row['ratio']:.3g}",
            ", ".join(
                f"{key} {value:.4g}" for key, value in one.facts.items() if isinstance(value, int | float)
            ),
        )
    return table


def list_scenarios(argv: Sequence[str]) -> int:
    """Print the scenarios."""
    argparse.ArgumentParser(prog="python -m bench list", description=list_scenarios.__doc__).parse_args(argv)
    for suite in scenario.suites():
        for row in scenario.load(suite):
            print(row.id)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run, list, report or compare."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    verb = words.pop(0) if words[:1] and words[0] in ("run", "list", "report", "compare") else "run"
    if verb == "report":
        from bench import report

        return report.main(words)
    if verb == "compare":
        from bench import compare

        return compare.main(words)
    return run(words) if verb == "run" else list_scenarios(words)


if __name__ == "__main__":
    sys.exit(main())
