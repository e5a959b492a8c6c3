"""Exports of real cells: with Geneformer's own dictionaries, and against formulas of the consumers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests.engine.exports.cases import table_of

import lexicell
from lexicell.embedding import AlignOptions, align_cells
from lexicell.embedding.events import ignore
from lexicell.embedding.inputs import open_data
from lexicell.exports import export

#: Geneformer's v1, as published.
DICTIONARIES = Path(__file__).parents[2] / "data/geneformer_gc30M.json.gz"


@pytest.fixture(params=["pbmc3k_raw_labelled", "baron_h1_pancreas", "merfish_mouse_brain_1000x1122"])
def real(request, data):
    """A real data set, of which the large ones give their first 600 cells."""
    return ad.read_h5ad(data(f"{request.param}.h5ad"))[:600].copy()


def names_of(adata):
    """Symbols, which lie in a column where the index has numbers."""
    column = next((name for name in ("gene_name", "gene_symbol", "symbol") if name in adata.var), None)
    return pd.Series(adata.var_names if column is None else adata.var[column].astype(str).to_numpy())


def rows_of(adata):
    """Row of the lexicon of each column."""
    return align_cells(open_data(adata), AlignOptions(min_coverage=None)).alignment.rows


def shared_ids():
    """Ensembl ids that the lexicon has of several genes."""
    listed = lexicell.Lexicon.open("human-go-minilm").genes.column("ensembl_ids").to_pylist()
    first = pd.Series([ids[0] for ids in listed if ids])
    return set(first[first.duplicated()])


def published():
    both = json.loads(gzip.decompress(DICTIONARIES.read_bytes()))
    return both["tokens"], both["medians"]


def expected(x, token, median, k=2_048):
    """Tokens of each cell by the contract's formula, and where equal scores stand together."""
    for row in x:
        counts = np.asarray(row.toarray()[0], np.float64)
        here = np.flatnonzero((counts > 0) & (token >= 0))
        score = counts[here] / counts.sum() * 10_000 / median[here]
        yield token[here][np.lexsort((token[here], -score))][:k].tolist()


def test_all_cells_of_pbmc3k_have_the_tokens_of_the_formula(pbmc3k, data, tmp_path):
    tokens, medians = published()
    given = {"tokens": DICTIONARIES, "medians": DICTIONARIES, "listener": ignore}
    done = export("geneformer", data("pbmc3k_raw_labelled.h5ad"), tmp_path / "out", **given)
    assert done.facts["genes_with_token"] == 20_331
    assert done.facts["totals"] == "sums of rows"
    ids = pbmc3k.var["gene_ids"]
    token = np.array([tokens.get(one, -1) for one in ids])
    median = np.array([medians.get(one, 1.0) for one in ids])
    found = table_of(tmp_path / "out").column("input_ids").to_pylist()
    assert sum(a == b for a, b in zip(found, expected(pbmc3k.X, token, median), strict=True)) == 2_700


def test_an_export_of_real_cells_is_a_function_of_the_cell(real, tmp_path):
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(real.n_obs), rng.permutation(real.n_vars)
    moved = real[rows][:, columns].copy()
    for name, options in (
        ("cell-sentence", {"top": 100}),
        ("cell-sentence", {}),
        ("chat", {"label": "cell_type", "shuffle_candidates": 1}),
        ("ranked", {"top": 256, "container": "hf"}),
    ):
        found = []
        for at, cells in enumerate((real, moved)):
            out = tmp_path / f"{name}-{len(options)}-{at}"
            export(name, cells, out, listener=ignore, **options)
            if name == "chat":
                of_cell = {one["cell_id"]: one for one in json.loads((out / "chat.json").read_text())}
            else:
                table = table_of(out).drop_columns(["row"] if name == "ranked" else [])
                of_cell = {one["cell_id"]: one for one in table.to_pylist()}
            found.append(of_cell)
        assert found[0] == found[1]


def test_sentences_of_real_cells_are_those_of_the_formula(real, tmp_path):
    export("cell-sentence", real, tmp_path / "out", listener=ignore)
    words = list(json.loads((tmp_path / "out/_vocabulary.json").read_text()))
    lexicon = lexicell.Lexicon.open("human-go-minilm")
    place = {}
    for at, symbol in enumerate(lexicon.genes.column("symbol").to_pylist()):
        place.setdefault(symbol.upper(), at)
    assert [place[word] for word in words] == sorted(place[word] for word in words)
    rows = rows_of(real)
    symbols = np.array(lexicon.genes.column("symbol").to_pylist(), object)
    sentences = table_of(tmp_path / "out").column("cell_sentence").to_pylist()
    for row, sentence in zip(real.X, sentences, strict=True):
        counts: dict[str, float] = {}
        dense = np.asarray(row.toarray()[0], float)
        for at in np.flatnonzero((dense > 0) & (rows >= 0)):
            word = symbols[rows[at]].upper()
            counts[word] = counts.get(word, 0) + dense[at]
        # Columns of another spelling of a word count too, so only words that have one column are compared.
        said = sentence.split()
        assert set(counts) <= set(said)
        alone = [word for word in said if word in counts]
        listed = sorted(counts, key=lambda word: (-counts[word], place[word]))
        assert len(alone) == len(listed)
        assert sum(a != b for a, b in zip(alone, listed, strict=True)) <= 4


def test_counts_of_real_cells_are_all_there(real, tmp_path):
    done = export("counts", real, tmp_path / "o.h5ad", listener=ignore)
    found = ad.read_h5ad(tmp_path / "o.h5ad")
    x = real.X.toarray().astype(float)
    assert found.obs["n_counts"].tolist() == x.sum(axis=1).tolist()
    assert found.X.sum() == x.sum()
    assert found.var_names.str.upper().is_unique
    rows = pd.Series(rows_of(real))
    gene = rows.where(rows >= 0, -1 - np.arange(len(rows)))
    single = ~(names_of(real).str.upper().duplicated(keep=False) | gene.duplicated(keep=False)).to_numpy()
    single &= names_of(real).isin(found.var_names).to_numpy()  # genes that share an Ensembl id are one
    single &= ~found.var["ensembl_id"].reindex(names_of(real)).isin(shared_ids()).to_numpy()
    assert single.mean() > 0.97
    assert np.array_equal(found[:, names_of(real)[single]].X.toarray(), x[:, single])
    longest = int((x > 0).sum(axis=1).max())
    assert (longest > 1_199) == (not done.facts["consumers"]["scGPT"].startswith("0 cells"))


def test_a_bank_of_real_cells_has_all_counts(real, tmp_path):
    names = list(dict.fromkeys(names_of(real)))[::-1]
    (tmp_path / "v.json").write_text(json.dumps({name: at for at, name in enumerate(names)}))
    export("scbank", real, tmp_path / "o.scb", vocab=tmp_path / "v.json", listener=ignore)
    token = {name: at for at, name in enumerate(names)}
    rows = pq.read_table(tmp_path / "o.scb/counts.datatable.parquet").slice(0, 100).to_pylist()
    called = names_of(real)
    for row, x in zip(rows, real.X[:100].toarray(), strict=True):
        here = np.flatnonzero(x)
        assert row["genes"] == [token[called[at]] for at in here]
        assert row["expressions"] == x[here].tolist()
