"""Training learns, does the same twice, goes on where it stopped, and keeps what was good."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

torch = pytest.importorskip("torch")

from lexicell.embedding.events import Advanced, Note  # noqa: E402
from lexicell.errors import CorruptDataError, InputError, OutputExistsError  # noqa: E402
from lexicell.learn.augment import Views  # noqa: E402
from lexicell.learn.model import Bags, CellModel  # noqa: E402
from lexicell.learn.settings import Trained, TrainSettings  # noqa: E402
from lexicell.learn.trainer import train  # noqa: E402

QUICK = TrainSettings(dim=6, batch=64, steps=30, rate=1e-2, device="cpu")
ARRAYS = ("weight", "bias", "offset", "gene_scale")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def embedded(cells, trained: Trained, vectors):
    """The formula, in NumPy."""
    table = vectors @ trained.weight.T + trained.offset
    if trained.residual_rows is not None:
        table[trained.residual_rows] += trained.residual_coefficients @ trained.residual_basis
    table = table * trained.gene_scale[:, None]
    shape = (len(cells), cells.n_lexicon)
    weights = sp.csr_array((cells.weights(), cells.genes.astype(np.int64), cells.indptr), shape=shape)
    z = (weights @ table) / weights.sum(1)[:, None] + trained.bias
    for layer in trained.head:
        z = z @ layer.weight.T + layer.bias
        if layer.activation == "gelu":
            z = torch.nn.functional.gelu(torch.from_numpy(z)).numpy()
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def score(z, labels, fitted, asked):
    """Macro-F1 of the ten nearest neighbours."""
    from sklearn.metrics import f1_score
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = KNeighborsClassifier(10, metric="cosine").fit(z[fitted], labels[fitted])
    return f1_score(labels[asked], neighbours.predict(z[asked]), average="macro")


def test_on_pbmc3k_supcon_beats_raw_pooling(blood):
    cells, labels, vectors = blood
    known = np.flatnonzero(labels != "")
    order = np.random.default_rng(0).permutation(known)
    fitted, asked = order[: len(order) // 2], order[len(order) // 2 :]
    seen = np.where(np.isin(np.arange(len(labels)), fitted), labels, "")
    trained = train(cells, vectors, seen, settings=TrainSettings(device="cpu", batch=128, steps=60))
    pooled = (
        sp.csr_array((cells.weights(), cells.genes.astype(int), cells.indptr)) @ vectors[: cells.used[-1] + 1]
    )
    raw = score(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), labels, fitted, asked)
    assert score(embedded(cells, trained, vectors), labels, fitted, asked) > raw + 0.03


@pytest.mark.parametrize("objective", ["supcon", "infonce", "semi", "cross-entropy"])
def test_every_objective_lowers_its_loss(groups, objective):
    cells, labels, vectors = groups
    trained = train(cells, vectors, labels, settings=replace(QUICK, objective=objective))
    assert trained.history[-1]["validation"] < trained.history[0]["validation"] - 0.05
    assert [entry["step"] for entry in trained.history] == [10, 20, 30]
    assert trained.stopped == "finished"
    assert (trained.class_weight is not None) == (objective == "cross-entropy")


def test_groups_that_no_label_tells_are_found_without_labels(groups):
    cells, _, vectors = groups
    truth = np.arange(240) % 3
    trained = train(cells, vectors, settings=replace(QUICK, objective="infonce", steps=60))
    half = np.arange(240) < 120
    assert score(embedded(cells, trained, vectors), truth, half, ~half) > 0.95


def test_the_classifier_is_of_unit_vectors_and_sorted_classes(groups):
    cells, labels, vectors = groups
    trained = train(cells, vectors, labels, settings=replace(QUICK, objective="cross-entropy", head=(9, 5)))
    assert trained.classes == ("x", "y", "z")
    logits = embedded(cells, trained, vectors) @ trained.class_weight.T + trained.class_bias
    truth = np.arange(240) % 3
    assert (logits.argmax(1) == truth).mean() > 0.9


FULL = replace(QUICK, residual_rank=2, head=(8, 5), gene_decay=0.0, steps=12, batch=32)


def test_what_is_returned_is_torchs_own_forward(groups):
    cells, labels, vectors = groups
    given = np.linspace(0.5, 2, 70, dtype=np.float32)
    trained = train(cells, vectors, labels, settings=FULL, gene_scale=given)
    assert [layer.activation for layer in trained.head] == ["gelu", "none"]
    for learned in (trained.residual_coefficients, trained.offset, trained.bias):
        assert np.abs(learned).max() > 0
    model = CellModel(
        vectors[cells.used], FULL, n_classes=0, seed=0, weight=trained.weight,
        gene_scale=trained.gene_scale[cells.used],
    )  # fmt: skip
    with torch.no_grad():
        for name in ("bias", "offset"):
            getattr(model, name).copy_(torch.from_numpy(getattr(trained, name)))
        model.coefficients.copy_(torch.from_numpy(trained.residual_coefficients))
        model.basis.copy_(torch.from_numpy(trained.residual_basis))
        for layer, kept in zip(model.layers, trained.head, strict=True):
            layer.weight.copy_(torch.from_numpy(kept.weight))
            layer.bias.copy_(torch.from_numpy(kept.bias))
        place = np.zeros(70, np.int64)
        place[cells.used] = np.arange(len(cells.used))
        expected = model(Bags.of(cells, place, torch.device("cpu"))).numpy()
    assert np.abs(embedded(cells, trained, vectors) - expected).max() < 1e-5


def test_genes_that_no_cell_has_keep_what_they_were_given(groups):
    cells, labels, vectors = groups
    given = np.linspace(0.5, 2, 70, dtype=np.float32)
    trained = train(cells, vectors, labels, settings=QUICK, gene_scale=given)
    unused = np.setdiff1d(np.arange(70), cells.used)
    np.testing.assert_array_equal(trained.gene_scale[unused], given[unused])
    assert (trained.gene_scale[cells.used] != given[cells.used]).all()
    fixed = train(cells, vectors, labels, settings=replace(QUICK, learn_genes=False), gene_scale=given)
    np.testing.assert_array_equal(fixed.gene_scale, given)


def test_a_strong_decay_holds_genes_and_residual_near_nothing(groups):
    cells, labels, vectors = groups
    loose, tight = (
        train(cells, vectors, labels, settings=replace(FULL, gene_decay=decay, rate=5e-3))
        for decay in (0.0, 100.0)
    )
    for size in (
        lambda t: np.abs(np.log(t.gene_scale)).max(),
        lambda t: np.abs(t.residual_coefficients).max(),
    ):
        assert size(tight) < 0.7 * size(loose)


def same(first: Trained, second: Trained) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ARRAYS)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(groups):
    cells, labels, vectors = groups
    first, again = (train(cells, vectors, labels, settings=QUICK, seed=3) for _ in range(2))
    assert same(first, again)
    assert first.history == again.history
    assert not same(first, train(cells, vectors, labels, settings=QUICK, seed=4))


class Stop(Exception):  # noqa: N818
    pass


def stopper(step):
    def listen(event):
        if isinstance(event, Advanced) and event.done == step:
            raise Stop

    return listen


@pytest.mark.parametrize("objective", ["supcon", "semi"])
def test_a_resumed_training_gives_the_bits_of_an_uninterrupted_one(groups, tmp_path, objective):
    cells, labels, vectors = groups
    settings = replace(FULL, objective=objective, steps=24, checkpoint_every=7, round=5)
    whole = train(cells, vectors, labels, settings=settings)
    path = tmp_path / "checkpoint"
    for step in (9, 16):
        with pytest.raises(Stop):
            train(
                cells,
                vectors,
                labels,
                settings=settings,
                checkpoint=path,
                resume=True,
                listener=stopper(step),
            )
    resumed = train(cells, vectors, labels, settings=settings, checkpoint=path, resume=True)
    assert same(whole, resumed)
    assert resumed.history == whole.history
    assert (resumed.step, resumed.stopped) == (whole.step, whole.stopped)
    again = train(cells, vectors, labels, settings=settings, checkpoint=path, resume=True)
    assert same(whole, again)


def test_the_checkpoint_of_another_training_is_refused_by_what_differs(groups, tmp_path):
    cells, labels, vectors = groups
    path = tmp_path / "checkpoint"
    train(cells, vectors, labels, settings=QUICK, checkpoint=path)
    with pytest.raises(OutputExistsError, match="resume"):
        train(cells, vectors, labels, settings=QUICK, checkpoint=path)
    for what, change in {
        "seed": {"seed": 1},
        "rate": {"settings": replace(QUICK, rate=1e-4)},
        "data": {"vectors": vectors + 1},
    }.items():
        arguments = {"vectors": vectors, "settings": QUICK, "labels": labels, **change}
        with pytest.raises(InputError, match=f"{what}"):
            train(cells, **arguments, checkpoint=path, resume=True)
    body = bytearray(path.read_bytes())
    body[-3] ^= 1
    path.write_bytes(body)
    with pytest.raises(CorruptDataError):
        train(cells, vectors, labels, settings=QUICK, checkpoint=path, resume=True)


def test_training_stops_early_and_returns_the_best_round(groups, tmp_path):
    cells, labels, vectors = groups
    settings = replace(QUICK, steps=400, rate=0.1, patience=2, round=3)
    path = tmp_path / "checkpoint"
    trained = train(cells, vectors, labels, settings=settings, checkpoint=path)
    losses = [entry["validation"] for entry in trained.history]
    assert trained.stopped == "early"
    assert trained.step == trained.history[int(np.argmin(losses))]["step"]
    assert trained.history[-1]["step"] == trained.step + 6
    again = train(cells, vectors, labels, settings=settings, checkpoint=path, resume=True)
    assert same(trained, again)
    assert again.stopped == "early"


def test_divergence_keeps_the_last_good_weights(groups, monkeypatch, tmp_path):
    import lexicell.learn.trainer as module

    cells, labels, vectors = groups
    path = tmp_path / "checkpoint"
    settings = replace(QUICK, checkpoint_every=10)
    good = train(cells, vectors, labels, settings=replace(settings, patience=99))
    calls = 0

    def spoilt(*args):
        nonlocal calls
        calls += 1
        loss = supcon(*args)
        return loss * torch.nan if calls > 25 else loss

    supcon = module.supervised_contrastive
    monkeypatch.setattr(module, "supervised_contrastive", spoilt)
    said = []
    trained = train(cells, vectors, labels, settings=settings, checkpoint=path, listener=said.append)
    notes = [event for event in said if isinstance(event, Note)]
    assert trained.stopped == "diverged"
    assert trained.step == 20
    assert trained.history == good.history[:2]
    assert np.isfinite(trained.weight).all()
    assert notes[0].serious
    assert "step 24: training stops with the weights of step 20" in notes[0].text
    assert str(path) in notes[0].text


def test_divergence_before_anything_is_good_is_an_error(groups, monkeypatch):
    import lexicell.learn.trainer as module

    cells, labels, vectors = groups
    monkeypatch.setattr(module, "supervised_contrastive", lambda z, *_: z.sum() * torch.inf)
    with pytest.raises(InputError, match="step 1, before the first round"):
        train(cells, vectors, labels, settings=QUICK)


def test_few_cells_train_without_validation(groups):
    cells, labels, vectors = groups
    few = np.arange(9)
    trained = train(cells.take(few), vectors, labels[few], settings=QUICK)
    assert {entry["validation"] for entry in trained.history} == {None}
    assert trained.step == 30


def test_one_cell_per_class_is_enough_where_views_vary(groups):
    cells, labels, vectors = groups
    few = np.arange(3)
    trained = train(cells.take(few), vectors, labels[few], settings=QUICK)
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]


def test_cells_without_genes_or_label_are_left_out(groups):
    cells, labels, vectors = groups
    blank = cells.take(np.arange(240))
    blank.indptr[-10:] = blank.indptr[-11]
    named = labels.copy()
    named[-10:] = "x"
    assert same(
        train(blank, vectors, named, settings=QUICK),
        train(blank, vectors, np.where(np.arange(240) < 200, labels, np.nan), settings=QUICK),
    )


def test_a_start_is_started_from(groups):
    cells, labels, vectors = groups
    start = np.random.default_rng(1).standard_normal((6, 12)).astype(np.float32)
    settings = replace(QUICK, steps=1, rate=1e-6)
    trained = train(cells, vectors, labels, settings=settings, weight=start)
    np.testing.assert_allclose(trained.weight, start, atol=1e-4)


def test_progress_is_told_step_by_step(groups):
    cells, labels, vectors = groups
    told = []
    train(cells, vectors, labels, settings=replace(QUICK, steps=5), listener=told.append)
    assert told == [Advanced(step, 5) for step in range(1, 6)]


@pytest.mark.parametrize("panels", [False, True])
def test_batches_and_panels_train(groups, panels):
    cells, labels, vectors = groups
    settings = replace(QUICK, views=Views(panels=panels))
    donors = np.array(["a", "b"], object)[np.arange(240) // 120]
    with_batches = train(cells, vectors, labels, batches=donors, settings=settings)
    assert not same(with_batches, train(cells, vectors, labels, settings=settings))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.full(240, "x", object)}, "fewer than two classes"),
        ({"labels": None}, "needs labels"),
        ({"labels": np.full(3, "x", object)}, "labels has the shape"),
        ({"vectors": np.ones((7, 12), np.float32)}, "vectors has the shape"),
        ({"vectors": np.full((70, 12), np.nan, np.float32)}, "vectors is not finite"),
        ({"gene_scale": np.zeros(70, np.float32)}, "larger than 0"),
        ({"weight": np.ones((5, 12), np.float32)}, "weight has the shape"),
    ],
)
def test_what_does_not_fit_is_refused(groups, change, message):
    cells, labels, vectors = groups
    with pytest.raises(InputError, match=message):
        train(cells, **{"vectors": vectors, "labels": labels, "settings": QUICK, **change})


@pytest.mark.parametrize(
    "bad",
    [
        {"objective": "triplet"},
        {"device": "tpu"},
        {"steps": 0},
        {"temperature": 0.0},
        {"validation": 1.0},
        {"residual_rank": -1},
        {"objective": "infonce", "views": Views((1.0, 1.0), 0.0)},
    ],
)
def test_settings_are_checked(bad):
    with pytest.raises(InputError):
        TrainSettings(**bad)
