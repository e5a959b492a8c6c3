"""The measured parts of ``docs/explain.md``: markers, and faithfulness."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean
from typing import Any

from studies.explain.cells import TITLES
from studies.explain.faithful import DIRECTIONS
from studies.explain.prose import DIRECTION_NAMES, FAITHFUL, MARKERS, RANKINGS, WAYS
from studies.markdown import joined, number, signed, table

__all__ = ["faithful", "markers", "recall"]

#: What is done to genes.
_KINDS = {"deletion": "taken out", "insertion": "put back"}


def recall(of: dict[str, Any], row: str) -> float:
    """Mean over groups of the mean over draws."""
    return float(mean(mean(values) for values in of["markers"]["recall"][row].values()))


def markers(sets: dict[str, Any]) -> str:
    """How many known markers are found."""
    heads = [
        "ranked by",
        *(f"{TITLES[key]} ({len(of['markers']['groups'])} groups)" for key, of in sets.items()),
    ]
    rows = [[name, *(number(recall(of, row)) for of in sets.values())] for row, name in RANKINGS.items()]
    versus = "; ".join(
        f"{TITLES[key]} {_versus(of, 't-test')} (t-test), {_versus(of, 'shares')} (shares), "
        f"{_versus(of, 'shuffled')} (shuffled rows)"
        for key, of in sets.items()
    )
    overlap = [
        f"{TITLES[key]} {mean(of['markers']['overlap with t-test'].values()):.0f}" for key, of in sets.items()
    ]
    said = f"""\
* **Differential expression is better**: contributions less the t-test {_gain(sets, "t-test")}, less
  Wilcoxon's test {_gain(sets, "wilcoxon")}. Groups where contributions find more / as many / fewer markers:
  {versus}. **For markers, use `rank_genes_groups`.**
* Plain shares of the weights, which know no text, find no fewer: contributions less shares
  {_gain(sets, "shares")}. Texts do not help to find markers.
* **Texts have no part in it**: with shuffled rows of the table as many are found
  (contributions less those {_gain(sets, "shuffled")}), since a gene that a group expresses differently is
  itself part of the direction. `agreement` and p of texts are there to tell that apart.
* Genes that count less in a group are told apart, and are not among these. The same genes by `effect`, which
  takes the spread among cells into account as tests do, are better by {_gain(sets, "present", "effect")}, and
  less the t-test still {_gain(sets, "t-test", "effect")}.
* Of the first 20 genes, the t-test has among its own (mean of groups): {", ".join(overlap)}."""
    by_group = [_by_group(key, of["markers"]) for key, of in sets.items()]
    return "\n\n".join([MARKERS, table(heads, rows), said, *by_group])


def _gain(sets: dict[str, Any], other: str, one: str = "lexicell") -> str:
    """Recall of one row less that of another."""
    return ", ".join(
        f"{TITLES[key]} {signed(recall(of, one) - recall(of, other))}" for key, of in sets.items()
    )


def _versus(of: dict[str, Any], other: str) -> str:
    found = of["markers"]["recall"]
    pairs = [(mean(found["lexicell"][group]), mean(found[other][group])) for group in of["markers"]["groups"]]
    counts = [sum(a > b for a, b in pairs), sum(a == b for a, b in pairs), sum(a < b for a, b in pairs)]
    return " / ".join(map(str, counts))


def _by_group(key: str, of: dict[str, Any]) -> str:
    shown = {
        "lexicell": "contributions",
        "present": "present *",
        "shares": "shares",
        "t-test": "t-test",
        "wilcoxon": "Wilcoxon",
        "shuffled": "shuffled",
    }
    rows = [
        [
            group,
            *(number(mean(of["recall"][row][group])) for row in shown),
            *(", ".join(told[which]) or "none" for which in ("found", "missed")),
        ]
        for group, told in of["groups"].items()
    ]
    return table([TITLES[key], *shown.values(), "found by contributions", "missed"], rows)


def faithful(sets: dict[str, Any]) -> str:
    """What happens to scores as genes are taken out, or put back."""
    first = next(iter(sets.values()))["faithfulness"]
    if _has_captum(sets):
        captum = (
            f"Integrated gradients: captum {first['captum']}, {first['steps']} steps, of a pooling and "
            "normalising in torch whose scores are those of the package to nine digits."
        )
    else:
        captum = f"Integrated gradients were not measured: {first['captum']}."
    out = "; ".join(
        f"{TITLES[key]} {sum(of['faithfulness']['groups'].values()):,} cells of "
        f"{len(of['faithfulness']['groups'])} groups"
        + (f", {joined(of['faithfulness']['left out'])} left out" if of["faithfulness"]["left out"] else "")
        for key, of in sets.items()
    )
    return "\n\n".join(
        [
            FAITHFUL.format(cells=out, captum=captum),
            *(_areas(sets, direction) for direction in DIRECTIONS),
            _curves(sets),
            _told(sets),
        ]
    )


def _has_captum(sets: dict[str, Any]) -> bool:
    return all("IG from 0" in of["faithfulness"]["difference"]["deletion"] for of in sets.values())


def _columns(sets: dict[str, Any], direction: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, of in sets.items():
        for kind, name in _KINDS.items():
            yield f"{TITLES[key]}, {name}", of["faithfulness"][direction][kind]


def _areas(sets: dict[str, Any], direction: str) -> str:
    columns = dict(_columns(sets, direction))
    rows = [
        [
            name,
            *(
                f"{number(of[way]['area'])} [{', '.join(map(number, of[way]['interval']))}]"
                for of in columns.values()
            ),
        ]
        for way, name in WAYS.items()
        if all(way in of for of in columns.values())
    ]
    return table([f"area, {DIRECTION_NAMES[direction]}", *columns], rows)


def _curves(sets: dict[str, Any]) -> str:
    columns = dict(_columns(sets, "difference"))
    rows = [
        [name, *(" ".join(map(number, of[way]["curve"][1:])) for of in columns.values())]
        for way, name in WAYS.items()
        if all(way in of for of in columns.values())
    ]
    return table(["change by 1, 2, 5, 10, 20, 50 genes, the group's difference", *columns], rows)


def _told(sets: dict[str, Any]) -> str:
    lines = [
        f"* Area of exact contributions less the t-test's order: {_less(sets, 't-test')}; less the weight "
        f"alone: {_less(sets, 'expression')}. No wonder: the score is that of the vector, of which the "
        "t-test "
        "knows nothing. It is a check that contributions say what moves vectors, and no word about biology.",
    ]
    if not _has_captum(sets):
        return "\n".join(lines)
    of_gradients = {key: of["faithfulness"]["difference"] for key, of in sets.items()}
    alike = "; ".join(
        f"{TITLES[key]} {number(of['alike']['exact, IG from 0'])} (from 0), "
        f"{number(of['alike']['exact, IG from the rest'])} (from the rest)"
        for key, of in of_gradients.items()
    )
    took = "; ".join(
        f"{TITLES[key]} {1000 * of['seconds']['exact']:.1f}, {1000 * of['seconds']['gradient']:.1f} and "
        f"{1000 * of['seconds']['IG from 0']:.1f} ms a cell"
        for key, of in of_gradients.items()
    )
    same = min(
        of["faithfulness"][way]["alike"]["IG from 0, gradient"] for of in sets.values() for way in DIRECTIONS
    )
    lines += [
        "* **Does it help to know the length?** Before vectors are scaled to length 1 the score is a "
        "sum over "
        "genes, given their shares of the weights, and each gene's part in it is what a Shapley value "
        "would be. "
        "The length (and the sum of weights) couples genes: a gene that lengthens a vector which already "
        "points to `v` adds little. Gradients know that, exact contributions do not. " + _verdict(sets),
        f"* Exact contributions less integrated gradients from 0: {_less(sets, 'IG from 0')}; from the rest: "
        f"{_less(sets, 'IG from the rest')}.",
        f"* Integrated gradients from 0 *are* gradient times weight here, in one step (rank correlation "
        f"{number(same)}): a unit vector does not change as all weights grow alike, so nothing happens along "
        "the path, and they sum to 0 rather than to the score. From the mean of the rest they sum to the "
        "difference of both scores, but a part of it lies with genes that the cell does not have.",
        f"* Rank correlation with exact contributions, mean of cells: {alike}.",
        f"* Time of exact contributions, of gradient times weight and of integrated gradients: {took} "
        "(the first "
        "two for a group at once; captum a cell at a time, one thread).",
    ]
    return "\n".join(lines)


def _verdict(sets: dict[str, Any]) -> str:
    """Where a ranking that knows the length is better, by intervals."""
    told: dict[str, list[str]] = {"better": [], "worse": [], "no different": []}
    near = []
    for direction in DIRECTIONS:
        for name, of in _columns(sets, direction):
            low, high = of["gradient"]["less than exact"]
            which = "better" if high < 0 else "worse" if low > 0 else "no different"
            told[which].append(f"{name} ({direction})")
            near.append(abs(of["exact"]["curve"][3] - of["gradient"]["curve"][3]))
    said = "; ".join(f"{which} in {len(of)}: {', '.join(of)}" for which, of in told.items() if of)
    return (
        f"Of eight areas, gradient times weight is {said}. Over the first five genes both differ by "
        f"{number(max(near))} of a lead at most: it is about the genes that come after. A gradient is "
        "that of the "
        "whole cell: once ten genes are gone the vector has turned, and genes that were of no use beside the "
        "others hold up what is left of the score; among few genes that came back, what turns the "
        "vector counts."
    )


def _less(sets: dict[str, Any], way: str) -> str:
    """Difference of areas for the group's difference, and its interval."""
    return ", ".join(
        f"{name} {signed(of['exact']['area'] - of[way]['area'])} "
        f"({' to '.join(map(signed, of[way]['less than exact']))})"
        for name, of in _columns(sets, "difference")
    )
