"""What evaluations write, whatever they found: lines for machines, tables for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lexicell._files import check_new_file, staged_path
from lexicell._say import spreadsheet_cell
from lexicell.errors import InputError
from lexicell.evaluation.cells.intervals import Interval

__all__ = ["OUTPUTS", "check_output", "csv_of", "interval_text", "plain", "write_report"]

#: What `write_report` writes.
OUTPUTS = ("scores.csv", "evaluation.json", "tables.md")


def check_output(folder: Path, *, overwrite: bool) -> None:
    """Raise before the work is done, which takes minutes."""
    if folder.exists() and not folder.is_dir():
        msg = f"{folder} is a file; name a folder"
        raise InputError(msg)
    for name in OUTPUTS:
        check_new_file(folder / name, overwrite=overwrite)


def write_report(
    folder: str | Path, table: str, content: Mapping[str, Any], markdown: str, *, overwrite: bool
) -> list[Path]:
    """Write `OUTPUTS` into a folder, made if need be; see `Evaluation.write`."""
    as_json = json.dumps(content, indent=1, allow_nan=False) + "\n"
    paths = []
    for name, text in zip(OUTPUTS, (table, as_json, markdown), strict=True):
        path = Path(folder) / name
        with staged_path(path, replace=overwrite) as staging:
            staging.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def csv_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lines of a CSV, what was not measured left empty; see `Evaluation.csv`."""
    out = io.StringIO()
    writer = csv.DictWriter(
        out, [spreadsheet_cell(name) for name in rows[0]] if rows else [], lineterminator="\n"
    )
    if rows:
        writer.writeheader()
    for row in rows:
        writer.writerow(
            {spreadsheet_cell(name): "" if _is_nan(of) else spreadsheet_cell(of) for name, of in row.items()}
        )
    return out.getvalue()


def interval_text(interval: Interval, sign: str = "", form: str = ".3f") -> str:
    """Mean and interval for a table."""
    mean, low, high = (f"{value:{sign}{form}}" for value in (interval.mean, interval.low, interval.high))
    return mean if np.isnan(interval.low) else f"{mean} [{low}, {high}]"


def _is_nan(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON can hold: what was not measured is None."""
    found: dict[str, Any] = _plain(content)
    return found


def _plain(value: Any) -> Any:
    """JSON knows no NaN, no tuple and no NumPy."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
