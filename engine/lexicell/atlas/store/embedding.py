"""EmbeddingStore: where embedded rows go, shard by shard, and what is left of them whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell._files import is_taken
from lexicell._trace import detail
from lexicell.atlas._remote import is_url
from lexicell.atlas.store import _documents, _steps
from lexicell.atlas.store._anndata import ANNDATA, ARRAY, KEY, PARTS
from lexicell.atlas.store._journal import Journal, Mode, Written, check_target, open_journal
from lexicell.atlas.store._layout import QUALITY_DTYPES, Layout, Shard, chunk_bytes, shard_bytes
from lexicell.atlas.store._objects import Objects, open_objects
from lexicell.atlas.store._place import place_of
from lexicell.errors import InputError, OutputExistsError

if TYPE_CHECKING:
    import zarr

__all__ = ["QUALITY", "EmbeddingStore", "Receipt", "ShardWriter", "check_output", "create_store"]


#: Columns of ``obs`` that each shard brings with it.
QUALITY = tuple(QUALITY_DTYPES)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A shard that is on disk.

    Attributes
    ----------
    shard
        Its number.
    objects
        What was written.
    facts
        ``n_empty``, how many of its cells have no described gene, and ``coverage``, the sum over its cells.
    """

    shard: int
    objects: tuple[Written, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ShardWriter:
    """Writes whole shards, from any thread or process; it can be pickled.

    Attributes
    ----------
    location
        Folder or URL of the unfinished store.
    layout
        How the embedding is cut.
    """

    location: str
    layout: Layout

    def write(self, number: int, shard: Shard, objects: Objects | None = None) -> Receipt:
        """Write a shard, without looking at what is there. It is durable when this returns.

        Parameters
        ----------
        number
            Of the shard.
        shard
            Its rows, as many as `Layout.rows` says.
        objects
            Where it goes, opened (`open_objects`) once by who writes many shards: then only folders that
            change are made durable again.

        Raises
        ------
        ValueError
            Its shape or its dtype is not the layout's.
        WriteError
            The disk is full, or refuses.
        """
        from lexicell.atlas.store._writer import WriterStore

        layout = self.layout
        start, stop = layout.rows(number)
        if shard.vectors.shape != (stop - start, layout.dim) or shard.vectors.dtype != layout.dtype:
            msg = f"shard {number} is {layout.dtype} [{stop - start}, {layout.dim}]"
            raise ValueError(msg)
        with detail("encode"):
            vectors = shard_bytes(shard.vectors, layout)
        columns = {}
        for name, dtype in QUALITY_DTYPES.items():
            column = getattr(shard, name.removeprefix("lexicell_"))
            if column.shape != (stop - start,) or column.dtype != dtype:
                msg = f"{name} of shard {number} is {dtype} [{stop - start}]"
                raise ValueError(msg)
            columns[name] = chunk_bytes(column, layout.shard_rows)
        _steps.step("shard-encoded")
        store = WriterStore(objects or open_objects(self.location))
        store.put(f"obsm/{KEY}/c/{number}/0", vectors)
        for name, data in columns.items():
            store.put(f"obs/{name}/c/{number}", data)
        facts = {
            "n_empty": int(np.count_nonzero(shard.n_genes == 0)),
            "coverage": float(shard.coverage.sum(dtype=np.float64)),
        }
        return Receipt(number, store.take(), facts)


class EmbeddingStore:
    """An embedding being written. Made by `create_store`.

    Attributes
    ----------
    writer
        Writes shards.
    keep
        Whether unfinished work is kept.
    """

    def __init__(self, journal: Journal, layout: Layout, *, keep: bool) -> None:
        self.writer = ShardWriter(journal.location, layout)
        self.keep = keep
        self._journal, self._layout = journal, layout
        if not self.complete:
            self._create_arrays()

    @property
    def complete(self) -> bool:
        """Whether the store is complete, and nothing is left to do."""
        return self._journal.complete

    @property
    def pending(self) -> list[int]:
        """Shards that are not committed."""
        return [number for number in range(self._layout.n_shards) if number not in self._journal.done]

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

    def finish(self, write_obs: Callable[[zarr.Group], None], uns: Mapping[str, Any]) -> None:
        """Write what describes the rows, and publish the store.

        Parameters
        ----------
        write_obs
            Is given the root, and writes ``obs`` except for the columns in `QUALITY`, which are there.
        uns
            Goes to ``uns["lexicell"]``.

        Raises
        ------
        ValueError
            Shards are missing.
        WriteError
            The disk is full, or refuses; the run can be continued.
        """
        import zarr

        store = self._journal.store
        root = zarr.open_group(store, mode="a", zarr_format=3)
        root.attrs.update(ANNDATA)
        for key, content in self._tables(uns):
            store.put(key, (content,))
        write_obs(root)
        self._journal.finish()

    def _tables(self, uns: Mapping[str, Any]) -> Iterator[_documents.Document]:
        """All that an AnnData has beside what the shards bring and ``obs``."""
        for part in PARTS:
            yield from _documents.mapping(part, {"lexicell": uns} if part == "uns" else {})
        yield from _documents.empty_table("var")

    def _create_arrays(self) -> None:
        """Write the metadata of the arrays that shards go to, so that Zarr can read these."""
        import zarr
        from zarr.codecs import Crc32cCodec

        layout, store = self._layout, self._journal.store
        zarr.create_array(
            store,
            name=f"obsm/{KEY}",
            shape=(layout.n_cells, layout.dim),
            shards=(layout.shard_rows, layout.dim),
            chunks=(layout.chunk_rows, layout.dim),
            dtype=layout.dtype,
            compressors=[Crc32cCodec()],
            attributes=ARRAY,
            zarr_format=3,
            overwrite=False,
        )
        for name, dtype in QUALITY_DTYPES.items():
            zarr.create_array(
                store,
                name=f"obs/{name}",
                shape=(layout.n_cells,),
                chunks=(layout.shard_rows,),
                dtype=dtype,
                compressors=[Crc32cCodec()],
                attributes=ARRAY,
                zarr_format=3,
            )


@contextmanager
def create_store(
    target: str | Path,
    layout: Layout,
    identity: Mapping[str, Any],
    *,
    mode: Mode,
    keep: bool = True,
    table: bytes | None = None,
) -> Iterator[EmbeddingStore]:
    """Begin to write an embedding, or go on.

    Parameters
    ----------
    target
        Folder or URL of the store, a ``.zarr``.
    layout
        How the embedding is cut.
    identity
        JSON: all else that decides what the store will be.
    mode
        "new", "resume" or "overwrite"; see `lexicell.atlas.store._journal.open_journal`.
    keep
        Whether shards that are done are kept when the block ends without `EmbeddingStore.finish`.
    table
        Kept with the run until it is complete; see `lexicell.atlas.store._journal.begun`.

    Raises
    ------
    OutputExistsError, InputError, CorruptDataError, WriteError
        See `lexicell.atlas.store._journal.open_journal`.
    """
    full = {**identity, "layout": asdict(layout)}
    with open_journal(target, full, total=layout.n_shards, mode=mode, keep=keep, table=table) as journal:
        yield EmbeddingStore(journal, layout, keep=keep)


def check_output(path: str | Path, *, overwrite: bool, resume: bool = False, data: Any = None) -> Path | str:
    """Check that an output of this name can be written.

    Parameters
    ----------
    path
        Of the output; a ``.zarr`` may be a URL.
    overwrite
        Whether it may exist. A link to what lexicell wrote is then replaced itself, and what it points to
        stays; one that leads nowhere is never replaced.
    resume
        Whether an unfinished run to it goes on.
    data
        Where the counts are from, a path or an AnnData: never replaced by something without counts.

    Raises
    ------
    InputError
        It ends neither in ``.zarr`` nor in ``.h5ad``, or it would take the place of the input.
    OutputExistsError
        It exists, and is not to be replaced or nothing that lexicell writes; or it is unfinished.
    """
    output = str(path).rstrip("/") if is_url(path) else Path(path)
    suffix = Path(str(output)).suffix
    if suffix not in {".zarr", ".h5ad"} or (suffix == ".h5ad" and isinstance(output, str)):
        msg = f"{output}: the output is a .zarr, here or at a URL, or an .h5ad; give it one of these endings"
        raise InputError(msg)
    if _would_lose(output, data):
        msg = f"{output} is the input, or holds it, and the output has no counts; choose another name"
        raise InputError(msg)
    if suffix == ".zarr":
        check_target(place_of(output), "overwrite" if overwrite else "resume" if resume else "new")
    elif is_taken(file := Path(output)):
        if not overwrite:
            msg = f"{output} exists; choose another name or overwrite it (--overwrite)"
            raise OutputExistsError(msg)
        if not file.is_file():
            msg = f"{output} was not written by lexicell, so it is not replaced; choose another name"
            raise OutputExistsError(msg)
    return output


def _would_lose(output: Path | str, data: Any) -> bool:
    """Whether an output would replace its own input. A copied h5ad keeps all that is in it."""
    is_path = isinstance(data, (str, Path))
    given = data if is_path else getattr(data, "filename", None)
    if given is None or is_url(given) != isinstance(output, str):
        return False
    if isinstance(output, str):
        source = str(given).rstrip("/")
        return f"{source}/".startswith(f"{output}/") or f"{output}/".startswith(f"{source}/")
    source_path, target = Path(given).resolve(), output.resolve()
    if is_path and source_path == target and source_path.suffix == ".h5ad":
        return False
    return target in (source_path, *source_path.parents) or source_path in target.parents
