"""Which recipe serves who has no labels and one file: quality against speed, beside vectors without meaning.

``python -m studies.frontier [--page-only] [--parts quality speed]``, with ``$LEXICELL_DATA``. Writes
``studies/frontier/results.json``, and of it the section "The default recipe" of ``docs/quality.md`` and its
picture. About twenty minutes on a core. What is learned for a data set is learned from other ones, but
where a row says that it has seen the cells.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np
from bench import cells, machine
from bench.real_data import data_folder
from numpy.typing import NDArray

from lexicell.cli.demo import load_cells
from lexicell.counts import open_counts
from lexicell.embedding import AlignOptions, align_cells
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.events import ignore
from lexicell.embedding.gene_statistics import gene_statistics
from lexicell.evaluation import Panel, panel_of
from lexicell.evaluation.controls import CONTROLS
from lexicell.lexicon import Lexicon, gene_scales
from lexicell_kernels import CsrBlock, GeneTable, embed_rows
from studies.frontier.page import PAGE, RESULTS, draw, with_section
from studies.frontier.points import LEARNED_FROM, POINTS, GeneTables, Point
from studies.frontier.scores import Embed, Scored, components_of, scored_cells

__all__ = ["main", "quality", "speed"]

SETS = {
    "pbmc3k": "pbmc3k_raw_labelled.h5ad",
    "baron": "baron_h1_pancreas.h5ad",
    "merfish": "merfish_mouse_brain_1000x1122.h5ad",
}
LABEL = "cell_type"
#: What scanpy's 700 cells are called in PBMC3k; their CD34+ cells have no name there.
NAMES = {
    "CD14+ Monocyte": "CD14+ Monocytes",
    "CD19+ B": "B cells",
    "CD56+ NK": "NK cells",
    "Dendritic": "Dendritic cells",
    "CD8+ Cytotoxic T": "CD8 T cells",
    "CD8+/CD45RA+ Naive Cytotoxic": "CD8 T cells",
    "CD4+/CD25 T Reg": "CD4 T cells",
    "CD4+/CD45RO+ Memory": "CD4 T cells",
    "CD4+/CD45RA+/CD25- Naive T": "CD4 T cells",
}
_DRAWS = 5
_CELLS, _ROUNDS = 5_000, 5


def quality(data: str, scored: Scored, tables: GeneTables, points: Sequence[Point]) -> dict[str, Any]:
    """Scores of points and their controls, and of components that are fitted to the cells."""
    found: dict[str, Any] = {"pca50-hvg": scored.scores(components_of(scored.seed)), "points": {}}
    for point in points:
        rows = {
            control or "text": scored.scores(_embedder(tables, point, data, control))
            for control in ("", *CONTROLS)
        }
        found["points"][point.name] = rows
        print(f"{data}: {point.name}: 10-NN", *(f"{row['10-NN']:.3f}" for row in rows.values()), flush=True)
    return found


def _embedder(tables: GeneTables, point: Point, data: str, control: str) -> Embed:
    folded = tables.folded(point, data, control)
    return lambda panels: [folded.embed(panel) for panel in panels]


def speed(points: Sequence[Point], n_cells: int = _CELLS, rounds: int = _ROUNDS) -> dict[str, Any]:
    """Kernel's cells/s on synthetic cells, all points in turn: median of the quotients to the first point."""
    counts = cells.csr(n_cells)
    indptr = counts.indptr.astype(np.int64)
    block = CsrBlock(data=counts.data, indices=counts.indices, indptr=indptr, n_columns=counts.shape[1])
    described = np.flatnonzero(cells.panel().described)
    rng = np.random.default_rng(0)
    rank = np.full(counts.shape[1], -1, np.int32)
    rank[described] = rng.permutation(len(described))
    factor = rng.uniform(0.5, 2, len(described)).astype(np.float32)

    def run(point: Point) -> Callable[[], object]:
        p = point.dims or {"texts+words": 684, "texts+loadings": 434, "infonce": 128}.get(point.rows, 384)
        p = 50 if point.rows in {"loadings", "foretold"} else p
        vectors: NDArray[Any] = rng.standard_normal((len(described), p), np.float32)
        vectors = vectors.astype(np.float16) if point.half else vectors
        table = GeneTable(vectors, rank, factor if point.ranked else None, None)
        return lambda: embed_rows(block, table, k=point.k, weight=point.weight, threads=1)

    kinds = {_kernel(point): point for point in reversed(points)}
    runs = {kind: run(point) for kind, point in kinds.items()}
    seconds: dict[str, list[float]] = {kind: [] for kind in runs}
    for once in range(rounds + 1):  # the first warms up
        for kind, embed in runs.items():
            start = time.perf_counter()
            embed()
            if once:
                seconds[kind].append(time.perf_counter() - start)
    base = seconds[_kernel(points[0])]
    ratio = {
        kind: median(first / own for first, own in zip(base, taken, strict=True))
        for kind, taken in seconds.items()
    }
    return {
        "cells": n_cells,
        "rounds": rounds,
        "default, cells/s": round(n_cells / median(base)),
        "ratio": {point.name: round(ratio[_kernel(point)], 3) for point in points},
        "machine": machine.fingerprint(),
    }


def _kernel(point: Point) -> str:
    """What the kernel's time depends on."""
    return str((point.k, point.weight, point.dims, point.half, point.rows, bool(point.ranked)))


def _read() -> tuple[dict[str, Panel], GeneTables, Panel]:
    lexicon = Lexicon.open(DEFAULT_LEXICON)
    options = AlignOptions(lexicon=lexicon)
    panels, statistics = {}, {}
    for data, name in SETS.items():
        path = str(data_folder() / "expr" / name)
        panels[data] = panel_of(path, options, label=LABEL, listener=ignore)
        with open_counts(path) as source:
            statistics[data] = gene_statistics(align_cells(source, options, ignore))
    query = panel_of(load_cells(), options, label="bulk_labels", listener=ignore)
    return panels, GeneTables(lexicon, panels, statistics, gene_scales(lexicon)), query


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the numbers, the section and the picture."""
    parser = argparse.ArgumentParser(prog="python -m studies.frontier", description=main.__doc__)
    parser.add_argument("--page-only", action="store_true", help="from the numbers that are there")
    parser.add_argument("--parts", nargs="+", choices=("quality", "speed"), default=("quality", "speed"))
    given = parser.parse_args(argv)
    parts = () if given.page_only else given.parts
    content: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    if "quality" in parts:
        panels, tables, query = _read()
        content["points"] = {point.name: asdict(point) for point in POINTS}
        content["draws"] = _DRAWS
        for data, panel in panels.items():
            transfer = (query, NAMES) if data == "pbmc3k" else None
            scored = scored_cells(panel, draws=_DRAWS, transfer=transfer)
            # No scales have seen MERFISH's cells.
            points = [point for point in POINTS if not point.shipped or data in LEARNED_FROM]
            content.setdefault("sets", {})[data] = quality(data, scored, tables, points)
            _write(content)
    if "speed" in parts:
        content["speed"] = speed(POINTS)
        _write(content)
    draw(content)
    PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8"), content), encoding="utf-8")
    return 0


def _write(content: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
