"""The store holds what the kernel selects, and gives its vectors again."""

from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lexicell.atlas import open_counts
from lexicell.embedding import Options, make_plan
from lexicell.embedding.fold import fold
from lexicell.embedding.selected import SelectedCells, rank_cells, select_counts
from lexicell.errors import CorruptDataError, CountsError, InputError, InputNotFoundError, OutputExistsError
from lexicell_kernels import Weight, embed_rows


def pooled(cells: SelectedCells, vectors):
    weights = sp.csr_array(
        (cells.weights().astype(np.float64), cells.genes.astype(np.int64), cells.indptr),
        shape=(len(cells), cells.n_lexicon),
    )
    z = weights @ vectors.astype(np.float64)
    return z / np.linalg.norm(z, axis=1, keepdims=True).clip(1e-30)


def kernel(plan):
    block = plan.folded.prepare(plan.source.read(0, plan.source.n_cells))
    return embed_rows(block, plan.folded.table, k=plan.recipe.top_k, weight=plan.recipe.weight).vectors


def ranked(adata, factor=None, **options):
    with open_counts(adata) as source:
        plan = make_plan(source, Options(**{"recipe": "paper", **options}))
        if factor is not None:
            plan = replace(plan, folded=fold(plan.lexicon, plan.alignment, factor=factor(plan.lexicon)))
        vectors = plan.lexicon.vectors(plan.lexicon.rows)
        return rank_cells(plan), kernel(plan), vectors


@pytest.mark.parametrize("weight", list(Weight))
def test_its_vectors_are_the_kernels_for_every_weight(pbmc3k, weight):
    cells, expected, vectors = ranked(pbmc3k[:900], top_k=128, weight=weight)
    assert np.abs(pooled(cells, vectors) - expected).max() < 1e-5


@pytest.mark.parametrize("weight", ["log1p", "rank"])
def test_its_vectors_are_the_kernels_with_rank_factors(cells, weight):
    def factor(lexicon):
        return np.random.default_rng(0).uniform(0.1, 3, lexicon.n_genes).astype(np.float32)

    found, expected, vectors = ranked(cells, factor, top_k=20, weight=weight)
    assert np.abs(pooled(found, vectors) - expected).max() < 1e-5
    assert found.sizes.max() == 20


def test_all_described_genes_are_kept_without_top_k(cells):
    found, expected, vectors = ranked(cells, recipe="genept-w")
    assert found.top_k is None
    assert np.abs(pooled(found, vectors) - expected).max() < 1e-5


def test_genes_of_two_columns_are_summed(cells):
    names = [*cells.var_names, *cells.var_names[:40]]
    var = pd.DataFrame({"symbol": names}, index=[f"column{i}" for i in range(len(names))])
    doubled = anndata.AnnData(sp.csr_matrix(sp.hstack([cells.X, cells.X[:, :40]])), cells.obs, var)
    found, expected, vectors = ranked(doubled, gene_column="symbol", top_k=30)
    assert np.abs(pooled(found, vectors) - expected).max() < 1e-5


def test_blocks_do_not_show(cells, monkeypatch):
    whole, _, _ = ranked(cells, top_k=30)
    monkeypatch.setattr("lexicell.embedding.selected.MAX_NNZ", 700)
    parts, _, _ = ranked(cells, top_k=30)
    for name in ("genes", "counts", "indptr", "totals"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_a_cell_takes_half_a_kilobyte(blood):
    cells, _, _ = blood
    assert cells.genes.dtype == np.uint16
    assert cells.counts.dtype in (np.uint8, np.uint16)
    assert cells.nbytes / len(cells) < 540


def test_fractions_are_kept_as_they_are(cells):
    cells.X = cells.X.astype(np.float32) * np.float32(0.37)
    found, expected, vectors = ranked(cells, top_k=25, values="normalised")
    assert found.counts.dtype == np.float32
    assert np.abs(pooled(found, vectors) - expected).max() < 1e-5


def test_a_bad_count_is_named_with_its_cell(cells):
    cells.X.data[cells.X.indptr[7]] = -2
    with pytest.raises(CountsError, match=cells.obs_names[7]):
        ranked(cells, values="counts")


def test_cells_are_taken_in_the_order_asked_for(groups):
    cells, _, _ = groups
    few = cells.take(np.array([5, 2, 5]))
    for at, cell in enumerate([5, 2, 5]):
        a, b = cells.indptr[cell : cell + 2]
        c, d = few.indptr[at : at + 2]
        np.testing.assert_array_equal(few.genes[c:d], cells.genes[a:b])
        np.testing.assert_array_equal(few.counts[c:d], cells.counts[a:b])
    np.testing.assert_array_equal(few.totals, cells.totals[[5, 2, 5]])


@pytest.mark.parametrize("weight", list(Weight))
def test_weights_of_some_cells_are_a_part_of_all_weights(groups, weight):
    cells = replace(groups[0], weight=weight)
    a, b = cells.indptr[[30, 50]]
    np.testing.assert_array_equal(cells.weights(30, 50), cells.weights()[a:b])


def test_a_matrix_in_memory_gives_the_same(cells):
    streamed, _, _ = ranked(cells, top_k=30)
    with open_counts(cells) as source:
        plan = make_plan(source, Options(recipe="paper", top_k=30))
    described = np.flatnonzero(plan.alignment.rows >= 0)
    counts = sp.csr_array(cells.X)
    held: SelectedCells = select_counts(
        counts[:, described], plan.alignment.rows[described], np.asarray(counts.sum(1)).ravel(),
        n_lexicon=plan.lexicon.n_genes, lexicon=plan.lexicon.identity, top_k=30,
    )  # fmt: skip
    for name in ("genes", "counts", "indptr", "totals", "lexicon", "weight"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(held, name))


def test_it_is_read_as_it_was_written(groups, tmp_path):
    cells = replace(groups[0], factor=np.linspace(1, 2, 70, dtype=np.float32), weight=Weight.RANK, top_k=9)
    cells.save(tmp_path / "cells")
    loaded = SelectedCells.load(tmp_path / "cells")
    for name in SelectedCells.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(cells, name))
    assert loaded.weight is Weight.RANK
    with pytest.raises(OutputExistsError):
        cells.save(tmp_path / "cells")


@pytest.mark.parametrize("at", [9, 150, 500, 900, -1])
def test_a_changed_byte_is_noticed(groups, tmp_path, at):
    path = tmp_path / "cells"
    groups[0].save(path)
    body = bytearray(path.read_bytes())
    body[at] ^= 4
    path.write_bytes(body)
    with pytest.raises((CorruptDataError, InputError)):
        SelectedCells.load(path)


def test_what_is_missing_cut_or_something_else_is_refused(groups, tmp_path):
    with pytest.raises(InputNotFoundError):
        SelectedCells.load(tmp_path / "none")
    groups[0].save(tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-5])
    with pytest.raises(CorruptDataError, match="cut cannot be read"):
        SelectedCells.load(tmp_path / "cut")
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2)}, tmp_path / "other")
    with pytest.raises(InputError, match="holds no ranked cells"):
        SelectedCells.load(tmp_path / "other")


@pytest.mark.parametrize(
    "entry",
    [
        "[" * 100_000,
        "{",
        "5",
        "[]",
        '{"kind": "ranked cells", "format": "1"}',
        '{"kind": "ranked cells", "format": 9}',
        '{"kind": "ranked cells"}',
        '{"kind": ["ranked cells"]}',
        '{"kind": "ranked cells", "format": null}',
    ],
    ids=lambda entry: entry[:45],
)
def test_a_document_made_by_hand_is_one_error_that_names_the_file(tmp_path, entry):
    from safetensors.numpy import save_file

    save_file({"genes": np.zeros(2)}, tmp_path / "cells", {"lexicell": entry})
    with pytest.raises((CorruptDataError, InputError), match="cells"):
        SelectedCells.load(tmp_path / "cells")
