"""HDF5's filters as they are undone here, byte by byte."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lexicell.counts.h5chunks import fast_array
from lexicell.counts.h5filters import Filters, fletcher32, lzf


def test_malformed_lzf_is_hdf5s_own_error(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", data=np.arange(300), chunks=(100,), compression="lzf")
        dataset.id.write_direct_chunk((100,), b"\x20\x00" * 100)
    with h5py.File(tmp_path / "a.h5") as file, pytest.raises(OSError, match="filter returned failure"):
        fast_array(file["a"])[:]


@given(st.binary(max_size=300), st.integers(0, 400))
@example(b"\x00A\xe0\xff\x00", 100)  # a match beyond the end
@example(b"\x1f" + b"A" * 32, 10)  # literals beyond the end
@example(b"\x00A\x20\x01", 100)  # a match from before the beginning
@example(b"\x05A", 100)  # literals that are missing
@example(b"\x00A\x20", 100)  # the place of a match that is missing
@example(b"\x00A\xe0", 100)  # the length of a match that is missing
def test_lzf_of_any_bytes_stays_within_its_bounds(raw: bytes, size: int) -> None:
    frame = np.full(size + 600, 77, np.uint8)
    written = lzf(np.frombuffer(raw, np.uint8), frame[300 : size + 300])
    assert -1 <= written <= size
    assert set(frame[:300]) == set(frame[size + 300 :]) == {77}


@pytest.mark.parametrize("raw", [b"\x05A", b"\x00A\x20", b"\x00A\xe0", b"\x00A\xe0\x01", b"\x20\x00"])
def test_malformed_lzf_is_told(raw: bytes) -> None:
    assert lzf(np.frombuffer(raw, np.uint8), np.zeros(100, np.uint8)) == -1


def test_lzf_repeats_what_it_is_writing() -> None:
    out = np.zeros(13, np.uint8)
    assert lzf(np.frombuffer(b"\x01AB\xe0\x02\x01", np.uint8), out) == 13
    assert out.tobytes() == b"ABABABABABABA"


@given(st.binary(min_size=1, max_size=3000))
def test_fletcher32_is_hdf5s(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "sums.h5"
    with h5py.File(path, "w") as file:
        values = np.frombuffer(raw, np.uint8)
        file.create_dataset("a", data=values, chunks=values.shape, fletcher32=True)
        stored = file["a"].id.read_direct_chunk((0,))[1]
    assert int(fletcher32(values)) == int.from_bytes(stored[-4:], "little")


@pytest.mark.parametrize(
    ("codes", "known"),
    [
        ((), True),
        ((2, 1, 3), True),
        ((2, 32000), True),
        ((1, 2), False),
        ((3, 1), False),
        ((1, 1), False),
        ((1, 32000), False),
        ((32001,), False),
        ((2, 6), False),
    ],
)
def test_only_filters_in_the_order_that_writers_use_are_known(codes: tuple[int, ...], known: bool) -> None:
    found = Filters.of([(code, (4,) if code == 2 else ()) for code in codes], 4)
    assert (found is not None) is known


def test_bytes_shuffled_in_another_width_are_left_to_hdf5() -> None:
    assert Filters.of([(2, (2,))], 4) is None
