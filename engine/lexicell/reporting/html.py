"""A page as HTML: one file that holds its styles, scripts and cells, and asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import needing
from lexicell.pl.style import ACCENT, OURS
from lexicell.reporting.content import Categories, Cells, Genes, Matrix, Numbers, Page, TableColumn

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["render"]

#: The libraries come first; each of our own files only uses what is above it when it is read.
_LIBRARIES = (
    "before.js",
    "vendor/regl.min.js",
    "vendor/pub-sub-es.iife.js",
    "vendor/regl-scatterplot.min.js",
    "after.js",
)
_SCRIPTS = (
    "data.js", "colours.js", "state.js", "view.js", "gl.js", "flat.js", "hover.js", "labels.js", "pointer.js",
    "legend.js", "chooser.js", "compare.js", "selection.js", "document.js", "main.js",
)  # fmt: skip

#: From -1 to 1, as in the package's pictures.
_AROUND_ZERO = ("#7a2e00", ACCENT, "#f3b98f", "#f2f3f4", "#9fc3de", OURS, "#10305c")
#: Code of cells without a category, where a byte holds the codes.
_NONE = 255
#: Steps from 0 to a gene's largest contribution, in square roots: what is little needs digits too. Two bytes
#: hold them on pages of so many contributions that are not 0, one byte on larger ones.
_FINE, _COARSE = 4095, 127
_FEW = 1_500_000
#: Texts of more letters are cut where they are shown.
_LONG = 160
#: Halves of characters, as broken files have them: UTF-8 has no place for these.
_HALVES = re.compile("[\ud800-\udfff]")

_Json: TypeAlias = dict[str, Any]


def render(page: Page) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    page
        What it says. Names of cells, columns and categories may be any text: they are shown as text.

    Returns
    -------
    One document; about 60 bytes a cell, and more with many columns and genes.

    Raises
    ------
    MissingExtraError
        Without the ``report`` extra.
    """
    with needing("report", "A report"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup

    blocks: list[str] = []
    meta = _cells(page.cells, blocks)
    libraries = map(_asset, _LIBRARIES)
    own = "\n".join(_asset(name) for name in _SCRIPTS)
    scripts = [*libraries, f"(() => {{\n'use strict';\n{own}\n}})();\n"]
    environment = Environment(
        loader=PackageLoader("lexicell.reporting", "page"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "kind": lambda block: type(block).__name__,
        "number": _number,
        "lengths": _lengths,
        "heat": _heat,
        "named": _named,
    }
    html = environment.get_template("page.html.j2").render(
        page=page,
        selectable=_selectable(page.cells),
        css=Markup(_asset("page.css")),  # noqa: S704 - our own file
        meta=_json(meta),
        blocks=[Markup(block) for block in blocks],  # noqa: S704 - base64
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files and the libraries
        notice=_asset("vendor/NOTICE.md"),
        policy=_policy(scripts),
    )
    return _whole(html)


def _asset(name: str) -> str:
    """Return a file of the page."""
    return files("lexicell.reporting").joinpath("page", *name.split("/")).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    """Return a Content-Security-Policy: nothing is loaded, and only `scripts` run.

    regl makes functions from text, hence 'unsafe-eval'; lengths of bars are style attributes, hence
    'unsafe-inline' for styles, which can't load anything either.
    """
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _json(value: _Json) -> Markup:
    """Return JSON that no text in it can end the script element of."""
    from markupsafe import Markup

    text = _whole(json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _whole(text: str) -> str:
    """Return text that can be written as UTF-8."""
    return _HALVES.sub("\ufffd", text)


def _named(text: str) -> Markup:
    """Return a name as HTML: its direction of writing stays its own, and it may break after "_"."""
    from markupsafe import Markup, escape

    shown = escape(text).replace("_", Markup("_<wbr>"))
    if len(text) <= _LONG:
        return Markup("<bdi>{}</bdi>").format(shown)
    return Markup('<bdi class="long" title="{}">{}</bdi>').format(text, shown)


# Cells


def _cells(cells: Cells, blocks: list[str]) -> _Json:
    """Return what the scripts read of `cells`; appends their packed columns to `blocks`."""
    add = partial(_add, blocks)
    low, high = (
        (cells.positions.min(axis=0), cells.positions.max(axis=0)) if len(cells.names) else (np.zeros(2),) * 2
    )
    span = (high - low).astype(np.float64)
    steps = np.rint((cells.positions - low) / np.where(span > 0, span, 1) * 65535).astype("<u2")
    most = float(span.max()) or 1.0
    column_at = next((i for i, column in enumerate(cells.columns) if column.name == cells.group), -1)
    return {
        "n": len(cells.names),
        "total": cells.total,
        "layout": cells.layout,
        "extent": [float(part) / most for part in span],
        "positions": add(steps.T),
        "names": _add_text(blocks, list(map(str, cells.names))),
        "columns": [_column(column, add) for column in cells.columns],
        "group": column_at if cells.group else -1,
        "genes": None if cells.genes is None else _genes(cells.genes, add),
    }


def _column(column: Categories | Numbers, add: partial[int]) -> _Json:
    """Return what the scripts read of a column."""
    common = {"name": column.name, "origin": column.origin, "note": column.note}
    if isinstance(column, Numbers):
        kind = "f8" if column.values.dtype.itemsize > 4 else "f4"
        numbers = np.where(np.isfinite(column.values), column.values, np.nan).astype(f"<{kind}")
        return common | {"kind": "numbers", "type": kind, "block": add(numbers)}
    small = len(column.names) <= _NONE
    codes = (
        np.where(column.codes < 0, _NONE, column.codes).astype("u1") if small else column.codes.astype("<i2")
    )
    return common | {
        "kind": "categories",
        "type": "u1" if small else "i2",
        "block": add(codes),
        "names": list(column.names),
        "totals": list(map(int, column.totals)),
        "colours": list(column.colours),
    }


def _genes(genes: Genes, add: partial[int]) -> _Json:
    """Return what the scripts read of genes: a block and a scale for each, since most are never looked at."""
    scales, places = [], []
    fine = int(np.count_nonzero(genes.contributions)) <= _FEW
    full, kind = (_FINE, "i2") if fine else (_COARSE, "i1")
    for row in genes.contributions:
        most = float(np.abs(row).max(initial=0.0)) or 1.0
        scales.append(most / full**2)
        steps = np.sign(row) * np.rint(np.sqrt(np.abs(row) / most) * full).clip(1)
        places.append(add(steps.astype(f"<{kind}")))
    most = float(np.abs(genes.top_contributions).max(initial=0.0))
    scale = most / 32767 or 1.0
    steps = np.rint(genes.top_contributions / scale)
    # What is 0 is none: what is little must not become 0.
    steps = np.where(steps == 0, np.sign(genes.top_contributions), steps)
    return {
        "names": list(genes.names),
        "note": genes.note,
        "type": kind,
        "scales": scales,
        "blocks": places,
        "places": _places(genes),
        "allNames": list(genes.all_names),
        "top": add(genes.top.T.astype("<u2")),
        "topSteps": add(steps.T.astype("<i2")),
        "topScale": scale,
        "topCount": int(genes.top.shape[1]),
    }


def _places(genes: Genes) -> list[int]:
    """Return where `all_names` has each gene, so that what is exact there is shown; -1 for nowhere.

    Several genes can have one symbol: whether it is the same gene is told by its values.
    """
    where: dict[str, int] = {}
    for place, name in enumerate(genes.all_names):
        where[name] = -1 if name in where else place
    count = genes.top.shape[1]
    told, amounts = genes.top.reshape(-1), genes.top_contributions.reshape(-1)
    order = np.argsort(told, kind="stable")
    starts = np.searchsorted(told[order], np.arange(len(genes.all_names) + 1))
    places = []
    for name, row in zip(genes.names, genes.contributions, strict=True):
        place = where.get(name, -1)
        if place >= 0:
            at = order[starts[place] : starts[place + 1]]
            at = at[amounts[at] != 0]
            place = place if np.allclose(row[at // count], amounts[at], rtol=1e-3, atol=1e-6) else -1
        places.append(place)
    return places


def _add(blocks: list[str], values: NDArray[np.generic]) -> int:
    """Append a packed array; return its place. First bytes of numbers together compress better."""
    width = values.dtype.itemsize
    planes = np.ascontiguousarray(np.ascontiguousarray(values).reshape(-1).view("u1").reshape(-1, width).T)
    blocks.append(_pack(planes.tobytes()))
    return len(blocks) - 1


def _add_text(blocks: list[str], texts: list[str]) -> int:
    """Append packed texts; return their place."""
    blocks.append(_pack(_whole(json.dumps(texts, separators=(",", ":"), ensure_ascii=False)).encode()))
    return len(blocks) - 1


def _pack(data: bytes) -> str:
    """Return bytes deflated, without a header, as the browser's 'deflate-raw', and in base64."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(deflate.compress(data) + deflate.flush()).decode()


def _selectable(cells: Cells) -> Mapping[str, int]:
    """Return numbers of categories whose cells a button can select: attributes do not keep every name."""
    group = next((column for column in cells.columns if column.name == cells.group), None)
    names = group.names if cells.group and isinstance(group, Categories) else ()
    return {name: code for code, name in enumerate(names)}


# Tables


def _number(value: float | str | None, column: TableColumn) -> str:
    """Return a value of a table as text."""
    if value is None or isinstance(value, str):
        return value or ""
    return "" if value != value else format(value, column.form)  # noqa: PLR0124 - NaN


def _lengths(
    rows: Sequence[Sequence[str | float | None]], column: TableColumn, place: int
) -> Mapping[int, str]:
    """Return lengths of a column's bars by rows, in percent."""
    values = {}
    for i, row in enumerate(rows):
        value = row[place]
        if value is not None and not isinstance(value, str) and math.isfinite(value):
            values[i] = float(value)
    full = column.full or max(map(abs, values.values()), default=0.0) or 1.0
    return {i: f"{min(abs(value) / full, 1) * 100:.4g}" for i, value in values.items()}


def _heat(matrix: Matrix) -> list[list[tuple[str, str, str]]]:
    """Return text, colour and colour of the text of a matrix's numbers."""
    return [
        [("", "transparent", "inherit") if np.isnan(value) else _shade(float(value)) for value in row]
        for row in matrix.values
    ]


def _shade(value: float) -> tuple[str, str, str]:
    """Return text, colour and readable ink of a number from -1 to 1."""
    stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in _AROUND_ZERO], float)
    at = np.linspace(-1, 1, len(stops))
    parts = np.rint([np.interp(value, at, stops[:, i]) for i in range(3)])
    linear = np.where(parts / 255 <= 0.04045, parts / 255 / 12.92, ((parts / 255 + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    # Where black and white are as readable, both have a contrast of 4.58.
    ink = "#000000" if luminance > 0.179 else "#ffffff"
    return f"{round(value, 2) + 0.0:.2f}", "#" + "".join(f"{int(part):02x}" for part in parts), ink
