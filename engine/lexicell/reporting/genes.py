"""What genes contribute to the vectors of cells: the first few of each cell, and some genes in all cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell._say import listed
from lexicell.arrays import unit_rows
from lexicell.embedding import Listener, Note, Plan, embed_source
from lexicell.errors import InputError
from lexicell.explanation import GeneRows, contributions
from lexicell.lexicon import find_genes
from lexicell.reporting.content import Genes

__all__ = ["check_vectors", "gene_contributions"]

#: Values of all genes that cells can be coloured by; a page of 50,000 cells has 128 genes.
_MOST_VALUES = 6_400_000
_MEANING = "What a gene contributes is its part of the product of a cell's vector with itself."
#: Genes of a cell that are told.
_TOLD = 6
#: Cells that genes are chosen by.
_CHOSEN_BY = 5_000
#: How far the vectors of a store may be from those that its data give, of vectors of length 1: float16
#: is within 0.001.
_APART = 0.01


def check_vectors(plan: Plan, stored: NDArray[np.float32], label: str) -> None:
    """Raise InputError where cells have other vectors than their counts give.

    Parameters
    ----------
    plan
        ``n`` cells, as the run that made the vectors was planned.
    stored
        ``[n, p]`` vectors.
    label
        Of the store.
    """
    apart: NDArray[np.bool_] = np.zeros(0, bool)

    def compare(block: NDArray[np.float32]) -> None:
        nonlocal apart
        mine = unit_rows(stored[len(apart) : len(apart) + len(block)])
        apart = np.append(apart, np.abs(unit_rows(block) - mine).max(axis=1) > _APART)

    embed_source(plan.cells.source, plan.embedder, compare)
    if apart.any():
        first = plan.cells.source.names(0, len(apart))[int(np.argmax(apart))]
        msg = (
            f"{plan.cells.source.label} holds other counts than {label} was made of: {int(apart.sum()):,} of "
            f"{len(apart):,} cells, such as {first!r}, have other vectors; name the data, the layer and the "
            "options that it was made with"
        )
        raise InputError(msg)


def gene_contributions(
    plan: Plan, first: Sequence[str], asked: Sequence[str], *, seed: int, listener: Listener
) -> Genes:
    """Take the cells of a plan apart: what each gene adds to the length of a cell's vector.

    The numbers are those of ``lexicell explain --cell``: a cell's sum to 1.

    Parameters
    ----------
    plan
        ``n`` cells.
    first
        Symbols of genes that are kept before others, such as the first ones of groups.
    asked
        Names of genes that are kept in any case.
    seed
        Of the cells by which the others are chosen: those whose contributions vary most.
    listener
        Is told of names that no gene has.

    Raises
    ------
    InputError
        More genes are asked for than a page of so many cells holds.
    """
    rows = GeneRows.of(plan)
    n, m = plan.cells.source.n_cells, len(rows.rows)
    most = max(16, min(m, _MOST_VALUES // n))
    wanted = _asked(plan, rows, asked, listener)
    if len(wanted) > most:
        msg = f"a page of {n:,} cells holds {most:,} genes that cells can be coloured by; ask for fewer"
        raise InputError(msg)
    sample = np.sort(np.random.default_rng(seed).permutation(n)[:_CHOSEN_BY])
    spread = _spread(plan, rows, sample)
    of_groups = np.flatnonzero(np.isin(rows.symbols, list(first)))
    order = np.argsort(-spread, kind="stable")
    order = order[spread[order] > 0]
    kept = np.array(list(dict.fromkeys([*wanted, *of_groups, *order]))[:most], np.intp)
    place = np.full(m, -1)
    place[kept] = np.arange(len(kept))
    values = np.zeros((len(kept), n), np.float32)
    top, amounts = np.zeros((n, _TOLD), np.uint16), np.zeros((n, _TOLD), np.float32)
    for start, part in _contributions(plan, rows):
        cell = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        is_kept = place[part.indices] >= 0
        values[place[part.indices[is_kept]], start + cell[is_kept]] = part.data[is_kept]
        by_cell = np.lexsort((-part.data, cell))
        rank = np.arange(len(cell)) - np.repeat(part.indptr[:-1], np.diff(part.indptr))
        told = rank < _TOLD
        at = by_cell[told]
        top[start + cell[told], rank[told]] = part.indices[at]
        amounts[start + cell[told], rank[told]] = np.maximum(part.data[at], 0)
    note = (
        "those whose contributions differ most between cells" if len(kept) < int((spread > 0).sum()) else ""
    )
    note = f"{len(kept):,} of the {m:,} genes{note and ': '}{note}. {_MEANING} {_sums(plan, rows)}."
    used, told_genes = np.unique(top, return_inverse=True)
    return Genes(
        _unique(rows.symbols[kept]),
        values,
        note,
        tuple(rows.symbols[used].tolist()),
        told_genes.reshape(top.shape).astype(np.uint16),
        amounts,
    )


def _sums(plan: Plan, rows: GeneRows) -> str:
    """What the contributions of a cell sum to."""
    those = "Those of all genes of a cell" + (" and of the projection's bias" if rows.bias.any() else "")
    return f"{those} sum to {'1' if plan.recipe.normalise else 'the square of the length of its vector'}"


def _asked(plan: Plan, rows: GeneRows, names: Sequence[str], listener: Listener) -> NDArray[np.intp]:
    if not names:
        return np.empty(0, np.intp)
    lexicon = plan.cells.lexicon
    found = find_genes(
        lexicon, list(names), organism=plan.cells.alignment.organism,
        notify=lambda text: listener(Note(text, serious=True)),
    )  # fmt: skip
    lacking = np.setdiff1d(found, rows.rows)
    if len(lacking):
        symbols = np.asarray(lexicon.genes.column("symbol").to_pylist(), object)[lacking]
        listener(Note(f"the data do not measure {listed(symbols)}", serious=True))
    return np.flatnonzero(np.isin(rows.rows, found))


def _spread(plan: Plan, rows: GeneRows, cells: NDArray[np.intp]) -> NDArray[np.float64]:
    """Standard deviation of each gene's contributions over some cells, ``[m]``."""
    total = squares = np.zeros(len(rows.rows))
    for _, part in _contributions(plan, rows, cells):
        total = total + np.bincount(part.indices, part.data, minlength=len(total))
        squares = squares + np.bincount(part.indices, part.data.astype(np.float64) ** 2, minlength=len(total))
    spread: NDArray[np.float64] = np.sqrt((squares / len(cells) - (total / len(cells)) ** 2).clip(0))
    return spread


def _contributions(
    plan: Plan, rows: GeneRows, only: NDArray[np.intp] | None = None
) -> Iterator[tuple[int, sp.csr_array[Any]]]:
    """Contributions block by block: number of the first cell, and ``[cells, m]``."""
    recipe, table, lexicon = plan.recipe, plan.folded.table, plan.cells.lexicon
    factor = None
    if table.rank_factor is not None:
        factor = np.ones(lexicon.n_genes, np.float32)
        factor[rows.rows] = table.rank_factor
    for selection in plan.cells.selections(recipe.top_k, weight=recipe.weight, rank_factor=factor, only=only):
        found = contributions(selection, rows, None, unit=recipe.normalise)
        shape = len(selection), len(rows.rows)
        yield selection.start, sp.csr_array((found.values, found.genes, found.indptr), shape)


def _unique(symbols: NDArray[np.object_]) -> tuple[str, ...]:
    """Symbols, those that occur again with a number."""
    seen: dict[str, int] = {}
    names = []
    for symbol in symbols.tolist():
        seen[symbol] = seen.get(symbol, 0) + 1
        names.append(symbol if seen[symbol] == 1 else f"{symbol} ({seen[symbol]})")
    return tuple(names)
