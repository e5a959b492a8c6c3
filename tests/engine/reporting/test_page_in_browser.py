"""The page in a real browser: what a person does with it, by mouse and keys."""

import re

import numpy as np
import pytest
from tests.engine.reporting import sample_page

pytest.importorskip("jinja2")

from lexicell.reporting.html import render

N = sample_page.N


def around(look, sample, cells):
    """Corners of a box on the screen around cells."""
    at = sample.cells.positions[cells]
    ends = [cells[i] for i in (at[:, 0].argmin(), at[:, 0].argmax(), at[:, 1].argmax(), at[:, 1].argmin())]
    left, right, top, low = (look.position(int(cell)) for cell in ends)
    x0, x1, y0, y1 = left[0] - 6, right[0] + 6, top[1] - 6, low[1] + 6
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]


def drawn_at(look, x, y):
    """Whether there is a point at a place on the screen."""
    alpha = look.page.evaluate(
        """([x, y]) => {
          const canvas = document.getElementById('lx-canvas');
          const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
          const copy = new OffscreenCanvas(1, 1), context = copy.getContext('2d', {willReadFrequently: true});
          context.drawImage(canvas, (box.left - x) * ratio, (box.top - y) * ratio);
          return context.getImageData(0, 0, 1, 1).data[3];
        }""",
        [x, y],
    )
    return alpha > 128


def test_points_are_drawn_where_they_are(look, island):
    count, *_ = look.pixels()
    assert count > N
    x, y = look.position(int(island[0]))
    assert drawn_at(look, x, y)
    look.page.set_viewport_size({"width": 900, "height": 700})
    look.idle()
    x, y = look.position(int(island[0]))
    assert drawn_at(look, x, y)
    assert look.pixels()[0] > N


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
    look.page.select_option("#lx-colour", label="missing in some")
    look.idle()
    look.page.mouse.move(*look.position(cell))
    tip.wait_for(state="visible")
    value = sample.cells.columns[5].values[look.state()["hovered"]]
    wanted = "missing" if np.isnan(value) else f"{value:.3g}"
    assert f"missing in some{wanted}" in tip.text_content()


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
    said = look.page.locator("#lx-gene-said")
    assert said.get_attribute("role") == "alert"
    assert said.text_content() == (
        "no such gene is none of the 128 genes that cells can be coloured by on this page; "
        "--color-gene asks for it."
    )
    assert look.state()["colour"] == sample_page.MARKER
    assert look.page.input_value("#lx-gene") == sample_page.MARKER
    assert "128 genes" in look.page.locator("#lx-gene-box label").text_content()
    look.page.select_option("#lx-colour", label="score")
    look.idle()
    assert said.text_content() == ""
    assert look.page.input_value("#lx-gene") == ""


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
    state = look.state()
    assert (state["selected"], state["picked"]) == (N - len(island), N)
    status = look.page.get_by_text(f"3,000 selected, {len(island)} of them hidden")
    status.wait_for()
    words = look.page.locator("#lx-panel-words").text_content()
    assert f"{len(island)} selected cells more are hidden" in words
    look.page.locator("#lx-legend").get_by_role("button", name="None").click()
    assert look.state()["selected"] == 0
    assert "all of them hidden" in look.page.locator("#lx-panel-words").text_content()
    assert look.page.locator("#lx-copy").is_disabled()
    look.page.locator("#lx-legend").get_by_role("button", name="All").click()
    assert look.state()["selected"] == N


def test_the_panel_of_a_sample_says_so(look):
    look.page.locator("#lx-legend").get_by_role("button", name="Select the cells of").first.click()
    look.idle()
    words = look.page.locator("#lx-panel-words").text_content()
    boxes = "[...document.querySelectorAll('#lx-panel-tables .scroll')]"
    assert look.page.evaluate(f"{boxes}.every((box) => box.scrollWidth <= box.clientWidth)")
    assert "drawn sample of 3,000 of 12,000 cells, in which small groups have more than their share" in words


def test_bounds_that_no_number_is_between_are_told(look):
    look.page.select_option("#lx-colour", label="score")
    look.idle()
    look.page.fill("#lx-from", "5")
    look.page.press("#lx-from", "Enter")
    before = look.state()["shown"]
    look.page.fill("#lx-to", "2")
    look.page.press("#lx-to", "Enter")
    assert look.state()["shown"] == before > 0
    assert "No value is from 5 to 2" in look.page.locator("#lx-legend [role=alert]").text_content()
    look.page.fill("#lx-to", "6")
    look.page.press("#lx-to", "Enter")
    assert 0 < look.state()["shown"] < before
    assert look.page.locator("#lx-legend [role=alert]").text_content() == ""


def test_a_gene_that_only_raises_has_colours_from_zero(look, island):
    look.page.fill("#lx-gene", sample_page.MARKER)
    look.idle()
    assert "orange" in look.page.locator("#lx-legend").text_content()  # noise is of both signs
    look.page.fill("#lx-gene", sample_page.LACKING)
    look.idle()
    assert "orange" not in look.page.locator("#lx-legend").text_content()
    assert look.page.locator("#lx-legend .ends span").all_text_contents() == ["0", "0.3"]
    look.page.locator("#lx-find").fill(look.page.evaluate("lexicellReport.names()")[int(island[0])])
    look.page.press("#lx-find", "Enter")
    look.idle()
    look.page.click("#lx-reset")
    assert look.pixels()[0] > N


@pytest.mark.parametrize("most", [10, 10**9])
def test_tip_and_panel_tell_the_same_of_a_cell(open_page, monkeypatch, tmp_path, island, sample, most):
    monkeypatch.setattr("lexicell.reporting.html._FEW", most)
    path = tmp_path / "page.html"
    path.write_text(render(sample), encoding="utf-8")
    look = open_page(path)
    for cell in map(int, island[:3]):
        look.page.fill("#lx-find", sample.cells.names[cell])
        look.page.press("#lx-find", "Enter")
        look.idle()
        look.page.locator("#lx-tip strong", has_text=sample.cells.names[cell]).wait_for()
        look.idle()
        tip = look.page.locator("#lx-tip .genes")
        told = dict(
            zip(tip.locator("dt").all_text_contents(), tip.locator("dd").all_text_contents(), strict=True)
        )
        rows = {
            row.locator("th").text_content(): row.locator("td").first.text_content()
            for row in look.page.locator("#lx-panel-tables tr").all()
            if row.locator("th[scope=row]").count()
        }
        both = told.keys() & rows.keys()
        assert both
        for gene in both:
            digits = [len(text.partition(".")[2]) for text in (told[gene], rows[gene])]
            exact = sample.cells.genes.contributions[sample.cells.genes.names.index(gene), cell]
            for text, decimals in zip((told[gene], rows[gene]), digits, strict=True):
                assert float(text) == pytest.approx(exact, abs=0.52 * 10**-decimals)
            assert digits[0] != digits[1] or told[gene] == rows[gene]


def test_a_cell_is_looked_up_by_its_id(look, sample):
    look.page.fill("#lx-find", sample.cells.names[17])
    look.page.press("#lx-find", "Enter")
    look.page.locator("#lx-tip").wait_for(state="visible")
    assert sample.cells.names[17] in look.page.locator("#lx-tip").text_content()
    assert look.state()["selected"] == 1
    look.page.fill("#lx-find", "nobody")
    look.page.press("#lx-find", "Enter")
    look.page.get_by_text("No cell of this page is called nobody.").wait_for()
    contain = [name for name in sample.cells.names if "ACGTA" in name]
    begin = [name for name in contain if name.startswith("ACGTA")]
    assert len(contain) > 1
    look.page.fill("#lx-find", " acgta ")
    look.page.press("#lx-find", "Enter")
    look.page.get_by_text(
        f"{len(contain)} ids contain acgta, {len(begin)} of them at their beginning"
    ).wait_for()
    look.page.fill("#lx-find", sample.cells.names[5][3:14])
    look.page.press("#lx-find", "Enter")
    look.page.locator("#lx-tip strong", has_text=sample.cells.names[5]).wait_for()


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


def test_labels_that_look_like_code_are_text(look):
    legend = look.legend()
    for text in (sample_page.HOSTILE, sample_page.IMAGE, sample_page.ENDS):
        assert text in legend
    look.page.select_option("#lx-colour", label=sample_page.HOSTILE)
    look.page.locator("#lx-legend").get_by_role("button", name="Select the cells of").first.click()
    assert any(sample_page.IMAGE in row for row in look.tables()["More frequent here"])
    assert look.page.title() == f"A run about {sample_page.HOSTILE} {sample_page.IMAGE}"
    assert look.page.locator("img").count() == 0


def test_groups_are_named_on_the_map(look, island):
    names = look.page.locator("#lx-labels text")
    assert sample_page.ISLAND in names.all_text_contents()
    text = names.get_by_text(sample_page.ISLAND).bounding_box()
    places = np.array([look.position(int(cell)) for cell in island[:40]])
    middle = text["x"] + text["width"] / 2, text["y"] + text["height"] / 2
    assert middle == pytest.approx(np.median(places, axis=0), abs=25)
    look.page.get_by_role("button", name="Names").click()
    assert names.count() == 0
    look.page.get_by_role("button", name="Names").click()
    look.page.select_option("#lx-colour", label="donor")
    look.idle()
    assert names.count() == 0


def test_many_groups_are_searched(look):
    assert look.page.get_by_placeholder("Find a group").is_hidden()
    look.page.select_option("#lx-colour", label="donor")
    look.page.get_by_placeholder("Find a group").fill("donor 01")
    assert look.page.locator("#lx-legend li:visible").count() == 10


def test_commands_are_copied(look):
    look.page.locator("#run").get_by_role("button", name="Copy").click()
    look.page.get_by_role("button", name="Copied").wait_for()
    look.page.locator("#lx-find").focus()
    look.page.keyboard.press("Control+V")
    assert look.page.locator("#lx-find").input_value().startswith("lexicell embed counts.h5ad")
