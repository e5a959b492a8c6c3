from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from bench import scenario, workbench
from bench.measure import measure
from bench.peers import components, encoders, in_slices
from bench.suites import models
from bench.workbench import Workbench
from tests.bench.conftest import by_group, spoil_vectors

pytestmark = pytest.mark.slow

GROUPS = dict(scenario.groups(scenario.load("models")))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Few cells, that are two slices nevertheless."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workbench, "TINY", 160)
        patch.setattr(components, "ROWS", 100)
        patch.setattr(encoders, "ROWS", 100)
        yield Workbench(tmp_path_factory.mktemp("bench"), tiny=True)


def _measured(bench, *words, group="synthetic"):
    rows = [row for row in GROUPS[group] if not words or row.what in words]
    with models.cases(rows, bench) as cases:
        assert [case.scenario for case in cases] == rows
        return measure(cases, 1)


@pytest.mark.parametrize("group", by_group(GROUPS))
def test_every_row_has_a_time_that_its_gate_lets_count_or_says_why_not(group, bench):
    for package in ("scanpy", "torch"):
        pytest.importorskip(package)
    for one in _measured(bench, group=group):
        assert bool(one.case.fairness) == one.case.peer
        if one.empty:
            assert not one.wrong, one.empty
            assert "rapids_singlecell" in one.empty or "LEXICELL_DATA" in one.empty
        else:
            assert min(one.seconds) > 0
            assert one.gate["max_error"] < (1e-4 if one.case.peer else 2e-3)
            assert one.case.n == bench.cells(one.case.scenario)


def test_real_cells_that_are_not_here_leave_rows_without_a_number(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("LEXICELL_DATA", str(tmp_path))
    for one in _measured(bench, group="pbmc3k"):
        assert "LEXICELL_DATA" in one.empty or "needs rapids_singlecell" in one.empty
        assert not one.wrong


def test_our_vectors_that_are_wrong_get_no_time_and_peers_keep_theirs(bench, monkeypatch):
    spoil_vectors(monkeypatch)
    ours, peer = _measured(bench, "lexicell", "pca-scipy")[::2]
    assert ours.wrong
    assert peer.seconds


@pytest.mark.parametrize("what", ["pca-scipy", "pca-sklearn"])
def test_a_product_with_other_components_gets_no_time(bench, monkeypatch, what):
    if what == "pca-sklearn":
        pytest.importorskip("sklearn")
    monkeypatch.setattr(components, "log_normalised", np.sqrt)
    (one,) = _measured(bench, what)
    assert one.wrong
    assert "off by" in one.empty


def test_slices_in_another_order_get_no_time(bench, monkeypatch):
    monkeypatch.setattr(in_slices, "slices", lambda n, rows: [slice(0, rows), slice(0, n - rows)])
    (one,) = _measured(bench, "pca-scipy")
    assert one.wrong


@pytest.mark.parametrize("change", ["vectors", "genes", "variance"])
def test_wrongly_fitted_components_get_no_time(bench, monkeypatch, change):
    pytest.importorskip("scanpy")

    def wrong(data, package, dim):
        right(data, package, dim)
        if change == "vectors":
            data.obsm["X_pca"][-1] += 0.1
        elif change == "genes":
            data.var.loc[data.var.index[data.var["highly_variable"]][0], "highly_variable"] = False
        else:
            for made in (data.obsm["X_pca"], data.varm["PCs"]):
                made[:, 0] = 0

    right = components._fit
    monkeypatch.setattr(components, "_fit", wrong)
    (one,) = _measured(bench, "pca-scanpy")
    said = {"vectors": "off by", "genes": "1999 variable genes", "variance": "less variance"}
    assert one.wrong
    assert said[change] in one.empty


@pytest.mark.parametrize("what", ["scimilarity-torch", "scimilarity-onnx", "scvi-torch", "scvi-onnx"])
def test_an_encoder_with_wrong_vectors_gets_no_time(bench, monkeypatch, what):
    if "torch" in what:
        pytest.importorskip("torch")
    right = encoders.encode

    def wrong(path, encoder, forward, out, n):
        right(path, encoder, lambda x: np.roll(forward(x), 1, axis=1), out, n)

    monkeypatch.setattr(encoders, "encode", wrong)
    (one,) = _measured(bench, what)
    assert one.wrong


def test_a_peer_whose_package_is_missing_says_which(bench, monkeypatch):
    monkeypatch.setattr(models, "find_spec", lambda _: None)
    for one in _measured(bench, "pca-sklearn", "pca-scanpy", "pca-rapids", "scvi-torch"):
        assert one.empty.startswith("needs ")
        assert not one.wrong


def test_runs_of_all_cells_write_a_vector_for_each(bench, tmp_path):
    path = bench.path("synthetic", "zarr", 160)
    basis = components.fit(path, 8)
    for threads in (1, 2):
        components.pca_by_scipy(path, basis, tmp_path / "z.npy", 160, threads)
        z = np.load(tmp_path / "z.npy")
        assert z.shape == (160, 8)
        assert (np.abs(z).max(axis=1) > 0).all()
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-3)  # of the cells that it was fitted to


def test_a_panel_with_fewer_genes_has_zeros_for_the_others_and_one_with_more_is_cut(monkeypatch):
    x = sp.csr_array(np.array([[1, 0, 3], [0, 2, 2]], np.float32))
    encoder = replace(encoders.random_encoder("scvi"), unit=True)
    for width in (2, 3, 5):
        monkeypatch.setattr(encoders, "N_GENES", width)
        made = encoders.prepared(x.copy(), encoder)
        counts = np.zeros((2, width))
        counts[:, :3] = x.toarray()[:, :width]
        np.testing.assert_allclose(
            made, np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True)), rtol=1e-6
        )
