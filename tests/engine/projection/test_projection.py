"""What a projection has to be, what it makes of vectors, and how it is told from another."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from lexicell.errors import InputError
from lexicell.projection import Classifier, HeadLayer, Pooling, Projection, Residual, describe

ROWS = np.array([0, 2], np.int32)
VECTORS = np.array([[1, 2], [3, 4]], np.float32)
W = np.array([[1, 0], [1, 1], [0, 2]], np.float32)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def test_it_projects_vectors_and_weighs_them_by_lexicon_row():
    projection = Projection(W, gene_scale=np.array([2, 9, 10], np.float32))
    found = projection.apply(VECTORS, ROWS)
    np.testing.assert_array_equal(found, [[2, 6, 8], [30, 70, 80]])
    assert found.dtype == np.float32
    assert found.flags.c_contiguous


def test_offset_and_residual_are_weighed_with_the_gene():
    residual = Residual([2, 5], [[1, 0], [0, 1]], [[100, 200, 300], [7, 7, 7]])
    projection = Projection(W, gene_scale=[2, 9, 10], offset=[1, 2, 3], residual=residual)
    found = projection.apply(VECTORS, ROWS)
    np.testing.assert_array_equal(found, [[4, 10, 14], [1040, 2090, 3110]])


def test_the_input_is_left_alone():
    before, weight = VECTORS.copy(), np.full(3, 5.0)
    projection = Projection(np.eye(2), gene_scale=weight, offset=[1, 1])
    projection.apply(VECTORS, ROWS)
    np.testing.assert_array_equal(VECTORS, before)
    assert projection.weight.dtype == projection.gene_scale.dtype == np.float32
    assert weight.dtype == np.float64


@pytest.mark.parametrize("part", ["weight", "bias", "gene_scale", "offset", "rank_factor"])
@pytest.mark.parametrize("bad", [np.nan, 1e39])
def test_what_is_not_finite_is_refused_by_name(part, bad):
    parts = {name: np.ones(2) for name in ("bias", "gene_scale", "offset", "rank_factor")}
    parts["weight"] = np.ones((2, 2))
    parts[part].flat[-1] = bad
    with pytest.raises(InputError, match=f"{part}"):
        Projection(**parts)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"weight": ones(3)}, r"weight is a matrix of numbers, not float32 \[3\]"),
        ({"bias": ones(2)}, "bias has length 2 and its weight 3"),
        ({"offset": ones(4)}, "offset has length 4 and its weight 3"),
        (
            {"residual": Residual([1], ones(1, 2), ones(2, 4))},
            "residual's basis has length 4 and its weight 3",
        ),
        ({"gene_scale": ones(5), "masked": np.zeros(6, bool)}, "masked has length 6 and its gene_scale 5"),
        ({"rank_factor": np.array([1, 0])}, "rank_factor must be larger than 0"),
        ({"masked": ones(3)}, r"masked is a list of bool, not float32 \[3\]"),
        ({"head": [HeadLayer(ones(2, 4), ones(2))]}, "head has length 4 and its vector before it 3"),
        (
            {"head": [HeadLayer(ones(2, 3), ones(2)), HeadLayer(ones(2, 3), ones(2))]},
            "head has length 3 and .* 2",
        ),
        ({"classifier": Classifier(("a",), ones(1, 4), ones(1))}, "weight has length 4 and its vector 3"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(parts, said):
    with pytest.raises(InputError, match=said):
        Projection(**{"weight": W, **parts})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Pooling(0, "log1p"), "top_k must be a whole number from 1, not 0"),
        (lambda: Pooling(5, "tfidf"), "no weight 'tfidf'; there are log1p, count"),
        (lambda: Residual([-1, 4], ones(2, 1), ones(1, 3)), "rows goes from -1 to 4"),
        (lambda: Residual([0.5], ones(1, 1), ones(1, 3)), "rows is a list of rows of a lexicon, not float64"),
        (lambda: Residual([2, 2], ones(2, 1), ones(1, 3)), "rows that do not ascend"),
        (lambda: Residual([1, 2], ones(3, 1), ones(1, 3)), "coefficients has length 3"),
        (lambda: Residual([1, 2], ones(2, 1), ones(2, 3)), "residual's basis has length 2 and .* rank 1"),
        (lambda: HeadLayer(ones(2, 3), ones(3)), "head's bias has length 3"),
        (lambda: HeadLayer(ones(2, 3), ones(2), "tanh"), "no activation 'tanh'; there are relu, gelu, none"),
    ],
)
def test_parts_are_checked_when_they_are_made(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_the_identity_is_of_every_number_and_setting_and_not_of_the_card(full):
    whole = full()
    assert whole.identity == full().identity == pickle.loads(pickle.dumps(whole)).identity  # noqa: S301
    assert replace(whole, card={"name": "other"}).identity == whole.identity
    others = [
        replace(whole, **{name: None})
        for name in ("bias", "gene_scale", "offset", "residual", "rank_factor", "masked", "pooling",
                     "classifier", "lexicon")
    ]  # fmt: skip
    first, last = whole.head
    others += [
        replace(whole, head=(replace(first, activation="relu"), last)),
        replace(whole, residual=replace(whole.residual, basis=2 * whole.residual.basis)),
        replace(whole, pooling=Pooling(60, "count", normalise=False)),
        replace(whole, classifier=replace(whole.classifier, temperature=1.6)),
        replace(whole, bias=whole.offset, offset=whole.bias),
        replace(whole, weight=np.nextafter(whole.weight, 9)),
    ]
    assert len({whole.identity, *(other.identity for other in others)}) == len(others) + 1


def test_its_dimensions_are_those_after_the_head(full):
    assert (full().dim, full(head=(), classifier=None).dim) == (12, 24)


def test_it_is_described_in_plain_facts(full, bundled):
    facts = describe(full())
    assert facts["name"] == "types"
    assert facts["lexicon"] == bundled.name
    assert (facts["text_dim"], facts["table_dim"], facts["dim"]) == (384, 24, 12)
    assert facts["head"] == "16 gelu, 12 none"
    assert facts["classes"] == "B, CD4 T, CD8 T, NK"
    assert facts["parts"] == "weight, bias, offset, gene_scale, rank_factor"
    plain = Projection(W)
    assert describe(plain)["name"] == plain.identity[:12]
    assert "residual_genes" not in describe(plain)
