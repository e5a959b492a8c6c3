"""What the numbers of a matrix are: counts, normalised counts or their logarithms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from lexicell._arrays import move, namespace
from lexicell.atlas.counts._blocks import concat_rows
from lexicell.errors import CountsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lexicell.atlas.source import CountSource
    from lexicell_kernels.types import CsrBlock

__all__ = ["Values", "decode_values", "read_sample", "resolve_values"]

#: Cells that are looked at.
SAMPLE_CELLS = 1800
#: No logarithm of a count comes near this: exp(20) is half a billion.
_LARGEST_LOG = 20.0
#: Sums over cells that differ by less than this share are one constant.
_CONSTANT = 2e-3


class Values(StrEnum):
    """What a matrix holds.

    ``counts`` are whole numbers, ``normalised`` are counts divided by a size factor, and ``lognorm`` are
    ``log1p`` (natural logarithm) of the latter.
    """

    COUNTS = "counts"
    NORMALISED = "normalised"
    LOGNORM = "lognorm"


@dataclass(frozen=True, slots=True)
class _Look:
    """What a sample shows."""

    integer: bool
    logged: bool


def read_sample(source: CountSource) -> CsrBlock:
    """Read at most `SAMPLE_CELLS` cells, where ``source.peek`` says; on the host wherever they lie."""
    return concat_rows([move(source.read(start, stop), "cpu") for start, stop in source.peek(SAMPLE_CELLS)])


def resolve_values(source: CountSource, asked: Values | None, sample: CsrBlock | None = None) -> Values:
    """Decide from a sample of at most `SAMPLE_CELLS` cells what a matrix holds.

    Parameters
    ----------
    source
        Where the sample is from.
    asked
        What the user says it holds, or None to find out.
    sample
        What `read_sample` gave, if it was read already.

    Returns
    -------
    `asked`, or what was found: ``counts`` or ``normalised``. The latter changes what library size and ranks
    mean, so the caller announces it.

    Raises
    ------
    CountsError
        The values look log1p-transformed and the user did not say so, or they are not what the user says.
    """
    look = _look(source, read_sample(source) if sample is None else sample)
    if look.integer:
        if asked is Values.LOGNORM:
            msg = f"{source.label}: the matrix holds whole numbers, so counts; leave out --values lognorm"
            raise CountsError(msg)
        return asked or Values.COUNTS
    if asked is Values.LOGNORM:
        return asked
    if look.logged:
        msg = f"{source.label}: the matrix looks log1p-transformed, not like counts; give {_ways_out(source)}"
        raise CountsError(msg)
    if asked is Values.COUNTS:
        msg = f"{source.label}: the matrix holds fractions, which are no counts; give --values normalised"
        raise CountsError(msg)
    return Values.NORMALISED


def decode_values(block: CsrBlock, values: Values) -> CsrBlock:
    """Undo the logarithm of ``lognorm`` values, in their own precision; pass others through."""
    if values is not Values.LOGNORM:
        return block
    data = block.data if block.data.dtype.kind == "f" else block.data.astype(np.float32)
    return replace(block, data=namespace(data).expm1(data))


def _look(source: CountSource, block: CsrBlock) -> _Look:
    if block.data.dtype.kind != "f":
        return _Look(integer=True, logged=False)
    finite = np.isfinite(block.data)
    data = np.where(finite, block.data, 0).astype(np.float64)
    if not bool((data != np.rint(data)).any()):
        return _Look(integer=True, logged=False)
    if float(data.min()) < 0 or float(data.max()) > _LARGEST_LOG:
        # Neither happens to logarithms of counts; the kernel names the cell of a negative value.
        return _Look(integer=False, logged=False)
    logged = source.log1p_hint or _constant_sums(np.expm1(data), block) or not _constant_sums(data, block)
    return _Look(integer=False, logged=logged)


def _constant_sums(data: NDArray[np.float64], block: CsrBlock) -> bool:
    ends = np.concatenate([np.zeros(1), np.cumsum(data)])
    sums = np.diff(ends[block.indptr])
    sums = sums[np.diff(block.indptr) > 0]
    return sums.size > 2 and bool(np.ptp(sums) <= _CONSTANT * np.mean(sums))


def _ways_out(source: CountSource) -> str:
    layers = sorted(source.layers, key=lambda name: ("count" not in name.lower(), "raw" not in name.lower()))[
        :3
    ]
    ways = [f"--layer {name}" for name in layers]
    if source.has_raw:
        ways.insert(0 if not layers or "count" not in layers[0].lower() else 1, "--use-raw")
    ways.append("--values lognorm")
    return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])} or {ways[-1]}"
