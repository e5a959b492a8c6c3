"""Tables of all shards on their way to what is put together of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.embedding.tables import TALLY
from lexicell.store import PASSING, Layout

if TYPE_CHECKING:
    from lexicell.store import Bytes, WriterStore

__all__ = ["Parts", "PartsSink", "TallySink"]


@dataclass(frozen=True, slots=True)
class PartsSink:
    """The sink of tables that are put together at the end: Arrow files that are no part of the output.

    Attributes
    ----------
    layout
        How the cells are cut.
    """

    layout: Layout

    def schema(self, store: WriterStore) -> None:
        """Write nothing: each part has its schema."""

    def encode(
        self, number: int, shard: pa.Table
    ) -> tuple[list[tuple[str, Sequence[Bytes]]], dict[str, Any]]:
        """See `lexicell.store.Sink`; it remembers the number of rows."""
        written = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(written, shard.schema, options=options) as stream:
            stream.write_table(shard)
        return [(_key(number), (bytes(written.getvalue()),))], {"rows": shard.num_rows}

    def finish(self, store: WriterStore, write: Callable[[Parts], Mapping[str, Bytes]]) -> None:
        """Put the output together; `write` returns small files beside it, by their names."""
        for name, content in write(Parts(store, self.layout.n_shards)).items():
            store.put(name, (content,))


@dataclass(frozen=True, slots=True)
class Parts:
    """Tables of all shards in order, one in memory at a time."""

    store: WriterStore
    n_shards: int

    def __iter__(self) -> Iterator[pa.Table]:
        for number in range(self.n_shards):
            yield pa.ipc.open_stream(self.store.read(_key(number))).read_all()


@dataclass(frozen=True, slots=True)
class TallySink:
    """Another sink, and beside each of its shards what the encoder has counted, which is added up at the end.

    Attributes
    ----------
    sink
        Of the tables.
    """

    sink: Any

    @property
    def layout(self) -> Layout:
        """See `lexicell.store.Sink`."""
        layout: Layout = self.sink.layout
        return layout

    def schema(self, store: WriterStore) -> None:
        """See `lexicell.store.Sink`."""
        self.sink.schema(store)

    def encode(
        self, number: int, shard: pa.Table
    ) -> tuple[list[tuple[str, Sequence[Bytes]]], dict[str, Any]]:
        """See `lexicell.store.Sink`."""
        objects, facts = self.sink.encode(number, shard.replace_schema_metadata(None))
        return [*objects, (_tally_key(number), ((shard.schema.metadata or {})[TALLY],))], facts

    def finish(self, store: WriterStore, *content: Any) -> None:
        """See `lexicell.store.Sink`."""
        self.sink.finish(store, *content)

    def total(self, store: WriterStore) -> NDArray[np.int64]:
        """Sum over all shards."""
        parts = (store.read(_tally_key(number)) for number in range(self.layout.n_shards))
        return np.asarray(sum(np.frombuffer(part, np.int64) for part in parts), np.int64)


def _tally_key(number: int) -> str:
    return f"{PASSING}/{number:05d}.tally"


def _key(number: int) -> str:
    return f"{PASSING}/{number:05d}.arrow"
