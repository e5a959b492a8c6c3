"""``docs/explain.md``, of the numbers that `bench.explain` measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from bench.explain_cells import SETS
from bench.explain_prose import LIMITS, OPENING, RANKINGS, WAYS, WHAT
from bench.words_prose import wrapped

__all__ = ["PAGE", "RESULTS", "page"]

PAGE = Path(__file__).parents[1] / "docs" / "explain.md"
RESULTS = Path(__file__).parent / "results" / "explain.json"
_TITLES = {key: title for key, (title, _) in SETS.items()}
_KINDS = {"deletion": "taken out", "insertion": "put back"}
_DIRECTIONS = {"difference": "the group's difference", "classifier": "a classifier's row"}


def page(content: dict[str, Any]) -> str:
    """Render the whole page, ending with a line break."""
    sets = content["sets"]
    parts = [
        OPENING.format(headline=_headline(sets)),
        WHAT,
        LIMITS,
        _explained(sets),
        _markers(sets),
        _faithful(sets),
        _speed(content.get("speed")),
        _expected(content),
    ]
    return "\n\n".join(wrapped(part) for part in parts) + "\n"


def _headline(sets: dict[str, Any]) -> str:
    ours, test = (
        " and ".join(_number(_recall(of, row)) for of in sets.values()) for row in ("lexicell", "t-test")
    )
    exact, other = (
        " and ".join(
            _number(of["faithfulness"]["difference"]["deletion"][way]["area"]) for of in sets.values()
        )
        for way in ("exact", "t-test")
    )
    return (
        f"**It does not find markers better than plain differential expression**: of markers written down before, "
        f"the first 20 genes have {ours} ({_and(_TITLES.values())}), a t-test's {test}. What it tells is where "
        f"vectors come from: without the genes that it names, scores fall much further than without the t-test's "
        f"({exact} against {other} of the lead, below)."
    )


def _explained(sets: dict[str, Any]) -> str:
    parts = [
        """\
## PBMC3k and Baron

Top genes with their contributions, and what share of the score the first eight have; the gene sets (`go`) that
contribute most, sets that say the same as a stronger one left out. Genes in italics: p of texts, adjusted, below
.05. Cells without a label are left out."""
    ]
    for key, of in sets.items():
        found = of["groups"]
        lines = [f"| {_TITLES[key]} | score | first genes | of it | gene sets |", "|---|---|---|---|---|"]
        for group, row in found["by group"].items():
            genes = ", ".join(
                f"{_styled(gene, p)} {_number(value)}" for gene, value, _, p in row["genes"][:6]
            )
            of_sets = "; ".join(f"{name} {_number(value)}" for name, value, _ in row["sets"][:2])
            lines.append(
                f"| {group} ({row['cells']}) | {_number(row['score'])} | {genes} | {row['of score']:.0%} | {of_sets} |"
            )
        by, whole = found["by texts of first"]
        few = [group for group, row in found["by group"].items() if row["cells"] < 10]
        told = (
            f"{_TITLES[key]}: texts matter (p below .05) for {found['by texts']:,} of {found['tested']:,} tested pairs "
            f"of group and gene, and for {by} of the {whole} first ones; {found['pathways by texts']:,} of "
            f"{found['pathways']:,} pairs of group and set stand out."
        )
        if few:
            told += f" {_and(few)} have fewer than ten cells: their genes are those of a handful of cells."
        parts += ["\n".join(lines), told]
    parts.append(
        """\
![Dots: the genes that contribute most to each group of PBMC3k](images/explain-dots.png)

![Dots: the genes that contribute most to each group of Baron](images/explain-dots-baron.png)

![How the contributions add up to the score of NK cells](images/explain-sum.png)

![Gene sets of four groups of PBMC3k](images/explain-sets.png)

![How alike the groups of PBMC3k are](images/explain-groups.png)"""
    )
    return "\n\n".join(parts)


def _styled(gene: str, p: float | None) -> str:
    return f"*{gene}*" if p is not None and p < 0.05 else gene


def _recall(of: dict[str, Any], row: str) -> float:
    """Mean over groups of the mean over draws."""
    return float(mean(mean(values) for values in of["markers"]["recall"][row].values()))


def _markers(sets: dict[str, Any]) -> str:
    lines = [
        "| ranked by | "
        + " | ".join(f"{_TITLES[key]} ({len(of['groups']['by group'])} groups)" for key, of in sets.items())
        + " |",
        "|---|" + "---|" * len(sets),
    ]
    for row, name in RANKINGS.items():
        values = [_number(_recall(of, row)) for of in sets.values()]
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    return "\n\n".join([
        """\
## Does it find known markers?

Four to eight textbook markers of each group were written down before anything was looked at
(`bench/explain_markers.json`). Recall: the share of those with a text that is among the first 20 genes, mean over
groups. All rank the same genes (those with a text) of the same cells; scanpy's on log1p of counts per 10,000 by
score; shuffled and random rows are means of five draws, as long as the rows that they replace; genes of like
expression are drawn 200 times. Rows with * were added after a first look at the results.""",
        "\n".join(lines),
        _of_markers(sets),
        *(_marker_table(key, of["markers"]) for key, of in sets.items()),
    ])  # fmt: skip


def _of_markers(sets: dict[str, Any]) -> str:
    said = []
    for key, of in sets.items():
        better = [_versus(of, "lexicell", row) for row in ("t-test", "shares", "shuffled")]
        said.append(f"{_TITLES[key]} {better[0]} (t-test), {better[1]} (shares), {better[2]} (shuffled rows)")
    gains = ", ".join(
        f"{_TITLES[key]} {_signed(_recall(of, 'lexicell') - _recall(of, 'shuffled'))}"
        for key, of in sets.items()
    )
    less = ", ".join(
        f"{_TITLES[key]} {_signed(_recall(of, 'lexicell') - _recall(of, 't-test'))}"
        for key, of in sets.items()
    )
    plain = ", ".join(
        f"{_TITLES[key]} {_signed(_recall(of, 'lexicell') - _recall(of, 'shares'))}"
        for key, of in sets.items()
    )
    absent = ", ".join(
        f"{_TITLES[key]} {mean(group['absent'] for group in of['markers']['groups'].values()):.0f} of 20"
        for key, of in sets.items()
    )
    overlap = ", ".join(
        f"{_TITLES[key]} {mean(of['markers']['overlap with t-test'].values()):.0f} of 20"
        for key, of in sets.items()
    )
    return f"""\
* **Differential expression is better**: {less}. Groups where contributions find more / as many / fewer markers:
  {"; ".join(said)}. **For markers, use `rank_genes_groups`.**
* The old quantity, plain shares of weights, finds no fewer: contributions less shares {plain}. The texts do not help
  to find markers.
* **Most of it is no matter of texts**: with the rows of the table shuffled nearly as many are found (what texts add:
  {gains}), since a gene that a group expresses differently is itself part of the direction. `agreement` and p of
  texts are there to tell that apart.
* Of the first 20 genes, {absent} (mean of groups) are genes that the group has *less* of: right for the vector, and no
  markers. Left out, more markers are found, still fewer than by a t-test.
* Genes that are among the first 20 of the t-test, too: {overlap}."""


def _versus(of: dict[str, Any], one: str, other: str) -> str:
    pairs = [
        (mean(of["markers"]["recall"][one][group]), mean(of["markers"]["recall"][other][group]))
        for group in of["markers"]["groups"]
    ]
    counts = [sum(a > b for a, b in pairs), sum(a == b for a, b in pairs), sum(a < b for a, b in pairs)]
    return " / ".join(map(str, counts))


def _marker_table(key: str, of: dict[str, Any]) -> str:
    rows = ("lexicell", "present", "shares", "t-test", "wilcoxon", "shuffled")
    heads = ("contributions", "present *", "shares", "t-test", "Wilcoxon", "shuffled")
    lines = [
        f"| {_TITLES[key]} | " + " | ".join(heads) + " | found by contributions | missed |",
        "|---|" + "---|" * (len(rows) + 2),
    ]
    for group, told in of["groups"].items():
        values = [_number(mean(of["recall"][row][group])) for row in rows]
        found, missed = (", ".join(told[which]) or "none" for which in ("found", "missed"))
        lines.append(f"| {group} | " + " | ".join(values) + f" | {found} | {missed} |")
    return "\n".join(lines)


def _faithful(sets: dict[str, Any]) -> str:
    first = next(iter(sets.values()))["faithfulness"]
    if "IG from 0" not in first["difference"]["deletion"]:
        captum = f"Integrated gradients were not measured: {first['captum']}."
    else:
        captum = (
            f"Integrated gradients: captum {first['captum']}, {first['steps']} steps, by a pooling and normalising in "
            "torch whose scores are those of the package."
        )
    out = "; ".join(
        f"{_TITLES[key]} {of['faithfulness']['cells']:,} cells held out, less those of "
        f"{_and(of['faithfulness']['left out']) or 'no group'}"
        for key, of in sets.items()
    )
    parts = [
        f"""\
## Is it faithful?

Half of each group's cells, drawn once, give the directions, the group's ranked genes and baselines; the other half
is looked at ({out}: groups of fewer than ten cells). Each cell's genes are ranked, and the *counts* of the first
`j` = 1, 2, 5, 10, 20, 50 are set to 0; the cell is embedded anew by the kernel, so that its total changes and other
genes may move up among the 128 (**taken out**). Or all selected genes are set to 0, and the first `j` get their
counts back (**put back**). The score is `<unit vector, v>` with `v` the group's difference, or the row of a
logistic regression less the mean row. A change is told in *leads*: the mean score of the group's held-out cells less
that of all others. **Area** = trapezoids under the change (fall, or rise) over `j` from 0 to 50, divided by 50; mean
over cells, then groups; higher is better in both. 95 % intervals of 1,000 resamplings of cells within groups.
{captum}""",
        *(_areas(sets, direction) for direction in _DIRECTIONS),
        _curves(sets),
        _of_areas(sets),
    ]
    return "\n\n".join(parts)


def _areas(sets: dict[str, Any], direction: str) -> str:
    heads = [f"{_TITLES[key]}, {kind}" for key in sets for kind in _KINDS.values()]
    lines = [f"| {_DIRECTIONS[direction]} | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for way, name in WAYS.items():
        told = [of["faithfulness"][direction][kind].get(way) for of in sets.values() for kind in _KINDS]
        if None not in told:
            cells = [f"{_number(one['area'])} [{', '.join(map(_number, one['interval']))}]" for one in told]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _curves(sets: dict[str, Any]) -> str:
    heads = [f"{_TITLES[key]}, {kind}" for key in sets for kind in _KINDS.values()]
    lines = [
        "| mean change by 1, 2, 5, 10, 20, 50 genes | " + " | ".join(heads) + " |",
        "|---|" + "---|" * len(heads),
    ]
    for way, name in WAYS.items():
        told = [of["faithfulness"]["difference"][kind].get(way) for of in sets.values() for kind in _KINDS]
        if None not in told:
            cells = [" ".join(map(_number, one["curve"][1:])) for one in told]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _of_areas(sets: dict[str, Any]) -> str:
    first = next(iter(sets.values()))["faithfulness"]
    lines = [
        f"* Exact contributions less the t-test's order: {_less(sets, 't-test')}; less the weight alone: "
        f"{_less(sets, 'expression')}. Of course: the score is that of the vector, which the t-test does not know."
    ]
    if "IG from 0" in first["difference"]["deletion"]:
        alike = "; ".join(
            f"{_TITLES[key]} {_number(of['faithfulness']['difference']['alike']['exact, IG from 0'])} (from 0), "
            f"{_number(of['faithfulness']['difference']['alike']['exact, IG from the rest'])} (from the rest)"
            for key, of in sets.items()
        )
        same = min(
            of["faithfulness"][direction]["alike"]["IG from 0, gradient"]
            for of in sets.values() for direction in _DIRECTIONS
        )  # fmt: skip
        took = "; ".join(
            f"{_TITLES[key]} {1000 * (s := of['faithfulness']['difference']['seconds'])['exact']:.2f} ms a cell for exact "
            f"contributions, {1000 * s['gradient']:.2f} for gradients times weights, {1000 * s['IG from 0']:.1f} for "
            "integrated gradients"
            for key, of in sets.items()
        )
        lines += [
            f"* **Does it help to know the length?** Exact contributions less integrated gradients from 0: "
            f"{_less(sets, 'IG from 0')}. Before vectors are scaled to length 1 the score is linear in the shares of "
            "the weights, and exact contributions are what Shapley values would be of a sum. The length couples all "
            "genes. Gradients know that, and exact contributions do not.",
            "* A gene that lengthens a vector which already points to `v` adds little by it, and gradients say so: "
            "they put shared genes first that turn the vector. " + _verdict(sets),
            f"* Integrated gradients from 0 are gradient times weight here, in one step (rank correlation "
            f"{_number(same)}): a unit vector does not change as all weights grow alike, so the path says nothing, "
            "and their sum is 0 rather than the score. From the mean of the rest they sum to the difference of both "
            "scores, but part of it lies with genes that the cell does not have.",
            f"* Rank correlation with exact contributions, mean of cells: {alike}.",
            f"* Time: {took} (batches of a group, one thread; a captum call for each cell).",
        ]
    return "\n".join(lines)


def _verdict(sets: dict[str, Any]) -> str:
    """Whether a ranking that knows the length is better, where intervals say so."""
    told: dict[str, list[str]] = {"better": [], "worse": [], "alike": []}
    for key, of in sets.items():
        for direction in _DIRECTIONS:
            for kind, name in _KINDS.items():
                low, high = of["faithfulness"][direction][kind]["gradient"]["less than exact"]
                which = "better" if high < 0 else "worse" if low > 0 else "alike"
                told[which].append(f"{_TITLES[key]}, {direction}, {name}")
    near = [
        abs(curve["exact"]["curve"][3] - curve["gradient"]["curve"][3])
        for of in sets.values() for direction in _DIRECTIONS
        for curve in (of["faithfulness"][direction][kind] for kind in _KINDS)
    ]  # fmt: skip
    said = "; ".join(f"{which} in {len(of)} ({'; '.join(of)})" for which, of in told.items() if of)
    return f"With the length, of 8 areas: {said}. Over the first five genes both differ by at most {_number(max(near))}."


def _less(sets: dict[str, Any], way: str) -> str:
    """Difference of areas, and its interval."""
    said = []
    for key, of in sets.items():
        for kind, name in _KINDS.items():
            told = of["faithfulness"]["difference"][kind]
            value = told["exact"]["area"] - told[way]["area"]
            ends = " to ".join(map(_signed, told[way]["less than exact"]))
            said.append(f"{_TITLES[key]} {name} {_signed(value)} ({ends})")
    return ", ".join(said)


def _speed(found: dict[str, Any] | None) -> str:
    if found is None:
        return "## Speed\n\nNot measured here."
    by = {(row["cells"], row["way"]): row for row in found["rows"]}
    sizes = sorted({cells for cells, _ in by})
    lines = ["| | " + " | ".join(f"{n:,} cells" for n in sizes) + " |", "|---|" + "---|" * len(sizes)]
    names = {
        "embed": "`lexicell embed`",
        "explain none": "`explain --sets none`",
        "explain go": "`explain --sets go`",
    }
    for way, name in names.items():
        rows = [by[n, way] for n in sizes]
        cells = [f"{row['seconds']:.1f} s, {row['cells/s']:,} cells/s, {row['peak_mb']:,} MB" for row in rows]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    most = sizes[-1]
    shares = [
        by[most, way]["cells/s"] / by[most, "embed"]["cells/s"] for way in ("explain none", "explain go")
    ]
    met = "met" if min(shares) >= 1 / 3 else "met without sets only" if shares[0] >= 1 / 3 else "**not met**"
    kill, machine = found["kill"], found["machine"]
    loads = max(max(row["loads"]) for row in found["rows"] if "loads" in row)
    rounds = ", ".join(f"{by[n, 'embed']['rounds']} of {n:,}" for n in sizes)
    return "\n\n".join([
        f"""\
## Speed

Synthetic cells as deep as PBMC3k's, packed, with ten random labels; from disk to disk, each run a process of its own,
in turn; medians of rounds ({rounds}), largest peaks. {machine["cpus"]} CPUs, which others used, too: a load of up to {loads:.1f} as runs began.""",
        "\n".join(lines),
        f"""\
* Of a million cells, explaining has {shares[0]:.0%} of embedding's speed without sets and {shares[1]:.0%} with: that it be
  no less than a third is {met}.
* Peak memory grows by {by[most, "explain go"]["peak_mb"] - by[sizes[0], "explain go"]["peak_mb"]:,} MB from {sizes[0]:,} to {most:,} cells.
* Killed (`kill -9`) after {kill["killed_after"]:.1f} s and resumed, {_same(kill)} tables
  ({", ".join(name.removesuffix(".parquet") for name in kill["tables"])}) as a quiet run.""",
    ])  # fmt: skip


def _same(kill: dict[str, Any]) -> str:
    return "it writes the same bytes of all" if kill["same"] else "it does **not** write the same"


def _expected(content: dict[str, Any]) -> str:
    said = content["settings"]["predictions"]
    names = {"markers": "Markers", "faithfulness": "Faithfulness", "speed": "Speed"}
    quoted = "\n".join(f"* {name}: {said[part]}" for part, name in names.items())
    return "\n\n".join(
        [
            "## What was expected",
            "Written before anything was measured (`bench/explain_predictions.json`), and left as it was:",
            quoted,
            f"""\
All numbers are in `bench/results/explain.json`. Made by `python -m bench.explain --captum FOLDER`, where
`pip install --no-deps --target FOLDER captum` has been. Lexicon `{content["settings"]["lexicon"]}`.""",
        ]
    )


def _and(names: Sequence[str] | Any) -> str:
    *others, last = list(names) or [""]
    return f"{', '.join(others)} and {last}" if others else last


def _number(value: float) -> str:
    text = f"{value:.2f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and not text.endswith("1.00") else text


def _signed(value: float) -> str:
    return ("-" if value < 0 else "+") + _number(abs(value))
