"""The speed tables of the README, brief, and of docs/benchmarks.md, whole; each between two markers."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.select import Group, Record
from bench.report.words import code, day, machine_name, rate, setting, verdict

__all__ = ["BEGIN", "END", "brief_table", "inserted", "speed_table"]

BEGIN, END = "<!-- bench:speed -->", "<!-- /bench:speed -->"


def brief_table(groups: Sequence[Group]) -> str:
    """Markdown: machine and date, then a line a group that has a peer with a number: the fastest of them.

    Parameters
    ----------
    groups
        Of one run: `select.readme_groups`.
    """
    lines = [_told(groups), "", "| | lexicell | the fastest beside it | lexicell is |", "|---|---:|---|---:|"]
    for group in groups:
        timed = [row for row in group.peers if row["ratio"] is not None]
        if timed:
            fastest = min(timed, key=lambda row: float(row["ratio"]))
            beside = f"{_text(fastest['label'])}, {_rate(fastest)}"
            lines.append(f"| {_what(group)} | {_rate(group.headline)} | {beside} | {_verdict(fastest)} |")
    return "\n".join(lines)


def speed_table(groups: Sequence[Group]) -> str:
    """Markdown: machine and date, then each group's headline with its peers below, won or lost.

    Rows for a GPU where there was none are left to the page.

    Parameters
    ----------
    groups
        Of one run: `select.readme_groups`.
    """
    lines = [_told(groups), "", "| | rate | lexicell is |", "|---|---:|---:|"]
    for group in groups:
        lines.append(f"| **lexicell, {_what(group)}** | **{_rate(group.headline)}** | |")
        lines.extend(_peer(row) for row in group.peers if not _needs_gpu(row, group.headline))
    return "\n".join(lines)


def _told(groups: Sequence[Group]) -> str:
    head = groups[0].headline
    rounds = sorted({len(row["seconds"]) for group in groups for row in group.rows if row["seconds"]})
    said = f"{rounds[-1]} rounds" if len(rounds) == 1 else f"{rounds[0]} to {rounds[-1]} rounds"
    machine = f"{_text(machine_name(head['machine']))}; {day(head['time'])}, commit {code(head)}"
    return f"{machine}; medians of {said}, by `python -m bench report`."


def _what(group: Group) -> str:
    return _text(f"{group.suite}: {setting([group.headline], brief=True)}")


def _needs_gpu(row: Record, headline: Record) -> bool:
    """Whether a row has no number since it asks for a GPU; only the page tells of it."""
    asks = row["scenario"]["device"] != headline["scenario"]["device"]
    return bool(asks and row["ratio"] is None)


def _peer(row: Record) -> str:
    if row["ratio"] is None:
        return f"| {_text(row['label'])}: {_text(row['empty'])} | | no number |"
    return f"| {_text(row['label'])} | {_rate(row)} | {_verdict(row)} |"


def _verdict(row: Record) -> str:
    said = verdict(row["ratio"])
    return said if row["ratio"] >= 1 else f"**{said}**"


def _rate(row: Record) -> str:
    return rate(row["rate"], _text(row["unit"]))


def _text(words: str) -> str:
    """Words as they are, whatever Markdown would make of them."""
    for sign in "\\|<*_`[":
        words = words.replace(sign, "&lt;" if sign == "<" else f"\\{sign}")
    return " ".join(words.split())


def inserted(page: str, table: str) -> str | None:
    """The page with `table` between its markers, or None if it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return None
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"
