"""A line of a Matrix Market file is a row, a column and a value, or the file is refused."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lexicell.counts import mtx, open_counts
from lexicell.errors import CorruptDataError, InputError

GOOD = "1 1 5\n2 2 3\n3 4 1\n"


def write(folder: Path, lines: str, *, kind: str = "integer", size: str = "3 4 3") -> Path:
    (folder / "barcodes.tsv").write_text("a\nb\nc\nd\n")
    (folder / "features.tsv").write_text("g1\tG1\ng2\tG2\ng3\tG3\n")
    text = f"%%MatrixMarket matrix coordinate {kind} general\n{size}\n{lines}"
    (folder / "matrix.mtx").write_bytes(text.encode("latin-1"))
    return folder


def read(folder: Path) -> list[list[float]]:
    with open_counts(folder) as source:
        block = source.read(0, source.n_cells)
    return [block.data.tolist(), block.indices.tolist(), block.indptr.tolist()]


@pytest.mark.parametrize("kind", ["integer", "real"])
@pytest.mark.parametrize(
    "lines", [GOOD, GOOD.replace("\n", "\r\n"), GOOD.replace(" ", "\t"), f"\n {GOOD[:-1]}"]
)
def test_white_space_says_nothing(lines: str, kind: str, tmp_path: Path) -> None:
    assert read(write(tmp_path, lines, kind=kind)) == [[5, 3, 1], [0, 1, 2], [0, 1, 2, 2, 3]]


@pytest.mark.parametrize(
    "bad",
    [
        "2 1 1 3", "2 1 1 nan", "2 1 1 #", "1 2 1 3 4", "2 1", "2", '"2" 1 1', '2 1 "1"', "2 1 NA", "2 1 nan",
        "2 1 1_0", "2 1 0x1", "2 1 True", "2 1 \xff", "2 1 \x00", f"2 1 {'9' * 400}", f"{'9' * 400} 1 1",
        "2.5 1 1", "4 1 1", "2 5 1", "0 1 1", "-1 1 1", "1" * 300_000, "1 " * 150_000,
    ],
)  # fmt: skip
def test_what_is_no_row_column_and_value_is_refused(bad: str, tmp_path: Path) -> None:
    for kind in ("integer", "real"):
        for line in range(3):
            lines = GOOD.splitlines()
            lines[line] = bad
            with pytest.raises(CorruptDataError, match=r"matrix\.mtx"):
                read(write(tmp_path, "\n".join(lines), kind=kind))


@pytest.mark.parametrize("at", [2, 3, 4, 5])
def test_a_longer_line_is_found_in_every_part_that_is_read(at: int, tmp_path: Path) -> None:
    lines = ["1 1 1"] * 6
    lines[at] = "1 1 1 1"
    path = write(tmp_path, "\n".join(lines), size="3 4 6") / "matrix.mtx"
    header = mtx._header(path)
    with pytest.raises(ValueError, match=r"more than a row|saw"):
        list(mtx._entries(path, header, 2))


@pytest.mark.parametrize("count", [-(1 << 63), -(1 << 31), 1 << 31])
def test_a_count_that_does_not_fit_is_refused(count: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exceeds"):
        read(write(tmp_path, f"1 1 {count}\n2 2 3\n3 4 1\n"))


@pytest.mark.parametrize(
    "size", ["3 4", "3 4 3 1", "3 4 1_0", "+3 4 3", "3 4 -1", "3.0 4 3", f"{'9' * 5000} 4 3", ""]
)
def test_a_size_of_other_than_three_numbers_is_refused(size: str, tmp_path: Path) -> None:
    with pytest.raises(CorruptDataError, match=r"matrix\.mtx"):
        read(write(tmp_path, GOOD, size=size))


@pytest.mark.parametrize("name", ["matrix.mtx", "barcodes.tsv", "features.tsv"])
def test_a_bomb_costs_no_memory(name: str, tmp_path: Path) -> None:
    text = (write(tmp_path, GOOD) / name).read_bytes() + b"1" * (300 << 20)
    (tmp_path / name).unlink()
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text, 1))
    del text
    tracemalloc.start()
    with pytest.raises(CorruptDataError, match=name):
        read(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 250 << 20
    tracemalloc.stop()


def test_reals_stay_what_they_were(tmp_path: Path) -> None:
    found = read(write(tmp_path, "1 1 0.5\n2 2 1e-3\n3 4 -7\n", kind="real"))
    np.testing.assert_array_equal(np.float32(found[0]), np.float32([0.5, 1e-3, -7]))
