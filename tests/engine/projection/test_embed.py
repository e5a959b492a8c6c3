"""A projection in the ways of embedding: recipe, stores, resuming, lazily, on the command line."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pytest
from tests.torture.campaign import content
from typer.testing import CliRunner

import lexicell
from lexicell.counts import open_counts
from lexicell.embedding import Note, Options, make_plan
from lexicell.embedding import local as local_run
from lexicell.errors import CoverageError, InputError
from lexicell.projection import Pooling


def planned(adata, listener=lambda _: None, **options):
    with open_counts(adata) as source:
        return make_plan(source, Options(**options), listener)


def serious(told: list) -> list[str]:
    return [event.text for event in told if isinstance(event, Note) and event.serious]


def test_cells_are_pooled_as_the_projection_was_learned_unless_asked_otherwise(cells, full):
    told: list = []
    recipe = planned(cells, told.append, projection=full()).recipe
    assert (recipe.name, recipe.top_k, recipe.weight, recipe.normalise) == ("learned", 60, "count", True)
    assert not serious(told)
    recipe = planned(cells, told.append, projection=full(), top_k=9).recipe
    assert (recipe.name, recipe.top_k, recipe.weight) == ("learned", 9, "count")
    assert serious(told) == [
        "the projection was learned with top_k 60, weight count, "
        "and cells are pooled with top_k 9, weight count"
    ]
    assert planned(cells, projection=full(), recipe="genept-w").recipe.name == "genept-w"
    assert planned(cells, projection=full(pooling=None)).recipe.name == "lexicell"
    assert planned(cells).recipe.name == "lexicell"
    raw = Pooling(None, "rank", normalise=False)
    recipe = planned(cells, projection=full(pooling=raw)).recipe
    assert (recipe.top_k, recipe.weight, recipe.normalise) == (None, "rank", False)


def test_a_folder_is_as_good_as_the_projection(cells, full, tmp_path):
    folder = full().save(tmp_path / "p")
    found = []
    for projection in (full(), folder, str(folder)):
        lexicell.tl.embed(cells, projection=projection)
        found.append(cells.obsm["X_lexicell"])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_plan_and_uns_name_the_projection(cells, full):
    p = full()
    plan = planned(cells, projection=p)
    facts = plan.describe()
    assert (facts["projection"], facts["projection_identity"]) == ("types", p.identity)
    assert (facts["projection_label"], facts["projection_data"]) == ("cell_type", '["a.h5ad"]')
    assert (facts["dim"], facts["mask"]) == (12, "projection")
    assert facts["output_bytes"] == cells.n_obs * 12 * 4
    assert plan.provenance()["projection"] == p.identity
    assert plan.provenance()["projection_card"]["name"] == "types"
    assert planned(cells, projection=full(card={})).describe()["projection"] == p.identity[:12]
    raw = planned(cells, recipe="paper")
    assert raw.describe()["projection"] == "none"
    assert "projection_card" not in raw.provenance()


def test_few_chosen_genes_are_told_and_no_error_but_none_is_one(cells, full, bundled):
    told: list = []
    aligned = planned(cells).cells.alignment.rows
    few = np.ones(bundled.n_genes, bool)
    few[aligned[aligned >= 0][:30]] = False
    plan = planned(cells, told.append, projection=full(masked=few))
    assert plan.folded.table.n_genes == 30
    assert 0 < plan.cells.coverage < 0.5
    notes = [event.text for event in told]
    assert any(
        text.startswith("30 of the 30 genes that the projection uses are here, with") for text in notes
    )
    assert not serious(told)
    few[np.setdiff1d(bundled.rows, aligned)[:31]] = False
    planned(cells, told.append, projection=full(masked=few))
    assert serious(told)[0].startswith("30 of the 61 genes")
    few[:] = True
    few[np.setdiff1d(bundled.rows, aligned)[:31]] = False
    with pytest.raises(CoverageError, match="31 genes"):
        planned(cells, projection=full(masked=few))


def test_too_little_coverage_of_the_lexicon_is_still_an_error(cells, full):
    cells.var_names = [name if i % 8 == 0 else f"x{i}" for i, name in enumerate(cells.var_names)]
    with pytest.raises(CoverageError, match="less than 50%"):
        planned(cells, projection=full())


def test_blocks_shards_and_workers_do_not_show_behind_a_head(many, many_file, full, tmp_path, monkeypatch):
    p = full(masked=None)
    whole, parts = tmp_path / "whole.zarr", tmp_path / "parts.zarr"
    lexicell.embed(many_file, whole, projection=p, workers=1)
    monkeypatch.setattr("lexicell.embedding.shards.MAX_NNZ", 20_000)
    lexicell.embed(many_file, parts, projection=p, workers=3)
    assert content(parts) == content(whole)
    written = anndata.read_zarr(parts)
    assert written.obsm["X_lexicell"].shape == (many.n_obs, 12)
    assert written.uns["lexicell"]["projection"] == p.identity
    some = many[:300].copy()
    lexicell.tl.embed(some, projection=p)
    np.testing.assert_array_equal(written.obsm["X_lexicell"][:300], some.obsm["X_lexicell"])


def test_a_run_is_resumed_with_the_same_numbers_only(many_file, full, tmp_path, monkeypatch):
    out, p = tmp_path / "out.zarr", full(masked=None)
    lexicell.embed(many_file, tmp_path / "whole.zarr", projection=p)

    def interrupted(job, source, shards, **options):
        local_run.run_local(job, source, shards[:2], **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("lexicell.embedding.run.run_local", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lexicell.embed(many_file, out, projection=p)
    with pytest.raises(InputError, match="projection"):
        lexicell.embed(many_file, out, projection=full(masked=None, bias=None), resume=True)
    renamed = full(masked=None, card={"name": "renamed"})
    done = lexicell.embed(many_file, out, projection=renamed, resume=True)
    assert 0 < done.resumed_cells < done.cells
    one, other = (
        anndata.read_zarr(tmp_path / name).obsm["X_lexicell"] for name in ("out.zarr", "whole.zarr")
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_dask_array_goes_through_the_head_chunk_by_chunk(cells, full):
    da = pytest.importorskip("dask.array")
    lexicell.tl.embed(cells, projection=full())
    expected = cells.obsm["X_lexicell"]
    lazy = cells.copy()
    lazy.X = da.from_array(cells.X.toarray(), chunks=(37, 765))
    lexicell.tl.embed(lazy, projection=full())
    assert lazy.obsm["X_lexicell"].shape == (cells.n_obs, 12)
    np.testing.assert_array_equal(lazy.obsm["X_lexicell"].compute(), expected)


def test_the_command_line_takes_a_folder(cells, full, tmp_path):
    from lexicell.cli._app import app

    cells.write_h5ad(tmp_path / "cells.h5ad")
    folder = full().save(tmp_path / "p")
    command = ["embed", str(tmp_path / "cells.h5ad"), str(tmp_path / "out.zarr"), "--projection", str(folder)]
    planned_only = [*command, "--dry-run", "--json"]
    planned_only[2] = str(tmp_path / "out.h5ad")  # of a .zarr it would also try the speed
    dry = CliRunner().invoke(app, planned_only, catch_exceptions=False)
    facts = json.loads(dry.stdout)
    assert (facts["projection"], facts["recipe"], facts["top_k"], facts["dim"]) == (
        "types",
        "learned",
        60,
        12,
    )
    done = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    lexicell.tl.embed(cells, projection=full())
    written = anndata.read_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(written.obsm["X_lexicell"], cells.obsm["X_lexicell"])
    assert written.uns["lexicell"]["projection_card"]["label"] == "cell_type"
