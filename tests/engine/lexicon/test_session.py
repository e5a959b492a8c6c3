"""ONNX Runtime on the device that was asked for, and what it gathers handed over without a copy."""

from __future__ import annotations

import gc
import shutil
import warnings

import numpy as np
import onnxruntime
import pytest

from lexicell.errors import InputError
from lexicell.lexicon import table
from lexicell.lexicon.session import open_session, require_device
from lexicell.lexicon.table import TABLE_MODEL, gather, gather_shared, open_table, shares_memory

without_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="onnxruntime-gpu is installed"
)


@pytest.fixture
def pretended(monkeypatch):
    """As where onnxruntime-gpu is installed and CUDA's libraries are not."""
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)


@without_cuda
def test_a_provider_that_is_not_installed_is_refused(bundled):
    assert not shares_memory()
    require_device("cpu")
    with pytest.raises(InputError, match=r"ONNX Runtime.*CPUExecution"):
        open_table(bundled.path, "cuda")


@without_cuda
def test_a_table_that_falls_back_to_the_cpu_in_silence_is_an_error(bundled, pretended):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ONNX Runtime warns of the unknown provider
        with pytest.raises(InputError, match=r"ONNX Runtime.*CPUExecutionProvider"):
            open_table(bundled.path, "cuda")


@pytest.mark.parametrize("first", ["CUDAExecutionProvider", "CPUExecutionProvider"])
def test_a_session_is_given_out_if_the_provider_asked_for_comes_first(bundled, pretended, monkeypatch, first):
    class Session:
        def __init__(self, path, sess_options, providers):
            assert providers == [("CUDAExecutionProvider", {"use_tf32": "0"})]

        def get_providers(self):
            return sorted(["CUDAExecutionProvider", "CPUExecutionProvider"], key=lambda name: name != first)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    given = (bundled.path / TABLE_MODEL, onnxruntime.SessionOptions(), "cuda")
    if first == "CUDAExecutionProvider":
        assert isinstance(open_session(*given, remedy=""), Session)
    else:
        with pytest.raises(InputError, match="cuda cannot be used"):
            open_session(*given, remedy="")


def test_gathered_memory_is_shared_and_outlives_its_session(bundled):
    rows = np.array([7, 0, 7, 21_608], np.int64)
    session = open_table(bundled.path)
    expected = gather(session, rows)
    value = gather_shared(session, rows, "cpu")
    vectors = np.from_dlpack(value)
    assert vectors.__array_interface__["data"][0] == value.data_ptr()
    del session, value
    gc.collect()
    _ = [np.ones(10**5, np.float32) for _ in range(20)]  # would take memory that was given back
    np.testing.assert_array_equal(vectors, expected)


def test_a_gpu_gets_what_onnx_runtime_gathered_there_or_one_upload(bundled, monkeypatch, tmp_path):
    """The two ways, with a CuPy that only tells which one was taken."""

    asked, ways = [], []

    class Told:
        def from_dlpack(self, value):
            ways.append("shared")
            return np.from_dlpack(value)

        def asarray(self, vectors):
            ways.append("uploaded")
            return vectors

    artefact = "lexicell.lexicon.lexicon."
    monkeypatch.setattr(artefact + "require_gpu", Told)
    monkeypatch.setattr(artefact + "gather_shared", lambda s, rows, _: gather_shared(s, rows, "cpu"))
    monkeypatch.setattr(
        artefact + "open_table", lambda path, device: asked.append(device) or open_table(path)
    )
    rows = np.array([3, 1])
    expected = bundled.vectors(rows)
    asked.clear()
    for shares in (True, False):
        monkeypatch.setattr(artefact + "shares_memory", lambda shares=shares: shares)
        # A folder of its own: one that was opened before keeps its sessions.
        lexicon = type(bundled).open(shutil.copytree(bundled.path, tmp_path / str(shares)))
        np.testing.assert_array_equal(lexicon.vectors(rows, device="cuda"), expected)
    assert (asked, ways) == (["cuda", "cpu"], ["shared", "uploaded"])
    with pytest.raises(InputError, match="must lie in"):
        bundled.vectors(np.array([-1]), device="cuda")


def test_memory_is_shared_only_by_a_runtime_that_can(monkeypatch):
    for cuda, runtime, shares in (
        (True, onnxruntime.OrtValue, True), (False, onnxruntime.OrtValue, False), (True, object, False)
    ):  # fmt: skip
        monkeypatch.setattr(table, "offers", lambda device, cuda=cuda: cuda and device == "cuda")
        monkeypatch.setattr(onnxruntime, "OrtValue", runtime)
        assert shares_memory() is shares
