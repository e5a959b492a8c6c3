"""Coverage, losses, scores and rates are drawn as they are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from lexicell import pl
from lexicell.errors import InputError
from lexicell.pl import style


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_histograms_hold_every_cell_that_is_not_empty_and_say_how_many_are(embedded):
    assert pl.coverage(embedded)[0].get_title(loc="left") == ""
    embedded.obs.loc[embedded.obs_names[:7], ["lexicell_n_genes", "lexicell_coverage"]] = 0
    covered, used = pl.coverage(embedded)
    assert sum(bar.get_height() for bar in covered.patches) == 83
    assert sum(bar.get_height() for bar in used.patches) == 83
    assert covered.get_title(loc="left").startswith("7 of 90 cells have no described gene")
    middle = np.median(embedded.obs["lexicell_n_genes"][7:])
    assert used.lines[0].get_xdata()[0] == middle
    embedded.obs[["lexicell_n_genes", "lexicell_coverage"]] = 0
    assert pl.coverage(embedded)[0].get_title(loc="left").startswith("90 of 90")


def test_boxes_are_quartiles_of_each_group_and_whiskers_hold_nine_tenths(embedded):
    embedded.obs.loc[embedded.obs_names[:7], ["lexicell_n_genes", "lexicell_coverage"]] = 0
    covered, used = pl.coverage(embedded, groupby="type")
    assert ticks(covered.yaxis) == ["B cell (53)", "T cell (25)", "monocyte (5)"]
    for axes, column in ((covered, "lexicell_coverage"), (used, "lexicell_n_genes")):
        groups = embedded.obs[7:].groupby("type", observed=True)[column]
        lines = np.concatenate([line.get_xdata() for line in axes.lines])
        for box, (_, values) in zip(axes.patches, groups, strict=True):
            left, right = (of(box.get_path().vertices[:, 0]) for of in (np.min, np.max))
            low, *quartiles, high = np.percentile(values.astype(float), [5, 25, 75, 95])
            assert (left, right) == pytest.approx(tuple(quartiles))
            for end in (values[values >= low].min(), values[values <= high].max()):
                assert np.isclose(lines, end).any()


def test_a_column_of_obs_that_is_not_there_is_named(embedded):
    with pytest.raises(InputError, match=r"'mine_coverage'.*type, depth, lexicell_coverage"):
        pl.coverage(embedded, prefix="mine")
    with pytest.raises(InputError, match="'kind'"):
        pl.coverage(embedded, groupby="kind")
    with pytest.raises(InputError, match="no cell"):
        pl.coverage(embedded[:0].copy())


@dataclass
class Learned:
    card: dict = field(default_factory=dict)


@pytest.mark.parametrize("validation", [None, 0.5])
def test_a_loss_curve_is_that_of_the_card(validation):
    history = [{"step": i, "loss": 1 / i, "validation": validation and validation / i} for i in (1, 5, 9)]
    card = {"name": "map", "objective": "supcon", "cells": 1234, "loss_curve": history, "step": 5}
    axes = pl.learning(Learned(card))
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert drawn["training"] == ([1, 5, 9], [1, 1 / 5, 1 / 9])
    assert ("validation cells" in drawn) == (validation is not None)
    assert drawn["weights of step 5"][0] == [5, 5]
    assert axes.get_title(loc="left") == "map: supcon, 1,234 cells"
    assert len(pl.learning({"loss_curve": history}).lines) == 1 + (validation is not None)


@pytest.mark.parametrize("card", [{}, {"loss_curve": []}])
def test_what_was_not_learned_step_by_step_has_no_curve(card):
    with pytest.raises(InputError, match="loss_curve"):
        pl.learning(card)


RATES = [
    {"name": "slow", "cells_per_second": 30.0, "device": "cpu"},
    {"name": "lexicell 1 thread", "cells_per_second": 900.0, "device": "cpu"},
    {"name": "lexicell", "cells_per_second": 90_000.0, "device": "gpu"},
    {"name": "fast", "cells_per_second": 180_000.0, "device": "gpu"},
    {"name": "web", "cells_per_second": 45.0, "device": "service"},
]


def test_bars_are_rates_with_the_ratio_to_ours_on_the_same_device():
    import pandas as pd

    axes = pl.throughput(pd.DataFrame(RATES), ours="lexi")
    assert ticks(axes.yaxis) == [
        "fast (gpu)", "lexicell (gpu)", "lexicell 1 thread (cpu)", "web (service)", "slow (cpu)",
    ]  # fmt: skip
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends == pytest.approx([180_000, 90_000, 900, 45, 30])
    ours = [bar.get_facecolor()[:3] for bar in axes.patches]
    assert [ours[0], ours[3]] == [ours[4]] * 2
    assert ours[1] == ours[2] != ours[0]
    said = [text.get_text() for text in axes.texts]
    assert [text for text in said if "as fast" in text] == ["0.5x as fast", "2,000x as fast", "30x as fast"]
    assert "180 k/s" in said


@pytest.mark.parametrize(("rate", "scale"), [(3_000, "linear"), (2_999, "log")])
def test_rates_far_apart_have_a_logarithmic_axis(rate, scale):
    rows = [{"name": "lexicell", "cells_per_second": 90_000}, {"name": "other", "cells_per_second": rate}]
    assert pl.throughput(rows).get_xscale() == scale


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(InputError, match="of slow is no number"):
        pl.throughput([{"name": "slow", "cells_per_second": np.nan}])
    with pytest.raises(InputError, match=r"there: name\)"):
        pl.throughput([{"name": "slow"}])
    with pytest.raises(InputError, match="there: nothing"):
        pl.throughput([])


@dataclass
class Score:
    mean: float
    low: float
    high: float


@dataclass
class Line:
    scenario: str
    setting: str
    method: str
    mean: float
    control: str = ""
    is_control: bool = False
    data: str = "cells"
    classifier: str = "knn"

    @property
    def label(self):
        return f"{self.method}, {self.control} vectors" if self.control else self.method

    @property
    def scores(self):
        return {
            "macro_f1": Score(self.mean, self.mean - 0.1, self.mean + 0.1),
            "ari": Score(0.1, np.nan, np.nan),
        }


@dataclass
class Draw:
    scenario: str
    draw: int


@dataclass
class Found:
    all_lines: list

    @property
    def records(self):
        return [Draw("few-shot", i) for i in range(4)]

    def lines(self):
        return self.all_lines


@pytest.fixture
def found():
    lines = []
    for n in (3, 10):
        text = [Line("few-shot", f"n={n}", f"text {i}", 0.9 - i / 20 + n / 1e3) for i in range(9)]
        text.append(Line("few-shot", f"n={n}", "paper", 0.2))
        lines += [
            *text,
            *(Line("few-shot", f"n={n}", f"text {i}", 0.1, "random", is_control=True) for i in (0, 1)),
            Line("few-shot", f"n={n}", "pca", 0.3, is_control=True),
        ]
    lines += [
        Line("disjoint", "2 panels", "paper", 0.97),
        Line("disjoint", "2 panels", "paper", 0.4, "shuffled", is_control=True),
        Line("disjoint", "2 panels", "paper", 0.6, classifier="logistic"),
    ]
    return Found(lines)


def test_curves_are_of_the_best_the_paper_and_controls_of_the_best(found):
    (axes,) = pl.evaluation(found)
    drawn = {line.get_label(): line for line in axes.lines}
    assert set(drawn) == {*(f"text {i}" for i in range(6)), "paper", "text 0, random vectors", "pca"}
    assert list(drawn["text 0"].get_xdata()) == [3, 10]
    assert list(drawn["text 0"].get_ydata()) == [0.903, 0.91]
    assert drawn["text 0, random vectors"].get_color() == style.CONTROLS["random"]
    assert "over 4 draws" in axes.figure.get_suptitle()


def test_bars_are_means_with_intervals_a_panel_for_each_classifier(found):
    knn, logistic = pl.evaluation(found, scenario="disjoint")
    assert [bar.get_width() for bar in knn.patches] == [0.97, 0.4]
    assert ticks(knn.yaxis) == ["paper", "paper, shuffled vectors"]
    assert np.allclose([line.get_xdata() for line in knn.lines], [[0.87, 1.07], [0.3, 0.5]])
    assert logistic.get_title(loc="left") == "cells, logistic"
    (bar, *_), _ = (axes.patches for axes in pl.evaluation(found, scenario="disjoint", score="ari"))
    assert bar.get_width() == 0.1


def test_three_panels_leave_no_empty_fourth(found):
    found.all_lines.append(Line("disjoint", "2 panels", "paper", 0.5, data="others"))
    axes = pl.evaluation(found, scenario="disjoint")
    assert len(axes) == 3
    assert axes[0].figure.axes == axes


def test_given_axes_are_as_many_as_panels(found):
    from matplotlib.figure import Figure

    two = Figure().subplots(1, 2)
    assert pl.evaluation(found, scenario="disjoint", ax=two) == list(two)
    assert two[0].figure.get_suptitle() == ""
    with pytest.raises(InputError, match="2 panels"):
        pl.evaluation(found, scenario="disjoint", ax=two[0])


def test_scenarios_and_scores_that_are_not_there_are_named(found):
    with pytest.raises(InputError, match="'batches'"):
        pl.evaluation(found, scenario="batches")
    with pytest.raises(InputError, match=r"'f2'.*macro_f1"):
        pl.evaluation(found, score="f2")
    with pytest.raises(InputError, match="there: nothing"):
        pl.evaluation(Found([]))
