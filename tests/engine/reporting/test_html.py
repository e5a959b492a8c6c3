"""The page without a browser: what it holds, and that no text gets out of its place."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("jinja2")

from tests.engine.reporting import sample_page

from lexicell.reporting.content import Cells, Page, Table, TableColumn
from lexicell.reporting.html import _lengths, _shade, render


class Elements(HTMLParser):
    """Tags, attributes, and text of scripts."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.scripts, self.open = [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.open = dict(attrs)
            self.scripts.append((self.open, ""))

    def handle_endtag(self, tag):
        if tag == "script":
            self.open = None

    def handle_data(self, data):
        if self.open is not None:
            self.scripts[-1] = (self.open, self.scripts[-1][1] + data)


@pytest.fixture(scope="module")
def page():
    return sample_page.sample(400, genes=12)


@pytest.fixture(scope="module")
def html(page):
    return render(page)


@pytest.fixture(scope="module")
def elements(html):
    return Elements(html)


@pytest.fixture(scope="module")
def meta(elements):
    return json.loads(next(text for attrs, text in elements.scripts if attrs.get("id") == "lx-meta"))


@pytest.fixture(scope="module")
def unpack(elements):
    texts = {attrs["id"]: text for attrs, text in elements.scripts if "id" in attrs}

    def bytes_of(place):
        return zlib.decompress(base64.b64decode(texts[f"lx-block-{place}"]), -zlib.MAX_WBITS)

    def numbers(place, dtype):
        planes = np.frombuffer(bytes_of(place), "u1").reshape(np.dtype(dtype).itemsize, -1)
        return np.ascontiguousarray(planes.T).reshape(-1).view(dtype)

    numbers.bytes_of = bytes_of
    return numbers


def test_text_of_data_stays_text(elements, html):
    wanted = {sample_page.HOSTILE, sample_page.IMAGE, sample_page.ENDS}
    assert not [
        tag
        for tag, attrs in elements.tags
        if tag in {"img", "b"} or any(name.startswith("on") for name in attrs)
    ]
    assert not [text for attrs, text in elements.scripts if text == "alert(1)"]
    assert not any(text in html for text in wanted)


def test_only_our_scripts_run(elements):
    policy = next(
        attrs["content"]
        for tag, attrs in elements.tags
        if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    running = [text for attrs, text in elements.scripts if "type" not in attrs]
    assert len(running) == 6
    for text in running:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


def test_nothing_is_loaded(elements):
    for tag, attrs in elements.tags:
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            assert attrs.get(name, "#").startswith(("#", "data:")), (tag, attrs)
    css = re.search("<style>(.*?)</style>", render(sample_page.sample(20)), re.DOTALL)[1]
    assert "url(" not in css
    assert "@import" not in css


def test_vendored_files_are_those_of_the_notice():
    folder = sample_page.ASSETS / "vendor"
    notice = (folder / "NOTICE.md").read_text()
    scripts = sorted(folder.glob("*.js"))
    assert len(scripts) == 3
    for path in scripts:
        assert f"`{path.name}`" in notice
        assert hashlib.sha256(path.read_bytes()).hexdigest() in notice
        assert "</script" not in path.read_text().lower()


def test_columns_come_back(page, meta, unpack):
    cells = page.cells
    for column, told in zip(cells.columns, meta["columns"], strict=True):
        values = unpack(told["block"], told["type"])
        if told["kind"] == "numbers":
            np.testing.assert_array_equal(values, column.values)
        else:
            np.testing.assert_array_equal(values.astype(int) - 256 * (values == 255), column.codes)
            assert told["names"] == list(column.names)
            assert told["totals"] == list(column.totals)
    assert json.loads(unpack.bytes_of(meta["names"])) == list(cells.names)
    assert meta["columns"][meta["group"]]["name"] == cells.group


def test_more_categories_than_a_byte_holds_come_back():
    names = tuple(map(str, range(300)))
    page = sample_page.sample(300, genes=0)
    column = sample_page.categories("many", "obs", names, np.arange(300) - 1)
    html = render(replace(page, cells=replace(page.cells, columns=(column,), group="")))
    parsed = Elements(html)
    told = json.loads(next(text for attrs, text in parsed.scripts if attrs.get("id") == "lx-meta"))
    assert told["columns"][0]["type"] == "i2"
    assert told["group"] == -1
    assert told["genes"] is None


def test_positions_come_back_within_a_step(page, meta, unpack):
    steps = unpack(meta["positions"], "u2").reshape(2, -1).T
    positions = (steps / 65535 * 2 - 1) * meta["extent"]
    wanted = page.cells.positions.astype(float)
    middle, half = (wanted.max(0) + wanted.min(0)) / 2, (wanted.max(0) - wanted.min(0)).max() / 2
    np.testing.assert_allclose(positions, (wanted - middle) / half, atol=2 / 65535)


def test_contributions_come_back_within_half_a_step_and_nothing_stays_nothing(page, meta, unpack):
    genes = page.cells.genes
    for place, scale, wanted in zip(
        meta["genes"]["blocks"], meta["genes"]["scales"], genes.contributions, strict=True
    ):
        steps = unpack(place, meta["genes"]["type"]).astype(float)
        step = np.sqrt(np.abs(wanted).max()) / 4095
        np.testing.assert_allclose(
            np.sqrt(np.abs(steps) * np.abs(steps) * scale), np.sqrt(np.abs(wanted)), atol=step
        )
        np.testing.assert_array_equal(np.sign(steps), np.sign(wanted))
        np.testing.assert_allclose(np.sign(steps) * steps**2 * scale, wanted, rtol=0.02, atol=1e-5)
    top = unpack(meta["genes"]["top"], "u2").reshape(genes.top.shape[::-1]).T
    steps = unpack(meta["genes"]["topSteps"], "i2").reshape(genes.top.shape[::-1]).T
    np.testing.assert_array_equal(top, genes.top)
    np.testing.assert_array_equal(steps == 0, genes.top_contributions == 0)
    np.testing.assert_allclose(steps * meta["genes"]["topScale"], genes.top_contributions, atol=2e-5)


def parts(page):
    """What the scripts read of a page, and what unpacks a block of one plane."""
    texts = {attrs["id"]: text for attrs, text in Elements(render(page)).scripts if "id" in attrs}

    def numbers(place, dtype):
        packed = base64.b64decode(texts[f"lx-block-{place}"])
        planes = np.frombuffer(zlib.decompress(packed, -zlib.MAX_WBITS), "u1")
        return np.ascontiguousarray(planes.reshape(np.dtype(dtype).itemsize, -1).T).reshape(-1).view(dtype)

    return json.loads(texts["lx-meta"]), numbers


def test_with_one_byte_for_a_contribution_nothing_becomes_none_and_ten_percent_are_told_apart(monkeypatch):
    monkeypatch.setattr("lexicell.reporting.html._FEW", 10)
    page = sample_page.sample(400, genes=12)
    meta, numbers = parts(page)
    assert meta["genes"]["type"] == "i1"
    for place, scale, wanted in zip(
        meta["genes"]["blocks"], meta["genes"]["scales"], page.cells.genes.contributions, strict=True
    ):
        steps = numbers(place, "i1").astype(float)
        np.testing.assert_array_equal(np.sign(steps), np.sign(wanted))
        large = np.abs(wanted) > np.abs(wanted).max() / 25
        np.testing.assert_allclose((np.sign(steps) * steps**2 * scale)[large], wanted[large], rtol=0.05)


def test_exact_contributions_are_only_taken_for_the_gene_that_they_are_of():
    page = sample_page.sample(400, genes=12)
    genes = page.cells.genes
    assert parts(page)[0]["genes"]["places"] == list(range(12))
    twice = replace(genes, all_names=("GENE1", *genes.all_names[1:]))
    other = replace(genes, all_names=(*genes.all_names[1:], "GENE0"))
    for told, places in ((twice, [-1, -1, *range(2, 12)]), (other, [-1] * 12)):
        meta, _ = parts(replace(page, cells=replace(page.cells, genes=told)))
        assert meta["genes"]["places"] == places


def test_whole_numbers_that_float32_does_not_hold_come_back():
    page = sample_page.odd(50)
    meta, numbers = parts(page)
    told = next(column for column in meta["columns"] if column["name"] == "whole")
    assert told["type"] == "f8"
    np.testing.assert_array_equal(numbers(told["block"], "f8"), sample_page.WHOLE + np.arange(50))


def test_halves_of_characters_can_be_written():
    page = sample_page.odd(50)
    html = render(replace(page, title="\udc80 title", made="\ud83d\ude00"))
    assert "\ufffd title" in html
    html.encode()
    assert json.loads(re.search('id="lx-meta">(.*?)</script>', html, re.DOTALL)[1])["columns"][0]["names"][
        -1
    ] == ("\ufffd half")


def test_a_sentence_about_positions_ends_before_that_about_the_sample():
    html = render(sample_page.odd(50))
    assert (
        "as the data have it. These are a sample of 50 of 200 cells, in which small groups have more than "
        "their share."
    ) in html


def test_names_keep_their_direction_and_break_after_underscores():
    html = render(sample_page.odd(50))
    assert f"<bdi>{sample_page.TURNED}</bdi></th>" in html
    assert "<bdi>lexicell_<wbr>coverage_<wbr>of_<wbr>all_<wbr>genes</bdi></summary>" in html
    assert f'<bdi class="long" title="{sample_page.LETTERS}">' in html


def test_what_does_not_use_a_gene_is_not_as_grey_as_what_is_missing():
    text = (sample_page.ASSETS / "colours.js").read_text()

    def colour(code):
        return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)])

    for theme in ("light", "dark"):
        missing = colour(re.search(rf"MISSING = {{.*{theme}: '(#\w+)'", text)[1])
        for name, place in (("SIGNED", 3), ("RISING", 0)):
            block = re.search(rf"const {name} = {{(.*?)}};", text, re.DOTALL)[1]
            stops = re.findall(r"#\w+", re.search(rf"{theme}: \[(.*?)\]", block, re.DOTALL)[1])
            zero = colour(stops[place])
            assert np.abs(zero - missing).max() > 25
            assert np.ptp(zero) > 20  # a colour, where what is missing is grey
        assert np.ptp(missing) < 10


@pytest.mark.slow
@pytest.mark.parametrize("genes", [128, 72])
def test_a_page_of_fifty_thousand_cells_is_below_ten_megabytes(genes):
    assert len(render(sample_page.sample(50_000, columns=40, genes=genes)).encode()) < 10e6


@pytest.mark.parametrize("n", [0, 1])
def test_pages_with_hardly_a_cell(n):
    cells = Cells(["a"] * n, np.zeros((n, 2), np.float32), "Nowhere.", n, ())
    html = render(Page("Few", (), (), cells, (), "Today."))
    assert f'"n":{n},' in html


def test_bars_end_at_the_largest_or_at_what_is_full():
    rows = ((0.5,), (-1.0,), (None,), (float("nan"),))
    assert _lengths(rows, TableColumn("x", "signed"), 0) == {0: "50", 1: "100"}
    assert _lengths(rows, TableColumn("x", "signed", full=2.0), 0) == {0: "25", 1: "50"}


def test_a_table_has_a_caption_heads_and_grey_rows(page):
    table = Table(
        "What it shows",
        (TableColumn("name"), TableColumn("score", "bar", ".2f")),
        (("a", 1.0), ("b", None)),
        faint=frozenset({1}),
    )
    html = render(replace(page, after=(replace(page.after[0], blocks=(table,)),)))
    assert "<caption>What it shows</caption>" in html
    assert '<th scope="row" class="text"><bdi>a</bdi></th>' in html
    assert '<tr class="faint">' in html
    assert "<span>1.00</span>" in html


@pytest.mark.parametrize("value", np.linspace(-1, 1, 41))
def test_numbers_on_colours_can_be_read(value):
    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ (
            0.2126,
            0.7152,
            0.0722,
        )

    _, paper, ink = _shade(value)
    low, high = sorted((luminance(paper), luminance(ink)))
    assert (high + 0.05) / (low + 0.05) >= 4.5
