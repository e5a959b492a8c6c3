"""Zarr is decoded past zarr-python where that can be, with the same numbers and the same faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from scipy import sparse
from tests.engine.counts.conftest import as_anndata, assemble, counts, same, write_zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from lexicell.counts import open_counts, zarr_reader
from lexicell.counts.array_reader import ArrayReader
from lexicell.counts.choose_reader import choose_reader
from lexicell.counts.scratch import Scratch
from lexicell.counts.zarr_reader import Encoding
from lexicell.errors import CorruptDataError

pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")

LZ4 = BloscCodec(cname="lz4")
#: Name: options of the arrays, and whether they are decoded past zarr-python.
LAYOUTS: dict[str, tuple[dict[str, Any], bool]] = {
    "chunks": ({"chunks": (50,), "compressors": LZ4}, True),
    "shards": ({"chunks": (50,), "shards": (150,), "compressors": LZ4}, True),
    "checked": ({"chunks": (50,), "shards": (150,), "compressors": [ZstdCodec(checksum=True)]}, True),
    "plain": ({"chunks": (70,), "compressors": None}, True),
    "index first": ({"shards": {"shape": (150,), "index_location": "start"}, "chunks": (50,)}, True),
    "gzip": ({"chunks": (50,), "compressors": GzipCodec()}, True),
    "v2": ({"chunks": (50,), "zarr_format": 2, "compressors": numcodecs.Blosc("lz4")}, True),
    "v2 zlib": ({"chunks": (50,), "zarr_format": 2, "compressors": numcodecs.Zlib()}, True),
    "v2 without fill": ({"chunks": (50,), "zarr_format": 2, "fill_value": None}, True),
    "v2 lzma": ({"chunks": (50,), "zarr_format": 2, "compressors": numcodecs.LZMA()}, True),
    "v2 delta": ({"chunks": (50,), "zarr_format": 2, "filters": numcodecs.Delta("u2")}, False),
}


@pytest.fixture
def matrix() -> sparse.csr_matrix:
    return counts(61, 37, dtype=np.uint16)


def store(path: Path, matrix: Any, data: Any = None, **options: Any) -> Path:
    """An AnnData-Zarr whose three arrays of X are written with some options, `data` in another dtype."""
    version = options.get("zarr_format", 3)
    write_zarr(as_anndata(matrix), path, version)
    group = zarr.open_group(path, mode="r+", use_consolidated=False)["X"]
    for name in ("data", "indices", "indptr"):
        values = getattr(matrix, name)
        values = values.astype({"data": data or values.dtype, "indices": np.uint16, "indptr": np.int64}[name])
        given = {**options, "filters": numcodecs.Delta(values.dtype)} if "filters" in options else options
        del group[name]
        group.create_array(name, data=values, **{k: v for k, v in given.items() if k != "zarr_format"})
    (path / ".zmetadata").unlink(missing_ok=True)
    if version == 3:
        meta = json.loads((path / "zarr.json").read_text())
        meta.pop("consolidated_metadata", None)
        (path / "zarr.json").write_text(json.dumps(meta))
    return path


def _by_zarr_python(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Encoding, "of", classmethod(lambda cls, array: None))


class Sealed:
    """A Zarr array of which no value may be asked."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __getattr__(self, name: str) -> Any:
        return getattr(self._array, name)

    def __getitem__(self, key: Any) -> Any:
        pytest.fail("zarr-python was asked")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_reads_the_same_past_zarr_python_and_through_it(
    layout: str, matrix: sparse.csr_matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, known = LAYOUTS[layout]
    path = store(tmp_path / "c.zarr", matrix, **options)
    array = choose_reader(zarr.open_array(path / "X" / "data", mode="r"))
    assert (array._encoding is not None) == known
    if known:
        array._array = Sealed(array._array)
        assert np.array_equal(array[40:777], matrix.data[40:777])
    with open_counts(path) as source:
        same(assemble(source), matrix)
    with monkeypatch.context() as patch:
        _by_zarr_python(patch)
        with open_counts(path) as source:
            same(assemble(source), matrix)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "i8", "f2", "f4", "f8", "bool", ">f4", ">i8"])
@pytest.mark.parametrize("version", [2, 3])
def test_any_dtype_is_read_slice_by_slice(dtype: str, version: int, tmp_path: Path) -> None:
    values = (np.arange(2_400) % 200).astype(dtype).reshape(300, 8)
    wide = zarr.create_array(tmp_path / "wide.zarr", data=values, chunks=(70, 3), zarr_format=version)
    long = zarr.create_array(tmp_path / "long.zarr", data=values[:, 1], chunks=(70,), zarr_format=version)
    for array, expected in ((wide, values), (long, values[:, 1])):
        slices = choose_reader(array)
        assert (slices.shape, slices.dtype, slices.chunk) == (array.shape, array.dtype, 70)
        for start, stop in ((0, 300), (69, 71), (70, 140), (299, 300), (13, 13), (150, 500)):
            found = slices[start:stop]
            assert found.dtype == array.dtype
            assert np.array_equal(found, expected[start:stop])


def test_dense_arrays_in_shards_are_read_past_zarr_python(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 9, (61, 37)).astype(np.float32)
    options = {"chunks": (5, 10), "shards": (20, 20), "compressors": [LZ4, Crc32cCodec()]}
    array = choose_reader(zarr.create_array(tmp_path / "d.zarr", data=values, **options))
    array._array = Sealed(array._array)
    for start, stop in ((0, 61), (3, 4), (19, 47), (60, 61)):
        assert np.array_equal(array[start:stop], values[start:stop])


def test_stores_that_are_no_folder_are_read_too() -> None:
    values = np.arange(500, dtype=np.int32)
    array = zarr.create_array(zarr.storage.MemoryStore(), data=values, chunks=(70,))
    assert np.array_equal(choose_reader(array)[33:480], values[33:480])


@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_every_flipped_bit_of_a_checked_chunk_is_corrupt(
    part: str, matrix: sparse.csr_matrix, tmp_path: Path
) -> None:
    options = {"chunks": (200,), "shards": (800,), "compressors": [LZ4, Crc32cCodec()]}
    path = store(tmp_path / "c.zarr", matrix, **options)
    shard = path / "X" / part / "c" / "0"
    raw = shard.read_bytes()
    for place in range(0, len(raw), max(len(raw) // 25, 1)):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << place % 8
        shard.write_bytes(flipped)
        # In pieces: some decoders compare the checksum only of what is read as a whole.
        with pytest.raises(CorruptDataError), open_counts(path) as source:
            assemble(source, 60)
    shard.write_bytes(raw)
    with open_counts(path) as source:
        same(assemble(source), matrix)


@pytest.mark.parametrize("kind", ["blosc", "zstd", "gzip", "plain"])
@pytest.mark.parametrize("length", [0, 30, 49, 51])
def test_a_chunk_of_another_length_is_corrupt(
    kind: str, length: int, matrix: sparse.csr_matrix, tmp_path: Path
) -> None:
    codecs = {
        "blosc": (LZ4, numcodecs.Blosc()),
        "zstd": (ZstdCodec(), numcodecs.Zstd()),
        "gzip": (GzipCodec(), numcodecs.GZip()),
        "plain": (None, None),
    }
    options = {"chunks": (50,), "compressors": codecs[kind][0]}
    path = store(tmp_path / "c.zarr", matrix, **options)
    raw = np.full(length, 7, np.uint16).tobytes()
    (path / "X" / "data" / "c" / "3").write_bytes(codecs[kind][1].encode(raw) if kind != "plain" else raw)
    with open_counts(path) as source, pytest.raises(CorruptDataError):
        assemble(source)


@pytest.mark.parametrize("decoder", ["own", "zarr"])
@pytest.mark.parametrize("layout", ["chunks", "shards", "v2"])
@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_every_lost_chunk_is_noticed(
    decoder: str,
    layout: str,
    part: str,
    matrix: sparse.csr_matrix,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if decoder == "zarr":
        _by_zarr_python(monkeypatch)
    path = store(tmp_path / "c.zarr", matrix, **LAYOUTS[layout][0])
    folder = path / "X" / part
    chunks = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.isdigit())
    assert chunks
    for chunk in chunks:
        raw = chunk.read_bytes()
        chunk.unlink()
        with pytest.raises(CorruptDataError), open_counts(path) as source:
            assemble(source, 50)
        chunk.write_bytes(raw)


def test_a_lost_chunk_of_a_matrix_by_genes_is_noticed(tmp_path: Path) -> None:
    matrix = counts(300, 60).tocsc()
    path = write_zarr(as_anndata(matrix), tmp_path / "c.zarr", 3)
    for part in ("data", "indices"):
        chunk = path / "X" / part / "c" / "0"
        raw = chunk.read_bytes()
        chunk.unlink()
        with open_counts(path) as source, pytest.raises(CorruptDataError, match="lacks"):
            assemble(source)
        chunk.write_bytes(raw)


def test_the_store_is_not_listed_while_nothing_is_missing(
    matrix: sparse.csr_matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zarr_reader, "lacks_chunks", lambda array: pytest.fail("listed"))
    with open_counts(store(tmp_path / "c.zarr", matrix, **LAYOUTS["shards"][0])) as source:
        same(assemble(source, 40), matrix)


class Counted(ArrayReader):
    """An array that counts how often each chunk is decoded."""

    def __init__(self, values: np.ndarray, chunk: int) -> None:
        super().__init__(values.shape, values.dtype, chunk)
        self.values, self.decoded = values, np.zeros(-(-len(values) // chunk), int)
        self.broken = False

    def read_into(self, start: int, stop: int, out: np.ndarray) -> None:
        out[:] = 255
        if self.broken:
            raise ConnectionError
        if stop > start:
            self.decoded[start // self.chunk : -(-stop // self.chunk)] += 1
        out[:] = self.values[start:stop]


@pytest.mark.parametrize("chunk", [1, 10, 64, 1000])
@pytest.mark.parametrize("step", [1, 7, 64, 300])
def test_slices_in_order_decode_every_chunk_once(chunk: int, step: int) -> None:
    array, scratch = Counted(np.arange(777), chunk), Scratch()
    for start in range(0, 777, step):
        stop = min(start + step, 777)
        assert scratch.window("data", array, start, stop).tolist() == list(range(start, stop))
    assert (array.decoded == 1).all()


def test_slices_in_any_order_of_several_arrays_are_right() -> None:
    rng, scratch = np.random.default_rng(0), Scratch()
    arrays = [Counted(rng.integers(0, 100, 500).astype(dtype), 40) for dtype in ("i4", "u2", "f8")]
    for _ in range(400):
        array = arrays[rng.integers(3)]
        start = int(rng.integers(0, 500))
        stop = int(rng.integers(start, 501))
        role = ("data", "indices")[rng.integers(2)]
        assert np.array_equal(scratch.window(role, array, start, stop), array.values[start:stop])


def test_a_read_that_failed_leaves_nothing_that_is_taken_for_data() -> None:
    array, scratch = Counted(np.arange(100), 10), Scratch()
    scratch.window("data", array, 0, 35)
    array.broken = True
    with pytest.raises(ConnectionError):
        scratch.window("data", array, 30, 60)
    array.broken = False
    assert scratch.window("data", array, 12, 18).tolist() == list(range(12, 18))


def test_buffers_are_used_again_and_grow() -> None:
    scratch = Scratch()
    first = scratch.take("a", 100, np.dtype(np.float32))
    assert np.shares_memory(first, scratch.take("a", 40, np.dtype(np.uint16)))
    assert not np.shares_memory(first, scratch.take("b", 100, np.dtype(np.float32)))
    grown = scratch.take("a", 1000, np.dtype(np.int64))
    assert (grown.shape, grown.dtype) == ((1000,), np.int64)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_blocks_with_buffers_are_views_of_them_and_equal_those_without(
    dtype: str, matrix: sparse.csr_matrix, tmp_path: Path
) -> None:
    path = store(tmp_path / "c.zarr", matrix, dtype, **LAYOUTS["shards"][0])
    scratch = Scratch()
    with open_counts(path) as source:
        for start, stop in source.spans(120):
            block, alone = source.read(start, stop, scratch), source.read(start, stop)
            assert block.data.dtype == alone.data.dtype == np.dtype(dtype)
            for name in ("data", "indices", "indptr"):
                assert np.array_equal(getattr(block, name), getattr(alone, name))
            assert np.shares_memory(block.data, scratch._buffers["data"])
            assert np.shares_memory(block.indices, scratch._buffers["indices"])


def test_threads_with_buffers_of_their_own_read_different_rows_at_once(
    matrix: sparse.csr_matrix, tmp_path: Path, make_read: Callable[..., Any]
) -> None:
    path = store(tmp_path / "c.zarr", matrix, **LAYOUTS["shards"][0])
    with open_counts(path) as source, ThreadPoolExecutor(4) as pool:
        pieces = list(pool.map(lambda first: make_read(source, first, min(first + 6, 61)), range(0, 61, 6)))
    same(sparse.vstack(pieces), matrix)


@pytest.fixture
def make_read() -> Callable[..., Any]:
    def read(source: Any, start: int, stop: int) -> sparse.csr_matrix:
        scratch, rows = Scratch(), []
        for low, high in source.spans(60, start, stop):
            block = source.read(low, high, scratch)
            parts = (block.data.copy(), block.indices.astype(np.int32), block.indptr)
            rows.append(sparse.csr_matrix(parts, shape=(high - low, block.n_columns)))
        return sparse.vstack(rows)

    return read
