"""``python -m bench report``: one HTML page, two figures and two tables of speed, all from the records.

The page shows the last run, and trends over all. The figures and tables show the last run without
changes in its tree among those with most of the README's suites.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench import machine, record
from bench.report import figures, page, select, tables
from bench.report.style import draw
from bench.report.words import day, machine_name

__all__ = ["main"]

_ROOT = Path(__file__).parents[2]

MakeTable = Callable[[Sequence[select.Group]], str]


def main(argv: Sequence[str] | None = None) -> int:
    """Make the page, figures and tables; 1 if a checked table is stale, 2 without records."""
    parser = argparse.ArgumentParser(prog="python -m bench report", description=main.__doc__)
    parser.add_argument("--records", type=Path, default=record.RECORDS, help="JSON Lines of runs")
    parser.add_argument("--out", type=Path, default=machine.RESULTS / "report.html", help="the page")
    parser.add_argument("--svg", type=Path, default=_ROOT / "docs" / "images", help="folder of the figures")
    parser.add_argument("--readme", type=Path, default=_ROOT / "README.md", help="gets the brief table")
    parser.add_argument(
        "--docs", type=Path, default=_ROOT / "docs" / "benchmarks.md", help="gets the whole table"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; tell whether tables are current")
    given = parser.parse_args(argv)
    records = record.load(given.records)
    if not records:
        print(f"{given.records} holds no records; run python -m bench first", file=sys.stderr)
        return 2
    run = select.readme_run(records)
    shown = select.readme_groups(run)
    pages = {given.readme: tables.brief_table, given.docs: tables.speed_table}
    if given.check:
        return max([_check(path, shown, make) for path, make in pages.items()])
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(page.render(records), encoding="utf-8")
    print(f"page: {given.out}")
    for path in _write_figures(given.svg, run):
        print(f"figure: {path}")
    for path, make in pages.items():
        if (text := _updated(path, shown, make)) is None:
            print(f"{path} is left as it is: {_why(shown)}", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"table: {path}")
    return 0


def _check(path: Path, shown: Sequence[select.Group], make: MakeTable) -> int:
    if (text := _updated(path, shown, make)) is None:
        print(f"{path} can't be checked: {_why(shown)}", file=sys.stderr)
        return 1
    if text != path.read_text(encoding="utf-8"):
        print(f"{path} is not what the records give; run python -m bench report", file=sys.stderr)
        return 1
    return 0


def _updated(path: Path, shown: Sequence[select.Group], make: MakeTable) -> str | None:
    """A page with its table made anew; None where there are no records for it, or no markers."""
    if not shown or not path.is_file():
        return None
    return tables.inserted(path.read_text(encoding="utf-8"), make(shown))


def _why(shown: Sequence[select.Group]) -> str:
    if not shown:
        return "the records hold no peer of the suites kernel, ranking, read, embed, models and tokens"
    return f"there is no {tables.BEGIN} with a {tables.END} after it"


def _write_figures(folder: Path, run: Sequence[select.Record]) -> list[Path]:
    """Write those of the two figures for which the run has times."""
    drawn: dict[str, str] = {}
    kernel = select.find_group(run, "kernel", "synthetic")
    if kernel is not None and kernel.peers:
        title = f"How many times as fast lexicell is\n{_where(kernel.headline)}"
        paint = partial(figures.speed, group=kernel, title=title)
        size = (7.6, 1.0 + 0.52 * len(kernel.peers))
        drawn["speed.svg"] = draw("speed", page.speed_alt(kernel), size, paint, alone=True)
    curve = select.one_curve(select.curves(run), "cells")
    if curve is not None:
        (points, *_) = curve.lines.values()
        title = f"What a cell costs, by how many there are\n{_where(points[0].record)}"
        paint = partial(figures.scaling, curve=curve, title=title)
        drawn["scaling.svg"] = draw("scaling", page.curve_alt(curve), (7.6, 3.4), paint, alone=True)
    if drawn:
        folder.mkdir(parents=True, exist_ok=True)
    for name, svg in drawn.items():
        (folder / name).write_text(svg, encoding="utf-8")
    return [folder / name for name in drawn]


def _where(row: select.Record) -> str:
    return f"{machine_name(row['machine'])}, {day(row['time'])}"
