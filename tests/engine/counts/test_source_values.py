"""Counts, normalised counts and logarithms are told apart from a sample."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from scipy import sparse
from tests.engine.counts.conftest import as_anndata, counts, write_zarr
from tests.engine.counts.kinds import KINDS, cells

from lexicell.containers.faults import Where
from lexicell.counts import open_counts
from lexicell.counts.blocks import to_block
from lexicell.counts.values import SAMPLE_CELLS, Resolved, Values, decode_values, resolve_values
from lexicell.errors import CountsError


def _normalised(matrix: Any, target: float = 1e4) -> sparse.csr_matrix:
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    return sparse.csr_matrix(sparse.diags(target / np.maximum(totals, 1)) @ matrix, dtype=np.float32)


def _resolve(data: Any, asked: Values | None = None, **options: Any) -> Values:
    return _resolved(data, asked, **options).values


def _resolved(data: Any, asked: Values | None = None, **options: Any) -> Resolved:
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


def _stored(adata: anndata.AnnData, path: Path, form: str) -> Any:
    if form == "memory":
        return adata
    adata.write_h5ad(path / "data.h5ad")
    return path / "data.h5ad" if form == "h5ad" else anndata.read_h5ad(path / "data.h5ad", backed="r")


@pytest.mark.parametrize("form", ["memory", "h5ad", "backed"])
@pytest.mark.parametrize("refused", ["logarithms", "scaled"])
@pytest.mark.parametrize(
    ("others", "ways"),
    [
        ({}, []),
        ({"counts": "raw"}, ["--layer counts (whole numbers)"]),
        ({".raw": "raw"}, ["--use-raw (whole numbers)"]),
        ({".raw": "logged", "umis": "raw"}, ["--layer umis (whole numbers)"]),
        ({".raw": "scaled", "scaled": "scaled", "logcounts": "logged"}, []),
        # Whole before fractions; a name that says it before one that does not.
        ({"cp10k": "normalised", "a": "raw"}, ["--layer a (whole", "--layer cp10k (counts over"]),
        ({"a": "raw", "my counts": "raw"}, ["--layer 'my counts' (whole", "--layer a (whole"]),
        # Parts of the counts and smoothed ones only where there is nothing else.
        ({"spliced": "raw", "unspliced": "raw", "counts": "raw"}, ["--layer counts (whole numbers)"]),
        (
            {"spliced": "raw", "unspliced": "raw", "Ms": "normalised"},
            ["--layer spliced", "--layer unspliced"],
        ),
        ({"MAGIC_imputed_data": "normalised", "cpm": "normalised"}, ["--layer cpm (counts over"]),
        ({"denoised": "normalised"}, ["--layer denoised"]),
    ],
)
def test_what_holds_counts_is_proposed_first(
    raw: sparse.csr_matrix, refused: str, form: str, others: dict[str, str], ways: list[str], tmp_path: Path
) -> None:
    some = raw[:100]
    scaled = sparse.csr_matrix(some.toarray() - some.mean(0).A)
    matrices = {
        "raw": some,
        "normalised": _normalised(some),
        "logged": _normalised(some).log1p(),
        "scaled": scaled,
    }
    adata = as_anndata(matrices["logged" if refused == "logarithms" else "scaled"].copy())
    for name, what in others.items():
        if name == ".raw":
            adata.raw = as_anndata(matrices[what])
        else:
            adata.layers[name] = matrices[what]
    with pytest.raises(CountsError) as caught:
        _resolve(_stored(adata, tmp_path, form))
    said = str(caught.value)
    proposed = [*ways, "--values lognorm"] if refused == "logarithms" else ways
    places = [said.index(way) for way in proposed]
    assert places == sorted(places)
    assert said.count("--layer") + said.count("--use-raw") == len(ways)
    assert ("--values" in said) == (refused == "logarithms")


def test_a_layer_that_is_refused_has_x_as_its_way_out(raw: sparse.csr_matrix) -> None:
    adata = as_anndata(raw)
    adata.layers["scaled"] = raw.toarray() - 0.5
    with pytest.raises(CountsError, match=r"X instead \(whole numbers\)"):
        _resolve(adata, layer="scaled")


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_user_says_is_done(kind: str) -> None:
    expected, make = KINDS[kind]
    matrix = make(cells(1, n=20, genes=300, depth=150)).astype(np.float32)
    for asked in Values:
        if np.isfinite(decode_values(to_block(matrix, Where("", "")), asked).data).all():
            resolved = _resolved(as_anndata(matrix), asked)
            assert resolved.values is asked
            if expected is not None:
                # Silence only where the guess agrees and the values are what the kernel takes for counts.
                assert bool(resolved.note) == (asked != expected or asked is Values.NORMALISED), asked
        else:
            with pytest.raises(CountsError, match="cell 'cell"):
                _resolve(as_anndata(matrix), asked)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_user_does_not_say_is_found_or_refused(kind: str) -> None:
    expected, make = KINDS[kind]
    adata = as_anndata(make(cells(1)).astype(np.float32))
    if expected in ("counts", "normalised"):
        resolved = _resolved(adata)
        assert resolved.values == expected
        assert bool(resolved.note) == (expected == "normalised")
    else:
        with pytest.raises(CountsError) as caught:
            _resolve(adata)
        ways = [expected] if expected else ["normalised"]
        assert all(f"--values {way}" in str(caught.value) for way in ways)
        assert expected in (None, "lognorm") or "--values lognorm" not in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "base"),
    [({}, np.e), ({"base": None}, np.e), ({"base": 2}, 2), ({"base": 10.0}, 10), ({"base": 0}, np.e)],
)
def test_the_base_that_the_file_states_is_read(stated: dict[str, Any], base: float, tmp_path: Path) -> None:
    adata = as_anndata(_normalised(counts()).log1p())
    adata.uns["log1p"] = stated
    with open_counts(adata) as source:
        assert source.log_base == base
    adata.uns["log1p"] = {name: value for name, value in stated.items() if value is not None}
    adata.write_h5ad(tmp_path / "data.h5ad")
    for path in (tmp_path / "data.h5ad", write_zarr(adata, tmp_path / "data.zarr", 3)):
        with open_counts(path) as source:
            assert source.log_base == base


def test_lognorm_is_the_natural_logarithm_whatever_the_file_says(raw: sparse.csr_matrix) -> None:
    adata = as_anndata(_normalised(raw).log1p() / np.float32(np.log(2)))
    adata.uns["log1p"] = {"base": 2}
    resolved = _resolved(adata, Values.LOGNORM)
    assert resolved.values is Values.LOGNORM
    assert "--values log2" in resolved.note
    assert not _resolved(adata, Values.LOG2).note


@pytest.mark.parametrize("asked", [None, *Values])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.5])
@pytest.mark.parametrize("fraction", [False, True])
def test_values_that_are_no_counts_are_refused_with_cell_and_gene(
    raw: sparse.csr_matrix, bad: float, fraction: bool, asked: Values | None
) -> None:
    matrix = _normalised(raw[:60]).log1p() if fraction else raw[:60].astype(np.float32)
    row = 41
    at = matrix.indptr[row]
    assert matrix.indptr[row + 1] > at
    matrix.data[at] = bad
    if asked in (Values.LOGNORM, Values.LOG2, Values.LOG10):
        matrix.data.clip(max=5, out=matrix.data, where=np.isfinite(matrix.data))
    with pytest.raises(CountsError) as caught:
        _resolve(as_anndata(matrix), asked)
    assert f"cell 'cell{row}' (row {row}) has {bad} for gene 'gene{matrix.indices[at]}'" in str(caught.value)


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
@pytest.mark.parametrize(
    ("values", "encode"),
    [
        (Values.LOGNORM, np.log1p),
        (Values.LOG2, lambda x: np.log2(1 + x)),
        (Values.LOG10, lambda x: np.log10(1 + x)),
        (Values.SQRT, np.sqrt),
    ],
)
def test_decoding_undoes_what_was_done_in_its_own_precision(
    raw: sparse.csr_matrix, dtype: Any, values: Values, encode: Any
) -> None:
    normalised = _normalised(raw[:20]).astype(dtype)
    encoded = normalised.copy()
    encoded.data = encode(encoded.data)
    with open_counts(as_anndata(encoded)) as source:
        block = source.read(0, 20)
        decoded = decode_values(block, values)
        assert decoded.data.dtype == dtype
        np.testing.assert_allclose(decoded.data, normalised.data, rtol=2e-5)
        assert decode_values(block, Values.NORMALISED) is block


@pytest.mark.parametrize("values", Values)
def test_decoding_keeps_negative_values_negative(values: Values) -> None:
    block = to_block(np.array([[-2.0, 0, 3]], np.float32), Where("", ""))
    assert decode_values(block, values).data[0] < 0
