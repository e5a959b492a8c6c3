"""Ranked exports against formulas of their own: tokens of Geneformer, sentences of genes."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from tests.engine.exports.cases import files, table_of

from lexicell.embedding.events import Committed, ignore
from lexicell.errors import CorruptDataError, CountsError, CoverageError, InputError
from lexicell.exports import export
from lexicell.store import verify

GENES = ("CD3D", "MS4A1", "NKG7", "LYZ", "CD8A", "GNLY", "PPBP", "CD79A")


@pytest.fixture
def dictionaries(tmp_path):
    """Ids of the lexicon, medians of widely different sizes, and no token for one gene."""
    from lexicell.lexicon import Lexicon

    table = Lexicon.open("human-go-minilm").genes
    of = zip(table.column("symbol").to_pylist(), table.column("ensembl_ids").to_pylist(), strict=True)
    ids = {symbol: several[0] for symbol, several in of if several}
    some = [symbol for symbol, one in ids.items() if one][:3000] + list(GENES)
    rng = np.random.default_rng(0)
    medians = {ids[symbol]: float(np.round(rng.lognormal(0, 1), 3)) for symbol in dict.fromkeys(some)}
    tokens = {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3}
    tokens |= {one: 4 + at for at, one in enumerate(sorted(set(medians) - {ids["LYZ"]}))}
    path = tmp_path / "dictionaries.json"
    path.write_text(json.dumps({"tokens": tokens, "medians": medians}))
    return path, tokens, medians, ids


def cells_of(ids, n=300, genes=900, seed=1):
    rng = np.random.default_rng(seed)
    names = [symbol for symbol, one in ids.items() if one and one.startswith("ENSG")][:genes]
    names = list(dict.fromkeys([*GENES, *names]))
    x = rng.poisson(rng.gamma(0.4, 2.0, len(names)), (n, len(names))).astype(np.float32)
    x[3] = 0
    x[4] = 0
    x[4, 0] = 7
    var = pd.DataFrame({"ensembl_id": [ids[name] + ".5" for name in names]}, index=names)
    kinds = pd.Categorical(np.where(np.arange(n) % 3 == 0, "", "T cell").astype(object))
    obs = pd.DataFrame({"kind": kinds, "score": rng.random(n)}, index=[f"zellé-{i}" for i in range(n)])
    obs.loc[obs.index[5], "kind"] = np.nan
    return ad.AnnData(sp.csr_matrix(x), obs=obs, var=var)


def expected_tokens(adata, tokens, medians, longest=2048):
    token = np.array([tokens.get(one[:-2], -1) for one in adata.var["ensembl_id"]])
    median = np.array([medians.get(one[:-2], 1.0) for one in adata.var["ensembl_id"]])
    x = adata.X.toarray().astype(np.float64)
    totals = x.sum(axis=1)
    found = []
    for row, total in zip(x, totals, strict=True):
        here = np.flatnonzero((row > 0) & (token >= 0))
        score = row[here] / total * 10_000 / median[here]
        found.append(token[here][np.lexsort((token[here], -score))][:longest].tolist())
    return found


def test_tokens_are_those_of_the_formula(tmp_path, dictionaries):
    path, tokens, medians, ids = dictionaries
    adata = cells_of(ids)
    export(
        "geneformer",
        adata,
        tmp_path / "out",
        tokens=path,
        medians=path,
        obs_columns=["kind", "score"],
        listener=ignore,
    )
    table = table_of(tmp_path / "out")
    assert table.column("input_ids").to_pylist() == expected_tokens(adata, tokens, medians)
    assert table.column("cell_id").to_pylist() == list(adata.obs_names)
    assert table.column("length").to_pylist()[3:5] == [0, 1]
    assert table.column("kind").to_pylist()[5] is None
    assert np.allclose(table.column("score").to_numpy(), adata.obs["score"])
    features = json.loads((tmp_path / "out/dataset_info.json").read_text())["features"]
    assert features["input_ids"] == {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "Sequence"}
    assert tokens[ids["CD3D"]] in pd.read_parquet(tmp_path / "out/_genes.parquet")["token"].tolist()


def test_v2_has_tokens_around_and_counts_beside(tmp_path, dictionaries):
    path, tokens, medians, ids = dictionaries
    adata = cells_of(ids, 40)
    options = {"tokens": path, "medians": path, "version": "v2", "keep_counts": True}
    export("geneformer", adata, tmp_path / "out", listener=ignore, **options)
    table = table_of(tmp_path / "out").to_pylist()
    for row, inner in zip(table, expected_tokens(adata, tokens, medians), strict=True):
        assert row["input_ids"] == [2, *inner, 3]
        assert row["length"] == len(inner) + 2 == len(row["counts"])
        assert row["counts"][0] == row["counts"][-1] == 0
    assert table[4]["counts"][1] == 10_000


def test_cells_that_a_filter_leaves_out_are_left_out(tmp_path, dictionaries):
    path, _, _, ids = dictionaries
    adata = cells_of(ids, 20)
    adata.obs["filter_pass"] = (np.arange(20) % 2).astype(int)
    adata.obs["n_counts"] = 5_000.0
    export(
        "geneformer", adata, tmp_path / "out", tokens=path, medians=path, keep_counts=True, listener=ignore
    )
    table = table_of(tmp_path / "out")
    assert table.column("cell_id").to_pylist() == list(adata.obs_names[1::2])
    first = table.to_pylist()[0]
    assert first["counts"][0] == pytest.approx(
        adata[adata.obs_names[1]].X.toarray().max() / 5_000 * 10_000, rel=1
    )


def test_an_export_is_the_same_under_any_order(tmp_path, dictionaries):
    path, _, _, ids = dictionaries
    adata = cells_of(ids)
    rng = np.random.default_rng(2)
    rows = rng.permutation(adata.n_obs)
    moved = adata[rows][:, rng.permutation(adata.n_vars)].copy()
    for name, options in (
        ("geneformer", {"tokens": path, "medians": path}),
        ("cell-sentence", {"top": 50}),
    ):
        export(name, adata, tmp_path / f"{name}-a", listener=ignore, **options)
        export(name, moved, tmp_path / f"{name}-b", listener=ignore, **options)
        here = table_of(tmp_path / f"{name}-a").take(pa.array(rows))
        assert here.to_pylist() == table_of(tmp_path / f"{name}-b").to_pylist()


def test_a_run_goes_on_to_the_same_bytes(tmp_path, dictionaries):
    path, _, _, ids = dictionaries
    many = ad.concat([cells_of(ids, 300, 60)] * 30, index_unique="-", merge="same")
    many.write_h5ad(tmp_path / "cells.h5ad")
    options = {"tokens": path, "medians": path, "listener": ignore}
    export("geneformer", tmp_path / "cells.h5ad", tmp_path / "whole", workers=2, **options)

    def interrupt(event):
        if isinstance(event, Committed):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(
            "geneformer",
            tmp_path / "cells.h5ad",
            tmp_path / "broken",
            workers=1,
            **options | {"listener": interrupt},
        )
    assert not (tmp_path / "broken").exists()
    done = export("geneformer", tmp_path / "cells.h5ad", tmp_path / "broken", resume=True, **options)
    assert done.resumed_cells > 0
    assert files(tmp_path / "whole") == files(tmp_path / "broken")
    assert verify(str(tmp_path / "broken")).shards == 3


def test_a_sentence_names_the_genes_by_count(tmp_path):
    var = pd.DataFrame(index=["CD3D", "MS4A1", "NKG7", "LYZ", "no such gene"])
    x = np.array([[3, 5, 5, 0, 9], [0, 0, 0, 0, 2], [1, 1, 1, 1, 0]], np.float32)
    adata = ad.AnnData(sp.csr_matrix(x), var=var, obs=pd.DataFrame(index=list("abc")))
    export("cell-sentence", adata, tmp_path / "out", top=2, listener=ignore, values="counts")
    rows = table_of(tmp_path / "out").to_pylist()
    assert set(rows[0]["cell_sentence"].split()) == {"MS4A1", "NKG7"}
    assert [row["n_genes"] for row in rows] == [2, 0, 2]
    assert [row["n_tied"] for row in rows] == [0, 0, 2]
    assert rows[1]["cell_sentence"] == ""


def test_ranked_genes_come_with_their_counts(tmp_path):
    var = pd.DataFrame(index=["CD3D", "MS4A1", "NKG7", "unheard"])
    x = np.array([[3, 5, 1, 9], [0, 0, 0, 2]], np.float32)
    adata = ad.AnnData(sp.csr_matrix(x), var=var, obs=pd.DataFrame(index=["a", "b"]))
    export("ranked", adata, tmp_path / "out", listener=ignore, values="counts")
    rows = pd.read_parquet(tmp_path / "out")
    symbols = pd.read_parquet(tmp_path / "out/_genes.parquet")["symbol"].to_numpy()
    assert symbols[rows["genes"][0]].tolist() == ["MS4A1", "CD3D", "NKG7"]
    assert rows["values"][0].tolist() == [5, 3, 1]
    assert rows["n_total"].tolist() == [18, 2]
    assert len(rows["genes"][1]) == 0
    card = json.loads((tmp_path / "out/_run.json").read_text())
    assert card["cells"] == 2
    assert card["share_of_counts"] == pytest.approx(9 / 20, abs=0.01)


def test_vectors_are_those_that_embed_writes(tmp_path):
    import lexicell
    from lexicell.cli.demo import load_cells

    adata = load_cells()[:60].copy()
    adata.write_h5ad(tmp_path / "in.h5ad")
    lexicell.embed(tmp_path / "in.h5ad", tmp_path / "out.zarr", listener=ignore)
    store = lexicell.open_embedding(tmp_path / "out.zarr")
    for container in ("parquet", "hf"):
        out = tmp_path / container
        export(
            "vectors",
            tmp_path / "in.h5ad",
            out,
            container=container,
            obs_columns="bulk_labels",
            listener=ignore,
        )
        table = table_of(out) if container == "hf" else pa.Table.from_pandas(pd.read_parquet(out))
        vectors = np.stack([np.asarray(row, np.float32) for row in table.column("embedding").to_pylist()])
        assert vectors.tobytes() == np.asarray(store.obsm["X_lexicell"]).tobytes()
        assert table.column("lexicell_n_genes").to_pylist() == store.obs["lexicell_n_genes"].tolist()
        assert table.column("bulk_labels").to_pylist() == adata.obs["bulk_labels"].astype(str).tolist()


def test_the_verb_writes_what_the_function_does(tmp_path, dictionaries, capsys):
    from lexicell.cli import main

    path, _, _, ids = dictionaries
    cells_of(ids, 30).write_h5ad(tmp_path / "in.h5ad")
    given = ["export", "geneformer", str(tmp_path / "in.h5ad"), str(tmp_path / "a"), "--tokens", str(path)]
    with pytest.raises(SystemExit) as ended:
        main([*given, "--medians", str(path), "--obs-column", "kind", "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["cells"] == 30
    options = {"tokens": path, "medians": path, "obs_columns": ["kind"]}
    export("geneformer", tmp_path / "in.h5ad", tmp_path / "b", listener=ignore, **options)
    assert table_of(tmp_path / "a").equals(table_of(tmp_path / "b"))
    with pytest.raises(SystemExit):
        main(["export", "--list"])
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("geneformer", "cell-sentence", "ranked", "vectors"))


def test_near_ties_are_decided_by_64_bits(tmp_path, dictionaries):
    """Scores that 32 bits confuse: the medians differ in the last bits."""
    path, tokens, _, ids = dictionaries
    pair = [ids["CD3D"], ids["MS4A1"]]
    low, high = (pair[0], pair[1]) if tokens[pair[0]] < tokens[pair[1]] else (pair[1], pair[0])
    medians = {low: 1.0 + 2**-40, high: 1.0}  # the one with the higher token comes first
    path.write_text(json.dumps({"tokens": tokens, "medians": medians}))
    x = sp.csr_matrix(np.array([[5.0, 5.0], [0, 3]], np.float32))
    var = pd.DataFrame(index=["CD3D", "MS4A1"])
    adata = ad.AnnData(x, var=var, obs=pd.DataFrame(index=["a", "b"]))
    export("geneformer", adata, tmp_path / "out", tokens=path, medians=path, values="counts", listener=ignore)
    assert table_of(tmp_path / "out").column("input_ids").to_pylist()[0] == [tokens[high], tokens[low]]


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"version": "v3"}, InputError, "not 'v3'"),
        ({"words": 3}, InputError, "takes tokens, medians"),
        ({"obs_columns": ["length"]}, InputError, "obs has no column 'length'"),
        ({"obs_columns": ["nothing"]}, InputError, "it has kind, score"),
    ],
)
def test_bad_options_are_one_sentence(tmp_path, dictionaries, options, kind, says):
    path, _, _, ids = dictionaries
    with pytest.raises(kind, match=says):
        export(
            "geneformer",
            cells_of(ids, 20),
            tmp_path / "out",
            tokens=path,
            medians=path,
            listener=ignore,
            **options,
        )
    assert not (tmp_path / "out").exists()


def test_formats_dictionaries_and_values_that_do_not_fit(tmp_path, dictionaries):
    path, tokens, medians, ids = dictionaries
    adata = cells_of(ids, 30)
    with pytest.raises(InputError, match="did you mean geneformer"):
        export("genformer", adata, tmp_path / "out", listener=ignore)
    with pytest.raises(InputError, match="needs tokens and medians"):
        export("geneformer", adata, tmp_path / "out", listener=ignore)
    few = {name: value for name, value in tokens.items() if name != "<cls>"}
    path.write_text(json.dumps({"tokens": few, "medians": medians}))
    with pytest.raises(InputError, match="<cls>"):
        export(
            "geneformer", adata, tmp_path / "out", tokens=path, medians=path, version="v2", listener=ignore
        )
    path.write_text(json.dumps({"tokens": {"ENSG1": 3, "ENSG2": 4}, "medians": {"ENSG1": 1.0, "ENSG2": 1.0}}))
    with pytest.raises(CoverageError, match=r"ENSG.*ENSG1, ENSG2"):
        export("geneformer", adata, tmp_path / "out", tokens=path, medians=path, listener=ignore)
    logged = adata.copy()
    logged.X = logged.X.log1p()
    with pytest.raises(CountsError):
        export("cell-sentence", logged, tmp_path / "out", listener=ignore)
    adata.obs["length"] = 1
    with pytest.raises(InputError, match="uses itself"):
        export("cell-sentence", adata, tmp_path / "out", obs_columns="length", listener=ignore)
    assert not (tmp_path / "out").exists()


def test_an_atlas_is_not_replaced_by_what_is_made_of_it(tmp_path):
    import lexicell
    from lexicell.cli.demo import load_cells

    load_cells()[:60].copy().write_h5ad(tmp_path / "in.h5ad")
    atlas = tmp_path / "atlas"
    lexicell.pack(tmp_path / "in.h5ad", tmp_path / "atlas.zarr", listener=ignore)
    (tmp_path / "atlas.zarr").rename(atlas)  # without a suffix, as a folder of scores is called
    before = files(atlas)
    with pytest.raises(InputError, match="is the input"):
        export("ranked", atlas, atlas, overwrite=True, listener=ignore)
    with pytest.raises(InputError, match="is the input"):
        lexicell.search(atlas, "B cell", atlas, overwrite=True, listener=ignore)
    assert files(atlas) == before


def test_pickles_are_read_and_never_run(tmp_path):
    import pickle

    from lexicell.exports.dictionaries import read_dictionary

    plain = {"ENSG00000000003": np.float64(2.5), "ENSG00000000005": 7, "ENSG00000000419": np.int16(3)}
    path = tmp_path / "d.pkl"
    path.write_bytes(pickle.dumps(plain, protocol=4))
    assert read_dictionary(path)[0] == {"ENSG00000000003": 2.5, "ENSG00000000005": 7, "ENSG00000000419": 3}

    class Evil:
        def __reduce__(self):
            import os

            return os.system, ("touch /tmp/should_not_be",)

    path.write_bytes(pickle.dumps({"a": Evil()}))
    with pytest.raises(CorruptDataError, match="text and numbers"):
        read_dictionary(path)
    path.write_bytes(pickle.dumps(plain)[:-20])
    with pytest.raises(CorruptDataError):
        read_dictionary(path)
    table = tmp_path / "d.csv"
    table.write_text("gene,token\nENSG1,4\nENSG2,5\n")
    assert read_dictionary(table)[0] == {"ENSG1": 4, "ENSG2": 5}


def hearing(notes):
    return lambda event: notes.append(getattr(event, "text", ""))


def cellxgene(adata):
    n = adata.n_obs
    adata.obs["assay"] = np.array(["10x 3' v3", "10x 5' v1", "Smart-seq2"])[np.arange(n) % 3]
    adata.obs["donor_id"] = np.array(["d2", "d10"])[np.arange(n) % 2]
    names = ("disease", "cell_type_ontology_term_id", "cell_type", "tissue", "tissue_ontology_term_id")
    for name in (*names, "development_stage"):
        adata.obs[name] = f"a {name}"
    return adata


def test_sccello_has_its_columns(tmp_path, dictionaries):
    path, tokens, medians, ids = dictionaries
    plain = {name: at for name, at in tokens.items() if name not in {"<cls>", "<eos>"}}
    path.write_text(json.dumps({"tokens": plain, "medians": medians}))
    adata = cellxgene(cells_of(ids, 40))
    notes: list[str] = []
    given = {"tokens": path, "medians": path, "profile": "sccello"}
    export("geneformer", adata, tmp_path / "out", listener=hearing(notes), **given)
    rows = table_of(tmp_path / "out").to_pylist()
    token = np.array([plain.get(one[:-2], -1) for one in adata.var["ensembl_id"]])
    median = np.array([medians.get(one[:-2], 1.0) for one in adata.var["ensembl_id"]])
    for at, (row, x) in enumerate(zip(rows, adata.X.toarray().astype(float), strict=True)):
        here = np.flatnonzero((x > 0) & (token >= 0))
        total = x[token >= 0].sum() or 1
        score = x[here] * (10_000 / total) * (1 / median[here])
        order = here[np.lexsort((token[here], -score))]
        assert row["gene_token_ids"] == [max(plain.values()) + 1, *token[order].tolist()]
        assert row["gene_expression_nums"] == [0, *np.log1p(x[order] * 10_000 / total).tolist()]
        assert row["cell_counts"] == [total]
        assert row["cell_assay_ids"] == [4, 0, None][at % 3]
        assert row["cell_donor_local_ids"] == [1, 0][at % 2]  # as text, d10 comes first
        assert row["cell_ct_ontology"] == "a cell_type_ontology_term_id"
    assert any("13 cells are not human, primary and of 10x" in note for note in notes)
    del adata.obs["disease"]
    with pytest.raises(InputError, match="has no disease"):
        export("geneformer", adata, tmp_path / "p", listener=ignore, **given)


def test_cell2text_has_its_texts(tmp_path, dictionaries):
    path, tokens, medians, ids = dictionaries
    adata = cells_of(ids, 20)
    adata.obs["said"] = [f"a cell, the {at}th" for at in range(20)]
    given = {"tokens": path, "medians": path, "profile": "cell2text", "text": "said", "listener": ignore}
    export("geneformer", adata, tmp_path / "out", **given)
    table = table_of(tmp_path / "out")
    assert table.column("struct_desc").to_pylist() == adata.obs["said"].tolist()
    assert table.column("input_ids").to_pylist() == expected_tokens(adata, tokens, medians)
    adata.obs.loc[adata.obs_names[4], "said"] = " "
    with pytest.raises(InputError, match="zellé-4"):
        export("geneformer", adata, tmp_path / "p", **given)
    with pytest.raises(InputError, match="needs a column of texts"):
        export("geneformer", adata, tmp_path / "p", tokens=path, medians=path, profile="cell2text")


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_counts_above_2_24_are_ranked_exactly(tmp_path, dictionaries, dtype):
    path, tokens, _, ids = dictionaries
    names = sorted(("CD3D", "MS4A1", "NKG7"), key=lambda name: tokens[ids[name]])
    path.write_text(json.dumps({"tokens": tokens, "medians": {ids[name]: 1.0 for name in names}}))
    x = np.array([[2**24, 2**24 + 1, 3], [5, 4, 3], [2**24 + 1, 2**24 + 3, 2**24 + 2]], dtype)
    adata = ad.AnnData(sp.csr_matrix(x), var=pd.DataFrame(index=names), obs=pd.DataFrame(index=list("abc")))
    given = {"tokens": path, "medians": path, "values": "counts", "listener": ignore}
    export("geneformer", adata, tmp_path / "out", keep_counts=True, **given)
    rows = table_of(tmp_path / "out").to_pylist()
    for row, counts in zip(rows, x.astype(float), strict=True):
        order = np.argsort(-counts)
        assert row["input_ids"] == [tokens[ids[names[at]]] for at in order]
        assert row["counts"] == (counts[order] / counts.sum() * 10_000).tolist()
    export("cell-sentence", adata, tmp_path / "words", top=1, values="counts", listener=ignore)
    words = table_of(tmp_path / "words").to_pylist()
    assert [row["cell_sentence"] for row in words] == [names[1], names[0], names[1]]
    assert [row["n_tied"] for row in words] == [0, 0, 0]


def test_totals_that_obs_states_are_used_and_looked_at(tmp_path, dictionaries):
    path, _, _, ids = dictionaries
    adata = cells_of(ids, 20)
    adata.obs["n_counts"] = adata.X.sum(axis=1).A1 + 100
    notes: list[str] = []
    given = {"tokens": path, "medians": path, "keep_counts": True}
    export("geneformer", adata, tmp_path / "o", listener=hearing(notes), **given)
    assert any("is not the sum of counts in 20 of the first 20 cells" in note for note in notes)
    row = table_of(tmp_path / "o").to_pylist()[4]  # a cell with one gene, 7 counts
    assert row["counts"] == [7 / 107 * 10_000]
    adata.obs.loc[adata.obs_names[8], "n_counts"] = np.nan
    with pytest.raises(InputError, match="zellé-8"):
        export("geneformer", adata, tmp_path / "p", listener=ignore, **given)
    assert not (tmp_path / "p").exists()


def test_neighbours_that_another_rounding_exchanges():
    from lexicell.exports.ranking import in_order_of
    from lexicell_kernels import Ranking

    indptr = np.array([0, 3, 3, 5])
    genes, counts = np.array([4, 2, 9, 1, 7], np.int32), np.array([5, 4, 3, 2, 1], np.float32)
    found = Ranking(genes, counts, indptr, np.ones(3), np.zeros(3, np.int32))
    again = in_order_of(np.array([1.0, 1.5, 0.5, 2.0, 2.0]), found)
    assert again.genes.tolist() == [2, 4, 9, 1, 7]
    assert again.counts.tolist() == [4, 5, 3, 2, 1]
    assert in_order_of(np.array([3.0, 2.0, 1.0, 9.0, 8.0]), found) is found
