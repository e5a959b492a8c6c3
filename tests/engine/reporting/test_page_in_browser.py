"""The page in a real browser: what a person does with it, by mouse, finger and keys."""

import re

import numpy as np
import pytest

pytest.importorskip("jinja2")

from tests.engine.reporting import sample_page

from lexicell.reporting.content import Cells, Page
from lexicell.reporting.html import render

N = 3000


@pytest.fixture(scope="module")
def sample():
    return sample_page.sample(N)


@pytest.fixture(scope="module")
def path(sample, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(sample), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def island(sample):
    """Numbers of the cells that lie alone."""
    return np.flatnonzero(sample.cells.columns[0].codes == sample_page.TYPES.index(sample_page.ISLAND))


@pytest.fixture
def look(open_page, path):
    return open_page(path)


def around(look, sample, cells):
    """Corners of a box on the screen around cells."""
    at = sample.cells.positions[cells]
    ends = [cells[i] for i in (at[:, 0].argmin(), at[:, 0].argmax(), at[:, 1].argmax(), at[:, 1].argmin())]
    left, right, top, low = (look.position(int(cell)) for cell in ends)
    x0, x1, y0, y1 = left[0] - 6, right[0] + 6, top[1] - 6, low[1] + 6
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]


def test_points_are_drawn_where_they_are(look, island):
    count, *_ = look.pixels()
    assert count > N
    x, y = look.position(int(island[0]))
    alpha = look.page.evaluate(
        """([x, y]) => {
          const canvas = document.getElementById('lx-canvas'), context = canvas.getContext('2d');
          const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
          return context.getImageData((x - box.left) * ratio, (y - box.top) * ratio, 1, 1).data[3];
        }""",
        [x, y],
    )
    assert alpha > 128


def test_a_cell_below_the_mouse_tells_its_id_its_group_and_its_genes(look, sample, island):
    cell = int(island[3])
    look.page.mouse.move(*look.position(cell))
    tip = look.page.locator("#lx-tip")
    tip.wait_for(state="visible")
    hovered = look.state()["hovered"]
    told = tip.text_content()
    assert sample.cells.names[hovered] in told
    assert sample_page.ISLAND in told
    assert f"{sample_page.MARKER}0.400" in told
    look.page.mouse.move(*look.box()[:2])
    tip.wait_for(state="hidden")


def test_the_wheel_zooms_at_the_mouse(look, island):
    before = look.position(int(island[0]))
    look.page.mouse.move(*before)
    look.page.mouse.wheel(0, -300)
    state = look.state()
    assert look.position(int(island[0])) == pytest.approx(before, abs=1.5)
    look.page.click("#lx-reset")
    assert look.state()["view"]["scale"] < state["view"]["scale"] / 1.5


def test_a_drag_moves_the_map(look, island):
    before = look.position(int(island[0]))
    left, top, width, height = look.box()
    look.draw([(left + width / 2, top + height / 2), (left + width / 2 + 80, top + height / 2 - 50)])
    after = look.position(int(island[0]))
    assert (after[0] - before[0], after[1] - before[1]) == pytest.approx((80, -50), abs=1.5)
    assert look.state()["selected"] == 0


def test_another_column_changes_points_and_legend(look):
    before = look.pixels()
    assert "naive B cell" in look.legend()
    look.page.select_option("#lx-colour", label="score")
    after = look.pixels()
    assert max(abs(a - b) for a, b in zip(before[1:], after[1:], strict=True)) > 5
    assert look.state()["colour"] == "score"
    assert look.legend() == {}
    assert "High in some cells." in look.page.locator("#lx-legend").text_content()
    assert "1st to the 99th percentile" in look.page.locator("#lx-legend").text_content()
    assert "coloured by score" in look.page.locator("#lx-canvas").get_attribute("aria-label")


def test_a_gene_is_searched_for(look, island):
    look.page.fill("#lx-gene", sample_page.MARKER)
    assert look.state()["colour"] == sample_page.MARKER
    look.page.fill("#lx-from", "0.3")
    look.page.press("#lx-from", "Tab")
    assert look.state()["shown"] == len(island)
    look.page.fill("#lx-gene", "no such gene")
    look.page.press("#lx-gene", "Enter")
    assert look.page.get_attribute("#lx-gene", "aria-invalid") == "true"
    assert look.state()["colour"] == sample_page.MARKER


def test_the_legend_hides_categories_and_counts(look, sample, island):
    before = look.pixels()[0]
    look.page.get_by_role("checkbox", name=re.compile(f"^{sample_page.ISLAND}")).uncheck()
    assert look.state()["shown"] == N - len(island)
    assert look.pixels()[0] < before
    total = sample.cells.columns[0].totals[sample_page.TYPES.index(sample_page.ISLAND)]
    assert look.legend()[sample_page.ISLAND] == f"0 / {total:,}"
    look.page.mouse.move(*look.position(int(island[0])))
    assert look.state()["hovered"] == -1
    look.page.wait_for_function(
        "(text) => document.getElementById('lx-status').textContent.includes(text)",
        arg=f"{N - len(island):,} of {N:,} cells shown",
    )


def test_all_none_and_only(look, island):
    legend = look.page.locator("#lx-legend")
    legend.get_by_role("button", name="None").click()
    assert look.state()["shown"] == 0
    legend.get_by_role("button", name="All").click()
    assert look.state()["shown"] == N
    legend.get_by_role("button", name=f"Show only {sample_page.ISLAND}").click()
    assert look.state()["shown"] == len(island)
    look.page.select_option("#lx-colour", label="donor")
    assert len(look.legend()) == 130
    look.page.get_by_role("button", name="Remove the filter cell_type").click()
    assert look.state()["shown"] == N


def test_bounds_filter_numbers_and_hide_those_without(look, sample):
    values = sample.cells.columns[5].values
    look.page.select_option("#lx-colour", label="missing in some")
    look.idle()
    assert f"{np.isnan(values).sum()} cells without a value" in look.page.locator("#lx-legend").text_content()
    look.page.fill("#lx-from", "1.5")
    look.page.fill("#lx-to", "2.5")
    look.page.press("#lx-to", "Enter")
    assert look.state()["shown"] == ((values >= 1.5) & (values <= 2.5)).sum()


@pytest.mark.parametrize("way", ["shift", "button"])
def test_a_lasso_selects_and_the_panel_tells_what_the_cells_share(look, sample, island, way):
    if way == "button":
        look.page.click("#lx-lasso")
        assert look.page.get_attribute("#lx-lasso", "aria-pressed") == "true"
    else:
        look.page.keyboard.down("Shift")
    look.draw(around(look, sample, island))
    look.page.keyboard.up("Shift")
    assert look.state()["selected"] == len(island)
    assert look.page.get_attribute("#lx-lasso", "aria-pressed") == "false"
    tables = look.tables()
    assert tables["More frequent here"][0] == f"cell_type {sample_page.ISLAND}"
    assert set(tables["Means"][:2]) == {"score", "a cell that kills others"}
    assert tables["Genes that contribute more"] == [sample_page.MARKER]
    assert tables["Genes that contribute less"] == [sample_page.LACKING]
    row = (
        look.page.locator("#lx-panel-tables tr", has_text="a cell that kills others")
        .locator("td")
        .all_text_contents()
    )
    score = sample.cells.columns[8].values.astype(float)
    inside = np.isin(np.arange(N), island)
    here, there = score[inside], score[~inside]
    within = np.sqrt((here.var() * len(here) + there.var() * len(there)) / (N - 2))
    assert float(row[2]) == pytest.approx((here.mean() - there.mean()) / within, abs=0.006)
    look.page.click("#lx-clear")
    assert look.state()["selected"] == 0
    assert look.page.locator("#lx-panel").is_hidden()


def test_selected_ids_are_downloaded_and_copied(look, sample, island):
    look.page.locator("#lx-legend").get_by_role(
        "button", name=f"Select the cells of {sample_page.ISLAND}"
    ).click()
    look.idle()
    with look.page.expect_download() as download:
        look.page.click("#lx-download")
    wanted = [sample.cells.names[i] for i in island]
    assert download.value.path().read_text().splitlines() == wanted
    look.page.click("#lx-copy")
    look.page.get_by_role("button", name="Copied", exact=True).wait_for()


def test_selected_cells_can_not_be_hidden_and_still_be_compared(look, island):
    look.page.click("#lx-select-shown")
    assert look.state()["selected"] == N
    assert "no others to compare with" in look.page.locator("#lx-panel-words").text_content()
    look.page.get_by_role("checkbox", name=re.compile(f"^{sample_page.ISLAND}")).uncheck()
    assert look.state()["selected"] == N - len(island)


def test_a_cell_is_looked_up_by_its_id(look, sample):
    look.page.fill("#lx-find", sample.cells.names[17])
    look.page.press("#lx-find", "Enter")
    look.page.locator("#lx-tip").wait_for(state="visible")
    assert sample.cells.names[17] in look.page.locator("#lx-tip").text_content()
    assert look.state()["selected"] == 1
    look.page.fill("#lx-find", "nobody")
    look.page.press("#lx-find", "Enter")
    look.page.get_by_text("No cell of this page is called nobody.").wait_for()


def test_a_group_of_the_text_shows_its_cells(look, island):
    look.page.select_option("#lx-colour", label="score")
    look.page.locator("#groups").get_by_role("button", name="Show these cells").first.click()
    state = look.state()
    assert state["selected"] == len(island)
    assert state["colour"] == "cell_type"
    assert look.page.locator("#groups [data-category]").count() == 5


def test_keys_zoom_move_and_reset(look, island):
    stage = look.page.locator("#lx-stage")
    whole = look.state()["view"]
    stage.press("+")
    assert look.state()["view"]["scale"] > whole["scale"]
    before = look.position(int(island[0]))
    stage.press("ArrowLeft")
    assert look.position(int(island[0]))[0] == pytest.approx(before[0] + 60, abs=1.5)
    stage.press("0")
    assert look.state()["view"] == pytest.approx(whole)
    stage.press("l")
    assert look.page.get_attribute("#lx-lasso", "aria-pressed") == "true"
    stage.press("Escape")
    assert look.page.get_attribute("#lx-lasso", "aria-pressed") == "false"


def test_keys_toggle_the_legend(look, island):
    box = look.page.get_by_role("checkbox", name=re.compile(f"^{sample_page.ISLAND}"))
    box.focus()
    look.page.keyboard.press("Space")
    assert look.state()["shown"] == N - len(island)
    look.page.keyboard.press("Tab")
    look.page.keyboard.press("Enter")
    assert look.state()["shown"] == len(island)


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


def test_labels_that_look_like_code_are_text(look):
    legend = look.legend()
    for text in (sample_page.HOSTILE, sample_page.IMAGE, sample_page.ENDS):
        assert text in legend
    look.page.select_option("#lx-colour", label=sample_page.HOSTILE)
    look.page.locator("#lx-legend").get_by_role("button", name="Select the cells of").first.click()
    assert any(sample_page.IMAGE in row for row in look.tables()["More frequent here"])
    assert look.page.title() == f"A run about {sample_page.HOSTILE} {sample_page.IMAGE}"
    assert look.page.locator("img").count() == 0


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
