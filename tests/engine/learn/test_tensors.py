"""A file of arrays is read as it was written, or refused with its name."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from lexicell.errors import CorruptDataError, InputError, InputNotFoundError, OutputExistsError
from lexicell.learn._tensors import read_tensors, write_tensors

KIND = "a test"
ARRAYS = {"a": np.arange(40, dtype=np.uint16), "b": np.linspace(0, 1, 70, dtype=np.float32)}


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "arrays"
    write_tensors(target, ARRAYS, {"top_k": 9}, KIND, overwrite=False)
    return target


def test_it_is_read_as_it_was_written(path):
    arrays, document = read_tensors(path, KIND)
    assert document == {"top_k": 9}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    with pytest.raises(OutputExistsError):
        write_tensors(path, ARRAYS, {}, KIND, overwrite=False)


@pytest.mark.parametrize("at", [9, 150, 300, 400, -1])
def test_a_changed_byte_is_noticed(path, at):
    body = bytearray(path.read_bytes())
    body[at] ^= 4
    path.write_bytes(body)
    with pytest.raises((CorruptDataError, InputError)):
        read_tensors(path, KIND)


def test_what_is_missing_cut_or_something_else_is_refused(path, tmp_path):
    with pytest.raises(InputNotFoundError):
        read_tensors(tmp_path / "none", KIND)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CorruptDataError, match="arrays cannot be read"):
        read_tensors(path, KIND)
    save_file({"a": np.zeros(2)}, tmp_path / "other")
    with pytest.raises(InputError, match="holds no a test"):
        read_tensors(tmp_path / "other", KIND)


@pytest.mark.parametrize(
    "entry",
    [
        "[" * 100_000,
        "{",
        "5",
        "[]",
        '{"kind": "a test", "format": "1"}',
        '{"kind": "a test", "format": 9}',
        '{"kind": "a test"}',
        '{"kind": ["a test"]}',
        '{"kind": "a test", "format": null}',
    ],
    ids=lambda entry: entry[:45],
)
def test_a_document_made_by_hand_is_one_error_that_names_the_file(tmp_path, entry):
    save_file({"a": np.zeros(2)}, tmp_path / "arrays", {"lexicell": entry})
    with pytest.raises((CorruptDataError, InputError), match="arrays"):
        read_tensors(tmp_path / "arrays", KIND)
