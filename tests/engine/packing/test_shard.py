"""A shard has the bytes that Zarr itself would write, and is cut where it should be, whatever the blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from lexicell.packing import shard as shard_module
from lexicell.packing.rows import RECORD, PackedRows
from lexicell.packing.shard import create_array, encode_shard
from lexicell.packing.stream import Position, ShardStream, Unit


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_module, "CHUNK", 64)
    monkeypatch.setattr(shard_module, "SHARD", 1024)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("n", [2048, 1024 + 7 * 64, 1024 + 5])
def test_shards_are_those_of_zarrs_own_codec(tmp_path: Path, dtype: str, n: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.geometric(0.3, n).astype(dtype)
    create_array(zarr.storage.LocalStore(tmp_path), "theirs", n, np.dtype(dtype))
    create_array(zarr.storage.LocalStore(tmp_path), "ours", n, np.dtype(dtype))
    theirs = zarr.open_array(tmp_path / "theirs")
    theirs[:] = values
    (tmp_path / "ours" / "c").mkdir()
    for number in range(-(-n // 1024)):
        shard = b"".join(encode_shard(values[number * 1024 : (number + 1) * 1024]))
        (tmp_path / "ours" / "c" / str(number)).write_bytes(shard)
        assert shard == (tmp_path / "theirs" / "c" / str(number)).read_bytes()
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "ours")[:], values)


def stream(lengths: np.ndarray, cuts: list[int], first: int, begin: Position) -> list[Unit]:
    """Shards of rows whose values are their places in the stream, given in blocks that end at `cuts`."""
    ends = np.concatenate([[0], np.cumsum(lengths)])

    def blocks() -> Iterator[PackedRows]:
        edges = sorted({begin.rows, *(cut for cut in cuts if cut > begin.rows), len(lengths)})
        for low, high in pairwise(edges):
            values = np.arange(ends[low], ends[high])
            records = np.zeros(high - low, RECORD)
            records["values"] = lengths[low:high]
            records["sum"] = np.arange(low, high)
            yield PackedRows(values, values % 7, records, 0, 0, 0)

    cutter = ShardStream(first, begin)
    return [*(unit for block in blocks() for unit in cutter.add(block)), *cutter.finish()]


def same(one: Unit, other: Unit) -> bool:
    arrays = ("values", "columns", "records")
    return (one.number, one.end) == (other.number, other.end) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays
    )


@pytest.mark.parametrize("kind", ["mixed", "long", "aligned", "empty", "none"])
def test_cuts_do_not_depend_on_blocks_and_go_on_from_any_shard(kind: str) -> None:
    rng = np.random.default_rng(3)
    lengths: Any = {
        "mixed": rng.integers(0, 90, 200) * rng.integers(0, 2, 200),
        "long": np.array([5000, 0, 3, 3000]),
        "aligned": np.tile([512, 0, 512, 0, 0], 4),  # shards end where rows do, and empty rows follow
        "empty": np.zeros(5, int),
        "none": np.array([1024]),
    }[kind]
    whole = stream(lengths, [], 0, Position())
    assert all(len(unit.values) == 1024 for unit in whole[:-1])
    assert np.concatenate([unit.values for unit in whole]).tolist() == list(range(int(lengths.sum())))
    assert np.concatenate([unit.records for unit in whole])["sum"].tolist() == list(range(len(lengths)))
    assert whole[-1].end == Position(len(lengths), 0)
    assert kind != "none" or len(whole) == 1
    for _ in range(20):
        cuts = rng.integers(1, len(lengths) + 1, 6).tolist()
        again = stream(lengths, cuts, 0, Position())
        assert len(again) == len(whole)
        assert all(map(same, again, whole))
        for number, unit in enumerate(whole[:-1]):
            rest = stream(lengths, cuts, number + 1, unit.end)
            assert len(rest) == len(whole) - number - 1
            assert all(map(same, rest, whole[number + 1 :]))
