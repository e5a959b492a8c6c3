"""Nothing outside of an HDF5 file is read unasked, and no size is believed that its bytes can't hold."""

from __future__ import annotations

import os
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tests.engine.counts.conftest import as_anndata, assemble, counts, same, write_tenx

from lexicell.containers.h5group import OwnGroup
from lexicell.counts import fingerprint, open_counts
from lexicell.counts.h5filters import Filters
from lexicell.counts.opening import is_mudata
from lexicell.errors import CorruptDataError, InputError

CELLS = counts()
SECRET = np.arange(1, 62, dtype="f8")


@pytest.fixture
def h5ad(tmp_path: Path) -> Path:
    """Cells with a column ``n``."""
    adata = as_anndata(CELLS)
    adata.obs["n"] = SECRET
    adata.write_h5ad(tmp_path / "cells.h5ad", compression="gzip")
    return tmp_path / "cells.h5ad"


@pytest.fixture
def move_out(h5ad: Path, tmp_path: Path) -> Callable[..., Path]:
    """Move a dataset into another file, and leave what leads there; the path of the other file."""

    def move(name: str, how: str) -> Path:
        other = tmp_path / f"other.{how}"
        with h5py.File(h5ad, "r+") as file:
            values, attributes = file[name][()], dict(file[name].attrs)
            if how != "raw":
                with h5py.File(other, "w") as outside:
                    file.copy(file[name], outside, "values")
            del file[name]
            if how == "link":
                file[name] = h5py.ExternalLink(other.name, "values")
                return other
            if how == "raw":
                values.tofile(other)
                outside_bytes = [(str(other), 0, values.nbytes)]
                made = file.create_dataset(name, values.shape, values.dtype, external=outside_bytes)
            else:
                layout = h5py.VirtualLayout(values.shape, values.dtype)
                layout[:] = h5py.VirtualSource(other.name, "values", values.shape)
                made = file.create_virtual_dataset(name, layout)
            made.attrs.update(attributes)
        return other

    return move


@pytest.mark.parametrize("how", ["link", "raw", "virtual"])
@pytest.mark.parametrize("name", ["X/data", "X/indptr", "obs/n"])
def test_what_lies_in_another_file_is_read_only_when_asked_for(
    h5ad: Path, move_out: Callable[..., Path], name: str, how: str
) -> None:
    other = move_out(name, how)
    with pytest.raises(InputError) as refused, open_counts(h5ad) as source:
        source.read_obs(["n"], 0, 9)
    for part in (str(h5ad), f"/{name} ", other.name, "--follow-links"):
        assert part in str(refused.value)
    with open_counts(h5ad, follow_links=True) as source:
        same(assemble(source), CELLS)
        assert source.read_obs(["n"], 0, 61)["n"].tolist() == SECRET.tolist()


@pytest.mark.parametrize("name", ["obs", "var", "X", "uns", "var/_index"])
def test_a_linked_group_or_index_is_refused_and_followed(h5ad: Path, tmp_path: Path, name: str) -> None:
    with h5py.File(h5ad, "r+") as file, h5py.File(tmp_path / "other.h5", "w") as other:
        file.copy(file[name], other, "part")
        del file[name]
        file[name] = h5py.ExternalLink("other.h5", "/part")
    with pytest.raises(InputError, match=rf"/{name} .*other\.h5.*--follow-links"):
        open_counts(h5ad)
    with open_counts(h5ad, follow_links=True) as source:
        same(assemble(source), CELLS)
        assert source.var.index[0] == "gene0"


def test_obs_as_a_whole_and_old_categories_lead_nowhere_else(h5ad: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"TOPSECRET-")
    with h5py.File(h5ad, "r+") as file:
        obs = file["obs"]
        del obs["type"]
        outside = [(str(tmp_path / "secret"), 0, 10)]
        obs.create_dataset("__categories/type", (2,), "S5", external=outside)
        obs["type"] = np.zeros(61, "i1")
        obs["type"].attrs["categories"] = obs["__categories/type"].ref
        file.move("obs/__categories/type", "hidden")
        obs.attrs["encoding-version"] = "0.1.0"
    with pytest.raises(InputError, match="--follow-links"), open_counts(h5ad) as source:
        assert "TOPSE" in source.obs["type"].tolist()


def test_soft_links_within_the_file_are_followed(h5ad: Path) -> None:
    with h5py.File(h5ad, "r+") as file:
        for name in ("X", "obs/n", "var"):
            file.move(name, f"elsewhere/{name}")
            file[name] = h5py.SoftLink(f"/elsewhere/./{name}")
    with open_counts(h5ad) as source:
        same(assemble(source), CELLS)
        assert source.obs["n"].tolist() == SECRET.tolist()


def test_a_soft_link_can_not_hide_another_file(h5ad: Path, move_out: Callable[..., Path]) -> None:
    move_out("obs/n", "link")
    with h5py.File(h5ad, "r+") as file:
        file.move("obs/n", "hidden")
        file["obs/n"] = h5py.SoftLink("/hidden")
    with open_counts(h5ad) as source:
        with pytest.raises(InputError, match="/hidden"):
            source.read_obs(["n"], 0, 9)
        with pytest.raises(InputError, match="/hidden"):
            _ = source.obs


@pytest.mark.parametrize("target", ["/X", "/layers/b", "/nowhere", "X/data"])
def test_soft_links_in_a_circle_or_to_nowhere_are_a_typed_error(h5ad: Path, target: str) -> None:
    with h5py.File(h5ad, "r+") as file:
        del file["X"]
        file["X"] = h5py.SoftLink(target)
        file["layers/b"] = h5py.SoftLink("/X")
    with pytest.raises((InputError, CorruptDataError), match=r"cells\.h5ad"):
        open_counts(h5ad)


def test_looking_for_a_mudata_opens_no_other_file(h5ad: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    with h5py.File(h5ad, "r+") as file:
        file["mod"] = h5py.ExternalLink(str(tmp_path / "pipe"), "/")
    assert is_mudata(h5ad)
    assert not is_mudata(tmp_path / "pipe")


@pytest.mark.parametrize("how", ["link", "raw", "virtual"])
def test_the_fingerprint_covers_files_that_are_followed(
    h5ad: Path, move_out: Callable[..., Path], how: str
) -> None:
    other = move_out("X/data", how)
    before, alone = fingerprint(h5ad, follow_links=True), fingerprint(h5ad)
    assert (before.files, alone.files) == (2, 1)
    os.utime(other, ns=(1, 1))
    assert fingerprint(h5ad, follow_links=True).state != before.state
    assert fingerprint(h5ad) == alone


def _replace(path: Path, name: str, **made: Any) -> None:
    with h5py.File(path, "r+") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, **made).attrs.update(attributes)


@pytest.mark.parametrize(
    ("name", "shape", "chunk"),
    [
        ("var/_index", (300_000_000,), 1000),
        ("obs/_index", (1 << 38,), 1000),
        ("X/data", (1 << 36,), 1),
        ("X/indptr", (1 << 33,), 1 << 20),
        ("obs/type/categories", (1 << 31,), 1000),
    ],
)
def test_more_values_than_the_file_can_hold_are_damage(
    h5ad: Path, name: str, shape: tuple[int, ...], chunk: int
) -> None:
    text = name.endswith(("_index", "categories"))
    _replace(h5ad, name, shape=shape, chunks=(chunk,), dtype=h5py.string_dtype() if text else "i8")
    with (
        pytest.raises(CorruptDataError, match=rf"/{name} declares [0-9,]+ bytes"),
        open_counts(h5ad) as source,
    ):
        source.read_obs(["type"], 0, 1)


def test_a_chunk_that_is_far_larger_than_the_matrix_is_damage(h5ad: Path) -> None:
    side = 1 << 14
    matrix = {"shape": (61, 37), "maxshape": (None, None), "chunks": (side, side), "dtype": "f4"}
    with h5py.File(h5ad, "r+") as file:
        del file["X"]
        file.create_dataset("X", compression="gzip", **matrix)
    with pytest.raises(CorruptDataError, match=r"/X.*1,073,741,824"):
        open_counts(h5ad)


@pytest.mark.parametrize("name", ["X/data", "obs/n"])
def test_a_chunk_stores_no_more_than_it_declares(h5ad: Path, name: str) -> None:
    bomb = os.urandom(2 << 20)  # whatever it inflates to
    with h5py.File(h5ad, "r+") as file:
        shape, attributes = file[name].shape, dict(file[name].attrs)
        del file[name]
        made = file.create_dataset(name, shape, "f4", chunks=shape, compression="gzip")
        made.attrs.update(attributes)
        made.id.write_direct_chunk((0,), bomb)
    with (
        pytest.raises(CorruptDataError, match=f"/{name}"),
        open_counts(h5ad) as source,
    ):
        source.read_obs(["n"], 0, 1)


@pytest.mark.parametrize("name", ["var/_index", "obs/_index", "obs/type/categories"])
def test_a_text_is_no_longer_than_its_file(h5ad: Path, name: str) -> None:
    with h5py.File(h5ad, "r+") as file:
        if isinstance(file[name], h5py.Group):  # newer pandas has texts that may be missing
            name += "/values"
        texts, attributes = file[name][()], dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, data=texts, dtype=h5py.string_dtype()).attrs.update(attributes)
        place = file[name].id.get_offset()
    data = bytearray(h5ad.read_bytes())
    data[place + 3] |= 0x80  # of the first length
    h5ad.write_bytes(data)
    with (
        pytest.raises(CorruptDataError, match=rf"/{name}.*2,147,483,6\d\d"),
        open_counts(h5ad) as source,
    ):
        source.read_obs(["type"], 0, 1)


def test_inflating_stops_at_the_declared_size() -> None:
    raw = zlib.compress(np.random.default_rng(0).bytes(1 << 19) + bytes(1 << 25), 1)
    filters = Filters.of([(1, (9,))], 4)
    assert filters is not None
    tracemalloc.start()
    with pytest.raises(OSError, match="4096 bytes"):
        filters.decode(np.frombuffer(raw, np.uint8), 0, np.empty(4096, np.uint8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20  # of 34 million bytes


def test_fill_values_of_modest_size_still_read(h5ad: Path) -> None:
    _replace(h5ad, "obs/n", shape=(61,), chunks=(16,), dtype="f8", fillvalue=3.0, compression="gzip")
    with open_counts(h5ad) as source:
        assert source.read_obs(["n"], 0, 61)["n"].tolist() == [3.0] * 61


@pytest.mark.parametrize("name", ["cells.h5ad", "matrix.mtx", "matrix.mtx.gz", "cells.zarr", "x.unknown"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="neither a file nor a folder"):
        open_counts(tmp_path / name)
    with pytest.raises(InputError):
        open_counts(tmp_path)


@pytest.mark.parametrize("element", ["X", "obs", "var", "/"])
@pytest.mark.parametrize("name", ["encoding-type", "encoding-version"])
def test_an_encoding_of_any_kind_is_a_typed_error_or_none(h5ad: Path, element: str, name: str) -> None:
    for value in (np.array([1, 2]), h5py.Empty("f4"), b"\xff\xfe\x80", 0.5, "frobnicate"):
        with h5py.File(h5ad, "r+") as file:
            file[element].attrs[name] = value
        try:
            with open_counts(h5ad) as source:
                same(assemble(source), CELLS)
                source.read_obs(["type"], 0, 1)
        except (InputError, CorruptDataError) as error:
            assert str(h5ad) in str(error)  # noqa: PT017 -- either is fine


@pytest.mark.parametrize("name", ["features/genome", "features/id", "barcodes", "data"])
def test_a_10x_file_reads_no_other_file_either(tmp_path: Path, name: str) -> None:
    path, other = write_tenx(CELLS, tmp_path / "cells.h5", 3), tmp_path / "secret.h5"
    with h5py.File(path, "r+") as file, h5py.File(other, "w") as moved:
        moved["there"] = file["matrix"][name][()]
        del file["matrix"][name]
        file["matrix"][name] = h5py.ExternalLink(other.name, "there")
    with pytest.raises(InputError, match="another file"):
        open_counts(path)
    with open_counts(path, follow_links=True) as source:
        same(assemble(source), CELLS)


def test_a_member_is_looked_at_whichever_way_it_is_asked_for(h5ad: Path) -> None:
    with h5py.File(h5ad, "r+") as file:
        file["uns/link"] = h5py.ExternalLink("elsewhere.h5", "there")
    with h5py.File(h5ad) as file:
        group = OwnGroup(file["uns"].id, str(h5ad), follow_links=False)
        ways: list[Callable[[], Any]] = [
            lambda: group["link"], lambda: group.get("link"), lambda: list(group.values()),
            lambda: list(group.items()), lambda: "link" in group, group.plain,
        ]  # fmt: skip
        for way in ways:
            with pytest.raises(InputError, match="another file"):
                way()
        assert group.get("nothing") is None
        assert group.get("nothing", 3) == 3
