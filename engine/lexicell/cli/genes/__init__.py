"""``lexicell genes``: make and inspect lexicons."""

from __future__ import annotations

import typer

from lexicell.cli.genes import _build, _inspect

__all__ = ["app"]

app = typer.Typer(help="Make and inspect lexicons: genes, their texts and vectors.", no_args_is_help=True)
app.command("build")(_build.build)
app.command("info")(_inspect.info)
app.command("align")(_inspect.align)
