"""Arrow tables of cells, made shard by shard of counts: scores of sentences, and inputs of other models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell._trace import stage
from lexicell.counts import MAX_NNZ, CountSource, Values, naming_bad_counts
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.shards import MakeShard, Tick
from lexicell.errors import InputError
from lexicell.store import Layout
from lexicell_kernels import CsrBlock

__all__ = ["TALLY", "Encoder", "TableShards", "Tallying", "text_column"]

#: Where a table's metadata keep what an encoder has counted in its cells: int64, as bytes.
TALLY = b"lexicell_tally"


class Encoder(Protocol):
    """Makes columns of the cells of a block; it can be pickled, and a cell's do not depend on other cells."""

    @property
    def genes(self) -> CandidateGenes:
        """Which columns of the matrix are read, and which of them are one gene."""
        ...

    @property
    def read_obs(self) -> Sequence[str]:
        """Columns of ``obs`` that it wants to see."""
        ...

    def encode(
        self, counts: CsrBlock, start: int, obs: pd.DataFrame
    ) -> tuple[dict[str, pa.Array], np.ndarray[Any, np.dtype[np.bool_]] | None]:
        """Columns by their names, of the cells that are kept, and which these are; None for all.

        Parameters
        ----------
        counts
            Of ``n`` cells; columns that are one gene are summed.
        start
            Number of the first cell.
        obs
            ``[n]`` rows of what it wants to see.
        """
        ...


@runtime_checkable
class Tallying(Protocol):
    """An encoder that also counts something over all cells."""

    def tally(self, counts: CsrBlock) -> NDArray[np.int64]:
        """What it counts in a block, to be added to that of others."""
        ...


@dataclass(frozen=True)
class TableShards:
    """Makes Arrow tables of cells: their names, what an encoder makes of them, and columns of ``obs``.

    Attributes
    ----------
    encoder
        See `Encoder`.
    values
        What the numbers are.
    label, genes
        Names of the data set and of its columns, for messages.
    columns
        Of ``obs``, to be copied.
    names
        What the column with the cells' names is called.
    """

    encoder: Encoder
    values: Values
    label: str
    genes: pd.Index[Any]
    columns: tuple[str, ...] = ()
    names: str = "cell_id"

    def check(self, who: str) -> None:
        """See `ShardMaker`: nothing is rounded that could differ."""

    def start(self, source: CountSource, layout: Layout, crew: int) -> MakeShard:  # noqa: ARG002 -- all alike
        """See `ShardMaker`."""
        asked = list(dict.fromkeys((*self.columns, *self.encoder.read_obs)))

        def make(start: int, stop: int, threads: Callable[[], int], tick: Tick) -> pa.Table:  # noqa: ARG001
            parts, tally = [], np.zeros(0, np.int64)
            for first, last in source.spans(MAX_NNZ, start, stop):
                with stage("decode"):
                    block = source.read(first, last)
                obs = source.read_obs(asked, first, last)
                with naming_bad_counts(block, first, self.values, self.label, source.names, self.genes):
                    counts = self.encoder.genes.counts(block, self.values)
                    made, kept = self.encoder.encode(counts, first, obs)
                    if isinstance(self.encoder, Tallying):
                        tally = (tally if len(tally) else 0) + self.encoder.tally(counts)
                names = pa.array(np.asarray(source.names(first, last), str))
                copied = _obs_columns(obs[list(self.columns)])
                beside = {self.names: names, **copied}
                if kept is not None:
                    beside = {name: column.filter(pa.array(kept)) for name, column in beside.items()}
                parts.append(pa.table({self.names: beside.pop(self.names), **made, **beside}))
                tick(last - first, int(block.data.nbytes + block.indices.nbytes))
            table = pa.concat_tables(parts)
            return table.replace_schema_metadata({TALLY: tally.tobytes()}) if len(tally) else table

        return make


def _obs_columns(obs: pd.DataFrame) -> dict[str, pa.Array]:
    """Columns of ``obs`` as Arrow has them: text for categories, null for what is missing."""
    return {str(name): _column(str(name), column) for name, column in obs.items()}


def text_column(column: pd.Series[Any]) -> pa.Array:
    """A column of ``obs`` as text, null for what is missing."""
    values = column.astype(object)
    text = values.map(str, na_action="ignore")
    return pa.array(text.where(values.notna(), None), pa.string(), from_pandas=True)


def _column(name: str, column: pd.Series[Any]) -> pa.Array:
    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == object:
        return text_column(column)
    try:
        made = pa.array(column, from_pandas=True)
        if isinstance(made.type, pa.BaseExtensionType):
            msg = f"obs[{name!r}] can't be exported (its values are {column.dtype}); leave it out"
            raise InputError(msg)
        return made
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        msg = f"obs[{name!r}] can't be exported ({error}); leave it out"
        raise InputError(msg) from error
