"""``docs/explain.md``, of the numbers that `studies.explain` measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studies.explain.cells import TITLES
from studies.explain.prose import EXPLAINED, LIMITS, OPENING, PICTURES, SPEED, WHAT
from studies.explain.tables import faithful, markers, recall
from studies.markdown import joined, number, table, wrapped

__all__ = ["PAGE", "RESULTS", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"
RESULTS = Path(__file__).with_name("results.json")


def page(content: dict[str, Any]) -> str:
    """Render the whole page, ending with a line break."""
    sets = content["sets"]
    parts = [
        OPENING.format(headline=_headline(sets)),
        WHAT,
        LIMITS,
        _explained(sets),
        markers(sets),
        faithful(sets),
        _speed(content["speed"]) if "speed" in content else "## Speed\n\nNot measured here.",
        _expected(content),
    ]
    return "\n\n".join(wrapped(part) for part in parts) + "\n"


def _headline(sets: dict[str, Any]) -> str:
    ours, test = (joined(number(recall(of, row)) for of in sets.values()) for row in ("lexicell", "t-test"))
    exact, other = (
        joined(number(of["faithfulness"]["difference"]["deletion"][way]["area"]) for of in sets.values())
        for way in ("exact", "t-test")
    )
    return (
        "**It is no better way to find markers than differential expression, but a worse one**: of "
        "markers that "
        f"were written down before, its first 20 genes have {ours} ({joined(TITLES.values())}), those of a "
        f"t-test {test}. What it tells is where vectors come from: as the genes that it names are taken "
        "out of the "
        f"counts, scores fall further than without those of the t-test ({exact} against {other} of the "
        "lead, in "
        "the mean over 50 genes)."
    )


def _explained(sets: dict[str, Any]) -> str:
    parts = [EXPLAINED]
    for key, of in sets.items():
        found = of["groups"]
        rows = [
            [
                f"{group} ({row['cells']})",
                number(row["score"]),
                ", ".join(f"{_styled(gene, p)} {number(value)}" for gene, value, _, p in row["genes"][:6]),
                f"{row['of score']:.0%}",
                "; ".join(f"{name} {number(value)}" for name, value, _ in row["sets"][:2]),
            ]
            for group, row in found["by group"].items()
        ]
        heads = [TITLES[key], "score", "first genes", "eight have", "gene sets"]
        told = f"{TITLES[key]}: {_below(found)}."
        if few := [group for group, row in found["by group"].items() if row["cells"] < 10]:
            told += f" The genes of {joined(few)} are those of fewer than ten cells each."
        parts += [table(heads, rows), told]
    return "\n\n".join([*parts, PICTURES])


def _below(found: dict[str, Any]) -> str:
    """How many genes and sets have a small p."""
    of = found["small p"]
    genes, first, sets = ("{:,} of {:,}".format(*of[which]) for which in ("genes", "first genes", "sets"))
    return (
        f"texts matter for {genes} tested pairs of group and gene (of the first 20 of each group, "
        f"{first}), and "
        f"{sets} pairs of group and set stand out"
    )


def _styled(gene: str, p: float | None) -> str:
    return f"*{gene}*" if p is not None and p < 0.05 else gene


def _speed(found: dict[str, Any]) -> str:
    by = {(row["cells"], row["way"]): row for row in found["rows"]}
    sizes = sorted({cells for cells, _ in by})
    ways = {
        "embed": "`lexicell embed`",
        "explain none": "`explain --sets none`",
        "explain go": "`explain --sets go`",
    }
    rows = [
        [
            name,
            *("{seconds:.1f} s, {cells/s:,} cells/s, {peak_mb:,} MB".format_map(by[n, way]) for n in sizes),
        ]
        for way, name in ways.items()
    ]
    least, most = sizes[0], sizes[-1]
    shares = {
        n: [by[n, way]["cells/s"] / by[n, "embed"]["cells/s"] for way in ("explain none", "explain go")]
        for n in sizes
    }
    bare, whole = shares[most]
    wish = "met" if whole >= 1 / 3 else "met without sets only" if bare >= 1 / 3 else "**not met**"
    fewer = "; ".join(f"of {n:,} cells {a:.0%} and {b:.0%}" for n, (a, b) in shares.items() if n != most)
    extra = [by[n, "explain go"]["seconds"] - by[n, "explain none"]["seconds"] for n in sizes]
    kill = found["kill"]
    grown = by[most, "explain go"]["peak_mb"] - by[least, "explain go"]["peak_mb"]
    names = ", ".join(name.removesuffix(".parquet") for name in kill["tables"])
    end = "the same bytes in all tables" if kill["same"] else "**other bytes in a table**"
    loads = [load for row in found["rows"] for load in row.get("loads", ())]
    said = f"""\
* Of {most:,} cells, explaining has {bare:.0%} of embedding's cells/s without sets and {whole:.0%} with. The
  wish of a third is {wish}. Fewer cells take longer each ({fewer}): sets take up to
  {max(extra):.0f} s more, which grow with the genes in use and not with the cells.
* Peak memory grows by {grown:,} MB from {least:,} to {most:,} cells.
* Killed (`kill -9`) after {kill["killed_after"]:.1f} s and resumed in {kill["resumed_in"]:.1f} s, it has
  {end} ({names}) as a quiet run."""
    opening = SPEED.format(
        rounds=joined(f"{by[n, 'embed']['rounds']} of {n:,} cells" for n in sizes),
        cpus=found["machine"]["cpus"],
        least=min(loads),
        most=max(loads),
    )
    return "\n\n".join([opening, table(["", *(f"{n:,} cells" for n in sizes)], rows), said])


def _expected(content: dict[str, Any]) -> str:
    names = {"markers": "Markers", "faithfulness": "Faithfulness", "speed": "Speed"}
    said = content["settings"]["predictions"]
    quoted = "\n".join(f"* {name}: {said[part]}" for part, name in names.items())
    return f"""\
## What was expected

Written before anything was measured (`studies/explain/predictions.json`), and left as it was:

{quoted}

All numbers are in `studies/explain/results.json`. Made by `python -m studies.explain --captum FOLDER`, after
`pip install --no-deps --target FOLDER captum`. Lexicon `{content["settings"]["lexicon"]}`."""
