"""Arrays that are read past HDF5 hold what h5py reads, and damage is an error."""

from __future__ import annotations

import ctypes
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.counts.conftest import assemble, counts, same

from lexicell.counts import h5filters, open_counts
from lexicell.counts.array_reader import Hdf5Reader
from lexicell.counts.h5chunks import fast_array
from lexicell.counts.h5filters import Filters
from lexicell.errors import CorruptDataError

FILTERS: list[dict[str, Any]] = [
    {},
    {"shuffle": True},
    {"fletcher32": True},
    {"compression": "gzip"},
    {"compression": "gzip", "compression_opts": 9, "shuffle": True, "fletcher32": True},
    {"compression": "lzf"},
    {"compression": "lzf", "shuffle": True},
    {"compression": "lzf", "fletcher32": True},
]
DTYPES = ["<f4", ">f4", "<f8", "<f2", "<i4", ">i8", "<u2", "u1", "i1", "?", "<u8", "g"]


def _values(n: int, dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    """Counts in no order, and a long run of zeros."""
    rng = np.random.default_rng(seed)
    values = rng.geometric(0.3, n) * rng.integers(0, 2, n)
    values[n // 2 : n * 3 // 4] = 0
    return values.astype(dtype)


def _write(path: Path, values: Any, **options: Any) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=values, **options)
    return path


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Write values, and read them past HDF5, which is closed: whatever needed it would fail."""

    def make(values: Any, **options: Any) -> Any:
        with h5py.File(_write(tmp_path / "a.h5", values, **options)) as file:
            return fast_array(file["a"])

    return make


@given(
    n=st.integers(1, 3000),
    chunk=st.one_of(st.none(), st.integers(1, 700)),
    filters=st.sampled_from(FILTERS),
    dtype=st.sampled_from(DTYPES),
    data=st.data(),
)
def test_every_slice_of_every_layout_is_h5pys(
    tmp_path_factory: pytest.TempPathFactory, n: int, chunk: int | None, filters: Any, dtype: str, data: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.h5"
    options = filters if chunk is None else {**filters, "chunks": (min(chunk, n),)}
    expected = _values(n, dtype, seed=n)
    with h5py.File(_write(path, expected, **options)) as file:
        array = fast_array(file["a"])
        for _ in range(4):
            start, stop = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
            found = array[start:stop]
            assert found.dtype == array.dtype == file["a"].dtype
            np.testing.assert_array_equal(found, file["a"][start:stop])
            np.testing.assert_array_equal(found, expected[start:stop])
    assert array.shape == (n,)


@pytest.mark.parametrize("options", [*FILTERS, None], ids=str)
def test_known_filters_need_no_hdf5(options: dict[str, Any] | None, fast: Callable[..., Any]) -> None:
    values = _values(1000, "<i4")
    array = fast(values, **({} if options is None else {**options, "chunks": (100,)}))
    assert not isinstance(array, Hdf5Reader)
    np.testing.assert_array_equal(array[:], values)


@pytest.mark.parametrize("kind", ["csr", "csc"])
@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
def test_files_of_anndata_are_read_past_hdf5(
    kind: str, compression: str | None, h5ad: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = counts(400, 300)
    path = h5ad(matrix.asformat(kind), compression=compression)

    def refuse(*args: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(Hdf5Reader, "read_into", refuse)
    with open_counts(path) as source:
        same(assemble(source), matrix)


@pytest.mark.parametrize("name", ["baron_h1_pancreas.h5ad", "pbmc3k_raw_labelled.h5ad"])
def test_real_counts_are_h5pys(name: str, data: Callable[[str], Path]) -> None:
    with h5py.File(data(name)) as file:
        for part in (file[f"X/{key}"] for key in ("data", "indices", "indptr")):
            array, n = fast_array(part), part.shape[0]
            assert not isinstance(array, Hdf5Reader)
            np.testing.assert_array_equal(array[:], part[:])
            for start in range(0, n, n // 7 + 1):
                np.testing.assert_array_equal(array[start : start + 1234], part[start : start + 1234])


def _external(file: h5py.File, path: Path) -> None:
    np.arange(50, dtype="i4").tofile(path.with_suffix(".raw"))
    file.create_dataset("a", (50,), "i4", external=[(path.with_suffix(".raw"), 0, 200)])


def _virtual(file: h5py.File, path: Path) -> None:
    file["b"] = np.arange(50)
    layout = h5py.VirtualLayout(shape=(50,), dtype="i8")
    layout[:] = h5py.VirtualSource(file["b"])
    file.create_virtual_dataset("a", layout)


def _other_order(file: h5py.File, path: Path) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((20,))
    plist.set_deflate(4)
    plist.set_shuffle()
    space = h5py.h5s.create_simple((50,))
    h5py.h5d.create(file.id, b"a", h5py.h5t.STD_I32LE, space, plist)
    file["a"][:] = np.arange(50)


def _odd_type(file: h5py.File, path: Path) -> None:
    kind = h5py.h5t.STD_I32LE.copy()
    kind.set_precision(24)
    h5py.h5d.create(file.id, b"a", kind, h5py.h5s.create_simple((50,)))
    file["a"][:] = np.arange(50)


@pytest.mark.parametrize(
    "make",
    [
        lambda file, path: file.create_dataset("a", data=np.arange(50), scaleoffset=0, chunks=(20,)),
        lambda file, path: file.create_dataset("a", data=np.arange(50).reshape(5, 10), compression="gzip"),
        lambda file, path: file.create_dataset("a", data=np.array([b"x", b"yz"])),
        lambda file, path: file.create_dataset("a", (50,), "i4"),
        _external,
        _virtual,
        _other_order,
        _odd_type,
    ],
    ids=["scaleoffset", "2-d", "bytes", "unwritten", "external", "virtual", "order", "24 bits"],
)
def test_what_is_not_known_is_left_to_h5py(make: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        make(file, path)
    with h5py.File(path) as file:
        array = fast_array(file["a"])
        assert isinstance(array, Hdf5Reader)
        np.testing.assert_array_equal(array[1:40], file["a"][1:40])


@pytest.mark.parametrize(
    ("writing", "reading"),
    [
        ({}, {"mode": "r+"}),
        ({}, {"driver": "core"}),
        ({}, {"driver": "stdio"}),
        ({"userblock_size": 512}, {}),
        ({"libver": "latest"}, {"swmr": True, "libver": "latest"}),
    ],
    ids=str,
)
def test_files_that_may_change_or_lie_elsewhere_are_left_to_h5py(
    writing: dict[str, Any], reading: dict[str, Any], tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "a.h5", "w", **writing) as file:
        file.create_dataset("a", data=np.arange(500), chunks=(100,), compression="gzip")
    with h5py.File(tmp_path / "a.h5", **{"mode": "r", **reading}) as file:
        array = fast_array(file["a"])
        assert isinstance(array, Hdf5Reader)
        np.testing.assert_array_equal(array[90:310], np.arange(90, 310))


def test_a_file_open_for_writing_elsewhere_in_the_process_is_left_to_h5py(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.h5", np.zeros(500, "i4"), chunks=(100,), compression="gzip")
    with h5py.File(path, "r+") as writer, h5py.File(path) as reader:
        writer["a"][:] = 7
        np.testing.assert_array_equal(fast_array(reader["a"])[:], np.full(500, 7))


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_chunks_that_were_never_written_hold_the_fill_value(filters: Any, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", (950,), "f4", chunks=(100,), fillvalue=3.5, **filters)
        dataset[250:420] = np.arange(170)
    with h5py.File(tmp_path / "a.h5") as file:
        array = fast_array(file["a"])
        assert not isinstance(array, Hdf5Reader)
        np.testing.assert_array_equal(array[:], file["a"][:])
        np.testing.assert_array_equal(array[150:210], file["a"][150:210])
        assert array[940:950].tolist() == [3.5] * 10


def test_filters_left_out_of_single_chunks_are_not_undone(tmp_path: Path) -> None:
    values = _values(400, "<i4")
    packed = zlib.compress(values[200:300].tobytes())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", data=values, chunks=(100,), compression="gzip", shuffle=True)
        dataset.id.write_direct_chunk((100,), values[100:200].tobytes(), filter_mask=3)
        dataset.id.write_direct_chunk((200,), packed, filter_mask=1)
    with h5py.File(tmp_path / "a.h5") as file:
        array = fast_array(file["a"])
        np.testing.assert_array_equal(file["a"][:], values)
    np.testing.assert_array_equal(array[:], values)


@pytest.mark.parametrize("deflated", [False, True])
def test_a_last_chunk_that_hdf5_left_unfiltered_is_read(deflated: bool, tmp_path: Path) -> None:
    library = next((Path(h5py.__file__).parents[1] / "h5py.libs").glob("libhdf5-*"), None)
    if library is None:
        pytest.skip("h5py brought no library of its own, and has no function for this option itself")
    values = _values(250, "<i4")
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((100,))
    plist.set_shuffle()
    if deflated:
        plist.set_deflate(4)
    set_options = ctypes.CDLL(str(library)).H5Pset_chunk_opts
    set_options.argtypes = [ctypes.c_int64, ctypes.c_uint]
    assert set_options(plist.id, 2) == 0  # H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        h5py.h5d.create(file.id, b"a", h5py.h5t.STD_I32LE, h5py.h5s.create_simple((250,)), plist)
        file["a"][:] = values
        assert file["a"].id.read_direct_chunk((200,))[1][:200] == values[200:].tobytes()
    with h5py.File(tmp_path / "a.h5") as file:
        array = fast_array(file["a"])
        assert not isinstance(array, Hdf5Reader)
        np.testing.assert_array_equal(array[:], values)


def test_each_chunk_is_decoded_once_for_slices_in_order(
    fast: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    array, decode, calls = fast(_values(1000, "<i4"), chunks=(100,), compression="gzip"), Filters.decode, []
    monkeypatch.setattr(Filters, "decode", lambda *args: (calls.append(1), decode(*args))[1])
    for start in range(0, 1000, 30):
        array[start : start + 30]
    assert len(calls) == 10


def test_a_chunk_that_failed_is_not_kept(fast: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(1000)
    array, decode = fast(values, chunks=(100,), compression="gzip"), Filters.decode
    np.testing.assert_array_equal(array[110:120], values[110:120])

    def fail(*args: Any) -> None:
        decode(*args)
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(Filters, "decode", fail)
        for start in (210, 110):
            with suppress(OSError):
                array[start : start + 10]
    np.testing.assert_array_equal(array[110:120], values[110:120])
    np.testing.assert_array_equal(array[210:220], values[210:220])


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_threads_read_at_once(filters: dict[str, Any], fast: Callable[..., Any]) -> None:
    values = _values(20_000, "<i4")
    array = fast(values, chunks=(300,), **filters)
    starts = np.random.default_rng(0).integers(0, 19_000, 400).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda start: array[start : start + 777], starts)
        for start, part in zip(starts, found, strict=True):
            np.testing.assert_array_equal(part, values[start : start + 777])


def test_values_go_into_a_given_array(fast: Callable[..., Any]) -> None:
    values = _values(1000, ">f4")
    for options in ({"chunks": (100,), "compression": "gzip"}, {"chunks": (100,)}, {}):
        out = np.full(600, -1, ">f4")
        fast(values, **options).read_into(150, 650, out[50:550])
        np.testing.assert_array_equal(out[50:550], values[150:650])
        assert set(out[:50]) == set(out[550:]) == {-1}


@pytest.mark.parametrize("held", [True, False])
def test_a_file_that_took_the_name_is_not_read_instead(tmp_path: Path, *, held: bool) -> None:
    path = _write(tmp_path / "a.h5", np.zeros(500, "i4"))
    other = _write(tmp_path / "b.h5", np.ones(500, "i4"))
    with h5py.File(path) as file:
        before = fast_array(file["a"]) if held else None
        other.replace(path)
        after = fast_array(file["a"])
        assert isinstance(after, Hdf5Reader) == (before is None)
        assert before is None or not before[:].any()
        assert not after[:].any()


def test_arrays_of_one_file_share_a_descriptor_and_those_of_the_next_file_do_not(tmp_path: Path) -> None:
    def opened() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    one, two = (_write(tmp_path / f"{n}.h5", np.full(500, n, "i4"), chunks=(100,)) for n in (1, 2))
    with h5py.File(one) as file:
        before = opened()
        arrays = [fast_array(file["a"]) for _ in range(5)]
        assert opened() == before + 1
    with h5py.File(two) as file:  # under the number that HDF5 had for the other
        other = fast_array(file["a"])
        assert (other[:] == 2).all()
        assert all((array[:] == 1).all() for array in arrays)


def test_neither_lock_nor_descriptor_stays(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.h5", np.zeros(500, "i4"), chunks=(100,))
    before = len(list(Path("/dev/fd").iterdir()))
    with h5py.File(path) as file:
        array = fast_array(file["a"])
    with h5py.File(path, "r+") as file:
        file["a"][:] = 1
    assert array[:].all()
    del array
    assert len(list(Path("/dev/fd").iterdir())) == before


def _places(path: Path) -> list[tuple[int, int]]:
    """First byte and length of each chunk of ``a``."""
    found: list[tuple[int, int]] = []
    with h5py.File(path) as file:
        file["a"].id.chunk_iter(lambda chunk: found.append((chunk.byte_offset, chunk.size)))
    return found


@pytest.mark.parametrize("library", ["isal", "zlib"])
@pytest.mark.parametrize(
    "filters",
    [each for each in FILTERS if "fletcher32" in each or each.get("compression") == "gzip"],
    ids=str,
)
def test_no_flipped_bit_of_a_checked_chunk_gives_wrong_values(
    filters: dict[str, Any], library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(h5filters, "inflater", zlib)
    values = _values(1000, "<i4")
    path = _write(tmp_path / "a.h5", values, chunks=(250,), **filters)
    raw, rng, failed = path.read_bytes(), np.random.default_rng(0), 0
    for place, size in _places(path):
        for at in [0, 1, size - 4, size - 1, *rng.integers(0, size, 20).tolist()]:
            broken = bytearray(raw)
            broken[place + at] ^= 1 << int(rng.integers(8))
            path.write_bytes(broken)
            with h5py.File(path) as file:
                try:
                    np.testing.assert_array_equal(fast_array(file["a"])[:], values)
                except OSError:
                    failed += 1
                    with pytest.raises(OSError):  # noqa: PT011 -- h5py's own kind, with many texts
                        file["a"][:]
    assert failed > 80


def test_damage_is_a_corrupt_file_that_names_the_rows(h5ad: Any) -> None:
    path = h5ad(counts(3000, 200), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["X/indices"].id.get_chunk_info(1)
    raw = bytearray(path.read_bytes())
    raw[chunk.byte_offset + chunk.size - 1] ^= 1
    path.write_bytes(raw)
    with (
        open_counts(path) as source,
        pytest.raises(CorruptDataError, match=r"rows \d+:\d+ of X"),
    ):
        assemble(source, 2000)


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_a_file_that_ends_early_is_an_error(filters: dict[str, Any], tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 30, 10_000)
    path = _write(tmp_path / "a.h5", values, chunks=(1000,), **filters)
    with h5py.File(path) as file:
        array = fast_array(file["a"])
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(EOFError, match="ends before byte"):
            array[:]
        with pytest.raises(OSError, match="a chunk ends at byte"):
            fast_array(file["a"])


@pytest.mark.parametrize("options", [{}, *({"chunks": (1000,), **each} for each in FILTERS)], ids=str)
def test_a_file_that_loses_its_end_is_an_error(options: dict[str, Any], tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 30, 10_000)
    path = _write(tmp_path / "a.h5", values, **options)
    with h5py.File(path) as file:
        array = fast_array(file["a"])
        assert array[5:9].tolist() == values[5:9].tolist()
        os.truncate(path, path.stat().st_size // 2)
        for _ in range(2):  # nor is what was kept of the last chunk taken for data
            with pytest.raises((EOFError, OSError)):
                array[9_990:]


@pytest.mark.parametrize("values", [99, 101], ids=["less", "more"])
@pytest.mark.parametrize("compression", ["gzip", None])
def test_a_chunk_of_another_length_is_an_error(compression: str | None, values: int, tmp_path: Path) -> None:
    filters = {"shuffle": True} if compression is None else {"compression": compression}
    wrong = np.arange(values, dtype="<i4").tobytes()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", data=np.arange(300, dtype="<i4"), chunks=(100,), **filters)
        dataset.id.write_direct_chunk((100,), zlib.compress(wrong) if compression else wrong)
    with h5py.File(tmp_path / "a.h5") as file:
        array = fast_array(file["a"])
        for start, stop in ((0, 300), (120, 130)):
            with pytest.raises(OSError, match=rf"400.*{4 * values}"):
                array[start:stop]
        assert array[0:100].tolist() == list(range(100))


def test_what_does_not_decode_here_is_asked_of_hdf5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path / "a.h5", np.arange(300), chunks=(100,), compression="gzip")

    def refuse(*args: Any) -> bytes:
        raise h5filters.inflater.error

    with h5py.File(path) as file:
        array = fast_array(file["a"])
        monkeypatch.setattr(h5filters.inflater, "decompress", refuse)
        assert array[50:250].tolist() == list(range(50, 250))
