"""From counts on disk to tokens on disk: ours, a loop of Geneformer's semantics, and SLAF's loader."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

import lexicell
from bench.exports_given import Given, dictionaries, ids_of_columns, of_columns
from bench.measure import Case, GateError, Taken
from bench.peers.ranked_lists import loop, rank_value
from bench.scenario import Scenario
from bench.suites._kinds import Kind, Parts
from bench.workbench import Missing, Workbench
from lexicell.embedding.events import ignore

__all__ = ["cases"]

#: Scores in order are compared: ours come of factors that are rounded once, to float32.
_ROUNDING = 1e-6
#: Cells held against the definition.
_SAMPLE = 200
#: Names the folder with SLAF.
_SLAF = "LEXICELL_BENCH_SLAF"
#: Rounds that count of the loops.
_ROUNDS = 3


class _Group:
    """What the rows of a group share: the file, and tokens and medians of its columns."""

    def __init__(self, rows: Sequence[Scenario], bench: Workbench) -> None:
        self.bench, self.row, self.k = bench, rows[0], int(rows[0].k)
        self.folder = bench.folder / f"tokens-{rows[0].group}"
        slaf = os.environ.get(_SLAF)
        self.given = Given(self.folder, 0, 0, (), 0, 0, 0, {"slaf": Path(slaf) if slaf else None})

    @cached_property
    def path(self) -> Path:
        return self.bench.path(self.row.data, self.row.storage, self.bench.cells(self.row))

    @cached_property
    def columns(self) -> tuple[Path, NDArray[np.int64], NDArray[np.float64], list[str]]:
        """A dictionary, and the token, median and name of each column; none for genes of two columns."""
        self.folder.mkdir(exist_ok=True)
        path, tokens, medians = dictionaries(self.folder, 0)
        while twice := self._twice(tokens):  # a gene may have another id, whose turn is next
            tokens = {gene: token for gene, token in tokens.items() if gene not in twice}
        path.write_text(
            json.dumps(
                {"tokens": tokens, "medians": {gene: m for gene, m in medians.items() if gene in tokens}}
            )
        )
        return path, *of_columns(str(self.path), tokens, medians)

    def _twice(self, tokens: Mapping[str, int]) -> set[str]:
        """Genes with a token that are two columns."""
        ids, _ = ids_of_columns(str(self.path), tokens)
        return {gene for gene, n in Counter(ids).items() if n > 1 and gene in tokens}

    @cached_property
    def counts(self) -> sp.csr_array:
        return sp.csr_array(ad.read_h5ad(self.path).X)

    @cached_property
    def n_tokens(self) -> int:
        """Of all cells: their genes with a token, at most k."""
        known = np.concatenate([[0], np.cumsum(self.columns[1][self.counts.indices] >= 0)])
        return int(np.minimum(np.diff(known[self.counts.indptr]), self.k).sum())

    def check(self, lists: Sequence[Any]) -> dict[str, Any]:
        """Hold lists of tokens of all cells against the definition: scores in order, equal ones in any."""
        x, (_, token, median, _) = self.counts, self.columns
        if (n := sum(map(len, lists))) != self.n_tokens or len(lists) != x.shape[0]:
            msg = f"{n} tokens of {len(lists)} cells, not {self.n_tokens} of {x.shape[0]}"
            raise GateError(msg)
        sample, worst = range(0, len(lists), max(1, len(lists) // _SAMPLE)), 0.0
        for cell in sample:
            a, b = x.indptr[cell : cell + 2]
            columns, values = x.indices[a:b], x.data[a:b].astype(np.float64)
            score = np.zeros(token.max() + 2)  # the last is of columns without a token
            score[token[columns]] = values / values.sum() * 1e4 / median[columns]
            score[-1] = 0
            found, expected = lists[cell], rank_value(values, columns, token, median, self.k)
            if len(found) != len(expected) or len(np.unique(found)) != len(found):
                worst = np.inf
                break
            worst = max(worst, float(np.abs(score[found] / score[expected] - 1).max(initial=0)))
        if not worst <= _ROUNDING:
            msg = f"the scores of a cell's tokens are off by {worst:.2g} of themselves"
            raise GateError(msg)
        return {"reference": "float64 NumPy: scores in order", "cells": len(sample), "max_error": worst}


@contextmanager
def cases(rows: Sequence[Scenario], bench: Workbench) -> Iterator[list[Case]]:
    """Make the rows of a group into cases."""
    group = _Group(rows, bench)
    try:
        yield [_KINDS[row.what].case(group, row) for row in rows]
    finally:
        shutil.rmtree(group.folder, ignore_errors=True)


def _written(paths: Sequence[Path], column: str) -> list[NDArray[np.int32]]:
    """Lists of Arrow streams, in order."""
    found: list[NDArray[np.int32]] = []
    for path in paths:
        with pa.memory_map(str(path)) as source:
            for batch in pa.ipc.open_stream(source):
                lists = batch[column]
                ends = lists.offsets.to_numpy()
                values = lists.values.to_numpy()
                found += [values[a:b].copy() for a, b in pairwise(ends.tolist())]
    return found


def _parts(
    group: _Group, run: Callable[[], object], before: Callable[[], None], made: Callable[[], list[Any]]
) -> Parts:
    def gate() -> dict[str, Any]:
        before()
        run()
        return group.check(made())

    n = group.counts.shape[0]
    return {
        "n": group.n_tokens, "unit": "tokens", "run": run, "gate": gate, "before": before,
        "facts": lambda: {"tokens_per_cell": group.n_tokens / n},
    }  # fmt: skip


def _ours(group: _Group, _: Scenario) -> Parts:
    path, dictionary = group.path, str(group.columns[0])
    out = group.folder / "ours"

    def run() -> None:
        lexicell.export(
            "geneformer",
            path,
            out,
            listener=ignore,
            tokens=dictionary,
            medians=dictionary,
            version="v1",
        )

    def made() -> list[Any]:
        return _written(sorted(out.glob("*.arrow")), "input_ids")

    return _parts(group, run, lambda: shutil.rmtree(out, ignore_errors=True), made)


def _loop(group: _Group, row: Scenario) -> Parts:
    """In this process, or in two, each with half of the cells."""
    path, (_, token, median, names), out = group.path, group.columns, group.folder / f"loop-{row.threads}"
    genes = group.folder / "genes.npz"
    np.savez(genes, token=token, median=median, words=np.array(names))

    def alone() -> None:
        out.mkdir()
        loop(path, out / "0.arrow", group.k, token, median, names)

    def in_two() -> Taken:
        words = ("loop", str(path), str(genes), str(out), str(group.k), "geneformer")
        return Taken(group.given.elsewhere("loop", *words)["seconds"], 0.0)

    def made() -> list[Any]:
        return _written(sorted(out.glob("*.arrow")), "made")

    run = alone if row.threads == "1" else in_two
    return _parts(group, run, lambda: shutil.rmtree(out, ignore_errors=True), made) | {"rounds": _ROUNDS}


def _slaf(group: _Group, _: Scenario) -> Parts:
    """Once, since it takes minutes whatever there is to do; its own count of tokens."""
    if why := group.given.missing("slaf"):
        msg = f"{why}: set {_SLAF} to one, filled by pip install --target FOLDER slafdb"
        raise Missing(msg)
    said = group.given.elsewhere("slaf", "slaf", str(group.path), str(group.folder / "cells.slaf"))
    if said["n"] != group.counts.shape[0]:
        msg = f"SLAF's loader gave {said['n']} cells of {group.counts.shape[0]}"
        raise Missing(msg)
    return {
        "n": said["tokens"], "unit": "tokens", "run": lambda: Taken(said["seconds"], 0.0), "rounds": 1,
        "facts": lambda: {"tokens_per_cell": said["tokens"] / said["n"], "ended": said["ended"]},
    }  # fmt: skip


_LOOP = (
    "As its tokenizer says it: x / N * 10,000 / median, argsort of one cell after another, the first 2,048; "
    "an Arrow stream. Knows the columns' tokens; no checks, hashes or fsync; equal scores in any order. "
    "Genes of two columns, which ours would sum, have no token here. "
)
_KINDS: dict[str, Kind[_Group]] = {
    "lexicell": Kind("lexicell export geneformer", _ours),
    "loop": Kind(
        "Geneformer's semantics in NumPy, processes: {row.threads}", _loop, peer=True,
        fairness=_LOOP + "With two processes each has half of the cells, and their start is not timed.",
    ),
    "slaf": Kind(
        "SLAF's loader and tokenizer", _slaf, peer=True,
        fairness="Tokens in memory, nothing written; from its own format, whose making is not timed; genes "
        "by count without medians, so its tokens are others and more; up to its last batch, after which it "
        "waits for more than a minute. Once; no gate but the number of cells.",
    ),
}  # fmt: skip
