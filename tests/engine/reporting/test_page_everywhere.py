"""The page on a phone, in the dark, on paper, without WebGL, without scripts; and with few and many cells."""

import re
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("jinja2")

from tests.engine.reporting import sample_page

from lexicell.reporting.content import Cells, Page
from lexicell.reporting.html import render

N = sample_page.N


def test_fingers_move_zoom_and_tap(open_page, path, island):
    look = open_page(path, 400, 800, has_touch=True, is_mobile=True)
    touch = look.page.context.new_cdp_session(look.page)

    def fingers(kind, *places):
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    left, top, width, height = look.box()
    x, y = left + width / 2, top + height / 2
    whole = look.state()["view"]["scale"]
    fingers("touchStart", (x - 20, y), (x + 20, y))
    fingers("touchMove", (x - 60, y), (x + 60, y))
    fingers("touchMove", (x - 80, y), (x + 80, y))
    fingers("touchEnd")
    assert look.state()["view"]["scale"] == pytest.approx(whole * 4, rel=0.1)
    before = look.position(int(island[0]))
    fingers("touchStart", (x, y))
    fingers("touchMove", (x + 30, y + 10))
    fingers("touchEnd")
    assert look.position(int(island[0])) == pytest.approx((before[0] + 30, before[1] + 10), abs=1.5)
    look.page.click("#lx-reset")
    look.page.touchscreen.tap(*look.position(int(island[0])))
    look.page.locator("#lx-tip").wait_for(state="visible")


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_window(open_page, path, width):
    look = open_page(path, width)
    look.page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    look.page.click("#lx-select-shown")
    look.page.get_by_role("checkbox", name=re.compile("^naive")).uncheck()
    look.page.locator("#lx-legend").get_by_role("button", name="Select the cells of memory").dispatch_event(
        "click"
    )
    look.idle()
    assert look.page.evaluate("document.documentElement.scrollWidth") == width


def test_dark_and_light_follow_the_system(open_page, path):
    look = open_page(path, color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert look.page.evaluate(paper) == "rgb(13, 17, 23)"
    dark = look.pixels()
    look.page.emulate_media(color_scheme="light")
    assert look.page.evaluate(paper) == "rgb(255, 255, 255)"
    assert look.pixels()[1:] != pytest.approx(dark[1:], abs=1)


def test_paper_has_the_map_and_all_that_was_folded(open_page, path):
    look = open_page(path, color_scheme="dark")
    folded = look.page.locator("details:not([open])").count()
    assert folded == 5
    look.page.evaluate(
        """window.addEventListener('beforeprint', () => {
          window.openOnPaper = document.querySelectorAll('details[open]').length;
        })"""
    )
    pdf = look.page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 50_000
    assert look.page.evaluate("window.openOnPaper") == folded + 1
    assert look.page.evaluate(
        """() => {
          const canvas = document.getElementById('lx-print');
          const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          return data.some((value) => value);
        }"""
    )
    assert look.page.locator("details:not([open])").count() == folded


def test_without_webgl_points_are_drawn_all_the_same(browser, open_page, path, island):
    original = browser.new_page

    def without(**options):
        page = original(**options)
        page.add_init_script(
            """const get = HTMLCanvasElement.prototype.getContext;
            HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
              return kind.startsWith('webgl') ? null : get.call(this, kind, ...rest);
            };"""
        )
        return page

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser, "new_page", without)
        look = open_page(path)
    assert look.page.locator("#lx-without").is_visible()
    before = look.pixels()[0]
    assert before > N
    look.page.get_by_role("checkbox", name=re.compile(f"^{sample_page.ISLAND}")).uncheck()
    assert look.pixels()[0] < before


def test_a_browser_that_is_too_old_says_so(browser, path):
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script("delete window.DecompressionStream")
    page.goto(path.as_uri())
    page.evaluate("lexicellReport.ready")
    assert page.get_by_text("too old to draw the map").is_visible()
    assert page.locator("#lx-cells").is_hidden()
    assert errors == []
    page.close()


def test_without_scripts_tables_can_be_read(browser, path):
    page = browser.new_page(java_script_enabled=False)
    page.goto(path.as_uri())
    # Text while scripts run, elements without them.
    assert "needs JavaScript" in page.locator("noscript p").text_content()
    assert page.get_by_role("cell", name="0.871").is_visible()
    assert page.locator("#lx-cells").is_hidden()
    assert page.locator("button:visible").count() == 0
    page.close()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_pages_with_hardly_a_cell(open_page, tmp_path, n):
    cells = Cells([f"cell {i}" for i in range(n)], np.zeros((n, 2), np.float32), "Nowhere.", n, ())
    path = tmp_path / "few.html"
    path.write_text(render(Page("Few", (), (), cells, (), "Today.")), encoding="utf-8")
    look = open_page(path)
    look.page.click("#lx-in")
    assert look.state()["shown"] == n


def test_fifty_thousand_cells_are_soon_there(open_page, tmp_path, record_property):
    path = tmp_path / "many.html"
    path.write_text(render(sample_page.sample(50_000)), encoding="utf-8")
    look = open_page(path)
    record_property("loaded_ms", look.loaded_ms)
    assert look.loaded_ms < 10_000
    assert look.pixels()[0] > 20_000


def test_every_control_has_a_name_and_headings_are_in_order(look):
    look.page.click("#lx-select-shown")
    look.page.select_option("#lx-colour", label="score")
    look.idle()
    assert (
        look.page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, summary')].filter((control) => {
          const said = control.getAttribute('aria-label') || control.textContent
            || [...control.labels ?? []].map((label) => label.textContent).join('');
          return !said.trim();
        }).map((control) => control.outerHTML)"""
        )
        == []
    )
    levels = look.page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].map((head) => +head.tagName[1])"
    )
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert (
        look.page.evaluate(
            """[...document.querySelectorAll('[id]')].map((element) => element.id)
              .filter((id, i, all) => all.indexOf(id) !== i)"""
        )
        == []
    )


def test_odd_labels_and_numbers_stay_apart(open_page, odd_path):
    look = open_page(odd_path)
    page = sample_page.odd()
    legend = look.legend()
    assert len(legend) == len(sample_page.ODD) + 1
    assert {"missing", "(missing)", "no value"} < legend.keys()
    codes = page.cells.columns[0].codes
    for code in range(len(sample_page.ODD)):
        look.page.locator("#odd summary").nth(code).click()
        look.page.locator("#odd [data-category]").nth(code).click()
        assert look.state()["selected"] == (codes == code).sum()
    for name, cell in (("outer", 0), ("two lines", None), ("twolines", 1)):
        look.page.fill("#lx-find", name)
        look.page.press("#lx-find", "Enter")
        look.idle()
        if cell is not None:
            look.page.wait_for_function(
                "(id) => document.getElementById('lx-tip').textContent.includes(id)",
                arg=page.cells.names[cell],
            )
    scale = look.page.locator("#lx-legend .scale")
    look.page.select_option("#lx-colour", label="large")
    look.idle()
    assert look.page.locator("#lx-legend .ends span").all_text_contents() == ["5", "1e+30"]
    look.page.select_option("#lx-colour", label="whole")
    look.idle()
    assert f"values reach from {sample_page.WHOLE:,}" in look.page.locator("#lx-legend").text_content()
    look.page.select_option("#lx-colour", label="nothing")
    look.idle()
    assert "no values" in look.page.locator("#lx-legend").text_content()
    assert scale.count() == 0
    look.page.select_option("#lx-colour", label="the same")
    look.idle()
    assert look.page.locator("#lx-legend .alone .name").text_content() == "7.5"
    assert scale.count() == 0


@pytest.mark.parametrize("width", [400, 1280])
def test_long_labels_leave_numbers_on_the_screen(open_page, odd_path, width):
    look = open_page(odd_path, width)
    codes = sample_page.odd().cells.columns[0].codes
    cell = int(np.flatnonzero(codes == sample_page.ODD.index(sample_page.LETTERS))[0])
    look.page.fill("#lx-find", sample_page.odd().cells.names[cell])
    look.page.press("#lx-find", "Enter")
    tip = look.page.locator("#lx-tip")
    tip.wait_for(state="visible")
    left, top, wide, high = look.box()
    inside = tip.bounding_box()
    assert left <= inside["x"]
    assert top <= inside["y"]
    assert inside["x"] + inside["width"] <= left + wide
    assert inside["y"] + inside["height"] <= top + high
    look.page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    look.idle()
    assert look.page.evaluate("document.documentElement.scrollWidth") == width
    number = look.page.get_by_role("cell", name="1,234").first.bounding_box()
    assert number["x"] + number["width"] <= width
    assert number["height"] < 400
    for count in look.page.locator("#lx-legend .count").all():
        box = count.bounding_box()
        assert box["x"] + box["width"] <= width
    # A symbol is never broken: each is in one line.
    assert look.page.evaluate(
        """() => [...document.querySelectorAll('#odd td.text bdi')].every((cell) => {
          const text = cell.firstChild, range = document.createRange();
          return [...text.data.matchAll(/[A-Z0-9]+/g)].every((match) => {
            range.setStart(text, match.index);
            range.setEnd(text, match.index + match[0].length);
            return range.getClientRects().length === 1;
          });
        })"""
    )


def test_commands_wrap_on_paper(open_page, odd_path):
    look = open_page(odd_path)
    look.page.emulate_media(media="print")
    assert look.page.evaluate(
        """() => [...document.querySelectorAll('pre')].every((box) =>
          getComputedStyle(box).whiteSpace === 'pre-wrap' && box.scrollWidth <= box.clientWidth + 1)"""
    )
