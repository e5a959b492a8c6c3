"""Pages of `lexicell report`: how long they take to make, what memory, and how they behave in a browser.

``python -m bench.reporting FOLDER [--cells 10000 50000 1000000]`` makes synthetic cells in FOLDER, writes
``bench/results/report.json`` and the table of ``docs/report.md``. Some five minutes; it needs a Chromium.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench import machine
from bench.explain_speed import GROUPS, packed_cells
from bench.process import lexicell as command
from bench.process import run_process

__all__ = ["FLAGS", "browsed", "made", "main"]

_RESULT = Path(__file__).parent / "results" / "report.json"
_PAGE = Path(__file__).parents[1] / "docs" / "report.md"
_BEGIN, _END = "<!-- report:measured -->", "<!-- /report:measured -->"
_SENTENCE = "B cell receptor signaling, immunoglobulin production"
#: What a browser needs to draw in software and to stay silent.
FLAGS = (
    "--no-sandbox", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_LOADS = 5


def made(folder: Path, n: int, seed: int = 0) -> dict[str, Any]:
    """Make a page of `n` synthetic cells in ten groups, with one sentence; seconds and peak memory."""
    data, store, page = packed_cells(folder, n, seed), folder / f"{n}-store.zarr", folder / f"{n}.html"
    run_process(command("embed", str(data), str(store), "--dtype", "f16", "--overwrite"))
    words = ["report", str(store), str(page), "--data", str(data), "--group", "label", "--text", _SENTENCE]
    ended = run_process(command(*words, "--overwrite"))
    for path in (data, store):
        shutil.rmtree(path)
    size = page.stat().st_size
    return {"cells": n, "seconds": ended.taken.seconds, "peak_mb": ended.peak_mb, "page_bytes": size}


def browsed(page: Path) -> dict[str, Any]:
    """Open a page `_LOADS` times: seconds until cells are drawn, milliseconds of a frame while zooming."""
    from playwright.sync_api import sync_playwright

    browser_file = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    loads, frames = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_file, args=list(FLAGS))
        for _ in range(_LOADS):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto(page.absolute().as_uri())
            tab.evaluate("lexicellReport.ready")
            loads.append(float(tab.evaluate("performance.now()")) / 1e3)
            frames.append(float(tab.evaluate(_ZOOM)))
            tab.close()
        told = browser.version
        browser.close()
    return {"browser": told, "load_seconds": median(loads), "frame_ms": median(frames)}


#: Turns the wheel at every frame for a while; the median of the times between frames.
_ZOOM = """async () => {
  const canvas = document.querySelector('#cells canvas, canvas');
  const box = canvas.getBoundingClientRect();
  const at = {clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true,
    cancelable: true};
  const times = [];
  for (let frame = 0; frame < 60; frame += 1) {
    canvas.dispatchEvent(new WheelEvent('wheel', {...at, deltaY: frame % 20 < 10 ? -40 : 40}));
    times.push(await new Promise(requestAnimationFrame));
  }
  const between = times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b);
  return between[Math.floor(between.length / 2)];
}"""


def written(content: dict[str, Any]) -> str:
    """The table of the docs."""
    rows = [
        "| cells | drawn | seconds to make | peak memory | file | seconds to open |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    rows += [
        f"| {row['cells']:,} | {min(row['cells'], 50_000):,} | {row['seconds']:.0f} | "
        f"{row['peak_mb'] / 1e3:.1f} GB | {row['page_bytes'] / 1e6:.1f} MB | {row['load_seconds']:.1f} |"
        for row in content["pages"]
    ]
    said = content["machine"]
    return (
        "\n".join(rows)
        + f"\n\n{said['cpu']}, {said['cpus']} CPUs, by `python -m bench.reporting`: synthetic cells of a "
        f"packed atlas ({GROUPS} groups, one sentence, gene sets), opened by Chromium {content['browser']} "
        f"without a GPU, where a frame while zooming takes {content['frame_ms']:.0f} ms.\n"
    )


def main(args: Sequence[str] | None = None) -> int:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 50_000, 1_000_000])
    given = parser.parse_args(args)
    given.folder.mkdir(parents=True, exist_ok=True)
    pages, browser = [], {}
    for n in given.cells:
        row = made(given.folder, n)
        browser = browsed(given.folder / f"{n}.html")
        pages.append(row | {"load_seconds": browser["load_seconds"]})
        print(pages[-1])
    content = {"machine": machine.fingerprint(), "pages": pages, "browser": browser["browser"],
               "frame_ms": browser["frame_ms"]}  # fmt: skip
    _RESULT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    before, rest = _PAGE.read_text(encoding="utf-8").split(_BEGIN)
    _PAGE.write_text(f"{before}{_BEGIN}\n{written(content)}{_END}{rest.split(_END)[1]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
