"""What a sample looks like, for every kind of values that people store."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from tests.engine.counts.kinds import KINDS, PANELS, cells

from lexicell.containers.faults import Where
from lexicell.counts.blocks import to_block
from lexicell.counts.guess import Guess, Values, guess_values

#: Without other cells, what a gene's length or a sum of parts left is no evidence.
ONE_CELL = [
    *("whole counts", "EM counts, halves", "shares", "CP10k", "CPM", "over size factors", "TPM"),
    *("log1p of counts", "log1p CP10k", "log1p CPM", "log1p TPM", "log2 of counts", "log2 CP10k", "log2 TPM"),
    *("log10 of counts", "log10 CP10k", "sqrt of counts", "sqrt CP10k", "Freeman-Tukey"),
]


def look(matrix: Any, log_base: float | None = None, *, dense: bool = False) -> Guess:
    matrix = matrix if dense else sparse.csr_matrix(matrix)
    return guess_values(to_block(matrix, Where("data", "X")), log_base)


@cache
def drawn(panel: str, seed: int) -> Any:
    return cells(seed, **PANELS[panel])


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_recognised_in_each_experiment(kind: str) -> None:
    expected, make = KINDS[kind]
    for seed, panel in enumerate(PANELS):
        guess = look(make(drawn(panel, seed)).astype(np.float32))
        assert guess.values == expected, (panel, guess)
        assert (guess.sure == "unsure") == (expected is None)


@pytest.mark.parametrize("kind", KINDS)
def test_how_a_matrix_is_stored_does_not_matter(kind: str) -> None:
    expected, make = KINDS[kind]
    for dtype in (np.float32, np.float64):
        matrix = make(drawn("a shallow panel", 7)).astype(dtype)
        assert look(matrix) == look(matrix, dense=True)
        assert look(matrix).values == expected


@pytest.mark.parametrize("kind", ONE_CELL)
def test_a_single_cell_can_be_enough(kind: str) -> None:
    expected, make = KINDS[kind]
    assert look(make(drawn("droplets", 3)[5:6]).astype(np.float32)).values == expected


@pytest.mark.data
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_recognised_when_made_of_real_counts(kind: str, pbmc3k: Any, baron: Any) -> None:
    expected, make = KINDS[kind]
    for adata in (pbmc3k, baron):
        whole = adata.X[:80].toarray().astype(np.float64)
        assert look(make(whole[:, whole.sum(0) > 0]).astype(np.float32)).values == expected


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_recognised_when_made_of_scanpys_cells(kind: str, cells: Any) -> None:
    expected, make = KINDS[kind]
    assert look(make(cells.X.toarray().astype(np.float64)).astype(np.float32)).values == expected


@pytest.mark.parametrize(
    ("kind", "base", "expected", "ways"),
    [
        ("log1p CP10k", np.e, "lognorm", ["lognorm"]),
        ("log2 CP10k", 2.0, "log2", ["log2"]),
        ("log10 CP10k", 10.0, "log10", ["log10"]),
        # Nothing else shows what these are.
        ("smoothed logarithms (MAGIC)", np.e, "lognorm", ["lognorm"]),
        ("log2 TPM, some genes", 2.0, "log2", ["log2"]),
        # What is measured comes first, what is stated second.
        ("log2 CP10k", np.e, "log2", ["log2", "lognorm"]),
        ("log1p CP10k", 2.0, "lognorm", ["lognorm", "log2"]),
        # A logarithm can't be these, whatever the file says; nor is it known who is wrong.
        ("shares", np.e, None, ["normalised"]),
        ("EM counts, halves", np.e, None, ["normalised"]),
        # Left in the file by an earlier step: no logarithm is so large.
        ("CP10k", np.e, "normalised", ["normalised"]),
        ("whole counts", np.e, "counts", []),
        # A base that is not undone.
        ("log1p CP10k", 3.0, None, []),
    ],
)
def test_what_a_file_states_is_weighed_with_what_is_seen(
    kind: str, base: float, expected: str | None, ways: list[str]
) -> None:
    whole = drawn("droplets", 1)
    if kind.startswith("EM"):
        whole = np.minimum(whole, 18)
    guess = look(KINDS[kind][1](whole).astype(np.float32), base)
    assert guess.values == expected
    assert list(guess.ways) == ways


def test_where_nothing_shows_what_values_are_the_likelier_way_comes_first() -> None:
    deep = drawn("full length", 2) * np.random.default_rng(0).uniform(0.5, 1, drawn("full length", 2).shape)
    fractions = look(deep / deep.max() * 19)
    logarithms = look(KINDS["log2 TPM, some genes"][1](drawn("full length", 2)))
    assert fractions.values is logarithms.values is None
    assert fractions.ways == (Values.NORMALISED, Values.LOGNORM)
    assert logarithms.ways == (Values.LOGNORM, Values.NORMALISED)
