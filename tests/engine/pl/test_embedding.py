"""Points stand where the cells are, in the colour of what they are."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from lexicell import pl
from lexicell.errors import InputError, MissingExtraError
from lexicell.pl import _embedding, style

to_rgb = pytest.importorskip("matplotlib.colors").to_rgb
KINDS = ["B cell", "T cell", "monocyte"]


def points(axes):
    """Positions and colours of all points, in the order in which they are drawn."""
    found = [(of.get_offsets(), of.get_facecolor()) for of in axes.collections]
    return [(np.asarray(xy), np.broadcast_to(colour, (len(xy), 4))[:, :3]) for xy, colour in found]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_each_type_is_where_its_cells_are_the_rare_ones_on_top(embedded):
    axes = pl.embedding(embedded, "umap", color="type")
    drawn = points(axes)
    assert [len(xy) for xy, _ in drawn] == [60, 25, 5]
    for (xy, colour), name, expected in zip(
        drawn, ["B cell", "T cell", "monocyte"], style.PALETTE, strict=False
    ):
        assert np.array_equal(xy, embedded.obsm["X_umap"][embedded.obs["type"] == name])
        assert np.allclose(colour, to_rgb(expected))
    assert legend(axes) == ["B cell (60)", "T cell (25)", "monocyte (5)"]
    assert axes.get_title(loc="left") == "type"
    assert axes.get_xlabel() == "UMAP 1"


def test_positions_and_labels_will_do(embedded):
    axes = pl.embedding(
        embedded.obsm["X_umap"], "X_tsne", color=[f"type {i % 11}" for i in range(90)], title="T"
    )
    assert legend(axes)[:3] == ["type 0 (9)", "type 1 (9)", "type 2 (8)"]
    assert legend(axes)[-1] == "type 10 (8)"
    assert (axes.get_xlabel(), axes.get_title(loc="left")) == ("t-SNE 1", "T")
    assert len(pl.embedding(embedded.obsm["X_umap"]).collections) == 1


def test_numbers_are_a_colour_map_with_a_bar(embedded):
    axes = pl.embedding(embedded, color="depth", cmap="cividis")
    (drawn,) = axes.collections
    depth = embedded.obs["depth"].to_numpy()
    assert np.array_equal(drawn.get_array(), np.sort(depth))
    assert np.array_equal(drawn.get_offsets(), embedded.obsm["X_umap"][np.argsort(depth)])
    assert drawn.get_cmap().name == "cividis"
    (bar,) = axes.child_axes
    assert bar.get_ylim() == (depth.min(), depth.max())


@pytest.mark.parametrize("column", ["type", "depth"])
def test_missing_values_are_grey_and_below_all_others(embedded, column):
    embedded.obs[column] = embedded.obs[column].where(np.arange(90) % 9 > 0)
    axes = pl.embedding(embedded, color=column)
    xy, colour = points(axes)[0]
    assert np.array_equal(xy, embedded.obsm["X_umap"][::9])
    assert np.allclose(colour, to_rgb(style.MISSING))
    assert legend(axes)[-1] == "missing (10)"
    assert sum(len(xy) for xy, _ in points(axes)) == 90


def test_nothing_known_and_nothing_there_is_drawn_too(embedded):
    embedded.obs["none"] = np.nan
    pl.embedding(embedded, color="none")
    pl.embedding(embedded[:0].copy(), color="type")
    pl.embedding(embedded, color=np.ones(90))


def test_more_types_than_the_palette_has_are_all_listed_and_apart(embedded):
    axes = pl.embedding(embedded, color=[f"{i % 40}" for i in range(90)])
    assert len(legend(axes)) == 40
    assert len({tuple(colour[0]) for _, colour in points(axes)}) == 40


@pytest.mark.parametrize(
    "palette", [["#111111", "#222222", "#333333"], dict.fromkeys(["B cell", "T cell", "monocyte"], "#111111")]
)
def test_a_palette_may_be_given(embedded, palette):
    assert np.allclose(points(pl.embedding(embedded, color="type", palette=palette))[0][1], to_rgb("#111111"))
    less = palette[:2] if isinstance(palette, list) else dict(list(palette.items())[:2])
    with pytest.raises(InputError, match="no colour for monocyte"):
        pl.embedding(embedded, color="type", palette=less)


def test_what_is_not_there_is_an_error_that_lists_what_is(embedded):
    with pytest.raises(InputError, match=r"'X_pca'.*X_umap"):
        pl.embedding(embedded, "X_pca")
    with pytest.raises(InputError, match=r"'kind'.*type, depth"):
        pl.embedding(embedded, color="kind")
    with pytest.raises(InputError, match=r"3 values.* 90 cells"):
        pl.embedding(embedded, color=[1, 2, 3])
    with pytest.raises(InputError, match="column of obs"):
        pl.embedding(np.zeros((3, 2)), color="type")
    for positions in (np.zeros(3), np.zeros((3, 1)), np.array([["a", "b"]])):
        with pytest.raises(InputError, match=r"shape \[N, 2\]"):
            pl.embedding(positions)


def test_many_points_are_pixels_in_vector_pictures(embedded, monkeypatch, tmp_path):
    pl.embedding(embedded, color="type", save=tmp_path / "few.svg")
    monkeypatch.setattr(_embedding, "RASTERISED_ABOVE", 89)
    pl.embedding(embedded, color="type", save=tmp_path / "many.svg")
    few, many = ((tmp_path / f"{name}.svg").read_text() for name in ("few", "many"))
    assert "<image" not in few
    assert "<image" in many
    assert "B cell (60)" in many


@pytest.fixture
def counted(monkeypatch):
    """As if 80 cells were many, and 10 few."""
    pytest.importorskip("datashader", reason="pictures of more than a million cells need datashader")
    monkeypatch.setattr(_embedding, "DATASHADER_ABOVE", 80)
    monkeypatch.setattr(_embedding, "RARE_BELOW", 10)


def pixels(axes, colour):
    """How many pixels of the counted images have a colour."""
    expected = np.round(255 * np.array(to_rgb(colour)))
    images = [np.asarray(image.get_array()) for image in axes.images]
    return sum(int(((of[..., 3] > 0) & (of[..., :3] == expected).all(axis=-1)).sum()) for of in images)


@pytest.mark.slow
@pytest.mark.usefixtures("counted")
def test_datashader_draws_every_type_and_rare_ones_as_points(embedded):
    embedded.obs["type"] = embedded.obs["type"].where(np.arange(90) > 0)
    axes = pl.embedding(embedded, color="type")
    assert pixels(axes, style.PALETTE[0]) >= 50
    assert pixels(axes, style.PALETTE[1]) >= 20
    assert pixels(axes, style.MISSING) == 1
    ((xy, colour),) = points(axes)
    assert np.array_equal(xy, embedded.obsm["X_umap"][-5:])
    assert np.allclose(colour, to_rgb(style.PALETTE[2]))
    assert legend(axes) == ["B cell (59)", "T cell (25)", "monocyte (5)", "missing (1)"]


@pytest.mark.slow
@pytest.mark.usefixtures("counted")
def test_datashader_draws_mean_numbers_where_the_cells_are(embedded):
    embedded.obsm["X_umap"][:45] = [0.0, 0.0]
    embedded.obs["depth"] = np.repeat([1.0, 3.0, 7.0], [22, 23, 45])
    (image,) = pl.embedding(embedded, color="depth").images
    values = np.ma.compressed(image.get_array())
    assert np.isclose(values.min(), (22 * 1 + 23 * 3) / 45)
    assert set(np.round(values, 6)) == {np.round((22 + 69) / 45, 6), 7.0}
    assert image.origin == "lower"  # the first row is the lowest
    left, right, bottom, top = image.get_extent()
    low, high = embedded.obsm["X_umap"].min(0), embedded.obsm["X_umap"].max(0)
    assert (left < low[0], right > high[0], bottom < low[1], top > high[1]) == (True,) * 4
    at = np.argwhere(np.isclose(image.get_array().filled(-1), 91 / 45))[0]
    assert np.allclose(
        (at + 0.5) / image.get_array().shape, [-bottom / (top - bottom), -left / (right - left)], atol=0.002
    )


@pytest.mark.slow
@pytest.mark.usefixtures("counted")
def test_datashader_gives_the_same_bytes_and_takes_cells_without_a_place(embedded, tmp_path):
    embedded.obsm["X_umap"][3] = np.nan
    for name in ("a.png", "b.png"):
        pl.embedding(embedded, color=embedded.obs["depth"].where(np.arange(90) > 9), save=tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert pl.embedding(embedded).images


def test_many_cells_without_datashader_are_told_before_any_drawing(embedded, monkeypatch):
    monkeypatch.setitem(sys.modules, "datashader", None)
    monkeypatch.setattr(_embedding, "DATASHADER_ABOVE", 80)
    with pytest.raises(MissingExtraError, match=r"lexicell\[plot\]"):
        pl.embedding(embedded, color="type")
