"""What all pictures share: axes that are given or made, files that are whole, settings that stay."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lexicell import pl
from lexicell.errors import InputError, MissingExtraError, OutputExistsError, WriteError
from lexicell.pl import style

#: Each function, drawn from the fixtures, and how many axes it fills.
CURVE = {"loss_curve": [{"step": i, "loss": 1 / i, "validation": 2 / i} for i in range(1, 5)], "cells": 9}
RATES = [{"name": name, "cells_per_second": rate} for name, rate in (("lexicell", 9e4), ("other", 1e3))]
DRAW = {
    "embedding": (1, lambda told, cells, **kw: pl.embedding(cells, color="type", **kw)),
    "numbers": (1, lambda told, cells, **kw: pl.embedding(cells, color="depth", **kw)),
    "dots": (1, lambda told, cells, **kw: pl.contributions(told, **kw)),
    "waterfall": (
        1,
        lambda told, cells, **kw: pl.contributions(told, kind="waterfall", groups="T cell", **kw),
    ),
    "pathways": (1, lambda told, cells, **kw: pl.pathways(told, **kw)),
    "groups": (1, lambda told, cells, **kw: pl.groups(told, **kw)),
    "coverage": (2, lambda told, cells, **kw: pl.coverage(cells, **kw)),
    "boxes": (2, lambda told, cells, **kw: pl.coverage(cells, groupby="type", **kw)),
    "learning": (1, lambda told, cells, **kw: pl.learning(CURVE, **kw)),
    "throughput": (1, lambda told, cells, **kw: pl.throughput(RATES, **kw)),
}
each = pytest.mark.parametrize("name", DRAW)


@each
def test_given_axes_are_drawn_on_and_returned(name, told, embedded):
    from matplotlib.figure import Figure

    n, draw = DRAW[name]
    figure = Figure()
    given = figure.subplots(1, n) if n > 1 else figure.subplots()
    found = draw(told, embedded, ax=given)
    assert found is given if n == 1 else list(found) == list(given)
    for axes in found if n > 1 else [found]:
        assert axes.has_data()
        assert not axes.spines["right"].get_visible()  # nor a part of a box
    figure.canvas.draw()


@each
def test_a_picture_of_its_own_changes_no_setting_and_is_none_of_pyplots(name, told, embedded):
    import matplotlib as mpl
    from matplotlib import pyplot

    open_before = pyplot.get_fignums()
    with mpl.rc_context({"font.size": 7.5, "text.color": "#123456"}):
        before = dict(mpl.rcParams)
        found = DRAW[name][1](told, embedded)
        assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == open_before
    assert len(np.atleast_1d(found)) == DRAW[name][0]


@each
def test_the_same_picture_is_the_same_bytes_and_its_text_is_text(name, told, embedded, tmp_path):
    for folder in "ab":
        DRAW[name][1](told, embedded, save=tmp_path / folder / "p.svg")
    first, second = ((tmp_path / folder / "p.svg").read_bytes() for folder in "ab")
    assert first == second
    assert b"<text" in first


@pytest.mark.parametrize(("name", "start"), [("p.png", b"\x89PNG"), ("p.pdf", b"%PDF"), ("p.svg", b"<?xml")])
def test_the_name_says_the_format_and_what_is_there_is_replaced(name, start, embedded, tmp_path):
    (tmp_path / name).write_bytes(b"old")
    pl.embedding(embedded, save=tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_is_no_picture_or_a_folder_is_refused(embedded, tmp_path):
    with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf"):
        pl.embedding(embedded, save=tmp_path / "p.jpeg")
    (tmp_path / "p.png").mkdir()
    with pytest.raises(OutputExistsError, match="folder"):
        pl.embedding(embedded, save=tmp_path / "p.png")


def test_a_full_disk_leaves_the_old_picture(embedded, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    def full(self: object, path: Path, **_: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "p.png").write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(WriteError, match="cannot be written"):
        pl.embedding(embedded, save=tmp_path / "p.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@each
def test_a_picture_that_is_asked_for_is_shown(name, told, embedded, monkeypatch):
    from matplotlib import pyplot

    shown: list[list[int]] = []
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(pyplot.get_fignums()))
    before = pyplot.get_fignums()
    DRAW[name][1](told, embedded, show=True)
    assert len(shown) == 1
    assert len(shown[0]) == len(before) + 1
    pyplot.close(shown[0][-1])


@pytest.mark.parametrize(
    ("prompt", "backend", "saved", "shown"),
    [
        (True, "qtagg", False, 1),
        (True, "qtagg", True, 0),
        (True, "agg", False, 0),
        (False, "qtagg", False, 0),
    ],
)
def test_nobody_is_shown_what_they_cannot_see(prompt, backend, saved, shown, embedded, monkeypatch, tmp_path):
    from matplotlib import pyplot

    calls: list[int] = []
    monkeypatch.setattr(pyplot, "show", lambda: calls.append(1))
    monkeypatch.setattr(pyplot, "get_backend", lambda: backend)
    if prompt:
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    before = pyplot.get_fignums()
    pl.embedding(embedded, save=tmp_path / "p.png" if saved else None)
    for number in set(pyplot.get_fignums()) - set(before):
        pyplot.close(number)
    assert len(calls) == shown


def test_what_fails_leaves_no_figure_of_pyplot(embedded, monkeypatch):
    from matplotlib import pyplot
    from matplotlib.axes import Axes

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    before = pyplot.get_fignums()
    monkeypatch.setattr(Axes, "scatter", fail)
    with pytest.raises(RuntimeError):
        pl.embedding(embedded, show=True)
    assert pyplot.get_fignums() == before


def test_axes_that_are_too_few_are_refused(embedded):
    from matplotlib.figure import Figure

    with pytest.raises(InputError, match=r"2 panels.* 1 Axes"):
        pl.coverage(embedded, ax=[Figure().subplots()])


def test_without_matplotlib_the_pip_line_is_told_and_import_still_works(embedded, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (
        lambda: pl.embedding(embedded, save=tmp_path / "p.png"),
        lambda: pl.coverage(embedded),
        lambda: pl.check_figure(tmp_path / "p.png"),
    ):
        with pytest.raises(MissingExtraError, match=r'pip install "lexicell\[plot\]"'):
            draw()
    assert list(tmp_path.iterdir()) == []


def test_importing_imports_no_matplotlib():
    program = "import sys, lexicell.pl; sys.exit('matplotlib' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("n", [1, 8, 24, 72])
def test_every_category_has_its_colour_as_far_as_the_palette_goes(n):
    found = style.colours(n)
    assert len(set(found)) == n
    assert found[:24] == list(style.PALETTE[:n])


def test_beyond_the_palette_colours_return():
    assert style.colours(80)[72:] == style.colours(8)
