"""What people use today for the same embedding on a GPU: dense top-k, sparse product, sort.

The peers get their counts prepared: columns without a description are left out, the others stand in the
lexicon's order, and the scale of each cell is known; none of it is timed.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gpu.cells import synthetic
from lexicell_kernels import CsrBlock, GeneTable, cuda

__all__ = [
    "FAIRNESS",
    "Prepared",
    "dense_topk",
    "disagreements",
    "pool_by_take",
    "pool_by_torch",
    "prepare",
    "runs",
    "sorted_topk",
]

_GENE_BITS, _ROW_BITS = 16, 16
_LARGEST = 0x7FFFFFFF
_CHUNK = 8_192  # rows made dense at once, at most
_TOLERANCE = 5e-3  # peers' weights are float16 where their table is

FAIRNESS = {
    "lexicell": (
        "Everything from raw counts over all 30,000 columns: checks, totals, candidates, selection with the "
        "tie rule, weights, pooling, length, quality columns."
    ),
    "torch.topk": (
        "Making the counts dense, in chunks that fit memory, is timed; leaving out columns without a "
        "description, and totals, are not. Ties are broken arbitrarily, so its genes are not ours."
    ),
    "sort": (
        "One sort of keys (row, score, gene), then the first k of each row: the same genes as ours. Which "
        "row a value lies in is known beforehand; leaving out columns without a description, and totals, "
        "too. CuPy sorts by merging, torch by radix."
    ),
    "SpMM": (
        "Another sum: all genes, no selection, so about 15 times the multiply-adds of k = 128. The product "
        "alone: normalising, log1p and length are not timed. float32, the table in the layout that each "
        "library takes without a copy."
    ),
}


@dataclass(frozen=True)
class Prepared:
    """Cells as the peers get them.

    Attributes
    ----------
    data, genes, indptr
        CSR, ``n`` x ``m``: float32 counts, int32 rows of the table ascending in each row, int64 offsets.
    row
        ``[nnz]`` int64, the row of each value.
    scale
        ``[n]`` float32, ``1e4 / N`` over all columns.
    n_genes
        ``m``.
    """

    data: NDArray[np.float32]
    genes: NDArray[np.int32]
    indptr: NDArray[np.int64]
    row: NDArray[np.int64]
    scale: NDArray[np.float32]
    n_genes: int

    @property
    def n_rows(self) -> int:
        """Number of cells."""
        return len(self.scale)


def prepare(block: CsrBlock, table: GeneTable) -> Prepared:
    """Leave out columns without a description; NumPy in, NumPy out.

    Raises
    ------
    ValueError
        The columns do not follow the lexicon's order, or do not fit the keys of `sorted_topk`.
    """
    described = table.rank[table.rank >= 0]
    if not (np.diff(described) > 0).all() or table.n_genes > 1 << _GENE_BITS or block.n_rows > 1 << _ROW_BITS:
        msg = "peers are prepared for at most 65536 rows and 65536 genes whose columns are in lexicon order"
        raise ValueError(msg)
    row = np.repeat(np.arange(block.n_rows), np.diff(block.indptr))
    totals = np.bincount(row, block.data, block.n_rows)
    genes = table.rank[block.indices]
    kept = genes >= 0
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=block.n_rows))])
    scale = (1e4 / np.maximum(totals, 1)).astype(np.float32)
    return Prepared(block.data[kept], genes[kept], indptr, row[kept], scale, table.n_genes)


def runs(block: CsrBlock, table: GeneTable, k: int) -> tuple[dict[str, Callable[[], Any]], str]:
    """Prepare the peers on the current device; NumPy in.

    Returns
    -------
    dict
        Name -> what queues one run over all rows of `block`, and gives their vectors.
    str
        What is missing for the others, or nothing.
    """
    import cupy

    cells = prepare(block, table)
    arrays = ("data", "genes", "indptr", "row", "scale")
    there = replace(cells, **{name: cupy.asarray(getattr(cells, name)) for name in arrays})
    vectors = cupy.asarray(table.vectors)
    take = pool_by_take(vectors, cupy)
    found: dict[str, Callable[[], Any]] = {
        "sort of keys by CuPy, take": partial(sorted_topk, there, k, take, cupy.sort, cupy),
        **_products(block, table, cells),
    }
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return found, "torch, and its peers"
    if not torch.cuda.is_available():
        return found, "torch for CUDA, and its peers"
    weights = torch.from_numpy(table.vectors).to("cuda")
    free = int(cupy.cuda.Device().mem_info[0])
    chunk = max(1, min(_CHUNK, free // 8 // (4 * cells.n_genes)))

    def sort(keys: Any) -> Any:
        return cupy.from_dlpack(torch.sort(torch.from_dlpack(keys)).values)

    found["sort of keys by torch, embedding_bag"] = partial(
        sorted_topk, there, k, pool_by_torch(weights), sort, cupy
    )
    found["torch.topk on dense rows, embedding_bag"] = dense_topk(cells, weights, k, chunk, "cuda")
    left, right = _torch_csr(torch, cells, _log1p(cells), slice(None)).to("cuda"), weights.float()
    found["SpMM by torch, described genes"] = partial(torch.matmul, left, right)
    return found, ""


def _products(block: CsrBlock, table: GeneTable, cells: Prepared) -> dict[str, Callable[[], Any]]:
    """CuSPARSE through CuPy: over all columns, those without a description as zeros, and without them."""
    import cupy
    from cupyx.scipy import sparse

    row = np.repeat(np.arange(block.n_rows), np.diff(block.indptr))
    every = np.zeros((table.n_columns, table.dim), np.float32)
    every[table.rank >= 0] = table.vectors[table.rank[table.rank >= 0]]
    found: dict[str, Callable[[], Any]] = {}
    for name, data, columns, indptr, vectors in (
        ("all genes", np.log1p(block.data * cells.scale[row]), block.indices, block.indptr, every),
        ("described genes", _log1p(cells), cells.genes, cells.indptr, table.vectors.astype(np.float32)),
    ):
        arrays = (cupy.asarray(a) for a in (data, columns.astype(np.int32), indptr.astype(np.int32)))
        left = sparse.csr_matrix(tuple(arrays), shape=(block.n_rows, len(vectors)))
        right = cupy.asfortranarray(cupy.asarray(vectors))
        found[f"SpMM by CuPy, {name}"] = partial(_product, left, right)
    return found


def _product(left: Any, right: Any) -> Any:
    return left @ right


def _log1p(cells: Prepared) -> NDArray[np.float32]:
    return np.asarray(np.log1p(cells.data * cells.scale[cells.row]))


def disagreements(table: GeneTable, rows: int = 256, k: int = 128) -> list[str]:
    """Say which peers compute something else than the kernel, on cells without equal counts."""
    import cupy

    block, _ = synthetic(rows)
    rng = np.random.default_rng(0)
    distinct = [rng.permutation(n) + 1.0 for n in np.diff(block.indptr)]
    block = replace(block, data=np.concatenate(distinct).astype(np.float32))
    there = replace(
        block, data=cupy.asarray(block.data), indices=cupy.asarray(block.indices),
        indptr=cupy.asarray(block.indptr),
    )  # fmt: skip
    selected, every = (cupy.asnumpy(cuda.embed_rows(there, table, k=n).vectors) for n in (k, None))
    said = []
    for name, run in runs(block, table, k)[0].items():
        z = _on_host(run())
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        off = float(np.abs(z - (every if name.startswith("SpMM") else selected)).max())
        if not off <= _TOLERANCE:
            said.append(f"{name}: off by {off:.2g} from ours")
    return said


def _on_host(result: Any) -> NDArray[np.float32]:
    """Bring torch tensors, lists of them, or a CuPy array here."""
    if isinstance(result, list):
        return np.concatenate([_on_host(part) for part in result])
    return np.array((result.cpu() if hasattr(result, "cpu") else result.get()), np.float32)


def _torch_csr(torch: Any, cells: Prepared, data: NDArray[np.float32], rows: slice) -> Any:
    indptr = cells.indptr[rows.start : None if rows.stop is None else rows.stop + 1]
    at = slice(int(indptr[0]), int(indptr[-1]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(indptr - indptr[0]),
            torch.from_numpy(cells.genes[at].astype(np.int64)),
            torch.from_numpy(data[at]),
            (len(indptr) - 1, cells.n_genes),
            check_invariants=True,
        )


def dense_topk(cells: Prepared, vectors: Any, k: int, chunk: int, device: str) -> Callable[[], list[Any]]:
    """torch.topk on densified rows, then a weighted embedding_bag.

    Parameters
    ----------
    cells
        NumPy.
    vectors
        ``[m, p]`` torch tensor on `device`.
    k
        Genes per cell.
    chunk
        Rows made dense at once.
    device
        Of torch.

    Returns
    -------
    callable
        Each call gives one tensor of unit vectors for each chunk.
    """
    torch = importlib.import_module("torch")
    parts = []
    for start in range(0, cells.n_rows, chunk):
        counts = _torch_csr(torch, cells, cells.data, slice(start, start + chunk))
        scale = torch.from_numpy(cells.scale[start : start + chunk, None])
        parts.append((counts.to(device), scale.to(device)))

    def run() -> list[Any]:
        found = []
        for counts, scale in parts:
            x, genes = counts.to_dense().topk(k, dim=1, sorted=False)
            found.append(_bag(torch, genes, torch.log1p(x * scale), vectors))
        return found

    return run


def sorted_topk(
    cells: Prepared, k: int, pool: Callable[[Any, Any], Any], sort: Callable[[Any], Any], xp: Any
) -> Any:
    """One sort of all values by (row, count descending, gene), then the first k of each row.

    Parameters
    ----------
    cells
        Arrays of `xp`.
    k
        Genes per cell.
    pool
        ``(genes [n, k], weights [n, k]) -> [n, p]``.
    sort
        Of int64 keys.
    xp
        numpy or cupy.
    """
    score = cells.data.view(xp.int32).astype(xp.int64)  # bits of positive floats are in their order
    keys = sort(cells.row << (31 + _GENE_BITS) | (_LARGEST - score) << _GENE_BITS | cells.genes)
    at = cells.indptr[:-1, None] + xp.arange(k)
    there = at < cells.indptr[1:, None]
    picked = keys[xp.minimum(at, len(keys) - 1)]
    genes = picked & ((1 << _GENE_BITS) - 1)
    x = (_LARGEST - (picked >> _GENE_BITS & _LARGEST)).astype(xp.int32).view(xp.float32)
    weights = xp.where(there, xp.log1p(x * cells.scale[:, None]), xp.float32(0))
    return pool(genes, weights)


def pool_by_take(vectors: Any, xp: Any, chunk: int = 4096) -> Callable[[Any, Any], Any]:
    """Gather and sum with the array package alone, some rows at a time."""

    def pool(genes: Any, weights: Any) -> Any:
        z = xp.concatenate(
            [
                xp.matmul(weights[a : a + chunk, None, :], vectors[genes[a : a + chunk]].astype(xp.float32))[
                    :, 0
                ]
                for a in range(0, len(genes), chunk)
            ]
        )
        return z / xp.linalg.norm(z, axis=1, keepdims=True)

    return pool


def pool_by_torch(vectors: Any) -> Callable[[Any, Any], Any]:
    """Gather and sum by torch's embedding_bag; `vectors` is a torch tensor, arrays go there by DLPack."""
    torch = importlib.import_module("torch")

    def pool(genes: Any, weights: Any) -> Any:
        return _bag(torch, torch.from_dlpack(genes), torch.from_dlpack(weights), vectors)

    return pool


def _bag(torch: Any, genes: Any, weights: Any, vectors: Any) -> Any:
    functional = torch.nn.functional
    z = functional.embedding_bag(
        genes, vectors, per_sample_weights=weights.to(vectors.dtype), mode="sum"
    ).float()
    return functional.normalize(z, dim=1)
