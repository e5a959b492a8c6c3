"""One entry point per operation; the type of the block's arrays decides who does the work."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, Protocol, cast

from numpy.typing import NDArray

from lexicell_kernels._host import (
    Result,
    block_to_host,
    check_rows,
    in_order,
    result_to_host,
    table_on_host,
)
from lexicell_kernels.types import (
    CsrBlock,
    DisorderedRowsError,
    GeneTable,
    Order,
    Picks,
    Rows,
    Weight,
    check_block,
)

__all__ = ["Backend", "Device", "block_to_device", "embed_rows", "select_topk"]

#: Where the work is done.
Device = Literal["cpu", "cuda"]

#: Array package -> module of the backend. The module is imported when the first such array arrives.
_BACKENDS = {"cupy": "lexicell_kernels.cuda", "numpy": "lexicell_kernels.cpu"}
_PACKAGES: dict[str, str] = {"cpu": "numpy", "cuda": "cupy"}


class Backend(Protocol):
    """What a backend module provides; `lexicell_kernels.parity` holds it against the reference."""

    def embed_rows(
        self,
        block: CsrBlock,
        table: GeneTable,
        *,
        k: int | None,
        weight: Weight,
        normalise: bool,
        threads: int | None = None,
    ) -> Rows:
        """See `lexicell_kernels.embed_rows`."""
        ...

    def select_topk(self, block: CsrBlock, table: GeneTable, *, k: int, order: Order) -> Picks:
        """See `lexicell_kernels.select_topk`."""
        ...


def _run(
    call: Callable[[Backend, CsrBlock, GeneTable], Result],
    block: CsrBlock,
    table: GeneTable,
    device: Device | None,
) -> Result:
    """Run `call` on `device` with arrays that lie there; away from the block's home, return NumPy arrays."""
    home = type(block.data).__module__.partition(".")[0]
    if home not in _BACKENDS:
        known = ", ".join(sorted(_BACKENDS))
        msg = f"no kernel for arrays of {home}; there are kernels for {known}"
        raise TypeError(msg)
    if device is not None and device not in _PACKAGES:
        msg = f"device must be 'cpu', 'cuda' or None for where the block lies, got {device!r}"
        raise ValueError(msg)
    package = home if device is None else _PACKAGES[device]
    backend = cast("Backend", importlib.import_module(_BACKENDS[package]))
    if package == "numpy":
        return call(backend, block if home == "numpy" else block_to_host(block), table_on_host(table))
    if home == package:
        return call(backend, block, table)
    result = result_to_host(call(backend, block_to_device(block), table))
    try:
        check_rows(result, block)
    except DisorderedRowsError:
        block = in_order(block)
        result = result_to_host(call(backend, block_to_device(block), table))
        check_rows(result, block)
    return result


def embed_rows(
    block: CsrBlock,
    table: GeneTable,
    *,
    k: int | None,
    weight: Weight = Weight.LOG1P,
    normalise: bool = True,
    device: Device | None = None,
    threads: int | None = None,
    out: NDArray[Any] | None = None,
) -> Rows:
    """Select, weight, pool, project and normalise every row in one pass.

    Parameters
    ----------
    block
        ``n`` cells x ``v`` columns of counts, in arrays of NumPy or CuPy.
    table
        Gene vectors ``[m, p]`` with everything linear folded in. A GPU's copy is made once and kept with the
        table.
    k
        Genes per cell; None for all candidates.
    weight
        How much each selected gene counts.
    normalise
        Scale each row to length 1.
    device
        ``"cpu"``, ``"cuda"``, or None for where the block lies. Elsewhere than there, the block is copied,
        and the result comes back as NumPy arrays.
    threads
        Of the CPU; None for one on each. A caller with threads of its own gives 1. A GPU does not look at it.
    out
        What the vectors are written to, of the CPU only: ``[n, p]`` float32, or float16 to have them rounded
        (to the nearest, ties to even). None for new ones, float32.

    Returns
    -------
    Rows
        ``[n, p]`` float32 vectors and three quality columns; CuPy where block and `device` are a GPU's.

    Raises
    ------
    InvalidBlockError
        The arrays of the block do not make a CSR matrix.
    InvalidCountsError
        A count is negative, NaN or infinite.
    ValueError
        Shapes do not fit, or `out` does not, ``k < 1``, a column lies outside the matrix, or so many genes
        are to be ordered by score that a GPU's shared memory does not hold them.
    TypeError
        There is no kernel for this type of array, or for vectors of this type.
    GpuUnavailableError
        There is no GPU that can be used; the message says what to install.
    DeviceMemoryError
        The GPU's memory does not hold table, block or result.

    Notes
    -----
    Defined by `lexicell_kernels.reference`. A row's vector depends on that row alone: not on other rows,
    the order of columns or the number of threads.

    With CuPy arrays the work is put on the current stream and nobody waits for it, so a row that can't be
    used is not an error but a flag; `lexicell_kernels.check_rows` raises what the flags say.
    """
    given: dict[str, Any] = {} if out is None else {"out": out}
    return _run(
        lambda backend, there, genes: backend.embed_rows(
            there, genes, k=k, weight=weight, normalise=normalise, threads=threads, **given
        ),
        block,
        table,
        device,
    )


def select_topk(
    block: CsrBlock,
    table: GeneTable,
    *,
    k: int,
    order: Order = Order.LEXICON,
    device: Device | None = None,
) -> Picks:
    """Select the k highest-scoring genes of every row, without pooling.

    Parameters
    ----------
    block, table, k, device
        As for `embed_rows`; the values of ``table.vectors`` do not matter.
    order
        List genes by lexicon row, or by ``(score descending, lexicon row ascending)``.

    Returns
    -------
    Picks
        ``[n, k]`` table rows, scores and counts; per row, how many of them are used and the sum of all its
        counts.

    Raises
    ------
    InvalidBlockError, InvalidCountsError, ValueError, TypeError, GpuUnavailableError, DeviceMemoryError
        As for `embed_rows`.
    """
    return _run(
        lambda backend, there, genes: backend.select_topk(there, genes, k=k, order=order),
        block,
        table,
        device,
    )


def block_to_device(block: CsrBlock) -> CsrBlock:
    """Copy a block to the current GPU.

    Raises
    ------
    InvalidBlockError
        It is no CSR matrix.
    GpuUnavailableError
        There is no GPU that can be used.
    DeviceMemoryError
        The block does not fit its memory.
    """
    from lexicell_kernels.cuda.device import device_memory, require_cupy

    check_block(block)
    cupy = require_cupy()
    with device_memory(f"a block of {block.n_rows:,} rows", block.nbytes):
        return replace(
            block,
            data=cupy.asarray(block.data),
            indices=cupy.asarray(block.indices),
            indptr=cupy.asarray(block.indptr),
        )
