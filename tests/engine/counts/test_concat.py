"""Several data sets as one: rows after one another, columns and tables united, few files open."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from tests.engine.counts.conftest import as_anndata, assemble, counts, same, write_tenx, write_zarr

from lexicell.counts import CountSource, Values, concat, open_counts, open_inputs, open_many, read_sample
from lexicell.counts.concat import ConcatSource
from lexicell.counts.scratch import Scratch
from lexicell.errors import CountsError, InputError, InputNotFoundError


def part(seed: int, n: int, genes: list[str], **obs: Any) -> anndata.AnnData:
    adata = as_anndata(counts(n, len(genes), seed=seed))
    adata.obs_names = [f"{seed}-{i}" for i in range(n)]
    adata.var_names = genes
    for name, values in obs.items():
        adata.obs[name] = values
    return adata


def outer(parts: list[anndata.AnnData], genes: Any) -> sparse.csr_matrix:
    """What anndata makes of them; its columns come in an order of their own."""
    return sparse.csr_matrix(anndata.concat(parts, join="outer")[:, list(genes)].X)


def names(start: int, stop: int) -> list[str]:
    return [f"G{i}" for i in range(start, stop)]


@pytest.fixture
def parts(tmp_path: Path) -> list[anndata.AnnData]:
    """Three data sets whose genes overlap in other orders."""
    return [
        part(1, 30, names(0, 12)),
        part(2, 25, names(8, 20)[::-1]),
        part(3, 40, [*names(15, 24), *names(0, 3)]),
    ]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., list[str]]:
    """Write data sets, in turn as h5ad and Zarr; returns their paths."""

    def run(parts: list[anndata.AnnData]) -> list[str]:
        paths = []
        for i, adata in enumerate(parts):
            path = tmp_path / f"part{i}.{'zarr' if i % 2 else 'h5ad'}"
            if i % 2:
                write_zarr(adata, path, 3)
            else:
                adata.write_h5ad(path)
            paths.append(str(path))
        return paths

    return run


def test_rows_and_columns_are_those_of_anndatas_outer_concat(parts, write) -> None:
    expected = anndata.concat(parts, join="outer")
    with open_many(write(parts)) as source:
        assert isinstance(source, CountSource)
        genes = [*names(0, 12), *names(12, 20)[::-1], *names(20, 24)]
        assert list(source.var.index) == genes
        assert sorted(genes) == sorted(expected.var_names)
        for max_nnz in (1, 90, 10**9):
            same(assemble(source, max_nnz), outer(parts, genes))
        assert list(source.names(0, source.n_cells)) == list(expected.obs_names)
        assert list(source.names(28, 57)) == list(expected.obs_names[28:57])


def test_one_input_is_opened_as_ever(parts, write) -> None:
    with open_many(write(parts[:1])) as one:
        assert not isinstance(one, ConcatSource)
        assert one.obs_columns == ("type",)


def test_any_rows_can_be_read_across_data_sets_and_spans_keep_to_one(parts, write) -> None:
    with open_many(write(parts)) as source:
        expected = outer(parts, source.var.index)
        scratch = Scratch()
        for start, stop in ((0, 95), (29, 31), (20, 80), (30, 55), (94, 95), (40, 40)):
            block = source.read(start, stop, scratch)
            shape = (stop - start, block.n_columns)
            same(sparse.csr_matrix((block.data, block.indices, block.indptr), shape), expected[start:stop])
        spans = list(source.spans(100, 10, 90))
        assert spans[0][0] == 10
        assert spans[-1][1] == 90
        assert all(not start < edge < stop for start, stop in spans for edge in (30, 55))
        with pytest.raises(IndexError):
            source.read(0, 96)


def test_columns_of_one_name_are_told_apart_by_their_number(write) -> None:
    twice = part(1, 9, ["A", "B", "A"])
    thrice = part(2, 8, ["A", "A", "C", "A"])
    with open_many(write([twice, thrice])) as source:
        assert list(source.var.index) == ["A", "B", "A", "C", "A"]
        found = assemble(source)
    expected = np.zeros((17, 5))
    expected[:9, [0, 1, 2]] = twice.X.toarray()
    expected[9:, [0, 2, 3, 4]] = thrice.X.toarray()
    same(found, sparse.csr_matrix(expected))


def test_each_gene_keeps_what_the_first_data_set_says_of_it(write) -> None:
    one, two = part(1, 9, names(0, 4)), part(2, 9, names(2, 6))
    one.var["id"] = ["a0", "a1", "a2", "a3"]
    two.var["id"] = ["b2", "b3", "b4", "b5"]
    two.var["length"] = [2, 3, 4, 5]
    two.var["mito"] = [True, False, True, False]
    with open_many(write([one, two])) as source:
        assert list(source.var["id"]) == ["a0", "a1", "a2", "a3", "b4", "b5"]
        assert source.var["length"].tolist()[2:] == [2, 3, 4, 5]
        assert source.var["length"].isna().tolist() == [True, True, False, False, False, False]
        assert source.var["mito"].dtype == pd.BooleanDtype()


def test_obs_is_united_and_tells_where_a_cell_is_from(write, parts) -> None:
    one = part(
        1, 5, names(0, 9), tissue=pd.Categorical(list("ababa")), batch_n=np.arange(5), ok=True, text="x"
    )
    two = part(2, 4, names(0, 9), tissue=pd.Categorical(list("caca")), batch_n=np.arange(4), batch=1.5)
    three = part(3, 3, names(0, 9), tissue=pd.Categorical(list("bbb")), batch_n=["7", "8", "9"])
    with open_many(write([one, two, three])) as source:
        assert source.obs_columns == (
            "type",
            "tissue",
            "batch_n",
            "ok",
            "text",
            "batch",
            "input",
            "input_row",
        )
        whole = source.obs
        assert list(whole["tissue"]) == list("ababacacabbb")
        assert list(whole["tissue"].cat.categories) == ["a", "b", "c"]
        assert list(whole["batch_n"]) == [*"01234", *"0123", *"789"]
        assert whole["ok"].dtype == pd.BooleanDtype()
        assert whole["ok"].tolist() == [True] * 5 + [pd.NA] * 7
        assert whole["text"].isna().tolist() == [False] * 5 + [True] * 7
        assert (
            np.isnan(whole["batch"].to_numpy(float, na_value=np.nan)).tolist()
            == [True] * 5 + [False] * 4 + [True] * 3
        )
        assert list(whole["input"]) == ["part0.h5ad"] * 5 + ["part1.zarr"] * 4 + ["part2.h5ad"] * 3
        assert whole["input_row"].tolist() == [*range(5), *range(4), *range(3)]
        # A window has the same types and categories, whatever it shows.
        for start, stop in ((0, 2), (3, 11), (9, 12), (4, 4)):
            columns = ["batch", "tissue", "input", "batch_n"]
            pd.testing.assert_frame_equal(
                source.read_obs(columns, start, stop), whole[columns].iloc[start:stop]
            )
        assert any(said.endswith("become text: batch_n") for said in source.check())


def test_a_column_that_an_earlier_pack_wrote_is_replaced_and_said(write) -> None:
    paths = write([part(1, 5, names(0, 4), input="elsewhere"), part(2, 4, names(0, 4))])
    with ConcatSource(paths) as source:
        assert source.obs_columns == ("type", "input", "input_row")
        assert list(source.obs["input"])[:5] == ["part0.h5ad"] * 5
        assert any("left out of part0.h5ad" in said for said in source.check())


def test_inputs_without_a_common_gene_are_said(write) -> None:
    with ConcatSource(write([part(1, 5, names(0, 4)), part(2, 5, names(9, 14))])) as source:
        assert any("part1.zarr: no gene in common" in said for said in source.check())


def test_counts_and_logarithms_do_not_mix(write) -> None:
    logged = part(2, 40, names(0, 12))
    logged.X = sparse.csr_matrix(np.log1p(logged.X.toarray() / 3.0))
    logged.uns["log1p"] = {"base": None}
    paths = write([part(1, 40, names(0, 12)), logged])
    with ConcatSource(paths) as source:
        assert source.log_base == np.e
        with pytest.raises(InputError, match=r"part0\.h5ad.*part1\.zarr.*log1p\(x\)"):
            source.check()
        assert any("part1.zarr holds log1p(x)" in said for said in source.check(Values.COUNTS))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda x: np.log2(1 + x / 3), r"log2\(1 \+ x\)"),
        (lambda x: np.sqrt(x / 3), r"sqrt\(x\)"),
        (lambda x: x / 3, "fractions"),
        (lambda x: np.where(x > 0, 0.7, 0), "values of an unknown kind"),
    ],
)
def test_inputs_of_two_kinds_do_not_mix(write, make, kind) -> None:
    other = part(2, 40, names(0, 12))
    other.X = sparse.csr_matrix(make(other.X.toarray().astype(float)))
    with (
        ConcatSource(write([part(1, 40, names(0, 12)), other])) as source,
        pytest.raises(InputError, match=rf"part1.zarr.*{kind}"),
    ):
        source.check()


def test_a_negative_value_of_one_input_is_named(write) -> None:
    scaled = part(2, 40, names(0, 12))
    scaled.X = sparse.csr_matrix(scaled.X.toarray() - 1.5)
    with (
        ConcatSource(write([part(1, 40, names(0, 12)), scaled])) as source,
        pytest.raises(CountsError) as caught,
    ):
        source.check()
    assert "part1.zarr" in str(caught.value)
    assert repr(scaled.obs_names[0]) in str(caught.value)


def test_a_missing_input_and_a_missing_layer_name_their_file(parts, write, tmp_path: Path) -> None:
    paths = write(parts)
    with pytest.raises(InputNotFoundError, match=r"nowhere\.h5ad"):
        open_many([*paths, str(tmp_path / "nowhere.h5ad")])
    with pytest.raises(InputError, match=r"part0\.h5ad.*'spliced'"):
        open_many(paths, layer="spliced")


def test_tables_of_other_formats_join_in(tmp_path: Path) -> None:
    matrix = counts(12, 9)
    write_tenx(matrix, tmp_path / "a.h5", 3)
    adata = as_anndata(matrix)
    adata.write_h5ad(tmp_path / "b.h5ad")
    with open_many([tmp_path / "a.h5", tmp_path / "b.h5ad"]) as source:
        same(assemble(source), sparse.vstack([matrix, matrix]))
        assert source.obs["type"].isna().sum() == 12


class Opened:
    """Counts how many inputs are open at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, *args: Any, **options: Any) -> Any:
        source = open_counts(*args, **options)
        close = source.close
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

        def closing() -> None:
            close()
            with self.lock:
                self.now -= 1

        source.close = closing
        return source


def test_few_inputs_are_open_at_a_time_and_threads_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened()
    monkeypatch.setattr(concat, "open_counts", opened)
    monkeypatch.setattr(open_inputs, "MOST_OPEN", 2)
    parts = [part(i, 6 + i, names(i, i + 5)) for i in range(9)]
    for i, adata in enumerate(parts):
        adata.write_h5ad(tmp_path / f"{i}.h5ad")
    expected = outer(parts, names(0, 13))
    with open_many([tmp_path / f"{i}.h5ad" for i in range(9)]) as source, ThreadPoolExecutor(4) as pool:
        spans = list(source.spans(8)) * 5
        blocks = list(pool.map(lambda span: source.read(*span), spans))
        for (start, stop), block in zip(spans, blocks, strict=True):
            shape = (stop - start, block.n_columns)
            same(sparse.csr_matrix((block.data, block.indices, block.indptr), shape), expected[start:stop])
        assert opened.most <= 2 + 4  # those in use are never closed
    assert opened.now == 0
    with pytest.raises(ValueError, match="closed"):
        source.read(0, 1)


def test_the_sample_is_spread_over_the_inputs(parts, write) -> None:
    with open_many(write(parts)) as source:
        spans = list(source.peek(30))
        assert spans == sorted(spans)
        assert {int(np.searchsorted([30, 55], start, side="right")) for start, _ in spans} == {0, 1, 2}
        assert read_sample(source).n_rows <= 1800


def test_an_input_that_changes_while_it_is_read_is_refused(
    parts, write, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(parts)
    with open_many(paths) as source:
        parts[0][:20].copy().write_h5ad(paths[0])
        with pytest.raises(InputError, match=r"part0\.h5ad"):
            source.read(0, 5)
