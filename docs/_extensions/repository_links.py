"""Links that are right on a code host, beyond `docs/`: to a page of the site, or a copy of the file."""

import re
from pathlib import Path

from sphinx.application import Sphinx

#: Files of the repository that are pages of the site.
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "security.md"}


def rewrite(app: Sphinx, name: str, source: list[str]) -> None:
    """Lead to pages of the site; name a folder, of which the site has no copy."""
    root = Path(app.srcdir).parent
    here = Path(app.env.doc2path(name)).parent

    def changed(match: re.Match[str]) -> str:
        text, target = match.groups()
        path, hash_, anchor = target.partition("#")
        file = (here / path).resolve()
        if not path or ":" in path or not file.is_relative_to(root) or file.is_relative_to(root / "docs"):
            return match[0]
        inside = file.relative_to(root).as_posix()
        if inside in PAGES:
            return f"[{text}](/{PAGES[inside]}{hash_}{anchor})"
        return text if file.is_dir() else match[0]

    source[0] = re.sub(r"(?<!!)\[([^\]\[]*)\]\(([^()\s]+)\)", changed, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Rewrite each page as it is read."""
    app.connect("source-read", rewrite)
    return {"parallel_read_safe": True}
