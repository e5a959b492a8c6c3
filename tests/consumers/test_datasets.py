"""Hugging Face ``datasets``, old and new: nothing but it, NumPy and pyarrow is imported here."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

pytestmark = pytest.mark.slow

datasets = pytest.importorskip("datasets", reason="pip install datasets")


def plain(folder):
    state = json.loads((folder / "state.json").read_text())
    parts = [(folder / part["filename"]).read_bytes() for part in state["_data_files"]]
    return pa.concat_tables([pa.ipc.open_stream(part).read_all() for part in parts])


@pytest.mark.parametrize("name", ["geneformer", "sentences", "vectors-hf"])
def test_a_folder_is_opened_as_it_is(exports, name):
    found = datasets.load_from_disk(str(exports / name))
    expected = plain(exports / name)
    assert found.column_names == expected.column_names
    assert found.num_rows == expected.num_rows == 90
    assert found.to_dict() == expected.to_pydict()


def test_tokens_are_of_the_type_that_models_take(exports):
    found = datasets.load_from_disk(str(exports / "geneformer"))
    inner = found.features["input_ids"].feature
    assert inner.dtype == "int32"
    assert found.features["length"].dtype == "int64"
    assert found[5]["input_ids"] == []
    assert len(found[0]["input_ids"]) == found[0]["length"] > 100


def test_vectors_in_parquet_are_lists_of_a_length(exports):
    pattern = str(exports / "vectors/part-*.parquet")
    found = datasets.load_dataset("parquet", data_files=pattern, split="train", cache_dir=str(exports / "c"))
    vectors = np.asarray(found.with_format("numpy")[:]["embedding"])
    assert vectors.dtype == np.float32
    listed = plain(exports / "vectors-hf").column("embedding").to_pylist()
    assert vectors.tolist() == np.asarray(listed, np.float32).tolist()


def test_questions_are_read_as_messages(exports):
    file = str(exports / "chat/chat.jsonl")
    found = datasets.load_dataset("json", data_files=file, split="train", cache_dir=str(exports / "c"))
    assert found.num_rows == 90
    assert [said["role"] for said in found[0]["messages"]] == ["system", "user", "assistant"]
