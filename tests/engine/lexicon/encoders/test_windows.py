from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lexicell.errors import CorruptDataError, InputError
from lexicell.lexicon import OnnxTextEncoder
from lexicell.lexicon.encoders.windows import Windower

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed (extra: encoders)")

WORDS = [f"w{i}" for i in range(50)]


def _tokenizer(tmp_path: Path, template: str = "[CLS] $A [SEP]", special: str = "[CLS] [SEP]") -> Path:
    """Words as tokens, special tokens by a template, and settings that must be undone."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = special.split()
    vocabulary = {name: i for i, name in enumerate([*names, "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(name, vocabulary[name]) for name in names]
    )
    tokenizer.enable_truncation(7)
    tokenizer.enable_padding(length=40)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def _text(n: int) -> str:
    return " ".join(WORDS[i % 50] for i in range(n))


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 17, 24, 25, 100])
def test_windows_are_as_few_as_hold_the_text_and_of_nearly_one_length(n, tmp_path):
    windower = Windower.open(_tokenizer(tmp_path), 10, "window")
    (windows,) = windower.cut([_text(n)])
    assert len(windows) == max(1, -(-n // 8))
    lengths = [len(window) for window in windows]
    assert max(lengths) <= 10
    assert max(lengths) - min(lengths) <= 1
    assert [windower.content(window) for window in windows] == [length - 2 for length in lengths]
    assert all((window[0], window[-1]) == (0, 1) for window in windows)
    content = np.concatenate([window[1:-1] for window in windows])
    np.testing.assert_array_equal(content, [3 + i % 50 for i in range(n)])


@pytest.mark.parametrize(
    ("template", "special"),
    [
        ("[CLS] $A [SEP]", "[CLS] [SEP]"),
        ("[CLS] [TASK] $A", "[CLS] [TASK]"),
        ("$A [SEP] [END] [END]", "[SEP] [END]"),
        ("[A] [B] $A [B] [A]", "[A] [B]"),
        ("$A", "[NONE]"),
    ],
)
def test_every_window_gets_the_tokenizers_own_special_tokens(template, special, tmp_path):
    from tokenizers import Tokenizer

    path = _tokenizer(tmp_path, template, special)
    own = Tokenizer.from_file(str(path))
    own.no_padding()
    own.enable_truncation(12)
    texts = [_text(n) for n in (0, 1, 8, 9, 30)]
    cut = list(Windower.open(path, 12, "truncate").cut(texts))
    for windows, encoding in zip(cut, own.encode_batch(texts), strict=True):
        assert len(windows) == 1
        np.testing.assert_array_equal(windows[0], encoding.ids)
    *_, last = Windower.open(path, 12, "window").cut(texts)
    n_special = len(own.encode("").ids)
    assert sum(len(window) for window in last) == 30 + n_special * len(last)
    for window in last:
        part = [WORDS[i - own.token_to_id("w0")] for i in window if i >= own.token_to_id("w0")]
        np.testing.assert_array_equal(window, own.encode(" ".join(part)).ids)


def test_special_tokens_inside_a_text_are_refused(tmp_path):
    with pytest.raises(InputError, match="special tokens inside a text"):
        Windower.open(_tokenizer(tmp_path, "[CLS] $A [SEP] $A", "[CLS] [SEP]"), 10, "window")


def test_a_limit_without_room_and_a_damaged_tokenizer_are_named(tmp_path):
    path = _tokenizer(tmp_path)
    assert Windower.open(path, 3, "window").room == 1
    with pytest.raises(InputError, match=r"max_tokens 2.*2.*3"):
        Windower.open(path, 2, "window")
    path.write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(CorruptDataError, match=r"tokenizer\.json"):
        Windower.open(path, 10, "window")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_long_text_is_the_mean_of_its_windows_weighted_by_their_tokens(minilm, pooling):
    encoder = replace(minilm, pooling=pooling, max_tokens=32)
    text = "This gene encodes a zinc finger protein that binds DNA and RNA. " * 9
    (windows,) = encoder._windower.cut([text])
    assert len(windows) >= 4
    assert len({len(window) for window in windows}) == 2
    hidden = [encoder._session.run(None, {"input_ids": window[None]})[0][0] for window in windows]
    pooled = [h[0] if pooling == "cls" else h.mean(axis=0) for h in hidden]
    mean = np.average(pooled, axis=0, weights=[len(window) - 2 for window in windows])
    np.testing.assert_allclose(encoder.encode([text])[0], mean / np.linalg.norm(mean), rtol=0, atol=1e-6)
    assert np.abs(encoder.encode([text]) - replace(encoder, long_text="truncate").encode([text])).max() > 0.01


def test_a_text_that_fits_has_the_same_bits_windowed_or_truncated(minilm):
    texts = ["", "INS", "gene " * 100, "gene " * 254]
    windowed, truncated = minilm.encode(texts), replace(minilm, long_text="truncate").encode(texts)
    np.testing.assert_array_equal(windowed, truncated)
    both = [encoder.encode(["gene " * 255]) for encoder in (minilm, replace(minilm, long_text="truncate"))]
    assert not np.array_equal(*both)


def test_long_texts_do_not_depend_on_what_is_encoded_with_them(minilm):
    encoder: OnnxTextEncoder = replace(minilm, max_tokens=16)
    # Windows of 13 and 14 tokens beside texts of as many, so that batches mix and complete out of order.
    texts = ["alpha beta gene " * n for n in (14, 4, 23, 1, 9, 30, 4, 0)]
    together = np.full((len(texts), encoder.dim), np.nan, np.float32)

    def take(positions, vectors):
        assert np.isnan(together[positions]).all()  # each position once
        together[positions] = vectors

    np.testing.assert_array_equal(encoder.encode(texts, take), together)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(encoder.encode([text])[0], vector)
    np.testing.assert_array_equal(encoder.encode(texts[::-1])[::-1], together)


def test_batches_of_any_length_have_the_bits_of_one_text_alone(minilm):
    encoder = replace(minilm, max_tokens=300)
    texts = [f"{name} " + "gene " * n for n in range(0, 298, 27) for name in ("a", "protein", "cell")]
    together = encoder.encode(texts)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(encoder.encode([text])[0], vector)


def test_windows_are_summed_in_their_order_whichever_came_first(minilm):
    found = {0: np.array([1e16]), 1: np.array([1.0]), 2: np.array([-1e16])}  # as sums, 0 or 1
    windows = [np.zeros(5, np.int64)] * 3
    expected = minilm._average(found, windows)
    for order in ((2, 0, 1), (0, 2, 1), (1, 2, 0)):
        np.testing.assert_array_equal(minilm._average({i: found[i] for i in order}, windows), expected)
