"""What the metadata of a Zarr declare is compared with its store before memory is asked for."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numcodecs
import numpy as np
import pytest
from tests.engine.counts.conftest import as_anndata, counts, write_zarr

from lexicell.counts import open_counts
from lexicell.errors import CorruptDataError, InputError

MANY = "9" * 400


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = as_anndata(counts())
    cells.obs["depth"] = np.arange(61.0) + 1
    with anndata.settings.override(auto_shard_zarr_v3=False):
        path = write_zarr(cells, tmp_path_factory.mktemp("sound") / "c.zarr", 3)
    (path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {
        "encoding-type": "anndata", "encoding-version": "0.1.0"}}))  # fmt: skip
    return path


def edit(path: Path, part: str, **changes: Any) -> None:
    """Change fields of the metadata; ``chunk`` is the chunk's side, and what has a dash an attribute."""
    file = path / part / "zarr.json"
    content = json.loads(file.read_text())
    for name, value in changes.items():
        if name == "chunk":
            content["chunk_grid"]["configuration"]["chunk_shape"] = value
        elif name in content:
            content[name] = value
        else:
            content["attributes"][name] = value
    file.write_text(json.dumps(content).replace(f'"{MANY}"', MANY))


def index(path: Path, part: str) -> str:
    """Where the names lie, which depends on pandas."""
    return f"{part}/_index/values" if (path / part / "_index" / "values").exists() else f"{part}/_index"


def zstd_zeros(n: int) -> bytes:
    """A zstd frame of `n` zeros in blocks of 128 KiB, each of which is 4 bytes."""
    blocks = [(1 << 17) << 3 | 2] * (n >> 17)
    blocks[-1] |= 1
    body = b"".join(block.to_bytes(3, "little") + b"\0" for block in blocks)
    return b"\x28\xb5\x2f\xfd\xa0" + n.to_bytes(4, "little") + body


def replace(path: Path, part: str, change: Callable[[bytes], bytes]) -> None:
    chunk = path / part / "c" / "0"
    chunk.write_bytes(numcodecs.Zstd().encode(change(bytes(numcodecs.Zstd().decode(chunk.read_bytes())))))


def names(path: Path, part: str, n: int) -> None:
    """Let all say that there are `n` cells or genes."""
    edit(path, index(path, part), shape=[n])
    edit(path, "X", shape=[n, 37] if part == "obs" else [61, n])
    if part == "obs":
        edit(path, "X/indptr", shape=[n + 1])


def long_row(path: Path) -> None:
    for part in ("data", "indices"):
        edit(path, f"X/{part}", shape=[1 << 33])
    ends = np.r_[np.zeros(61, "i8"), 1 << 33]
    edit(path, "X/indptr", data_type="int64", chunk=[62])
    (path / "X" / "indptr" / "c" / "0").write_bytes(numcodecs.Zstd().encode(ends))


#: What is wrong: how it comes about, and a word of the error.
CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "2**62 cells": (lambda path: names(path, "obs", 1 << 62), "cell names.*lacks chunks"),
    "300 million cells": (lambda path: names(path, "obs", 300_000_000), "cell names.*lacks chunks"),
    "2**62 cells of a dense X": (lambda path: edit(path, "X", shape=[1 << 62, 37]), "where obs has 61"),
    "2**40 genes": (lambda path: names(path, "var", 1 << 40), "var/_index.* entries.*lacks chunks"),
    "a chunk of 2**28 names": (
        lambda path: edit(path, index(path, "var"), shape=[1 << 28], chunk=[1 << 28]),
        "no chunk of 4294967296",
    ),
    "2**31 categories": (lambda path: edit(path, "obs/type/categories", shape=[1 << 31]), "lacks chunks"),
    "2**40 offsets": (lambda path: edit(path, "X/indptr", shape=[1 << 40]), "not 62 integers"),
    "a row of 2**33 values": (long_row, "a row of 8589934592 values"),
    "a chunk of 2**40 values": (lambda path: edit(path, "X/data", chunk=[1 << 40]), "are no chunk of"),
    "a side of 400 digits": (lambda path: edit(path, "X/data", shape=[MANY]), "X cannot .*2\\*\\*63"),
    "a chunk of 400 digits": (lambda path: edit(path, "obs/depth", chunk=[MANY]), "depth.*2\\*\\*63"),
    "a shape of 400 digits": (lambda path: edit(path, "X", shape=[MANY, 37]), "X has 9999"),
    "counts that expand": (
        lambda path: (path / "X/data/c/0").write_bytes(zstd_zeros(9 << 28)),
        "rows 0:61 of X",
    ),
    "names that expand": (
        lambda path: (path / index(path, "obs") / "c/0").write_bytes(zstd_zeros(9 << 28)),
        "the cell names",
    ),
    "2**31 texts more": (
        lambda path: replace(path, index(path, "obs"), lambda raw: raw[:3] + b"\x80" + raw[4:]),
        "a chunk of 61 texts states 2147483709",
    ),
    "a text of 2**31 bytes": (
        lambda path: replace(path, index(path, "obs"), lambda raw: raw[:7] + b"\x80" + raw[8:]),
        "the cell names",
    ),
    "nested JSON": (lambda path: (path / "X/zarr.json").write_text("[" * 100_000), "contents"),
    "a link to itself": (
        lambda path: (shutil.rmtree(path / "X/data/c"), (path / "X/data/c").symlink_to("c")),
        "X.*symbolic links",
    ),
    "a name of 5,000 letters": (lambda path: edit(path, "obs", _index="n" * 5_000), "obs.*too long"),
    "a pipe": (
        lambda path: ((path / "X/data/c/0").unlink(), os.mkfifo(path / "X/data/c/0")),
        "rows 0:61 of X",
    ),
    "an encoding that is a mapping": (
        lambda path: edit(path, "obs/type", **{"encoding-type": {"a": 1}}),
        "'type'",
    ),
    "columns that are a number": (lambda path: edit(path, "obs", **{"column-order": 5}), "obs"),
}


def read(path: Path) -> None:
    with open_counts(path) as source:
        source.read(0, source.n_cells)
        source.read_obs(source.obs_columns, 0, source.n_cells)


@pytest.mark.parametrize("case", CASES)
def test_what_is_declared_and_not_there_is_an_error_that_names_the_file(
    case: str, sound: Path, tmp_path: Path
) -> None:
    change, said = CASES[case]
    path = shutil.copytree(sound, tmp_path / "c.zarr")
    change(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorruptDataError, match=rf"c\.zarr: .*{said}"):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


@pytest.mark.parametrize("encoding", ["frobnicate", [1, 2]])
def test_an_unknown_encoding_is_no_damage(encoding: Any, sound: Path, tmp_path: Path) -> None:
    path = shutil.copytree(sound, tmp_path / "c.zarr")
    edit(path, "X", **{"encoding-type": encoding})
    with pytest.raises(InputError, match=r"c\.zarr: X"):
        open_counts(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = write_zarr(as_anndata(counts()), tmp_path / "c.zarr", 2)
    (path / ".zmetadata").unlink()
    file = path / "X" / "data" / ".zarray"
    for filters, compressor in ((None, {"id": "pickle"}), ([{"id": "pickle"}], None)):
        file.write_text(
            json.dumps(json.loads(file.read_text()) | {"filters": filters, "compressor": compressor})
        )
        with pytest.raises(InputError, match=r"c\.zarr: X"):
            open_counts(path)
