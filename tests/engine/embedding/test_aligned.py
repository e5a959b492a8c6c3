"""One reading of the cells: every client sees the same counts, and names the same bad one."""

from __future__ import annotations

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import lexicell
from lexicell.annotation import annotate
from lexicell.counts import open_counts
from lexicell.embedding import AlignOptions, Note, align_cells, gene_coverage
from lexicell.embedding.blocks import read_blocks
from lexicell.embedding.gene_statistics import gene_statistics
from lexicell.errors import CountsError, CoverageError, InputError, InputNotFoundError
from lexicell.evaluation import panel_of
from lexicell.learn.api import train
from lexicell_kernels import Order

LABEL = "bulk_labels"


def aligned(source, **options):
    return align_cells(source, AlignOptions(**options))


def embed_here(adata):
    lexicell.tl.embed(adata.copy())


def train_here(adata):
    train(adata, label=LABEL)


def evaluate_here(adata):
    panel_of(adata, AlignOptions(), label=LABEL)


def annotate_here(adata):
    annotate(adata, reference=adata[:, ::-1].copy(), label=LABEL)


def of_aligned(use):
    def run(adata):
        with open_counts(adata) as source:
            use(aligned(source, values="counts"))

    return run


CLIENTS = {
    "embed": embed_here,
    "train": train_here,
    "evaluate": evaluate_here,
    "annotate": annotate_here,
    "statistics": of_aligned(gene_statistics),
    "selections": of_aligned(lambda cells: list(cells.selections(20))),
    "coverage": of_aligned(gene_coverage),
}


@pytest.fixture
def late(cells):
    """More cells than are looked at first, and one of the others has a bad count: cell, row, gene."""
    many = anndata.concat([cells] * 30, index_unique="-")
    many.X = sp.csr_matrix(many.X)
    with open_counts(many) as source:
        seen = np.concatenate([np.arange(*span) for span in source.peek(1_800)])
    row = int(np.setdiff1d(np.arange(many.n_obs), seen)[-5])
    at = many.X.indptr[row]
    many.X.data[at] = -3
    return many, many.obs_names[row], row, many.var_names[many.X.indices[at]]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_bad_count_is_named_with_cell_and_gene_by_every_client(late, client):
    adata, cell, row, gene = late
    with pytest.raises(CountsError, match=rf"'{cell}' \(row {row}\).*-3\.0.*'{gene}'"):
        CLIENTS[client](adata)


@pytest.mark.parametrize("client", ["selections", "statistics", "coverage", "embed", "train", "explain"])
def test_a_bad_value_is_told_as_it_is_stored(late, client):
    adata, cell, row, gene = late
    adata.X.data = np.log1p(abs(adata.X.data))
    adata.X.data[adata.X.indptr[row]] = -2.5
    runs = {
        "selections": lambda: list(aligned(source, values="lognorm").selections(20)),
        "statistics": lambda: gene_statistics(aligned(source, values="lognorm")),
        "coverage": lambda: gene_coverage(aligned(source, values="lognorm")),
        "embed": lambda: lexicell.tl.embed(adata, values="lognorm"),
        "train": lambda: train(adata, label=LABEL, values="lognorm", n_top_genes=None),
        "explain": lambda: lexicell.explain(adata, group=LABEL, values="lognorm", sets=None),
    }
    said = rf"cell '{cell}' .* has -2\.5 for gene '{gene}'"
    with open_counts(adata) as source, pytest.raises(CountsError, match=said):
        runs[client]()


def test_blocks_are_counts_whatever_is_stored(cells):
    counts = cells.X.toarray()
    cells.X = sp.csr_matrix(np.log1p(cells.X.toarray()))
    with open_counts(cells) as source:
        parts = list(aligned(source, values="lognorm").blocks(900))
    assert len(parts) > 3
    assert [start for start, _ in parts] == np.cumsum([0, *(b.n_rows for _, b in parts[:-1])]).tolist()
    dense = [
        sp.csr_matrix((b.data, b.indices, b.indptr), (b.n_rows, cells.n_vars)).toarray() for _, b in parts
    ]
    np.testing.assert_allclose(np.vstack(dense), counts, rtol=1e-5)


def test_restricting_opens_and_aligns_nothing_again(cells, monkeypatch):
    with open_counts(cells) as source:
        whole = aligned(source)
        for name in ("align_genes", "read_sample"):
            monkeypatch.setattr(f"lexicell.embedding.align.{name}", None)
        rows = whole.genes.rows[::3]
        part = whole.restrict(rows)
        np.testing.assert_array_equal(part.genes.rows, rows)
        assert part.n_masked == len(whole.genes.rows) - len(rows)
        assert 0 < part.coverage < whole.coverage
        assert whole.restrict(whole.genes.rows).coverage == whole.coverage
        kept = part.select(None)
    assert set(kept.used) <= set(rows)
    np.testing.assert_array_equal(kept.totals, np.asarray(cells.X.sum(axis=1)).ravel())


def test_naming_cells_opens_and_aligns_a_data_set_once_and_folds_once_for_an_embedding(cells, monkeypatch):
    from lexicell.annotation import api
    from lexicell.embedding import plan

    seen: list[str] = []

    def counted(name, function):
        def run(*args, **options):
            seen.append(name)
            return function(*args, **options)

        return run

    monkeypatch.setattr(api, "align_cells", counted("align", api.align_cells))
    monkeypatch.setattr(api, "open_data", counted("open", api.open_data))
    monkeypatch.setattr(plan, "fold", counted("fold", plan.fold))
    annotate(cells[::2].copy(), reference=cells[1::2].copy(), label=LABEL)
    assert (seen.count("open"), seen.count("align"), seen.count("fold")) == (2, 2, 2)


# A list of genes


@pytest.fixture
def listed(cells, tmp_path):
    """Names of every fourth gene, with a comment, an empty line and a name twice."""
    names = cells.var_names[::4].tolist()
    file = tmp_path / "genes.txt"
    file.write_text("\n".join(["# mine", *names, "", names[0]]) + "\n")
    return file, names


def test_only_listed_genes_are_used_and_totals_stay(cells, listed, tmp_path):
    file, names = listed
    events: list[object] = []
    part, masked = cells.copy(), cells.copy()
    lexicell.tl.embed(part, genes=file, listener=events.append)
    with open_counts(cells) as source:
        whole = aligned(source)
        gone = cells[:, [name for name in cells.var_names if name not in names]].X.sum(axis=1)
        rows = whole.alignment.rows[cells.var_names.isin(names)]
    masked.var_names = [name if name in names else f"no-{i}" for i, name in enumerate(cells.var_names)]
    lexicell.tl.embed(masked, min_coverage=0)
    np.testing.assert_array_equal(part.obsm["X_lexicell"], masked.obsm["X_lexicell"])
    assert (np.asarray(gone) > 0).any()
    here = len(np.unique(rows[rows >= 0]))
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any(text.startswith(f"{here:,} of the {here:,} listed genes are here") for text in notes)
    again = cells.copy()
    lexicell.tl.embed(again, genes=names)
    np.testing.assert_array_equal(again.obsm["X_lexicell"], part.obsm["X_lexicell"])
    assert part.uns["lexicell"]["genes"]["list"] == again.uns["lexicell"]["genes"]["list"]


def test_names_are_those_of_the_data_or_of_the_lexicon(cells, bundled):
    genes = bundled.read_genes(["symbol", "ensembl_ids"]).to_pylist()
    ids = {gene["symbol"]: gene["ensembl_ids"][0] for gene in genes if gene["ensembl_ids"]}
    symbols = [name for name in cells.var_names[:60] if ids.get(name)]
    own = cells.copy()
    own.var = pd.DataFrame({"gene": own.var_names}, index=[f"row{i}" for i in range(own.n_vars)])
    columns = [f"row{cells.var_names.get_loc(symbol)}" for symbol in symbols]
    with open_counts(own) as source:
        rows = [
            aligned(source, gene_column="gene", genes=names).genes.rows
            for names in (symbols, [ids[symbol] for symbol in symbols], columns)
        ]
    assert len(rows[0]) == len(symbols)
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], rows[2])


def test_unknown_names_are_told_and_lists_that_name_nothing_refused(cells, tmp_path):
    notes: list[Note] = []
    some = ["CD79A", "nonsense", "LYZ", "more-nonsense"]
    lexicell.tl.embed(cells, genes=some, listener=lambda e: notes.append(e) if isinstance(e, Note) else None)
    told = [note for note in notes if "are no genes" in note.text]
    assert told[0].text == "2 of 4 names are no genes of human-go-minilm: nonsense, more-nonsense"
    assert told[0].serious
    with pytest.raises(InputError, match=r"1.*\(nonsense\)"):
        lexicell.tl.embed(cells, genes=["nonsense"])
    with pytest.raises(CoverageError, match="1 listed"):
        lexicell.tl.embed(cells, genes=["ACTN3"])
    (tmp_path / "empty.txt").write_text("# nothing\n\n")
    with pytest.raises(InputError, match=r"empty\.txt"):
        lexicell.tl.embed(cells, genes=tmp_path / "empty.txt")
    with pytest.raises(InputNotFoundError):
        lexicell.tl.embed(cells, genes=tmp_path / "gone.txt")
    (tmp_path / "genes.txt.gz").write_bytes(gzip.compress(b"CD79A\nLYZ\n"))
    lexicell.tl.embed(cells, genes=tmp_path / "genes.txt.gz")
    assert cells.obs["lexicell_n_genes"].max() <= 2


def test_another_list_is_another_run(cells, listed, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    store = tmp_path / "out.zarr"
    lexicell.embed(tmp_path / "cells.h5ad", store, genes=listed[0])
    with pytest.raises(InputError, match="genes"):
        lexicell.embed(tmp_path / "cells.h5ad", store, genes=listed[1][:-3], resume=True)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_a_name_of_two_columns_means_both_and_any_column_of_names_will_do(cells):
    var = pd.DataFrame({"symbol": cells.var_names}, index=[f"r{i}" for i in range(cells.n_vars)])
    first, second = (cells.var_names.get_loc(name) for name in ("LYZ", "CD79A"))
    var.index = ["X" if i in (first, second) else name for i, name in enumerate(var.index)]
    twice = anndata.AnnData(cells.X, cells.obs, var)
    with open_counts(twice) as source:
        both, named = (aligned(source, genes=names).genes.rows for names in (["X"], ["LYZ", "CD79A"]))
    assert len(both) == 2
    np.testing.assert_array_equal(both, named)


def test_a_projection_of_listed_genes_uses_no_other(cells, listed, bundled):
    projection = train(cells, label=LABEL, genes=listed[0], objective="ridge")
    with open_counts(cells) as source:
        rows = aligned(source, genes=listed[0]).genes.rows
    assert set(np.flatnonzero(~projection.masked)) <= set(rows)


def test_listed_genes_are_listed_on_both_sides_of_an_annotation(cells, listed):
    notes: list[str] = []
    annotate(
        cells[::2].copy(), reference=cells[1::2].copy(), label=LABEL, genes=listed[0],
        listener=lambda event: notes.append(event.text) if isinstance(event, Note) else None,
    )  # fmt: skip
    assert sum("listed genes are here" in text for text in notes) == 2
    assert any("cells are compared by" in text and "100%" in text for text in notes)


def test_how_much_is_described_does_not_depend_on_a_list(cells, listed):
    with open_counts(cells) as source:
        whole, part = (gene_coverage(aligned(source, genes=genes)) for genes in (None, listed[0]))
    assert part.coverage == whole.coverage == whole.used > part.used > 0
    assert part.missing == whole.missing


def test_words_stand_for_weights_and_orders(cells):
    with open_counts(cells) as source:
        some = aligned(source)
        by_word, by_name = (next(some.selections(5, order=order)) for order in ("score", Order.SCORE))
        np.testing.assert_array_equal(by_word.genes, by_name.genes)
        with pytest.raises(ValueError, match="logg"):
            next(some.selections(5, weight="logg"))


def test_several_anndata_are_refused_in_a_sentence(cells, tmp_path):
    for run in (
        lambda: lexicell.embed([cells, cells], tmp_path / "o.zarr"),
        lambda: lexicell.pack(cells, tmp_path / "o.zarr"),
        lambda: train([cells, cells], label=LABEL),
    ):
        with pytest.raises(InputError, match=r"AnnData.*anndata\.concat"):
            run()


def test_some_cells_are_selected_as_among_all(cells, monkeypatch):
    only = np.array([0, 3, 4, 50, 118, 119])
    with open_counts(cells) as source:
        whole = aligned(source).select(9).take(only)
        monkeypatch.setattr("lexicell.embedding.aligned.read_blocks", lambda of, _: read_blocks(of, 3_000))
        some = aligned(source)
        starts = [part.start for part in some.selections(9, only=only)]
        found = some.select(9, only=only)
        nothing = some.select(9, only=only[:0])
    assert len(starts) > 3
    assert starts == sorted(starts)
    for name in ("genes", "counts", "indptr", "totals"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    assert len(nothing) == 0
