"""The Zarr store that writers write through: each object durable, and all of them known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from lexicell.errors import CorruptDataError
from lexicell.store.objects import FOLDER, Bytes, Objects, Written, open_objects

__all__ = ["WriterStore", "open_writer"]

_ROOT = "zarr.json"


class WriterStore(WrapperStore[Store]):
    """Writes objects durably and remembers which; reads as Zarr's own stores do.

    Belongs to one writer. The root's own metadata are kept back until `put_root`: without them nothing
    mistakes an unfinished store for a finished one.

    Parameters
    ----------
    objects
        Where the objects lie.
    """

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects.zarr_store())
        self._objects = objects
        self._written: dict[str, Written] = {}
        self._root: Buffer | None = None

    @property
    def location(self) -> str:
        """Folder or URL, for `open_writer`."""
        return self._objects.location

    @property
    def is_zarr(self) -> bool:
        """Whether the root has metadata."""
        return self._root is not None

    def put(self, key: str, parts: Sequence[Bytes]) -> None:
        """Write an object from its parts, without checking whether it exists; WriteError where that fails."""
        self._written[key] = self._objects.put(key, parts)

    def put_file(self, key: str, make: Callable[[Path], None]) -> None:
        """Write an object that `make` writes to the path that it is given; WriteError where that fails."""
        self._written[key] = self._objects.put_file(key, make)

    def read(self, key: str) -> bytes:
        """Read an object that a unit wrote; CorruptDataError where it is gone or can't be read."""
        content = self._objects.get(key)
        if content is None:
            msg = f"{self.location}: {key} is gone; start over with --overwrite"
            raise CorruptDataError(msg)
        return content

    def take(self) -> tuple[Written, ...]:
        """Make durable what was written since the last call, and return it, by key."""
        self._objects.flush()
        objects = tuple(self._written[key] for key in sorted(self._written))
        self._written.clear()
        return objects

    def put_root(self) -> None:
        """Write the root's metadata, which were kept back; consolidated ones in an order of their own."""
        if self._root is not None:
            content = json.loads(self._root.to_bytes())
            if (consolidated := content.get("consolidated_metadata")) is not None:
                consolidated["metadata"] = dict(sorted(consolidated["metadata"].items()))
            self.put(_ROOT, (json.dumps(content, indent=2).encode(),))

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read an object; of the root's metadata what was set, though it is kept back."""
        if key == _ROOT and self._root is not None:
            return self._root
        return await super().get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        """Whether there is an object, or the root's metadata are kept back."""
        return (key == _ROOT and self._root is not None) or await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object durably; keep the root's metadata back."""
        if key == _ROOT:
            self._root = value
        else:
            await asyncio.to_thread(self.put, key, (value.as_numpy_array().data,))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write an object, unless there is one."""
        if not await self.exists(key):
            await self.set(key, value)

    async def _set_many(self, values: Any) -> None:
        await asyncio.gather(*(self.set(key, value) for key, value in values))

    async def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        self._written.pop(key, None)
        await asyncio.to_thread(self._objects.delete, key)

    async def delete_dir(self, prefix: str) -> None:
        """Delete all objects below a prefix."""
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        for key in [key async for key in self.list_prefix(folder)]:
            await self.delete(key)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List what is below a prefix, but not the run's own folder."""
        async for name in super().list_dir(prefix):
            if name.rstrip("/") != FOLDER:
                yield name

    @property
    def _supports_sync_io(self) -> bool:
        """Newer versions of Zarr write past `set` where this is not denied."""
        return False


def open_writer(location: str) -> WriterStore:
    """Open the work folder or URL of a run for one writer; see `Journal.location`."""
    return WriterStore(open_objects(location))
