"""A saved projection is the same one, or an error that says what is wrong with it."""

from __future__ import annotations

import errno
import json
import os
import pickle
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import blake3
import numpy as np
import pytest
from safetensors.numpy import load, save

from lexicell.errors import (
    CorruptDataError,
    InputError,
    InputNotFoundError,
    LexicellError,
    OutputExistsError,
    WriteError,
)
from lexicell.projection import Projection
from lexicell.projection._saving import _checksum

NUMBERS, CARD = "projection.safetensors", "projection.json"


def assert_same(one, other) -> None:
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


def test_all_parts_come_back(tmp_path, full):
    saved = full()
    assert saved.save(tmp_path / "p") == tmp_path / "p"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["p", CARD, NUMBERS]
    loaded = Projection.load(str(tmp_path / "p"))
    assert_same(loaded, saved)
    assert loaded.identity == saved.identity


def test_the_least_of_it_comes_back(tmp_path):
    saved = Projection(np.eye(3, 5))
    assert_same(Projection.load(saved.save(tmp_path / "p")), saved)


def test_equal_projections_give_equal_bytes(tmp_path, full):
    one, two = full().save(tmp_path / "one"), full().save(tmp_path / "two")
    for name in (NUMBERS, CARD):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_an_existing_folder_is_replaced_only_when_asked_and_only_a_projection(tmp_path, full):
    folder = full().save(tmp_path / "p")
    other = full(bias=None)
    with pytest.raises(OutputExistsError, match="exists"):
        other.save(folder)
    assert Projection.load(folder).identity == full().identity
    other.save(folder, overwrite=True)
    assert Projection.load(folder).identity == other.identity
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("x")
    with pytest.raises(OutputExistsError, match="not overwritten"):
        other.save(mine, overwrite=True)
    assert (mine / "thesis.txt").exists()


def test_a_full_disk_leaves_the_old_one(tmp_path, full, monkeypatch):
    folder = full().save(tmp_path / "p")

    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(WriteError, match="No space left"):
        full(bias=None).save(folder, overwrite=True)
    assert Projection.load(folder).identity == full().identity
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@pytest.mark.parametrize("card", [{"score": np.float32(1)}, {"score": float("nan")}, {"path": Path("x")}])
def test_a_card_that_json_does_not_hold_is_refused_before_anything_is_written(tmp_path, card):
    with pytest.raises(InputError, match="JSON"):
        Projection(np.eye(2), card=card).save(tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_what_is_not_there_is_not_found(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFoundError, match=r"projection\.json"):
        Projection.load(tmp_path / "empty")
    with pytest.raises(InputNotFoundError, match="no such folder"):
        Projection.load(tmp_path / "nothing")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputNotFoundError, match="no such folder"):
        Projection.load(tmp_path / "file")


@pytest.mark.parametrize("name", [NUMBERS, CARD])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_file_is_corrupt(tmp_path, full, name, share):
    path = full().save(tmp_path / "p") / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CorruptDataError, match=rf"{name} (has|cannot be read)"):
        Projection.load(path.parent)


def test_any_flipped_bit_is_noticed(tmp_path, full):
    folder = full(gene_scale=None, masked=None, rank_factor=None, residual=None).save(tmp_path / "p")
    rng = np.random.default_rng(0)
    for name in (NUMBERS, CARD):
        path = folder / name
        whole = path.read_bytes()
        for at in rng.choice(len(whole), 60, replace=False):
            changed = bytearray(whole)
            changed[at] ^= 1 << rng.integers(8)
            path.write_bytes(changed)
            if name == CARD and _same_json(changed, whole):  # white space says nothing
                continue
            with pytest.raises((CorruptDataError, InputError), match=str(folder)) as caught:
                Projection.load(folder)
            assert isinstance(caught.value, CorruptDataError) or "upgrade lexicell" in str(caught.value)
        path.write_bytes(whole)


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def test_a_missing_file_of_numbers_is_corrupt(tmp_path, full):
    folder = full().save(tmp_path / "p")
    (folder / NUMBERS).unlink()
    with pytest.raises(CorruptDataError, match="safetensors is missing; restore"):
        Projection.load(folder)


def test_numbers_of_another_projection_are_noticed(tmp_path, full):
    one = full().save(tmp_path / "one")
    two = full(weight=-full().weight).save(tmp_path / "two")
    (one / NUMBERS).write_bytes((two / NUMBERS).read_bytes())
    with pytest.raises(CorruptDataError, match=r"\(hash\)"):
        Projection.load(one)


def test_a_newer_format_asks_for_an_upgrade(tmp_path, full):
    path = full().save(tmp_path / "p") / CARD
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "format_version": 2, "shape": "new"}))
    with pytest.raises(InputError, match=r"version 2.* 1: upgrade") as caught:
        Projection.load(path.parent)
    assert not isinstance(caught.value, CorruptDataError)


def sealed(folder: Path, tensors: dict[str, np.ndarray] | None = None, **changed: object) -> Path:
    """Change a projection and write all its hashes anew but that of the content."""
    content = {**json.loads((folder / CARD).read_text()), **changed}
    if tensors is not None:
        numbers = save(tensors)
        (folder / NUMBERS).write_bytes(numbers)
        content["file"] = {"bytes": len(numbers), "blake3": blake3.blake3(numbers).hexdigest()}
    del content["checksum"]
    (folder / CARD).write_text(json.dumps({**content, "checksum": _checksum(content)}))
    return folder


POOLING = {"top_k": 60, "weight": "count", "normalise": True}
CLASSIFIER = {"classes": ["B", "CD4 T", "CD8 T", "NK"], "temperature": 1.5, "threshold": 0.6}


@pytest.mark.parametrize(
    "changed",
    [{"head": ["gelu"]}, {"head": ["swish", "none"]}, {"head": [["gelu"], "none"]}, {"head": 5},
     {"head": None},
     {"pooling": {"top": 3}}, {"pooling": "count"}, {"pooling": [60]},
     *({"pooling": {**POOLING, "top_k": k}} for k in (np.inf, np.nan, 0, -1, 2.5, "60", [60], {})),
     {"pooling": {**POOLING, "weight": ["count"]}}, {"pooling": {**POOLING, "weight": "most"}},
     {"pooling": {**POOLING, "normalise": "false"}}, {"pooling": {**POOLING, "normalise": 0.5}},
     {"features": {}}, {"features": {"gamma": "x"}}, {"features": {"gamma": 10**400}}, {"features": 5},
     {"classifier": 5}, {"classifier": {**CLASSIFIER, "classes": 4}},
     {"classifier": {**CLASSIFIER, "classes": ["B"]}}, {"classifier": {**CLASSIFIER, "temperature": 10**400}},
     {"classifier": {**CLASSIFIER, "threshold": None}},
     {"card": "x"}, {"card": ["x"]}, {"card": None}, {"card": 5},
     {"lexicon": 5}, {"lexicon": ["x"]}, {"identity": "0" * 64}, {"identity": None}, {"file": 5},
     {"file": {"bytes": "many"}}, {"file": {"bytes": 10**400, "blake3": ""}}],
    ids=str,
)  # fmt: skip
def test_a_card_that_was_made_by_hand_is_one_clear_error(tmp_path, full, changed):
    folder = sealed(full().save(tmp_path / "p"), **changed)
    with pytest.raises(CorruptDataError, match="restore the folder"):
        Projection.load(folder)


def _without(tensors, name):
    return {key: part for key, part in tensors.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        lambda t: {**t, "weight": t["weight"].astype(np.complex64)},
        lambda t: {**t, "weight": t["weight"].astype(bool)},
        lambda t: {**t, "weight": t["weight"].ravel()},
        lambda t: {**t, "weight": t["weight"][:-1]},
        lambda t: {**t, "weight": t["weight"][:0]},
        lambda t: {**t, "weight": np.full_like(t["weight"], np.nan)},
        lambda t: {**t, "bias": np.full_like(t["bias"], np.inf)},
        lambda t: {**t, "bias": t["bias"].astype(np.float64) * 1e300},
        lambda t: {**t, "bias": t["bias"][:-1]},
        lambda t: {**t, "masked": t["masked"].astype(np.uint8)},
        lambda t: {**t, "masked": t["masked"][:-1]},
        lambda t: {**t, "rank_factor": -t["rank_factor"]},
        lambda t: {**t, "residual.rows": t["residual.rows"][::-1].copy()},
        lambda t: {**t, "residual.rows": t["residual.rows"] - 10**6},
        lambda t: {**t, "residual.rows": t["residual.rows"].astype(np.float32)},
        lambda t: _without(t, "weight"),
        lambda t: _without(t, "residual.basis"),
        lambda t: {**t, "features.mean": t["bias"]},
        lambda t: _without(t, "head.1.bias"),
        lambda t: _without(t, "classifier.weight"),
        lambda t: {**t, "more": t["bias"]},
        lambda t: {**t, "residual.more": t["bias"]},
        lambda t: {**t, "head.2.weight": t["bias"]},
        lambda t: {},
    ],
)  # fmt: skip
def test_numbers_of_other_names_types_or_shapes_are_corrupt(tmp_path, full, change):
    folder = full().save(tmp_path / "p")
    sealed(folder, tensors=change(load((folder / NUMBERS).read_bytes())))
    with pytest.raises(CorruptDataError, match=str(folder)):
        Projection.load(folder)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '{"card":' + "[" * 100_000, "1" * 5_000, "NaN", "\x00", ""]
)
def test_a_card_that_json_cannot_hold_is_corrupt(tmp_path, full, text):
    folder = full().save(tmp_path / "p")
    (folder / CARD).write_text(text)
    with pytest.raises(CorruptDataError, match=CARD):
        Projection.load(folder)


@pytest.mark.parametrize("name", [NUMBERS, CARD])
@pytest.mark.parametrize("instead", ["folder", "loop", "pipe", "long name"])
def test_what_is_no_file_is_corrupt_and_nothing_waits_for_it(tmp_path, full, name, instead):
    file = full().save(tmp_path / "p") / name
    file.unlink()
    if instead == "folder":
        file.mkdir()
    elif instead == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(file if instead == "loop" else "a" * 300)
    with pytest.raises(LexicellError, match=str(file)):
        Projection.load(file.parent)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 5_000])
def test_a_path_that_cannot_be_one_is_one_sentence(tmp_path, full, name):
    with pytest.raises(LexicellError):
        Projection.load(tmp_path / name)
    with pytest.raises(LexicellError):
        full().save(tmp_path / name)


def test_the_json_tells_people_and_holds_no_path(tmp_path, full, bundled):
    content = json.loads((full().save(tmp_path / "p") / CARD).read_text())
    assert content["lexicon"] == bundled.identity
    assert content["card"]["lexicon"] == bundled.name
    assert content["pooling"] == {"top_k": 60, "weight": "count", "normalise": True}
    assert content["classifier"]["classes"] == ["B", "CD4 T", "CD8 T", "NK"]
    assert str(tmp_path) not in json.dumps(content)


def test_errors_survive_a_pickle_and_keep_their_exit_code(tmp_path):
    with pytest.raises(LexicellError) as caught:
        Projection.load(tmp_path)
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (type(again), again.exit_code) == (InputNotFoundError, 2)


def test_a_loaded_projection_can_be_changed_and_saved(tmp_path, full):
    loaded = Projection.load(full().save(tmp_path / "p"))
    changed = replace(loaded, card={**loaded.card, "label": "other"})
    assert Projection.load(changed.save(tmp_path / "q")).card["label"] == "other"


def test_landmarks_of_older_versions_are_told_to_be_learned_again(tmp_path, full):
    folder = sealed(full().save(tmp_path / "p"), features={"gamma": 3.0})
    with pytest.raises(CorruptDataError, match="landmark genes"):
        Projection.load(folder)
