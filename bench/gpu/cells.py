"""Cells and gene tables for `bench.gpu`: real ones packed into one file, synthetic ones drawn with NumPy.

`pack` needs lexicell and runs where the data are; all else needs NumPy alone, since a machine with a GPU may
have nothing more.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import popularity
from lexicell_kernels import CsrBlock, GeneTable

__all__ = ["RealCells", "Traffic", "load", "narrow", "pack", "random_table", "save", "synthetic", "traffic"]

_PART = 128  # cells drawn at once; 30 MB of expected counts each


@dataclass(frozen=True)
class RealCells:
    """A data set as the kernel sees it.

    Attributes
    ----------
    name
        Of the data set.
    block
        All cells: float32 counts, int32 columns.
    table
        The lexicon's vectors, folded onto the columns.
    rows
        ``[m]`` int32, rows of the lexicon: data sets share most vectors, which are packed once.
    columns
        ``[v]`` names of the columns, so that a difference can be told in genes.
    """

    name: str
    block: CsrBlock
    table: GeneTable
    rows: NDArray[np.int32]
    columns: NDArray[np.str_]


@dataclass(frozen=True)
class Traffic:
    """Least bytes that a launch moves.

    Attributes
    ----------
    read
        Counts, columns and row offsets, each once, from device memory.
    gathered
        Rows of the gene table, once for each use, from the cache that holds the table.
    written
        Vectors and quality columns, each once, to device memory.
    """

    read: int
    gathered: int
    written: int

    @property
    def memory(self) -> int:
        """Bytes to and from device memory."""
        return self.read + self.written


def traffic(block: CsrBlock, used: int, dim: int, itemsize: int) -> Traffic:
    """Count the bytes of embedding `block`.

    Parameters
    ----------
    block
        The rows of one launch; of its arrays only what lies between its first and last offset is read.
    used
        Genes used in all rows together.
    dim, itemsize
        Elements of a table row, and bytes of each.
    """
    values = int(block.indptr[-1]) - int(block.indptr[0])
    return Traffic(
        read=values * (block.data.itemsize + block.indices.itemsize) + block.indptr.nbytes,
        gathered=used * dim * itemsize,
        written=block.n_rows * (4 * dim + 12),
    )


def pack(path: Path, sources: Sequence[Path], most: int | None = None, width: int | None = None) -> None:
    """Write the counts of h5ad files, and the bundled lexicon folded onto their genes, into one file.

    Parameters
    ----------
    path
        The file.
    sources
        Of counts.
    most
        How many cells of each, the first ones; None for all.
    width
        How many columns of the vectors, the first ones; None for all.
    """
    from lexicell.arrays import in_order
    from lexicell.counts import Values, open_counts
    from lexicell.embedding import CandidateGenes, fold
    from lexicell.lexicon import Lexicon, align_genes

    lexicon = Lexicon.open("human-go-minilm")
    packed = []
    for file in sources:
        with open_counts(file) as source:
            genes = CandidateGenes.of(align_genes(lexicon, source.var).rows)
            n = source.n_cells if most is None else min(most, source.n_cells)
            # The kernel flags rows whose columns do not ascend; the engine puts them in order, too.
            block = in_order(genes.counts(source.read(0, n), Values.COUNTS))
            columns = source.var.index.to_numpy().astype(str)
            table = fold(lexicon, genes).table
            table = replace(table, vectors=np.ascontiguousarray(table.vectors[:, :width]))
            packed.append(RealCells(file.stem, block, table, genes.rows, columns))
    save(path, packed)


def save(path: Path, sets: Sequence[RealCells]) -> None:
    """Write data sets of one lexicon into one compressed NPZ without pickle.

    Raises
    ------
    ValueError
        Counts or columns do not fit 16 bits.
    """
    rows, first = np.unique(np.concatenate([s.rows for s in sets]), return_index=True)
    arrays: dict[str, NDArray[np.generic]] = {
        "names": np.array([s.name for s in sets]),
        "rows": rows,
        "vectors": np.concatenate([s.table.vectors for s in sets])[first],
    }
    for i, s in enumerate(sets):
        small = narrow(s.block)
        if not (np.array_equal(small.data, s.block.data) and np.array_equal(small.indices, s.block.indices)):
            msg = f"{s.name} has counts or columns beyond 16 bits; pack another data set"
            raise ValueError(msg)
        arrays |= {
            f"{i}/data": small.data,
            f"{i}/indices": small.indices,
            f"{i}/indptr": s.block.indptr,
            f"{i}/rank": s.table.rank,
            f"{i}/rows": s.rows,
            f"{i}/columns": s.columns,
        }
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load(path: Path) -> list[RealCells]:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as held:
        rows, vectors = held["rows"], held["vectors"]
        return [
            RealCells(
                str(name),
                CsrBlock(
                    data=held[f"{i}/data"].astype(np.float32),
                    indices=held[f"{i}/indices"].astype(np.int32),
                    indptr=held[f"{i}/indptr"],
                    n_columns=len(held[f"{i}/rank"]),
                ),
                GeneTable(vectors[np.searchsorted(rows, held[f"{i}/rows"])], held[f"{i}/rank"]),
                held[f"{i}/rows"],
                held[f"{i}/columns"],
            )
            for i, name in enumerate(held["names"])
        ]


def narrow(block: CsrBlock) -> CsrBlock:
    """The same cells as uint16 counts and uint16 columns."""
    return replace(block, data=block.data.astype(np.uint16), indices=block.indices.astype(np.uint16))


def synthetic(n_cells: int, seed: int = 0) -> tuple[CsrBlock, NDArray[np.bool_]]:
    """Draw cells like those of `bench.cells`: the same genes and library sizes, Poisson counts.

    (A multinomial draw fixes a cell's total and a Poisson draw does not; nothing else differs, and NumPy
    alone draws these in a millisecond a cell and thread.)

    Returns
    -------
    CsrBlock
        ``n_cells`` x 30,000, float32 counts and int32 columns, about 2,800 a row.
    ndarray
        ``[30000]`` bool, the described columns.
    """
    described, shares = popularity.programs(np.random.default_rng(popularity.PANEL_SEED))

    def part(start: int) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int64]]:
        rng = np.random.default_rng([seed, start])
        n = min(_PART, n_cells - start)
        program = rng.integers(0, popularity.PROGRAMS, n)
        expected = popularity.library_sizes(rng, n)[:, None] * shares[program]
        counts = rng.poisson(expected)
        row, column = np.nonzero(counts)
        return (
            counts[row, column].astype(np.float32),
            column.astype(np.int32),
            np.bincount(row, minlength=n),
        )

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        parts = list(pool.map(part, range(0, n_cells, _PART)))
    data, indices, lengths = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return CsrBlock(data=data, indices=indices, indptr=indptr, n_columns=popularity.N_GENES), described


def random_table(
    described: NDArray[np.bool_], dim: int, dtype: str, *, in_order: bool, seed: int = 0
) -> GeneTable:
    """Random unit vectors for the described columns, whose order is the lexicon's or is not."""
    rng = np.random.default_rng([seed, dim])
    columns = np.flatnonzero(described)
    vectors = rng.standard_normal((len(columns), dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rank = np.full(len(described), -1, np.int32)
    rank[columns] = np.arange(len(columns)) if in_order else rng.permutation(len(columns))
    return GeneTable(vectors.astype(dtype), rank)
