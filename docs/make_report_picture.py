"""Write docs/images/report.png, the demo's page with a lasso around its B cells: needs a Chromium.

``make demo``, then ``python docs/make_report_picture.py demo``.
"""

import shutil
import sys
from pathlib import Path

import anndata
import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parent / "images" / "report.png"
SIZE = {"width": 1280, "height": 1180}
LABEL, GROUP = "bulk_labels", "CD19+ B"
#: Pixels from the middle of the group within which its cells are.
REACH = 120


def around(points):
    """A loop around most of some points."""
    middle = np.median(points, axis=0)
    near = points[np.linalg.norm(points - middle, axis=1) < REACH]
    low, high = near.min(axis=0), near.max(axis=0)
    angles = np.linspace(0, 2 * np.pi, 40)
    return (low + high) / 2 + ((high - low) / 2 + 20) * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def main(folder):
    """Open the page, select the group, take a picture."""
    cells = anndata.read_h5ad(Path(folder) / "demo.h5ad").obs
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        tab = browser.new_page(viewport=SIZE, device_scale_factor=1)
        tab.goto((Path(folder) / "report.html").absolute().as_uri())
        tab.evaluate("lexicellReport.ready")
        tab.get_by_role("button", name="Lasso").click()
        tab.evaluate("document.querySelector('#cells').scrollIntoView({behavior: 'instant'})")
        tab.wait_for_timeout(500)
        names = tab.evaluate("lexicellReport.names()")
        wanted = np.flatnonzero(cells.loc[names, LABEL] == GROUP).tolist()
        where = "cells => Promise.all(cells.map((cell) => lexicellReport.position(cell)))"
        path = around(np.array(tab.evaluate(where, wanted)))
        tab.mouse.move(*path[0])
        tab.mouse.down()
        for x, y in path[1:]:
            tab.mouse.move(x, y)
        tab.mouse.up()
        tab.evaluate("lexicellReport.idle()")
        tab.wait_for_timeout(500)
        tab.screenshot(path=PICTURE)
        browser.close()
    Image.open(PICTURE).convert("RGB").save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
