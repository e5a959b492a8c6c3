"""The linear map: finite, and for one lexicon only."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell.errors import InputError
from lexicell.learn import Projection

ROWS = np.array([0, 2], np.int32)
VECTORS = np.array([[1, 2], [3, 4]], np.float32)


def test_it_projects_vectors_and_weighs_them_by_lexicon_row():
    projection = Projection(
        np.array([[1, 0], [1, 1], [0, 2]], np.float32), gene_weight=np.array([2, 9, 10], np.float32)
    )
    found = projection.apply(VECTORS, ROWS)
    np.testing.assert_array_equal(found, [[2, 6, 8], [30, 70, 80]])
    assert found.dtype == np.float32
    assert found.flags.c_contiguous


def test_the_input_is_left_alone():
    before = VECTORS.copy()
    Projection(np.eye(2, dtype=np.float32), gene_weight=np.full(3, 5, np.float32)).apply(VECTORS, ROWS)
    np.testing.assert_array_equal(VECTORS, before)


@pytest.mark.parametrize("part", ["weight", "bias", "gene_weight"])
def test_what_is_not_finite_is_refused_by_name(part):
    parts = {"weight": np.ones((2, 2), "f4"), "bias": np.ones(2, "f4"), "gene_weight": np.ones(3, "f4")}
    parts[part].flat[-1] = np.nan
    with pytest.raises(InputError, match=f"projection's {part} is not finite"):
        Projection(**parts)
