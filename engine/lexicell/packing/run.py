"""Count matrices repacked as one that is read fast: narrow types, light compression, one order of genes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lexicell._say import RunFacts
from lexicell.counts import MAX_NNZ, Scratch, Values, check_values, first_bad
from lexicell.errors import PartialError, WriteError
from lexicell.packing.plan import PackPlan, gene_numbers, plan_pack
from lexicell.packing.rows import PackedRows, fits, pack_rows
from lexicell.packing.shard import create_array
from lexicell.packing.stream import Position, ShardStream, Unit, read_records, write_unit
from lexicell.packing.verification import check_rows
from lexicell.store import (
    ANNDATA,
    ARRAY,
    PARTS,
    Journal,
    Mode,
    mapping_documents,
    open_journal,
    open_objects,
    place_of,
    write_element,
    write_obs,
)
from lexicell_kernels.cpu import available_cpus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lexicell.store import Written

__all__ = ["PackPlan", "Packed", "plan_pack", "run_pack"]

_INDPTR_CHUNK = 1 << 16

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Packed(RunFacts):
    """What a run did.

    Attributes
    ----------
    output
        Where the atlas is.
    cells, columns, values
        Its shape, and the values that are stored.
    dtype
        Of the values.
    seconds
        Wall time of this run.
    resumed_cells
        Cells that earlier runs had packed.
    input_bytes, output_bytes
        Sizes of all inputs, with all that is in them, and of the atlas.
    plan
        What was decided, as plain values.
    """

    output: Path | str
    cells: int
    columns: int
    values: int
    dtype: str
    seconds: float
    resumed_cells: int
    input_bytes: int
    output_bytes: int
    plan: Mapping[str, Any] = field(default_factory=dict)


class _TooNarrowError(Exception):
    """A value does not fit the type that the sample suggested."""

    def __init__(self, traits: int) -> None:
        super().__init__(traits)
        self.traits = traits


def run_pack(
    plan: PackPlan,
    output: str | Path,
    *,
    mode: Mode = "new",
    workers: int | None = None,
    tick: Callable[[int, int], None],
    tell: Callable[[str], None],
) -> Packed:
    """Pack the inputs of a plan.

    Threads decode blocks of rows, rename, sort and narrow them; they are put after one another in order, and
    threads encode and write the shards that are full. Each shard is durable before it is recorded. At the end
    every row is read back and compared with what its source had.

    Parameters
    ----------
    plan
        What to do.
    output
        Folder or URL of the atlas.
    mode
        "new", "resume" or "overwrite"; see `lexicell.store.journal.open_journal`.
    workers
        Threads; None for as many as there are CPUs. Memory grows by about 250 MB with each.
    tick
        Called with cells done, those of earlier runs included, and bytes decoded in this one.
    tell
        Called with notes for people.

    Raises
    ------
    InputError, OutputExistsError, WriteError
        Nothing is written.
    CorruptDataError
        An input is damaged, or the atlas does not read back as its inputs.
    PartialError
        The output refuses; what is done can be continued.
    """
    started = time.perf_counter()
    total = plan.likely_shards
    begun = place_of(output).unfinished if mode == "resume" else None
    if begun is not None and begun["identity"].get("kind") == plan.identity()["kind"]:
        # A sample says nothing of wider values that the earlier run has met.
        plan = replace(plan, counts=np.dtype(begun["identity"]["stored"]["counts"]))
        total = begun["total"]
    resumed = plan.source.n_cells
    while True:
        try:
            with open_journal(output, plan.identity(), total=total, mode=mode) as journal:
                if not journal.complete:
                    with _telling_what_is_kept(journal, tell):
                        resumed = _PackRun(plan, journal, str(output), workers, tick, tell).run()
                break
        except _TooNarrowError as error:
            wider = plan.widened(error.traits)
            tell(f"a value does not fit {plan.counts}: packing starts over with {wider.counts}")
            plan = wider
            if mode != "overwrite":
                _discard(output)
    values = sum(int(facts["values"]) for facts in journal.done.values())
    return Packed(
        output,
        plan.source.n_cells,
        len(plan.order),
        values,
        plan.counts.name,
        time.perf_counter() - started,
        resumed,
        plan.origin.bytes,
        sum(open_objects(str(output)).sizes().values()),
    )


@contextmanager
def _telling_what_is_kept(journal: Journal, tell: Callable[[str], None]) -> Iterator[None]:
    """Say what an early end leaves, and make a failure to write one that can be continued."""
    try:
        yield
    except _TooNarrowError:
        raise
    except BaseException as error:
        if not journal.done or journal.complete:
            raise
        message = f"{len(journal.done):,} shards are kept: go on with --resume"
        if isinstance(error, WriteError):
            msg = f"{error}; {message}"
            raise PartialError(msg) from error
        tell(message)
        raise


def _discard(output: str | Path) -> None:
    """Remove an unfinished run."""
    place = place_of(output)
    place.prepare()
    place.lock.acquire()
    place.discard()


class _PackRun:
    """One run: what is left of the shards, the tables, and the comparison with the source."""

    def __init__(
        self,
        plan: PackPlan,
        journal: Journal,
        label: str,
        workers: int | None,
        tick: Callable[[int, int], None],
        tell: Callable[[str], None],
    ) -> None:
        self._plan, self._journal, self._label = plan, journal, label
        self._tick, self._tell = tick, tell
        self._workers = workers or available_cpus()
        self._own = local()
        self._dropped = self._merged = 0

    def run(self) -> int:
        """Make everything that is missing; how many rows were packed before."""
        done = self._journal.done
        first = next(number for number in range(len(done) + 1) if number not in done)
        begin = Position(done[first - 1]["rows"], done[first - 1]["offset"]) if first else Position()
        with _threads(self._workers) as pool:
            self._pack(pool, first, begin)
            self._write_matrix()
            ends = [done[number]["rows"] for number in range(len(done))]
            check_rows(self._journal.location, self._label, ends, self._plan.numbers, pool, MAX_NNZ)
        self._write_tables()
        if self._dropped:
            self._tell(f"zeros that inputs store are left out: {self._dropped:,}")
        if self._merged:
            self._tell(f"counts are added to others of the same cell and gene: {self._merged:,}")
        self._journal.finish()
        return begin.rows

    def _pack(self, pool: ThreadPoolExecutor, first: int, begin: Position) -> None:
        """Write all shards from `first` on that are not committed."""
        journal, source = self._journal, self._plan.source
        stream, write = ShardStream(first, begin), partial(write_unit, journal.location)
        writing: deque[tuple[Unit, Future[tuple[Written, ...]]]] = deque()

        def commit(units: Iterable[Unit], limit: int) -> None:
            for unit in units:
                journal.total = max(journal.total, unit.number + 1)
                if unit.number not in journal.done:  # one before it may have been lost
                    writing.append((unit, pool.submit(write, unit)))
            while len(writing) > limit:
                unit, future = writing.popleft()
                end, n = unit.end, len(unit.values)
                journal.commit(
                    unit.number, future.result(), {"rows": end.rows, "offset": end.offset, "values": n}
                )

        cells, decoded = begin.rows, 0
        self._tick(cells, decoded)
        spans = source.spans(MAX_NNZ, begin.rows) if begin.rows < source.n_cells else iter(())
        for block, size in _in_order(pool, self._make, spans, self._workers + 1):
            if not fits(block.traits, self._plan.counts):
                raise _TooNarrowError(block.traits)
            self._dropped += block.dropped
            self._merged += block.merged
            cells += len(block.records)
            decoded += size
            commit(stream.add(block), self._workers)
            self._tick(cells, decoded)
        commit(stream.finish(), 0)
        journal.total = len(journal.done)

    def _make(self, span: tuple[int, int]) -> tuple[PackedRows, int]:
        """Read a block of rows of one input and pack it; with the bytes that were decoded."""
        plan, state = self._plan, self._own.__dict__
        number, start, stop = plan.source.within(*span)
        if state.get("number") != number:
            names, place = plan.source.own_columns(number)
            state.update(number=number, genes=gene_numbers(names), place=plan.place[place], columns=place)
        block = plan.source.read_own(number, start, stop, state.setdefault("scratch", Scratch()))
        if first_bad(block, Values.COUNTS) is not None:
            named = replace(block, indices=state["columns"][block.indices])
            check_values(plan.source, named, span[0], Values.COUNTS)
        packed = pack_rows(block, state["place"], state["genes"], len(plan.order), plan.counts)
        return packed, int(block.data.nbytes + block.indices.nbytes)

    def _write_matrix(self) -> None:
        """Write what makes the shards a CSR matrix."""
        import zarr

        plan, journal = self._plan, self._journal
        n, nnz = plan.source.n_cells, sum(facts["values"] for facts in journal.done.values())
        zarr.create_group(
            journal.store,
            path="X",
            attributes={
                "encoding-type": "csr_matrix",
                "encoding-version": "0.1.0",
                "shape": [n, len(plan.order)],
            },
            zarr_format=3,
            overwrite=False,
        )
        create_array(journal.store, "X/data", nnz, plan.counts)
        create_array(journal.store, "X/indices", nnz, plan.columns)
        self._write_offsets(n)

    def _write_offsets(self, n: int) -> None:
        import zarr
        from zarr.codecs import BloscCodec, Crc32cCodec

        journal = self._journal
        array = zarr.create_array(
            journal.store,
            name="X/indptr",
            shape=(n + 1,),
            chunks=(_INDPTR_CHUNK,),
            dtype=np.int64,
            compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=8), Crc32cCodec()],
            attributes=ARRAY,
            config={"write_empty_chunks": True},
            zarr_format=3,
        )
        objects = open_objects(journal.location)
        lengths = (read_records(objects, number)["values"] for number in range(len(journal.done)))
        end = start = 0
        for window in _windows(lengths, _INDPTR_CHUNK):
            ends = np.cumsum(window, dtype=np.int64) + end
            array[start : start + len(ends)] = ends
            start, end = start + len(ends), int(ends[-1])

    def _write_tables(self) -> None:
        import zarr

        plan, journal = self._plan, self._journal
        root = zarr.open_group(journal.store, mode="a", zarr_format=3)
        root.attrs.update(ANNDATA)
        for part in PARTS:
            content = {"lexicell_pack": plan.provenance()} if part == "uns" else {}
            for key, document in mapping_documents(part, content):
                journal.store.put(key, (document,))
        write_element(root, "var", plan.source.var.iloc[plan.order])
        write_obs(root, plan.source, plan.obs_columns)


def _windows(pieces: Iterable[NDArray[Any]], size: int) -> Iterator[NDArray[np.int64]]:
    """A 0 and then all pieces, in windows of `size`."""
    window = np.zeros(1, np.int64)
    for piece in pieces:
        window = np.concatenate([window, piece])
        while len(window) >= size:
            yield window[:size]
            window = window[size:]
    if len(window):
        yield window


@contextmanager
def _threads(n: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that end with what they are at when the block ends, and begin nothing more."""
    pool = ThreadPoolExecutor(n, thread_name_prefix="lexicell-pack")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[_T], _R], tasks: Iterable[_T], ahead: int
) -> Iterator[_R]:
    """Results of tasks in their order, at most `ahead` of them begun before they are wanted."""
    begun: deque[Future[_R]] = deque()
    for task in tasks:
        begun.append(pool.submit(work, task))
        if len(begun) > ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
