"""What `lexicell.explain` finds, beside what it has to beat: ``docs/explain.md`` and its pictures.

``python -m studies.explain [--page-only] [--parts groups markers faithfulness speed pictures]``, with
``$LEXICELL_DATA``. About ten minutes on two cores, and five for a million cells. Integrated gradients are
measured where captum is (``pip install --no-deps --target FOLDER captum``; ``--captum FOLDER``).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import blake3
import pandas as pd
from bench import machine
from bench.explain_speed import speed

from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.lexicon import Lexicon
from studies.explain.cells import MARKERS, SETS, explanation
from studies.explain.faithful import faithfulness
from studies.explain.known import known_markers
from studies.explain.page import PAGE, RESULTS, page
from studies.explain.pictures import draw

__all__ = ["PREDICTIONS", "main"]

#: Written before anything was measured.
PREDICTIONS = Path(__file__).with_name("predictions.json")
PARTS = ("groups", "markers", "faithfulness", "speed", "pictures")
_SHOWN = 8


def groups(key: str) -> dict[str, Any]:
    """The tables of an explanation, shortened."""
    found = explanation(key)
    assert found.pathways is not None
    first = found.genes.groupby("group", observed=True).head(20)
    told: dict[str, Any] = {
        "by group": {},
        "sets": str(found.facts["sets"]),
        "small p": {
            "genes": _below(found.genes), "first genes": _below(first), "sets": _below(found.pathways)
        },
    }  # fmt: skip
    for group, row in found.groups.iterrows():
        genes = found.genes[found.genes["group"] == group].head(_SHOWN)
        sets = found.pathways.query("group == @group and redundant_with == '' and contribution > 0").head(3)
        told["by group"][str(group)] = {
            "cells": int(row["cells"]),
            "score": round(float(row["score"]), 4),
            "genes": [
                [str(gene), round(float(value), 4), round(float(agreement), 4), _p(p)]
                for gene, value, agreement, p in zip(
                    genes["column"],
                    genes["contribution"],
                    genes["agreement"],
                    genes["p_adjusted"],
                    strict=True,
                )
            ],
            "of score": round(float(genes["contribution"].sum() / row["score"]), 4),
            "sets": [
                [str(name), round(float(value), 4), _p(p)]
                for name, value, p in zip(
                    sets["pathway"], sets["contribution"], sets["p_adjusted"], strict=True
                )
            ],
        }
    return told


def _below(table: pd.DataFrame) -> list[int]:
    """How many lines have an adjusted p below .05, and how many have one."""
    found = table["p_adjusted"].dropna()
    return [int((found < 0.05).sum()), len(found)]


def _p(value: float) -> float | None:
    return round(float(value), 4) if value == value else None  # noqa: PLR0124 -- NaN


def _settings() -> dict[str, Any]:
    lexicon = Lexicon.open(DEFAULT_LEXICON)
    return {
        "lexicon": lexicon.name,
        "identity": lexicon.identity,
        "markers": blake3.blake3(MARKERS.read_bytes()).hexdigest(),
        "predictions": json.loads(PREDICTIONS.read_text(encoding="utf-8")),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the page, its numbers and its pictures anew."""
    parser = argparse.ArgumentParser(prog="python -m studies.explain", description=main.__doc__)
    parser.add_argument("--page-only", action="store_true", help="from the numbers that are there")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="others stay as they are")
    parser.add_argument("--captum", type=Path, metavar="FOLDER", help="that has captum")
    parser.add_argument("--million", type=int, default=1_000_000, help="cells of the largest speed row")
    parser.add_argument("--work", type=Path, help="folder for the files (default: a temporary one)")
    given = parser.parse_args(argv)
    parts = () if given.page_only else given.parts
    content: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    if parts:
        content["settings"] = _settings()
    by_set: dict[str, Callable[[str], Any]] = {
        "groups": groups,
        "markers": known_markers,
        "faithfulness": lambda key: faithfulness(key, given.captum),
    }
    for part, measure in by_set.items():
        for key in SETS if part in parts else ():
            content.setdefault("sets", {}).setdefault(key, {})[part] = measure(key)
            _write(content)
    if "speed" in parts:
        with tempfile.TemporaryDirectory(prefix="lexicell-explain-", dir=given.work) as folder:
            sizes = {10_000: 1, 100_000: 3, given.million: 1}
            content["speed"] = speed(Path(folder), sizes)
        machine.append({"part": "speed", **content["speed"]}, machine.RESULTS / "explain_speed.jsonl")
        _write(content)
    if "pictures" in parts:
        draw(PAGE.parent / "images")
    PAGE.write_text(page(content), encoding="utf-8")
    return 0


def _write(content: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
