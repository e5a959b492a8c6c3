"""Is a cell's export a function of the cell? The share of cells that stay the same when only order moves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anndata as ad
import numpy as np
import pyarrow as pa
import scipy.sparse as sp

import lexicell
from bench.peers.ranked_lists import IDIOMS, Idiom, dense_rows
from lexicell.counts import MAX_NNZ
from lexicell.embedding import tables
from lexicell.embedding.events import ignore

__all__ = ["CHANGES", "stable"]

#: What moves; each is what no cell depends on.
CHANGES = ("rows", "columns", "chunks", "threads")
#: Cells of a chunk where it is not all of them, and values of a block of ours.
_CHUNK, _VALUES = 500, 100_000
#: What becomes of each cell, by its name.
_Made = Mapping[str, Hashable]


def stable(
    cells: ad.AnnData,
    dictionary: Path,
    folder: Path,
    median: Mapping[str, float],
    sentences: Callable[[ad.AnnData, str], Mapping[str, str]] | str,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Rows of the table for one data set.

    Parameters
    ----------
    cells
        Raw counts.
    dictionary
        Tokens and medians for Geneformer.
    folder
        Scratch.
    median
        Of columns, for the idiom; columns that are not there have no token.
    sentences
        Runs Cell2Sentence's package on cells, under a name; or says why it can't.
    seed
        Of the orders, and of what peers draw.
    """
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(cells.n_obs), rng.permutation(cells.n_vars)
    moved = {"rows": cells[rows].copy(), "columns": cells[:, columns].copy()}
    found: list[dict[str, Any]] = []
    for name, options in (
        ("geneformer", {"tokens": str(dictionary), "medians": str(dictionary)}),
        ("cell-sentence", {"top": 200}),
    ):
        made = _ours(cells, folder, name, options)
        share = {what: _share(made, _ours(moved[what], folder, name, options)) for what in moved}
        share["chunks"] = _share(made, _ours(cells, folder, name, options, values=_VALUES))
        share["threads"] = _share(made, _ours(cells, folder, name, options, workers=1))
        found.append({"whose": "lexicell", "what": name, "ran": "the export", "share": share})
    if isinstance(sentences, str):
        found.append({"whose": "Cell2Sentence", "what": "sentences", "ran": sentences, "share": None})
    else:
        whole = sentences(cells, "whole")
        theirs = {what: _share(whole, sentences(moved[what], what)) for what in moved}
        half = cells.n_obs // 2
        parts = (cells[:half].copy(), cells[half:].copy())
        halves = {k: v for i, part in enumerate(parts) for k, v in sentences(part, f"part{i}").items()}
        share = theirs | {"chunks": _share(whole, halves)}
        found.append({"whose": "Cell2Sentence", "what": "sentences", "ran": "its package", "share": share})
    for idiom in IDIOMS:
        made = _theirs(idiom, cells, median, [cells.n_obs], seed)
        share = {
            what: _share(made, _theirs(idiom, moved[what], median, [cells.n_obs], seed)) for what in moved
        }
        chunks = [_CHUNK] * (cells.n_obs // _CHUNK) + [cells.n_obs % _CHUNK]
        half = cells.n_obs // 2
        share["chunks"] = _share(made, _theirs(idiom, cells, median, chunks, seed))
        share["threads"] = _share(made, _theirs(idiom, cells, median, [half, cells.n_obs - half], seed))
        found.append({"whose": idiom.of, "what": idiom.label, "ran": "idiom", "share": share})
    return found


def _share(one: _Made, other: _Made) -> float:
    return float(np.mean([other[name] == value for name, value in one.items()]))


def _ours(
    cells: ad.AnnData,
    folder: Path,
    name: str,
    options: Mapping[str, Any],
    *,
    values: int | None = None,
    workers: int = 2,
) -> _Made:
    """Export, in blocks of so many values."""
    with patch.object(tables, "MAX_NNZ", values or MAX_NNZ):
        lexicell.export(
            name, cells, folder / "stable", overwrite=True, workers=workers, listener=ignore, **options
        )
    state = json.loads((folder / "stable/state.json").read_text())
    parts = [folder / "stable" / part["filename"] for part in state["_data_files"]]
    table = pa.concat_tables([pa.ipc.open_stream(part.read_bytes()).read_all() for part in parts])
    names = table.column("cell_id").to_pylist()
    made = table.drop_columns(["cell_id"])
    return {cell: repr(row) for cell, row in zip(names, made.to_pylist(), strict=True)}


def _theirs(
    idiom: Idiom, cells: ad.AnnData, median: Mapping[str, float], chunks: Sequence[int], seed: int
) -> _Made:
    """Make all cells, chunk by chunk, each with the generator that a worker or a call would begin with."""
    row = dense_rows(sp.csr_array(cells.X))
    names = cells.var_names.to_numpy()
    of_column = np.array([median.get(name, 0.0) for name in names])
    made: dict[str, Hashable] = {}
    start = 0
    for number, many in enumerate(chunks):
        rng = np.random.default_rng([seed, number])
        for i in range(start, start + many):
            genes = names[idiom.make(row(i), rng, of_column)].tolist()
            made[cells.obs_names[i]] = frozenset(Counter(genes).items()) if idiom.as_set else tuple(genes)
        start += many
    return made
