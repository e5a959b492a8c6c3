from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lexicell.errors import InputError
from lexicell.lexicon import EncoderOptions, OnnxTextEncoder, load_encoder, read_gene_texts
from lexicell.lexicon.encoders.onnx_export import ExportedEncoder
from lexicell.lexicon.encoders.quantise import quantisation_error, quantised_encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(minilm: OnnxTextEncoder, encoder_cache: Path) -> Path:
    return encoder_cache


@pytest.fixture
def lines(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("LEXICELL_CACHE", str(cache))
    return []


@pytest.fixture
def int8(lines: list[str]) -> OnnxTextEncoder:
    encoder = load_encoder("minilm", EncoderOptions(precision="int8"), notify=lines.append)
    assert isinstance(encoder, OnnxTextEncoder)
    lines.clear()
    return encoder


@pytest.fixture(scope="module")
def texts(small_table: Path) -> list[str]:
    return [text[:300] for text in read_gene_texts(small_table).texts]


def test_int8_is_close_to_float32_and_says_how_close(int8, minilm, texts, lines):
    vectors = int8.encode(texts)
    cosines = (vectors * minilm.encode(texts)).sum(axis=1)
    assert 0.98 < cosines.min() < cosines.mean() < 0.9999
    mean, worst = quantisation_error(int8, minilm, texts)
    np.testing.assert_allclose((mean, worst), (cosines.mean(), cosines.min()), atol=1e-6)
    int8.encode(texts)
    assert lines == [
        f"int8: cosine to float32 {mean:.4f} on average, {worst:.4f} at worst, over {len(texts)} texts"
    ]


def test_the_comparison_takes_texts_from_all_over(int8, lines):
    int8.encode([])
    assert lines == []
    int8.encode(["INS"] * 100)
    assert len(lines) == 1
    assert lines[0].endswith("over 50 texts")


def test_an_int8_vector_does_not_depend_on_its_batch_mates(int8, texts):
    # Equal lengths, which float32 would put into one batch, and a scale of activations for each.
    same = ["alpha gene", "beta gene", "gamma cell", "insulin gene"]
    together = int8.encode([*texts[:8], *same])
    for text, vector in zip([*texts[:8], *same], together, strict=True):
        np.testing.assert_array_equal(int8.encode([text])[0], vector)


def test_an_int8_encoder_tells_what_it_is(int8, minilm):
    assert (int8.info.precision, minilm.info.precision) == ("int8", "float32")
    assert int8.info.revision == minilm.info.revision
    assert int8.cache_key != minilm.cache_key


def test_a_quantised_graph_is_kept_and_made_again_when_damaged(minilm, tmp_path):
    source = tmp_path / "minilm-r1"
    shutil.copytree(minilm.graph.parent, source)
    exported = ExportedEncoder(source, minilm.revision)
    lines: list[str] = []
    first = quantised_encoder(exported, lines.append)
    content = first.graph.read_bytes()
    assert quantised_encoder(exported, lines.append) == first
    assert len(lines) == 1
    first.graph.write_bytes(content[:-50])
    assert quantised_encoder(exported, lines.append) == first
    assert first.graph.read_bytes() == content
    assert len(lines) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["minilm-r1", first.folder.name]


def test_int8_on_a_gpu_is_refused():
    with pytest.raises(InputError, match=r"int8.*CPUs"):
        load_encoder("minilm", EncoderOptions(precision="int8", device="cuda"))
