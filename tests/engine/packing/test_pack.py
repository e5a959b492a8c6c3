"""A packed atlas is the concatenation of its inputs, and reads as such everywhere."""

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
import zarr
from scipy import sparse

import lexicell
from lexicell.counts import open_counts
from lexicell.counts import values as values_module
from lexicell.errors import CorruptDataError, CountsError, InputError, OutputExistsError
from lexicell.packing import stream
from lexicell.packing.plan import PackPlan

Pack = Callable[..., list[str]]


def canonical(matrix: Any) -> sparse.csr_matrix:
    found = sparse.csr_matrix(matrix, copy=True)
    found.sum_duplicates()
    found.eliminate_zeros()
    return found


def same_matrix(found: sparse.csr_matrix, expected: sparse.csr_matrix) -> None:
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_x_is_that_of_anndatas_concat_with_the_genes_in_the_order_given(
    parts: list[anndata.AnnData], inputs: list[Path], packed: Pack, tmp_path: Path
) -> None:
    packed(inputs, tmp_path / "out.zarr")
    found = anndata.read_zarr(tmp_path / "out.zarr")
    assert (found.X.data.dtype, found.X.indices.dtype) == (np.uint16, np.uint16)
    expected = anndata.concat(parts, join="outer")
    assert set(found.var_names) == set(expected.var_names)
    same_matrix(found.X, canonical(expected[:, found.var_names].X))
    assert list(found.var_names) == sorted(found.var_names)


def test_obs_is_kept_and_tells_the_input_and_the_row(
    parts: list[anndata.AnnData], inputs: list[Path], packed: Pack, tmp_path: Path
) -> None:
    packed(inputs, tmp_path / "out.zarr")
    found = anndata.read_zarr(tmp_path / "out.zarr").obs
    expected = anndata.concat(parts, join="outer").obs
    assert list(found.index) == list(expected.index)
    assert list(found.columns) == ["bulk_labels", "n_genes", "half", "input", "input_row"]
    assert list(found["bulk_labels"]) == list(expected["bulk_labels"])
    assert found["n_genes"].tolist() == expected["n_genes"].tolist()
    assert found["half"].isna().tolist() == [True] * 70 + [False] * 50
    assert list(found["input"]) == ["one.h5ad"] * 70 + ["two.zarr"] * 50
    assert found["input_row"].tolist() == [*range(70), *range(50)]
    packed(inputs, tmp_path / "few.zarr", obs_columns=["bulk_labels"])
    assert list(anndata.read_zarr(tmp_path / "few.zarr").obs.columns) == ["bulk_labels"]
    with pytest.raises(InputError, match="'nothing'"):
        packed(inputs, tmp_path / "none.zarr", obs_columns=["nothing"])


def test_it_opens_without_a_warning_and_tells_what_it_is_from(
    inputs: list[Path], packed: Pack, tmp_path: Path
) -> None:
    packed(inputs, tmp_path / "out.zarr")
    found = anndata.read_zarr(tmp_path / "out.zarr")
    zarr.open_group(tmp_path / "out.zarr", mode="r")
    uns = found.uns["lexicell_pack"]
    assert list(uns["inputs"]) == ["one.h5ad", "two.zarr"]
    assert list(uns["input_cells"]) == [70, 50]
    assert uns["order"] == {"lexicon": "names"}
    assert uns["stored"]["counts"] == "uint16"


def test_stored_zeros_go_and_counts_of_one_gene_and_cell_are_added_as_concat_reads_them(
    packed: Pack, tmp_path: Path
) -> None:
    genes = pd.DataFrame(index=["CD3D", "MS4A1", "NKG7", "LYZ"])
    with h5py.File(tmp_path / "odd.h5ad", "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        x = file.create_group("X")
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [3, 4]})
        x["data"] = np.array([2, 0, 3, 4, 5, 0], np.float32)
        x["indices"] = np.array([3, 1, 0, 3, 2, 2], np.int32)
        x["indptr"] = np.array([0, 4, 4, 6])
        anndata.io.write_elem(file, "obs", pd.DataFrame(index=["a", "b", "c"]))
        anndata.io.write_elem(file, "var", genes)
    plain = anndata.AnnData(sparse.csr_matrix(np.eye(4, dtype=np.float32)), var=genes.iloc[::-1])
    plain.write_h5ad(tmp_path / "plain.h5ad")
    said = packed([tmp_path / "odd.h5ad", tmp_path / "plain.h5ad"], tmp_path / "out.zarr")
    assert "zeros that inputs store are left out: 1" in said
    assert "counts are added to others of the same cell and gene: 2" in said
    found = anndata.read_zarr(tmp_path / "out.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        odd, plain = (anndata.read_h5ad(tmp_path / name) for name in ("odd.h5ad", "plain.h5ad"))
        expected = anndata.concat([odd, plain], join="outer")[:, found.var_names].X
    same_matrix(found.X, canonical(expected))


def test_empty_cells_at_the_end_and_a_matrix_without_any_count(packed: Pack, tmp_path: Path) -> None:
    matrix = np.zeros((9, 3), np.int32)
    for name, count in (("none", 0), ("one", 7)):
        matrix[2, 1] = count
        var = pd.DataFrame(index=["CD3D", "MS4A1", "NKG7"])
        anndata.AnnData(sparse.csr_matrix(matrix), var=var).write_h5ad(tmp_path / f"{name}.h5ad")
        packed(tmp_path / f"{name}.h5ad", tmp_path / f"{name}.zarr")
        found = anndata.read_zarr(tmp_path / f"{name}.zarr")
        np.testing.assert_array_equal(found[:, ["CD3D", "MS4A1", "NKG7"]].X.toarray(), matrix)
        with open_counts(tmp_path / f"{name}.zarr") as source:
            assert source.n_cells == 9


@pytest.mark.parametrize(("value", "dtype"), [(70_000, "int32"), (0.5, "float32"), (0.1, "float64")])
def test_a_value_that_the_sample_did_not_show_starts_over_with_a_wider_type(
    parts: list[anndata.AnnData],
    packed: Pack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: float,
    dtype: str,
) -> None:
    monkeypatch.setattr(values_module, "SAMPLE_CELLS", 6)
    monkeypatch.setattr("lexicell.counts.concat._LOOK_CELLS", 6)
    matrix = parts[0].X.toarray().astype(np.float64)
    matrix[50, 9] = value
    parts[0].X = sparse.csr_matrix(matrix)
    parts[0].write_h5ad(tmp_path / "wide.h5ad")
    said = packed(tmp_path / "wide.h5ad", tmp_path / "out.zarr", workers=1)
    assert f"a value does not fit uint16: packing starts over with {dtype}" in said
    found = anndata.read_zarr(tmp_path / "out.zarr")
    assert found.X.dtype == dtype
    np.testing.assert_array_equal(found[:, parts[0].var_names].X.toarray(), matrix)
    assert not (tmp_path / "out.zarr.partial").exists()


def test_one_input_of_another_kind_of_layer_is_refused(
    parts: list[anndata.AnnData], packed: Pack, tmp_path: Path
) -> None:
    parts[1].X = sparse.csr_matrix(np.log1p(parts[1].X.toarray()))
    for i, part in enumerate(parts):
        part.write_h5ad(tmp_path / f"{i}.h5ad")
    with pytest.raises(InputError, match=r"0\.h5ad.*1\.h5ad.*log1p"):
        packed([tmp_path / "0.h5ad", tmp_path / "1.h5ad"], tmp_path / "out.zarr")
    assert not list(tmp_path.glob("out.zarr*"))


def test_a_layer_is_packed(parts: list[anndata.AnnData], packed: Pack, tmp_path: Path) -> None:
    parts[0].layers["twice"] = parts[0].X * 2
    parts[0].write_h5ad(tmp_path / "in.h5ad")
    packed(tmp_path / "in.h5ad", tmp_path / "out.zarr", layer="twice")
    assert anndata.read_zarr(tmp_path / "out.zarr").X.sum() == 2 * parts[0].X.sum()


def test_what_is_written_wrong_is_found_before_the_atlas_is_there(
    inputs: list[Path], packed: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    encode = stream.encode_shard

    def wrong(values: Any) -> Any:
        values[len(values) // 2] += 1
        return encode(values)

    monkeypatch.setattr(stream, "encode_shard", wrong)
    with pytest.raises(CorruptDataError, match=r"row \d+ of the packed X"):
        packed(inputs, tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


def test_genes_in_each_others_place_are_found(
    inputs: list[Path], packed: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = PackPlan.place.func  # type: ignore[attr-defined]

    def swapped(plan: PackPlan) -> Any:
        found = place(plan)
        found[[40, 41]] = found[[41, 40]]
        return found

    monkeypatch.setattr(PackPlan, "place", property(swapped))
    with pytest.raises(CorruptDataError, match="not the row"):
        packed(inputs, tmp_path / "out.zarr")


def test_the_bytes_do_not_depend_on_workers_or_blocks(
    inputs: list[Path],
    packed: Pack,
    content: Callable[[Path], dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed(inputs, tmp_path / "one.zarr", workers=1)
    monkeypatch.setattr("lexicell.packing.run.MAX_NNZ", 700)
    packed(inputs, tmp_path / "four.zarr", workers=4)
    assert content(tmp_path / "one.zarr") == content(tmp_path / "four.zarr")


def test_nothing_is_replaced_unasked(inputs: list[Path], packed: Pack, tmp_path: Path) -> None:
    packed(inputs, tmp_path / "out.zarr")
    with pytest.raises(OutputExistsError):
        packed(inputs, tmp_path / "out.zarr")
    packed(inputs[0], tmp_path / "out.zarr", mode="overwrite")
    assert anndata.read_zarr(tmp_path / "out.zarr").n_obs == 70


@pytest.mark.parametrize("bad", [-2.0, np.nan, np.inf])
def test_what_is_no_count_is_named_with_cell_and_gene_and_not_packed(cells, tmp_path, bad):
    first, second = cells[:60].copy(), cells[60:, ::-1].copy()
    second.X = sparse.csr_matrix(second.X)
    at = second.X.indptr[31]
    second.X.data[at] = bad
    gene = second.var_names[second.X.indices[at]]
    for number, part in enumerate((first, second)):
        part.write_h5ad(tmp_path / f"{number}.h5ad")
    with pytest.raises(CountsError, match=rf"'{second.obs_names[31]}'.*'{gene}'"):
        lexicell.pack([tmp_path / "0.h5ad", tmp_path / "1.h5ad"], tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()
