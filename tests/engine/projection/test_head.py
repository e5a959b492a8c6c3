"""Layers on pooled vectors: their numbers, and that a cell does not see the others."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell.projection import HeadLayer, apply_head

RNG = np.random.default_rng(0)
POOLED = RNG.standard_normal((2_500, 48)).astype(np.float32)
USED = np.ones(2_500, bool)


def head(activation: str = "gelu") -> tuple[HeadLayer, ...]:
    rng = np.random.default_rng(1)
    return (
        HeadLayer(rng.standard_normal((40, 48)) / 7, rng.standard_normal(40), activation),
        HeadLayer(rng.standard_normal((20, 40)) / 6, rng.standard_normal(20)),
    )


@pytest.mark.parametrize("activation", ["relu", "gelu", "none"])
@pytest.mark.parametrize("normalise", [False, True])
def test_layers_do_what_torchs_do(activation, normalise):
    torch = pytest.importorskip("torch")
    act = {"relu": torch.relu, "gelu": torch.nn.functional.gelu, "none": lambda z: z}[activation]
    first, last = head(activation)
    z = torch.from_numpy(POOLED).double()
    z = act(z @ torch.from_numpy(first.weight.T).double() + torch.from_numpy(first.bias))
    z = z @ torch.from_numpy(last.weight.T).double() + torch.from_numpy(last.bias)
    z = torch.nn.functional.normalize(z) if normalise else z
    found = apply_head((first, last), POOLED, USED, normalise=normalise)
    assert (found.dtype, found.shape) == (np.float32, (2_500, 20))
    np.testing.assert_allclose(found, z.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("sizes", [1, 2, 7, 333, 1_023, 1_024, 1_025, 2_499])
def test_blocks_do_not_show_in_the_bits(sizes):
    whole = apply_head(head(), POOLED, USED, normalise=True)
    starts = range(0, len(POOLED), sizes) if sizes > 100 else range(0, 40 * sizes, sizes)
    for start in starts:
        here = slice(start, min(start + sizes, len(POOLED)))
        np.testing.assert_array_equal(
            apply_head(head(), POOLED[here], USED[here], normalise=True), whole[here]
        )


def test_threads_of_blas_do_not_show_in_the_bits():
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    found = []
    for threads in (1, 2, 3):
        with limits(threads):
            found.append(apply_head(head(), POOLED, USED, normalise=True))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_unused_rows_stay_zero_and_nothing_is_nan():
    used = USED[:4].copy()
    used[1] = False
    pooled = POOLED[:4].copy()
    pooled[1] = 0
    found = apply_head(head(), pooled, used, normalise=True)
    assert not found[1].any()
    np.testing.assert_allclose(np.linalg.norm(found[[0, 2, 3]], axis=1), 1, atol=1e-6)
    dead = (HeadLayer(-np.ones((3, 48)), np.zeros(3), "relu"),)
    assert not apply_head(dead, np.ones((2, 48), np.float32), used[[0, 2]], normalise=True).any()
    assert apply_head(head(), pooled[:0], used[:0], normalise=True).shape == (0, 20)
