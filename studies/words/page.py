"""``docs/words.md``, of the numbers that `studies.words` measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from studies.markdown import wrapped
from studies.words.prose import (
    ABSENT_ROWS,
    OPENING,
    OUTSIDE_ROWS,
    OUTSIDE_SOURCES,
    PANEL_ROWS,
    ROWS,
    STORE_ROWS,
)
from studies.words.scores import BINS
from studies.words.sets import OUTSIDE, SETS

__all__ = ["PAGE", "RESULTS", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "words.md"
RESULTS = Path(__file__).with_name("results.json")


def page(content: dict[str, Any]) -> str:
    """Render the whole page, ending with a line break."""
    sets, settings = content["sets"], content["settings"]
    outside = [key for key in OUTSIDE if key in sets]
    parts = [
        OPENING.format(
            **{f"hand{hand}": _over_sets(sets, f"hand {hand}") for hand in "123"},
            **settings,
            headline=_headline(sets, outside),
        ),
        _main(sets),
        _beside(sets),
        _absent(sets),
        _outside(sets, outside),
        _calibration(sets, outside),
    ]
    return "\n\n".join(wrapped(part) for part in parts) + "\n"


def _main(sets: dict[str, Any]) -> str:
    ends = [sets[key]["rows"]["interval"]["f1"][0] for key in SETS]
    said = ", ".join(
        f"{name} {_number(a)} to {_number(b)}" for name, (a, b) in zip(SETS.values(), ends, strict=True)
    )
    missing = (
        ""
        if "aucell 1" in sets[next(iter(SETS))]["rows"]
        else " AUCell and ULM: decoupler was not installed."
    )
    panel = sets["merfish_mouse_brain_1000x1122"]["rows"]
    some = " and ".join(
        f"{panel[f'panel {hand}']['measured'][0]} of {panel[f'panel {hand}']['markers'][0]}" for hand in "12"
    )
    first, second = ("hand 1", *_ways(1)), ("hand 2", *_ways(2))
    return f"""\
## Beside what it has to beat

Macro-F1, median [least, most] of five seeds, / mean AUROC of a type's score, (types). Controls are made
as hand 1, with another likeness. 95 % intervals of hand 1's macro-F1 over cells
resampled after they were named (seed 0):
{said}.{missing}

{_table(sets, list(SETS), ROWS)}

* Which half of the likeness is better differs by set: {_compared(sets, "MiniLM", "TF-IDF")}. Both together
  are the setting; they are above either alone on {_above(sets, first[:1], ("MiniLM", "TF-IDF"))}. Hand 1's
  weakest types, by F1 of seed 0: {_weakest(sets)}.
* Without the texts hardly anything is left: shuffled texts have a mean of {_mean(sets, "shuffled")}
  and at most
  {_largest(sets, "shuffled")} in {5 * len(SETS)} runs, random likenesses at most
  {_largest(sets, "random")}, sentences under another name at most {_largest(sets, "scrambled")}.
* Sentences are above markers of the same hand, in the best of the markers' ways, on
  {_above(sets, first[:1], first[1:])} (hand 1) and {_above(sets, second[:1], second[1:])} (hand 2). MERFISH
  measures {some} markers.
* Sentences + markers are above either alone on {_above(sets, ("both 1",), first)} (hand 1) and
  {_above(sets, ("both 2",), second)} (hand 2).
{_few(sets)}* Labelled cells that it takes to be better: than hand 1 {_labelled(sets, "hand 1")}; than hand 2
  {_labelled(sets, "hand 2")}; than hand 3 {_labelled(sets, "hand 3")}."""


def _beside(sets: dict[str, Any]) -> str:
    first = sets[next(iter(SETS))]["rows"]
    if "panels, reference" not in first:
        return "## Beside a reference of other genes\n\nNot measured here."
    lines = ["| | " + " | ".join(SETS.values()) + " |", "|---|" + "---|" * len(SETS)]
    for row, name in STORE_ROWS.items():
        areas = [_number(_median(sets[key]["rows"][row]["auroc"])) for key in SETS]
        lines.append(f"| {name} | " + " | ".join(areas) + " |")
    whole = [key for key in SETS if "panels, reference" in sets[key]["rows"]]
    gains = [
        f"{sum(_f1(sets, (f'panels, both {h}',))[key] > _f1(sets, others)[key] for key in whole)}"
        for h in "123"
        for others in [("panels, reference", f"panels, sentences {h}")]
    ]
    return f"""\
## Beside a reference of other genes

Half of the described cells are labelled, and measured with one half of 4,000 variable genes; the others, to
be named, with the other half (`annotate --reference ... --describe ...`). Macro-F1 /
AUROC of the hard choice, medians of five draws. Together they are above either alone on {", ".join(gains)} of
{len(whole)} sets (hands 1, 2, 3).

{_table(sets, whole, PANEL_ROWS)}

## From vectors alone

A store of vectors (default recipe) is searched by what a vector says of the genes that a sentence calls up.
Mean AUROC of a type's score; that from counts is in the first table.

{chr(10).join(lines)}"""


def _headline(sets: dict[str, Any], outside: Sequence[str]) -> str:
    if not outside:
        return ""
    ours, markers, one = (
        ", ".join(_number(value) for key, value in _f1(sets, (row,)).items() if key in outside)
        for row in ("hand blind", "markers blind", "1 labelled")
    )
    return (
        f"On {len(outside)} further data sets, sentences written blind have macro-F1 "
        f"{ours}; four known markers of each type, by the same method, {markers}; one labelled cell of "
        f"each {one}."
    )


def _absent(sets: dict[str, Any]) -> str:
    lines = ["| | " + " | ".join(SETS.values()) + " |", "|---|" + "---|" * len(SETS)]
    for row, name in ABSENT_ROWS.items():
        cells = []
        for key in SETS:
            rows = sets[key]["rows"]
            found, base = rows[row], _median(rows["hand 3" if row == "whole group" else "hand 1"]["f1"])
            if "extra" in found:
                cells.append(
                    f"{_number(_median(found['f1']))} ({_signed(_median(found['f1']) - base)}), "
                    f"{_median(found['taken']):.0%} taken, told {_median(found['told']):.0f} of "
                    f"{found['extra'][0]}, lost {_median(found['lost']):.0f}"
                )
            else:
                cells.append(f"{_number(base)}, lost {_median(found['lost']):.0f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    drops = [
        _median(sets[key]["rows"]["hand 1"]["f1"]) - _median(sets[key]["rows"]["absent ten"]["f1"])
        for key in SETS
    ]
    kept = sum(drop <= 0.05 for drop in drops)
    lists = [sets[key]["rows"][row] for key in SETS for row in ABSENT_ROWS if row.startswith("absent")]
    lost = ", ".join(
        f"{sum(_median(sets[key]['rows'][f'hand {hand}']['lost']) for key in SETS):.0f}" for hand in "123"
    )
    told = sum(_median(of["told"]) for of in lists) / sum(of["extra"][0] for of in lists)
    return f"""\
## Types that are not there

Macro-F1 of the types that are there and its change, share of their cells that absent types take, how many
absent types are told to be absent, and how many present ones are, wrongly. Medians of five seeds.
Ten absent types cost at most .05 on {kept} of {len(drops)}, and up to {_number(max(drops))}; {told:.0%} of
all absent types in these rows are told. Where nothing
absent is described, the three hands lose {lost} types in all (medians, three sets).

{chr(10).join(lines)}"""


def _outside(sets: dict[str, Any], outside: Sequence[str]) -> str:
    if not outside:
        return "## Outside\n\nThe sets outside were not measured here (`LEXICELL_OUTSIDE`)."
    rows = {row: name for row, name in OUTSIDE_ROWS.items() if row in sets[outside[0]]["rows"]}
    ours = ("hand blind",)
    ways = [row for row in rows if row.startswith(("markers", "score_genes", "aucell", "ulm"))]
    return f"""\
## Further data, with sentences written blind

Sentences and markers were written blind, by one author, before any of it was run. While constants were chosen
the mean over these sets was looked at, too, but for PBMC68k's. {OUTSIDE_SOURCES}
Sentences are above markers in the best of their ways on {_above(sets, ours, ways, outside)}, sentences +
markers above either on {_above(sets, ("both blind",), (*ours, *ways), outside)}; sentences are above one
labelled cell a type on {_above(sets, ours, ("1 labelled",), outside)} and above three on
{_above(sets, ours, ("3 labelled",), outside)}. Shuffled texts reach {_largest(sets, "shuffled", outside)} at
most.

{_table(sets, outside, rows)}"""


def _calibration(sets: dict[str, Any], outside: Sequence[str]) -> str:
    asked = [(f"hand {hand}", list(SETS), f"bins {hand}") for hand in "123"]
    asked += [("outside, blind", list(outside), "bins blind")] if outside else []
    lines = [
        "| probability | " + " | ".join(name for name, _, _ in asked) + " |",
        "|---|" + "---|" * len(asked),
    ]
    for at, (low, high) in enumerate(zip((0, *BINS), BINS, strict=False)):
        cells = []
        for _, keys, row in asked:
            ran = [bins for key in keys for bins in sets[key]["rows"][row]["bins"]]
            n, sure, right = (sum(bins[at][part] for bins in ran) for part in range(3))
            every = sum(one[0] for bins in ran for one in bins)
            cells.append(
                f"{n / every:.0%} of cells: {sure / n:.0%} said, {right / n:.0%} right" if n else "none"
            )
        lines.append(f"| {low:g} to {high:g} | " + " | ".join(cells) + " |")
    return f"""\
## How sure it is, and how often it is right

All cells of all seeds and sets, by the probability of the type that they were given.
Where a
sentence calls up the wrong genes they are high and wrong: no error rates. Look at the genes.

{chr(10).join(lines)}"""


def _weakest(sets: dict[str, Any]) -> str:
    """The types of hand 1 with the least F1, two of each set."""
    said = []
    for key, title in SETS.items():
        rows = sets[key]["rows"]["by type"]
        f1 = sorted(
            (value[0], name.removesuffix(" f1")) for name, value in rows.items() if name.endswith(" f1")
        )
        said.append(f"{title} " + " and ".join(f"{name} {_number(value)}" for value, name in f1[:2]))
    return "; ".join(said)


def _table(sets: dict[str, Any], keys: Sequence[str], rows: dict[str, str]) -> str:
    titles = SETS | OUTSIDE
    lines = ["| | " + " | ".join(f"{titles[key]} ({sets[key]['types']})" for key in keys) + " |"]
    lines.append("|---|" + "---|" * len(keys))
    for row, name in rows.items():
        if row in sets[keys[0]]["rows"]:
            cells = [_cell(sets[key]["rows"][row], around=len(keys) <= len(SETS)) for key in keys]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: dict[str, list[float]], *, around: bool) -> str:
    f1 = found["f1"]
    spread = f" [{_number(min(f1))}, {_number(max(f1))}]" if around and len(f1) > 1 else ""
    return f"{_number(_median(f1))}{spread} / {_number(_median(found['auroc']))}"


def _ways(hand: int) -> tuple[str, ...]:
    return tuple(f"{way} {hand}" for way in ("markers", "markers, tested", "score_genes", "aucell", "ulm"))


def _f1(sets: dict[str, Any], rows: Sequence[str], pick: Callable[[Any], float] = max) -> dict[str, float]:
    return {
        key: pick([_median(of["rows"][row]["f1"]) for row in rows if row in of["rows"]])
        for key, of in sets.items()
        if any(row in of["rows"] for row in rows)
    }


def _above(
    sets: dict[str, Any], ours: Sequence[str], theirs: Sequence[str], keys: Sequence[str] = tuple(SETS)
) -> str:
    """On how many sets the best of some rows is above the best of others."""
    mine, other = _f1(sets, ours), _f1(sets, theirs)
    return f"{sum(mine[key] > other[key] for key in keys)} of {len(keys)}"


def _compared(sets: dict[str, Any], one: str, other: str) -> str:
    first, second = _f1(sets, (one,)), _f1(sets, (other,))
    said = [f"{title} {_number(first[key])} and {_number(second[key])}" for key, title in SETS.items()]
    return f"{one} and {other} reach " + ", ".join(said)


def _largest(sets: dict[str, Any], row: str, keys: Sequence[str] = tuple(SETS)) -> str:
    return _number(max(max(sets[key]["rows"][row]["f1"]) for key in keys))


def _mean(sets: dict[str, Any], row: str) -> str:
    return _number(mean(value for key in SETS for value in sets[key]["rows"][row]["f1"]))


def _labelled(sets: dict[str, Any], row: str) -> str:
    said = []
    for key, title in SETS.items():
        rows = sets[key]["rows"]
        better = [n for n in (1, 3, 10) if _median(rows[f"{n} labelled"]["f1"]) > _median(rows[row]["f1"])]
        said.append(f"{better[0] if better else 'more than 10'} a type on {title}")
    return ", ".join(said)


def _few(sets: dict[str, Any]) -> str:
    """What one labelled cell and sentences come to."""
    if "1 labelled + 1" not in sets[next(iter(SETS))]["rows"]:
        return ""
    said = "; ".join(f"hand {hand} {_over_sets(sets, f'1 labelled + {hand}')}" for hand in "123")
    return (
        f"* One labelled cell of each type alone comes to {_over_sets(sets, '1 labelled')}, three to "
        f"{_over_sets(sets, '3 labelled')}; one of each with sentences to: {said}.\n"
    )


def _over_sets(sets: dict[str, Any], row: str) -> str:
    return ", ".join(_number(_median(sets[key]["rows"][row]["f1"])) for key in SETS)


def _median(values: Sequence[float]) -> float:
    return float(median(values))


def _number(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1) if value < 1 else f"{value:.2f}"


def _signed(value: float) -> str:
    return ("-" if value < 0 else "+") + _number(abs(value))
