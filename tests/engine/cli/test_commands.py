"""The command line when all is well."""

from __future__ import annotations

import json
import subprocess
import sys

import anndata
import numpy as np
import pytest


def test_embed_tells_what_it_understood_and_did(lexicell, h5ad, cells, tmp_path):
    ended = lexicell("embed", h5ad, tmp_path / "out.zarr", "--obs-column", "bulk_labels")
    assert ended.code == 0
    assert "read from the index of var as human genes" in ended.err
    assert "120 cells x 384 -> " in ended.out
    written = anndata.read_zarr(tmp_path / "out.zarr")
    assert written.obs_names.tolist() == cells.obs_names.tolist()
    assert "bulk_labels" in written.obs
    assert list(tmp_path.glob(".*")) == []


def test_json_is_all_there_is_on_stdout(lexicell, h5ad, tmp_path):
    ended = lexicell(
        "embed", h5ad, tmp_path / "out.h5ad", "--json", "-k", 20, "--weight", "rank", "--dtype", "f16"
    )
    told = json.loads(ended.out)
    assert (told["cells"], told["dim"], told["top_k"], told["weight"]) == (120, 384, 20, "rank")
    assert told["output"] == str(tmp_path / "out.h5ad")
    assert told["output_bytes"] == 120 * 384 * 2
    assert anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_lexicell"].dtype == np.float16


@pytest.mark.parametrize("as_json", [True, False])
def test_a_dry_run_prints_the_plan_and_writes_nothing(lexicell, h5ad, tmp_path, as_json):
    ended = lexicell("embed", h5ad, tmp_path / "new" / "out.zarr", "--dry-run", *["--json"] * as_json)
    assert ended.code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["cells.h5ad"]
    if as_json:
        told = json.loads(ended.out)
        assert (told["cells"], told["columns"]) == (120, 765)
        assert (told["values"], told["recipe"]) == ("counts", "lexicell")
        assert told["output_bytes"] == 120 * 384 * 4
    else:
        assert "recipe" in ended.out


def test_a_dry_run_finds_what_a_run_would(lexicell, h5ad, tmp_path):
    ended = lexicell("embed", h5ad, tmp_path / "out.zarr", "--dry-run", "-k", 5000)
    assert (ended.code, ended.out) == (2, "")
    assert "more than the" in ended.complaint


def test_recipes_and_values_reach_the_vectors(lexicell, h5ad, tmp_path, cells):
    import lexicell as package

    options = ("--recipe", "genept-w", "--weight", "count")
    assert lexicell("embed", h5ad, tmp_path / "out.zarr", *options).code == 0
    package.tl.embed(cells, recipe="genept-w", weight="count")
    written = anndata.read_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(written.obsm["X_lexicell"], cells.obsm["X_lexicell"])
    assert dict(written.uns["lexicell"])["weight"] == "count"


def test_align_shows_routes_coverage_and_what_is_missing(lexicell, h5ad):
    ended = lexicell("genes", "align", h5ad)
    assert ended.code == 0
    for part in ("route", "symbol", "of the counts lie in described genes", "without a description"):
        assert part in ended.out
    told = json.loads(lexicell("genes", "align", h5ad, "--json").out)
    assert told["columns"] == 765
    assert told["coverage"] > 0.9
    assert len(told["missing"]) == 20
    assert sum(route["columns"] for route in told["routes"].values()) == 765


def test_info_shows_what_the_lexicon_is_made_of(lexicell, bundled):
    ended = lexicell("genes", "info")
    assert ended.code == 0
    assert "21,609" in ended.out
    assert "CC BY 4.0" in ended.out
    assert json.loads(lexicell("genes", "info", "--json").out)["identity"] == bundled.identity


def test_doctor_tells_what_there_is(lexicell, tmp_path, monkeypatch):
    monkeypatch.setenv("LEXICELL_CACHE", str(tmp_path))
    (tmp_path / "vectors").mkdir()
    (tmp_path / "vectors" / "a.sqlite").write_bytes(bytes(3_000_000))
    told = json.loads(lexicell("doctor", "--json").out)
    assert told["lexicons"]["human-go-minilm"] == "21,609 genes, verified"
    assert "threads" in told["used for embedding"]
    assert set(told["versions"]) >= {"numpy", "numba", "anndata", "onnxruntime"}
    assert told["cache"] == f"{tmp_path} (3 MB)"
    assert "human-go-minilm" in lexicell("doctor").out


def test_the_version_is_the_packages(lexicell):
    import lexicell as package

    ended = lexicell("--version")
    assert (ended.code, ended.out) == (0, f"lexicell {package.__version__}\n")


@pytest.mark.parametrize(
    "verb",
    ["", "demo", "embed", "import-embedding", "doctor", "genes"]
    + [
        f"genes {verb}"
        for verb in (
            "fetch",
            "build",
            "info",
            "align",
            "evaluate",
            "merge",
            "subset",
            "diff",
            "convert",
            "export",
        )
    ],
)
def test_every_verb_explains_itself(lexicell, verb):
    for flag in ("--help", "-h"):
        ended = lexicell(*verb.split(), flag)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith(f"Usage: lexicell {verb}".strip())


def test_no_arguments_is_a_question_for_help(lexicell):
    ended = lexicell()
    assert ended.code == 2
    assert "lexicell demo" in ended.out + ended.err


@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "lexicell"], pytest.param(["lexicell"], marks=pytest.mark.slow)]
)
def test_the_installed_commands_work_from_outside(h5ad, tmp_path, command):
    if command == ["lexicell"]:
        command = [f"{sys.executable.rpartition('/')[0]}/lexicell"]
    run = subprocess.run(
        [*command, "embed", h5ad, tmp_path / "out.zarr", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["cells"] == 120
    run = subprocess.run(
        [*command, "embed", h5ad, tmp_path / "out.zarr"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("lexicell: error: ")
    assert len(run.stderr.splitlines()) == 1
