"""Sentences call up genes, and name cells of types that are there and of no others."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

import lexicell
from lexicell.embedding.events import Note, ignore
from lexicell.errors import InputError
from lexicell.words import encoding, shipped_types
from lexicell.words.encoding import encode_sentences
from lexicell.words.retrieval import call_up

pytest.importorskip("sklearn")

TYPES = {
    "B": "B lymphocyte: antibody production, B cell receptor signaling, humoral immune response",
    "monocyte": "monocyte: phagocytosis, innate immune response, inflammatory response to bacterium",
    "dendritic": "dendritic cell: antigen processing and presentation via MHC class II",
    "NK": "natural killer cell mediated cytotoxicity, killing of target cells, granzyme",
    "T": "T cell: T cell receptor complex, T cell activation, interleukin-7 receptor",
}
#: What labels of the demonstration's cells mean; "Dendritic" there is also half of the monocytes.
LABELS = {
    "CD19+ B": "B",
    "CD14+ Monocyte": "monocyte",
    "CD56+ NK": "NK",
    "CD4+/CD25 T Reg": "T",
    "CD4+/CD45RA+/CD25- Naive T": "T",
    "CD4+/CD45RO+ Memory": "T",
    "CD8+/CD45RA+ Naive Cytotoxic": "T",
}


@pytest.fixture(scope="module")
def lexicon():
    return lexicell.Lexicon.open("human-go-minilm")


@pytest.fixture(scope="module")
def atlas():
    from lexicell.cli.demo import load_cells

    return load_cells()


@pytest.fixture(scope="module")
def named(atlas):
    return lexicell.annotate(atlas, describe=TYPES, listener=ignore)


def area(score: np.ndarray, positive: np.ndarray) -> float:
    n = positive.sum()
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * (~positive).sum()))


def test_a_sentence_calls_up_the_genes_that_it_speaks_of(lexicon):
    table = lexicell.describe(["cell that secretes insulin", "CL:0000236"], lexicon=lexicon)
    first = table.groupby("type", sort=False)["gene"].agg(lambda genes: set(genes[:40]))
    assert "INS" in first["cell that secretes insulin"]
    assert "CD79B" in first["B cell"]
    assert table["likeness"].groupby(table["type"]).is_monotonic_decreasing.all()


def test_words_alone_call_up_genes_where_there_is_no_encoder(lexicon, monkeypatch):
    def missing(*args, **options):
        raise InputError("no encoder")

    monkeypatch.setattr(encoding, "encoder_of", missing)
    told = []
    sentence = ["a cell that secretes insulin, and no sentence that was shipped"]
    vectors = encode_sentences(sentence, lexicon, told.append)
    assert vectors is None
    assert [isinstance(note, Note) and note.serious for note in told] == [True]
    symbols = np.array(lexicon.genes.column("symbol").to_pylist())
    assert "INS" in symbols[np.argsort(-call_up(sentence, vectors, lexicon)[0])[:60]]


def test_what_no_text_of_a_gene_says_is_refused(lexicon):
    with pytest.raises(InputError, match="'qwxz vvkj'"):
        call_up(["insulin", "qwxz vvkj"], None, lexicon)


@pytest.mark.slow
def test_most_cells_get_their_name(atlas, named):
    truth = atlas.obs["bulk_labels"].astype(str).map(LABELS)
    known = truth.notna().to_numpy()
    right = named.cells["label"].astype(str).to_numpy()[known] == truth[known]
    assert right.mean() > 0.85
    assert named.mode == "described"
    assert named.types["present"].all()
    first = named.genes.groupby("type", sort=False)["gene"].agg(lambda genes: set(genes[:5]))
    assert {"CD79A", "CD79B"} & first["B"]
    assert {"NKG7", "GZMB", "GNLY"} & first["NK"]


def test_sentences_under_the_names_of_others_are_wrong(atlas, encoder_packages):
    names, sentences = list(TYPES), list(TYPES.values())
    scrambled = dict(zip(names, sentences[1:] + sentences[:1], strict=True))
    found = lexicell.annotate(atlas, describe=scrambled, listener=ignore)
    truth = atlas.obs["bulk_labels"].astype(str).map(LABELS)
    known = truth.notna().to_numpy()
    assert (found.cells["label"].astype(str).to_numpy()[known] == truth[known]).mean() < 0.1


def test_types_that_are_not_there_end_empty(atlas, named, encoder_packages):
    absent = ("hepatocyte", "retinal rod cell", "type B pancreatic cell")
    found = lexicell.annotate(atlas, describe=TYPES, types=absent, listener=ignore)
    assert not found.types["present"][list(absent)].any()
    assert not set(absent) & set(found.cells["label"])
    same = found.cells["label"].astype(str).to_numpy() == named.cells["label"].astype(str).to_numpy()
    assert same.mean() > 0.8  # they compete until they are known not to be there


def test_the_order_of_cells_and_genes_decides_nothing(atlas, named):
    rng = np.random.default_rng(3)
    rows, columns = rng.permutation(atlas.n_obs), rng.permutation(atlas.n_vars)
    found = lexicell.annotate(atlas[rows, columns].copy(), describe=TYPES, listener=ignore)
    pd.testing.assert_series_equal(
        found.cells["label"].astype(str), named.cells["label"].astype(str).iloc[rows]
    )
    assert np.allclose(found.types["evidence"], named.types["evidence"], atol=1e-6)


@pytest.mark.slow
def test_what_genes_add_is_what_the_score_is_made_of(atlas, named):
    """The sum over genes is the mean score of a type's cells above that of all, before it is standardised."""
    from lexicell.embedding import AlignOptions, align_cells
    from lexicell.embedding.inputs import open_data
    from lexicell.words import name_cells, read_descriptions

    with open_data(atlas) as source:
        cells = align_cells(source, AlignOptions())
        found = name_cells(cells, read_descriptions(TYPES), seed=0, listener=ignore)
        again = cells.select(None)
    logged = np.zeros((atlas.n_obs, again.n_lexicon))
    row = np.repeat(np.arange(atlas.n_obs), np.diff(again.indptr))
    logged[row, again.genes] = again.weights()
    symbols = np.asarray(cells.lexicon.genes.column("symbol").to_pylist(), dtype=object)
    place = {symbol: i for i, symbol in enumerate(symbols) if i in set(cells.genes.rows.tolist())}
    mine = found.probability.argmax(axis=1) == list(TYPES).index("B")
    genes = found.genes[found.genes["type"] == "B"]
    at = [place[gene] for gene in genes["gene"]]
    spread = np.maximum(logged[:, at].std(axis=0), 0.5)
    added = genes["weight"] / spread * (logged[mine][:, at].mean(axis=0) - logged[:, at].mean(axis=0))
    assert np.allclose(added, genes["added"], atol=1e-5)


def test_an_annotated_anndata_has_the_evidence_and_can_be_written(atlas, named, tmp_path):
    import anndata

    adata = atlas.copy()
    lexicell.tl.annotate(adata, describe=TYPES, listener=ignore)
    adata.write_h5ad(tmp_path / "named.h5ad")
    again = anndata.read_h5ad(tmp_path / "named.h5ad")
    assert (again.obs["lexicell_label"].astype(str) == named.cells["label"].astype(str)).all()
    assert list(again.uns["lexicell_label"]["types"].index) == list(TYPES)
    assert len(again.uns["lexicell_label"]["genes"]) == len(named.genes)


def test_cells_without_genes_are_unknown(atlas):
    empty = atlas.copy()
    empty.X.data[empty.X.indptr[5] : empty.X.indptr[6]] = 0
    found = lexicell.annotate(empty, describe=TYPES, listener=ignore)
    assert found.cells["label"].iloc[5] == "unknown"


def test_a_search_finds_what_the_sentence_says(atlas):
    adata = atlas.copy()
    lexicell.tl.score_text(adata, {"b": TYPES["B"], "n": TYPES["NK"]}, prefix="score_", listener=ignore)
    labels = adata.obs["bulk_labels"].astype(str)
    assert area(adata.obs["score_b"].to_numpy(), (labels == "CD19+ B").to_numpy()) > 0.97
    assert area(adata.obs["score_n"].to_numpy(), (labels == "CD56+ NK").to_numpy()) > 0.9
    before = adata.obs.columns
    with pytest.raises(InputError, match="leave output out"):
        lexicell.tl.score_text(adata, "B cell", output="x.csv")
    assert list(adata.obs.columns) == list(before)


def test_a_search_by_genes_or_by_a_cell(atlas, tmp_path):
    by_genes = lexicell.search(atlas, genes=["CD79A", "MS4A1"], listener=ignore)
    labels = atlas.obs["bulk_labels"].astype(str)
    assert area(by_genes.scores.iloc[:, 0].to_numpy(), (labels == "CD19+ B").to_numpy()) > 0.97
    atlas.write_h5ad(tmp_path / "in.h5ad")
    lexicell.embed(tmp_path / "in.h5ad", tmp_path / "out.zarr", listener=ignore)
    cell = atlas.obs_names[7]
    stored = lexicell.search(tmp_path / "out.zarr", like=cell, listener=ignore)
    fresh = lexicell.search(tmp_path / "in.h5ad", like=cell, listener=ignore)
    assert stored.best(1)["cell"].tolist() == fresh.best(1)["cell"].tolist() == [cell]
    assert np.allclose(stored.scores, fresh.scores, atol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_counts_beside_vectors_are_searched_and_empty_cells_come_last(atlas, tmp_path):
    import anndata

    adata = atlas[:60].copy()
    adata.X.data[adata.X.indptr[5] : adata.X.indptr[6]] = 0
    lexicell.tl.embed(adata, listener=ignore)
    with anndata.settings.override(zarr_write_format=3):
        adata.write_zarr(tmp_path / "both.zarr")
    found = lexicell.search(tmp_path / "both.zarr", "B cell", listener=ignore)
    assert np.isnan(found.scores.iloc[5, 0])
    best = found.best(60)
    assert best["cell"].iloc[-1] == adata.obs_names[5]
    assert best["score"][:59].is_monotonic_decreasing


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give one of a sentence"),
        ({"text": "B cell", "like": "x"}, "give one of a sentence"),
        ({"like": "nobody"}, "no cell is called 'nobody'"),
        ({"text": ["B cell"] * 2}, "B cell"),
        ({"text": [f"cell {i} that secretes insulin" for i in range(1001)]}, "1,001 sentences are too many"),
        ({"text": ""}, "a sentence is empty"),
        ({"text": "cell", "output": "x.csv"}, "can't be called 'cell'"),
        ({"text": "B cell", "output": "scores.txt"}, "name such a file or a folder"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(atlas, options, says):
    with pytest.raises(InputError, match=says):
        lexicell.search(atlas, **options, listener=ignore)


def test_too_few_cells_and_too_few_genes_are_told(atlas):
    with pytest.raises(InputError, match="ten or more"):
        lexicell.annotate(atlas[:5].copy(), describe=TYPES, listener=ignore)
    few = atlas[:, ["CD3D", "CD79A", "LYZ", "NKG7"]].copy()
    with pytest.raises(InputError, match=r"200.*'B'"):
        lexicell.annotate(few, describe=TYPES, min_coverage=0, listener=ignore)


def test_sentences_with_the_same_genes_are_told(atlas):
    told = []
    alike = {"a": TYPES["B"], "b": TYPES["B"].upper().replace("RESPONSE", "responses"), "T": TYPES["T"]}
    lexicell.annotate(atlas, describe=alike, listener=told.append)
    assert any("'a' and 'b' call up the same genes" in getattr(note, "text", "") for note in told)


def test_what_little_speaks_for_and_what_has_no_rival_is_told(atlas):
    told = []
    weak = {"B": TYPES["B"], "liver": "hepatocyte: bile acid secretion, cholesterol metabolism, albumin"}
    found = lexicell.annotate(atlas, describe=weak, listener=told.append)
    texts = [getattr(note, "text", "") for note in told]
    alone = not found.types["present"]["liver"]
    assert any("only 'B' is found here" in text for text in texts) == alone
    assert alone or any("little speaks for 'liver'" in text for text in texts)


def test_a_sentence_in_another_language_is_told():
    told = []
    with suppress(InputError):  # without an encoder that is all there is
        lexicell.describe("zzqx Tröpfchenwolken überqueren Gebirgsbäche", listener=told.append)
    assert any("no gene's text has a word of 'zzqx" in getattr(note, "text", "") for note in told)


def test_shipped_types_name_the_blood_of_the_demonstration(atlas):
    found = lexicell.annotate(atlas, types="blood", listener=ignore)
    assert len(shipped_types("blood")) == len(found.types)
    labels = atlas.obs["bulk_labels"].astype(str)
    b_cells = found.cells["label"].astype(str)[(labels == "CD19+ B").to_numpy()]
    assert b_cells.isin(["B cell", "plasma cell"]).mean() > 0.8
