"""The directive ``lexicell-commands``: every verb of the command line with its options, as typer has it."""

from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from lexicell.cli._app import app


def _definitions(context: Any, command: Any) -> Iterator[str]:
    for parameter in command.params:
        names, about = parameter.get_help_record(context) or ("", "")
        if parameter.param_type_name == "argument":
            names, about = names.partition(" <")[0], about.removesuffix("  [required]")
        about = about.replace("<", "\\<").replace("*", "\\*")
        if about:
            yield f"`{names.replace(' range>', '>')}`\n: {about}\n"


def sections(command: Any, path: str) -> Iterator[str]:
    """Yield the Markdown of a command, then of those below it."""
    context = type(command).context_class(command, info_name=path)
    verbs = command.list_commands(context) if hasattr(command, "list_commands") else []
    depth = path.count(" ") + 1
    if depth > 1:
        yield f"{'#' * depth} `{path}`"
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield (command.help or "").strip()
    yield f"```text\n{usage}\n```"
    yield "\n".join(_definitions(context, command))
    for name in verbs:
        yield from sections(command.get_command(context, name), f"{path} {name}")


class Commands(SphinxDirective):
    """Sections of all verbs."""

    def run(self) -> list[nodes.Node]:
        """Write them as Markdown, and let the page's parser read it."""
        text = "\n\n".join(sections(typer.main.get_command(app), "lexicell"))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("lexicell-commands", Commands)
    return {"parallel_read_safe": True}
