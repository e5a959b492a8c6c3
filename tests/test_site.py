"""What docs/ promises of its site: it is whole, works offline, and its tutorials are notebooks that run."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))


def extension(name: str) -> ModuleType:
    """Import one of the site's, where Sphinx is installed: `make docs` does it."""
    pytest.importorskip("sphinx")
    spec = importlib.util.spec_from_file_location(name, DOCS / "_extensions" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_page_is_in_the_navigation() -> None:
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.glob("*.md")}
    pages |= {path.relative_to(DOCS).with_suffix("").as_posix() for path in TUTORIALS}
    trees = re.findall(r"```\{toctree\}(.*?)```", (DOCS / "index.md").read_text(encoding="utf-8"), re.DOTALL)
    listed = {line for tree in trees for line in tree.split() if not line.startswith(":")}
    assert not pages - listed - {"index"}


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_are_notebooks_of_valid_python(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("---\nfile_format: mystnb\n")
    cells = re.findall(r"```\{code-cell\}\n(.*?)```", text, flags=re.DOTALL)
    assert len(cells) > 3
    for cell in cells:
        compile(cell, str(path), "exec")


def test_settings_ask_no_network() -> None:
    assert "http" not in (DOCS / "conf.py").read_text(encoding="utf-8")


def test_an_asset_of_the_network_and_a_dead_link_are_found(tmp_path: Path) -> None:
    (tmp_path / "good.html").write_text('<h1 id="top"><a href="#top">x</a> <a href="https://a.org">out</a>')
    (tmp_path / "bad.html").write_text(
        '<script src="https://cdn.org/a.js"></script><link rel="stylesheet" href="//cdn.org/a.css">'
        '<a href="good.html#gone">x</a><a href="none.html">x</a><img src="none.png">'
    )
    (tmp_path / "bad.css").write_text("@font-face { src: url(https://fonts.org/a.woff) }")
    assert extension("checked_pages").problems(tmp_path) == [
        "bad.html: loads https://cdn.org/a.js from the network",
        "bad.html: loads //cdn.org/a.css from the network",
        "bad.html: none.png leads to no file",
        "bad.html: good.html#gone leads to no heading",
        "bad.html: none.html leads to no file",
        "bad.css: loads something from the network",
    ]


def test_the_page_of_commands_has_every_verb_and_option() -> None:
    import typer

    from lexicell.cli._app import app

    page = "\n".join(extension("command_line").sections(typer.main.get_command(app), "lexicell"))
    for verb in ("demo", "embed", "genes build", "export geneformer", "doctor"):
        assert re.search(rf"(?m)^#+ `lexicell {verb}`$", page)
    assert "`-k, --top-k <int>`\n: Genes per cell" in page
    assert "--help" not in page.replace("lexicell --help", "")
