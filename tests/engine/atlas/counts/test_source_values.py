"""Counts, normalised counts and logarithms are told apart from a sample."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from tests.engine.atlas.conftest import as_anndata, counts

from lexicell.atlas import open_counts
from lexicell.atlas.counts._values import SAMPLE_CELLS, Values, decode_values, resolve_values
from lexicell.errors import CountsError


def _normalised(matrix: Any, target: float = 1e4) -> sparse.csr_matrix:
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    return sparse.csr_matrix(sparse.diags(target / np.maximum(totals, 1)) @ matrix, dtype=np.float32)


def _resolve(data: Any, asked: Values | None = None, **options: Any) -> Values:
    with open_counts(data, **options) as source:
        return resolve_values(source, asked)


@pytest.fixture(scope="module")
def raw() -> sparse.csr_matrix:
    return counts(400, 300)


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.float32, np.float64])
def test_whole_numbers_are_counts_in_any_type(raw: sparse.csr_matrix, dtype: Any) -> None:
    assert _resolve(as_anndata(raw.astype(dtype))) is Values.COUNTS


def test_normalised_counts_are_told_from_logarithms(raw: sparse.csr_matrix) -> None:
    normalised = _normalised(raw)
    assert _resolve(as_anndata(normalised)) is Values.NORMALISED
    with pytest.raises(CountsError, match=r"log1p-transformed.*--values lognorm"):
        _resolve(as_anndata(normalised.log1p()))


def test_logarithms_of_a_choice_of_genes_are_still_found(raw: sparse.csr_matrix) -> None:
    part = as_anndata(_normalised(raw).log1p())[:, ::7]
    with pytest.raises(CountsError, match="log1p"):
        _resolve(part)


def test_proportions_are_normalised_and_no_logarithms(raw: sparse.csr_matrix) -> None:
    assert _resolve(as_anndata(_normalised(raw, 1.0))) is Values.NORMALISED


def test_the_hint_of_the_file_decides_where_values_allow_it(raw: sparse.csr_matrix) -> None:
    for matrix, error in (
        (_normalised(raw, 1.0), True),
        (raw.astype(np.float32), False),
        (_normalised(raw), False),
    ):
        adata = as_anndata(matrix)
        adata.uns["log1p"] = {"base": None}
        if error:
            with pytest.raises(CountsError):
                _resolve(adata)
        else:
            _resolve(adata)


def test_the_way_out_names_what_the_file_has(raw: sparse.csr_matrix) -> None:
    adata = as_anndata(_normalised(raw).log1p())
    with pytest.raises(CountsError, match=r"give --values lognorm$"):
        _resolve(adata)
    adata.layers["spliced"] = raw
    adata.layers["counts"] = raw
    with pytest.raises(CountsError, match=r"give --layer counts, --layer spliced or --values lognorm$"):
        _resolve(adata)
    adata.raw = as_anndata(raw)
    with pytest.raises(CountsError, match=r"--use-raw"):
        _resolve(adata)
    assert _resolve(adata, layer="counts") is Values.COUNTS
    assert _resolve(adata, use_raw=True) is Values.COUNTS


def test_what_the_user_says_is_checked(raw: sparse.csr_matrix) -> None:
    whole, normalised = as_anndata(raw), as_anndata(_normalised(raw))
    logged = as_anndata(_normalised(raw).log1p())
    assert _resolve(logged, Values.LOGNORM) is Values.LOGNORM
    assert _resolve(normalised, Values.LOGNORM) is Values.LOGNORM
    assert _resolve(normalised, Values.NORMALISED) is Values.NORMALISED
    assert _resolve(whole, Values.NORMALISED) is Values.NORMALISED
    assert _resolve(whole, Values.COUNTS) is Values.COUNTS
    with pytest.raises(CountsError, match="whole numbers"):
        _resolve(whole, Values.LOGNORM)
    with pytest.raises(CountsError, match="log1p"):
        _resolve(logged, Values.NORMALISED)
    with pytest.raises(CountsError, match="log1p"):
        _resolve(logged, Values.COUNTS)
    with pytest.raises(CountsError, match="fractions"):
        _resolve(normalised, Values.COUNTS)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.5])
@pytest.mark.parametrize("fraction", [False, True])
def test_values_that_are_no_counts_are_left_to_the_kernel(
    raw: sparse.csr_matrix, bad: float, fraction: bool
) -> None:
    matrix = _normalised(raw) if fraction else raw.astype(np.float32)
    matrix.data[5] = bad
    assert _resolve(as_anndata(matrix)) in (Values.COUNTS, Values.NORMALISED)


def test_a_matrix_without_values_and_one_of_one_cell_are_decided() -> None:
    assert _resolve(as_anndata(sparse.csr_matrix((4, 3), dtype=np.float32))) is Values.COUNTS
    assert _resolve(as_anndata(np.array([[30.5, 0, 2]], np.float32))) is Values.NORMALISED
    with pytest.raises(CountsError):
        _resolve(as_anndata(np.array([[1.5, 0, 2]], np.float32)))


def test_the_sample_is_bounded_and_spread() -> None:
    with open_counts(as_anndata(sparse.csr_matrix((10_000, 3), dtype=np.int32))) as source:
        ranges = list(source.peek(SAMPLE_CELLS))
    assert sum(stop - start for start, stop in ranges) <= SAMPLE_CELLS
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 10_000
    for n in range(1, 12):
        with open_counts(as_anndata(sparse.csr_matrix((n, 3), dtype=np.int32))) as source:
            ranges = list(source.peek(9))
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(ranges))
        assert sum(stop - start for start, stop in ranges) == min(n, 9)


def test_of_dask_only_the_first_chunk_is_looked_at(raw: sparse.csr_matrix) -> None:
    import dask.array as da

    def fail(block: Any, block_info: Any = None) -> Any:
        assert block_info[0]["chunk-location"][0] == 0
        return block

    array = da.from_array(raw.toarray(), chunks=(100, -1)).map_blocks(fail, dtype=raw.dtype)
    assert _resolve(as_anndata(array)) is Values.COUNTS


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_decoding_undoes_the_logarithm_in_its_own_precision(
    raw: sparse.csr_matrix, dtype: Any, tmp_path: Path
) -> None:
    normalised = _normalised(raw).astype(dtype)
    with open_counts(as_anndata(normalised.log1p())) as source:
        block = source.read(0, 20)
        decoded = decode_values(block, Values.LOGNORM)
        assert decoded.data.dtype == dtype
        np.testing.assert_allclose(decoded.data, normalised[:20].data, rtol=1e-5)
        assert decode_values(block, Values.NORMALISED) is block
