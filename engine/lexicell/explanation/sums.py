"""What adds up over groups of cells: how much each gene counts in their vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell._trace import stage
from lexicell.arrays import move, to_host
from lexicell.counts import MAX_NNZ, CountSource, Values, naming_bad_counts
from lexicell.embedding import CandidateGenes, Plan
from lexicell.embedding.pipeline import BlockEmbedder
from lexicell.embedding.selected import Selection, select_block
from lexicell.embedding.shards import MakeShard, Tick
from lexicell.store import Layout
from lexicell_kernels import Weight

__all__ = ["GroupSums", "SumShards"]

#: Steps in which values and their squares are summed: sums are of whole numbers, and no order of cells,
#: threads or shards changes a bit.
_UNIT, _SQUARE_UNIT = 2.0**-30, 2.0**-36
#: A cell's vector is shorter than this share of a gene's where its genes cancel out, so that what is left is
#: rounding: it has no direction.
_LEAST = 2.0**-8
#: Genes that stand for a whole group: its cells and their inverse lengths, and cells without a direction.
_WHOLE, _WITHOUT = -1, -2


@dataclass(frozen=True)
class GroupSums:
    """Sums over ``s`` groups of cells, by the ``m`` genes of a table.

    A gene's value in a cell is its share of the weights over the length of the pooled vector: the mean of
    unit vectors is then the sum over genes of mean value times row of the table.

    Attributes
    ----------
    cells, without
        ``[s]`` int64 cells that have a direction, and those that have none.
    inverse
        ``[s]`` int64, sum of inverse lengths, which the bias is multiplied with.
    found, values, squares
        ``[s, m]`` sparse int64: cells that use the gene, and sums of values and of their squares.
    scale
        What lengths are measured in.
    """

    cells: NDArray[np.int64]
    without: NDArray[np.int64]
    inverse: NDArray[np.int64]
    found: sp.csr_array[Any]
    values: sp.csr_array[Any]
    squares: sp.csr_array[Any]
    scale: float

    @classmethod
    def read(cls, tables: Iterable[pa.Table], groups: int, genes: int, scale: float) -> GroupSums:
        """Add up what `SumShards` made, table by table."""
        whole = np.zeros((3, groups), np.int64)
        sums = [_empty(groups, genes) for _ in range(3)]
        for table in tables:
            group, gene = (table.column(name).to_numpy() for name in ("group", "gene"))
            columns = [table.column(name).to_numpy() for name in ("cells", "value", "square")]
            of = gene == _WHOLE
            whole[:2, group[of]] += columns[0][of], columns[1][of]
            of = gene == _WITHOUT
            whole[2, group[of]] += columns[0][of]
            of = gene >= 0
            for i, column in enumerate(columns):
                sums[i] = sums[i] + sp.csr_array((column[of], (group[of], gene[of])), shape=(groups, genes))
        return cls(whole[0], whole[2], whole[1], sums[0], sums[1], sums[2], scale)

    def merged(self, members: NDArray[Any]) -> GroupSums:
        """Sums over ``r`` unions of groups, ``[r, s]`` of 0 and 1."""
        whole = np.asarray(members, np.int64)
        picked = sp.csr_array(whole)
        cells, without, inverse = (whole @ part for part in (self.cells, self.without, self.inverse))
        found, values, squares = (
            sp.csr_array(picked @ part) for part in (self.found, self.values, self.squares)
        )
        return GroupSums(cells, without, inverse, found, values, squares, self.scale)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """``[s, m]`` mean value of each gene, over all cells that have a direction."""
        found: NDArray[np.float64] = self.values.toarray() * (_UNIT / self.scale) / self._sizes
        return found

    @cached_property
    def variances(self) -> NDArray[np.float64]:
        """``[s, m]`` variance of the values, with ``n``."""
        squares = self.squares.toarray() * (_SQUARE_UNIT / self.scale**2) / self._sizes
        found: NDArray[np.float64] = (squares - self.means**2).clip(0)
        return found

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """``[s, m]`` share of the cells that use the gene."""
        found: NDArray[np.float64] = self.found.toarray() / self._sizes
        return found

    @cached_property
    def mean_inverse(self) -> NDArray[np.float64]:
        """``[s]`` mean inverse length: what the bias counts in the mean of unit vectors."""
        found: NDArray[np.float64] = self.inverse * (_UNIT / self.scale) / self._sizes[:, 0]
        return found

    @property
    def _sizes(self) -> NDArray[np.int64]:
        return np.maximum(self.cells, 1)[:, None]


@dataclass(frozen=True)
class SumShards:
    """Makes the sums of a shard; see `lexicell.embedding.shards.ShardMaker`.

    Attributes
    ----------
    candidates
        The ``m`` genes.
    top_k, weight, rank_factor
        How genes are selected, and what weighs them; see `lexicell.embedding.selected.select_block`.
    values
        What the numbers are.
    label, genes
        Names of the data set and of its columns, for messages.
    codes
        ``[N]`` int32 group of each cell, -1 for none.
    groups
        How many there are.
    summed
        "share": of the weights of a cell; "weight": the weights themselves.
    embedder
        Makes vectors that are not normalised: shares are then over their lengths. None for shares alone.
    scale
        What lengths are measured in, such as the median length of the table's rows.
    drop_empty
        Whether cells without genes are left out also where weights are summed.
    """

    candidates: CandidateGenes
    top_k: int | None
    weight: Weight
    rank_factor: NDArray[np.float32] | None
    values: Values
    label: str
    genes: pd.Index[Any]
    codes: NDArray[np.int32]
    groups: int
    summed: Literal["share", "weight"] = "share"
    embedder: BlockEmbedder | None = None
    scale: float = 1.0
    drop_empty: bool = False

    @classmethod
    def of_plan(cls, plan: Plan, codes: NDArray[np.int32], groups: int) -> SumShards:
        """Sum what makes the mean vectors of groups, as a plan embeds them."""
        cells, recipe, folded = plan.cells, plan.recipe, plan.folded
        norms = np.linalg.norm(to_host(folded.table.vectors).astype(np.float32), axis=1)
        embedder = replace(plan.embedder, recipe=replace(recipe, normalise=False))
        return cls(
            folded.genes, recipe.top_k, recipe.weight, folded.table.rank_factor, cells.values,
            cells.source.label, cells.source.var.index, codes, groups,
            embedder=embedder if recipe.normalise else None,
            scale=float(np.median(norms[norms > 0])) if recipe.normalise and norms.any() else 1.0,
        )  # fmt: skip

    def check(self, who: str) -> None:
        """See `ShardMaker`: what is rounded otherwise elsewhere is below what is told."""

    def start(self, source: CountSource, layout: Layout, crew: int) -> MakeShard:  # noqa: ARG002 -- all alike
        """See `ShardMaker`."""

        def make(start: int, stop: int, threads: Callable[[], int], tick: Tick) -> pa.Table:
            n = len(self.candidates.rows)
            sums, whole = [_empty(self.groups, n) for _ in range(3)], np.zeros((3, self.groups), np.int64)
            for first, last in source.spans(MAX_NNZ, start, stop):
                with stage("decode"):
                    block = source.read(first, last)
                with naming_bad_counts(block, first, self.values, self.label, source.names, self.genes):
                    length = None
                    if self.embedder is not None:
                        vectors = self.embedder.embed(block, first, source.names, threads()).vectors
                        length = _lengths(to_host(vectors))
                    selection = select_block(
                        self.candidates.counts(move(block, "cpu"), self.values), self.candidates, self.top_k,
                        start=first, weight=self.weight, rank_factor=self.rank_factor,
                    )  # fmt: skip
                with stage("statistics"):
                    self._add(selection, length, sums, whole)
                tick(last - first, int(block.data.nbytes + block.indices.nbytes))
            return _table(sums, whole)

        return make

    def _add(
        self,
        selection: Selection,
        length: NDArray[np.float64] | None,
        sums: list[sp.csr_array[Any]],
        whole: NDArray[np.int64],
    ) -> None:
        n, sizes = len(selection), np.diff(selection.indptr)
        of = self.codes[selection.start : selection.start + n]
        if length is None:
            lost = (sizes == 0) & (self.drop_empty or self.summed == "share")
            inverse = np.ones(n)
        else:
            lost = length <= _LEAST * self.scale
            inverse = self.scale / np.where(lost, self.scale, length)
        members = (of >= 0) & ~lost
        np.add.at(whole[2], of[(of >= 0) & lost], 1)
        np.add.at(whole[0], of[members], 1)
        np.add.at(whole[1], of[members], np.rint(inverse[members] / _UNIT).astype(np.int64))
        values = selection.weights if self.summed == "weight" else selection.shares
        values = values * np.repeat(inverse, sizes)
        values[np.repeat(~members, sizes)] = 0  # not large, as the shares of a vector without length are
        place = np.flatnonzero(members)
        which = sp.csr_array((np.ones(len(place), np.int64), (of[place], place)), shape=(self.groups, n))
        columns = np.searchsorted(self.candidates.rows, selection.genes).astype(np.int32)
        parts = (
            np.ones(len(values), np.int64),
            np.rint(values / _UNIT).astype(np.int64),
            np.rint(values**2 / _SQUARE_UNIT).astype(np.int64),
        )
        shape = n, len(self.candidates.rows)
        for i, part in enumerate(parts):
            sums[i] = sums[i] + which @ sp.csr_array((part, columns, selection.indptr), shape)


def _lengths(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Lengths ``[n]`` of vectors ``[n, p]``."""
    found: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return found


def _empty(groups: int, genes: int) -> sp.csr_array[Any]:
    return sp.csr_array((groups, genes), dtype=np.int64)


def _table(sums: list[sp.csr_array[Any]], whole: NDArray[np.int64]) -> pa.Table:
    """Sums as a table, what is 0 left out."""
    found, values, squares = sums
    for part in sums:
        part.sort_indices()
    groups = np.arange(found.shape[0], dtype=np.int32)
    rows = np.repeat(groups, np.diff(found.indptr))
    nothing = np.zeros(len(groups), np.int64)
    marks = [np.full(len(groups), mark, np.int32) for mark in (_WHOLE, _WITHOUT)]
    columns = {
        "group": [rows, groups, groups],
        "gene": [found.indices.astype(np.int32), *marks],
        "cells": [found.data, whole[0], whole[2]],
        "value": [values.data, whole[1], nothing],
        "square": [squares.data, nothing, nothing],
    }
    return pa.table({name: np.concatenate(parts) for name, parts in columns.items()})
