"""A real browser, where there is one."""

import shutil

import numpy as np
import pytest
from tests.engine.reporting import sample_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: Draws WebGL in software, and asks nothing of any network.
FLAGS = (
    "--no-sandbox", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)  # fmt: skip


@pytest.fixture(scope="package")
def browser():
    if BROWSER is None:
        pytest.skip("there is no chromium, chromium-browser or google-chrome on PATH")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield opened
        opened.close()


class Look:
    """An open page, what its console said, and what it asked for."""

    def __init__(self, page, path):
        self.page, self.said, self.asked = page, [], []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(path.as_uri())
        self.loaded_ms = page.evaluate("lexicellReport.ready")
        self.page.evaluate("document.getElementById('cells').scrollIntoView({behavior: 'instant'})")
        self.idle()

    def _hear(self, message):
        # What a driver that draws in software says about itself is not the page's.
        if "GL Driver Message" not in message.text:
            self.said.append(message.text)

    def idle(self):
        """Wait until all is drawn and counted."""
        self.page.evaluate("lexicellReport.idle()")
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def state(self):
        self.idle()
        return self.page.evaluate("lexicellReport.state()")

    def position(self, cell):
        return self.page.evaluate("(cell) => lexicellReport.position(cell)", cell)

    def pixels(self):
        """How many pixels are drawn on, and their mean colour."""
        self.idle()
        return self.page.evaluate(
            """() => {
              const canvas = document.getElementById('lx-canvas');
              const copy = new OffscreenCanvas(canvas.width, canvas.height);
              const context = copy.getContext('2d', {willReadFrequently: true});
              context.drawImage(canvas, 0, 0);
              const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
              const sums = [0, 0, 0, 0];
              for (let i = 0; i < data.length; i += 4) {
                if (data[i + 3] <= 64) continue;
                sums[0] += 1;
                for (let k = 0; k < 3; k += 1) sums[k + 1] += data[i + k];
              }
              return [sums[0], ...sums.slice(1).map((sum) => sum / Math.max(sums[0], 1))];
            }"""
        )

    def box(self):
        """Left, top, width and height of the map."""
        box = self.page.locator("#lx-stage").bounding_box()
        return box["x"], box["y"], box["width"], box["height"]

    def draw(self, corners):
        """Press, go from corner to corner, release."""
        self.page.mouse.move(*corners[0])
        self.page.mouse.down()
        for corner in corners[1:]:
            self.page.mouse.move(*corner, steps=5)
        self.page.mouse.up()
        self.idle()

    def legend(self):
        """Counts of cells by names in the legend."""
        self.idle()
        rows = self.page.locator("#lx-legend li")
        return {
            row.locator(".name").text_content(): row.locator(".count").text_content() for row in rows.all()
        }

    def tables(self):
        """First cells of the rows of the panel's tables, by titles."""
        self.idle()
        return {
            table.locator("caption").text_content(): [
                head.text_content() for head in table.locator("tbody th").all()
            ]
            for table in self.page.locator("#lx-panel-tables table").all()
        }


@pytest.fixture
def open_page(browser):
    """Open a file in a window of its own; at the end, nothing may have been said or asked for."""
    looks = []

    def look(path, width=1280, height=900, **options):
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        page.set_default_timeout(20_000)
        looks.append(Look(page, path))
        return looks[-1]

    yield look
    for seen in looks:
        assert seen.said == []
        assert [url for url in seen.asked if not url.startswith(("data:", "blob:"))] == seen.asked[:1]
        seen.page.close()


@pytest.fixture(scope="package")
def sample():
    return sample_page.sample()


@pytest.fixture(scope="package")
def path(sample, tmp_path_factory):
    """A report."""
    pytest.importorskip("jinja2")
    from lexicell.reporting.html import render

    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(sample), encoding="utf-8")
    return path


@pytest.fixture(scope="package")
def odd_path(tmp_path_factory):
    """A report of odd labels and numbers."""
    pytest.importorskip("jinja2")
    from lexicell.reporting.html import render

    path = tmp_path_factory.mktemp("odd") / "report.html"
    path.write_text(render(sample_page.odd()), encoding="utf-8")
    return path


@pytest.fixture(scope="package")
def island(sample):
    """Numbers of the cells that lie alone."""
    return np.flatnonzero(sample.cells.columns[0].codes == sample_page.TYPES.index(sample_page.ISLAND))


@pytest.fixture
def look(open_page, path):
    return open_page(path)
