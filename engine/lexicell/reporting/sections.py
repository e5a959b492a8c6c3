"""Parts of a page that are text and tables: what was run, is it good, quality beside controls, time."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import GeneCoverage
from lexicell.embedding.remake import is_imported
from lexicell.reporting.commands import name_of
from lexicell.reporting.content import (
    Block,
    Command,
    Facts,
    Folded,
    Section,
    Sentence,
    Table,
    TableColumn,
)
from lexicell.reporting.opened import OpenedRun
from lexicell_kernels.cpu import available_cpus

__all__ = [
    "evaluation_section",
    "quality_section",
    "run_section",
    "time_section",
]

#: Genes without a description that are told.
_MISSING = 10
#: What is known of a run whose vectors another model made.
_IMPORTED = [("made by", "another model; they were imported")]


def run_section(
    run: OpenedRun, commands: Sequence[Command], notes: Sequence[Sentence], genes: GeneCoverage | None
) -> Section:
    """What was run, and what repeats it."""
    items = [
        ("cells", f"{len(run.names):,}"),
        ("vectors", f"{run.dim:,} numbers a cell, in {name_of(run.label)}"),
        *(_IMPORTED if is_imported(run.facts) else _recipe(run.facts)),
    ]
    if genes is not None:
        items.append(("genes found by", ", ".join(f"{label} {n:,}" for label, n, _ in genes.routes)))
    cpus = f"{available_cpus()} of {os.cpu_count()} CPUs"
    items += [
        ("lexicell", f"{run.facts.get('version', 'not known')}; this page {version('lexicell')}"),
        (
            "page made on",
            f"{platform.system()} {platform.machine()}, {cpus}, Python {platform.python_version()}, "
            f"NumPy {np.__version__}",
        ),
    ]
    blocks: list[Block] = [Facts(tuple(items)), *commands]
    if notes:
        blocks.append(Folded(f"{len(notes)} notes of how the data were understood", tuple(notes)))
    return Section("run", "What was run", tuple(blocks))


def _recipe(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a run says of how its vectors were made."""
    lexicon, read, names = facts["lexicon"], facts["genes"], facts["input"]
    chosen = f"the {int(facts['top_k'])} highest genes" if int(facts["top_k"]) else "all genes"
    projection = str(facts["projection"])
    card = facts.get("projection_card", {}).get("name", "learned")
    described = f"{int(read['genes']):,} described, of {int(read['columns']):,} columns"
    return [
        ("recipe", f"{facts['recipe']}: {chosen} of a cell, weight {facts['weight']}"),
        ("lexicon", f"{lexicon['name']} ({_short(lexicon['identity'])})"),
        ("projection", projection if projection == "none" else f"{card} ({_short(projection)})"),
        ("values", str(facts["values"])),
        ("genes", f"{described}; by {read['column']}, {read['organism']}; masked: {read['mask']}"),
        ("input", f"{int(names['cells']):,} cells; hash of names {_short(names['names'])}"),
    ]


def quality_section(
    run: OpenedRun, genes: GeneCoverage | None, shown: int, by: Mapping[str, NDArray[np.object_]]
) -> Section:
    """Coverage, cells without genes and ties; of all cells, and by batches and groups."""
    n_genes, coverage, tied = (run.quality(f"lexicell_{name}") for name in ("n_genes", "coverage", "n_tied"))
    if n_genes is None or coverage is None or tied is None:
        text = "The store has no quality of its cells, as where vectors are of another model."
        return Section("quality", "Is it good?", (Sentence(text),))
    empty = int((n_genes == 0).sum())
    low, middle, high = np.nanquantile(coverage, [0.05, 0.5, 0.95])
    few, median, many = np.quantile(n_genes, [0.05, 0.5, 0.95])
    n = len(n_genes)
    blocks: list[Block] = [
        Facts((
            ("counts in described genes", f"{middle:.1%} of a cell's at the median; 5 to 95 % of cells: "
                                          f"{low:.1%} to {high:.1%}"),
            ("cells without genes", f"{empty:,} of {n:,}: they have no vector, and are not drawn" if empty
                                    else f"none of {n:,}"),
            ("genes of a cell", f"{median:,.0f} at the median; 5 to 95 % of cells: {few:,.0f} to "
                                f"{many:,.0f}"),
            ("tied cells", f"{(tied > 0).mean():.1%}: the last of their genes has as many counts as others "
                           "that were not taken; the lexicon's order decides, not the file's"),
        )),
    ]  # fmt: skip
    for name, column in by.items():
        if (table := _by(name, column, n_genes, coverage, tied)) is not None:
            blocks.append(table)
    if genes is not None and genes.missing:
        rows = tuple((name, share) for name, share in genes.missing[:_MISSING])
        blocks.append(
            Table(
                "Genes without a description that hold the most counts",
                (TableColumn("gene"), TableColumn("share of all counts", "bar", ".2%")),
                rows,
                f"Of the {shown:,} cells that are drawn. They are left out before the highest are chosen.",
            )
        )
    return Section("quality", "Is it good?", tuple(blocks))


def _by(
    name: str,
    column: NDArray[np.object_],
    n_genes: NDArray[np.float64],
    coverage: NDArray[np.float64],
    tied: NDArray[np.float64],
) -> Table | None:
    table = pd.DataFrame({"of": column, "genes": n_genes, "coverage": coverage,
                          "empty": n_genes == 0, "tied": tied > 0})  # fmt: skip
    groups = table[table["of"] != ""].groupby("of", sort=True, observed=True)
    if len(groups) < 2:
        return None
    each = pd.DataFrame({
        "cells": groups.size(), "coverage": groups["coverage"].median(), "genes": groups["genes"].median(),
        "empty": groups["empty"].mean(), "tied": groups["tied"].mean(),
    })  # fmt: skip
    columns = (
        TableColumn(name), TableColumn("cells", "number", ",.0f"),
        TableColumn("median coverage", "bar", ".1%", 1.0), TableColumn("median genes", "number", ",.0f"),
        TableColumn("without genes", "number", ".2%"), TableColumn("tied", "number", ".1%"),
    )  # fmt: skip
    numbers = each.to_numpy(np.float64).tolist()
    rows = tuple((str(of), *row) for of, row in zip(each.index, numbers, strict=True))
    return Table(f"By {name}", columns, rows)


def evaluation_section(content: Mapping[str, Any], n_cells: int, lexicon: str) -> Section:
    """Quality beside its controls, as `lexicell evaluate` measured it."""
    blocks: list[Block] = []
    data = content.get("data", {})
    sizes = ", ".join(f"{name} ({of['cells']:,} cells)" for name, of in data.items())
    blocks.append(Sentence(f"Of {sizes}, by `lexicell evaluate`. A control in grey that is as good says that "
                           "texts have no part in it."))  # fmt: skip
    used = content.get("settings", {}).get("lexicon", {}).get("identity", lexicon)
    if used != lexicon:
        blocks.append(Sentence("It was made with another lexicon than these vectors.", serious=True))
    if all(of["cells"] > n_cells for of in data.values()):
        text = f"Its data sets have more cells than the {n_cells:,} of this run: it is of other cells."
        blocks.append(Sentence(text, serious=True))
    lines = content["lines"]
    for name, scenario, setting in dict.fromkeys(
        (line["data"], line["scenario"], line["setting"]) for line in lines
    ):
        of = [
            line for line in lines
            if (line["data"], line["scenario"], line["setting"]) == (name, scenario, setting)
        ]  # fmt: skip
        of.sort(key=lambda line: line["is_control"])
        rows = tuple(
            (
                ", ".join(filter(None, [line["method"], line["control"]])),
                line["classifier"],
                line["scores"]["macro_f1"]["mean"],
                _interval(line["scores"]["macro_f1"]),
                line["scores"]["accuracy"]["mean"],
            )
            for line in of
        )
        columns = (
            TableColumn("method"), TableColumn("read by"), TableColumn("macro-F1", "bar", ".3f", 1.0),
            TableColumn("95 % of draws"), TableColumn("accuracy", "number", ".3f"),
        )  # fmt: skip
        faint = frozenset(i for i, line in enumerate(of) if line["is_control"])
        title = ", ".join(filter(None, [name, scenario, setting]))
        blocks.append(Table(title, columns, rows, faint=faint))
    return Section("evaluation", "Quality beside controls", tuple(blocks))


def _interval(score: Mapping[str, Any]) -> str:
    low, high = score.get("low"), score.get("high")
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def time_section(profile: Mapping[str, Any]) -> Section:
    """Where the time of the run went."""
    stages = {name: float(seconds) for name, seconds in profile["stages"].items() if seconds}
    total = sum(stages.values()) or 1.0
    ordered = sorted(stages.items(), key=lambda item: -item[1])
    rows = tuple((name, seconds, seconds / total) for name, seconds in ordered)
    columns = (
        TableColumn("stage"),
        TableColumn("seconds", "number", ",.2f"),
        TableColumn("share", "bar", ".0%", 1.0),
    )
    workers = max(1, len(profile.get("workers", {})) - 1)
    clock = float(profile["seconds"])
    note = f"{clock:,.2f} s by the clock; seconds of the main thread and {workers} workers, added up."
    return Section("time", "Where the time went", (Table("By stage", columns, rows, note),))


def _short(identity: Any) -> str:
    return str(identity)[:12]
