"""Selecting and ordering a cell's top genes, beside the loops of cell sentences and rank-value encodings.

A group ends with the same lists for all: names in sentences, or arrays of tokens. The row `lexicell` is the
selection alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure import Case, GateError
from bench.peers.counts import Counts, first, joined
from bench.peers.sentences import nonzero_medians, rank_values, sentences
from bench.scenario import Scenario
from bench.suites._blocks import Blocks
from bench.workbench import Missing, Workbench
from lexicell_kernels import CsrBlock, GeneTable, Order, Picks, cpu, reference
from lexicell_kernels.cpu import available_cpus

__all__ = ["cases"]

_SAMPLE = {True: 20, False: 200}  # cells held against the reference, in a smoke run or not
#: Scores are rounded once, to float32; Geneformer's loop rounds each of three steps.
_ROUNDING = 1e-6
_NOTES = {
    "lexicell": "Selection and order alone, from raw counts: checks, candidates, tie rule; genes and scores "
    "as arrays.",
    "lexicell-names": "Selection and order in the kernel, then a loop in Python that joins the names.",
    "lexicell-tokens": "Selection by counts times factors in the kernel, then an array of tokens a cell.",
    "cell2sentence": "One cell after another in Python on one thread, as in its package: all non-zero genes "
    "are sorted by count, equal ones in random order where ours has a rule; no checks. Columns without a "
    "description are left out beforehand, and only the first k names are joined; its package joins all.",
    "geneformer": "One cell after another in Python on one thread, as its tokenizer does: normalised in "
    "chunks of 512, divided by medians, all values sorted; equal ones in any order where ours has a rule; no "
    "checks. Columns without a description are left out beforehand, and totals are known. Rows are cut by "
    "their offsets, where its tokenizer indexes a scipy matrix twice a cell; medians are those of these "
    "cells, not of its corpus.",
}
_LABELS = {
    "lexicell": "lexicell: select_topk",
    "lexicell-names": "lexicell: select_topk, then sentences",
    "lexicell-tokens": "lexicell: select_topk, then tokens",
    "cell2sentence": "Cell2Sentence's loop",
    "geneformer": "Geneformer's loop",
}
_PEERS = ("cell2sentence", "geneformer")


@dataclass(frozen=True)
class _Genes:
    """What all rows of a group share: the order of genes by score, their names and tokens."""

    table: GeneTable
    names: list[str]
    tokens: NDArray[np.int64]
    medians: NDArray[np.float32] | None


@contextmanager
def cases(rows: Sequence[Scenario], bench: Workbench) -> Iterator[list[Case]]:
    """Make the rows of a group into cases."""
    try:
        blocks = Blocks(rows, bench)
        genes = _genes(rows, bench, blocks)
        made = [_case(row, bench, blocks, genes) for row in rows]
    except Missing as missing:
        made = [_empty(row, str(missing)) for row in rows]
    yield made


def _empty(row: Scenario, why: str) -> Case:
    return Case(row, _label(row), peer=row.what in _PEERS, fairness=_NOTES[row.what], empty=why)


def _label(row: Scenario) -> str:
    threads = {"all": "", "1": ", 1 thread"}.get(row.threads, f", {row.threads} threads")
    return f"{_LABELS[row.what]}, top {row.k}{threads}"


def _genes(rows: Sequence[Scenario], bench: Workbench, blocks: Blocks) -> _Genes:
    """Rank factors are 1 over Geneformer's medians where the group has tokens, else 1."""
    table = bench.table(replace(rows[0], p="8"))  # vectors are not looked at
    names = [f"GENE{row:05d}" for row in range(table.n_genes)]
    tokens = np.random.default_rng(0).permutation(table.n_genes).astype(np.int64)
    if not any(row.what in ("lexicell-tokens", "geneformer") for row in rows):
        return _Genes(table, names, tokens, None)
    some = Counts(joined(first(blocks.of(rows[0]), 2_000)), table)
    medians = nonzero_medians(some.described, 1e4 / some.scale)
    return _Genes(replace(table, rank_factor=1 / medians), names, tokens, medians)


def _case(row: Scenario, bench: Workbench, blocks: Blocks, genes: _Genes) -> Case:
    if row.what not in _LABELS:
        msg = f"{row.id}: there is no {row.what!r}; there are {', '.join(_LABELS)}"
        raise ValueError(msg)
    threads = bench.threads(row)
    if threads > available_cpus():
        return _empty(row, f"{threads} threads: this process may use {available_cpus()} CPU")
    there = blocks.of(row)
    sample = joined(first(there, _SAMPLE[bench.tiny]))
    k = int(row.k)
    make = _loop if row.what in _PEERS else _picked
    run = make(row.what, there, genes, k, threads)

    def gate() -> dict[str, Any]:
        return _check(make(row.what, [sample], genes, k, threads)(), sample, genes, k, row.what)

    return Case(
        row,
        _label(row),
        sum(block.n_rows for block in there),
        run=run,
        peer=row.what in _PEERS,
        fairness=_NOTES[row.what],
        gate=gate,
    )


def _picked(
    what: str, blocks: Sequence[CsrBlock], genes: _Genes, k: int, threads: int
) -> Callable[[], list[Any]]:
    """Ours: what one run returns is a list of `Picks`, of sentences, or of tokens."""
    names = np.array(genes.names, object)

    def run() -> list[Any]:
        found: list[Any] = []
        for block in blocks:
            picks = cpu.select_topk(block, genes.table, k=k, order=Order.SCORE, threads=threads)
            if what == "lexicell":
                found.append(picks)
                continue
            of_cell = zip(picks.genes, picks.n_genes.tolist(), strict=True)
            if what == "lexicell-names":
                found.extend(" ".join(names[row[:n]].tolist()) for row, n in of_cell)
            else:
                found.extend(genes.tokens[row[:n]] for row, n in of_cell)
        return found

    return run


def _loop(
    what: str, blocks: Sequence[CsrBlock], genes: _Genes, k: int, threads: int
) -> Callable[[], list[Any]]:
    """A peer: a list of sentences or of tokens."""
    del threads
    counts = Counts(joined(blocks), genes.table)
    x = counts.described
    if what == "cell2sentence":
        return lambda: sentences(x, genes.names, k)
    totals, medians = 1e4 / counts.scale, genes.medians
    assert medians is not None
    return lambda: rank_values(x, totals, medians, genes.tokens, k)


def _check(got: list[Any], sample: CsrBlock, genes: _Genes, k: int, what: str) -> dict[str, Any]:
    """Ours: the definition's genes in its order. Peers: genes of the same scores in their order."""
    defined = reference.select_topk(sample, genes.table, k=k, order=Order.SCORE)
    if isinstance(got[0], Picks):
        lists = [row[:n] for picks in got for row, n in zip(picks.genes, picks.n_genes, strict=True)]
    elif isinstance(got[0], str):
        row_of_name = {name: row for row, name in enumerate(genes.names)}
        lists = [np.array([row_of_name[name] for name in sentence.split()]) for sentence in got]
    else:
        lists = [np.argsort(genes.tokens)[tokens] for tokens in got]
    expected = [row[:n] for row, n in zip(defined.genes, defined.n_genes, strict=True)]
    if what not in _PEERS:
        if not all(np.array_equal(*pair) for pair in zip(lists, expected, strict=True)):
            msg = "a cell has other genes, or in another order"
            raise GateError(msg)
        return {"reference": "float64 NumPy, genes and order exact", "cells": len(lists), "max_error": 0.0}
    worst = max(_off(lists[i], expected[i], i, sample, genes.table) for i in range(len(expected)))
    if not worst <= _ROUNDING:
        msg = f"the scores of a cell's genes are off by {worst:.2g} of themselves"
        raise GateError(msg)
    return {
        "reference": "float64 NumPy: scores in order, equal ones in any",
        "cells": len(lists),
        "max_error": worst,
    }


def _off(genes: NDArray[Any], expected: NDArray[Any], cell: int, sample: CsrBlock, table: GeneTable) -> float:
    """Largest difference of the scores of two lists of genes, relative to them; infinite for other genes."""
    if len(genes) != len(expected) or len(np.unique(genes)) != len(genes):
        return float("inf")
    a, b = sample.indptr[cell : cell + 2]
    score = np.zeros(table.n_genes)
    known = table.rank[sample.indices[a:b]]
    score[known[known >= 0]] = sample.data[a:b][known >= 0]
    if table.rank_factor is not None:
        score *= table.rank_factor
    if not (score[genes] > 0).all():
        return float("inf")
    return float(np.abs(score[genes] / score[expected] - 1).max(initial=0))
