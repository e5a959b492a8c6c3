"""Sets of genes: what they contribute, beside other genes of like expression and an established method."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import lexicell
from lexicell.embedding.events import ignore
from lexicell.errors import CoverageError, InputError, InputNotFoundError
from lexicell.explanation.pathways import Pathways, read_pathways
from lexicell.lexicon.gene_sets import go_sets_of_texts


def pathways(members, m):
    table = np.zeros((len(members), m))
    for row, genes in zip(table, members.values(), strict=True):
        row[list(genes)] = 1
    names = np.array(list(members), object)
    return Pathways("sets", names, names, sp.csr_array(table))


def added_up(members, values, expression=None, **options):
    m = len(values)
    genes = np.array([f"g{i}" for i in range(m)], object)
    expression = np.linspace(1, 2, m) if expression is None else expression
    given = {"permutations": 400, "seed": 0} | options
    return (
        pathways(members, m).contributions(genes, values, expression, expression > 0, **given).set_index("id")
    )


def test_a_set_contributes_what_its_genes_do():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.01, 600)
    planted = np.arange(10, 600, 30)
    values[planted] += 0.05
    sets = {"planted": planted, "none": rng.choice(600, 20, replace=False), "less": np.arange(0, 600, 40)}
    values[sets["less"]] -= 0.05
    found = added_up(sets, values)
    for name, genes in sets.items():
        assert found.loc[name, "contribution"] == pytest.approx(values[genes].sum())
        assert found.loc[name, "n_genes"] == len(genes)
    assert found.loc["planted", "p_value"] < 0.01
    assert found.loc["less", "p_value"] < 0.01
    assert found.loc["none", "p_value"] > 0.05
    assert found.index[-1] == "none"  # the largest first, either way
    leading = found.loc["planted", "genes"].split(",")
    assert leading == [f"g{i}" for i in planted[np.argsort(-values[planted])][:8]]


def test_highly_expressed_genes_are_compared_with_their_like():
    """A set of the genes that are expressed most contributes much, and no more than its like."""
    rng = np.random.default_rng(0)
    expression = np.sort(rng.exponential(size=1000))
    values = expression * rng.normal(0.01, 0.001, 1000)
    top = rng.choice(np.arange(960, 1000), 20, replace=False)
    assert (
        added_up({"top": top, "any": np.arange(0, 1000, 50)}, values, expression).loc["top", "p_value"] > 0.1
    )


def test_sets_of_no_small_p_value_end_early_and_the_others_are_told_finely():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.01, 600)
    planted = np.arange(10, 600, 30)
    values[planted] += 0.05
    sets = {"planted": planted, **{f"n{i}": rng.choice(600, 20, replace=False) for i in range(30)}}
    found, more = (added_up(sets, values, permutations=n)["p_value"] for n in (400, 6_000))
    assert found["planted"] == 2 / 401
    assert more["planted"] == 2 / 6_001
    others = found.index.drop("planted")
    np.testing.assert_allclose(found[others], more[others], atol=0.15)
    assert (found[others] > 0.005).all()


def test_small_large_and_unused_sets_are_left_out():
    values, expression = np.ones(700), np.ones(700)
    expression[:5] = 0
    sets = {"small": range(9), "large": range(100, 601), "unused": range(12), "kept": range(5, 15)}
    assert added_up(sets, values, expression).index.tolist() == ["kept"]
    assert set(added_up(sets, values, expression, least=4).index) == {"kept", "small", "unused"}


def test_a_set_that_contributes_less_than_chance_is_not_told_as_one_that_does():
    """Contributions of all genes are above zero: a set of small ones has a sum above zero, too."""
    values = np.random.default_rng(0).uniform(0.5, 1, 600)
    values[100:130] = 0.1
    found = added_up({"less": range(100, 130), "any": range(0, 600, 20)}, values)
    assert found.loc["less", "contribution"] > 0
    assert found.loc["less", "p_value"] == 1


def test_a_set_that_says_the_same_is_marked():
    values = np.zeros(200)
    values[:20], values[30:60], values[100:112] = 0.1, 0.08, -0.1
    sets = {
        "whole": range(30),
        "part": range(5, 25),
        "few": [*range(60, 75), 1, 2],
        "mixed": [*range(30, 60), *range(100, 108)],
        "against": range(95, 112),  # most of it lies in a stronger set that says the opposite
    }
    found = added_up(sets, values)["redundant_with"]
    assert found.to_dict() == {"whole": "", "part": "whole", "few": "whole", "mixed": "", "against": ""}


def test_terms_of_texts_are_sets(bundled):
    sets = {one.id: one for one in go_sets_of_texts(bundled).sets}
    table = bundled.read_genes(["ncbi_id", "text"])
    counted = set()
    for number, text in zip(*(table.column(name).to_pylist() for name in ("ncbi_id", "text")), strict=True):
        part = (text or "").partition("Molecular function: ")[2]
        for end in (". Involved in: ", ". Located in: "):
            part = part.partition(end)[0]
        if "hormone activity" in part.rstrip(".").split("; "):
            counted.add(str(number))
    hormones = sets["hormone activity"].genes
    assert "3630" in hormones  # INS
    assert hormones == counted


def test_texts_without_terms_give_no_pathways(make_lexicon, notes):
    lexicon = make_lexicon(np.eye(4, dtype=np.float32))
    assert go_sets_of_texts(lexicon).sets == ()
    assert read_pathways("go", lexicon, np.arange(4, dtype=np.int32), notes) is None
    assert "give gene sets" in notes[0]


def gmt(folder, sets):
    path = folder / "mine.gmt"
    path.write_text(
        "".join(f"{name}\tabout {name}\t" + "\t".join(genes) + "\n" for name, genes in sets.items())
    )
    return path


@pytest.mark.parametrize("how", ["file", "mapping"])
def test_sets_of_ones_own_are_looked_up(donors, tmp_path, how):
    sets = {"first": list(donors.var_names[:40]), "second": list(donors.var_names[300:400])}
    given = gmt(tmp_path, sets) if how == "file" else sets
    found = lexicell.explain(donors, group="kind", sets=given, permutations=50, listener=ignore)
    assert set(found.pathways["id"]) == {"first", "second"}
    assert set(found.pathways["pathway"]) == set(sets)
    for (group, name), row in found.pathways.set_index(["group", "id"]).iterrows():
        genes = found.genes[(found.genes["group"] == group) & found.genes["column"].isin(sets[name])]
        genes = genes[genes[["share_of_cells", "share_of_rest"]].max(axis=1) >= 0.005]
        assert row["n_genes"] == len(genes)
        assert row["contribution"] == pytest.approx(genes["contribution"].sum())


@pytest.mark.parametrize(
    ("sets", "kind", "says"),
    [
        ({"empty": []}, InputError, "gene set 'empty' is empty or no list"),
        ({"mine": ["XYZ1", "XYZ2"]}, InputError, "none of the 2 genes of the gene sets"),
        ({"few": ["CD79A", "CD79B"]}, CoverageError, "no set of the gene sets has 3 genes .* largest has 2"),
        ({"text": "CD79A"}, InputError, "'text' is empty or no list"),
        (5, InputError, "not 5"),
        ("none.gmt", InputNotFoundError, "none.gmt does not exist"),
    ],
)
def test_sets_that_can_not_be_used_are_one_sentence(donors, sets, kind, says):
    with pytest.raises(kind, match=says):
        lexicell.explain(donors, group="kind", sets=sets, listener=ignore)


def test_an_established_method_stands_beside():
    pytest.importorskip("gseapy")
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.01, 600)
    planted = np.arange(10, 600, 30)
    values[planted] += 0.05
    found = added_up({"planted": planted, "none": range(0, 600, 29)}, values, gsea=True)
    assert found.loc["planted", "nes"] > 1.5
    assert found.loc["planted", "gsea_q"] < 0.01 < found.loc["none", "gsea_q"]
