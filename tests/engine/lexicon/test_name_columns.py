"""Which columns of var name genes: every kind that is taken for names, and every kind that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexicell.errors import InputError
from lexicell.lexicon import Alignment, Lexicon, align_genes

N = 400
CHROMOSOMES = [*map(str, range(1, 23)), "X", "Y", "MT"]


@pytest.fixture(scope="module")
def genes(bundled: Lexicon) -> dict[str, list[str]]:
    """Names of the same 360 genes of each kind, and 40 that no lexicon knows."""
    table = bundled.genes.to_pylist()
    rows = [gene for gene in table if gene["ensembl_ids"] and gene["mouse_symbols"] and gene["symbol"]]
    picked = [rows[at] for at in np.random.default_rng(7).choice(len(rows), 360, replace=False)]
    unknown = [f"AL{at:06d}.1" for at in range(40)]
    return {
        "symbol": [*(gene["symbol"] for gene in picked), *unknown],
        "ensembl": [*(gene["ensembl_ids"][0] for gene in picked), *(f"ENSG09{at:09d}" for at in range(40))],
        "ncbi": [
            *(str(gene["ncbi_id"]) for gene in picked),
            *(str(900_000_000 + 7 * at) for at in range(40)),
        ],
        "mouse": [*(gene["mouse_symbols"][0] for gene in picked), *(f"Gm{at}900" for at in range(40))],
    }


def frame(names: list[str], /, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns, index=pd.Index(names, dtype=object))


def same(one: Alignment, other: Alignment) -> bool:
    return one.organism == other.organism and np.array_equal(one.rows, other.rows)


Maker = Callable[[np.random.Generator, dict[str, list[str]]], Any]

#: Columns that name no gene of the row that they stand in, by kind.
NO_NAMES: dict[str, Maker] = {
    "chromosome": lambda r, g: r.choice(CHROMOSOMES, N),
    "chromosome as category": lambda r, g: pd.Categorical(r.choice(CHROMOSOMES, N)),
    "chr chromosome": lambda r, g: [f"chr{c}" for c in r.choice(CHROMOSOMES, N)],
    "strand": lambda r, g: r.choice(["1", "-1"], N),
    "strand as numbers": lambda r, g: r.choice([1, -1], N),
    "level": lambda r, g: pd.Categorical(r.choice(["1", "2", "3"], N)),
    "version": lambda r, g: r.integers(1, 20, N).astype(str),
    "numbers from 0": lambda r, g: np.arange(N).astype(str),
    "numbers from 1": lambda r, g: np.arange(1, N + 1),
    "numbers from 1, shuffled": lambda r, g: r.permutation(np.arange(1, N + 1)).astype(str),
    "numbers that skip": lambda r, g: np.sort(r.choice(20_000, N, replace=False)).astype(str),
    "numbers at random": lambda r, g: r.choice(20_000, N, replace=False).astype(str),
    "numbers with leading zeros": lambda r, g: [f"{i:05d}" for i in r.choice(90_000, N, replace=False)],
    "lengths": lambda r, g: r.integers(200, 90_000, N),
    "lengths as text": lambda r, g: r.integers(200, 90_000, N).astype(str),
    "positions": lambda r, g: r.integers(10_000, 240_000_000, N).astype(str),
    "long numbers": lambda r, g: [f"{i}00000000000000000" for i in range(1, N + 1)],
    "counts of cells": lambda r, g: r.integers(0, 2700, N).astype(float),
    "means": lambda r, g: r.random(N),
    "flags": lambda r, g: r.random(N) < 0.5,
    "flags as text": lambda r, g: r.choice(["True", "False"], N),
    "dates": lambda r, g: pd.to_datetime(r.integers(0, 10**9, N), unit="s"),
    "biotypes": lambda r, g: r.choice(["protein_coding", "lncRNA", "IG_V_gene"], N),
    "letters": lambda r, g: r.choice(list("ABTCG"), N),
    "bands": lambda r, g: [
        f"{c}{r.choice(['p', 'q'])}{r.integers(11, 36)}" for c in r.choice(CHROMOSOMES, N)
    ],
    "random words": lambda r, g: ["".join(r.choice(list("ACGT"), 12)) for _ in range(N)],
    "HGNC ids": lambda r, g: [f"HGNC:{i}" for i in r.choice(50_000, N, replace=False)],
    "HGNC numbers": lambda r, g: r.choice(50_000, N, replace=False).astype(str),
    "one gene": lambda r, g: [g["symbol"][0]] * N,
    "empty": lambda r, g: [""] * N,
    "missing": lambda r, g: [None] * N,
    "names of other genes": lambda r, g: r.permutation(g["symbol"]),
    "ids of other genes": lambda r, g: r.permutation(g["ensembl"]),
    "NCBI ids of other genes": lambda r, g: r.permutation(g["ncbi"]),
    "described genes only, of other rows": lambda r, g: r.permutation(
        [*g["symbol"][:360], *g["symbol"][:40]]
    ),
    "a described gene where there is none": lambda r, g: [*[""] * 360, *g["symbol"][:40]],
    "few genes among words": lambda r, g: [*g["symbol"][100:110], *(f"word {i}" for i in range(N - 10))],
    "two genomes": lambda r, g: [f"{a}_{i}" for i, a in enumerate(r.choice(["hg19", "mm10"], N))],
}

#: What such a column may be called.
CALLED = [
    *(
        "chromosome",
        "level",
        "x",
        "n_cells",
        "gene_id",
        "gene_ids",
        "id",
        "gene_name",
        "symbol",
        "feature_id",
    ),
    *("entrezgene", "ncbi_id", "nearest_gene_name", "hgnc_id", "gene", "name", "index", "start", "0"),
]
#: Kinds that are names of genes, only of the wrong ones.
OTHER_GENES = {kind for kind in NO_NAMES if "of other" in kind or "where there is none" in kind}


@pytest.mark.parametrize("style", ["symbol", "ensembl", "ncbi", "mouse"])
def test_a_column_that_is_no_names_changes_nothing(bundled, genes, style):
    alone = align_genes(bundled, frame(genes[style]))
    assert alone.n_genes > 300
    for kind, make in NO_NAMES.items():
        for seed, called in enumerate(("annotation", "gene_id")):
            values = make(np.random.default_rng(seed), genes)
            beside = align_genes(bundled, frame(genes[style], **{called: values}))
            assert same(alone, beside), (kind, called)
            assert beside.column == "index", (kind, called)


@given(
    st.sampled_from(["symbol", "ensembl", "ncbi", "mouse"]),
    st.dictionaries(st.sampled_from(CALLED), st.sampled_from(sorted(NO_NAMES)), min_size=1, max_size=6),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=2 * settings.default.max_examples)
def test_no_mixture_of_such_columns_ever_changes_the_genes(bundled, genes, style, called, seed):
    rng = np.random.default_rng(seed)
    junk = {name: NO_NAMES[kind](rng, genes) for name, kind in called.items()}
    alone = align_genes(bundled, frame(genes[style]))
    assert same(alone, align_genes(bundled, frame(genes[style], **junk)))


@pytest.mark.parametrize("kind", sorted(set(NO_NAMES) - OTHER_GENES - {"two genomes"}))
def test_a_data_set_of_no_names_at_all_has_no_genes(bundled, genes, kind):
    unnamed = [f"feature {at}" for at in range(N)]
    values = NO_NAMES[kind](np.random.default_rng(3), genes)
    for called in ("annotation", "gene_id"):
        alignment = align_genes(bundled, frame(unnamed, **{called: values}))
        # A column of ids is judged as one: ten genes among words may be said to be genes, if it is called so.
        assert alignment.n_genes <= (10 if called == "gene_id" and kind == "few genes among words" else 0)
    assert align_genes(bundled, pd.DataFrame(index=pd.Index(values).astype(str))).n_genes <= 10


@pytest.mark.parametrize(
    ("called", "style"),
    [
        *((called, "ncbi") for called in ("entrezgene", "ncbi_id", "gene_id", "GeneID")),
        *((called, "ensembl") for called in ("gene_ids", "ENSEMBL", "Accession", "my own column")),
        *(
            (called, "symbol")
            for called in ("gene_symbols", "feature_name", "gene_short_name", "my own column")
        ),
        *((called, "mouse") for called in ("external_gene_name", "mgi_symbol", "my own column")),
    ],
)
@pytest.mark.parametrize("as_type", [list, pd.Categorical, lambda names: np.array(names, np.int64)])
def test_real_names_are_read_from_the_column_that_has_them(bundled, genes, called, style, as_type):
    names = as_type(genes[style]) if style == "ncbi" or as_type is pd.Categorical else genes[style]
    alignment = align_genes(bundled, frame([str(at) for at in range(N)], **{called: names}))
    assert alignment.column == called
    assert alignment.n_genes >= 350
    use = {of.column: of for of in alignment.columns}
    assert use[called].genes == alignment.n_genes
    assert "consecutive" in use["index"].use


def test_what_the_user_names_is_read_whatever_it_looks_like(bundled):
    numbered = frame([str(at) for at in range(2000)])
    assert align_genes(bundled, numbered).n_matched == 0
    assert align_genes(bundled, numbered, column="index").n_matched > 1000


@pytest.mark.parametrize(
    "write",
    [
        lambda symbol, ensembl: f"GRCh38_{symbol}",
        lambda symbol, ensembl: f"GRCh38______{symbol}",
        lambda symbol, ensembl: f"hg19_{ensembl}",
        lambda symbol, ensembl: f"hg19-{symbol}",
        lambda symbol, ensembl: f"{symbol}_{ensembl}",
        lambda symbol, ensembl: f"{ensembl}_{symbol}",
        lambda symbol, ensembl: f"{ensembl}.7_{symbol}",
        lambda symbol, ensembl: f"{ensembl}|{symbol}",
        lambda symbol, ensembl: f"{symbol}-{ensembl}",
        lambda symbol, ensembl: f"GRCh38_{ensembl}_{symbol}",
        lambda symbol, ensembl: f"{symbol}_ENSG09999{ensembl[-6:]}",  # a retired id: its symbol counts
    ],
)
def test_prefixes_and_joined_names_are_taken_apart(bundled, genes, write):
    plain = align_genes(bundled, frame(genes["symbol"][:360]))
    joined = [write(s, e) for s, e in zip(genes["symbol"][:360], genes["ensembl"], strict=False)]
    alignment = align_genes(bundled, frame(joined))
    assert alignment.organism == "human"
    assert (alignment.rows == plain.rows).mean() > 0.98  # an id and a symbol differ now and then
    assert same(alignment, align_genes(bundled, frame(joined), column="index"))
    if joined[0].startswith(("GRCh38", "hg19")):
        assert "less the prefix" in alignment.describe()


def test_a_mouse_prefix_says_that_the_genes_are_those_of_mice(bundled, genes):
    upper = [name.upper() for name in genes["symbol"]]  # would be human genes without it
    alignment = align_genes(bundled, frame([f"mm10___{name}" for name in upper]))
    assert alignment.organism == "mouse"
    assert alignment.n_genes > 300


def test_two_organisms_in_one_matrix_are_refused_until_one_is_chosen(bundled, genes):
    both = [f"GRCh38_{name}" for name in genes["symbol"][:200]] + [
        f"mm10___{m}" for m in genes["mouse"][:100]
    ]
    with pytest.raises(InputError, match=r"200 of GRCh38.*100 of mm10.*--organism"):
        align_genes(bundled, frame(both))
    human = align_genes(bundled, frame(both), organism="human")
    assert (human.rows[:200] >= 0).all()
    assert (human.rows[200:] < 0).all()
    mouse = align_genes(bundled, frame(both), organism="mouse")
    assert (mouse.rows[:200] < 0).all()
    assert (mouse.rows[200:] >= 0).sum() > 95


def test_dates_and_numbered_names_are_named(bundled, genes):
    names = [
        *genes["symbol"][:50],
        "1-Mar",
        "2-Sep",
        "Dec-1",
        "2001-03-01",
        "CD4",
        "CD4-1",
        "HLA-A",
        "NKX2-1",
    ]
    alignment = align_genes(bundled, frame(names))
    assert alignment.dates == ("1-Mar", "2-Sep", "Dec-1", "2001-03-01")
    assert alignment.numbered == ("CD4-1",)
    told = " ".join(alignment.oddities())
    assert "1-Mar" in told
    assert "CD4-1" in told


def test_a_column_called_like_names_that_contradicts_the_index_is_told(bundled, genes):
    others = np.random.default_rng(0).permutation(genes["symbol"])
    alignment = align_genes(bundled, frame(genes["symbol"], gene_name=others))
    assert alignment.column == "index"
    assert "gene_name" in " ".join(alignment.oddities())


def test_gaps_become_one_gene_by_ids_only(bundled, genes):
    known, gaps = genes["ensembl"][:10], [f"ENSG0999{at:07d}" for at in range(3)]
    names = [*genes["symbol"][:5], *"abcde", genes["symbol"][20], genes["symbol"][20], genes["symbol"][21]]
    by_symbol = align_genes(bundled, frame(names, gene_ids=[*known, *gaps]))
    assert by_symbol.column == "gene_ids"
    assert (by_symbol.rows[10:] >= 0).tolist() == [False, False, True]


def test_why_nothing_is_in_common_is_said_for_each_column(bundled):
    rat = frame([f"ENSRNOG{at:011d}" for at in range(30)], chromosome=["1", "X"] * 15)
    assert "another organism" in align_genes(bundled, rat).why_none()
    assert "transcripts" in align_genes(bundled, frame(["ENST00000000233", "ENST00000000412"])).why_none()
    numbered = align_genes(bundled, frame([str(at) for at in range(30)], level=["1", "2"] * 15)).why_none()
    assert "consecutive" in numbered
    assert "level" in numbered
