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
    Categories,
    Command,
    Facts,
    Folded,
    Section,
    Sentence,
    Table,
    TableColumn,
)
from lexicell.reporting.files import EvaluationFile, ProfileFile
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
    blocks: list[Block] = [*(note for note in notes if note.serious), Facts(tuple(items)), *commands]
    if quiet := tuple(note for note in notes if not note.serious):
        blocks.append(Folded("How the data were understood", quiet))
    return Section("run", "What was run", tuple(blocks))


def _recipe(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a run says of how its vectors were made."""
    lexicon, read, names = facts["lexicon"], facts["genes"], facts["input"]
    chosen = f"the {int(facts['top_k'])} highest genes" if int(facts["top_k"]) else "all genes"
    projection = str(facts["projection"])
    card = facts.get("projection_card", {}).get("name", "learned")
    described = (
        f"{int(read['matched_columns']):,} of {int(read['columns']):,} columns are described, "
        f"{int(read['genes']):,} genes"
    )
    return [
        ("recipe", f"{facts['recipe']}: {chosen} of a cell, weight {facts['weight']}"),
        ("lexicon", f"{lexicon['name']} ({_short(lexicon['identity'])})"),
        ("projection", projection if projection == "none" else f"{card} ({_short(projection)})"),
        ("values", str(facts["values"])),
        ("genes", f"{described}; by {read['column']}, {read['organism']}; masked: {read['mask']}"),
        ("input", f"{int(names['cells']):,} cells; hash of names {_short(names['names'])}"),
    ]


def quality_section(
    run: OpenedRun, genes: GeneCoverage | None, shown: int, by: Sequence[Categories]
) -> Section:
    """Coverage, cells without genes and ties; of all cells, and by batches and groups."""
    n_genes, coverage, tied = (run.quality(f"lexicell_{name}") for name in ("n_genes", "coverage", "n_tied"))
    blocks: list[Block] = []
    if n_genes is None or coverage is None or tied is None:
        text = "The store has no quality of its cells, as where vectors are of another model."
        blocks.append(Sentence(text))
    else:
        blocks.append(_quality(n_genes, coverage, tied))
        blocks += [_by(column, n_genes, coverage, tied) for column in by]
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


def _quality(n_genes: NDArray[np.float64], coverage: NDArray[np.float64], tied: NDArray[np.float64]) -> Facts:
    """Of all cells."""
    empty = int((n_genes == 0).sum())
    low, middle, high = np.nanquantile(coverage, [0.05, 0.5, 0.95])
    few, median, many = np.quantile(n_genes, [0.05, 0.5, 0.95])
    n = len(n_genes)
    return Facts((
        ("counts in described genes", f"{middle:.1%} at the median; 5 to 95 % of cells: "
                                      f"{low:.1%} to {high:.1%}"),
        ("cells without genes", f"{empty:,} of {n:,}: they have no vector, and are not drawn" if empty
                                else f"none of {n:,}"),
        ("genes of a cell", f"{median:,.0f} at the median; 5 to 95 % of cells: {few:,.0f} to "
                            f"{many:,.0f}"),
        ("tied cells", f"{(tied[n_genes > 0] > 0).mean():.1%} of those with genes. Most counts are 1 or "
                       "2, so this is usual and no fault: among genes with as many counts as the last "
                       "one taken, the lexicon's order decides, and never the file's"),
    ))  # fmt: skip


def _by(
    column: Categories,
    n_genes: NDArray[np.float64],
    coverage: NDArray[np.float64],
    tied: NDArray[np.float64],
) -> Table:
    """Quality of each category, and of the cells without one; `column` is of all cells."""
    table = pd.DataFrame({"of": column.codes, "genes": n_genes, "coverage": coverage, "empty": n_genes == 0,
                          "tied": tied > 0})  # fmt: skip
    groups = table.groupby("of", sort=True)
    each = pd.DataFrame({
        "cells": groups.size(), "coverage": groups["coverage"].median(), "genes": groups["genes"].median(),
        "empty": groups["empty"].mean(), "tied": groups["tied"].mean(),
    })  # fmt: skip
    columns = (
        TableColumn(column.name), TableColumn("cells", "number", ",.0f"),
        TableColumn("median coverage", "bar", ".1%", 1.0), TableColumn("median genes", "number", ",.0f"),
        TableColumn("without genes", "number", ".2%"), TableColumn("tied", "number", ".1%"),
    )  # fmt: skip
    order = [*(code for code in each.index if code >= 0), *(code for code in each.index if code < 0)]
    numbers = each.loc[order].to_numpy(np.float64).tolist()
    names = [column.names[code] if code >= 0 else "(none)" for code in order]
    rows = tuple((name, *row) for name, row in zip(names, numbers, strict=True))
    return Table(f"By {column.name}", columns, rows, column.note)


def evaluation_section(content: EvaluationFile, n_cells: int, n_labelled: int, lexicon: str) -> Section:
    """Quality beside its controls, as `lexicell evaluate` measured it."""
    sizes = ", ".join(f"{name} ({cells:,} cells)" for name, cells in content.data.items())
    blocks: list[Block] = [
        Sentence(
            f"Of {sizes}, by `lexicell evaluate`; this run has {n_cells:,} cells. A control, in grey, that "
            "is as good says that texts have no part in it."
        )
    ]
    if content.lexicon and content.lexicon != lexicon:
        blocks.append(Sentence("It was made with another lexicon than these vectors.", serious=True))
    if not any(n_labelled <= cells <= n_cells for cells in content.data.values()):
        text = "No data set of it has as many cells as this run: see whether it is of the same cells."
        blocks.append(Sentence(text, serious=True))
    columns = (
        TableColumn("method"), TableColumn("read by"), TableColumn("macro-F1", "bar", ".3f", 1.0),
        TableColumn("95 % of draws"), TableColumn("accuracy", "number", ".3f"),
    )  # fmt: skip
    for where in dict.fromkeys(line.where for line in content.lines):
        lines = sorted(
            (line for line in content.lines if line.where == where), key=lambda line: line.is_control
        )
        rows = tuple(
            (line.method, line.classifier, line.macro_f1, line.interval, line.accuracy) for line in lines
        )
        faint = frozenset(i for i, line in enumerate(lines) if line.is_control)
        blocks.append(Table(where, columns, rows, faint=faint))
    return Section("evaluation", "Quality beside controls", tuple(blocks))


def time_section(profile: ProfileFile) -> Section:
    """Where the time of the run went."""
    total = sum(profile.stages.values()) or 1.0
    ordered = sorted(profile.stages.items(), key=lambda item: -item[1])
    rows = tuple((name, seconds, seconds / total) for name, seconds in ordered if seconds)
    columns = (
        TableColumn("stage"),
        TableColumn("seconds", "number", ",.2f"),
        TableColumn("share", "bar", ".0%", 1.0),
    )
    note = (
        f"{profile.seconds:,.2f} s by the clock; seconds of the main thread and {profile.workers} workers, "
        "added up."
    )
    return Section("time", "Where the time went", (Table("By stage", columns, rows, note),))


def _short(identity: Any) -> str:
    return str(identity)[:12]
