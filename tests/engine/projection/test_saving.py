"""A saved projection is the same one, or an error that says what is wrong with it."""

from __future__ import annotations

import errno
import json
import pickle
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from lexicell.errors import (
    CorruptDataError,
    InputError,
    InputNotFoundError,
    LexicellError,
    OutputExistsError,
    WriteError,
)
from lexicell.projection import Projection

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
    with pytest.raises(OutputExistsError, match="is not a projection, so it is not overwritten"):
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
    with pytest.raises(InputError, match="card is not plain JSON"):
        Projection(np.eye(2), card=card).save(tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_what_is_not_there_is_not_found(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFoundError, match=r"empty is not a projection: it has no projection\.json"):
        Projection.load(tmp_path / "empty")
    with pytest.raises(InputNotFoundError, match="there is no such folder"):
        Projection.load(tmp_path / "nothing")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputNotFoundError, match="there is no such folder"):
        Projection.load(tmp_path / "file")


@pytest.mark.parametrize("name", [NUMBERS, CARD])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_file_is_corrupt(tmp_path, full, name, share):
    path = full().save(tmp_path / "p") / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CorruptDataError, match=rf"{name} (has|is not valid JSON)"):
        Projection.load(path.parent)


def test_any_flipped_bit_is_noticed(tmp_path, full):
    folder = full(gene_weight=None, masked=None, rank_factor=None, residual=None).save(tmp_path / "p")
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
    with pytest.raises(CorruptDataError, match=r"was changed after it was written \(hash\)"):
        Projection.load(one)


def test_a_newer_format_asks_for_an_upgrade(tmp_path, full):
    path = full().save(tmp_path / "p") / CARD
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "format_version": 2, "shape": "new"}))
    with pytest.raises(InputError, match="format version 2, this lexicell reads up to 1: upgrade") as caught:
        Projection.load(path.parent)
    assert not isinstance(caught.value, CorruptDataError)


@pytest.mark.parametrize(
    "changed",
    [{"head": ["gelu"]}, {"head": ["swish", "none"]}, {"pooling": {"top": 3}}, {"classifier": 5},
     {"identity": "0" * 64}, {"file": 5}],
)  # fmt: skip
def test_a_card_that_was_made_by_hand_is_one_clear_error(tmp_path, full, changed):
    from lexicell.projection._saving import _checksum

    path = full().save(tmp_path / "p") / CARD
    content = {**json.loads(path.read_text()), **changed}
    del content["checksum"]
    path.write_text(json.dumps({**content, "checksum": _checksum(content)}))
    with pytest.raises(CorruptDataError, match="restore the folder, or train again"):
        Projection.load(path.parent)


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
