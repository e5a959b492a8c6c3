"""``lexicell train``, as typed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lexicell.cli.train import sparkline
from lexicell.projection import Projection

pytest.importorskip("sklearn")
pytest.importorskip("torch")

QUICK = (
    "--label", "type", "--objective", "supcon", "--steps", "20", "--dim", "8", "--n-top-genes", "300",
    "--device", "cpu",
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):  # on a busy machine threads wait for each other
        yield
    torch.set_num_threads(before)


@pytest.fixture
def labelled(tmp_path, cells):
    """120 real cells as a file, of three types and the rest."""
    types = cells.obs["bulk_labels"].astype(object)
    types[~types.isin(types.value_counts().index[:3])] = np.nan
    cells.obs["type"] = types
    cells.obs["batch"] = np.arange(120) % 2
    cells.obs["one"] = "cell"
    (tmp_path / "in").mkdir()
    cells.write_h5ad(tmp_path / "in" / "cells.h5ad")
    return tmp_path / "in" / "cells.h5ad"


def test_a_projection_a_picture_and_facts_for_people(lexicell, labelled, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "map"
    ended = lexicell("train", labelled, out, *QUICK)
    assert ended.code == 0, ended.err
    said = dict(line.split("  ", 1) for line in ended.out.splitlines())
    said = {name: value.strip() for name, value in said.items()}
    assert (said["objective"], said["cells"], said["dim"]) == ("supcon", "120", "8")
    assert "macro-F1" in ended.out
    assert "on validation cells" in said["loss"] or "->" in said["loss"]
    assert said["steps"].startswith("20 (finished); the weights are those of step ")
    assert said["projection"] == str(out)
    assert "cells have no type; they are left out" in ended.err
    assert sorted(path.name for path in out.iterdir()) == [
        "loss.png", "projection.json", "projection.safetensors",
    ]  # fmt: skip
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    used = lexicell("embed", labelled, tmp_path / "out.zarr", "--projection", out, "--json")
    assert used.code == 0, used.err
    assert json.loads(used.out)["projection_identity"] == Projection.load(out).identity
    again = lexicell("train", labelled, out, *QUICK)
    assert (again.code, again.out) == (2, "")
    assert "overwrite" in again.complaint
    assert lexicell("train", labelled, out, *QUICK, "--overwrite").code == 0


def test_json_is_the_card_and_where_it_is(lexicell, labelled, tmp_path):
    ended = lexicell("train", labelled, tmp_path / "map", "--label", "type", "--n-top-genes", "200", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    made = Projection.load(tmp_path / "map")
    assert found == {**made.card, "identity": made.identity, "output": str(tmp_path / "map")}
    assert (found["objective"], found["genes"], found["loss_curve"]) == ("loadings", 200, [])
    assert not (tmp_path / "map" / "loss.png").exists()


def test_a_bridge_learns_from_an_atlas_and_from_cells_that_measured_both(lexicell, labelled, tmp_path):
    found = []
    for name, options in (
        ("texts", ["--atlas", "none"]),
        ("bundled", []),
        ("through", ["--atlas", "none", "--through", labelled]),
    ):
        out = tmp_path / name
        ended = lexicell(
            "train", labelled, out, "--label", "type", "--objective", "bridge", *options, "--json"
        )
        assert ended.code == 0, ended.err
        found.append(json.loads(ended.out))
    assert len({one["identity"] for one in found}) == 3
    assert found[0]["settings"] != found[2]["settings"]


@pytest.mark.parametrize("background", ["file", "column"])
def test_a_background_is_a_file_or_a_value(lexicell, labelled, tmp_path, background):
    named = labelled if background == "file" else "batch=1"
    ended = lexicell("train", labelled, tmp_path / "map", "--objective", "cpca", "--background", named)
    assert ended.code == 0, ended.err
    settings = Projection.load(tmp_path / "map").card["settings"]
    assert settings["background_cells"] == (120 if background == "file" else 60)


def test_divergence_is_partial(lexicell, labelled, tmp_path, monkeypatch):
    from lexicell.learn import trainer

    right, calls = trainer.supervised_contrastive, []

    def wrong(*args):
        calls.append(1)
        return right(*args) * (float("nan") if len(calls) > 15 else 1)

    monkeypatch.setattr(trainer, "supervised_contrastive", wrong)
    ended = lexicell("train", labelled, tmp_path / "map", *QUICK)
    assert ended.code == 3
    assert "the loss is not finite at step" in ended.err
    assert "(diverged); the weights are those of step 10" in ended.out
    assert Projection.load(tmp_path / "map").card["stopped"] == "diverged"


def test_a_rate_at_which_nothing_is_learned_is_one_sentence(lexicell, labelled, tmp_path):
    ended = lexicell("train", labelled, tmp_path / "map", *QUICK, "--rate", "1e30")
    assert (ended.code, ended.out) == (2, "")
    assert "choose a lower learning rate" in ended.complaint
    assert not (tmp_path / "map").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--objective", "supcon"], "name a column of obs with --label"),
        (["--label", "nope"], "obs has no column 'nope'; it has bulk_labels, type, batch, one"),
        (["--label", "one"], "has one class only (cell)"),
        (["--label", "type", "--objective", "nope"], "no objective 'nope'"),
        (["--label", "type", "--objective", "supcon", "--rate", "0"], "rate must be larger than 0"),
        (["--label", "type", "--steps", "20"], "loadings is solved for, not trained"),
        (["--objective", "cpca"], "name another file, or a column of obs and a value"),
        (["--objective", "cpca", "--background", "none.h5ad"], "none.h5ad"),
        (["--objective", "cpca", "--background", "nope=1"], "obs has no column 'nope'"),
        (["--label", "type", "--top-k", "5"], "by --n-top-genes, not --top-k"),
        (["--label", "type", "--lexicon", "nope"], "nope"),
        (["--label", "type", "--resume"], "nothing to go on with"),
        (["--objective", "loadings", "--atlas", "X"], "--atlas and --through are of bridge"),
        (["--label", "type", "--through", "X"], "loadings does not ask which genes are alike"),
        (["--label", "type", "--objective", "bridge", "--atlas", "no.parquet"], "no such gene atlas"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(lexicell, labelled, tmp_path, options, says):
    ended = lexicell("train", labelled, tmp_path / "map", *options)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(("values", "line"), [([1, 2, 3], "▁▅█"), ([3, 1], "█▁"), ([2, 2], "▁▁"), ([5], "▁")])
def test_a_curve_is_one_line(values, line):
    assert sparkline(values) == line
