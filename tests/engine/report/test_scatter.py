"""A picture is a PNG with something on it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from lexicell.errors import MissingExtraError
from lexicell.report import plot_scatter


@pytest.mark.parametrize("types", [1, 8, 25])
def test_cells_become_a_png_in_which_every_type_has_its_colour(tmp_path, types):
    image = pytest.importorskip("matplotlib.image")
    rng = np.random.default_rng(0)
    labels = np.array([f"type {i % types}" for i in range(500)])
    positions = rng.standard_normal((500, 2)) + 9 * (np.arange(500) % types)[:, None]
    path = tmp_path / "picture.png"
    plot_scatter(positions, labels, path, title="Cells", note="a note")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = image.imread(path)[..., :3]
    assert pixels.shape[0] > 400
    ink = pixels[(np.ptp(pixels, axis=-1) > 0.2)]  # neither white nor grey
    assert len(ink) > 1000
    assert len(np.unique(ink, axis=0)) >= min(types, 10)


def test_drawing_leaves_the_callers_figures_alone(tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    before = plt.get_fignums()
    plot_scatter(np.zeros((3, 2)), np.array(["a", "b", "a"]), tmp_path / "p.png", title="")
    assert plt.get_fignums() == before


def test_a_missing_extra_gives_the_pip_line(monkeypatch, tmp_path):
    for name in [m for m in sys.modules if m.partition(".")[0] == "matplotlib"] or ["matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lexicell\[plot\]"'):
        plot_scatter(np.zeros((3, 2)), np.array(["a", "b", "a"]), tmp_path / "p.png", title="")
    assert list(tmp_path.iterdir()) == []
