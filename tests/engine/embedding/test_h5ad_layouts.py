"""An .h5ad of any age becomes an .h5ad with vectors: those of the .zarr, beside all that was there."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import lexicell
from lexicell.embedding import pipeline
from lexicell.errors import CorruptDataError, InputError

CELLS = 9
QUALITY = ["lexicell_n_genes", "lexicell_coverage", "lexicell_n_tied"]


@pytest.fixture
def counts(bundled: lexicell.Lexicon) -> anndata.AnnData:
    """9 cells x 40 described genes, with a little of everything."""
    symbols = [name for name in bundled.genes.column("symbol").to_pylist() if name][:40]
    adata = anndata.AnnData(
        sp.csr_matrix(np.random.default_rng(0).poisson(2, (CELLS, 40)).astype(np.float32)),
        obs=pd.DataFrame(
            {"kind": pd.Categorical(["a", "b", "c"] * 3, ordered=True), "age": np.arange(CELLS) / 2,
             "note": [f"note {i}" for i in range(CELLS)]},
            index=[f"c{i}" for i in range(CELLS)],
        ),
        var=pd.DataFrame({"family": pd.Categorical(["x", "y"] * 20)}, index=symbols),
    )  # fmt: skip
    adata.obsm["X_pca"] = np.arange(CELLS * 3, dtype=np.float32).reshape(CELLS, 3)
    adata.uns["method"] = "umap"
    return adata


def records(frame: pd.DataFrame, *, vlen: bool) -> np.ndarray:
    """A table as anndata before 0.7 stored it."""
    columns = {"index": frame.index.to_numpy(), **{name: frame[name].to_numpy() for name in frame}}
    text: Any = h5py.string_dtype() if vlen else "S24"
    kinds = [(name, text if of.dtype.kind == "O" else of.dtype) for name, of in columns.items()]
    table = np.empty(len(frame), kinds)
    for name, of in columns.items():
        table[name] = of if of.dtype.kind != "O" or vlen else [str(value).encode() for value in of]
    return table


def before_0_7(counts: anndata.AnnData, path: Path, *, vlen: bool = False, full: bool = True) -> None:
    """obs, var and obsm as records, categories in uns, .raw as "raw.X"."""
    obs = counts.obs.assign(kind=counts.obs["kind"].cat.codes) if full else counts.obs[[]]
    var = counts.var.assign(family=counts.var["family"].cat.codes) if full else counts.var[[]]
    if vlen and full:
        obs["note"] = "ü" + obs["note"]  # anndata reads no such text of fixed length
    with h5py.File(path, "w") as file:
        file["obs"], file["var"] = records(obs, vlen=vlen), records(var, vlen=vlen)
        if not full:
            file["X"] = counts.X.toarray()
            return
        for name in ("X", "raw.X"):
            group = file.create_group(name)
            group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", counts.shape
            for part in ("data", "indices", "indptr"):
                group[part] = getattr(counts.X, part)
        file["raw.var"] = records(var, vlen=vlen)
        file["uns/kind_categories"] = np.array([b"a", b"b", b"c"])
        file["uns/family_categories"] = np.array([b"x", b"y"])
        file["uns/method"] = "umap"
        file["obsm"] = np.array([(row,) for row in counts.obsm["X_pca"]], [("X_pca", "f4", (3,))])


def of_0_7(counts: anndata.AnnData, path: Path, *, raw: str = "raw/") -> None:
    """dataframe 0.1.0: codes in the table, categories in ``__categories``."""
    counts.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        for table, name in (("obs", "kind"), ("var", "family")):
            frame = getattr(counts, table)
            group = file[table]
            group.attrs["encoding-version"] = "0.1.0"
            del group[name]
            group[name] = frame[name].cat.codes.to_numpy()
            categories = group.create_dataset(
                f"__categories/{name}", data=frame[name].cat.categories.to_list(), dtype=h5py.string_dtype()
            )
            categories.attrs["ordered"] = frame[name].cat.ordered
            group[name].attrs["categories"] = categories.ref
        for key in list(file.attrs):
            del file.attrs[key]
        for part in ("X", "var"):
            file.copy(part, f"{raw}{part}", expand_refs=True)


def with_user_block(counts: anndata.AnnData, path: Path) -> None:
    counts.write_h5ad(path)
    content = path.read_bytes()
    with h5py.File(path, "w", userblock_size=1024) as file, h5py.File.in_memory(content) as old:
        for name in old:
            old.copy(name, file)
        file.attrs.update(old.attrs)


def bad_codes(counts: anndata.AnnData, path: Path) -> None:
    counts.obs["kind2"] = counts.obs["kind"].astype(str)  # what can be compared stays
    counts.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["obs/kind/codes"][4] = 7
        del counts.obs["kind"]


def unknown_encoding(counts: anndata.AnnData, path: Path) -> None:
    counts.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["obs"].create_group("new").attrs.update(
            {"encoding-type": "of-tomorrow", "encoding-version": "9"}
        )
        file["obs"].attrs["column-order"] = [*file["obs"].attrs["column-order"], "new"]


def embedded_before(counts: anndata.AnnData, path: Path) -> None:
    for name in reversed(QUALITY):
        counts.obs[name] = ["old"] * CELLS
    counts.obsm["X_lexicell"] = np.ones((CELLS, 2))
    counts.write_h5ad(path)


def without_obsm_and_uns(counts: anndata.AnnData, path: Path) -> None:
    del counts.obsm["X_pca"]
    counts.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        for part in ("obsm", "uns", "layers", "varm"):
            del file[part]


def read_only(counts: anndata.AnnData, path: Path) -> None:
    counts.write_h5ad(path)
    path.chmod(0o444)


LAYOUTS: dict[str, Callable[[anndata.AnnData, Path], None]] = {
    "before 0.7, names only": lambda counts, path: before_0_7(counts, path, full=False),
    "before 0.7": before_0_7,
    "before 0.7, text of any length": lambda counts, path: before_0_7(counts, path, vlen=True),
    "0.7": of_0_7,
    "0.7, raw.X": lambda counts, path: of_0_7(counts, path, raw="raw."),
    "now": lambda counts, path: counts.write_h5ad(path),
    "compressed": lambda counts, path: counts.write_h5ad(path, compression="gzip"),
    "user block": with_user_block,
    "embedded before": embedded_before,
    "no obsm, no uns": without_obsm_and_uns,
    "read-only": read_only,
}
#: anndata itself does not open these; what it could not read stays as it was.
UNREADABLE = {"a code beyond the categories": bad_codes, "a column of an unknown kind": unknown_encoding}


def opened(path: Path) -> anndata.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata's advice to write the file again
        return anndata.read_h5ad(path)


def vectors(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["obsm/X_lexicell"][()]


@pytest.mark.parametrize("layout", LAYOUTS | UNREADABLE)
def test_vectors_are_those_of_the_zarr(layout: str, counts: anndata.AnnData, tmp_path: Path) -> None:
    path, out = tmp_path / "in.h5ad", tmp_path / "out.h5ad"
    (LAYOUTS | UNREADABLE)[layout](counts, path)
    before = path.read_bytes()
    lexicell.embed(path, out)
    lexicell.embed(path, tmp_path / "out.zarr")
    expected = lexicell.open_embedding(tmp_path / "out.zarr")
    np.testing.assert_array_equal(vectors(out), expected.obsm["X_lexicell"])
    assert path.read_bytes() == before
    with h5py.File(out) as file:
        for name in QUALITY:
            np.testing.assert_array_equal(file["obs"][name], expected.obs[name].to_numpy())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_anndata_opens_the_copy_and_finds_all_that_was_there(
    layout: str, counts: anndata.AnnData, tmp_path: Path
) -> None:
    path, out = tmp_path / "in.h5ad", tmp_path / "out.h5ad"
    LAYOUTS[layout](counts, path)
    lexicell.embed(path, out)
    original, copy = opened(path), opened(out)
    others = [name for name in original.obs if name not in QUALITY]
    pd.testing.assert_frame_equal(copy.obs[others], original.obs[others])
    pd.testing.assert_frame_equal(copy.var, original.var)
    assert sorted(copy.obs) == sorted([*others, *QUALITY])
    assert [copy.obs[name].dtype for name in QUALITY] == ["int32", "float32", "int32"]
    for name in original.obsm:
        if name != "X_lexicell":
            np.testing.assert_array_equal(copy.obsm[name], original.obsm[name])
    assert copy.uns["lexicell"]["lexicon"]
    assert {key: copy.uns[key] for key in original.uns if key != "lexicell"} == original.uns
    assert (original.raw is None) == (copy.raw is None)
    if copy.raw is not None:
        assert (copy.raw.X != original.raw.X).nnz == 0
    lexicell.embed(out, tmp_path / "again.h5ad")
    np.testing.assert_array_equal(vectors(tmp_path / "again.h5ad"), vectors(out))


@pytest.mark.parametrize("layout", UNREADABLE)
def test_columns_that_nobody_can_read_are_copied_as_they_are(
    layout: str, counts: anndata.AnnData, tmp_path: Path
) -> None:
    path, out = tmp_path / "in.h5ad", tmp_path / "out.h5ad"
    UNREADABLE[layout](counts, path)
    lexicell.embed(path, out)
    with h5py.File(path) as old, h5py.File(out) as new:
        assert list(new["obs"].attrs["column-order"]) == [*old["obs"].attrs["column-order"], *QUALITY]
        for name in old["obs"]:
            assert dict(new["obs"][name].attrs) == dict(old["obs"][name].attrs)
            parts = old["obs"][name] if isinstance(old["obs"][name], h5py.Group) else {"": None}
            for part in parts:
                place = f"obs/{name}/{part}".rstrip("/")
                np.testing.assert_array_equal(new[place], old[place])


def spoil_order(file: h5py.File) -> None:
    del file["obs"].attrs["column-order"]


def uns_as_dataset(file: h5py.File) -> None:
    del file["uns"]
    file["uns"] = 3


def obsm_as_number(file: h5py.File) -> None:
    del file["obsm"]
    file["obsm"] = 3
    file["uns2"] = 1
    del file["uns"]
    file["uns"] = "text"


@pytest.mark.parametrize("spoil", [spoil_order, uns_as_dataset, obsm_as_number])
def test_a_copy_that_can_take_nothing_is_told_before_the_first_cell(
    spoil: Callable[[h5py.File], None],
    counts: anndata.AnnData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "in.h5ad"
    counts.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        spoil(file)
    monkeypatch.setattr(pipeline, "embed_rows", lambda *_, **__: pytest.fail("a cell was embedded"))
    with pytest.raises((InputError, CorruptDataError), match=r"in\.h5ad"):
        lexicell.embed(path, tmp_path / "out.h5ad")
    assert [found.name for found in tmp_path.iterdir()] == ["in.h5ad"]
