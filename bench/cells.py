"""Synthetic cells with the statistics of real ones, any number of them in bounded memory.

A cell draws its library size N from a log-normal distribution and one of `PROGRAMS` expression programs;
its counts are multinomial (N transcripts). A program is the popularity curve of the genes times a
log-normal factor per gene. Fitted to PBMC3k and Baron donor 1 (`bench.popularity`, `fit` and ``--fit``):
popularity curve, spread of library sizes, spread between cell types. Tuned to the targets of the
benchmarks (30,000 genes, 2,800 non-zeros a cell, 63 % of them 1): the mean library size and the curve's
far end, which 2,000 shallow cells do not show.

Known differences: real library sizes and types go together, real genes are co-regulated, and noise within
a type exceeds Poisson's. None of them changes what a kernel reads.

Examples
--------
``python -m bench.cells OUT.h5ad --cells 100000`` writes an h5ad;
``python -m bench.cells --fit DATA.h5ad [DATA.h5ad ...] --label cell_type`` repeats the fit.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numba import njit
from numpy.typing import NDArray

from bench.popularity import (
    N_GENES,
    PANEL_SEED,
    POPULARITY_RANKS,
    PROGRAMS,
    library_sizes,
    programs,
)

__all__ = [
    "BLOCK_CELLS",
    "N_GENES",
    "SHALLOW",
    "Panel",
    "Stats",
    "block",
    "blocks",
    "csr",
    "fit",
    "panel",
    "statistics",
    "write_h5ad",
]

BLOCK_CELLS = 5_000
#: Depth at which cells have 850 genes, as those of PBMC3k.
SHALLOW = 0.18

_LEXICON_GENES = Path(__file__).parents[1] / "engine/lexicell/lexicon/data/human-go-minilm/genes.parquet"
_H5_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Panel:
    """The genes of the synthetic data set; the same for every seed.

    Attributes
    ----------
    names
        ``[v]`` gene symbols. Described genes carry human symbols of the bundled lexicon where it is
        present (else ``GENE00001`` ...), the others ``UNKNOWN00001`` ...
    described
        ``[v]`` bool, whether a lexicon knows the gene; popular genes more often.
    programs
        ``[PROGRAMS, v]`` float64 shares of a cell's counts; rows sum to 1.
    """

    names: NDArray[np.str_]
    described: NDArray[np.bool_]
    programs: NDArray[np.float64]

    @property
    def n_genes(self) -> int:
        """Number of columns, ``v``."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Stats:
    """What is compared between real and synthetic cells.

    Attributes
    ----------
    nnz
        Mean non-zeros a cell.
    ones
        Share of the non-zeros that are 1.
    tail
        Share of the non-zeros that are at least 2, 5, 10, 50, 256.
    library_mean, library_log_sd
        Of the cells' totals.
    log_shares
        Log share of all counts of the genes at `POPULARITY_RANKS`.
    cumulative
        Share of all counts in the 1, 10, 100, 1000, 3000 most popular genes.
    """

    nnz: float
    ones: float
    tail: tuple[float, ...]
    library_mean: float
    library_log_sd: float
    log_shares: tuple[float, ...]
    cumulative: tuple[float, ...]


@lru_cache(maxsize=4)
def panel(n_genes: int = N_GENES) -> Panel:
    """Genes, their names and their expression programs; columns are in no particular order."""
    rng = np.random.default_rng(PANEL_SEED)
    described, shares = programs(rng, n_genes)
    known = rng.permutation(_symbols())[: int(described.sum())]
    described[np.flatnonzero(described)[len(known) :]] = False  # more described columns than symbols
    names = np.array([f"UNKNOWN{i:05d}" for i in range(n_genes)], dtype=object)
    names[described] = known
    return Panel(names.astype(str), described, shares)


def _symbols() -> list[str]:
    if not _LEXICON_GENES.exists():
        return [f"GENE{i:05d}" for i in range(1, N_GENES + 1)]
    column = pd.read_parquet(_LEXICON_GENES, columns=["symbol"])["symbol"]
    return sorted({str(s) for s in column if s})


@lru_cache(maxsize=4)
def _alias(n_genes: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """Walker's alias tables of all programs, ``[PROGRAMS * v]``: threshold of 2**32, other gene."""
    if n_genes > 1 << 16:
        msg = f"at most 65536 genes, got {n_genes}"
        raise ValueError(msg)
    thresholds, aliases = [], []
    for program in panel(n_genes).programs:
        scaled = (program * n_genes).tolist()
        threshold, alias = [1.0] * n_genes, list(range(n_genes))
        small = [i for i, s in enumerate(scaled) if s < 1]
        large = [i for i, s in enumerate(scaled) if s >= 1]
        while small and large:
            low, high = small.pop(), large[-1]
            threshold[low], alias[low] = scaled[low], high
            scaled[high] += scaled[low] - 1
            if scaled[high] < 1:
                small.append(large.pop())
        thresholds.append(np.minimum(np.array(threshold) * 2.0**32, 2.0**32 - 1).astype(np.uint32))
        aliases.append(np.array(alias, dtype=np.uint16))
    return np.concatenate(thresholds), np.concatenate(aliases)


def block(index: int, seed: int = 0, n_genes: int = N_GENES, depth: float = 1.0) -> sp.csr_array:
    """Cells ``[index * BLOCK_CELLS, (index + 1) * BLOCK_CELLS)``; depends on nothing but the arguments.

    `depth` scales the totals: at `SHALLOW` cells have as many genes as those of PBMC3k.

    Returns
    -------
    scipy.sparse.csr_array
        ``[BLOCK_CELLS, n_genes]`` float32 whole counts, int32 sorted columns and indptr.
    """
    rng = np.random.default_rng([seed, index])
    sizes = np.maximum(np.rint(library_sizes(rng, BLOCK_CELLS) * depth), 1).astype(np.int64)
    program = rng.integers(0, PROGRAMS, BLOCK_CELLS)
    start = rng.integers(0, 1 << 63, dtype=np.uint64)
    most = int(np.minimum(sizes, n_genes).sum()) + 1  # pages that stay unused are never touched
    data, indices = np.empty(most, np.float32), np.empty(most, np.int32)
    indptr = np.zeros(BLOCK_CELLS + 1, np.int32)
    _draw(
        start, sizes, program * n_genes, *_alias(n_genes), np.zeros(n_genes, np.int32), data, indices, indptr
    )
    n = int(indptr[-1])
    return sp.csr_array((data[:n].copy(), indices[:n].copy(), indptr), shape=(BLOCK_CELLS, n_genes))


@njit(nogil=True, cache=True)
def _draw(state, sizes, offsets, threshold, alias, count, data, indices, indptr):  # type: ignore[no-untyped-def]
    """Draw ``sizes[i]`` transcripts for cell i (SplitMix64, alias tables) and append its row."""
    n_genes = np.uint64(count.size)
    high, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    n = 0
    for i in range(sizes.size):
        for _ in range(sizes[i]):
            state += np.uint64(0x9E3779B97F4A7C15)
            z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
            gene = ((z >> high) * n_genes) >> high
            entry = np.uint64(offsets[i]) + gene
            other = np.uint64(alias[entry])
            kept = np.uint64((z & low) < np.uint64(threshold[entry]))
            count[other + (gene - other) * kept] += 1  # a branch here is a coin toss: three times slower
        for g in range(count.size):
            data[n] = count[g]
            indices[n] = g
            n += count[g] > 0
            count[g] = 0
        indptr[i + 1] = n


def blocks(
    n_cells: int, seed: int = 0, n_genes: int = N_GENES, *, depth: float = 1.0, threads: int = 2
) -> Iterator[sp.csr_array]:
    """The first `n_cells` cells of a seed, in blocks of `BLOCK_CELLS` (the last one may be shorter).

    A block that starts is generated in full, so the first cells are the same for every `n_cells`. At most
    ``threads + 1`` blocks of about 120 MB are alive.
    """
    _alias(n_genes)  # once, before the threads
    wanted = -(-n_cells // BLOCK_CELLS)
    with ThreadPoolExecutor(threads) as pool:
        ahead = deque(pool.submit(block, i, seed, n_genes, depth) for i in range(min(threads, wanted)))
        for i in range(wanted):
            made = ahead.popleft().result()
            if i + threads < wanted:
                ahead.append(pool.submit(block, i + threads, seed, n_genes, depth))
            yield made[: n_cells - i * BLOCK_CELLS] if (i + 1) * BLOCK_CELLS > n_cells else made


def csr(n_cells: int, seed: int = 0, n_genes: int = N_GENES, *, depth: float = 1.0) -> sp.csr_array:
    """The same cells in memory (about 23 kB a cell)."""
    return sp.csr_array(sp.vstack(list(blocks(n_cells, seed, n_genes, depth=depth)), format="csr"))


def write_h5ad(
    path: Path | str,
    n_cells: int,
    seed: int = 0,
    compression: str | None = "gzip",
    n_genes: int = N_GENES,
    depth: float = 1.0,
) -> None:
    """Stream the cells into an h5ad whose X is CSR, float32 values and int32 columns.

    Parameters
    ----------
    path
        Overwritten if it exists.
    n_cells, seed, n_genes, depth
        As for `blocks`.
    compression
        "gzip" (as `anndata` writes it), "lzf" or None.
    """
    genes = panel(n_genes)
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        x = file.create_group("X")
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        x.attrs["shape"] = np.array([n_cells, n_genes], dtype=np.int64)
        options: dict[str, Any] = {"maxshape": (None,), "chunks": (_H5_CHUNK,), "compression": compression}
        data = x.create_dataset("data", (0,), np.float32, **options)
        indices = x.create_dataset("indices", (0,), np.int32, **options)
        indptr = np.zeros(n_cells + 1, dtype=np.int64)
        row = 0
        for part in blocks(n_cells, seed, n_genes, depth=depth):
            start, n = int(indptr[row]), part.shape[0]
            indptr[row + 1 : row + 1 + n] = start + part.indptr[1:]
            for target, values in ((data, part.data), (indices, part.indices)):
                target.resize((start + len(values),))
                target[start:] = values
            row += n
        x.create_dataset("indptr", data=indptr)
        ad.io.write_elem(file, "obs", pd.DataFrame(index=[f"cell{i}" for i in range(n_cells)]))
        ad.io.write_elem(file, "var", pd.DataFrame(index=pd.Index(genes.names.astype(object))))
        for empty in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            ad.io.write_elem(file, empty, {})


def statistics(x: sp.csr_array) -> Stats:
    """Measure cells x genes counts."""
    totals = np.asarray(x.sum(axis=1)).ravel()
    shares = np.sort(np.asarray(x.sum(axis=0), dtype=np.float64).ravel())[::-1] / totals.sum()
    values = x.data[x.data > 0]
    at = [r for r in POPULARITY_RANKS if r <= len(shares)]
    return Stats(
        nnz=len(values) / x.shape[0],
        ones=float((values == 1).mean()),
        tail=tuple(float((values >= t).mean()) for t in (2, 5, 10, 50, 256)),
        library_mean=float(totals.mean()),
        library_log_sd=float(np.log(totals).std()),
        log_shares=tuple(float(np.log(shares[r - 1])) for r in at),
        cumulative=tuple(float(shares[:t].sum()) for t in (1, 10, 100, 1000, 3000)),
    )


def fit(x: sp.csr_array, labels: Sequence[Any] | None = None) -> tuple[Stats, float]:
    """Measure a real data set for the constants of this module.

    Parameters
    ----------
    x
        Raw counts.
    labels
        Cell types; types of fewer than 100 cells are left out.

    Returns
    -------
    Stats
        `POPULARITY_LOG_SHARES` and `LIBRARY_LOG_SD` are means of its fields over data sets.
    float
        Root mean square, over genes with at least 1,000 counts, of the standard deviation over types of
        the log share (NaN without labels).
    """
    spread = float("nan")
    if labels is not None:
        given = pd.Series(labels)
        types = [t for t, n in given.value_counts().items() if n >= 100]
        sums = np.array([np.asarray(x[(given == t).to_numpy()].sum(axis=0)).ravel() for t in types])
        sums = sums[:, np.asarray(x.sum(axis=0)).ravel() >= 1000] + 0.5
        logs = np.log(sums / sums.sum(axis=1, keepdims=True))
        spread = float(np.sqrt(logs.var(axis=0).mean()))
    return statistics(x), spread


def _print_stats(name: str, s: Stats, spread: float) -> None:
    print(
        f"{name}: nnz {s.nnz:.0f}, ones {s.ones:.3f},",
        f"library {s.library_mean:.0f} log sd {s.library_log_sd:.2f}",
    )
    print("  share of non-zeros >= 2, 5, 10, 50, 256:", *(f"{t:.5f}" for t in s.tail))
    print(
        "  log share at ranks:",
        *(f"{r}:{v:.2f}" for r, v in zip(POPULARITY_RANKS, s.log_shares, strict=False)),
    )
    print("  share in the top 1, 10, 100, 1000, 3000:", *(f"{c:.3f}" for c in s.cumulative))
    print(f"  sd of log share between types: {spread:.2f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Write an h5ad, or repeat the fit."""
    parser = argparse.ArgumentParser(prog="python -m bench.cells", description=main.__doc__)
    parser.add_argument("out", nargs="?", type=Path, help="h5ad to write")
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compression", choices=["gzip", "lzf", "none"], default="gzip")
    parser.add_argument("--fit", nargs="+", type=Path, metavar="H5AD", help="measure real counts instead")
    parser.add_argument("--label", help="obs column of cell types, for --fit")
    given = parser.parse_args(argv)
    if given.fit:
        fits = []
        for path in given.fit:
            data = ad.read_h5ad(path)
            labels = data.obs[given.label] if given.label else None
            fits.append(fit(sp.csr_array(data.X), labels))
            _print_stats(path.name, *fits[-1])
        knots = np.mean([s.log_shares for s, _ in fits], axis=0)
        print("POPULARITY_LOG_SHARES =", tuple(knots.round(2).tolist()))
        print("LIBRARY_LOG_SD =", round(float(np.mean([s.library_log_sd for s, _ in fits])), 2))
        _print_stats("these cells", statistics(block(0, given.seed)), float("nan"))
        return 0
    if given.out is None:
        parser.error("name the h5ad to write")
    write_h5ad(given.out, given.cells, given.seed, None if given.compression == "none" else given.compression)
    print(f"wrote {given.cells} cells, {given.out.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
