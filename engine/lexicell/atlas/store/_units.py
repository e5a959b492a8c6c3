"""Which units of a run are committed, and what identifies it.

A run that goes on trusts the names and sizes of the objects that the ledger records; `_verify` hashes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import blake3

from lexicell.atlas.store._ledger import open_ledger
from lexicell.atlas.store._objects import Objects, Written
from lexicell.atlas.store._place import PASSING

__all__ = ["FORMAT", "identity_hash", "is_there", "objects_of", "units_done"]

#: Of ``run.json`` and ``COMPLETE``.
FORMAT = 1


def identity_hash(identity: Mapping[str, Any]) -> str:
    """BLAKE3 of an identity, as hex."""
    return blake3.blake3(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def units_done(objects: Objects, *, finished: bool = False) -> dict[int, dict[str, Written]]:
    """Units that are committed, and there: their objects. A finished store has no parts any more."""
    sizes = dict(objects.sizes())
    if finished:
        for record in open_ledger(objects).of("unit"):
            sizes |= {key: size for key, size, _ in record["objects"] if key.startswith(PASSING)}
    return {r["unit"]: objects_of(r) for r in open_ledger(objects).of("unit") if is_there(r, sizes)}


def objects_of(record: Mapping[str, Any]) -> dict[str, Written]:
    """Objects of a unit, from its record in the ledger."""
    return {key: Written(key, size, blake3) for key, size, blake3 in record["objects"]}


def is_there(record: Mapping[str, Any], sizes: Mapping[str, int]) -> bool:
    """Whether all objects of a unit are there, and of the size they had."""
    return all(sizes.get(key) == size for key, size, _ in record["objects"])
