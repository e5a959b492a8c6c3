"""``lexicell.train``: what is read, what is learned from, what is kept, and what is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import lexicell
from lexicell.embedding import Advanced, Note
from lexicell.errors import InputError, MissingExtraError, OutputExistsError
from lexicell.learn import TrainSettings
from lexicell.learn.objectives import OBJECTIVES
from lexicell.learn.training_data import split_labelled
from lexicell.projection import Projection

pytest.importorskip("sklearn")

QUICK = TrainSettings(dim=8, batch=32, steps=20, device="cpu", checkpoint_every=10)


@pytest.fixture(autouse=True)
def one_thread():
    torch = pytest.importorskip("torch")
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):  # on a busy machine threads wait for each other
        yield
    torch.set_num_threads(before)


@pytest.fixture
def labelled(cells):
    """120 real cells; the three most frequent types are named, the others have no label."""
    types = cells.obs["bulk_labels"].astype(object)
    types[~types.isin(types.value_counts().index[:3])] = np.nan
    cells.obs["type"] = types
    cells.obs["batch"] = np.arange(120) % 2
    cells.obs["one"] = "cell"
    return cells


@pytest.fixture
def told():
    """A listener, and the notes it was told."""

    class Told(list):
        def __call__(self, event):
            if isinstance(event, Note):
                self.append(event.text)

        @property
        def text(self):
            return "\n".join(self)

    return Told()


def learn(data, output=None, **options):
    objective = options.setdefault("objective", "supcon")
    if objective in OBJECTIVES and OBJECTIVES[objective].trained:
        options.setdefault("settings", QUICK)
    options.setdefault("n_top_genes", 300)
    options.setdefault("label", "type")
    return lexicell.train(data, output, **options)


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_a_projection_is_saved_and_embeds_by_itself(labelled, tmp_path, objective):
    options = {"background": ("batch", "1")} if objective == "cpca" else {}
    made = learn(labelled, tmp_path / "map", objective=objective, **options)
    kept = Projection.load(tmp_path / "map")
    assert kept.identity == made.identity
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map"]
    lexicell.tl.embed(labelled, projection=tmp_path / "map")
    z = labelled.obsm["X_lexicell"]
    assert z.shape == (120, kept.dim)
    assert np.isfinite(z).all()
    assert kept.classifier is not None
    names, _ = kept.classifier.predict(z, threshold=0)
    known = labelled.obs["type"].notna().to_numpy()
    right = (names == labelled.obs["type"].astype(str).to_numpy())[known].mean()
    assert right > 0.7
    assert labelled.uns["lexicell"]["projection"] == kept.identity


def test_the_card_says_what_was_done(labelled, tmp_path, bundled):
    made = learn(labelled, tmp_path / "map", held_out=0.3)
    card = Projection.load(tmp_path / "map").card
    assert card == made.card
    counts = labelled.obs["type"].value_counts()
    assert card["classes"] == {str(name): int(n) for name, n in counts.items()}
    assert (card["name"], card["objective"], card["label"]) == ("map", "supcon", "type")
    assert (card["cells"], card["genes"], card["lexicon"]) == (120, 300, bundled.name)
    assert card["settings"]["steps"] == 20
    assert card["settings"]["objective"] == "supcon"
    assert [entry["step"] for entry in card["loss_curve"]] == [10, 20]
    assert card["step"] in {10, 20}
    assert set(card["versions"]) == {"lexicell", "numpy", "scipy", "torch"}
    assert made.lexicon == bundled.identity
    scores = card["scores"]
    assert 0 <= scores["macro_f1"] <= 1
    assert scores["cells"] == sum(int(0.3 * n) for n in counts)


def test_the_same_seed_learns_the_same_and_other_data_show(labelled):
    one, two = (learn(labelled) for _ in range(2))
    assert one.identity == two.identity
    assert one.card["fingerprint"] == two.card["fingerprint"]
    other = learn(labelled[:100].copy(), seed=1)
    assert other.card["fingerprint"] != one.card["fingerprint"]
    assert other.identity != one.identity


def test_cells_that_are_judged_by_are_not_learned_from(groups):
    cells, labels, _ = groups
    aside = np.arange(240) >= 230
    for name in ("supcon", "semi"):
        used, held = split_labelled(cells, labels, OBJECTIVES[name], aside, 0.2, 0)
        assert not set(used) & set(held)
        assert not aside[used].any()
        assert not aside[held].any()
        assert (labels[held] != "").all()
        assert len(held) == 39  # 13 of each class of 66 or 67
        assert bool((labels[used] == "").any()) == (name == "semi")
    everything, nothing = split_labelled(cells, None, OBJECTIVES["infonce"], None, 0.2, 0)
    assert (len(everything), len(nothing)) == (240, 0)


def test_what_held_out_cells_express_does_not_show_in_the_map(labelled, monkeypatch):
    from lexicell.learn import api

    held = []

    def split(*args):
        used, aside = split_labelled(*args)
        held.append(aside)
        return used, aside

    monkeypatch.setattr(api, "split_labelled", split)
    before = learn(labelled, n_top_genes=None)
    changed = labelled.copy()
    counts = changed.X.toarray()
    counts[held[0]] = counts[held[0][::-1]] * 2
    changed.X = type(changed.X)(counts)
    after = learn(changed, n_top_genes=None)
    assert before.identity == after.identity
    assert before.card["fingerprint"] != after.card["fingerprint"]


def test_the_most_variable_genes_are_used_and_other_genes_of_the_data_are_masked(labelled, told, bundled):
    made = learn(labelled, n_top_genes=100, listener=told)
    assert "learning from the 100 most variable of" in told.text
    every = learn(labelled, n_top_genes=None)
    assert every.masked is None
    from lexicell.lexicon import align_genes

    here = np.unique(align_genes(bundled, labelled.var).rows)
    here = here[here >= 0]
    assert (~made.masked[here]).sum() == 100
    assert not np.delete(made.masked, here).any()


def test_genes_masked_by_their_flag_are_masked_in_the_projection(labelled, bundled):
    made = learn(labelled, n_top_genes=None, mask_genes=("name-only",))
    flags = np.array(bundled.read_genes(["text_flag"]).column("text_flag").to_pylist(), object)
    assert made.masked is not None
    assert made.masked.any()
    assert (flags[made.masked] == "name-only").all()


def test_cells_without_label_are_counted_and_left_out_or_kept(labelled, told):
    missing = int(labelled.obs["type"].isna().sum())
    learn(labelled, listener=told)
    assert f"{missing} cells have no type; they are left out" in told
    learn(labelled, objective="semi", listener=told)
    assert f"{missing} cells have no type; they are learned from as cells without a label" in told
    bare = labelled[labelled.obs["type"].notna()].copy()
    assert learn(bare, n_top_genes=None).identity == learn(labelled, n_top_genes=None).identity


def test_classes_of_one_cell_are_named(labelled, told):
    labelled.obs["type"] = labelled.obs["type"].astype(object)
    labelled.obs.loc[labelled.obs_names[0], "type"] = "lonely"
    made = learn(labelled, listener=told)
    assert "classes of one cell, of which little can be learned: lonely" in told
    assert made.card["classes"]["lonely"] == 1


def test_without_labels_there_is_no_classifier_and_no_score(labelled):
    for objective in ("infonce", "loadings", "ridge"):
        made = learn(labelled, objective=objective, label=None)
        assert made.classifier is None
        assert "scores" not in made.card


def test_a_background_is_other_cells_of_the_data_or_a_file(labelled, tmp_path):
    inside = learn(
        labelled, objective="cpca", background=("batch", "1"), n_top_genes=None, label=None, alpha=2.0, dim=5
    )
    first, second = (labelled[labelled.obs["batch"] == b].copy() for b in (0, 1))
    second.write_h5ad(tmp_path / "second.h5ad")
    apart = learn(
        first, objective="cpca", background=tmp_path / "second.h5ad", n_top_genes=None, label=None, alpha=2.0,
        dim=5,
    )  # fmt: skip
    np.testing.assert_array_equal(inside.weight, apart.weight)
    assert inside.dim == 5
    assert inside.card["settings"] == {"background_cells": 60, "n_components": 5, "alpha": 2.0}
    weaker = learn(labelled, objective="cpca", background=("batch", "1"), n_top_genes=None, label=None, dim=5)
    assert not np.allclose(weaker.weight, inside.weight, atol=1e-3)


def test_batches_change_what_is_learned(labelled):
    assert learn(labelled, batch_key="batch").identity != learn(labelled).identity


def test_an_interrupted_training_goes_on(labelled, tmp_path, told):
    whole = learn(labelled)

    def stop(event):
        told(event)
        if isinstance(event, Advanced) and not event.decoded and event.done == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(labelled, tmp_path / "map", listener=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["map.partial"]
    assert "map.partial is kept: go on with --resume" in told.text
    with pytest.raises(OutputExistsError, match=r"--resume.*--overwrite"):
        learn(labelled, tmp_path / "map")
    made = learn(labelled, tmp_path / "map", resume=True)
    assert made.identity == whole.identity
    assert [path.name for path in tmp_path.iterdir()] == ["map"]


def test_overwriting_begins_anew(labelled, tmp_path):
    (tmp_path / "map.partial").write_bytes(b"not a checkpoint at all")
    first = learn(labelled, tmp_path / "map", overwrite=True)
    with pytest.raises(OutputExistsError, match="overwrite"):
        learn(labelled, tmp_path / "map")
    second = learn(labelled, tmp_path / "map", overwrite=True, seed=1)
    assert first.identity != Projection.load(tmp_path / "map").identity == second.identity


def test_a_checkpoint_that_was_asked_for_is_kept(labelled, tmp_path):
    learn(labelled, checkpoint=tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_divergence_leaves_the_last_good_weights_and_the_checkpoint(labelled, tmp_path, told, monkeypatch):
    from lexicell.learn import trainer

    right, calls = trainer.supervised_contrastive, []

    def wrong(*args):
        calls.append(1)
        return right(*args) * (float("nan") if len(calls) > 15 else 1)

    monkeypatch.setattr(trainer, "supervised_contrastive", wrong)
    made = learn(labelled, tmp_path / "map", listener=told)
    assert (made.card["stopped"], made.card["step"]) == ("diverged", 10)
    assert "the loss is not finite at step" in told.text
    assert Projection.load(tmp_path / "map").identity == made.identity
    assert (tmp_path / "map.partial").is_file()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"label": "nope"}, "obs has no column 'nope'; it has bulk_labels, type, batch, one"),
        ({"label": "one"}, r"obs\['one'\] has one class only \(cell\)"),
        ({"label": None}, "supcon learns from labels: name a column of obs with --label"),
        ({"objective": "nope"}, "no objective 'nope'; there are loadings"),
        ({"batch_key": "nope"}, "obs has no column 'nope'"),
        ({"batch_key": "type"}, "cells have no type; give each a batch"),
        ({"objective": "ridge", "batch_key": "batch"}, "ridge does not look at batches"),
        ({"objective": "cpca"}, "cpca compares cells with a background"),
        ({"objective": "cpca", "background": ("batch", "7")}, "no cells have batch '7', .*; it has 0, 1"),
        ({"objective": "cpca", "background": ("one", "cell")}, "all cells have one 'cell'"),
        ({"background": ("batch", "1")}, "supcon takes no background"),
        ({"alpha": 2.0}, "supcon has no background"),
        ({"objective": "loadings", "top_k": 64}, "by --n-top-genes, not --top-k"),
        ({"objective": "bridge", "dim": 3}, "one dimension for each class"),
        ({"objective": "ridge", "settings": QUICK}, "ridge is solved for, not trained"),
        ({"objective": "ridge", "device": "cuda"}, "ridge is solved for, not trained"),
        ({"objective": "ridge", "resume": True}, "ridge is solved for at once"),
        ({"resume": True}, "there is nothing to go on with"),
        ({"resume": True, "overwrite": True}, "give one of them"),
        ({"n_top_genes": 2}, "three genes or more, not 2"),
        ({"held_out": 1.0}, "less than 1, not 1"),
        ({"min_coverage": 1.0}, "of the counts lie in genes"),
    ],
)
def test_what_cannot_be_done_is_said_before_training(labelled, tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        learn(labelled, None if "resume" in options else tmp_path / "map", **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_projection_is_never_replaced(labelled, tmp_path):
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "precious.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="is not a projection"):
        learn(labelled, tmp_path / "map", overwrite=True)
    assert (tmp_path / "map" / "precious.txt").read_text() == "mine"


def test_a_missing_torch_is_told_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "lexicell.learn.trainer", raising=False)
    with pytest.raises(MissingExtraError, match=r'pip install "lexicell\[train\]"'):
        learn(tmp_path / "there is no such file.h5ad")


def test_what_is_learned_on_one_data_set_embeds_another(pbmc3k, cells):
    made = lexicell.train(pbmc3k, label="cell_type", n_top_genes=2_000)
    lexicell.tl.embed(cells, projection=made)
    z = cells.obsm["X_lexicell"]
    assert z.any(axis=1).all()
    from lexicell.evaluation import knn_accuracy

    labels = cells.obs["bulk_labels"].astype(str).to_numpy()
    names, counts = np.unique(labels, return_counts=True)
    often = np.isin(labels, names[counts >= 10])
    largest = counts.max() / often.sum()
    assert knn_accuracy(z[often], labels[often], seed=0) > largest + 0.2
