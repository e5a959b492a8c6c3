"""No length that a chunk states is believed: what is read is what was written, or an error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from lexicell.containers.bounded import bounded
from lexicell.counts.choose_reader import choose_reader
from lexicell.counts.zarr_reader import Encoding

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(0.8, 3000).astype("u2")
COUNTS[::50] = RNG.integers(0, 60_000, 60)
NOISE = RNG.integers(0, 1 << 16, 3000).astype("u2")
TEXTS = np.array([f"ENSG{i:08d}" for i in range(300)], object)
#: Texts as zarr writes them.
V2_TEXT = {"zarr_format": 2, "dtype": "string", "filters": [numcodecs.VLenUTF8()]}
#: All of a header but how values are shuffled and how wide they are: Blosc alone knows.
BLOSC = (0, 1, *range(4, 16))
#: Name: values, options, and the bytes that state lengths.
LAYOUTS: dict[str, tuple[np.ndarray, dict[str, Any], Iterable[int]]] = {
    **{
        f"v2 blosc {name} {shuffle}": (
            COUNTS,
            {"zarr_format": 2, "compressors": numcodecs.Blosc(name, shuffle=shuffle)},
            BLOSC,
        )
        for name, shuffle in (
            ("lz4", 0),
            ("lz4", 1),
            ("lz4", 2),
            ("lz4hc", 1),
            ("blosclz", 1),
            ("zlib", 0),
            ("zstd", 1),
        )
    },
    **{
        f"v2 {codec.codec_id}": (COUNTS, {"zarr_format": 2, "compressors": codec}, lengths)
        for codec, lengths in (
            (numcodecs.Zstd(), range(9)),
            (numcodecs.GZip(), range(10)),
            (numcodecs.Zlib(), range(2)),
            (numcodecs.BZ2(), range(14)),
            (numcodecs.LZMA(), range(12)),
            (numcodecs.LZ4(), range(4)),
        )
    },
    "v2 blosc copied": (NOISE, {"zarr_format": 2, "compressors": numcodecs.Blosc()}, BLOSC),
    "v2 delta": (
        COUNTS,
        {"zarr_format": 2, "compressors": numcodecs.Blosc(), "filters": numcodecs.Delta("u2")},
        BLOSC,
    ),
    "v3 blosc": (COUNTS, {"compressors": BloscCodec(cname="lz4")}, BLOSC),
    "v3 zstd": (COUNTS, {"compressors": ZstdCodec()}, range(9)),
    "v3 gzip": (COUNTS, {"compressors": GzipCodec()}, range(10)),
    "v3 shards": (
        COUNTS,
        {"shards": (3000,), "chunks": (1000,), "compressors": BloscCodec(cname="lz4")},
        BLOSC,
    ),
    "v3 checked": (COUNTS, {"compressors": [BloscCodec(cname="lz4"), Crc32cCodec()]}, range(40)),
    "v3 text": (TEXTS, {"dtype": "string", "compressors": None}, range(4)),
    "v3 text zstd": (TEXTS, {"dtype": "string", "compressors": ZstdCodec()}, range(9)),
    "v2 text": (TEXTS, {**V2_TEXT, "compressors": numcodecs.Blosc("lz4")}, BLOSC),
}


#: Takes the bytes of a chunk and gives "error", "same" or "wrong".
Try = Callable[[bytes], str]


def reader(folder: Path, layout: str, *, own: bool) -> tuple[bytes, Try]:
    """The chunk of a layout, and what happens where others are read in its place."""
    values, options, _ = LAYOUTS[layout]
    given = {"dtype": values.dtype, "chunks": values.shape, **options}
    array = zarr.create_array(folder / "a.zarr", shape=values.shape, **given)
    array[:] = values
    file = next(path for path in sorted((folder / "a.zarr").rglob("*")) if path.name == "0")
    array = bounded(zarr.open_array(folder / "a.zarr", mode="r"))
    encoding = Encoding.of(array)

    def read(raw: bytes) -> Any:
        if own and encoding is not None and not encoding.sharded:
            out = np.full(len(values), 7, values.dtype)
            encoding.decode(raw, out)
            return out
        file.write_bytes(raw)
        return (choose_reader(array) if own and values is not TEXTS else array)[0 : len(values)]

    def attempt(raw: bytes) -> str:
        try:
            found = read(raw)
        except Exception:
            return "error"
        return "same" if np.array_equal(np.asarray(found, values.dtype), values) else "wrong"

    return file.read_bytes(), attempt


@pytest.fixture(params=["own", "zarr"])
def own(request: pytest.FixtureRequest) -> bool:
    """Whether lexicell decodes, or zarr-python, which takes longer and has the same bounds."""
    return bool(request.param == "own")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_chunk_that_lost_its_last_bytes_is_an_error(layout: str, own: bool, tmp_path: Path) -> None:
    raw, attempt = reader(tmp_path, layout, own=own)
    assert attempt(raw) == "same"
    for lost in range(1, 65) if own else (1, 4, 9, 64):
        assert attempt(raw[:-lost]) == "error", f"{lost} bytes lost"
    for kept in range(1, 40) if own else (4, 16, 20):
        assert attempt(raw[:kept]) == "error", f"{kept} bytes kept"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_length_that_is_not_that_of_the_chunk_is_an_error_or_does_not_matter(
    layout: str, own: bool, tmp_path: Path
) -> None:
    raw, attempt = reader(tmp_path, layout, own=own)
    lengths = LAYOUTS[layout][2]
    for place in range(40) if own else lengths:
        for change in (*(1 << bit for bit in range(8)), 255) if own else (1, 128):
            edited = bytearray(raw)
            edited[place] ^= change
            assert attempt(bytes(edited)) != "wrong" or place not in lengths, f"byte {place} ^ {change}"


def test_a_header_without_a_chunk_does_not_end_the_process(tmp_path: Path) -> None:
    """What c-blosc reads past the end differs from run to run, so much of it is asked for."""
    n = 1 << 26
    options = {"zarr_format": 2, "compressors": numcodecs.Blosc("lz4", shuffle=0)}
    zarr.create_array(tmp_path / "a.zarr", shape=(n,), chunks=(n,), dtype="f4", **options)
    sizes = np.array([4 * n, 4 * n, 4 * n + 16], "<u4").tobytes()
    (tmp_path / "a.zarr" / "0").write_bytes(bytes([2, 1, 2, 4]) + sizes + b"1234")
    code = (
        "import sys, zarr; from lexicell.containers.bounded import bounded\n"
        "from lexicell.counts.choose_reader import choose_reader\n"
        "array = bounded(zarr.open_array(sys.argv[1], mode='r'))\n"
        "for one in (choose_reader(array), array):\n"
        "    try: one[0:9]\n"
        "    except ValueError as error: print('refused')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.zarr")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.split()) == (0, ["refused", "refused"]), run.stderr


@pytest.mark.parametrize("name", ["pickle", "json2", "categorize"])
def test_codecs_that_may_do_anything_are_not_called(name: str, tmp_path: Path) -> None:
    more = {"labels": ["a", "b"], "dtype": "O"} if name == "categorize" else {}
    codec = numcodecs.get_codec({"id": name, **more})
    array = zarr.create_array(tmp_path / "a.zarr", shape=(3,), dtype="i4", zarr_format=2, compressors=codec)
    with pytest.raises(ValueError, match=f"'{name}'"):
        bounded(array)


def test_bounds_hold_in_every_group_below(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "g.zarr")
    group.create_array("a/b/c", data=COUNTS, compressors=GzipCodec())
    file = tmp_path / "g.zarr" / "a" / "b" / "c" / "c" / "0"
    file.write_bytes(numcodecs.GZip().encode(np.zeros(10_000, "u2")))
    for found in (bounded(group)["a"]["b"]["c"], bounded(group)["a/b/c"], dict(bounded(group)["a/b"])["c"]):
        with pytest.raises(ValueError, match="decodes to more"):
            found[:]
