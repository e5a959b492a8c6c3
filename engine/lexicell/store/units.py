"""Receipts: one object for each unit that is committed, and what a run is known by.

A receipt says which objects a unit is, and what is to be remembered of it. It is written when these are on
disk, whole or not at all, and is a function of the unit alone. So receipts are objects of the store like all
others: ``COMPLETE`` lists them, `verify` hashes them, and a run that was interrupted has the same ones. While
a run is unfinished a receipt that is damaged is as good as none, and its unit is made again; in a finished
store it is damage. One that another run left, of a process that was taken for dead, is none: a receipt names
the identity of its run. Nothing tells when and where a unit was made: that would differ between two runs.

A run that goes on trusts the names and sizes of the objects that receipts list; `_verify` hashes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import blake3

from lexicell.store.objects import FOLDER, Objects, Written

__all__ = [
    "COMPLETE",
    "FORMAT",
    "READABLE",
    "RUN",
    "Receipt",
    "identity_hash",
    "is_complete",
    "read_receipts",
    "seal",
    "units_done",
    "unseal",
    "write_receipt",
]

#: Of ``run.json`` and ``COMPLETE``: what runs write and go on with, and what can be read.
FORMAT, READABLE = 2, (1, 2)

#: What a run is, and what a finished store has.
RUN, COMPLETE = f"{FOLDER}/run.json", f"{FOLDER}/COMPLETE"
_UNITS = f"{FOLDER}/units"
_RECEIPT = re.compile(rf"{re.escape(_UNITS)}/(\d{{6,}})\.json")
_SEAL = b',"blake3":"'


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
        What the sink remembers of it.
    """

    shard: int
    objects: tuple[Written, ...]
    facts: Mapping[str, Any]


def write_receipt(objects: Objects, receipt: Receipt, run: str) -> Written:
    """Record that a unit of a run (`identity_hash`) is written; durable when this returns."""
    content = {
        "run": run,
        "unit": receipt.shard,
        "objects": [[item.key, item.size, item.blake3] for item in receipt.objects],
        "facts": receipt.facts,
    }
    written = objects.put(f"{_UNITS}/{receipt.shard:06}.json", (seal(content),))
    objects.flush()
    return written


def read_receipts(objects: Objects, keys: Iterable[str]) -> dict[int, Receipt]:
    """Read the receipts among some objects, each of which then counts as an object of its unit.

    One that is not what was written is left out, and one of another run than that of the store.

    Raises
    ------
    CorruptDataError
        The disk or the service does not give one back.
    """
    names = sorted(key for key in keys if _RECEIPT.fullmatch(key))
    record = unseal(objects.get(RUN))
    run = None if record is None else identity_hash(record["identity"])
    with ThreadPoolExecutor(objects.at_once) as pool:
        read = (_read(key, data, run) for key, data in zip(names, pool.map(objects.get, names), strict=True))
        return {receipt.shard: receipt for receipt in read if receipt is not None}


def is_complete(objects: Objects, sizes: Mapping[str, int]) -> bool:
    """Whether a run has ended, whatever its store is called: all that it lists is there, of its size."""
    manifest = unseal(objects.get(COMPLETE))
    return manifest is not None and all(sizes.get(key) == size for key, size, _ in manifest["objects"])


def units_done(objects: Objects, sizes: Mapping[str, int] | None = None) -> dict[int, Receipt]:
    """Units that are committed, and whose objects are all there, of the size they had (`Objects.sizes`).

    All are where a run is complete but for its name: what only unfinished runs need may be gone by then.
    """
    there = objects.sizes() if sizes is None else sizes
    receipts = read_receipts(objects, there)
    if is_complete(objects, there):
        return receipts
    return {
        number: receipt
        for number, receipt in receipts.items()
        if all(there.get(item.key) == item.size for item in receipt.objects)
    }


def _read(key: str, data: bytes | None, run: str | None) -> Receipt | None:
    content = unseal(data)
    if data is None or content is None or content.get("run") != run:
        return None
    if key != f"{_UNITS}/{content['unit']:06}.json":
        return None
    written = (Written(*item) for item in content["objects"])
    own = Written(key, len(data), blake3.blake3(data).hexdigest())
    return Receipt(content["unit"], (*written, own), content["facts"])


def seal(content: Mapping[str, Any]) -> bytes:
    """Write a mapping as JSON that ends in its own hash."""
    body = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()[:-1]
    return body + _end(body)


def unseal(data: bytes | None) -> dict[str, Any] | None:
    """Read what `seal` wrote; None for anything else."""
    body, separator, _ = (data or b"").rpartition(_SEAL)
    if not separator or data != body + _end(body):
        return None
    content: dict[str, Any] = json.loads(body + b"}")
    return content


def identity_hash(identity: Mapping[str, Any]) -> str:
    """BLAKE3 of an identity, as hex."""
    return blake3.blake3(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _end(body: bytes) -> bytes:
    return _SEAL + blake3.blake3(body).hexdigest().encode() + b'"}\n'
