"""Genes whose texts say nothing can be left out, and that is told wherever the run is described."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pytest
from typer.testing import CliRunner

import lexicell
from lexicell.cli._app import app
from lexicell.counts import open_counts
from lexicell.embedding import Note, Options, make_plan
from lexicell.errors import CoverageError, InputError
from lexicell.lexicon import EncoderInfo, Lexicon, TextInfo, align_genes, write_lexicon

FLAGGED = {"S100A8": "shared", "CD79A": "name-only", "CD79B": "name-only", "NKG7": "placeholder"}


@pytest.fixture
def flagged(tmp_path, bundled, cells) -> Lexicon:
    """The bundled lexicon's genes of the cells, four of them flagged, made-up vectors."""
    rows = align_genes(bundled, cells.var).rows
    genes = bundled.read_genes().take(np.unique(rows[rows >= 0]))
    flags = [FLAGGED.get(symbol) for symbol in genes["symbol"].to_pylist()]
    assert len(flags) - flags.count(None) == 4
    at = genes.column_names.index("text_flag")
    genes = genes.set_column(at, "text_flag", [flags])
    vectors = np.random.default_rng(0).standard_normal((genes.num_rows, 16)).astype(np.float32)
    encoder = EncoderInfo(id="none", revision="0", pooling="mean", max_tokens=1, normalised=False)
    return write_lexicon(
        tmp_path / "flagged", genes.drop_columns(["row"]), vectors, name="flagged", organism="human",
        text=TextInfo(source="a test"), encoder=encoder,
    )  # fmt: skip


def notes(told) -> list[str]:
    return [event.text for event in told if isinstance(event, Note)]


def test_masked_genes_are_as_if_the_lexicon_did_not_have_them(flagged, cells):
    told = []
    without = cells[:, ~cells.var_names.isin(["CD79A", "CD79B"])].copy()
    lexicell.tl.embed(
        cells, lexicon=flagged, mask_genes=["name-only"], top_k=30, weight="uniform", listener=told.append
    )
    lexicell.tl.embed(without, lexicon=flagged, top_k=30, weight="uniform")
    np.testing.assert_array_equal(cells.obsm["X_lexicell"], without.obsm["X_lexicell"])
    np.testing.assert_array_equal(cells.obs["lexicell_n_genes"], without.obs["lexicell_n_genes"])
    assert any("2 of " in text and "genes are masked (name-only)" in text for text in notes(told))


def test_counts_of_masked_genes_are_undescribed(flagged, cells):
    plain = cells.copy()
    lexicell.tl.embed(plain, lexicon=flagged)
    lexicell.tl.embed(cells, lexicon=flagged, mask_genes=("shared",))
    share = np.asarray(cells[:, "S100A8"].X.todense()).ravel() / np.asarray(cells.X.sum(axis=1)).ravel()
    assert share.max() > 0
    lost = plain.obs["lexicell_coverage"] - cells.obs["lexicell_coverage"]
    np.testing.assert_allclose(lost, share, atol=1e-6)
    with open_counts(cells) as source:
        all_of_them = make_plan(source, Options(lexicon=flagged))
        fewer = make_plan(source, Options(lexicon=flagged, mask_genes=("shared",)))
    assert all_of_them.cells.coverage - fewer.cells.coverage == pytest.approx(
        cells[:, "S100A8"].X.sum() / cells.X.sum(), abs=1e-6
    )


def test_the_mask_is_in_the_plan_and_in_the_provenance(flagged, cells):
    with open_counts(cells) as source:
        plan = make_plan(
            source, Options(lexicon=flagged, mask_genes=("placeholder", "name-only", "name-only"))
        )
        described = plan.describe()
        assert (described["mask"], described["masked_genes"]) == ("name-only, placeholder", 3)
        assert described["genes"] == plan.cells.alignment.n_genes - 3
        provenance = plan.provenance()["genes"]
        assert (provenance["mask"], provenance["masked"]) == ("name-only,placeholder", 3)
        plain = make_plan(source, Options(lexicon=flagged))
    assert (plain.describe()["mask"], plain.provenance()["genes"]["mask"]) == ("none", "none")


def test_a_lexicon_without_flags_says_so(tmp_path, flagged, cells):
    genes = flagged.read_genes()
    at = genes.column_names.index("text_flag")
    genes = genes.set_column(at, "text_flag", [[None] * genes.num_rows])
    bare = write_lexicon(
        tmp_path / "bare", genes.drop_columns(["row"]), flagged.vectors(flagged.rows), name="bare",
        organism="human", text=TextInfo(source="a test"), encoder=flagged.info.encoder,
    )  # fmt: skip
    told = []
    lexicell.tl.embed(cells, lexicon=bare, mask_genes=["shared"], listener=told.append)
    assert any("the lexicon bare has no flags, so no gene is masked" in text for text in notes(told))
    assert not any("genes are masked" in text for text in notes(told))
    assert cells.uns["lexicell"]["genes"]["masked"] == 0


def test_unknown_flags_and_masks_of_everything_are_refused(flagged, cells):
    with pytest.raises(InputError, match=r"name-only, shared, placeholder.*'dull'"):
        lexicell.tl.embed(cells, lexicon=flagged, mask_genes=["dull"])
    only = cells[:, list(FLAGGED)].copy()
    with pytest.raises(CoverageError, match="all 4 genes"):
        lexicell.tl.embed(
            only, lexicon=flagged, mask_genes=["name-only", "shared", "placeholder"], min_coverage=0
        )
    with pytest.raises(CoverageError, match=r"3.*90%"):
        lexicell.tl.embed(only, lexicon=flagged, mask_genes=["name-only", "placeholder"], min_coverage=0.9)


def test_the_command_line_masks_too(tmp_path, flagged, cells):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    command = [
        "embed", str(tmp_path / "cells.h5ad"), str(tmp_path / "out.zarr"), "--lexicon", str(flagged.path),
        "--mask-genes", "name-only", "--mask-genes", "shared", "--json",
    ]  # fmt: skip
    planned = CliRunner().invoke(app, [*command, "--dry-run"])
    assert planned.exit_code == 0, planned.stderr
    assert json.loads(planned.stdout)["masked_genes"] == 3
    assert "3 of 7" in planned.stderr
    assert not (tmp_path / "out.zarr").exists()
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    lexicell.tl.embed(cells, lexicon=flagged, mask_genes=["name-only", "shared"])
    written = anndata.read_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(written.obsm["X_lexicell"], cells.obsm["X_lexicell"])
    assert written.uns["lexicell"]["genes"]["mask"] == "name-only,shared"
