"""Losses are those of pytorch-metric-learning, and of their formulas."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from lexicell.learn.losses import info_nce, supervised_contrastive  # noqa: E402


def unit(n, seed=0):
    drawn = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=1).float()


GROUPS = torch.tensor([0, 1, 2, 0, 1, 0, 3, 1, 0, 2])


@pytest.mark.parametrize("temperature", [0.07, 0.1, 0.5, 1.0])
def test_supcon_and_its_gradient_are_pytorch_metric_learnings(temperature):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    ours, theirs = unit(10).requires_grad_(), unit(10).requires_grad_()
    found = supervised_contrastive(ours, GROUPS, temperature)
    expected = losses.SupConLoss(temperature=temperature)(theirs, GROUPS)
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    found.backward()
    expected.backward()
    # Theirs normalises vectors again, so its gradient lacks the part along them.
    along = (ours.grad * ours.detach()).sum(1, keepdim=True) * ours.detach()
    torch.testing.assert_close(ours.grad - along, theirs.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_info_nce_is_their_nt_xent_of_two_views(temperature):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    first, second = unit(9), unit(9, 1)
    expected = losses.NTXentLoss(temperature=temperature)(
        torch.cat([first, second]), torch.arange(9).repeat(2)
    )
    assert float(info_nce(first, second, temperature)) == pytest.approx(float(expected), rel=1e-5)


def by_hand(z, groups, temperature, batches):
    values = []
    for i in range(len(z)):
        positive = [j for j in range(len(z)) if j != i and groups[j] == groups[i]]
        compared = positive + [
            j for j in range(len(z)) if groups[j] != groups[i] and batches[j] == batches[i]
        ]
        s = {j: float(z[i] @ z[j]) / temperature for j in compared}
        if positive:
            scale = torch.tensor(list(s.values())).logsumexp(0)
            values.append(sum(float(scale) - s[j] for j in positive) / len(positive))
    return sum(values) / len(values)


def test_negatives_are_of_the_same_batch_and_positives_of_any():
    z, batches = unit(10), torch.tensor([0, 0, 1, 1, 0, 1, 0, 0, 1, 1])
    found = float(supervised_contrastive(z, GROUPS, 0.2, batches))
    assert found == pytest.approx(by_hand(z, GROUPS, 0.2, batches), rel=1e-5)
    assert found < float(supervised_contrastive(z, GROUPS, 0.2))


def test_a_cell_of_another_batch_does_not_push():
    z = unit(6).requires_grad_()
    supervised_contrastive(
        z, torch.tensor([0, 0, 1, 1, 2, 3]), 0.2, torch.tensor([0, 0, 0, 0, 0, 1])
    ).backward()
    assert float(z.grad[5].abs().max()) == 0
    assert float(z.grad[4].abs().max()) > 0


def test_batches_hold_for_both_views_of_info_nce():
    first, second, batches = unit(5), unit(5, 1), torch.tensor([0, 0, 1, 1, 1])
    expected = by_hand(torch.cat([first, second]), torch.arange(5).repeat(2), 0.3, batches.repeat(2))
    assert float(info_nce(first, second, 0.3, batches)) == pytest.approx(expected, rel=1e-5)


def test_without_any_positive_the_loss_is_0_and_so_is_its_gradient():
    z = unit(3).requires_grad_()
    loss = supervised_contrastive(z, torch.arange(3), 0.1)
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(z.grad.abs().max()) == 0
