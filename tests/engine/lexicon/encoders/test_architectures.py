"""Encoders of every kind equal transformers; made tiny, with files as their authors publish them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lexicell.errors import InputError
from lexicell.lexicon import EncoderOptions, load_encoder, read_gene_texts

pytestmark = pytest.mark.slow

for package in ("torch", "transformers", "onnx", "onnxscript", "tokenizers"):
    pytest.importorskip(package, reason=f"{package} is not installed (extra: encoders)")

VOCABULARY = 400
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
# The keys of BioBERT's and SciBERT's config.json; SciBERT's is older than model_type.
BIOBERT = {
    "architectures": ["BertModel"], "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512, "model_type": "bert", "pad_token_id": 0, "type_vocab_size": 2,
    "vocab_size": VOCABULARY, **SIZE,
}  # fmt: skip
SCIBERT = {
    key: BIOBERT[key] for key in BIOBERT if key not in ("architectures", "model_type", "layer_norm_eps")
}


@pytest.fixture(scope="session")
def texts(small_table: Path) -> list[str]:
    """17 texts: real ones, then an empty one, a long one, capitals, other scripts."""
    real = read_gene_texts(small_table).texts[:12]
    return [
        *real,
        "",
        "This gene encodes a zinc finger protein that binds DNA. " * 80,
        "INS",
        "ins",
        "β 胰岛素 🧬",
    ]


def _word_pieces(texts: Sequence[str], *, lower_case: bool, special: Sequence[str]) -> list[str]:
    from tokenizers import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer(lowercase=lower_case)
    tokenizer.train_from_iterator(
        texts, vocab_size=VOCABULARY, special_tokens=list(special), show_progress=False
    )
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=lambda word: vocabulary[word])


def _save(folder: Path, config: dict[str, Any], *, old: bool = False) -> Path:
    """Write random weights: as model.safetensors, or as in 2019 with a head, a prefix and old names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from transformers import AutoConfig, AutoModel, AutoModelForPreTraining

        torch.manual_seed(0)
        kind = config.get("model_type", "bert")
        settings = AutoConfig.for_model(kind, **{k: v for k, v in config.items() if k != "model_type"})
        if old:
            weights = AutoModelForPreTraining.from_config(settings).state_dict()
            renamed = {
                name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                    "LayerNorm.bias", "LayerNorm.beta"
                ): value
                for name, value in weights.items()
            }
            torch.save(renamed, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
        else:
            AutoModel.from_config(settings).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@pytest.fixture(scope="session")
def biobert(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-biobert"
    folder.mkdir()
    words = _word_pieces(texts, lower_case=False, special=BERT_SPECIAL)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return _save(folder, BIOBERT, old=True)


@pytest.fixture(scope="session")
def scibert(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-scibert"
    folder.mkdir()
    words = _word_pieces(texts, lower_case=True, special=BERT_SPECIAL)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return _save(folder, SCIBERT, old=True)


def _other_kind(kind: str, folder: Path, texts: Sequence[str]) -> Path:
    config: dict[str, Any] = {"model_type": kind, "vocab_size": VOCABULARY, **SIZE}
    special = BERT_SPECIAL
    if kind == "distilbert":
        config |= {"dim": 32, "hidden_dim": 64, "n_heads": 4, "n_layers": 2, "max_position_embeddings": 512}
    elif kind == "electra":
        config |= {"embedding_size": 16}
    elif kind == "mpnet":
        special = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
        config |= {"max_position_embeddings": 514}
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"do_lower_case": True, "model_max_length": 128})
        )
    if kind == "roberta":
        from tokenizers import ByteLevelBPETokenizer

        config |= {"max_position_embeddings": 514, "type_vocab_size": 1}
        tokenizer = ByteLevelBPETokenizer()
        names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        tokenizer.train_from_iterator(texts, vocab_size=VOCABULARY, special_tokens=names, show_progress=False)
        tokenizer.save_model(str(folder))
    else:
        words = _word_pieces(texts, lower_case=True, special=special)
        (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return _save(folder, config)


def _torch_vectors(
    folder: Path, texts: Sequence[str], *, pooling: str, max_tokens: int, kind: str, **how: Any
) -> np.ndarray:
    """What transformers computes: padded batches, attention mask, pooling, unit length."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        content = json.loads((folder / "config.json").read_bytes())
        content.pop("model_type", None)
        config = AutoConfig.for_model(kind, **content)
        tokenizer = AutoTokenizer.from_pretrained(folder, config=config, **how)
        model = AutoModel.from_pretrained(folder, config=config).eval()
        batch = tokenizer(
            list(texts), padding=True, truncation=True, max_length=max_tokens, return_tensors="pt"
        )
        with torch.no_grad():
            hidden = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        pooled = hidden[:, 0] if pooling == "cls" else (hidden * mask).sum(1) / mask.sum(1)
        return np.asarray(torch.nn.functional.normalize(pooled, dim=1))


@pytest.fixture
def cache(encoder_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEXICELL_CACHE", str(encoder_cache))
    return encoder_cache


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("name", ["biobert", "scibert"])
def test_bert_files_of_2019_equal_transformers(name, pooling, cache, texts, request):
    folder = request.getfixturevalue(name)
    options = EncoderOptions(pooling=pooling, long_text="truncate")
    named = load_encoder(name, EncoderOptions(folder=folder, pooling=pooling, long_text="truncate"))
    found = load_encoder(str(folder), options)
    expected = _torch_vectors(
        folder, texts, pooling=pooling, max_tokens=512, kind="bert", do_lower_case=name == "scibert"
    )
    vectors = named.encode(texts)
    assert np.abs(vectors - expected).max() <= 1e-5
    np.testing.assert_array_equal(found.encode(texts), vectors)
    assert (named.info.pooling, named.info.max_tokens) == (pooling, 512)
    assert named.info.revision == found.info.revision
    assert found.info.id == folder.name
    same_case = np.array_equal(vectors[14], vectors[15])  # INS and ins
    assert same_case is (name == "scibert")


@pytest.mark.parametrize(
    ("kind", "max_tokens"), [("roberta", 512), ("mpnet", 128), ("distilbert", 512), ("electra", 512)]
)
def test_other_kinds_equal_transformers(kind, max_tokens, cache, texts, tmp_path):
    folder = _other_kind(kind, tmp_path, texts)
    encoder = load_encoder(str(folder), EncoderOptions(long_text="truncate"))
    assert encoder.info.max_tokens == max_tokens
    expected = _torch_vectors(folder, texts, pooling="mean", max_tokens=max_tokens, kind=kind)
    assert np.abs(encoder.encode(texts) - expected).max() <= 1e-5
    most = 512
    with pytest.raises(InputError, match=rf"{most}.*max_tokens.*513"):
        load_encoder(str(folder), EncoderOptions(max_tokens=513))
    longest = load_encoder(str(folder), EncoderOptions(max_tokens=most)).encode(texts)
    assert np.isfinite(longest).all()
