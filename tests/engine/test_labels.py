"""Every verb understands one column of labels alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import lexicell
from lexicell.annotation.api import annotate
from lexicell.counts import open_counts
from lexicell.embedding import Note, Options
from lexicell.embedding.labels import as_text, find_cell, read_column, read_labels
from lexicell.errors import InputError
from lexicell.evaluation.cells.panels import panel_of

pytest.importorskip("sklearn")


class Notes(list):
    def __call__(self, event: object) -> None:
        if isinstance(event, Note):
            self.append(event.text)


@pytest.fixture
def labelled(_blood):
    """80 cells of two types; of them 10 with an empty label, 10 without and 10 of an unknown type."""
    cells = _blood[_blood.obs["bulk_labels"].isin(["CD19+ B", "CD14+ Monocyte"])][:80].copy()
    types = cells.obs["bulk_labels"].astype(str).to_numpy(object)
    types[:10], types[10:20], types[20:30] = "", None, ["unknown"] * 9 + ["Unknown"]
    cells.obs["type"] = types
    return cells


def test_text_is_what_it_says_whatever_it_is_stored_as() -> None:
    odd = "a\ud800b"
    for column, expected in (
        (pd.Series([b"q", None, b"r"], dtype=object), ["q", "", "r"]),
        (pd.Series(pd.Categorical([b"q", None, b"r"])), ["q", "", "r"]),
        (pd.Series([odd, 3, np.nan], dtype=object), [odd, "3", ""]),
        (pd.Series([1.5, np.nan, 2.0]), ["1.5", "", "2.0"]),
        (pd.Series([True, False, True]), ["True", "False", "True"]),
    ):
        assert as_text(column).tolist() == expected
    assert find_cell(pd.Index([odd, "b", "c"], dtype=object), odd) == 0


CLASSES = ["CD14+ Monocyte", "CD19+ B"]
SAID = r"30 cells have no type \(10 of them are called 'unknown'\); they are "


def test_learning_naming_and_judging_see_the_same_classes(labelled) -> None:
    trained, named, judged = Notes(), Notes(), Notes()
    projection = lexicell.train(labelled, label="type", objective="ridge", genes=None, listener=trained)
    assert sorted(projection.classifier.classes) == CLASSES
    annotation = annotate(labelled, reference=labelled, label="type", listener=named)
    assert set(annotation.cells["label"]) <= {*CLASSES, "unknown"}
    panel = panel_of(labelled, Options(), label="type", listener=judged)
    assert panel.classes() == {name: int((labelled.obs["type"] == name).sum()) for name in CLASSES}
    for notes in (trained, named, judged):
        assert len([text for text in notes if "have no type" in text]) == 1


def test_the_sentence_says_what_has_no_label(labelled) -> None:
    import re

    notes = Notes()
    with open_counts(labelled) as source:
        labels = read_labels(source, "type", notes, unlabelled="counted")
    assert (labels[:30] == "").all()
    assert sorted(set(labels[30:])) == CLASSES
    assert re.fullmatch(SAID + "counted", notes[0])


def test_only_the_column_is_read(labelled, monkeypatch) -> None:
    with open_counts(labelled) as source:
        monkeypatch.setattr(type(source), "obs", property(lambda _: pytest.fail("all of obs was read")))
        read_labels(source, "type", Notes())
        assert read_column(source, "bulk_labels").shape == (80,)


@pytest.mark.parametrize(
    ("fill", "says"), [("unknown", "no label at all"), (np.nan, "no label at all"), ("B", "one class")]
)
def test_fewer_than_two_classes_are_refused(labelled, fill, says) -> None:
    labelled.obs["type"] = fill
    for verb in (
        lambda: lexicell.train(labelled, label="type", objective="ridge"),
        lambda: annotate(labelled, reference=labelled, label="type"),
        lambda: panel_of(labelled, Options(), label="type"),
    ):
        with pytest.raises(InputError, match=says):
            verb()


def test_blank_labels_and_those_called_nan_are_no_classes(cells):
    labels = cells.obs["bulk_labels"].astype(str).to_numpy(object)
    labels[:3], labels[3:5] = " ", "nan"
    cells.obs["type"] = labels
    with open_counts(cells) as source:
        read = read_labels(source, "type", lambda event: None)
    assert (read[:5] == "").all()
    assert (read[5:] != "").all()
