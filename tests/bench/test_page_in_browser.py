"""The page in a real browser, as wide as a phone, a tablet and a desk."""

import html as markup
import json
import re
import shutil
import subprocess

import pytest
from bench.report import page
from tests.bench import sample_runs as sample

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no chromium on PATH")

#: Looks at the page in two frames, since a window of a browser can't be as narrow as a phone.
HARNESS = """
<!doctype html><meta charset="utf-8"><title>check</title>
<iframe width="400" height="800" srcdoc="{page}"></iframe>
<iframe width="720" height="800" srcdoc="{page}"></iframe>
<iframe width="1200" height="800" srcdoc="{page}"></iframe>
<pre id="found"></pre>
<script>
function check(frame) {{
  const page = frame.contentDocument, found = [];
  const words = (one) => (one.textContent || one.getAttribute('aria-label') || '').trim().slice(0, 60);
  page.querySelectorAll('details').forEach((one) => {{ one.open = true; }});
  const wide = page.documentElement.scrollWidth - frame.clientWidth;
  if (wide > 0) found.push(`${{wide}} px wider than the window`);
  page.querySelectorAll('figure').forEach((figure) => {{
    const drawing = figure.querySelector('svg'), caption = figure.querySelector('figcaption');
    if (!drawing) {{ found.push(`no drawing: ${{words(figure)}}`); return; }}
    if (!caption || !words(caption)) found.push(`no caption: ${{words(drawing)}}`);
    if (!drawing.getAttribute('aria-label')) found.push(`no alternative: ${{words(figure)}}`);
    const box = drawing.getBoundingClientRect();
    if (box.width < 100 || box.height < 40) found.push(`too small: ${{words(figure)}}`);
    drawing.querySelectorAll('text').forEach((text) => {{
      const at = text.getBoundingClientRect();
      if (at.left < box.left - 3 || at.right > box.right + 3) found.push(`cut off: ${{words(text)}}`);
      if (at.height < 9) found.push(`${{at.height}} px high: ${{words(text)}}`);
    }});
  }});
  return {{width: frame.clientWidth, figures: page.querySelectorAll('figure').length, found}};
}}
window.onload = () => {{
  const frames = [...document.querySelectorAll('iframe')];
  document.getElementById('found').textContent = JSON.stringify(frames.map(check));
}};
</script>
"""


def look_at(page_html, folder):
    """Reports of the page at 400, 720 and 1200 px, and what the browser's console said."""
    (folder / "check.html").write_text(HARNESS.format(page=markup.escape(page_html)), encoding="utf-8")
    done = subprocess.run(
        [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--enable-logging=stderr", "--window-size=1300,1700", "--virtual-time-budget=5000",
            f"--user-data-dir={folder / 'profile'}", "--dump-dom", (folder / "check.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(markup.unescape(found[1])), console


@pytest.fixture(scope="module")
def html():
    kernel, *others = sample.everything()
    kernel.append(sample.peer("kernel", "synthetic", "a peer that wins", 400_000, fairness="long" * 60))
    kernel.append(sample.missing("kernel", "synthetic", "a peer that is not there", "long" * 60))
    earlier = sample.run_of([kernel], "00000001", day=12)
    return page.render([*earlier, *sample.run_of([kernel, *others], "00000002")])


def test_a_browser_shows_all_figures_without_errors_on_a_phone_and_on_a_desk(html, tmp_path):
    reports, console = look_at(html, tmp_path)
    assert console == []
    assert reports == [{"width": width, "figures": 14, "found": []} for width in (400, 720, 1200)]


def test_the_check_sees_what_is_broken(html, tmp_path):
    first, second, third = [match.start() for match in re.finditer("<svg", html)][:3]
    broken = [
        html[:first],
        '<svg role="img" style="width:0"></svg>',
        html[first:second],
        html[second:third].replace("<svg", '<svg style="display:none"', 1),
        html[third:].replace(">reading alone<", f">{'reading alone ' * 9}<", 1),
        '<div style="width:900px">wide</div><script src="https://example.org/a.js"></script>',
    ]
    (phone, _, desk), console = look_at("".join(broken), tmp_path)
    assert any("example.org" in line for line in console)
    assert any("px wider than the window" in said for said in phone["found"])
    assert not any("px wider than the window" in said for said in desk["found"])
    for fault in ("no alternative", "too small", "cut off: reading alone"):
        assert any(said.startswith(fault) for said in desk["found"]), fault
