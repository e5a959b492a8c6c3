"""Every objective gives a projection of the lexicon's own vectors, the one that was trained."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import lexicell
from lexicell.counts import open_counts
from lexicell.embedding import AlignOptions, align_cells
from lexicell.errors import InputError
from lexicell.learn.embed_selected import embed_selected
from lexicell.learn.objectives import OBJECTIVES, fit
from lexicell.learn.settings import TrainSettings
from lexicell.learn.training_data import choose_genes
from lexicell.projection import Pooling, Projection

QUICK = TrainSettings(dim=6, batch=64, steps=30, rate=1e-2, device="cpu", validation=0)


@pytest.fixture(autouse=True)
def one_thread():
    torch = pytest.importorskip("torch")
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):  # on a busy machine threads wait for each other
        yield
    torch.set_num_threads(before)


def model_of(monkeypatch):
    """The torch model of the next training."""
    from lexicell.learn import trainer

    made = []

    class Kept(trainer.CellModel):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(trainer, "CellModel", Kept)
    return made


def test_the_fused_kernel_gives_what_torch_gives(pbmc3k, monkeypatch):
    import torch

    from lexicell.learn.model import Bags

    few = pbmc3k[::4].copy()
    with open_counts(few) as source:
        aligned, masked = choose_genes(align_cells(source, AlignOptions()), 2_000, lambda event: None)
        cells = aligned.select(None)
    labels = few.obs["cell_type"].astype(object).to_numpy()
    vectors = aligned.lexicon.vectors(aligned.lexicon.rows).astype(np.float32)
    made = model_of(monkeypatch)
    settings = TrainSettings(batch=128, steps=12, residual_rank=4, head=(32, 16), device="cpu", validation=0)
    found = fit("supcon", cells, vectors, labels, settings=settings)
    projection = replace(found.projection, masked=masked)
    place = np.zeros(cells.n_lexicon, np.int64)
    place[cells.used] = np.arange(len(cells.used))
    full = np.flatnonzero(cells.sizes > 0)
    with torch.no_grad():
        expected = made[0](Bags.of(cells.take(full), place, torch.device("cpu"))).numpy()
    adata = few[full].copy()
    lexicell.tl.embed(adata, projection=projection)
    np.testing.assert_allclose(adata.obsm["X_lexicell"], expected, atol=1e-5)
    np.testing.assert_allclose(embed_selected(cells.take(full), vectors, projection), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.01  # vectors that differ at all


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_every_objective_folds_and_repeats_itself(groups, objective):
    pytest.importorskip("sklearn")
    cells, labels, vectors = groups
    chosen = OBJECTIVES[objective]
    options = {"settings": QUICK} if chosen.trained else {}
    if objective == "cpca":
        options["background"] = cells.take(np.arange(100))
    one, two = (fit(objective, cells, vectors, labels, seed=3, **options) for _ in range(2))
    assert one.projection.identity == two.projection.identity
    z = embed_selected(cells, vectors, one.projection)
    assert z.shape == (240, one.projection.dim)
    group = np.arange(240) % 3
    centres = np.stack([z[group == g].mean(0) for g in range(3)])
    nearest = ((z[:, None] - centres) ** 2).sum(2).argmin(1)
    if chosen.needs_labels and objective != "bridge":  # random texts tell a bridge nothing
        assert (nearest == group).mean() > 0.8
    assert bool(one.history) == chosen.trained
    assert one.step == (30 if chosen.trained else 0)


def test_where_texts_lie_and_how_long_they_are_says_nothing(groups):
    cells, labels, vectors = groups
    moved = 3 * vectors + 5
    plain, other = (fit("supcon", cells, v, labels, settings=QUICK).projection for v in (vectors, moved))
    np.testing.assert_allclose(
        embed_selected(cells, moved, other), embed_selected(cells, vectors, plain), atol=1e-3
    )


def test_masked_genes_count_neither_above_nor_below_the_line(groups):
    cells, _, vectors = groups
    masked = np.arange(70) < 20
    weights = np.zeros((240, 70))
    weights[np.repeat(np.arange(240), cells.sizes), cells.genes] = cells.weights()
    weights[:, masked] = 0
    made = Projection(vectors[:5, :], masked=masked, pooling=Pooling(None, "log1p", normalise=False))
    expected = weights @ (vectors @ vectors[:5].T) / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(embed_selected(cells, vectors, made), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("objective", "labels", "options", "says"),
    [
        ("nope", True, {}, "no objective 'nope'; there are loadings, bridge, supcon"),
        ("supcon", False, {}, "supcon learns from labels"),
        ("bridge", False, {}, "bridge learns from labels"),
        ("ridge", True, {"batches": 1}, "ridge takes no batches; it takes n_components, penalty"),
        ("cpca", True, {}, "cpca compares cells with a background"),
    ],
)
def test_what_does_not_fit_is_refused(groups, objective, labels, options, says):
    cells, named, vectors = groups
    with pytest.raises(InputError, match=says):
        fit(objective, cells, vectors, named if labels else None, **options)


def test_torch_is_only_imported_where_something_is_trained():
    code = (
        "import sys, lexicell; lexicell.train; import lexicell.learn.objectives, lexicell.cli\n"
        "sys.exit(', '.join({'torch', 'sklearn', 'matplotlib', 'scanpy'} & set(sys.modules)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.strip()) == (0, "")
