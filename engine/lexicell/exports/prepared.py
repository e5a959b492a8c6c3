"""What a format settles about a data set before the first cell is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.embedding.tables import Encoder
from lexicell.explanation.sums import SumShards

if TYPE_CHECKING:
    from lexicell.store import Bytes, WriterStore

__all__ = ["Assembly", "FileAssembly", "Prepared"]


class Assembly(Protocol):
    """Puts files together that no shard could write alone."""

    def __call__(
        self, tables: Iterable[pa.Table], store: WriterStore, card: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Write the files of the output.

        Parameters
        ----------
        tables
            Of all shards in order; may be read more than once, one table in memory at a time.
        store
            Where files go.
        card
            The run card, plain JSON.

        Returns
        -------
        Mapping
            What goes to the run card too.
        """
        ...


@runtime_checkable
class FileAssembly(Assembly, Protocol):
    """An assembly whose output may be one file."""

    def foresee(self, table: pa.Table) -> Mapping[str, Any]:
        """What can be said of a run after its first cells."""
        ...

    def write_file(
        self, tables: Iterable[pa.Table], path: Path, card: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """As a call; `tables` may be read once."""
        ...


@dataclass(frozen=True)
class Prepared:
    """What a format makes of a data set.

    Attributes
    ----------
    encoder
        Makes columns of cells, or tables of shards that an assembly reads.
    genes
        Table of the genes in use.
    facts
        Plain JSON: dictionaries, what was matched and what was not.
    files
        Small files beside, by their names.
    tallied
        Makes more of them of what the encoder has counted in all cells, see `Tallying`; None for none.
    empty
        A column and the value that it has in a cell without genes.
    assembly
        Makes the output of the tables of all shards; None where these are the output.
    every_obs
        Where not None, all columns of ``obs`` go along unless asked otherwise, but those of these names.
    needs_obs
        Columns of ``obs`` that go along in any case.
    """

    encoder: Encoder | SumShards
    genes: pd.DataFrame
    facts: Mapping[str, Any]
    files: Mapping[str, Bytes] = field(default_factory=dict)
    tallied: Callable[[NDArray[np.int64]], Mapping[str, Bytes]] | None = None
    empty: tuple[str, int] = ("n_genes", 0)
    assembly: Assembly | None = None
    every_obs: Sequence[str] | None = None
    needs_obs: Sequence[str] = ()
