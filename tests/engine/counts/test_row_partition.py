"""The partition stays within its memory, gives rows back in order, and leaves nothing behind."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from tests.engine.counts.conftest import as_anndata, assemble, counts, same

from lexicell.containers.faults import Where
from lexicell.counts import open_counts, row_partition
from lexicell.counts.row_partition import Entries, PartitionedRows, csc_rows
from lexicell.errors import CorruptDataError, InputError

WHERE = Where("file", "X")


def _partition_of(matrix: Any, budget: int) -> PartitionedRows:
    csc = sparse.csc_matrix(matrix)
    return csc_rows(csc.data, csc.indices, csc.indptr, csc.shape, WHERE, budget=budget)


def _rows(partition: PartitionedRows, max_nnz: int) -> sparse.csr_matrix:
    blocks = [partition.read(*span) for span in partition.spans(max_nnz)]
    return sparse.vstack(
        [
            sparse.csr_matrix(
                (block.data, block.indices.astype(np.int32), block.indptr), (block.n_rows, block.n_columns)
            )
            for block in blocks
        ]
    )


def _deleted_files() -> list[str]:
    """Descriptors of this process that point to a partition's file, which has no name any more."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return [link for link in links if "deleted" in link and tempfile.gettempdir() in link]


@pytest.mark.parametrize("budget", [1, 500, 5_000, 100_000, 10**8])
def test_any_budget_gives_back_the_matrix_with_sorted_columns(budget: int) -> None:
    matrix = counts(70, 30)
    partition = _partition_of(matrix, budget)
    found = _rows(partition, 90)
    partition.close()
    assert found.indptr.tolist() == matrix.indptr.tolist()
    assert found.indices.tolist() == matrix.indices.tolist()
    assert found.data.tolist() == matrix.data.tolist()


def test_rows_are_read_out_of_order_and_again() -> None:
    matrix = counts(70, 30)
    partition = _partition_of(matrix, 3000)
    for start, stop in ((60, 70), (0, 9), (33, 41), (0, 70), (10, 11)):
        block = partition.read(start, stop)
        assert block.data.tolist() == matrix[start:stop].data.tolist()
    partition.close()


def test_wide_matrices_keep_their_columns() -> None:
    matrix = sparse.random(40, 70_000, 0.001, format="csr", random_state=0)
    partition = _partition_of(matrix, 20_000)
    same(_rows(partition, 100), matrix)
    partition.close()


def test_repeated_entries_are_all_kept() -> None:
    def stream(_size: int) -> Iterator[Entries]:
        yield np.array([1, 1, 0]), np.array([2, 2, 1]), np.array([5, 6, 7], np.int32)
        yield np.array([1]), np.array([0]), np.array([8], np.int32)

    partition = PartitionedRows(stream, 4, np.int32, (2, 3), WHERE)
    block = partition.read(0, 2)
    assert block.indices.tolist() == [1, 2, 2, 0]
    assert block.data.tolist() == [7, 5, 6, 8]
    partition.close()


def test_memory_does_not_grow_with_the_number_of_cells(tmp_path: Path) -> None:
    budget, peaks = 2 << 20, []
    for n in (5_000, 40_000):
        # Cells sorted by depth: buckets of equal numbers of rows are then of very unequal size.
        rng = np.random.default_rng(0)
        lengths = np.sort(rng.integers(1, 60, n))[::-1]
        indices = rng.integers(0, 200, int(lengths.sum())).astype(np.int32)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        csr = sparse.csr_matrix((np.ones(indices.size, np.float32), indices, indptr), shape=(n, 200))
        csc = csr.tocsc()
        arrays = {
            name: np.save(tmp_path / f"{name}{n}.npy", getattr(csc, name)) for name in ("data", "indices")
        }
        mapped = [np.load(tmp_path / f"{name}{n}.npy", mmap_mode="r") for name in arrays]
        tracemalloc.start()
        partition = csc_rows(*mapped, csc.indptr, csc.shape, WHERE, budget=budget)
        for span in partition.spans(5_000):
            partition.read(*span)
        peaks.append(tracemalloc.get_traced_memory()[1] - 5 * 8 * n)
        tracemalloc.stop()
        partition.close()
        assert csc.nnz * 10 > budget // 2
    assert peaks[1] < budget
    assert peaks[1] < 1.5 * peaks[0]


def test_the_temporary_file_has_no_name_and_is_gone_after_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, h5ad: Any
) -> None:
    path = h5ad(counts().tocsc())
    partitions = tmp_path / "partitions"
    partitions.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(partitions))
    with open_counts(path) as source:
        assert not _deleted_files()
        assemble(source)
        assert len(_deleted_files()) == 1
        assert list(partitions.iterdir()) == []
    assert not _deleted_files()


def test_the_temporary_file_is_gone_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    csc = counts().tocsc()
    csc.indices[-1] = 1000
    partition = csc_rows(csc.data, csc.indices, csc.indptr, csc.shape, WHERE, budget=1000)
    with pytest.raises(CorruptDataError, match="index 1000") as caught:
        partition.read(0, 1)
    assert caught.value.__traceback__ is not None
    assert not _deleted_files()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_which_folder_and_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _data: Any) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(row_partition.tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(InputError, match=r"No space left on device\).*TMPDIR") as caught:
        _partition_of(counts(), 1000).read(0, 1)
    assert not isinstance(caught.value, CorruptDataError)


def test_nothing_is_partitioned_before_rows_are_asked_for(h5ad: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_partition.tempfile, "TemporaryFile", lambda **_: pytest.fail("partitioned"))
    with open_counts(h5ad(counts().tocsc())) as source:
        assert (source.n_cells, source.n_columns) == (61, 37)
        assert len(source.obs) == 61


def test_threads_share_one_partition() -> None:
    from concurrent.futures import ThreadPoolExecutor

    matrix = counts(200, 30)
    with open_counts(as_anndata(matrix)) as reference:
        expected = [reference.read(start, start + 10).data.tolist() for start in range(0, 200, 10)]
    partition = _partition_of(matrix, 5000)
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda start: partition.read(start, start + 10).data.tolist(), range(0, 200, 10))
        )
    assert found == expected
    partition.close()
