"""The exported graph says what the kernel says, alone and complete."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest

import lexicell
from lexicell._files import hash_file
from lexicell.counts import Values
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.fold import fold
from lexicell.errors import InputError, OutputExistsError, WriteError
from lexicell.exports import export_cell
from lexicell.lexicon import EncoderInfo, Lexicon, TextInfo, align_genes, write_lexicon
from lexicell.projection import HeadLayer, Pooling, Projection, Residual
from lexicell_kernels import CsrBlock, Weight, embed_rows, select_topk

onnx = pytest.importorskip("onnx")

VECTORS = np.array([[3, 4], [1, 0], [0, -2], [0.5, 0.25]], np.float32)
GENES = np.array([[0, 1, 2], [3, 3, 0], [1, 1, 1]])
WEIGHTS = np.array([[1, 2, 3], [0.5, 0, 0], [0, 0, 0]], np.float32)


def _lexicon(path: Path, vectors: np.ndarray, dtype="float16") -> Lexicon:
    import pyarrow as pa

    n = len(vectors)
    genes = pa.table(
        {
            "ncbi_id": list(range(1, n + 1)),
            "symbol": [f"G{i}" for i in range(n)],
            **{name: pa.array([[]] * n, pa.list_(pa.string())) for name in _LISTS},
            **{name: ["a text"] * n for name in ("name", "text", "text_source")},
        }
    )
    encoder = EncoderInfo(id="none", revision="0", pooling="mean", max_tokens=1, normalised=False)
    text = TextInfo(source="a test")
    return write_lexicon(
        path, genes, vectors, name="small", organism="human", text=text, encoder=encoder, dtype=dtype
    )


_LISTS = ("ensembl_ids", "aliases", "mouse_symbols")


@pytest.fixture
def small(tmp_path) -> Lexicon:
    return _lexicon(tmp_path / "lexicon", VECTORS)


def _run(path: Path, genes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """As someone would who has onnxruntime and nothing else."""
    import onnxruntime as ort

    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["z"], {"genes": genes, "weights": weights})[0]


def _served(counts: anndata.AnnData, folded, k: int) -> tuple[CsrBlock, np.ndarray, np.ndarray]:
    """Lexicon rows and log1p weights of the k genes that the kernel selects."""
    matrix = counts.X.tocsr()
    block = CsrBlock(
        data=matrix.data,
        indices=matrix.indices,
        indptr=matrix.indptr.astype(np.int64),
        n_columns=matrix.shape[1],
    )
    picks = select_topk(folded.genes.counts(block, Values.COUNTS), folded.table, k=k)
    totals = np.asarray(matrix.sum(axis=1)).ravel()[:, None]
    weights = np.log1p(1e4 * picks.scores / np.maximum(totals, 1)).astype(np.float32)
    return block, folded.genes.rows[np.maximum(picks.genes, 0)].astype(np.int64), weights


def _projection(lexicon: Lexicon, p: int = 24) -> Projection:
    rng = np.random.default_rng(0)
    return Projection(
        rng.standard_normal((p, lexicon.dim), np.float32) / 20,
        rng.standard_normal(p, np.float32) / 50,
        rng.uniform(0.2, 2, lexicon.n_genes).astype(np.float32),
    )


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("normalise", [False, True])
def test_real_cells_get_the_kernels_vectors(tmp_path, bundled, pbmc3k, projected, normalise):
    cells = pbmc3k[:300]
    projection = _projection(bundled) if projected else None
    folded = fold(bundled, CandidateGenes.of(align_genes(bundled, cells.var).rows), projection)
    block, genes, weights = _served(cells, folded, 128)
    path = export_cell(bundled, tmp_path / "cell.onnx", projection=projection, normalise=normalise)
    found = _run(path, genes, weights)
    kernel = embed_rows(block, folded.table, k=128, weight=Weight.LOG1P, normalise=normalise)
    assert (found.dtype, found.shape) == (np.float32, kernel.vectors.shape)
    assert np.abs(kernel.vectors).max() > 0.05
    np.testing.assert_allclose(found, kernel.vectors, rtol=0, atol=1e-5)


def _by_hand(projection: Projection | None, *, normalise: bool) -> np.ndarray:
    table = VECTORS.astype(np.float64)
    bias = 0.0
    if projection is not None:
        table = table @ projection.weight.T * projection.gene_scale[:, None]
        bias = projection.bias
    rows = []
    for genes, weights in zip(GENES, WEIGHTS, strict=True):
        if not weights.sum():
            rows.append(np.zeros(table.shape[1]))
            continue
        z = weights @ table[genes] / weights.sum() + bias
        rows.append(z / np.linalg.norm(z) if normalise else z)
    return np.array(rows)


@pytest.mark.parametrize("dtype", ["float16", "float32", None])
@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("normalise", [False, True])
def test_onnxs_own_evaluator_and_a_sum_by_hand_agree(tmp_path, small, dtype, projected, normalise):
    from onnx.reference import ReferenceEvaluator

    projection = _projection(small, p=3) if projected else None
    path = export_cell(small, tmp_path / "cell.onnx", projection=projection, normalise=normalise, dtype=dtype)
    (found,) = ReferenceEvaluator(onnx.load(path)).run(None, {"genes": GENES, "weights": WEIGHTS})
    tolerance = 2e-3 if projected and dtype == "float16" else 1e-6
    np.testing.assert_allclose(found, _by_hand(projection, normalise=normalise), rtol=0, atol=tolerance)
    np.testing.assert_allclose(_run(path, GENES, WEIGHTS), found, rtol=0, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "gelu", "none"])
def test_all_parts_of_a_projection_are_in_the_graph(tmp_path, bundled, pbmc3k, activation):
    cells, rng = pbmc3k[:200].copy(), np.random.default_rng(0)
    projection = Projection(
        rng.standard_normal((24, bundled.dim)),
        bias=rng.standard_normal(24) / 9,
        gene_scale=rng.uniform(0.5, 2, bundled.n_genes),
        offset=rng.standard_normal(24),
        residual=Residual(
            np.arange(50, 9_000), rng.standard_normal((8_950, 3)), rng.standard_normal((3, 24))
        ),
        masked=rng.random(bundled.n_genes) < 0.2,
        head=(
            HeadLayer(rng.standard_normal((16, 24)), rng.standard_normal(16), activation),
            HeadLayer(rng.standard_normal((9, 16)), rng.standard_normal(9), activation),
        ),
        pooling=Pooling(None, "log1p"),
    )
    lexicell.tl.embed(cells, projection=projection, lexicon=bundled)
    # Served with the weights of all genes: the graph leaves out what the projection masks.
    unmasked = fold(
        bundled, CandidateGenes.of(align_genes(bundled, cells.var).rows), replace(projection, masked=None)
    )
    _, genes, weights = _served(cells, unmasked, 4_000)
    path = export_cell(bundled, tmp_path / "cell.onnx", projection=projection)
    np.testing.assert_allclose(_run(path, genes, weights), cells.obsm["X_lexicell"], rtol=0, atol=1e-5)
    masked = np.flatnonzero(projection.masked)[:3][None]
    assert not _run(path, masked, np.ones((1, 3), np.float32)).any()


def test_vectors_keep_their_length_where_the_projection_was_learned_so(tmp_path, small):
    raw = replace(_projection(small, p=3), pooling=Pooling(None, "log1p", normalise=False))
    path = export_cell(small, tmp_path / "cell.onnx", projection=raw)
    np.testing.assert_allclose(_run(path, GENES, WEIGHTS), _by_hand(raw, normalise=False), rtol=0, atol=1e-6)
    about = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(about["lexicell.pooling"]) == {"top_k": None, "weight": "log1p", "normalise": False}


@pytest.mark.parametrize("projected", [False, True])
def test_a_cell_without_weights_is_a_zero_row_and_nothing_is_nan(tmp_path, projected):
    lexicon = _lexicon(tmp_path / "lexicon", np.array([[1, 1], [-1, -1], [0, 0]], np.float32))
    projection = _projection(lexicon, p=3) if projected else None
    path = export_cell(lexicon, tmp_path / "cell.onnx", projection=projection)
    genes = np.array([[0, 0], [0, 1], [2, 2]])  # nothing; vectors that cancel out; a gene without direction
    found = _run(path, genes, np.array([[0, 0], [1, 1], [1, 2]], np.float32))
    assert not found[0].any()
    assert np.isfinite(found).all()
    if not projected:
        assert not found[1:].any()
    assert _run(path, genes[:0], np.zeros((0, 2), np.float32)).shape == (0, found.shape[1])
    assert not _run(path, np.zeros((2, 0), np.int64), np.zeros((2, 0), np.float32)).any()


def test_the_table_is_half_as_large_where_that_loses_nothing(tmp_path, small):
    def bits(path: Path) -> int:
        return onnx.load(path).graph.initializer[0].data_type

    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    assert bits(export_cell(small, tmp_path / "a.onnx")) == half
    assert bits(export_cell(small, tmp_path / "b.onnx", projection=_projection(small))) == single
    fine = _lexicon(tmp_path / "fine", VECTORS + np.float32(1e-6), "float32")
    assert bits(export_cell(fine, tmp_path / "c.onnx")) == single
    assert bits(export_cell(fine, tmp_path / "d.onnx", dtype="float16")) == half


def test_the_graph_says_what_it_is_and_equal_input_gives_equal_bytes(tmp_path, small):
    paths = [export_cell(small, tmp_path / name) for name in ("a.onnx", "b.onnx")]
    assert hash_file(paths[0]) == hash_file(paths[1])
    model = onnx.load(paths[0])
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["lexicell.identity"] == small.identity
    assert json.loads(about["lexicell.text"])["source"] == "a test"
    assert "any valid row where the weight is 0" in about["lexicell.inputs"]
    assert [opset.version for opset in model.opset_import] == [17]
    projected = onnx.load(export_cell(small, tmp_path / "c.onnx", projection=_projection(small)))
    assert {e.key: e.value for e in projected.metadata_props}["lexicell.projection"]


def test_a_file_is_replaced_only_when_asked(tmp_path, small):
    path = tmp_path / "cell.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="exists"):
        export_cell(small, path)
    assert path.read_bytes() == b"mine"
    export_cell(small, path, overwrite=True)
    assert path.stat().st_size > 100
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(OutputExistsError, match="is a folder"):
        export_cell(small, tmp_path / "folder.onnx", overwrite=True)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, small, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError, match="cannot be written \\(No space left on device\\)"):
        export_cell(small, folder / "cell.onnx")
    assert list(folder.iterdir()) == []


def test_what_does_not_fit_is_refused(tmp_path, small, monkeypatch):
    with pytest.raises(InputError, match=r"\.onnx"):
        export_cell(small, tmp_path / "cell.bin")
    with pytest.raises(InputError, match="learned on"):
        export_cell(small, tmp_path / "a.onnx", projection=Projection(np.ones((2, 5), np.float32)))
    weights = np.ones(9, np.float32)
    with pytest.raises(InputError, match=r"9 genes .* 4"):
        export_cell(
            small, tmp_path / "a.onnx", projection=Projection(np.eye(2, dtype="f4"), gene_scale=weights)
        )
    large = Projection(np.eye(2, dtype=np.float32) * 1e6)
    with pytest.raises(InputError, match="float16"):
        export_cell(small, tmp_path / "a.onnx", projection=large, dtype="float16")
    monkeypatch.setattr("lexicell.exports.cell_onnx._MOST_BYTES", 10)
    with pytest.raises(InputError, match="fewer dimensions"):
        export_cell(small, tmp_path / "a.onnx")
    assert not list(tmp_path.glob("*.onnx"))
