"""The command line tells what it leaves out, and reads the modality that is asked for."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pytest
from tests.engine.counts.test_modality import write_mudata


@pytest.fixture
def typed(cells, tmp_path):
    """The cells, five columns of which are antibodies."""
    cells.var["feature_types"] = ["Antibody Capture"] * 5 + ["Gene Expression"] * (cells.n_vars - 5)
    cells.write_h5ad(tmp_path / "typed.h5ad")
    return tmp_path / "typed.h5ad"


@pytest.fixture
def mudata(cells, tmp_path):
    bare = anndata.AnnData(cells.X, obs=cells.obs[[]].copy(), var=cells.var[[]].copy())
    return write_mudata(tmp_path / "cells.h5mu", {"prot": bare[:, :5].copy(), "rna": bare})


@pytest.mark.parametrize("verb", ["embed", "pack", "align"])
def test_what_is_left_out_is_told_on_stderr(lexicell, typed, tmp_path, verb):
    words = (
        ("genes", "align", typed, "--json")
        if verb == "align"
        else (verb, typed, tmp_path / "out.zarr", "--json")
    )
    ended = lexicell(*words)
    assert ended.code == 0
    assert "5 of 765 columns are left out: Antibody Capture (5)" in ended.err
    assert json.loads(ended.out)["columns"] == 760


@pytest.mark.parametrize("verb", ["embed", "pack", "align", "train", "evaluate", "annotate"])
def test_a_mudata_is_refused_in_one_sentence_that_says_how_it_is_read(lexicell, mudata, tmp_path, verb):
    words = {
        "align": ("genes", "align", mudata),
        "train": ("train", mudata, tmp_path / "map", "--objective", "ridge", "--label", "kind"),
        "evaluate": ("evaluate", mudata, "--label", "kind"),
        "annotate": ("annotate", mudata, "--types", "T cell,B cell"),
    }
    ended = lexicell(*words.get(verb, (verb, mudata, tmp_path / "out.zarr")))
    assert ended.code == 2
    for part in ("cells.h5mu", "prot, rna", "--modality rna"):
        assert part in ended.complaint


def test_the_modality_is_embedded_packed_and_aligned(lexicell, mudata, cells, tmp_path):
    import lexicell as package

    assert lexicell("embed", mudata, tmp_path / "out.zarr", "--modality", "RNA").code == 0
    package.tl.embed(cells)
    np.testing.assert_array_equal(
        anndata.read_zarr(tmp_path / "out.zarr").obsm["X_lexicell"], cells.obsm["X_lexicell"]
    )
    packed = lexicell("pack", mudata, tmp_path / "packed.zarr", "--modality", "rna", "--json")
    assert json.loads(packed.out)["columns"] == 765
    aligned = lexicell("genes", "align", mudata, "--modality", "prot", "--json")
    assert json.loads(aligned.out)["columns"] == 5
    ended = lexicell("embed", mudata, tmp_path / "no.zarr", "--modality", "atac")
    assert ended.code == 2
    assert "prot, rna" in ended.complaint


@pytest.mark.parametrize("verb", ["embed", "pack", "train", "annotate", "evaluate", "genes align"])
def test_help_names_the_option_and_what_it_reads(lexicell, verb):
    told = lexicell(*verb.split(), "--help").out
    assert "--modality" in told
    assert verb in ("annotate", "evaluate") or ".h5mu" in told
