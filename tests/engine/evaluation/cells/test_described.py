"""Sentences on labelled cells: beside them what would show that the sentences did nothing."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
import scipy.sparse as sp

import lexicell
from lexicell.embedding import Note
from lexicell.errors import InputError, InputNotFoundError
from lexicell.evaluation.cells.figures import write_figures
from lexicell.evaluation.cells.likenesses import halves, named_genes
from lexicell.evaluation.cells.markers import FewLabelled, read_markers
from lexicell.evaluation.cells.panels import Panel
from lexicell.words import encoding

TYPES = {
    "B": "B lymphocyte: antibody production, B cell receptor signaling, humoral immune response",
    "monocyte": "monocyte: phagocytosis, innate immune response, inflammatory response to bacterium",
    "NK": "natural killer cell mediated cytotoxicity, killing of target cells, granzyme",
    "T": "T cell: T cell receptor complex, T cell activation, interleukin-7 receptor",
}
MARKERS = {
    "B": ["CD79A", "MS4A1"],
    "monocyte": ["CD14", "LYZ"],
    "NK": ["NKG7", "nope"],
    "T": ["CD3D", "IL7R"],
}
LABELS = {
    "CD19+ B": "B",
    "CD14+ Monocyte": "monocyte",
    "CD56+ NK": "NK",
    "CD4+/CD25 T Reg": "T",
    "CD4+/CD45RA+/CD25- Naive T": "T",
    "CD4+/CD45RO+ Memory": "T",
    "CD8+/CD45RA+ Naive Cytotoxic": "T",
}
LIVER = "hepatocyte: bile acid secretion, drug metabolic process, blood coagulation, lipoprotein"


@pytest.fixture(scope="module")
def atlas():
    from lexicell.cli.demo import load_cells

    adata = load_cells()
    adata.obs["type"] = [LABELS.get(label, label) for label in adata.obs["bulk_labels"].astype(str)]
    return adata


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def found(atlas, told):
    return lexicell.evaluate(
        atlas, label="type", scenarios=["described"], describe=TYPES | {"liver": LIVER}, markers=MARKERS,
        draws=2, n=(1, 5), listener=told.append,
    )  # fmt: skip


def rows(found):
    return {(line.method, line.control): line for line in found.lines()}


def f1(line):
    return line.scores["macro_f1"].mean


@pytest.mark.slow
def test_sentences_are_far_above_everything_that_has_not_their_meaning(found):
    lines = rows(found)
    sentences = lines["sentences", ""]
    assert f1(sentences) > 0.8
    assert sentences.scores["auroc"].mean > 0.9
    for name in (
        ("sentences", "shuffled"),
        ("sentences", "random"),
        ("sentences under other names", ""),
        ("genes named in sentences", ""),
    ):
        assert lines[name].is_control
        assert f1(lines[name]) < f1(sentences) - 0.4, name
    assert sentences.against["shuffled"].difference.mean > 0.4


@pytest.mark.slow
def test_all_ways_stand_in_one_table_on_the_same_cells(found):
    lines = found.lines()
    assert {(line.scenario, line.setting, line.classifier) for line in lines} == {
        ("described", "all cells", "")
    }
    names = [line.label for line in lines]
    assert [name for name in names if "score_genes" not in name and "MiniLM" not in name] == [
        "sentences",
        "sentences, types of no label too",
        "TF-IDF alone",
        "sentences + markers",
        "sentences, shuffled likenesses",
        "sentences, random likenesses",
        "sentences under other names",
        "genes named in sentences",
        "markers",
        "1 labelled cell of each type",
        "5 labelled cells of each type",
    ]
    assert ("markers, score_genes" in names) == (find_spec("scanpy") is not None)
    assert all(line.transductive and line.scores["macro_f1"].n == 2 for line in lines)
    sizes = {(r.method, r.reference_cells, r.query_cells) for r in found.records}
    n = sizes & {("sentences", 0, 393), ("markers", 0, 393), ("5 labelled cells of each type", 20, 373)}
    assert len(n) == 3, sizes
    assert f1(rows(found)["markers", ""]) > 0.8
    assert f1(rows(found)["5 labelled cells of each type", ""]) > 0.8


@pytest.mark.slow
def test_what_does_not_count_is_told_once(found, told):
    notes = [note.text for note in told if isinstance(note, Note)]
    skipped = (
        "data, described: classes skipped, no sentence has such a name: CD34+ (13), CD8+ Cytotoxic T (54)"
    )
    assert any(text.startswith(skipped) for text in notes)
    assert {(name, skip.label) for name, skip in found.skipped} >= {("data", "CD34+"), ("data", "Dendritic")}
    assert "data: sentences of no label compete in a row of their own only: liver" in notes
    assert any("markers that human-go-minilm does not know: nope" in text for text in notes)
    assert len(notes) == len(set(notes))


@pytest.mark.slow
def test_files_say_what_was_asked_and_how_it_was_made(found, tmp_path):
    found.write(tmp_path)
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["settings"]["described"]["sentences"]["B"] == TYPES["B"]
    assert content["settings"]["described"]["markers"]["B"] == MARKERS["B"]
    assert content["settings"]["methods"]["sentences"]["text"]
    assert not content["settings"]["methods"]["markers"]["text"]
    assert "5 labelled cells of each type" in content["settings"]["methods"]
    header, first, *_ = (tmp_path / "scores.csv").read_text().splitlines()
    assert header.endswith(",auroc")
    assert first.startswith("data,described,all cells,0,sentences,")
    assert "| sentences, shuffled likenesses (control)" in (tmp_path / "tables.md").read_text()
    pytest.importorskip("matplotlib")
    (path,) = write_figures(found, tmp_path)
    assert path.name == "described.png"


@pytest.mark.slow
def test_sentences_name_cells_as_annotate_does(atlas):
    once = lexicell.evaluate(
        atlas, label="type", scenarios="described", describe=TYPES, draws=1, n=(1,), listener=lambda e: None
    )
    named = lexicell.annotate(atlas, describe=TYPES, threshold=0, listener=lambda e: None)
    truth = atlas.obs["type"].to_numpy()
    known = np.isin(truth, list(TYPES))
    right = (named.cells["label"].astype(str).to_numpy() == truth)[known].mean()
    first = next(record for record in once.records if (record.method, record.control) == ("sentences", ""))
    assert first.accuracy == pytest.approx(right, abs=1e-9)


def test_without_the_encoder_words_are_left_and_it_is_said(monkeypatch):
    def missing(*args, **options):
        raise InputError("no encoder")

    monkeypatch.setattr(encoding, "encoder_of", missing)
    notes = []
    lexicon = lexicell.Lexicon.open("human-go-minilm")
    found = halves(list(TYPES.values()), lexicon, lambda half, why: notes.append((half, why)))
    assert list(found) == ["TF-IDF"]
    assert notes == [("MiniLM", "the lexicon's encoder is not at hand")]


def test_a_sentence_whose_words_no_text_has_is_left_to_vectors(encoder_packages):
    notes = []
    lexicon = lexicell.Lexicon.open("human-go-minilm")
    found = halves(["insulin secretion", "qwxz vvkj"], lexicon, lambda half, why: notes.append((half, why)))
    assert list(found) == ["MiniLM"]
    assert notes[0][0] == "TF-IDF"
    assert "'qwxz vvkj' calls up no gene" in notes[0][1]


def test_few_labelled_cells_leave_some_to_judge(clustered):
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "one"], [8, 4, 1])
    counts = rng.poisson(np.where(labels == "a", 3, 0.3)[:, None] * np.ones(40)).astype(np.float32)
    panel = Panel(sp.csr_array(counts), np.arange(40, dtype=np.int32), counts.sum(axis=1), labels)
    few = FewLabelled(panel, labels, ["a", "b", "one"])
    seen, named = few.name(3, 0)
    assert sorted(labels[seen]) == ["a", "a", "a", "b", "b"]
    assert not named.present[2]
    assert FewLabelled(panel, labels, ["a", "one"]).name(3, 0) is None


def test_genes_that_a_sentence_names_are_found_by_symbol_and_by_name():
    lexicon = lexicell.Lexicon.open("human-go-minilm")
    (genes,) = named_genes(["secretes insulin and expresses GCG; not an insulin-like thing"], lexicon)
    assert {"INS", "GCG"} <= set(genes)
    assert "IGF1" not in genes


def test_markers_are_read_from_lines(tmp_path):
    path = tmp_path / "markers.txt"
    path.write_text("# blood\n\nB  cell\tCD79A, MS4A1\nT\tCD3D\n", encoding="utf-8")
    assert read_markers(path) == {"B cell": ("CD79A", "MS4A1"), "T": ("CD3D",)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("B CD79A\n", "line 1: 'B CD79A' has no tab"),
        ("B\t ,\n", "'B' has no gene"),
        ("B\tCD79A\nB\tMS4A1\n", "'B' occurs twice"),
        ("# none\n", "there are no markers"),
    ],
)
def test_markers_that_are_none_are_refused(tmp_path, text, says):
    path = tmp_path / "markers.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        read_markers(path)
    with pytest.raises(InputNotFoundError):
        read_markers(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scenarios": "described"}, r"needs sentences \(--describe\) or names of types that have one"),
        ({"scenarios": "few-shot", "describe": TYPES}, "are for the scenario described"),
        ({"markers": MARKERS}, "are for the scenario described"),
        ({"scenarios": "described", "describe": TYPES, "methods": "paper"}, "sentences make no vectors"),
        ({"scenarios": "described", "describe": TYPES, "batch_key": "type"}, "sentences make no vectors"),
        ({"scenarios": "described", "describe": TYPES, "query": "x"}, "are for the scenario transfer"),
        (
            {"scenarios": "described", "types": "blood"},
            "fewer than two labels have a sentence of their name: labels are B, .* sentences are of B cell, ",
        ),
        ({"scenarios": "described", "describe": TYPES, "n": (0,)}, "at least 1"),
        (
            {"scenarios": "described", "describe": TYPES, "markers": {"x": ["CD3D"]}},
            "no gene that human-go-minilm knows for any of B, monocyte, NK, T; they are of x",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(atlas, options, says):
    with pytest.raises(InputError, match=says):
        lexicell.evaluate(atlas, label="type", listener=lambda e: None, **options)


def test_sentences_add_their_scenario_to_the_usual_ones(atlas, monkeypatch):
    class Seen(Exception):  # noqa: N818 - it is no error
        pass

    def look(*args, **options):
        raise Seen(options["protocol"].scenarios)

    monkeypatch.setattr("lexicell.evaluation.cells.api.evaluate_panels", look)
    with pytest.raises(Seen, match="'few-shot', 'disjoint', 'described'"):
        lexicell.evaluate(atlas, label="type", describe=TYPES, listener=lambda e: None)
