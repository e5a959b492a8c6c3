"""Sentences beside a few labelled cells, and beside a reference of other genes."""

from __future__ import annotations

import numpy as np
import pytest

import lexicell
from lexicell.embedding.events import ignore
from lexicell.errors import InputError

pytest.importorskip("sklearn")

#: Sentences that say hardly anything of their type: what names its cells must come from elsewhere.
POOR = {
    "CD19+ B": "cell of the blood: immune response, cytokine production",
    "CD56+ NK": "leukocyte: immune system process, response to cytokine",
    "CD14+ Monocyte": "white blood cell: immune response to virus, cytokine signaling",
}
GOOD = {
    "CD19+ B": "B lymphocyte: antibody production, B cell receptor signaling, humoral immune response",
    "CD56+ NK": "natural killer cell mediated cytotoxicity, killing of target cells, granzyme",
    "CD14+ Monocyte": "monocyte: phagocytosis, innate immune response, inflammatory response to bacterium",
}


@pytest.fixture(scope="module")
def atlas():
    from lexicell.cli.demo import load_cells

    cells = load_cells()
    return cells[cells.obs["bulk_labels"].isin(list(GOOD)).to_numpy()].copy()


@pytest.fixture(scope="module")
def truth(atlas):
    return atlas.obs["bulk_labels"].astype(str).to_numpy()


def few(truth, each=2):
    labels = np.full(len(truth), "", object)
    for kind in GOOD:
        labels[np.flatnonzero(truth == kind)[:each]] = kind
    return labels


def right(found, truth, cells):
    return (found.cells["label"].astype(str).to_numpy() == truth)[cells].mean()


@pytest.mark.slow
def test_a_few_labels_mend_what_sentences_do_not_say(atlas, truth):
    atlas = atlas.copy()
    atlas.obs["few"] = few(truth)
    rest = atlas.obs["few"].to_numpy() == ""
    alone = lexicell.annotate(atlas, describe=POOR, threshold=0, listener=ignore)
    both = lexicell.annotate(atlas, describe=POOR, label="few", threshold=0, listener=ignore)
    assert right(both, truth, rest) > 0.9 > right(alone, truth, rest) + 0.2
    assert "6 labelled cells are weighed" in both.facts["why"]


@pytest.mark.slow
def test_cells_that_are_labelled_keep_their_label(atlas, truth):
    atlas = atlas.copy()
    wrong = few(truth)
    wrong[wrong == "CD19+ B"] = "CD56+ NK"  # against all evidence
    wrong[np.flatnonzero(truth == "CD19+ B")[5]] = "CD19+ B"
    atlas.obs["few"] = wrong
    found = lexicell.annotate(atlas, describe=GOOD, label="few", listener=ignore)
    told = wrong != ""
    assert (found.cells["label"].astype(str).to_numpy()[told] == wrong[told]).all()
    assert (found.cells["confidence"].to_numpy()[told] == 1).all()
    assert (found.cells["second"].astype(str).to_numpy()[told] == "unknown").all()


@pytest.mark.slow
def test_a_type_with_a_labelled_cell_is_there_whatever_its_sentence_says(atlas, truth):
    atlas = atlas.copy()
    atlas.obs["few"] = few(truth)
    odd = GOOD | {"CD19+ B": "retinal rod cell: phototransduction, rhodopsin, visual perception"}
    alone = lexicell.annotate(atlas, describe=odd, listener=ignore)
    both = lexicell.annotate(atlas, describe=odd, label="few", listener=ignore)
    assert not alone.types["present"]["CD19+ B"]
    assert both.types["present"]["CD19+ B"]
    assert right(both, truth, truth == "CD19+ B") > 0.9


@pytest.mark.slow
def test_a_type_that_a_reference_sees_is_there_whatever_its_sentence_says(atlas, truth):
    odd = GOOD | {"CD19+ B": "retinal rod cell: phototransduction, rhodopsin, visual perception"}
    told = []
    found = lexicell.annotate(
        atlas[1::2].copy(),
        reference=atlas[::2].copy(),
        label="bulk_labels",
        describe=odd,
        listener=told.append,
    )
    assert found.types["present"].all()
    assert right(found, truth[1::2], truth[1::2] == "CD19+ B") > 0.9
    assert any("sentences seldom add to it" in getattr(note, "text", "") for note in told)


@pytest.mark.slow
def test_a_reference_of_other_genes_is_weighed_too(atlas, truth):
    rng = np.random.default_rng(0)
    mine = rng.random(atlas.n_vars) < 0.5
    reference, query = atlas[::2, mine].copy(), atlas[1::2, ~mine].copy()
    options = {"reference": reference, "label": "bulk_labels", "threshold": 0, "min_coverage": 0}
    alone = lexicell.annotate(query, describe=POOR, threshold=0, min_coverage=0, listener=ignore)
    both = lexicell.annotate(query, describe=POOR, listener=ignore, **options)
    everywhere = np.ones(query.n_obs, bool)
    assert right(both, truth[1::2], everywhere) > right(alone, truth[1::2], everywhere) + 0.2
    assert "the reference are weighed" in both.facts["why"]


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["T cell", "CD19+ B"], r"few has types that no sentence describes: T cell; describe them too"),
        (["CD19+ B", "CD19+ B"], "label cells of two types or more"),
        (["", ""], "no label at all"),
    ],
)
def test_labels_that_do_not_fit_are_told(atlas, labels, says):
    atlas = atlas.copy()
    column = np.full(atlas.n_obs, "", object)
    column[:2] = labels
    atlas.obs["few"] = column
    with pytest.raises(InputError, match=says):
        lexicell.annotate(atlas, describe=GOOD, label="few", listener=ignore)
