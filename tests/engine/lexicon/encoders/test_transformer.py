"""What is wrong with a model's files is said in one sentence, and nothing of theirs is run."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from lexicell.errors import CorruptDataError, InputError, WriteError
from lexicell.lexicon import EncoderOptions, load_encoder
from lexicell.lexicon.encoders import onnx_export as export
from lexicell.lexicon.encoders.model_files import ModelFiles
from lexicell.lexicon.encoders.transformer import export_graph, save_tokenizer

for package in ("torch", "transformers", "onnx", "onnxscript", "tokenizers"):
    pytest.importorskip(package, reason=f"{package} is not installed (extra: encoders)")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "gene", "##s", "cell"]
CONFIG = {
    "model_type": "bert", "vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 8, "max_position_embeddings": 16, "type_vocab_size": 2,
}  # fmt: skip


@pytest.fixture(scope="session")
def _bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from transformers import BertConfig, BertModel

        folder = tmp_path_factory.mktemp("bert")
        torch.manual_seed(0)
        model = BertModel(BertConfig(**{k: v for k, v in CONFIG.items() if k != "model_type"}))
        model.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return folder


@pytest.fixture
def bert(_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small BERT as safetensors and as a pickle, to be broken; the cache is empty."""
    monkeypatch.setenv("LEXICELL_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(_bert, tmp_path / "bert"))


class _Attack:
    """Unpickled, it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


@pytest.fixture
def quick_export(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Instead of an export, a graph that looks tokens up in the returned table, float32 ``[8, 4]``."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)

    def write(files: ModelFiles, target: Path) -> None:
        graph = helper.make_graph(
            [helper.make_node("Gather", ["table", "input_ids"], ["hidden"])],
            "tokens",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])],
            [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["n", "t", 4])],
            [numpy_helper.from_array(table, "table")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.save(model, target)

    monkeypatch.setattr(export, "export_graph", write)
    return table


@pytest.mark.parametrize("form", ["zip", "legacy", "plain"])
def test_a_pickle_that_holds_more_than_weights_is_refused_and_not_run(bert, tmp_path, form):
    import torch

    (bert / "model.safetensors").unlink()
    file, target = bert / "pytorch_model.bin", tmp_path / "attacked"
    if form == "plain":
        file.write_bytes(pickle.dumps(_Attack(target)))
    else:
        torch.save({"weight": _Attack(target)}, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CorruptDataError, match=r"pytorch_model\.bin"):
        load_encoder(str(bert))
    assert not target.exists()
    assert list((tmp_path / "cache" / "encoders").iterdir()) == []
    pickle.loads(pickle.dumps(_Attack(target)))  # noqa: S301 # the attack is one
    assert target.exists()


@pytest.mark.parametrize("damage", ["empty", "half", "other"])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_damaged_or_foreign_weights_are_named(bert, tmp_path, name, damage):
    import safetensors.torch
    import torch

    file = bert / name
    for other in {"model.safetensors", "pytorch_model.bin"} - {name}:
        (bert / other).unlink()
    content = file.read_bytes()
    if damage == "other":
        weights = {"decoder.weight": torch.zeros(2)}
        if name == "model.safetensors":
            safetensors.torch.save_file(weights, file, metadata={"format": "pt"})
        else:
            torch.save(weights, file)
    else:
        file.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
    with pytest.raises(CorruptDataError, match=name.replace(".", r"\.")) as error:
        export_graph(ModelFiles(bert), tmp_path / "x.onnx")
    assert str(error.value).count("\n") == 0
    assert ("lack 2" in str(error.value)) is (damage == "other")
    assert not (tmp_path / "x.onnx").exists()


def test_a_configuration_of_other_shapes_is_named(bert, tmp_path):
    (bert / "config.json").write_text(json.dumps(CONFIG | {"hidden_size": 16}))
    with pytest.raises(CorruptDataError, match=r"weights in .*cannot be read") as error:
        export_graph(ModelFiles(bert), tmp_path / "x.onnx")
    assert "\n" not in str(error.value)
    (bert / "config.json").write_text(json.dumps(CONFIG | {"num_attention_heads": "many"}))
    with pytest.raises(CorruptDataError, match=r"config\.json|cannot be read"):
        export_graph(ModelFiles(bert), tmp_path / "x.onnx")


def test_a_damaged_or_foreign_tokenizer_is_named(bert, tmp_path):
    target = tmp_path / "t.json"
    (bert / "vocab.txt").write_text("\n".join([*WORDS, "nucleus"]))
    with pytest.raises(CorruptDataError, match=r"9 tokens .* 8"):
        save_tokenizer(ModelFiles(bert), target)
    (bert / "tokenizer.json").write_text("{}")
    with pytest.raises(CorruptDataError, match=r"\(tokenizer\.json\)"):
        save_tokenizer(ModelFiles(bert), target)
    (bert / "tokenizer.json").unlink()
    (bert / "vocab.txt").write_bytes(b"")
    with pytest.raises(CorruptDataError, match=r"vocab\.txt"):
        load_encoder(str(bert))


def test_code_that_comes_with_a_model_is_not_run(bert, tmp_path):
    (bert / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'attacked')!r})\nclass Evil: pass\n")
    remote = {
        "AutoModel": "evil.Evil",
        "AutoConfig": "evil.Evil",
        "AutoTokenizer": ["evil.Evil", "evil.Evil"],
    }
    (bert / "config.json").write_text(json.dumps(CONFIG | {"auto_map": remote}))
    (bert / "tokenizer_config.json").write_text(json.dumps({"auto_map": remote, "tokenizer_class": "Evil"}))
    with contextlib.suppress(CorruptDataError, InputError):
        load_encoder(str(bert))
    assert not (tmp_path / "attacked").exists()


def test_max_tokens_must_leave_room_and_fit_the_model(bert, tmp_path, quick_export):
    with pytest.raises(InputError, match=r"16.*max_tokens.*17"):
        load_encoder(str(bert), EncoderOptions(max_tokens=17))
    assert not (tmp_path / "cache").exists()  # said before anything is exported
    with pytest.raises(InputError, match="max_tokens 2"):
        load_encoder(str(bert), EncoderOptions(max_tokens=2))
    assert load_encoder(str(bert), EncoderOptions(max_tokens=3)).info.max_tokens == 3
    assert load_encoder(str(bert)).info.max_tokens == 16


def test_a_pooling_that_is_neither_mean_nor_cls_must_be_chosen_against(bert, tmp_path, quick_export):
    (bert / "1_Pooling").mkdir()
    (bert / "1_Pooling" / "config.json").write_text('{"pooling_mode": "max"}')
    with pytest.raises(InputError, match=r"\(--pooling\)"):
        load_encoder(str(bert))
    assert not (tmp_path / "cache").exists()
    assert load_encoder(str(bert), EncoderOptions(pooling="cls")).info.pooling == "cls"
    (bert / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    shipped, mean = (load_encoder(str(bert), EncoderOptions(pooling=pooling)) for pooling in (None, "mean"))
    assert (shipped.info.pooling, mean.info.pooling) == ("cls", "mean")
    assert shipped.cache_key != mean.cache_key
    for encoder, vector in ((shipped, quick_export[2]), (mean, quick_export[[2, 5, 7, 3]].mean(axis=0))):
        np.testing.assert_allclose(
            encoder.encode(["Gene cell"])[0], vector / np.linalg.norm(vector), rtol=0, atol=1e-6
        )


def test_a_full_disk_is_said_and_leaves_nothing(bert, tmp_path, monkeypatch):
    def full(files: ModelFiles, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(export, "export_graph", full)
    with pytest.raises(WriteError, match=r"\(No space left on device\).*LEXICELL_CACHE"):
        load_encoder(str(bert))
    assert list((tmp_path / "cache" / "encoders").iterdir()) == []


def test_weights_that_are_no_numbers_are_named(bert, quick_export):
    quick_export[5] = np.nan
    encoder = load_encoder(str(bert))
    assert np.isfinite(encoder.encode(["cell"])).all()
    with pytest.raises(CorruptDataError, match="not finite"):
        encoder.encode(["cell", "gene"])


def test_a_gpu_that_is_not_there_is_said_before_anything_is_exported(bert, tmp_path):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime-gpu is installed")
    with pytest.raises(InputError, match=r"ONNX Runtime.*CPUExecution"):
        load_encoder(str(bert), EncoderOptions(device="cuda"))
    assert not (tmp_path / "cache").exists()


def test_a_silent_fall_back_to_the_cpu_is_an_error(minilm, monkeypatch):
    from dataclasses import replace

    import onnxruntime

    # As where onnxruntime-gpu is installed and CUDA's libraries are not.
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    gpu = replace(minilm, device="cuda")
    assert gpu.cache_key != minilm.cache_key
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ONNX Runtime warns of the unknown provider
        with pytest.raises(InputError, match="cuda cannot be used"):
            gpu.encode(["INS"])
