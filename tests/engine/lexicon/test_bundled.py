"""The lexicon that comes with the package: complete, intact, and what its sources say."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell.lexicon import Lexicon, TextOptions, read_gene_texts, read_orthologues


@pytest.fixture(scope="module")
def bundled() -> Lexicon:
    return Lexicon.open("human-go-minilm")


def test_it_is_complete_and_credited(bundled):
    assert (bundled.n_genes, bundled.dim, bundled.info.dtype) == (21609, 384, "float16")
    assert bundled.info.organism == "human"
    assert bundled.info.encoder.id == "sentence-transformers/all-MiniLM-L6-v2"
    assert "CC BY 4.0" in bundled.info.text.licence
    notice = (bundled.path / "NOTICE.md").read_text(encoding="utf-8")
    for source in ("org.Hs.eg.db", "GO.db", "Gene Ontology", "CC BY 4.0", "celltypist", "all-MiniLM-L6-v2"):
        assert source in notice


def test_its_genes_are_those_of_its_sources(bundled, gene_table, orthologue_table):
    genes = read_gene_texts(
        gene_table,
        TextOptions(text_source="org.Hs.eg.db + GO.db"),
        orthologues=read_orthologues(orthologue_table),
    )
    assert bundled.read_genes(genes.table.column_names).equals(genes.table)
    mouse = bundled.genes["mouse_symbols"].to_pylist()
    assert sum(map(bool, mouse)) == 17739


def test_its_vectors_are_those_of_its_texts(bundled, minilm):
    rows = np.random.default_rng(0).choice(bundled.n_genes, 30, replace=False)
    texts = bundled.read_genes(["text"])["text"].take(rows).to_pylist()
    # Half a unit in the last place of float16 for numbers below 1, plus float32 noise of other CPUs.
    np.testing.assert_allclose(bundled.vectors(rows), minilm.encode(texts), rtol=0, atol=2.0**-12 + 1e-5)


def test_its_vectors_have_unit_length_and_differ(bundled):
    vectors = bundled.vectors(bundled.rows)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
    assert len(np.unique(vectors, axis=0)) > 0.99 * bundled.n_genes


@pytest.mark.parametrize(
    ("symbol", "relatives"),
    [("INS", {"IGF2", "IGF1", "INSR", "GCG", "IAPP", "INS-IGF2"}), ("CD3D", {"CD3G", "CD3E", "CD247"})],
)
def test_neighbours_make_biological_sense(bundled, symbol, relatives):
    symbols = np.array(bundled.genes["symbol"].to_pylist())
    vectors = bundled.vectors(bundled.rows)
    similarity = vectors @ vectors[np.flatnonzero(symbols == symbol)[0]]
    assert relatives & set(symbols[np.argsort(-similarity)[1:11]])
