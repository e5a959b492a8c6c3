"""What the numbers of a matrix are taken for: what the user says, or else what a sample shows."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell.arrays import move, namespace, to_host
from lexicell.counts.blocks import concat_rows
from lexicell.counts.counts_elsewhere import counts_elsewhere
from lexicell.counts.guess import LOG_BASES, Guess, Values, guess_values
from lexicell.errors import CountsError
from lexicell_kernels import InvalidCountsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from lexicell.counts.source import CountSource
    from lexicell_kernels.types import CsrBlock

__all__ = [
    "Resolved",
    "check_values",
    "decode_values",
    "first_bad",
    "guess_source",
    "naming_bad_counts",
    "read_sample",
    "resolve_values",
]

#: Cells that are looked at.
SAMPLE_CELLS = 1800
#: Share of negative values from which on they are no slip.
_SCALED = 0.01


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a matrix is taken for.

    Attributes
    ----------
    values
        What `decode_values` is to undo.
    note
        One sentence that a person should read, since library size and ranks mean something else than of whole
        counts; empty for these, and for what the user says where nothing speaks against it.
    """

    values: Values
    note: str = ""


def read_sample(source: CountSource, max_cells: int | None = None) -> CsrBlock:
    """Read at most `SAMPLE_CELLS` cells, where ``source.peek`` says; on the host wherever they lie."""
    spans = source.peek(SAMPLE_CELLS if max_cells is None else max_cells)
    return concat_rows([move(source.read(start, stop), "cpu") for start, stop in spans])


def resolve_values(source: CountSource, asked: Values | None, sample: CsrBlock | None = None) -> Resolved:
    """Decide from a sample of at most `SAMPLE_CELLS` cells what a matrix holds.

    What the user says is done. A sample only refuses it by a fact: a value that is negative, NaN or infinite,
    or becomes so when what the user says is undone.

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
    Resolved
        `asked`, or what was found: ``counts`` or ``normalised``.

    Raises
    ------
    CountsError
        A value is no count; the message names cell and gene. Or the user does not say what the values are,
        and they look transformed or like nothing that is recognised. Either message names what else of the
        data set holds counts.
    """
    sample = read_sample(source) if sample is None else sample
    _check_sample(source, sample, asked)
    guess = guess_values(sample, source.log_base)
    if asked is not None:
        return Resolved(asked, _told(asked, guess))
    if guess.values is Values.COUNTS:
        return Resolved(Values.COUNTS)
    if guess.values is Values.NORMALISED:
        how = "" if guess.sure == "sure" else "probably "
        note = (
            f"the matrix holds fractions, {how}{guess.what} ({guess.evidence}): taken as normalised counts, "
            "so ties and totals are theirs"
        )
        return Resolved(Values.NORMALISED, note)
    raise CountsError(_refusal(source, guess))


def guess_source(source: CountSource, max_cells: int) -> Guess:
    """Say what the values of a few cells look like.

    Raises
    ------
    CountsError
        A value is no count; the message names cell and gene.
    """
    sample = read_sample(source, max_cells)
    _check_sample(source, sample, None, max_cells)
    return guess_values(sample, source.log_base)


def decode_values(block: CsrBlock, values: Values) -> CsrBlock:
    """Undo a logarithm or a root, in the precision of the values; pass others through.

    Negative values stay negative, so that they are found.
    """
    if values in (Values.COUNTS, Values.NORMALISED):
        return block
    data = block.data if block.data.dtype.kind == "f" else block.data.astype(np.float32)
    xp = namespace(data)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is reported as that
        if values is Values.SQRT:
            return replace(block, data=data * xp.abs(data))
        base = LOG_BASES[values]
        return replace(block, data=xp.expm1(data if base == np.e else data * float(np.log(base))))


def check_values(source: CountSource, block: CsrBlock, start: int, values: Values) -> None:
    """Raise CountsError for the first value of a block, as it is stored, that is no count.

    Parameters
    ----------
    source
        The data set.
    block
        Its rows from `start` on, on the host.
    start
        Number of the first row.
    values
        What the numbers are.
    """
    at = first_bad(block, values)
    if at is None:
        return
    row = int(np.searchsorted(block.indptr, at, side="right")) - 1
    raise CountsError(_blame(source, block, at, start + row))


def bad_value(
    label: str,
    names: Callable[[int, int], pd.Index[Any]],
    genes: pd.Index[Any],
    row: int,
    column: int,
    value: Any,
) -> str:
    """Say which value is no count: the sentence of all verbs.

    Parameters
    ----------
    label, names, genes
        The data set, what gives the names of its cells ``start:stop``, and the names of its columns.
    row, column, value
        Where the value is in the data set, and the value as it is stored.
    """
    return (
        f"{label}: cell {names(row, row + 1)[0]!r} (row {row}) has {value} for gene {genes[column]!r}; "
        "counts are finite and not negative"
    )


@contextmanager
def naming_bad_counts(
    block: CsrBlock,
    start: int,
    values: Values,
    label: str,
    names: Callable[[int, int], pd.Index[Any]],
    genes: pd.Index[Any],
) -> Iterator[None]:
    """Raise CountsError with the names of cell and gene where a kernel finds a value that is no count.

    Parameters
    ----------
    block
        As it is stored, wherever it lies.
    start
        Number of its first row in the data set.
    values
        What its numbers are.
    label, names, genes
        See `bad_value`.
    """
    try:
        yield
    except InvalidCountsError as error:
        column, value = _bad_in_row(block, error.row, values)
        raise CountsError(bad_value(label, names, genes, start + error.row, column, value)) from error


def _bad_in_row(block: CsrBlock, row: int, values: Values) -> tuple[int, Any]:
    """Column and stored value of what is no count in a row of a block.

    The largest value where none is bad alone, but a sum of several columns is.
    """
    a, b = (int(end) for end in block.indptr[row : row + 2])
    x, columns = to_host(block.data[a:b]), to_host(block.indices[a:b])
    part = replace(block, data=x, indices=columns, indptr=np.array([0, b - a]))
    at = first_bad(part, values)
    at = int(x.argmax()) if at is None else at
    return int(columns[at]), x[at]


def first_bad(block: CsrBlock, values: Values) -> int | None:
    """Position of the first value of a block on the host that is no count, as the kernels see it."""
    with np.errstate(over="ignore", invalid="ignore"):
        x = decode_values(block, values).data
        x = x.astype(np.float32) if x.dtype.kind == "f" else x
    bad = ~(np.isfinite(x) & (x >= 0))
    return int(bad.argmax()) if bad.any() else None


def _check_sample(
    source: CountSource, sample: CsrBlock, stated: Values | None, max_cells: int | None = None
) -> None:
    values = Values.COUNTS if stated is None else stated
    at = first_bad(sample, values)
    if at is None:
        return
    spans = source.peek(SAMPLE_CELLS if max_cells is None else max_cells)
    rows = list(chain.from_iterable(range(*span) for span in spans))
    row = rows[int(np.searchsorted(sample.indptr, at, side="right")) - 1]
    raise CountsError(_blame(source, sample, at, row))


def _blame(source: CountSource, block: CsrBlock, at: int, row: int) -> str:
    column, value = int(block.indices[at]), block.data[at]
    sentence = bad_value(source.label, source.names, source.var.index, row, column, value)
    if float((block.data < 0).mean()) > _SCALED:
        sentence += ", so the matrix was scaled or centred"
    ways = counts_elsewhere(source)
    return f"{sentence}; give {_any_of(ways)}" if ways else sentence


def _told(stated: Values, guess: Guess) -> str:
    """Say what speaks against what the user says, or that fractions are taken for counts."""
    intro = f"the values are taken as {stated}, as --values says"
    if stated is guess.values:
        if stated is Values.NORMALISED:
            return f"{intro} ({guess.what}: {guess.evidence}): ties and totals are those of fractions"
        return ""
    if guess.values is None:
        return "" if stated in LOG_BASES and stated in guess.ways else f"{intro}; {guess.evidence}"
    return f"{intro}, but they look like {guess.what} ({guess.evidence}), which is --values {guess.values}"


def _refusal(source: CountSource, guess: Guess) -> str:
    ways = counts_elsewhere(source) + tuple(f"--values {kind}" for kind in guess.ways)
    if guess.values is None:
        text = f"the matrix holds {guess.what} ({guess.evidence})"
    else:
        verb = "looks" if guess.sure == "sure" else "probably looks"
        word = "log1p-transformed" if guess.values is Values.LOGNORM else f"{guess.values}-transformed"
        text = f"the matrix {verb} {word}, not like counts: it holds {guess.what} ({guess.evidence})"
    return f"{source.label}: {text}; give {_any_of(ways) or 'a matrix of counts'}"


def _any_of(ways: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(ways[:-1]), *ways[-1:])))
