"""What is made shard by shard: journal, resume and verify run any sink, and the embedding is one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lexicell.store import steps
from lexicell.store.journal import Journal, Mode, open_journal
from lexicell.store.layout import Layout
from lexicell.store.objects import Bytes, Objects, open_objects
from lexicell.store.units import Receipt

if TYPE_CHECKING:
    from lexicell.store.writer import WriterStore

__all__ = ["ShardWriter", "ShardedStore", "Sink", "create_store"]


class Sink(Protocol):
    """What becomes of cells, shard by shard; it can be pickled, and never sees a file.

    Attributes
    ----------
    layout
        How the cells are cut.
    """

    @property
    def layout(self) -> Layout:
        """See `Sink`."""
        ...

    def schema(self, store: WriterStore) -> None:
        """Write what describes the shards, before there is one; again where a run goes on."""
        ...

    def encode(
        self, number: int, shard: Any
    ) -> tuple[Iterable[tuple[str, Sequence[Bytes]]], Mapping[str, Any]]:
        """Objects of a shard, as keys and bytes, and what is to be remembered of it, as plain JSON.

        Both are a function of the shard's cells alone: making it again writes the same bytes.
        """
        ...

    def finish(self, store: WriterStore, *content: Any) -> None:
        """Write what describes the whole, when all shards are there."""
        ...


@dataclass(frozen=True, slots=True)
class ShardWriter:
    """Writes whole shards, from any thread or process; it can be pickled.

    Attributes
    ----------
    location
        Folder or URL of the unfinished store.
    sink
        What a shard becomes.
    """

    location: str
    sink: Sink

    @property
    def layout(self) -> Layout:
        """How the cells are cut."""
        return self.sink.layout

    def write(self, number: int, shard: Any, objects: Objects | None = None) -> Receipt:
        """Write a shard, without checking whether it exists. It is durable when this returns.

        Parameters
        ----------
        number
            Of the shard.
        shard
            What the sink encodes, of as many cells as `Layout.rows` says.
        objects
            Where it goes, opened (`open_objects`) once by who writes many shards: then only folders that
            change are made durable again.

        Raises
        ------
        ValueError
            The sink takes no such shard.
        WriteError
            The disk is full, or refuses.
        """
        from lexicell.store.writer import WriterStore

        encoded, facts = self.sink.encode(number, shard)
        steps.step("shard-encoded")
        store = WriterStore(objects or open_objects(self.location))
        for key, parts in encoded:
            store.put(key, parts)
        return Receipt(number, store.take(), facts)


class ShardedStore:
    """A store being written shard by shard. Made by `create_store`.

    Attributes
    ----------
    writer
        Writes shards.
    keep
        Whether unfinished work is kept.
    """

    def __init__(self, journal: Journal, sink: Sink, *, keep: bool) -> None:
        self.writer = ShardWriter(journal.location, sink)
        self.keep = keep
        self._journal, self._sink = journal, sink
        if not self.complete:
            sink.schema(journal.store)

    @property
    def complete(self) -> bool:
        """Whether the store is complete, and nothing is left to do."""
        return self._journal.complete

    @property
    def files(self) -> WriterStore:
        """What this process writes itself."""
        return self._journal.store

    @property
    def pending(self) -> list[int]:
        """Shards that are not committed."""
        return [number for number in range(self._sink.layout.n_shards) if number not in self._journal.done]

    @property
    def facts(self) -> dict[int, dict[str, Any]]:
        """Facts of each committed shard, see `Receipt`."""
        return self._journal.done

    def commit(self, receipt: Receipt) -> None:
        """Record that a shard is written; whatever happens then, it is not written again.

        Raises
        ------
        WriteError
            The disk is full, or refuses.
        """
        self._journal.commit(receipt.shard, receipt.objects, receipt.facts)

    def forget(self) -> None:
        """Keep nothing of the run when the block ends: it can't become what was asked for."""
        self._journal.done.clear()

    def finish(self, *content: Any) -> None:
        """Write what describes the whole, see `Sink.finish`, and publish the store.

        Raises
        ------
        ValueError
            Shards are missing.
        WriteError
            The disk is full, or refuses; the run can be continued.
        """
        self._sink.finish(self._journal.store, *content)
        self._journal.finish()


@contextmanager
def create_store(
    target: str | Path,
    sink: Sink,
    identity: Mapping[str, Any],
    *,
    mode: Mode,
    keep: bool = True,
    table: bytes | None = None,
) -> Iterator[ShardedStore]:
    """Begin to write a store, or go on.

    Parameters
    ----------
    target
        Folder or URL of the store, a ``.zarr``.
    sink
        What is written.
    identity
        JSON: all else that decides what the store will be.
    mode
        "new", "resume" or "overwrite"; see `lexicell.store.journal.open_journal`.
    keep
        Whether shards that are done are kept when the block ends without `ShardedStore.finish`.
    table
        Kept with the run until it is complete; see `lexicell.store.journal.begun`.

    Raises
    ------
    OutputExistsError, InputError, CorruptDataError, WriteError
        See `lexicell.store.journal.open_journal`.
    """
    layout = sink.layout
    full = {**identity, "layout": asdict(layout)}
    with open_journal(target, full, total=layout.n_shards, mode=mode, keep=keep, table=table) as journal:
        yield ShardedStore(journal, sink, keep=keep)
