"""Which gene a data set's column is: every route, and what happens where two lead to one place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lexicell.counts import open_counts
from lexicell.embedding import AlignOptions, align_cells, gene_coverage
from lexicell.errors import InputError
from lexicell.lexicon import EncoderInfo, Lexicon, Route, TextInfo, align_genes, write_lexicon

#: ncbi id, symbol, Ensembl ids, aliases, mouse symbols
GENES = [
    (12, "ALPHA", ["ENSG01", "ENSG11"], ["A1", "SHARED"], ["Alpha"]),
    (34, "BETA", ["ENSG02"], ["SHARED", "GAMMA"], ["Beta1", "Beta2"]),
    (56, "GAMMA", ["ENSG03", "ENSG99"], [], ["Delta"]),
    (78, "DELTA", ["ENSG04", "ENSG99"], ["DEL"], ["Delta"]),
    (90, "LONER", [], [], []),
]


def make(path: Path, rows: list[tuple], organism: str) -> Lexicon:
    names = pa.list_(pa.string())
    ids, symbols, ensembl, aliases, mouse = zip(*rows, strict=True)
    genes = pa.table(
        {
            "ncbi_id": pa.array(ids, pa.int64()),
            "symbol": pa.array(symbols),
            "ensembl_ids": pa.array(ensembl, names),
            "aliases": pa.array(aliases, names),
            "mouse_symbols": pa.array(mouse, names),
            "name": pa.array(symbols),
            "text": pa.array(symbols),
            "text_source": pa.array(["a test"] * len(rows)),
        }
    )
    return write_lexicon(
        path,
        genes,
        np.eye(len(rows), dtype=np.float32),
        name="five",
        organism=organism,
        text=TextInfo(source="a test"),
        encoder=EncoderInfo(id="none", revision="0", pooling="mean", max_tokens=1, normalised=False),
    )


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory) -> Lexicon:
    return make(tmp_path_factory.mktemp("align") / "lexicon", GENES, "human")


def var(*names: str, **columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=list(names))


@pytest.mark.parametrize(
    ("name", "row", "route"),
    [
        ("ENSG02", 1, Route.ENSEMBL),
        ("ENSG02.17", 1, Route.ENSEMBL),
        ("ensg02", 1, Route.ENSEMBL),
        ("ENSG11", 0, Route.ENSEMBL),  # the second id of a gene
        ("56", 2, Route.NCBI),
        ("BETA", 1, Route.SYMBOL),
        (" BETA ", 1, Route.SYMBOL),
        ("A1", 0, Route.ALIAS),
        ("GAMMA", 2, Route.SYMBOL),  # also an alias of BETA: the symbol is stronger
        ("ENSG77", -1, Route.NONE),
        ("nothing", -1, Route.NONE),
        ("", -1, Route.NONE),
    ],
)
def test_each_route_finds_its_gene(lexicon, name, row, route):
    found = align_genes(lexicon, var("LONER", name), organism="human")
    assert (found.rows[1], found.routes[1]) == (row, route)
    assert found.rows.dtype == np.int32


@pytest.mark.parametrize(
    ("name", "row", "route"),
    [
        ("Alpha", 0, Route.ORTHOLOGUE),
        ("ALPHA", 0, Route.ORTHOLOGUE),  # upper case, as many mouse data sets are
        ("Beta2", 1, Route.ORTHOLOGUE),
        ("Delta", 3, Route.ORTHOLOGUE),  # of two human genes the one of the same name
        ("Loner", 4, Route.SAME_NAME),  # in no orthologue table
        ("Nothing", -1, Route.NONE),
    ],
)
def test_mouse_symbols_find_the_human_gene_in_any_case(lexicon, name, row, route):
    found = align_genes(lexicon, var(name), organism="mouse")
    assert (found.rows[0], found.routes[0]) == (row, route)


def test_a_mouse_lexicon_finds_its_symbols_in_any_case(tmp_path):
    mouse = make(tmp_path / "mouse", [(1, "Cd3e", [], [], []), (2, "Ins2", [], ["Mody4"], [])], "mouse")
    found = align_genes(mouse, var("CD3E", "Ins2", "Nothing"))
    assert found.organism == "mouse"
    assert found.rows.tolist() == [0, 1, -1]
    assert found.routes.tolist() == [Route.SAME_NAME, Route.SYMBOL, Route.NONE]
    assert align_genes(mouse, var("MODY4", "CD3E")).rows.tolist() == [1, 0]  # an alias


def test_human_symbols_are_not_found_in_another_case(lexicon):
    assert align_genes(lexicon, var("ALPHA", "Loner"), organism="human").rows.tolist() == [0, -1]


def test_names_that_could_mean_two_genes_are_left_out_and_told(lexicon):
    found = align_genes(lexicon, var("SHARED", "ENSG99", "ALPHA"))
    assert found.rows.tolist() == [-1, -1, 0]
    assert found.ambiguous == ("SHARED", "ENSG99")
    assert found.routes.tolist() == [Route.NONE, Route.NONE, Route.SYMBOL]


def test_an_alias_gives_way_to_the_genes_own_name(lexicon):
    found = align_genes(lexicon, var("DEL", "BETA", "DELTA"))
    assert found.rows.tolist() == [-1, 1, 3]
    assert found.displaced == ("DEL",)
    alone = align_genes(lexicon, var("DEL", "BETA"))
    assert alone.rows.tolist() == [3, 1]
    assert alone.displaced == ()


def test_two_exact_names_of_one_gene_are_both_kept(lexicon):
    found = align_genes(lexicon, var("ENSG01", "ENSG11.2", "BETA", "BETA"))
    assert found.rows.tolist() == [0, 0, 1, 1]
    assert (found.n_matched, found.n_genes) == (4, 2)


def test_the_column_with_most_exact_matches_is_read(lexicon):
    table = var("x", "BETA", "y", ids=["ENSG01", "ENSG02", "ENSG03"], other=["ALPHA", "q", "GAMMA"])
    found = align_genes(lexicon, table)
    assert (found.column, found.n_matched) == ("ids", 3)
    assert found.names == ("ENSG01", "ENSG02", "ENSG03")
    # Three aliases are less than two symbols.
    aliases = var("ALPHA", "BETA", "z", names=["A1", "DEL", "A1"])
    assert align_genes(lexicon, aliases).column == "index"


def test_categories_and_gaps_are_read(lexicon):
    table = var("x", "y", "z", gene=pd.Categorical(["ALPHA", None, "BETA"]))
    found = align_genes(lexicon, table)
    assert (found.column, found.rows.tolist()) == ("gene", [0, -1, 1])


def test_numbers_are_ncbi_ids_only_where_the_column_says_so(lexicon):
    numbers = [12, 34, 56]
    assert align_genes(lexicon, var("x", "BETA", "y", n_cells=numbers)).column == "index"
    for name in ("gene_id", "ncbi", "EntrezGene", "geneid"):
        found = align_genes(lexicon, var("x", "BETA", "y", **{name: numbers}))
        assert (found.column, found.rows.tolist()) == (name, [0, 1, 2])
    # A person may know better.
    assert align_genes(lexicon, var("x", "y", "z", n_cells=numbers), column="n_cells").n_matched == 3


def test_ncbi_ids_are_read_as_text_and_as_numbers_with_gaps(lexicon):
    for ids in (["12", "34", "none"], [12.0, 34.0, np.nan], pd.array([12, 34, None], "Int64")):
        found = align_genes(lexicon, var("x", "y", "z", gene_id=ids))
        assert found.rows.tolist() == [0, 1, -1]
        assert found.by_route() == {"NCBI id": 2}


def test_a_given_column_is_read_and_a_wrong_one_lists_what_there_is(lexicon):
    table = var("ALPHA", "BETA", ids=["nothing", "A1"], more=["", ""])
    assert align_genes(lexicon, table, column="ids").rows.tolist() == [-1, 0]
    assert align_genes(lexicon, table, column="index").n_matched == 2
    with pytest.raises(InputError, match=r"'symbols'.*ids, more"):
        align_genes(lexicon, table, column="symbols")
    with pytest.raises(InputError, match="columns: none"):
        align_genes(lexicon, var("ALPHA"), column="symbols")


def test_an_organism_the_lexicon_does_not_know_is_refused(lexicon):
    with pytest.raises(InputError, match="'zebrafish'"):
        align_genes(lexicon, var("ALPHA"), organism="zebrafish")


def test_nothing_in_common_is_an_alignment_without_matches(lexicon):
    found = align_genes(lexicon, var("x", "y"))
    assert (found.n_matched, found.n_genes, found.by_route()) == (0, 0, {})
    assert "0 of 2 columns described (none)" in found.describe()


def test_what_was_understood_is_told_in_one_line(lexicon):
    told = align_genes(lexicon, var("x", "y", "z", gene=["ALPHA", "ENSG02", "DEL"])).describe()
    assert told == (
        "genes: 3 of 3 columns described (1 by Ensembl id, 1 by symbol, 1 by alias), "
        "read from var['gene'] as human genes"
    )


@pytest.mark.parametrize(
    ("names", "organism"),
    [
        (["Rho", "Cd79a", "Ms4a1", "Actb", "Gapdh"], "mouse"),
        (["RHO", "CD79A", "MS4A1", "ACTB", "GAPDH"], "human"),
        (["ENSG00000156738.4", "ENSG00000105369"], "human"),
    ],
)
def test_the_organism_is_told_from_the_names(bundled, names, organism):
    found = align_genes(bundled, var(*names))
    assert (found.organism, found.n_matched) == (organism, len(names))


def test_both_spellings_of_a_gene_lead_to_one_row(bundled):
    human = align_genes(bundled, var("RHO", "CD79A", "MS4A1", "ACTB"))
    mouse = align_genes(bundled, var("Rho", "Cd79a", "Ms4a1", "Actb"))
    ids = align_genes(
        bundled, var("ENSG00000163914", "ENSG00000105369", "ENSG00000156738", "ENSG00000075624")
    )
    numbers = align_genes(bundled, var("6010", "973", "931", "60"))
    for other in (mouse, ids, numbers):
        np.testing.assert_array_equal(other.rows, human.rows)


@pytest.mark.parametrize(
    ("name", "column", "organism", "matched", "coverage"),
    [
        ("pbmc3k", "gene_ids", "human", 18_500, 0.98),
        ("baron", "index", "human", 18_500, 0.98),
        ("retina", "index", "mouse", 240, 0.96),
    ],
)
def test_real_data_are_understood_without_a_word(
    request, data, bundled, name, column, organism, matched, coverage
):
    adata = request.getfixturevalue(name)
    with open_counts(adata) as source:
        aligned = align_cells(source, AlignOptions(lexicon=bundled, min_coverage=None))
        found, report = aligned.alignment, gene_coverage(aligned)
    assert (found.column, found.organism) == (column, organism)
    assert found.n_matched >= matched
    assert report.coverage >= coverage
    totals = np.asarray(adata.X.sum(axis=0)).ravel()
    assert report.coverage == pytest.approx(totals[found.rows >= 0].sum() / totals.sum())
    assert sum(n for _, n, _ in report.routes) == adata.n_vars
    assert sum(share for *_, share in report.routes) == pytest.approx(1)


def test_the_most_expressed_genes_without_a_description_are_named(bundled, baron):
    with open_counts(baron) as source:
        report = gene_coverage(align_cells(source, AlignOptions(lexicon=bundled)), n_missing=7)
    assert len(report.missing) == 7
    shares = [share for _, share in report.missing]
    assert shares == sorted(shares, reverse=True)
    totals = np.asarray(baron.X.sum(axis=0)).ravel()
    undescribed = np.where(report.alignment.rows < 0, totals, -1)
    assert report.missing[0] == (
        baron.var_names[undescribed.argmax()],
        pytest.approx(undescribed.max() / totals.sum()),
    )


def test_a_title_case_copy_of_the_retina_is_the_same_data(bundled, retina):
    upper = align_genes(bundled, retina.var)
    title = align_genes(bundled, var(*(name.capitalize() for name in retina.var_names)))
    assert title.organism == "mouse"
    np.testing.assert_array_equal(title.rows, upper.rows)


def test_mitochondrial_genes_are_found_by_their_names_in_ensembl_and_in_mouse(bundled):
    human = pd.DataFrame(index=["MT-CO1", "MT-CO2", "MT-CYB", "MT-ND4L", "CD3D"])
    symbols = bundled.genes.column("symbol").to_pylist()
    found = align_genes(bundled, human)
    assert [symbols[row] for row in found.rows] == ["COX1", "COX2", "CYTB", "ND4L", "CD3D"]
    mouse = align_genes(bundled, pd.DataFrame(index=["mt-Co1", "mt-Cytb", "mt-Nd1"]), organism="mouse")
    assert [symbols[row] for row in mouse.rows] == ["COX1", "CYTB", "ND1"]


def test_a_retired_id_is_replaced_by_the_symbol_beside_it_but_not_by_an_alias(bundled):
    names = bundled.genes.slice(0, 4).to_pylist()
    symbols = [gene["symbol"] for gene in names]
    ids = [gene["ensembl_ids"][0] for gene in names]
    alias = bundled.genes.column("aliases").to_pylist()[10][0]
    var = pd.DataFrame(
        {"ids": [*ids[:3], "ENSG09999999999", "ENSG09999999998", "ENSG09999999997"]},
        index=["cell", "of", "unknown names", symbols[3], alias, symbols[0]],
    )
    found = align_genes(bundled, var)
    assert found.column == "ids"
    assert found.filled == (("index", 1),)
    assert list(found.rows) == [0, 1, 2, 3, -1, -1]
    assert "and 1 from the index of var" in found.describe()
    assert list(align_genes(bundled, var, column="ids").rows) == [0, 1, 2, -1, -1, -1]


def test_names_that_are_no_unicode_match_nothing_and_disturb_nobody(bundled: Lexicon) -> None:
    var = pd.DataFrame(index=pd.Index(["CD3D", "CD3\udcff", "CD19"], dtype=object))
    found = align_genes(bundled, var)
    assert (found.rows >= 0).tolist() == [True, False, True]
    assert found.names[1] == "CD3\udcff"


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"symbol": ["BETA", "ALPHA", "x"]},
        {"symbol": pd.Categorical(["BETA", "ALPHA", "x"])},
        {"symbol": [None, "ALPHA", "x"], "n": [1.5, 2, 3]},
    ],
)
def test_the_same_names_are_aligned_once(lexicon, columns):
    first = align_genes(lexicon, var("ENSG01", "GAMMA", "no", **columns))
    again = align_genes(lexicon, var("ENSG01", "GAMMA", "no", **columns))
    assert again is first
    assert not first.rows.flags.writeable
    assert not first.routes.flags.writeable


def test_what_changes_in_var_between_two_calls_is_seen(lexicon):
    of = var(
        "ENSG01", "GAMMA", "no", symbol=["ALPHA", "GAMMA", "DELTA"], kind=pd.Categorical(["a", "b", "b"])
    )
    seen = [align_genes(lexicon, of).rows.tolist()]
    of.loc["no", "symbol"] = "BETA"
    seen.append(align_genes(lexicon, of).rows.tolist())
    of.index = ["ENSG04", "GAMMA", "no"]
    seen.append(align_genes(lexicon, of, column="index").rows.tolist())
    seen.append(align_genes(lexicon, of, column="symbol").rows.tolist())
    assert seen == [[0, 2, 3], [0, 2, 1], [3, 2, -1], [0, 2, 1]]


def test_names_that_are_joined_otherwise_are_other_names(lexicon):
    """A digest of names one after the other would take these for the same."""
    assert align_genes(lexicon, var("ALPHA", "", "x")).n_genes == 1
    assert align_genes(lexicon, var("ALP", "HA", "x")).n_genes == 0


def test_objects_that_are_no_text_are_looked_at_each_time(lexicon):
    """Nothing says when two of them are the same: one may print otherwise the next time."""

    class Name:
        said = "ALPHA"

        def __str__(self) -> str:
            return self.said

    name = Name()
    of = pd.DataFrame({"symbol": [name, "GAMMA"]}, index=["x", "y"])
    assert align_genes(lexicon, of, column="symbol").rows.tolist() == [0, 2]
    name.said = "BETA"
    assert align_genes(lexicon, of, column="symbol").rows.tolist() == [1, 2]


def test_an_alignment_is_the_same_with_and_without_one_before(lexicon, tmp_path):
    of = var("ENSG01", "GAMMA", "no", symbol=["ALPHA", "GAMMA", "DELTA"])
    align_genes(lexicon, of)
    kept, fresh = align_genes(lexicon, of), align_genes(make(tmp_path / "lexicon", GENES, "human"), of)
    assert kept is not fresh
    for field in ("column", "organism", "names", "ambiguous", "displaced", "filled", "columns", "dates"):
        assert getattr(kept, field) == getattr(fresh, field)
    np.testing.assert_array_equal(kept.rows, fresh.rows)
    np.testing.assert_array_equal(kept.routes, fresh.routes)
