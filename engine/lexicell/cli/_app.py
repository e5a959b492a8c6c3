"""The application, its verbs, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from lexicell.cli import (
    _console,
    annotate,
    demo,
    doctor,
    embed,
    evaluate,
    explain,
    export,
    gc,
    genes,
    import_embedding,
    pack,
    report,
    search,
    train,
    verify,
)
from lexicell.errors import LexicellError

__all__ = ["app", "run"]

_HELP = """Embed single cells through the language of their genes.

New here? `lexicell demo` shows everything on real cells in under a minute;
`lexicell embed my.h5ad my.zarr` does it for yours.
"""

# Newer versions of typer carry a click of their own, so click's classes are reached through typer's.
_UsageError: Any = typer.BadParameter.__bases__[0]

_INTERRUPTED = 130

app = typer.Typer(
    name="lexicell",
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("embed")(embed.embed)
app.command("pack")(pack.pack)
app.command("train")(train.train)
app.command("annotate")(annotate.annotate)
app.command("explain")(explain.explain)
app.command("search")(search.search)
app.command("describe")(search.describe)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(export.app, name="export")
app.command("import-embedding")(import_embedding.import_embedding)
app.command("report")(report.report)
app.command("verify")(verify.verify)
app.command("gc")(gc.gc)
app.add_typer(genes.app, name="genes")
app.command("doctor")(doctor.doctor)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        _console.result(f"lexicell {version('lexicell')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options that stand before the verb."""


def run(args: Sequence[str] | None) -> NoReturn:
    """Run a verb and exit; see `lexicell.cli.main`."""
    given = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in given
    try:
        code = app(given, prog_name="lexicell", standalone_mode=False)
    except typer.Exit as error:
        code = error.exit_code
    except _UsageError as error:
        verb = "lexicell" if error.ctx is None else error.ctx.command_path
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            said = " ".join(error.format_message().split()).rstrip(".")
            _console.error(f"{said}; `{verb} --help` lists what there is")
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except LexicellError as error:
        if debug:
            raise
        _console.error(str(error))
        code = error.exit_code
    except Exception as error:
        if debug:
            raise
        from lexicell._limits import limit_reached

        unexpected = f"unexpected {type(error).__name__}: {error}; run again with `lexicell --debug ...`"
        _console.error(str(limit_reached("lexicell", error) or unexpected))
        code = 1
    if code == _INTERRUPTED:  # also where typer caught it first
        _console.error("interrupted; no output was written")
    sys.exit(code if isinstance(code, int) else 0)
