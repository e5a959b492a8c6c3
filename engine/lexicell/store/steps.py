"""Named instants of writing a store, so that a test can end the process, or fail, at each of them."""

from __future__ import annotations

__all__ = ["step"]


def step(name: str) -> None:
    """Pass the instant `name`; does nothing.

    In order: ``shard-encoded``, then for each object ``data-temp-written``, ``data-fsynced`` and
    ``data-renamed``, and ``folder-fsynced`` when all are in their folders; ``unit-written``, the same for its
    receipt, and ``unit-committed``; at the end ``tables-written``, ``complete-written``, ``renamed``.
    """
