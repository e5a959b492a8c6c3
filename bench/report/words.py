"""How numbers, machines and settings are said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

__all__ = [
    "code",
    "day",
    "factor",
    "machine_name",
    "percent",
    "rate",
    "round_to",
    "setting",
    "spread",
    "verdict",
]

#: How a scenario's columns are said, where not by their own words.
_WORDS: dict[str, dict[str, str]] = {
    "k": {"all": "all genes"},
    "counts": {"f32": "float32 counts", "u16": "uint16 counts"},
    "table": {"f16": "float16 table", "f32": "float32 table"},
    "storage": {
        "memory": "counts in memory",
        "h5ad": "gzip h5ad",
        "h5ad-plain": "plain h5ad",
        "zarr": "AnnData-Zarr",
        "packed": "packed",
    },
    "device": {"cpu": "CPU", "cuda": "GPU"},
    "threads": {"all": "all threads", "1": "1 thread"},
}
_PHRASES = {"k": "top {} genes", "p": "{} dimensions", "threads": "{} threads", "cache": "{} cache"}
_BRIEF = ("k", "p", "storage")


def round_to(value: float, digits: int = 3) -> str:
    """`value` with so many significant digits, and commas: ``179,000``, ``66.1``, ``0.0123``."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:.{digits}g}"


def rate(value: float, unit: str) -> str:
    """Units of work a second."""
    return f"{round_to(value)} {unit}/s"


def factor(value: float) -> str:
    """``554x``, ``66x``, ``6.6x``, ``1.18x``."""
    if value >= 10:
        return f"{value:,.0f}x"
    return f"{value:.2g}x" if value >= 2 else f"{value:.3g}x"


def verdict(ratio: float) -> str:
    """How lexicell stands to a peer that takes `ratio` times its time."""
    said = factor(max(ratio, 1 / ratio))
    if said == "1x":
        return "as fast"
    return f"{said} {'faster' if ratio > 1 else 'slower'}"


def percent(share: float) -> str:
    """``41%``, ``<1%``."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def spread(quartiles: Sequence[float]) -> str:
    """Two quartiles."""
    low, high = (round_to(value) for value in quartiles)
    return low if low == high else f"{low} to {high}"


def day(time: str) -> str:
    """``22 November 2026``, of a record's time."""
    read = datetime.fromisoformat(time)
    return f"{read.day} {read:%B %Y}"


def machine_name(machine: dict[str, Any]) -> str:
    """CPU and how many of it, in one phrase."""
    cpus = machine["cpus"]
    said = f"{machine['cpu']}, {cpus} CPU{'' if cpus == 1 else 's'}"
    gpu = machine.get("gpu")
    return f"{said}, {gpu['name'] if isinstance(gpu, dict) else gpu}" if gpu else said


def code(record: dict[str, Any]) -> str:
    """The commit of a record, short, and whether the tree differed."""
    commit: str | None = record["commit"]
    if commit is None:
        return "no commit"
    return commit[:8] + (" with changes" if record["dirty"] else "")


def setting(records: Sequence[dict[str, Any]], *, brief: bool = False) -> str:
    """What all scenarios of some records share, in words: ``100,000 synthetic cells, top 128 genes, ...``.

    Parameters
    ----------
    brief
        Only the data, k, p and where they lie.
    """
    (first, *more) = [record["scenario"] for record in records]
    shared = {
        column: value
        for column, value in first.items()
        if value != "-" and all(one[column] == value for one in more)
    }
    said = [_cells(shared)] if {"cells", "data"} & shared.keys() else []
    for column in _BRIEF if brief else ("k", "p", "counts", "table", "storage", "device", "threads", "cache"):
        if column in shared:
            value = shared[column]
            phrase = _PHRASES.get(column, "{}").format(_commas(value))
            said.append(_WORDS.get(column, {}).get(value, phrase))
    return ", ".join(said)


def _cells(shared: dict[str, str]) -> str:
    cells = shared.get("cells", "")
    words = (_commas(cells), shared.get("data", ""), "cells")
    return " ".join(word for word in words if word)


def _commas(value: str) -> str:
    return f"{int(value):,}" if value.isdigit() else value
