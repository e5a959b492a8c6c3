from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lexicell.errors import CorruptDataError, InputError, InputNotFoundError, MissingExtraError
from lexicell.lexicon import Encoder, EncoderOptions, OnnxTextEncoder, load_encoder, read_gene_texts
from lexicell.lexicon.encoders import onnx_export as export
from lexicell.lexicon.encoders.hub import find_model
from lexicell.lexicon.encoders.model_files import MODELS, ModelFiles
from lexicell.lexicon.encoders.onnx_encoder import _equal_length_batches


def _odd_texts() -> list[str]:
    long = "This gene encodes a zinc finger protein that binds DNA. " * 60
    return [
        "",
        "a",
        "INS",
        "β-globin (HBB), naïve façade; 胰岛素 🧬",
        long,
        long[:1500],
        "INS",
        " padded  text\n",
    ]


def _torch_vectors(folder: Path, texts: Sequence[str], max_tokens: int) -> np.ndarray:
    """What sentence-transformers computes: padded batches, masked mean, unit length; torch only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from transformers import AutoModel, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        pooled = []
        for start in range(0, len(texts), 16):
            batch = tokenizer(
                list(texts[start : start + 16]),
                padding=True,
                truncation=True,
                max_length=max_tokens,
                return_tensors="pt",
            )
            with torch.no_grad():
                hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            pooled.append(torch.nn.functional.normalize(mean, dim=1).numpy())
    return np.concatenate(pooled)


@pytest.fixture(scope="session")
def texts(small_table: Path) -> list[str]:
    """41 real gene texts, then very short, very long, non-Latin and repeated ones."""
    return [*read_gene_texts(small_table).texts, *_odd_texts()]


@pytest.fixture(scope="session")
def tiny_model(minilm: OnnxTextEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT with random weights and MiniLM's tokenizer: exports in seconds."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from transformers import BertConfig, BertModel

        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=30522,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
        )
        BertModel(config).save_pretrained(folder)
    source = find_model(MODELS["minilm"]).folder
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder / name)
    return folder


def test_minilm_equals_transformers(minilm, texts):
    expected = _torch_vectors(find_model(MODELS["minilm"]).folder, texts, minilm.max_tokens)
    vectors = replace(minilm, long_text="truncate").encode(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (49, 384) == expected.shape
    assert np.abs(vectors - expected).max() <= 1e-5
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_text_does_not_depend_on_its_batch_mates(minilm, texts):
    together = minilm.encode(texts)
    np.testing.assert_array_equal(minilm.encode(texts[::-1])[::-1], together)
    for index in (0, 20, 41, 44, 45):
        np.testing.assert_array_equal(minilm.encode([texts[index]])[0], together[index])
    assert texts[43] == texts[47]
    np.testing.assert_array_equal(together[43], together[47])


def test_long_texts_are_cut_at_the_token_limit(minilm):
    word = "gene "
    truncating = replace(minilm, long_text="truncate")
    longest = truncating.encode([word * 254, word * 255, word * 1000])  # 254 + [CLS] + [SEP] = 256 tokens
    np.testing.assert_array_equal(longest[0], longest[1])
    np.testing.assert_array_equal(longest[0], longest[2])
    assert not np.array_equal(longest[0], truncating.encode([word * 253])[0])


def test_batches_are_handed_over_as_they_come(minilm, texts):
    vectors = np.full((49, 384), np.nan, np.float32)
    batches: list[int] = []

    def take(positions, batch):
        assert np.isnan(vectors[positions]).all()  # each position once
        vectors[positions] = batch
        batches.append(len(positions))

    np.testing.assert_array_equal(minilm.encode(texts, take), vectors)
    assert len(batches) > 1


def test_no_texts_give_no_vectors(minilm):
    assert minilm.encode([]).shape == (0, 384)


def test_minilm_tells_what_it_is(minilm):
    assert isinstance(minilm, Encoder)
    assert minilm.id == "sentence-transformers/all-MiniLM-L6-v2"
    assert minilm.revision == MODELS["minilm"].revision
    assert (minilm.dim, minilm.info.pooling, minilm.max_tokens, minilm.info.normalised) == (
        384,
        "mean",
        256,
        True,
    )


def test_batches_hold_one_length_within_the_token_limit():
    lengths = np.random.default_rng(0).integers(1, 1500, 3000).tolist()
    batches = list(_equal_length_batches(lengths, 1024))
    assert sorted(text for batch in batches for text in batch) == list(range(3000))
    for batch in batches:
        assert len({lengths[text] for text in batch}) == 1
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= 1024


def test_a_users_folder_is_exported_in_silence_and_equals_transformers(
    tiny_model, texts, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("LEXICELL_CACHE", str(tmp_path))
    lines: list[str] = []
    options = EncoderOptions(folder=tiny_model, long_text="truncate")
    encoder = load_encoder("minilm", options, notify=lines.append)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert len(lines) == 1
    assert encoder.revision != MODELS["minilm"].revision
    expected = _torch_vectors(tiny_model, texts, encoder.max_tokens)
    assert np.abs(encoder.encode(texts) - expected).max() <= 1e-5

    again = load_encoder("minilm", options, notify=lines.append)
    assert again == encoder
    assert len(lines) == 1
    assert [path.name for path in (tmp_path / "encoders").iterdir()] == [encoder.graph.parent.name]


@pytest.fixture
def counted_export(minilm: OnnxTextEncoder, tmp_path, monkeypatch) -> list[Path]:
    """An empty cache whose exports are copies of a real one; the list grows by one per export."""
    exports: list[Path] = []

    def copy(files: ModelFiles, target: Path) -> None:
        exports.append(files.folder)
        shutil.copyfile(minilm.graph, target)

    monkeypatch.setenv("LEXICELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(export, "export_graph", copy)
    return exports


def test_an_export_is_reused(counted_export):
    first = load_encoder("minilm")
    assert load_encoder("minilm") == first
    assert len(counted_export) == 1


@pytest.mark.parametrize("damaged", ["encoder.onnx", "tokenizer.json", "export.json"])
def test_a_damaged_export_is_made_again(counted_export, damaged):
    first = load_encoder("minilm")
    file = first.graph.parent / damaged
    file.write_bytes(file.read_bytes()[:-50])
    second = load_encoder("minilm")
    assert len(counted_export) == 2
    assert second == first
    assert second.encode(["INS"]).shape == (1, 384)


def test_an_export_by_another_process_in_the_meantime_is_kept(counted_export, monkeypatch):
    copy = export.export_graph

    def overtaken(files: ModelFiles, target: Path) -> None:
        monkeypatch.setattr(export, "export_graph", copy)
        load_encoder("minilm")
        target.write_bytes(b"late")

    monkeypatch.setattr(export, "export_graph", overtaken)
    encoder = load_encoder("minilm")
    assert encoder.encode(["INS"]).shape == (1, 384)
    assert load_encoder("minilm") == encoder
    assert len(counted_export) == 1
    assert len(list(encoder.graph.parents[1].iterdir())) == 1


def test_a_cached_export_needs_neither_the_model_nor_torch(counted_export, monkeypatch):
    first = load_encoder("minilm")
    for package in ("torch", "transformers", "onnx", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(export, "find_model", lambda *_: pytest.fail("the model was looked for"))
    assert load_encoder("minilm") == first


def test_a_failed_export_leaves_no_cache_entry(minilm, tmp_path, monkeypatch):
    def fail(files: ModelFiles, target: Path) -> None:
        target.write_bytes(b"half")
        raise RuntimeError

    monkeypatch.setenv("LEXICELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(export, "export_graph", fail)
    with pytest.raises(RuntimeError):
        load_encoder("minilm")
    assert list((tmp_path / "cache" / "encoders").iterdir()) == []


def test_a_missing_extra_says_what_to_install(minilm, tmp_path, monkeypatch):
    monkeypatch.setenv("LEXICELL_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lexicell\[encoders\]"'):
        load_encoder("minilm")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    fresh = OnnxTextEncoder("a", "b", minilm.graph, minilm.tokenizer, 256)
    with pytest.raises(MissingExtraError, match="Encoding gene texts"):
        fresh.encode(["INS"])


def test_unknown_encoders_get_the_nearest_name():
    with pytest.raises(InputError, match=r"there are minilm, biobert, .*Did you mean minilm\?"):
        load_encoder("mini-lm")


def test_a_folder_without_the_files_lists_them(tmp_path, monkeypatch):
    monkeypatch.setenv("LEXICELL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputNotFoundError, match=r"tokenizer\.json.*model\.safetensors"):
        load_encoder("minilm", EncoderOptions(folder=tmp_path))
    (tmp_path / "config.json").write_text("not json")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CorruptDataError, match="cannot be read"):
        load_encoder("minilm", EncoderOptions(folder=tmp_path))


@pytest.mark.parametrize("hub", ["absent", "offline"])
def test_offline_without_the_package_says_which_files_to_put_where(hub, tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.setenv("LEXICELL_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    if hub == "absent":
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    else:
        huggingface_hub = pytest.importorskip("huggingface_hub")

        def refuse(*_: object, **__: object) -> str:
            raise ConnectionError

        monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(InputNotFoundError, match=r"config\.json, tokenizer\.json.*vocab\.txt.*model\.safe"):
        load_encoder("minilm")


def test_the_fingerprint_ignores_what_changes_no_number(tiny_model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    original = ModelFiles(tiny_model).fingerprint()
    config = json.loads((copy / "config.json").read_bytes())
    (copy / "config.json").write_text(
        json.dumps(config | {"transformers_version": "0", "_name_or_path": "x"})
    )
    assert ModelFiles(copy).fingerprint() == original
    (copy / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-5}))
    assert ModelFiles(copy).fingerprint() != original


def test_the_workload_counts_windows_and_tokens(minilm):
    found = minilm.workload(["gene " * 254, "gene " * 300])  # each window has a [CLS] and a [SEP]
    assert (found.windows, found.tokens, found.requests) == (3, 256 + 304, None)
