"""The shape of a cloud of gene vectors: neighbours, anisotropy, spectrum."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexicell.arrays import unit_rows
from lexicell.errors import InputError
from lexicell.lexicon import Lexicon

__all__ = ["Geometry", "Neighbours", "measure_geometry", "nearest_genes"]

#: Well-known genes of different tissues.
_FAMILIAR = ("CD3E", "MS4A1", "HBB", "INS", "ALB", "GFAP", "MYH6", "TP53")
_BLOCK = 8192


@dataclass(frozen=True)
class Geometry:
    """How a table's vectors lie in space.

    Attributes
    ----------
    mean_cosine
        Mean over all pairs of genes. 0 for directions without preference, near 1 where all vectors point
        the same way (anisotropy).
    effective_rank
        ``exp(-sum(q log q))`` with ``q`` the shares of variance of all principal components: the number of
        equally strong components with the same entropy. After Roy & Vetterli (EUSIPCO 2007), who take
        singular values where this takes their squares.
    variance
        ``[d]`` float64 shares of variance of the principal components, largest first, sum 1 (all 0 for
        vectors that are all the same).
    cosines
        float32, of up to 100,000 random pairs of different genes.
    n_zero
        Zero vectors, which have no direction and are left out of the cosines.
    """

    mean_cosine: float
    effective_rank: float
    variance: NDArray[np.float64]
    cosines: NDArray[np.float32]
    n_zero: int

    def share(self, n: int) -> float:
        """Share of variance of the first `n` principal components."""
        return float(self.variance[:n].sum())


@dataclass(frozen=True)
class Neighbours:
    """A gene and those whose vectors are most alike, best first, with their cosines."""

    gene: str
    nearest: tuple[tuple[str, float], ...]


def measure_geometry(vectors: NDArray[np.float32], *, seed: int = 0, pairs: int = 100_000) -> Geometry:
    """Measure anisotropy and spectrum of vectors ``[G, d]``.

    The mean cosine is exact and takes ``O(G d)``: over all ordered pairs it is ``|sum of unit vectors|^2``,
    from which the ``G`` pairs of a gene with itself are taken. The spectrum takes ``O(G d^2)``.

    Parameters
    ----------
    vectors
        float32 ``[G, d]``, ``G >= 2``, finite.
    seed, pairs
        Of the random pairs in `Geometry.cosines`.
    """
    n, dim = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64)
    unit_sum = np.zeros(dim)
    scatter = np.zeros((dim, dim))
    lengths = np.empty(n)
    for start in range(0, n, _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float64)
        lengths[start : start + _BLOCK] = length = np.linalg.norm(block, axis=1)
        unit_sum += (block / np.where(length > 0, length, 1)[:, None]).sum(axis=0)
        block -= mean
        scatter += block.T @ block
    directed = np.flatnonzero(lengths > 0)
    m = len(directed)
    mean_cosine = float((unit_sum @ unit_sum - m) / (m * (m - 1))) if m > 1 else 0.0

    variance = np.maximum(np.linalg.eigvalsh(scatter)[::-1], 0)
    total = variance.sum()
    if total > np.finfo(np.float64).eps * n * float((lengths**2).sum()):
        variance /= total
    else:
        variance[:] = 0
    q = variance[variance > 0]
    effective_rank = float(np.exp(-(q * np.log(q)).sum())) if len(q) else 0.0
    return Geometry(mean_cosine, effective_rank, variance, _cosines(vectors, directed, seed, pairs), n - m)


def nearest_genes(
    lexicon: Lexicon, genes: Sequence[str] | None = None, *, n: int = 5
) -> tuple[Neighbours, ...]:
    """Find the genes whose vectors are most alike by cosine.

    Parameters
    ----------
    lexicon
        Whose genes are compared.
    genes
        Symbols, aliases, NCBI or Ensembl ids; by default some well-known genes that the lexicon has.
    n
        Neighbours of each; ties go to the lower lexicon row.

    Raises
    ------
    InputError
        If the lexicon does not have one of `genes`.
    """
    import pandas as pd

    from lexicell.lexicon import align_genes

    symbols = _shown_names(lexicon)
    names = list(_FAMILIAR if genes is None else dict.fromkeys(genes))
    if not names:
        return ()
    rows = align_genes(lexicon, pd.DataFrame(index=pd.Index(names, dtype=object)), column="index").rows
    for name, row in zip(names, rows, strict=True):
        if row < 0 and genes is not None:
            close = difflib.get_close_matches(name.upper(), [symbol.upper() for symbol in symbols], n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            msg = f"the lexicon {lexicon.name} has no gene {name!r}{hint}"
            raise InputError(msg)
    targets = np.array([row for row in rows if row >= 0], np.int64)
    if not len(targets):
        return ()
    similar = np.empty((len(targets), lexicon.n_genes), np.float32)
    directions = unit_rows(lexicon.vectors(targets))
    for start in range(0, lexicon.n_genes, _BLOCK):
        block = unit_rows(lexicon.vectors(lexicon.rows[start : start + _BLOCK]))
        similar[:, start : start + _BLOCK] = directions @ block.T
    similar[np.arange(len(targets)), targets] = -np.inf
    neighbours = []
    for row, cosines in zip(targets, similar, strict=True):
        best = np.argsort(-cosines, kind="stable")[: min(n, lexicon.n_genes - 1)]
        neighbours.append(Neighbours(symbols[row], tuple((symbols[i], float(cosines[i])) for i in best)))
    return tuple(neighbours)


def _shown_names(lexicon: Lexicon) -> list[str]:
    genes = lexicon.genes
    columns = (genes.column(name).to_pylist() for name in ("symbol", "ncbi_id", "ensembl_ids"))
    return [
        symbol or (str(ncbi) if ncbi is not None else next(iter(ensembl or ()), f"row {row}"))
        for row, (symbol, ncbi, ensembl) in enumerate(zip(*columns, strict=True))
    ]


def _cosines(
    vectors: NDArray[np.float32], directed: NDArray[np.int64], seed: int, pairs: int
) -> NDArray[np.float32]:
    m = len(directed)
    if m < 2:
        return np.empty(0, np.float32)
    rng = np.random.default_rng(seed)
    first = rng.integers(m, size=pairs)
    second = (first + rng.integers(1, m, size=pairs)) % m  # never the same gene
    cosines = np.empty(pairs, np.float32)
    for start in range(0, pairs, _BLOCK):
        part = slice(start, start + _BLOCK)
        a, b = (unit_rows(vectors[directed[chosen[part]]]) for chosen in (first, second))
        cosines[part] = np.einsum("ij,ij->i", a, b)
    return cosines
