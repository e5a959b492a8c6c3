"""Remove what runs that were killed have left of a store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lexicell._files import remove
from lexicell.errors import InputError
from lexicell.store.objects import TEMPORARY
from lexicell.store.place import COMPLETE, PASSING, RUN, Place, is_scratch, place_of
from lexicell.store.units import units_done, unseal

__all__ = ["Freed", "gc"]


@dataclass(frozen=True, slots=True)
class Freed:
    """What was removed.

    Attributes
    ----------
    objects, bytes
        How much.
    kept
        Former versions of the store that stay, since there is no other.
    """

    objects: int
    bytes: int
    kept: tuple[str, ...] = ()


def gc(target: str | Path, *, everything: bool = False) -> Freed:
    """Remove what no run will use again. A finished store is never touched.

    Parameters
    ----------
    target
        Of the run, a ``.zarr``: not ``.zarr.partial``.
    everything
        Remove the unfinished run altogether, and not only what it had not committed.

    Raises
    ------
    InputError
        A process is writing there; or `everything`, and the run is complete but for its name.
    WriteError
        The folder may not be written to.
    """
    place = place_of(target)
    freed = _Found()
    if place.begun:
        place.prepare()
        place.lock.acquire()
        try:
            if everything:
                _remove_run(place, freed)
            else:
                _remove_uncommitted(place, freed)
        finally:
            place.lock.release()
    left = []
    for path in place.leftovers():
        if path.name.endswith(".old") and place.finished is None:
            left.append(str(path))  # an overwriting run was killed between its two renames
            continue
        freed.add(file.lstat().st_size for file in (path, *path.rglob("*")) if not file.is_dir())
        remove(path)
    return Freed(freed.objects, freed.bytes, tuple(left))


class _Found:
    """Counts what goes."""

    def __init__(self) -> None:
        self.objects = self.bytes = 0

    def add(self, sizes: Iterable[int]) -> None:
        for size in sizes:
            self.objects += 1
            self.bytes += size


def _remove_run(place: Place, freed: _Found) -> None:
    if unseal(place.objects.get(COMPLETE)) is not None:
        msg = f"{place.objects.location} is complete but for its name; it gets that with --resume"
        raise InputError(msg)
    freed.add(place.objects.sizes().values())
    place.discard()


def _remove_uncommitted(place: Place, freed: _Found) -> None:
    objects = place.objects
    sizes = objects.sizes()
    done = {} if place.unfinished is None else units_done(objects, sizes)
    manifest = unseal(objects.get(COMPLETE)) or {"objects": []}
    needed = {key for key, _, _ in manifest["objects"]} | {RUN, COMPLETE}
    needed |= {item.key for receipt in done.values() for item in receipt.objects}
    going = {
        key: size
        for key, size in sizes.items()
        if key.startswith(TEMPORARY)
        or (key.startswith(PASSING) and key not in needed)
        # Metadata of arrays are written when a run begins, and say how to read what it has done.
        or not (is_scratch(key) or key in needed or key.endswith("/zarr.json"))
    }
    for key in going:
        objects.delete(key)
    objects.flush()
    freed.add(going.values())
