"""Names in docstrings that are not written in full, such as `Recipe`, lead to the one that ends so."""

import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, child: nodes.Element
) -> nodes.reference | None:
    """Find the shortest documented name that ends with the given one."""
    wanted = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not re.search(r"^[A-Z]|[._]", wanted):
        return None  # a single small word is a parameter
    objects = env.domains["py"].objects  # type: ignore[attr-defined]
    ends = f".{wanted.rpartition('lexicell.')[2]}" if wanted.startswith("lexicell") else f".{wanted}"
    matching = sorted(
        (name for name in objects if f".{name}".endswith(ends)), key=lambda name: (len(name), name)
    )
    if not matching and "." in wanted:  # a class is documented under the module that makes it public
        last = wanted.rpartition(".")[2]
        matching = [name for name in objects if name.rpartition(".")[2] == last and last[:1].isupper()][:1]
    if not matching:
        return None
    entry = objects[matching[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, child, matching[0])


def escape_types(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Keep `numpy.object_`, the type of an attribute, from being read as a link of reStructuredText."""
    lines[:] = [
        re.sub(r"(?<=\w)_(?=[\s\],|]|$)", r"\\_", line) if ":type:" in line else line for line in lines
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask here where Sphinx finds nothing."""
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", escape_types, priority=600)  # after the sections were read
    return {"parallel_read_safe": True}
