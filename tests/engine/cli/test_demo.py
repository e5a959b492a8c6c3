"""The demo, once, as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest

pytestmark = pytest.mark.slow


def test_the_demo_embeds_real_cells_and_tells_the_truth_about_them(tmp_path, capsys):
    # One test: a run takes half a minute, and test processes can't share a fixture.
    pytest.importorskip("scanpy")
    pytest.importorskip("umap")
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "lexicell", "demo", "--out", str(folder), "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    told = json.loads(run.stdout)

    writes_a_picture_and_the_cells(folder, told)
    counts_are_whole_and_give_the_published_values_back(folder)
    names_by_sentences_beat_their_controls(told)
    table_compares_with_controls(told)
    genes_of_b_cells_are_genes_of_b_cells(told)
    summary_ends_with_what_to_type_next(told, capsys)


def writes_a_picture_and_the_cells(folder: Path, told: dict[str, Any]) -> None:
    assert sorted(p.name for p in folder.iterdir()) == [
        "contributions.png",
        "demo.h5ad",
        "demo.png",
        "report.html",
    ]
    assert (told["picture"], told["embedded"]) == (str(folder / "demo.png"), str(folder / "demo.h5ad"))
    for name in ("demo.png", "contributions.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert (folder / "demo.png").stat().st_size > 20_000
    cells = anndata.read_h5ad(folder / "demo.h5ad")
    assert cells.obsm["X_lexicell"].shape == (700, 384)
    assert cells.obsm["X_umap"].shape == (700, 2)
    assert np.isfinite(cells.obsm["X_umap"]).all()


def counts_are_whole_and_give_the_published_values_back(folder: Path) -> None:
    import scanpy as sc

    counts = anndata.read_h5ad(folder / "demo.h5ad").X.toarray()
    assert (counts == np.rint(counts)).all()
    assert counts.min() == 0
    assert counts.max() > 50
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the bundled file is of an old format, and says so
        old = sc.datasets.pbmc68k_reduced()
    sizes = old.obs["n_counts"].to_numpy()[:, None]
    np.testing.assert_allclose(np.log1p(1e4 * counts / sizes), old.raw.X.toarray(), atol=2e-3)
    assert (counts.sum(axis=1) <= sizes.ravel()).all()  # of all genes these are some


def names_by_sentences_beat_their_controls(told: dict[str, Any]) -> None:
    accuracy = list(told["accuracy_of_names"].values())
    assert accuracy[0] > 0.8 > accuracy[1] > accuracy[2]
    present = {kind for kind, of in told["types"].items() if of["present"]}
    assert told["types"].keys() - present == {"hepatocyte"}
    assert {"CD79A", "MS4A1"} & set(told["types"]["B cell"]["genes"])


def table_compares_with_controls(told: dict[str, Any]) -> None:
    accuracy = told["accuracy_10nn"]
    assert list(accuracy) == ["lexicell", "PCA50 of expression", "random gene vectors", "largest type"]
    assert all(0 < value < 1 for value in accuracy.values())
    assert min(accuracy[name] for name in list(accuracy)[:3]) > accuracy["largest type"]
    assert told["cells"] == 700
    assert told["genes_described"] > 700
    assert told["cells_per_second"] > 0


def genes_of_b_cells_are_genes_of_b_cells(told: dict[str, Any]) -> None:
    genes = told["genes_of_types"]
    assert len(genes) == 10
    assert all(len(names) == 5 for names in genes.values())
    assert {"CD79A", "MS4A1"} & set(genes["CD19+ B"])


def summary_ends_with_what_to_type_next(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    from lexicell.cli.demo import _print

    _print(told)
    said = capsys.readouterr().out
    assert all(name in said for name in told["accuracy_10nn"])
    *_, before, last = said.strip().splitlines()
    assert before.startswith("next: lexicell search ")
    assert last == "then: lexicell embed YOUR.h5ad YOUR.zarr"
