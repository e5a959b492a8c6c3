"""What ``tl.explain`` writes is what scanpy reads."""

from __future__ import annotations

import warnings

import anndata
import numpy as np
import pytest

import lexicell
from lexicell.embedding.events import ignore
from lexicell.errors import InputError

sc = pytest.importorskip("scanpy")


@pytest.fixture
def explained(donors):
    lexicell.tl.explain(donors, "kind", donor="donor", sets="go-bp", permutations=20, listener=ignore)
    return donors


def test_scanpy_reads_it_as_ranked_genes(explained):
    table = sc.get.rank_genes_groups_df(explained, group="B", key="lexicell_explain")
    mine = explained.uns["lexicell_explain"]["contributions"].query("group == 'B'")
    assert sorted(table["names"]) == sorted(explained.var_names)
    told = table.set_index("names").loc[mine["column"]]
    signed = np.where(mine["more"], mine["contribution"], -mine["contribution"])
    np.testing.assert_allclose(told["scores"], signed, rtol=1e-6)
    np.testing.assert_allclose(told["pvals_adj"], mine["donor_p_adjusted"])
    assert table["names"].tolist()[:3] == mine["column"].tolist()[:3]
    assert table["scores"].is_monotonic_decreasing
    assert (table["scores"].iloc[-3:] < 0).all()
    assert table["pct_nz_group"].between(0, 1).all()
    whole = sc.get.rank_genes_groups_df(explained, group=None, key="lexicell_explain")
    assert set(whole["group"]) == {"B", "myeloid", "other"}
    assert set(table["names"]) <= set(explained.var_names)


@pytest.mark.parametrize("plot", ["", "_dotplot", "_heatmap"])
def test_scanpy_draws_it(explained, plot):
    import matplotlib.pyplot as plt

    labelled = explained[explained.obs["kind"].notna()].copy()
    options = {"key": "lexicell_explain", "n_genes": 3, "show": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draw = getattr(sc.pl, f"rank_genes_groups{plot}")
        draw(labelled, **options | ({"dendrogram": False} if plot else {}))
        if plot == "_dotplot":
            draw(labelled, **options, dendrogram=False, values_to_plot="logfoldchanges")
    assert plt.get_fignums()
    plt.close("all")


def test_genes_of_one_name_are_no_trouble(donors):
    donors.var["symbol"] = donors.var_names.astype(str)
    donors.var_names = [f"gene {i // 2}" for i in range(donors.n_vars)]
    lexicell.tl.explain(donors, "kind", gene_column="symbol", sets=None, permutations=0, listener=ignore)
    table = sc.get.rank_genes_groups_df(donors, group="B", key="lexicell_explain")
    assert sorted(table["names"]) == sorted(set(donors.var_names))
    mine = donors.uns["lexicell_explain"]["contributions"].query("group == 'B'")
    assert table["names"].iloc[0] == mine["column"].iloc[0]
    assert table["scores"].iloc[0] == pytest.approx(mine["contribution"].iloc[0])


def test_it_survives_a_file(explained, tmp_path):
    explained.write_h5ad(tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad")
    one, other = (
        sc.get.rank_genes_groups_df(data, group="B", key="lexicell_explain") for data in (explained, back)
    )
    assert one["names"].tolist() == other["names"].tolist()
    np.testing.assert_array_equal(one["scores"], other["scores"])
    table = back.uns["lexicell_explain"]["similarity"]
    assert table.columns.tolist() == ["B", "myeloid", "other"]


@pytest.mark.parametrize("made", [{"recipe": "paper"}, {"top_k": 20}, {"weight": "count"}])
def test_vectors_that_were_made_otherwise_are_told(donors, notes, made):
    lexicell.tl.embed(donors, **made, listener=ignore)
    options = {"sets": None, "permutations": 0, "listener": notes}
    lexicell.tl.explain(donors, "kind", **options)
    ((what, value),) = made.items()
    assert any(f"made with {what} {value}" in text for text in notes)
    notes.clear()
    lexicell.tl.explain(donors, "kind", **made, **options)
    assert not any("were made with" in text for text in notes)


def test_options_of_files_are_refused(donors):
    with pytest.raises(InputError, match="leave output, resume out"):
        lexicell.tl.explain(donors, "kind", output="x", resume=True)
    with pytest.raises(InputError, match="has a name"):
        lexicell.tl.explain(donors, "kind", key_added="")
    assert "lexicell_explain" not in donors.uns
