"""Is a store what was written? Every object is hashed again and compared with ``COMPLETE``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexicell.errors import CorruptDataError, InputError, InputNotFoundError, PartialError
from lexicell.store.objects import Objects, Written
from lexicell.store.place import COMPLETE, RUN, Place, is_scratch, place_of
from lexicell.store.units import READABLE, identity_hash, units_done, unseal

__all__ = [
    "Problem",
    "Verified",
    "check_finished",
    "compare",
    "examine",
    "finished_objects",
    "read_manifest",
    "verify",
]

_SHOWN = 5

#: Progress callback: objects done, and all objects.
Tick = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an object.

    Attributes
    ----------
    key
        Its name in the store.
    what
        "missing", "changed", "unknown", ...
    """

    key: str
    what: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found in a store.

    Attributes
    ----------
    target
        Folder or URL.
    objects, bytes
        How much was hashed.
    shards
        Units that the store was written in.
    problems
        What is damaged; none in a sound store.
    extra
        Objects that are not the store's and do it no harm.
    """

    target: str
    objects: int
    bytes: int
    shards: int
    problems: tuple[Problem, ...]
    extra: tuple[str, ...]

    def raise_for_problems(self) -> None:
        """Raise CorruptDataError where something is wrong."""
        if self.problems:
            shown = ", ".join(f"{p.key} ({p.what})" for p in self.problems[:_SHOWN])
            more = ", ..." if len(self.problems) > _SHOWN else ""
            msg = (
                f"{self.target}: not as written, {len(self.problems):,} of {self.objects:,} objects: "
                f"{shown}{more}; restore the store from a copy, or make it again with --overwrite"
            )
            raise CorruptDataError(msg)


def verify(target: str | Path, *, tick: Tick = _silent) -> Verified:
    """Hash every object of a finished store, and compare.

    Parameters
    ----------
    target
        What `lexicell.embed` or ``lexicell pack`` wrote: folder or URL.
    tick
        Progress callback: called with objects done, and all objects.

    Returns
    -------
    Verified
        How much was compared. Its problems are none.

    Raises
    ------
    CorruptDataError
        Something is missing, changed or too much; names it.
    PartialError
        The store is not complete; says how far it is.
    InputError, InputNotFoundError
        It is no store of lexicell's, or nothing is there.
    """
    report = examine(target, tick=tick)
    report.raise_for_problems()
    return report


def examine(target: str | Path, *, tick: Tick = _silent) -> Verified:
    """As `verify`, but return what is wrong; raises only where there is nothing to compare."""
    objects = finished_objects(place_of(target))
    manifest = unseal(objects.get(COMPLETE))
    if manifest is None or manifest["format"] not in READABLE:
        fault = "missing" if objects.get(COMPLETE) is None else "damaged"
        return Verified(str(target), 0, 0, 0, (Problem(COMPLETE, fault),), ())
    expected = {key: Written(key, size, blake3) for key, size, blake3 in manifest["objects"]}
    sizes = objects.sizes()
    problems = dict(compare(objects, expected, sizes, tick))
    arrays = _arrays(objects, expected.keys() - problems.keys())
    extra = {key for key in sizes.keys() - expected.keys() - {COMPLETE} if not is_scratch(key)}
    inside = {key for key in extra if key.startswith(tuple(arrays))}
    problems |= dict.fromkeys(inside, "unknown")
    if not problems:
        problems |= dict(_disagreements(objects, manifest, arrays))
    return Verified(
        str(target),
        len(expected),
        sum(object_.size for object_ in expected.values()),
        manifest["total"],
        tuple(Problem(key, problems[key]) for key in sorted(problems)),
        tuple(sorted(extra - inside)),
    )


def finished_objects(place: Place) -> Objects:
    """Objects of a store that has its final name.

    Raises
    ------
    PartialError
        It is still being written.
    InputError, InputNotFoundError
        It is no store of lexicell's, or nothing is there.
    """
    objects = place.finished
    if objects is None:
        if (run := place.unfinished) is None:
            msg = f"{place.target} does not exist"
            raise InputNotFoundError(msg)
        done = f"{len(units_done(place.objects)):,} of {run['total']:,} shards are done"
        msg = f"{place.target} is not complete: {done}; go on with --resume"
        raise PartialError(msg)
    if all(objects.get(key) is None for key in (COMPLETE, RUN)):
        msg = f"{place.target} is no store that lexicell finished: there is nothing to compare it with"
        raise InputError(msg)
    return objects


def read_manifest(objects: Objects) -> dict[str, Any]:
    """Content of ``COMPLETE``; CorruptDataError where that is damaged."""
    manifest = unseal(objects.get(COMPLETE))
    if manifest is None or manifest["format"] not in READABLE:
        msg = f"{objects.location}: {COMPLETE} is missing or damaged, and nothing else tells what is whole"
        raise CorruptDataError(msg)
    return manifest


def compare(
    objects: Objects, expected: Mapping[str, Written], sizes: Mapping[str, int], tick: Tick = _silent
) -> Iterator[tuple[str, str]]:
    """Objects that are not as written, and what is wrong with each."""

    def look_at(object_: Written) -> str:
        if object_.key not in sizes:
            return "missing"
        if sizes[object_.key] != object_.size:
            return f"{sizes[object_.key]:,} bytes in place of {object_.size:,}"
        try:
            return "" if objects.hash(object_.key) == object_.blake3 else "changed"
        except CorruptDataError:
            return "unreadable"

    with ThreadPoolExecutor(objects.at_once) as pool:
        checked = zip(expected, pool.map(look_at, expected.values()), strict=True)
        for number, (key, fault) in enumerate(checked):
            tick(number + 1, len(expected))
            if fault:
                yield key, fault


def check_finished(objects: Objects, target: str) -> None:
    """Raise CorruptDataError where a finished store is not as written, as far as that shows without its data.

    The size of every object, and the content of all metadata and receipts.
    """
    expected = {key: Written(key, size, blake3) for key, size, blake3 in read_manifest(objects)["objects"]}
    sizes = objects.sizes()
    looked_at = {key: w for key, w in expected.items() if key.endswith(".json") or sizes.get(key) != w.size}
    problems = dict(compare(objects, looked_at, sizes))
    if not problems:
        problems = dict(_disagreements(objects, read_manifest(objects), _arrays(objects, set(looked_at))))
    damaged = tuple(Problem(*problem) for problem in problems.items())
    Verified(target, len(expected), 0, 0, damaged, ()).raise_for_problems()


def _arrays(objects: Objects, keys: set[str]) -> dict[str, dict[str, Any]]:
    """Metadata of the store's arrays, by their folders."""
    metadata = {key: json.loads(objects.get(key) or b"{}") for key in keys if key.endswith("/zarr.json")}
    return {
        key.removesuffix("zarr.json"): meta
        for key, meta in metadata.items()
        if meta.get("node_type") == "array"
    }


def _disagreements(
    objects: Objects, manifest: Mapping[str, Any], arrays: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """What does not fit together though each object is as it was written."""
    run = unseal(objects.get(RUN))
    if run is None or identity_hash(run["identity"]) != manifest["identity"]:
        yield RUN, "not the run that COMPLETE tells of"
        return
    layout = run["identity"].get("layout", {})
    for folder, metadata in arrays.items():
        part, _, name = folder.rstrip("/").partition("/")
        along_cells = part == "obsm" or (part == "obs" and (("/" not in name) or name.endswith("/codes")))
        if along_cells and "n_cells" in layout and metadata["shape"][0] != layout["n_cells"]:
            yield f"{folder}zarr.json", f"{metadata['shape'][0]:,} cells in place of {layout['n_cells']:,}"
