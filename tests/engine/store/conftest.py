"""Real rows cut into small shards, and what is needed to write it, break it and look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lexicell.counts import open_counts
from lexicell.store import QUALITY, EmbeddingSink, Layout, Shard, ShardedStore, create_store, write_obs


@dataclass
class Made:
    """What goes into a store, shard by shard."""

    layout: Layout
    all: Shard
    cells: Any
    uns: dict[str, Any]
    identity: dict[str, Any] = field(default_factory=lambda: {"lexicon": "a1", "recipe": {"top_k": 40}})

    def shard(self, number: int) -> Shard:
        rows = slice(*self.layout.rows(number))
        return Shard(*(getattr(self.all, name)[rows] for name in Shard.__dataclass_fields__))

    def open(self, target: Path | str, mode: str = "new", **changed: Any) -> Any:
        return create_store(target, EmbeddingSink(self.layout), {**self.identity, **changed}, mode=mode)

    def commit(self, store: ShardedStore, numbers: Iterable[int]) -> None:
        for number in numbers:
            store.commit(store.writer.write(number, self.shard(number)))

    def finish(self, store: ShardedStore) -> None:
        with open_counts(self.cells) as source:
            store.finish(lambda root: write_obs(root, source, ("bulk_labels",), present=QUALITY), self.uns)

    def write(self, target: Path | str, mode: str = "new") -> None:
        """All that is not there yet."""
        with self.open(target, mode) as store:
            if not store.complete:
                self.commit(store, store.pending)
                self.finish(store)

    def begin(self, target: Path | str, numbers: Iterable[int] = (0, 1)) -> None:
        """Write a few shards, and leave."""
        with self.open(target) as store:
            self.commit(store, numbers)


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing that the system has: here, waiting for the disk only takes time."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def made(_blood) -> Made:
    """120 real cells in four shards of 32 rows, the last of which is short, and chunks of 8."""
    cells = _blood[:120].copy()
    counts = cells.X.toarray()
    most = np.argsort(-counts.sum(axis=0), kind="stable")[:16]
    rows = Shard(
        counts[:, most].astype(np.float16),
        (counts > 0).sum(axis=1).astype(np.int32),
        (counts[:, most].sum(axis=1) / counts.sum(axis=1)).astype(np.float32),
        (counts == 1).sum(axis=1).astype(np.int32),
    )
    rows.vectors[40:64] = 0  # whole chunks of zeros: they must be written too
    return Made(Layout(120, 16, "float16", 32, 8), rows, cells, {"recipe": "paper", "top_k": 40})


@pytest.fixture(scope="session")
def whole(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run that nothing disturbed; shared, so never written to."""
    target = tmp_path_factory.mktemp("whole") / "out.zarr"
    made.write(target)
    return target


@pytest.fixture(scope="session")
def content() -> Callable[[Path], dict[str, bytes]]:
    """All files of a folder, to be compared."""

    def read(folder: Path) -> dict[str, bytes]:
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        return {key: path.read_bytes() for key, path in files.items()}

    return read
