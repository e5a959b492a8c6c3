"""The page opens in a real browser."""

import html as markup
import shutil
import subprocess

import pytest
from bench.report import page
from tests.bench import sample_runs as sample

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="there is no chromium on PATH"),
]

#: Looks at the page in a frame, since the page itself allows no script.
CHECK = """<!doctype html><meta charset="utf-8">
<iframe width="720" height="800" srcdoc="{page}"></iframe><pre id="found"></pre>
<script>
window.onload = () => {{
  const page = document.querySelector('iframe').contentDocument;
  page.querySelectorAll('details').forEach((one) => {{ one.open = true; }});
  const drawn = [...page.querySelectorAll('figure svg')].filter(
    (svg) => svg.getBoundingClientRect().width > 100);
  const wide = page.documentElement.scrollWidth > page.documentElement.clientWidth;
  document.getElementById('found').textContent = `${{drawn.length}} figures, too wide: ${{wide}}`;
}};
</script>
"""


def test_a_browser_draws_all_figures_without_errors(tmp_path):
    html = page.render(sample.run_of(sample.everything()))
    (tmp_path / "page.html").write_text(CHECK.format(page=markup.escape(html)), encoding="utf-8")
    done = subprocess.run(
        [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--enable-logging=stderr", "--virtual-time-budget=5000",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert f'<pre id="found">{html.count("<figure")} figures, too wide: false</pre>' in done.stdout
