"""What a packed atlas will be, settled before the first row is packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import blake3
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.counts import ConcatSource, Fingerprint, fingerprint, gene_keys, read_sample
from lexicell.errors import InputError
from lexicell.packing import shard
from lexicell.packing.rows import counts_dtype, value_traits
from lexicell.store import check_columns

if TYPE_CHECKING:
    from lexicell.counts import CountSource

__all__ = ["PackPlan", "gene_numbers", "plan_pack"]

#: Of what is written; an atlas of another number is not continued.
_FORMAT = 1


@dataclass(frozen=True)
class PackPlan:
    """How some inputs become one atlas; `describe` is what ``--dry-run`` prints.

    Attributes
    ----------
    source
        The opened inputs, ``N`` rows and ``v`` columns.
    matrix
        Which matrix of them it is: "X", ".raw" or a layer.
    order
        ``[v]`` int64, the column of `source` that comes at each place.
    order_of
        Whose order that is: plain values, the identity of a lexicon.
    obs_columns
        Columns of obs to keep.
    origin
        What the inputs are made of.
    traits
        Of the values of a sample, see `value_traits`.
    counts
        Type in which values are stored.
    row_values
        Mean number of values in a row of the sample.
    """

    source: ConcatSource
    matrix: str
    order: NDArray[np.int64]
    order_of: dict[str, str]
    obs_columns: tuple[str, ...]
    origin: Fingerprint
    traits: int
    counts: np.dtype[Any]
    row_values: float

    @property
    def columns(self) -> np.dtype[Any]:
        """Type in which columns are stored."""
        return np.dtype(np.uint16 if len(self.order) <= 1 << 16 else np.int32)

    @property
    def likely_values(self) -> int:
        """Number of values there will be, from the sample."""
        return int(self.row_values * self.source.n_cells)

    @property
    def likely_shards(self) -> int:
        """Number of shards there will be, from the sample."""
        return self.likely_values // shard.SHARD + 1

    @cached_property
    def place(self) -> NDArray[np.int32]:
        """``[v]`` int32, where each column of the source is put."""
        places = np.empty(len(self.order), np.int32)
        places[self.order] = np.arange(len(self.order), dtype=np.int32)
        return places

    @cached_property
    def numbers(self) -> NDArray[np.uint64]:
        """``[v]`` uint64, the number of each stored column's gene."""
        return gene_numbers(self.source.var.index)[self.order]

    def widened(self, traits: int) -> PackPlan:
        """The same for values that have these traits too."""
        combined = self.traits | traits
        return replace(self, traits=combined, counts=counts_dtype(combined))

    def identity(self) -> dict[str, Any]:
        """Everything that decides the bytes of the atlas."""
        return {
            "format": _FORMAT,
            "kind": "packed atlas",
            "input": {"matrix": self.matrix, "names": list(self.source.inputs), **asdict(self.origin)},
            "order": {**self.order_of, "genes": blake3.blake3(self.numbers.tobytes()).hexdigest()},
            "obs_columns": list(self.obs_columns),
            "stored": self._stored(),
        }

    def provenance(self) -> dict[str, Any]:
        """What belongs into ``uns``."""
        from importlib.metadata import version

        return {
            "version": version("lexicell"),
            "inputs": list(self.source.inputs),
            "input_cells": np.diff(self.source.ends),
            "input_bytes": self.origin.bytes,
            "matrix": self.matrix,
            "order": self.order_of,
            "stored": self._stored(),
        }

    def describe(self) -> dict[str, Any]:
        """Return the plan as plain values, for people and for ``--json``; sizes are bytes."""
        return {
            "inputs": len(self.source.inputs),
            "cells": self.source.n_cells,
            "columns": self.source.n_columns,
            "order": ", ".join(self.order_of.values()),
            "matrix": self.matrix,
            "obs_columns": len(self.obs_columns),
            "counts_dtype": self.counts.name,
            "columns_dtype": self.columns.name,
            "values": self.likely_values,
            "shards": self.likely_shards,
            "input_bytes": self.origin.bytes,
            "bytes_in_memory": self.likely_values * (self.counts.itemsize + self.columns.itemsize),
        }

    def _stored(self) -> dict[str, Any]:
        return {
            "counts": self.counts.name,
            "columns": self.columns.name,
            "chunk": shard.CHUNK,
            "shard": shard.SHARD,
        }


def plan_pack(
    source: ConcatSource,
    paths: Sequence[str],
    order: NDArray[np.int64],
    order_of: dict[str, str],
    *,
    matrix: str = "X",
    obs_columns: Sequence[str] | None = None,
    follow_links: bool = False,
    tell: Callable[[str], None],
) -> PackPlan:
    """Settle everything about packing `source`, and check that it makes sense.

    Parameters
    ----------
    source
        The opened inputs; up to 1,800 cells are read, and some of each input.
    paths
        What it was opened from.
    order, order_of, matrix
        See `PackPlan`.
    obs_columns
        Columns of obs to keep; None for all that can be stored.
    follow_links
        As the inputs were opened.
    tell
        Called with notes for people.

    Raises
    ------
    InputError
        The inputs do not belong together, or obs has no such column or one that cannot be stored.
    CorruptDataError
        An input is damaged.
    """
    for sentence in source.check():
        tell(sentence)
    columns = _storable(source, tell) if obs_columns is None else tuple(obs_columns)
    check_columns(source, columns)
    sample = read_sample(source)
    traits = value_traits(sample.data)
    return PackPlan(
        source,
        matrix,
        order,
        order_of,
        columns,
        fingerprint(paths, follow_links=follow_links),
        traits,
        counts_dtype(traits),
        len(sample.data) / sample.n_rows,
    )


def gene_numbers(names: pd.Index[Any]) -> NDArray[np.uint64]:
    """Draw a number for each column of a matrix, ``[v]``, from its name and which of that name it is."""
    return pd.util.hash_array(gene_keys(names).to_numpy(object), categorize=False)


def _storable(source: CountSource, tell: Callable[[str], None]) -> tuple[str, ...]:
    columns = []
    for name in source.obs_columns:
        try:
            check_columns(source, [name])
        except InputError as error:
            tell(f"{error}: it is left out")
        else:
            columns.append(name)
    return tuple(columns)
