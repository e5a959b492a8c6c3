"""Spans of some rows, offsets read in windows, and slabs of several threads."""

from __future__ import annotations

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anndata
import dask.array as da
import numpy as np
import pytest
import zarr
from scipy import sparse
from tests.engine.counts.conftest import as_anndata, counts, same, write_mtx, write_tenx, write_zarr

from lexicell.containers.faults import Where
from lexicell.counts import offsets as offsets_module
from lexicell.counts import open_counts, row_partition
from lexicell.counts import rows as rows_module
from lexicell.counts.blocks import cut_spans
from lexicell.counts.choose_reader import choose_reader
from lexicell.counts.dense import DenseRows, SlabRows
from lexicell.counts.offsets import RowOffsets
from lexicell.errors import CorruptDataError

WHERE = Where("file", "X")


def _sources(matrix: sparse.csr_matrix, folder: Path) -> dict[str, Any]:
    adata = as_anndata(matrix)
    adata.write_h5ad(folder / "csr.h5ad")
    as_anndata(matrix.tocsc()).write_h5ad(folder / "csc.h5ad")
    as_anndata(matrix.toarray()).write_h5ad(folder / "dense.h5ad")
    order = np.random.default_rng(0).permutation(matrix.shape[0])
    parent = as_anndata(matrix[np.argsort(order)])
    parent.write_h5ad(folder / "parent.h5ad")
    return {
        "memory": adata,
        "view": parent[order],
        "backed view": anndata.read_h5ad(folder / "parent.h5ad", backed="r")[order],
        "h5ad": folder / "csr.h5ad",
        "csc": folder / "csc.h5ad",
        "dense": folder / "dense.h5ad",
        "zarr": write_zarr(adata, folder / "c.zarr", 3),
        "10x": write_tenx(matrix, folder / "c.h5", 3),
        "mtx": write_mtx(matrix, folder / "m"),
        "dask": as_anndata(da.from_array(matrix.toarray(), chunks=(17, -1))),
    }


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> int:
    for module in (offsets_module, rows_module):
        monkeypatch.setattr(module, "WINDOW_ROWS", 7)
    return 7


@pytest.mark.usefixtures("small_windows")
def test_spans_of_some_rows_are_those_rows_of_every_source(tmp_path: Path) -> None:
    matrix = counts(61, 37)
    for name, data in _sources(matrix, tmp_path).items():
        with open_counts(data) as source:
            for start, stop in ((0, 61), (0, 20), (20, 41), (41, 61), (13, 14), (30, 30)):
                spans = list(source.spans(100, start, stop))
                edges = [start, *(end for _, end in spans)]
                assert edges[-1] == stop, name
                assert [begin for begin, _ in spans] == edges[:-1], name
                assert all(begin < end for begin, end in spans), name
                if name not in ("dense", "dask"):
                    sizes = [(matrix.indptr[end] - matrix.indptr[begin], end - begin) for begin, end in spans]
                    assert all(size <= 100 or rows == 1 for size, rows in sizes), name
                blocks = [source.read(*span) for span in spans]
                rows = [sparse.csr_matrix((b.data, b.indices, b.indptr), (b.n_rows, 37)) for b in blocks]
                if rows:
                    same(sparse.vstack(rows), matrix[start:stop])
            with pytest.raises(IndexError):
                next(source.spans(100, 50, 62))


@pytest.mark.usefixtures("small_windows")
def test_windows_do_not_show_in_the_spans_of_long_rows(tmp_path: Path) -> None:
    matrix = counts(61, 37)
    with open_counts(write_zarr(as_anndata(matrix), tmp_path / "c.zarr", 3)) as source:
        for most in (1, 30, 80):
            assert list(source.spans(most)) == list(cut_spans(matrix.indptr, most))
        spans = list(source.spans(10**6))
        assert max(stop - start for start, stop in spans) <= 7


def _stored(values: Any, path: Path, chunk: int = 10) -> Any:
    return zarr.create_array(path, data=np.asarray(values, np.int64), chunks=(chunk,))


@pytest.mark.usefixtures("small_windows")
def test_stored_offsets_are_read_once_for_rows_in_order(tmp_path: Path) -> None:
    array = choose_reader(_stored(np.arange(101) * 2, tmp_path / "p"))
    asked: list[tuple[int, int]] = []
    read = array.read_into
    array.read_into = lambda start, stop, out: (asked.append((start, stop)), read(start, stop, out))
    offsets = RowOffsets(array, (100, 5), 200, WHERE)
    asked.clear()
    for row in range(100):
        assert offsets.of(row, row + 1).tolist() == [2 * row, 2 * row + 2]
    assert len(asked) <= -(-100 // 7)
    assert offsets.of(3, 90).tolist() == list(range(6, 182, 2))


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize(("place", "value"), [(0, 1), (100, 199), (50, 40), (50, 10**6), (50, -5), (7, 100)])
def test_offsets_that_do_not_fit_are_found_when_their_window_is_read(
    place: int, value: int, tmp_path: Path
) -> None:
    values = np.arange(101) * 2
    values[place] = value
    array = _stored(values, tmp_path / "p")

    def read() -> None:
        offsets = RowOffsets(array, (100, 5), 200, WHERE)
        for row in range(100):
            offsets.of(row, row + 1)

    with pytest.raises(CorruptDataError, match=r"rows \d+:\d+ of X have an indptr") as caught:
        read()
    assert "\n" not in str(caught.value)


def test_a_lost_first_chunk_of_the_offsets_is_no_empty_cells(tmp_path: Path) -> None:
    array = _stored(np.arange(101) * 2, tmp_path / "p")
    (tmp_path / "p" / "c" / "0").unlink()
    with pytest.raises(CorruptDataError, match="lacks a chunk"):
        RowOffsets(array, (100, 5), 200, WHERE)
    empty = _stored(np.concatenate([np.zeros(40), np.arange(61) * 2]), tmp_path / "e")
    assert not (tmp_path / "e" / "c" / "1").exists()
    assert RowOffsets(empty, (100, 5), 120, WHERE).of(0, 3).tolist() == [0, 0, 0, 0]


def test_offsets_on_disk_are_not_held(tmp_path: Path) -> None:
    n = 2_000_000
    array = _stored(np.arange(n + 1), tmp_path / "p", 1 << 16)
    tracemalloc.start()
    offsets = RowOffsets(array, (n, 5), n, WHERE)
    for start in range(0, n, 400_000):
        assert offsets.of(start, start + 65_536)[-1] == start + 65_536
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * n / 3


def test_threads_that_share_stored_offsets_do_not_mix_them_up(tmp_path: Path) -> None:
    n = 5_000
    offsets = RowOffsets(_stored(np.arange(n + 1) * 3, tmp_path / "p", 100), (n, 5), 3 * n, WHERE)

    def check(part: int) -> bool:
        rows = np.random.default_rng(part).integers(0, n, 200)
        return all(offsets.of(int(row), int(row) + 1).tolist() == [3 * row, 3 * row + 3] for row in rows)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, range(8)))


@pytest.mark.usefixtures("small_windows")
def test_a_thread_keeps_its_window_while_others_read_elsewhere(tmp_path: Path) -> None:
    array = choose_reader(_stored(np.arange(101) * 2, tmp_path / "p"))
    offsets = RowOffsets(array, (100, 5), 200, WHERE)
    asked: list[int] = []
    read = array.read_into
    array.read_into = lambda start, stop, out: (asked.append(start), read(start, stop, out))
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        for row in range(6):
            assert one.submit(offsets.of, 20 + row, 21 + row).result()[0] == 40 + 2 * row
            assert other.submit(offsets.of, 80 + row, 81 + row).result()[0] == 160 + 2 * row
    assert asked == [20, 80]


@pytest.mark.usefixtures("small_windows")
def test_offsets_of_picked_rows_are_in_their_order() -> None:
    matrix = counts(61, 37)
    picked = np.random.default_rng(1).integers(0, 61, 40)
    inner = rows_module.CsrRows(matrix.data, matrix.indices, matrix.indptr, matrix.shape, WHERE)
    lengths = np.diff(matrix.indptr)[picked]
    offsets = rows_module.PickedRows(inner, picked, None).offsets(5, 33)
    assert offsets is not None
    assert np.diff(offsets).tolist() == lengths[5:33].tolist()


class Slabs(DenseRows):
    """A dense matrix that counts how often each slab is made, and by how many threads at once."""

    def __init__(self, matrix: np.ndarray) -> None:
        super().__init__(matrix, WHERE, slab_bytes=10 * matrix.shape[1] * matrix.itemsize)
        self.loaded: list[int] = []
        self.together = threading.Barrier(2)

    def load(self, start: int, stop: int) -> Any:
        self.loaded.append(start)
        if len(self.loaded) <= 2:
            self.together.wait(10)
        return super().load(start, stop)


def test_threads_in_slabs_of_their_own_make_each_once_and_at_the_same_time() -> None:
    matrix = counts(60, 8, dtype=np.float32).toarray()
    rows = Slabs(matrix)

    def read(first: int) -> np.ndarray:
        blocks = [rows.read(start, start + 2) for start in range(first, first + 30, 2)]
        return np.concatenate([block.data for block in blocks])

    with ThreadPoolExecutor(2) as pool:
        found = np.concatenate(list(pool.map(read, (0, 30))))
    assert sorted(rows.loaded) == [0, 10, 20, 30, 40, 50]
    assert found.tolist() == sparse.csr_matrix(matrix).data.tolist()


def test_the_length_of_a_row_is_estimated_once_for_all_threads() -> None:
    made = []

    class Lazy(SlabRows):
        def load(self, start: int, stop: int) -> Any:
            made.append(start)
            return DenseRows(np.ones((stop - start, 3)), WHERE).read(0, stop - start)

    rows = Lazy(np.arange(0, 101, 10), (100, 3), WHERE)
    with ThreadPoolExecutor(4) as pool:
        spans = list(pool.map(lambda start: list(rows.spans(15, start, start + 25)), range(0, 100, 25)))
    assert made == [0]
    assert [span for part in spans for span in part][-1][1] == 100


def test_counting_the_values_of_partitioned_rows_takes_no_second_array_of_cells() -> None:
    n = 400_000
    matrix = sparse.csc_matrix((np.ones(1, np.int32), np.array([5]), np.array([0, 1])), (n, 1))
    partition = row_partition.csc_rows(matrix.data, matrix.indices, matrix.indptr, matrix.shape, WHERE)
    tracemalloc.start()
    assert partition.offsets(4, 7).tolist() == [0, 0, 1, 1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    partition.close()
    assert peak < 1.6 * 8 * n
