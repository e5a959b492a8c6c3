from __future__ import annotations

import json

import numpy as np
import pytest

from lexicell.lexicon import EncoderInfo, TextInfo, diff_lexicons, word_diff, write_lexicon


@pytest.fixture
def other(lexicon, tmp_path):
    """Write `lexicon` again with some things changed."""

    def write(change=lambda genes: genes, move=lambda vectors: vectors, keep=slice(None), **about):
        genes = lexicon.read_genes().drop_columns("row").to_pylist()[keep]
        table = lexicon.read_genes().drop_columns("row").schema
        import pyarrow as pa

        vectors = move(np.array(lexicon.stored, dtype=np.float32)[keep])
        facts = {
            "name": "test", "organism": "human", "text": TextInfo(source="a test"),
            "encoder": EncoderInfo(id="none", revision="0", pooling="mean", max_tokens=1, normalised=False),
        }  # fmt: skip
        return write_lexicon(
            tmp_path / "other", pa.Table.from_pylist(change(genes), schema=table), vectors,
            **{**facts, **about}, notes=lexicon.read_notes(),
        ).path  # fmt: skip

    return write


def test_a_copy_is_identical(lexicon, other):
    found = diff_lexicons(lexicon.path, other())
    assert found.identical
    assert (found.common, found.vectors, found.texts, found.about, found.files) == (41, [], [], [], [])


def test_genes_of_one_only_are_named(lexicon, other):
    symbols = lexicon.genes["symbol"].to_pylist()
    path = other(keep=slice(3, None))
    there, back = diff_lexicons(lexicon.path, path), diff_lexicons(path, lexicon.path)
    assert there.only_first == back.only_second == symbols[:3]
    assert there.only_second == back.only_first == []
    assert (there.common, there.identical, there.vectors) == (38, False, [])
    assert [(c.what, c.first, c.second) for c in there.about] == [("n genes", 41, 38)]


def test_changed_texts_symbols_flags_and_names_are_told_apart(lexicon, other):
    def change(genes):
        genes[0]["text"] += " More."
        genes[1]["symbol"] = "NEW1"
        genes[2]["text_flag"] = "shared"
        genes[3]["aliases"] = ["another"]
        genes[4]["ensembl_ids"] = []
        return genes

    before = lexicon.read_genes().to_pylist()
    found = diff_lexicons(lexicon.path, other(change))
    (text,), (symbol,), (flag,) = found.texts, found.symbols, found.flags
    assert (text.what, text.second) == (before[0]["symbol"], text.first + " More.")
    assert (symbol.first, symbol.second) == (before[1]["symbol"], "NEW1")
    assert (flag.what, flag.first, flag.second) == (before[2]["symbol"], None, "shared")
    assert found.other_columns == {"aliases": 1, **({"ensembl_ids": 1} if before[4]["ensembl_ids"] else {})}
    json.dumps(found.as_dict())


def test_only_vectors_of_equal_texts_count_as_changed_the_largest_first(lexicon, other):
    def change(genes):
        genes[0]["text"] += " More."
        return genes

    def move(vectors):
        vectors[0] += 1  # its text changed, so this is no surprise
        vectors[5, 3] += 0.5
        vectors[9] *= -1
        vectors[9, 7] = 4.0
        return vectors

    found = diff_lexicons(lexicon.path, other(change, move))
    old = np.array(lexicon.stored, dtype=np.float64)
    symbols = lexicon.genes["symbol"].to_pylist()
    assert [v.gene for v in found.vectors] == [symbols[9], symbols[5]]
    assert found.vectors[1].max_difference == pytest.approx(0.5, abs=1e-3)
    moved = old[5].copy()
    moved[3] += 0.5
    cosine = moved @ old[5] / np.linalg.norm(moved) / np.linalg.norm(old[5])
    assert found.vectors[1].cosine == pytest.approx(cosine, abs=1e-3)
    assert found.vectors[0].cosine < 0


def test_vectors_of_other_lengths_are_not_compared(lexicon, other):
    found = diff_lexicons(lexicon.path, other(move=lambda vectors: vectors[:, :7]))
    assert found.vectors is None
    assert ("dim", 48, 7) in [(c.what, c.first, c.second) for c in found.about]


def test_how_they_were_made_is_compared_field_by_field(lexicon, other):
    text = TextInfo(source="b", licence="CC0")
    found = diff_lexicons(lexicon.path, other(text=text, name="b"))
    assert {(c.what, c.first, c.second) for c in found.about} == {
        ("name", "test", "b"), ("text source", "a test", "b"), ("text licence", "", "CC0"),
    }  # fmt: skip
    assert found.files == ["README.md"]


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("a b c d e f g h", "a b c d X f g h", "... b c d [-e-] {+X+} f g h"),
        ("a b", "a b c", "a b {+c+}"),
        ("a b c", "c", "[-a b-] c"),
        ("same", "same", ""),
        ("", "all new", "{+all new+}"),
        ("x 1 2 3 4 5 6 7 8 9 y", "X 1 2 3 4 5 6 7 8 9 Y", "[-x-] {+X+} 1 2 3 ... 7 8 9 [-y-] {+Y+}"),
        ("a 1 2 3 4 5", "b 1 2 3 4 5", "[-a-] {+b+} 1 2 3 ..."),
    ],
)
def test_only_changed_words_are_shown(old, new, shown):
    assert word_diff(old, new) == shown
