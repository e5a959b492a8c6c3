"""``lexicell genes``: make and inspect lexicons."""

from __future__ import annotations

import typer

from lexicell.cli.genes import _build, _convert, _edit, _evaluate, _export, _fetch, _inspect, _learn

__all__ = ["app"]

app = typer.Typer(help="Make and inspect lexicons: genes, their texts and vectors.", no_args_is_help=True)
app.command("fetch")(_fetch.fetch)
app.command("build")(_build.build)
app.command("info")(_inspect.info)
app.command("align")(_inspect.align)
app.command("evaluate")(_evaluate.evaluate)
app.command("learn")(_learn.learn)
app.command("subset")(_edit.subset)
app.command("merge")(_edit.merge)
app.command("diff")(_edit.diff)
app.command("convert")(_convert.convert)
app.command("export")(_export.export)
