"""Banks of scGPT and scMMGPT against loops over dense matrices."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.engine.exports.cases import NAMES, hostile

from lexicell.embedding.events import ignore
from lexicell.errors import CoverageError, InputError
from lexicell.exports import export


@pytest.fixture
def vocab(tmp_path):
    names = ["CD3D", "NKG7", "other", "C1ORF43", "C1orf43", "LYZ", "CD79A"]
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps({name: at for at, name in enumerate(names[::-1])}))
    return path, {name: at for at, name in enumerate(names[::-1])}


def bank(folder):
    table = pq.read_table(folder / "counts.datatable.parquet")
    return table.to_pylist(), table.schema


def test_a_bank_has_tokens_and_counts_in_column_order(tmp_path, vocab, small_shards):
    path, tokens = vocab
    adata, dense = hostile()
    export("scbank", adata, tmp_path / "o.scb", vocab=path, obs_columns=["donor"], listener=ignore)
    rows, schema = bank(tmp_path / "o.scb")
    for at, (row, x) in enumerate(zip(rows, dense, strict=True)):
        here = [(tokens[name], x[j]) for j, name in enumerate(NAMES) if x[j] > 0 and name in tokens]
        assert row["id"] == at
        assert row["cell_id"] == adata.obs_names[at]
        assert row["genes"] == [token for token, _ in here]
        assert row["expressions"] == [count for _, count in here]
    assert str(schema.field("genes").type.value_type) == "int64"
    assert str(schema.field("expressions").type.value_type) == "float"
    written = json.loads((tmp_path / "o.scb/gene_vocab.json").read_text())
    assert written == tokens | {"<pad>": 7, "<cls>": 8, "<eoc>": 9}
    assert json.loads((tmp_path / "o.scb/manifest.json").read_text())["main_data"] == "counts"
    assert [p.name for p in (tmp_path / "o.scb").glob("*.datatable.*")] == ["counts.datatable.parquet"]


def test_bins_are_the_upper_ends_of_those_that_scgpt_draws(tmp_path, vocab):
    path, tokens = vocab
    adata, dense = hostile()
    export("scbank", adata, tmp_path / "o.scb", vocab=path, bins=9, listener=ignore)
    for row, x in zip(bank(tmp_path / "o.scb")[0], dense, strict=True):
        values = np.array([x[j] for j, name in enumerate(NAMES) if x[j] > 0 and name in tokens])
        if len(values):
            edges = np.quantile(values, np.linspace(0, 1, 8))
            assert row["expressions"] == np.digitize(values, edges).tolist()
        else:
            assert row["expressions"] == []


def test_bins_of_many_counts_are_those_of_numpy():
    from lexicell.exports.scbank import upper_bins

    rng = np.random.default_rng(1)
    sizes = [0, 1, 2, 700, 0, 1900]
    x = np.concatenate([rng.poisson(3, n) + rng.choice([1.0, 0.25], n) for n in sizes])
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    found = upper_bins(x, indptr, 51)
    for a, b in pairwise(indptr):
        if b > a:
            edges = np.quantile(x[a:b], np.linspace(0, 1, 50))
            assert found[a:b].tolist() == np.digitize(x[a:b], edges).tolist()
            assert found[a:b].max() == 50


def test_the_most_expressed_stay_in_column_order(tmp_path, vocab):
    path, tokens = vocab
    adata, dense = hostile()
    export("scbank", adata, tmp_path / "o.scb", vocab=path, top=2, listener=ignore)
    for row, x in zip(bank(tmp_path / "o.scb")[0], dense, strict=True):
        here = [(-x[j], tokens[name], j) for j, name in enumerate(NAMES) if x[j] > 0 and name in tokens]
        kept = sorted(sorted(here)[:2], key=lambda one: one[2])
        assert row["genes"] == [token for _, token, _ in kept]


def test_scmmgpt_has_its_cell_types(tmp_path, vocab):
    adata, _ = hostile()
    export("scbank", adata, tmp_path / "o", vocab=vocab[0], layout="scmmgpt", listener=ignore)
    table = pq.read_table(tmp_path / "o/all_counts")
    assert table.column("cell_type").to_pylist()[:3] == ["T cell", 'B "naïve"', "it's NK"]
    assert table.column("cell_type").to_pylist()[7] is None
    with pytest.raises(InputError, match=r"'type'.*cell_type, donor"):
        export(
            "scbank", adata, tmp_path / "p", vocab=vocab[0], layout="scmmgpt", cell_type="type",
            listener=ignore,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        ({"A": 0, "B": 2}, InputError, "not the numbers 0 to 1"),
        ({"A": 0, "B": 1}, CoverageError, "here are CD3D, MS4A1, NKG7, there A, B"),
    ],
)
def test_a_vocabulary_that_does_not_fit(tmp_path, content, kind, says):
    path = tmp_path / "v.json"
    path.write_text(json.dumps(content))
    with pytest.raises(kind, match=says):
        export("scbank", hostile()[0], tmp_path / "o", vocab=path, listener=ignore)
    assert not (tmp_path / "o").exists()
