"""Dots, bars and cells of a heat map are the numbers of the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad

import lexicell
from lexicell import pl
from lexicell.errors import InputError
from lexicell.pl._contributions import LARGEST_DOT


def in_uns(told, key="lexicell_explain"):
    tables = {
        "contributions": told.genes,
        "groups": told.groups,
        "pathways": told.pathways,
        "similarity": told.similarity,
    }
    return AnnData(np.zeros((1, 1), np.float32), uns={key: tables})


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def top(told, group, n):
    mine = told.genes[(told.genes["group"] == group) & (told.genes["contribution"] > 0)]
    return list(mine.sort_values("contribution", ascending=False)["gene"][:n])


def test_a_dot_is_as_large_and_dark_as_the_table_says(told):
    axes = pl.contributions(told, n_genes=3)
    expected = [gene for group in told.groups.index for gene in top(told, group, 3)]
    assert ticks(axes.xaxis) == expected
    assert ticks(axes.yaxis) == list(told.groups.index)
    drawn = axes.collections[0]
    of = told.genes.set_index(["group", "gene"])
    assert len(drawn.get_offsets()) == 3 * len(expected)
    for (x, y), size, colour in zip(drawn.get_offsets(), drawn.get_sizes(), drawn.get_array(), strict=True):
        row = of.loc[(told.groups.index[int(y)], expected[int(x)])]
        assert size == pytest.approx(LARGEST_DOT * row["share_of_cells"])
        assert colour == pytest.approx(row["in_group"])
    low, high = drawn.get_clim()
    assert low == -high  # around zero, since some are below it
    assert [text.get_text() for text in axes.texts] == list(told.groups.index)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["25%", "50%", "100%"]


def test_genes_that_contribute_by_being_used_less_are_not_among_the_dots(told):
    best = [top(told, group, 1)[0] for group in told.groups.index]
    genes = told.genes.assign(more=~told.genes["gene"].isin(best))
    axes = pl.contributions(told.changed(genes=genes), n_genes=2)

    assert not set(ticks(axes.xaxis)) & set(best)


def test_contributions_above_zero_only_begin_at_zero(told):
    above = told.genes.assign(in_group=told.genes["in_group"].abs())
    assert pl.contributions(told.changed(genes=above)).collections[0].get_clim()[0] == 0


def test_dots_do_without_the_columns_that_may_be_absent(told):
    genes = told.genes[["group", "gene", "contribution"]]
    axes = pl.contributions(told.changed(genes=genes), n_genes=2)
    drawn = axes.collections[0]
    assert set(drawn.get_sizes()) == {LARGEST_DOT}
    assert axes.get_legend() is None
    assert drawn.get_array().max() == pytest.approx(genes["contribution"].max())


def test_a_gene_that_a_group_has_no_line_for_has_no_dot(told):
    gene = top(told, "B cell", 1)[0]
    genes = told.genes[~((told.genes["group"] == "T cell") & (told.genes["gene"] == gene))]
    n = len(pl.contributions(told, groups=["B cell", "T cell"], n_genes=1).collections[0].get_offsets())
    left = pl.contributions(told.changed(genes=genes), groups=["B cell", "T cell"], n_genes=1)
    assert len(left.collections[0].get_offsets()) == n - 1


@pytest.mark.parametrize("group", ["B cell", "T cell", "monocyte"])
@pytest.mark.parametrize("n", [1, 3, 40])
def test_a_waterfall_adds_up_to_the_score(told, group, n):
    axes = pl.contributions(told, kind="waterfall", groups=group, n_genes=n)
    bars = axes.patches
    score, bias = told.groups.loc[group, ["score", "bias"]]
    here = 0.0
    for bar in bars[:-1]:
        assert bar.get_x() == pytest.approx(here)
        here = bar.get_x() + bar.get_width()
    assert here == pytest.approx(score)
    assert (bars[-1].get_x(), bars[-1].get_width()) == (0, pytest.approx(score))
    assert bars[-2].get_width() == pytest.approx(bias)
    names = ticks(axes.yaxis)
    assert names[-2:] == ["bias", "score"]
    assert names[0] == top(told, group, 1)[0]
    assert axes.get_title(loc="left") == group
    of = told.genes[told.genes["group"] == group].set_index("gene")["contribution"]
    for name, bar in zip(names[:-3], bars, strict=False):
        assert bar.get_width() == pytest.approx(of[name])
    assert min(sum(of[name] > 0 for name in names[:-3]), n) == sum(of[name] > 0 for name in names[:-3])


def test_a_waterfall_of_a_table_that_was_cut_still_ends_at_the_score(told):
    cut = told.genes.groupby("group").head(3)
    axes = pl.contributions(told.changed(genes=cut), kind="waterfall", groups="T cell", n_genes=9)
    last = axes.patches[-2]
    assert last.get_x() + last.get_width() == pytest.approx(told.groups.loc["T cell", "score"])
    assert "all other genes" in ticks(axes.yaxis)


def test_genes_that_are_hardly_seen_are_among_the_others(told):
    genes = told.genes.copy()
    genes.loc[genes["gene"] == "GENE0", "contribution"] = -1e-9
    names = ticks(
        pl.contributions(told.changed(genes=genes), kind="waterfall", groups="T cell", n_genes=50).yaxis
    )
    assert "GENE0" not in names
    assert "1 other gene" in names


def test_a_waterfall_is_of_one_group(told):
    with pytest.raises(InputError, match=r"B.*T cell, monocyte"):
        pl.contributions(told, kind="waterfall")
    one = told.genes[told.genes["group"] == "B cell"]
    assert pl.contributions(told.changed(genes=one), kind="waterfall").get_title(loc="left") == "B cell"
    with pytest.raises(InputError, match="'B cell'"):
        pl.contributions(told.changed(groups=told.groups[1:]), kind="waterfall", groups="B cell")


def test_pathways_are_the_largest_without_those_that_repeat_another(told):
    axes = pl.pathways(told, groups="T cell", n_pathways=3)
    assert ticks(axes.yaxis) == ["T cell", "first", f"{('fourth ' * 20)[:51].rstrip()}…", "second"]
    assert [bar.get_width() for bar in axes.patches] == [0.4, 0.2, -0.1]
    assert [text.get_text() for text in axes.texts] == ["5 genes", "90 genes", "12 genes"]
    assert "third" not in ticks(pl.pathways(told, n_pathways=9).yaxis)
    every = told.changed(pathways=told.pathways.drop(columns="redundant_with"))
    assert "third" in ticks(pl.pathways(every, n_pathways=9).yaxis)
    weak, strong, other = (sum(bar.get_facecolor()[:3]) for bar in axes.patches)
    assert strong < other < weak  # the more significant, the darker
    plain = told.changed(pathways=told.pathways.assign(p_adjusted=0.5))
    (pale, *_), darkest = pl.pathways(plain).patches, strong
    assert sum(pale.get_facecolor()[:3]) > darkest + 1  # chance is pale, whatever else is drawn


def test_groups_that_are_alike_stand_side_by_side_with_their_numbers(told):
    axes = pl.groups(told)
    names = ticks(axes.yaxis)
    assert names == ticks(axes.xaxis)
    assert abs(names.index("B cell") - names.index("monocyte")) == 1
    expected = told.similarity.loc[names, names].to_numpy()
    assert np.array_equal(axes.images[0].get_array(), expected)
    assert [text.get_text() for text in axes.texts] == [f"{value:.2f}" for value in expected.ravel()]
    assert axes.images[0].get_clim()[0] >= 0


def test_cosines_below_zero_have_a_map_around_it_and_many_groups_no_numbers(told):
    rng = np.random.default_rng(0)
    names = [f"group {i}" for i in range(16)]
    vectors = rng.normal(size=(16, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    many = told.changed(similarity=pd.DataFrame(vectors @ vectors.T, names, names))
    axes = pl.groups(many)
    assert axes.images[0].get_clim() == (-1, 1)
    assert not axes.texts
    assert len(pl.groups(many, groups=names[:15]).texts) == 225
    assert len(pl.groups(many, groups=names[:1]).texts) == 1


@pytest.mark.parametrize("draw", [pl.contributions, pl.pathways, pl.groups])
def test_an_anndata_that_was_written_and_read_gives_the_same(draw, told, tmp_path):
    in_uns(told, "mine").write_h5ad(tmp_path / "cells.h5ad")
    draw(told, save=tmp_path / "a.svg")
    draw(read_h5ad(tmp_path / "cells.h5ad"), key="mine", save=tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("draw", [pl.contributions, pl.pathways, pl.groups])
def test_what_is_not_there_is_an_error_that_lists_what_is(draw, told):
    with pytest.raises(InputError, match=r"'neuron'.*B.*T cell, monocyte"):
        draw(told, groups=["B cell", "neuron"])
    with pytest.raises(InputError, match="'lexicell_explain'"):
        draw(in_uns(told, "other"))
    empty = AnnData(np.zeros((1, 1), np.float32), uns={"lexicell_explain": {"method": "none"}})
    with pytest.raises(InputError, match=r"has no table .*\(there: method\)"):
        draw(empty)
    with pytest.raises(InputError, match="has no table"):
        draw(object())


def test_a_column_that_is_missing_is_named_and_no_line_is_no_picture(told):
    with pytest.raises(InputError, match=r"'gene'.*group, contribution"):
        pl.contributions(told.changed(genes=told.genes.drop(columns="gene")))
    with pytest.raises(InputError, match="'p_adjusted'"):
        pl.pathways(told.changed(pathways=told.pathways.drop(columns="p_adjusted")))
    with pytest.raises(InputError, match="has no line"):
        pl.pathways(told.changed(pathways=told.pathways[:0]))
    with pytest.raises(InputError, match="no gene contributes more"):
        pl.contributions(told.changed(genes=told.genes.assign(contribution=-1.0)))
    with pytest.raises(InputError, match="other columns than rows"):
        pl.groups(told.changed(similarity=told.similarity.iloc[:, :2]))
    with pytest.raises(InputError, match="dots or waterfall"):
        pl.contributions(told, kind="bars")


def test_what_explain_returns_is_drawn_as_what_it_writes_into_uns():
    genes = ["CD3D", "CD79A", "MS4A1", "LYZ", "NKG7", "GNLY"]
    counts = np.random.default_rng(0).poisson(2, (12, 6)).astype(np.float32) + 1
    adata = AnnData(counts, obs=pd.DataFrame({"group": list("abc") * 4}, index=list("abcdefghijkl")))
    adata.var_names = genes
    options = {"sets": None, "values": "counts", "permutations": 9, "listener": lambda event: None}
    found = lexicell.explain(adata, group="group", **options)
    lexicell.tl.explain(adata, "group", **options)
    drawn = [pl.contributions(of, n_genes=2).collections[0].get_array() for of in (found, adata)]
    assert drawn[0].tolist() == drawn[1].tolist()
    assert ticks(pl.groups(found).yaxis) == ticks(pl.groups(adata).yaxis)
