"""Look at the finished site: a link that leads nowhere, or an asset that is not in it, is a warning."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

_log = getLogger(__name__)


class Page(HTMLParser):
    """What a page points to: assets, which the browser loads, links, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.assets: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Sort what a tag names."""
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.assets += [given[name] for name in ("src", "poster", "data") if name in given and tag != "meta"]
        if "srcset" in given:
            self.assets += [part.split()[0] for part in given["srcset"].split(",")]
        if tag == "link" and given.get("rel") in {"next", "prev", "search", "index", "genindex", "canonical"}:
            self.links.append(given.get("href", ""))
        elif tag == "link":
            self.assets.append(given.get("href", ""))
        elif "href" in given:
            self.links.append(given["href"])


def problems(folder: Path) -> list[str]:
    """List what is wrong with the pages of a folder."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    wrong = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        remote = [asset for asset in page.assets if urlsplit(asset).netloc]
        wrong += [f"{name}: loads {asset} from the network" for asset in remote]
        for target in [*page.assets, *page.links]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not to.is_file():
                wrong.append(f"{name}: {target} leads to no file")
            elif parts.fragment and to in pages and unquote(parts.fragment) not in pages[to].anchors:
                wrong.append(f"{name}: {target} leads to no heading")
    for style in sorted(folder.rglob("*.css")):
        text = style.read_text(encoding="utf-8")
        if "url(http" in text or "@import" in text or "url(//" in text:
            wrong.append(f"{style.relative_to(folder)}: loads something from the network")
    return wrong


def look(app: Sphinx, exception: Exception | None) -> None:
    """Warn of each, once all pages are written."""
    if exception is None and app.builder.name == "html":
        for problem in problems(Path(app.outdir)):
            _log.warning(problem, type="site")


def setup(app: Sphinx) -> dict[str, bool]:
    """Look when all is written."""
    app.connect("build-finished", look)
    return {"parallel_read_safe": True}
