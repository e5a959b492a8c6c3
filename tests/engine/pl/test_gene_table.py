"""The picture of a lexicon's vectors shows what it is given, or nothing is left."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import numpy as np
import pytest

from lexicell import pl
from lexicell.errors import InputError, MissingExtraError, OutputExistsError, WriteError

RNG = np.random.default_rng(0)
FIGURE = {
    "title": "a lexicon",
    "panels": [
        pl.AurocPanel(
            "terms",
            {
                "lexicon": RNG.uniform(0.7, 1, 30),
                "name in text": np.full(30, 0.6),
                "random": RNG.uniform(0.3, 0.7, 30),
            },
        )
    ],
    "variance": {"lexicon": np.array([0.5, 0.3, 0.2]), "random": np.full(3, 1 / 3)},
    "cosines": {"lexicon": RNG.uniform(0, 1, 500).astype("f4"), "random": np.zeros(500, np.float32)},
}


def test_a_png_has_every_panel_with_ink_on_it(tmp_path):
    image = pytest.importorskip("matplotlib.image")
    pl.gene_table(**FIGURE, save=tmp_path / "p.png")
    pixels = image.imread(tmp_path / "p.png")[..., :3]
    coloured = np.ptp(pixels, axis=-1) > 0.2
    thirds = np.array_split(coloured, 3, axis=1)
    assert all(third.sum() > 200 for third in thirds)


@pytest.mark.parametrize(("name", "start"), [("p.svg", b"<?xml"), ("P.PDF", b"%PDF"), ("p.png", b"\x89PNG")])
def test_the_name_decides_the_format_and_equal_input_gives_equal_bytes(tmp_path, name, start):
    pytest.importorskip("matplotlib")
    for folder in ("a", "b"):
        pl.gene_table(**FIGURE, save=tmp_path / folder / name)
    first, second = ((tmp_path / folder / name).read_bytes() for folder in ("a", "b"))
    assert first.startswith(start)
    assert first == second


def test_texts_stand_in_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    pl.gene_table(**FIGURE, save=tmp_path / "p.svg", note="with thanks")
    drawn = (tmp_path / "p.svg").read_text(encoding="utf-8")
    mean = f"{FIGURE['panels'][0].auroc['lexicon'].mean():.3f}"
    for text in ("a lexicon", "terms", "with thanks", mean):
        assert text in drawn


def test_no_sets_no_pairs_and_no_spread_are_drawn_too(tmp_path):
    pytest.importorskip("matplotlib")
    empty = {"lexicon": np.empty(0, np.float32)}
    pl.gene_table(
        title="", panels=[], variance={"lexicon": np.zeros(3)}, cosines=empty, save=tmp_path / "p.png"
    )
    same = {"lexicon": np.ones(9, np.float32)}
    pl.gene_table(
        title="", panels=[], variance={"lexicon": np.ones(1)}, cosines=same, save=tmp_path / "q.png"
    )


def test_a_name_that_is_no_picture_or_taken_is_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf"):
        pl.check_figure(tmp_path / "figure.jpeg")
    (tmp_path / "p.png").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="exists"):
        pl.check_figure(tmp_path / "p.png")
    pl.check_figure(tmp_path / "p.png", overwrite=True)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")

    def full(self: object, path: Path, **_: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(figure.Figure, "savefig", full)
    with pytest.raises(WriteError, match="cannot be written"):
        pl.gene_table(**FIGURE, save=tmp_path / "p.png")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_gives_the_pip_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lexicell\[plot\]"'):
        pl.check_figure(tmp_path / "p.png")
