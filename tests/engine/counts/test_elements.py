"""Elements of a stored AnnData are read as anndata reads them, whoever reads them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata.io import read_elem
from tests.engine.counts.test_tables import cells

from lexicell.counts.elements import read_element

KINDS = ["h5ad", "zarr2", "zarr3"]


def table() -> pd.DataFrame:
    """Columns of every kind, and an index with a name."""
    frame = cells().obs.drop(columns="note")
    frame["wide"] = pd.Series([2**40] * len(frame), index=frame.index)
    frame["none"] = pd.Categorical([None] * len(frame), categories=["a"])
    frame["nothing"] = pd.Categorical([None] * len(frame))
    frame["half"] = np.linspace(0, 1, len(frame)).astype(np.float16)
    return frame.rename_axis("cell")


@pytest.fixture(params=KINDS)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An empty group that elements are written to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Zarr v2
        if request.param == "h5ad":
            with h5py.File(tmp_path / "file.h5", "w") as file:
                yield file
        else:
            yield zarr.open_group(tmp_path / "file.zarr", mode="w", zarr_format=int(request.param[-1]))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make anndata's reader impossible to import."""
    monkeypatch.setitem(sys.modules, "anndata.io", None)


@pytest.fixture
def written(root: Any) -> Callable[[Any], Any]:
    """Write an element as anndata does."""

    def write(value: Any) -> Any:
        with anndata.settings.override(allow_write_nullable_strings=True, auto_shard_zarr_v3=False):
            anndata.io.write_elem(root, "element", value)
        return root["element"]

    return write


def check_same(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True, check_index_type="exact")
    assert type(ours.index) is type(theirs.index)
    for name in theirs:
        assert ours[name].dtype == theirs[name].dtype
        assert type(ours[name].array) is type(theirs[name].array)
        assert ours[name].map(type).tolist() == theirs[name].map(type).tolist()


@pytest.mark.parametrize("rows", [61, 1, 0])
@pytest.mark.parametrize("named", [True, False])
def test_a_table_is_read_without_anndata_as_anndata_reads_it(written, request, rows, named):
    frame = table()[:rows] if named else table()[:rows].rename_axis(None)
    element = written(frame)
    theirs = read_elem(element)
    request.getfixturevalue("alone")
    check_same(read_element(element), theirs)


def test_a_table_without_columns_is_read_as_anndata_reads_it(written, request):
    element = written(table()[[]])
    theirs = read_elem(element)
    request.getfixturevalue("alone")
    check_same(read_element(element), theirs)


def test_text_that_lacks_values_is_read_as_anndata_reads_it(written, request):
    element = written(cells().obs[["note"]])
    theirs = read_elem(element)
    request.getfixturevalue("alone")
    check_same(read_element(element), theirs)


@pytest.mark.parametrize("says", ["NaN", "NA"])
def test_what_a_missing_text_is_is_what_anndata_makes_of_it(written, request, says):
    element = written(cells().obs[["note"]])
    element["note"].attrs["na-value"] = says
    theirs = read_elem(element)
    request.getfixturevalue("alone")
    ours = read_element(element)
    assert ours["note"].isna().sum() > 1
    assert str(ours["note"].dtype.na_value) == str(theirs["note"].dtype.na_value)
    check_same(ours, theirs)


def test_names_of_fixed_length_are_left_to_anndata(written, root):
    element = written(table()[["depth", "kept"]])
    if isinstance(root, h5py.File):
        element.attrs["column-order"] = np.array([b"depth", b"kept"])
    check_same(read_element(element), read_elem(element))


@pytest.mark.parametrize("damage", ["codes", "values", "missing", "version", "lengths"])
def test_an_error_is_the_one_that_anndata_raises(written, root, damage):
    element = written(table())
    if damage == "codes":
        element["type"]["codes"][0] = 77
    elif damage == "values":
        element["age"]["values"].attrs["encoding-type"] = "unheard-of"
    elif damage == "missing":
        del element["depth"]
    elif damage == "version":
        element.attrs["encoding-version"] = "9.0"
    else:
        with anndata.settings.override(auto_shard_zarr_v3=False):
            anndata.io.write_elem(element, "depth", np.zeros(3))
    with pytest.raises(Exception) as theirs:  # noqa: PT011 -- which one is anndata's to say
        read_elem(element)
    with pytest.raises(type(theirs.value)) as ours:
        read_element(element)
    assert str(ours.value) == str(theirs.value)
