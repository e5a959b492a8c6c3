"""``lexicell export``: a command for each format, made of its options, so that both say the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from inspect import Parameter, Signature, getdoc, signature
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer
from typer.core import TyperGroup

from lexicell.cli import _console
from lexicell.cli import _options as opt

if TYPE_CHECKING:
    from lexicell.exports import Format

__all__ = ["app", "command_of"]

Output = Annotated[str, typer.Argument(metavar="OUT", help="A new folder, or a URL.")]
File = Annotated[
    str,
    typer.Argument(metavar="OUT", help="An .h5ad, written first row to last, or a .zarr, also at a URL."),
]
AsFiles = Annotated[
    Literal["hf", "parquet"] | None,
    typer.Option(
        "--as", help="hf for datasets.load_from_disk, or a folder of Parquet files. Default: by format."
    ),
]


def _common(
    data: opt.DataList,
    output: Output,
    obs_columns: Annotated[
        list[str] | None, typer.Option("--obs-column", help="Column of obs that goes along; may be repeated.")
    ] = None,
    container: AsFiles = None,
    drop_empty: Annotated[bool, typer.Option("--drop-empty", help="Leave out cells without genes.")] = False,
    lexicon: opt.LexiconName = "human-go-minilm",
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    genes: opt.Genes = None,
    workers: opt.Workers = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Let the workers of this Dask scheduler do it, or local processes."
        ),
    ] = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written and how large, and stop.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Parameters of all formats."""


class _Formats(TyperGroup):
    """The formats, whose options are looked up when they are asked for: that takes a second."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        from lexicell.exports import FORMATS

        return list(FORMATS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        from lexicell.exports.formats import FORMATS, format_of

        form = format_of(cmd_name)
        only = typer.Typer(rich_markup_mode=None, add_completion=False)
        settings = {"help_option_names": ["-h", "--help"]}
        only.command(cmd_name, short_help=form.summary, context_settings=settings)(
            command_of(cmd_name, FORMATS[cmd_name])
        )
        return typer.main.get_command(only)


app = typer.Typer(
    cls=_Formats,
    help="Write cells as the inputs of other models.",
    invoke_without_command=True,
    no_args_is_help=True,
)


@app.callback()
def _formats(
    listed: Annotated[
        bool, typer.Option("--list", help="Print the formats, whom they are for, and how they were checked.")
    ] = False,
) -> None:
    """Write cells as the inputs of other models.

    The same cell becomes the same bytes under any order of rows and columns, number of threads and workers,
    and after an interrupt.
    """
    if listed:
        from lexicell.exports import FORMATS

        rows = [(name, form.summary, form.checked) for name, form in FORMATS.items()]
        _console.table(("format", "for", "checked"), rows)


def command_of(name: str, form: Format) -> Callable[..., None]:
    """Command of a format: what all have, and a field of its options for each of its own."""

    def command(**given: Any) -> None:
        _export(name, **given)

    hints = get_type_hints(_common, include_extras=True)
    if form.is_anndata:
        hints["output"] = File
    unused = {"container"} if form.container is None else set()
    unused |= set() if form.by_lexicon else {"genes"}
    shared = [one for key, one in signature(_common).parameters.items() if key not in unused]
    own = list(_own(form.options, hints))
    needed = [one for one in own if one.default is Parameter.empty]
    more = [one for one in own if one.default is not Parameter.empty]
    parameters = [*shared[:2], *needed, *more, *shared[2:]]
    made: Any = command
    made.__signature__ = Signature(
        [one.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[one.name]) for one in parameters]
    )
    command.__annotations__ = {one.name: hints[one.name] for one in parameters}
    command.__doc__ = form.about
    return command


def _own(options: type[Any], hints: dict[str, Any]) -> Iterator[Parameter]:
    """Parameters of a format's own options; puts their types into `hints`."""
    texts = dict(_told(options))
    kinds = get_type_hints(options)
    for field in fields(options):
        flag, kind = f"--{field.name.replace('_', '-')}", kinds[field.name]
        default = Parameter.empty if field.default is MISSING else field.default
        if default == () or default is MISSING:
            flag, kind, default = flag.removesuffix("s"), list[str] | None, None
        hints[field.name] = Annotated[kind, typer.Option(flag, help=texts[field.name])]
        yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default)


def _told(options: type[Any]) -> Iterator[tuple[str, str]]:
    """Names and descriptions of a class's attributes, from its docstring."""
    text = (getdoc(options) or "").partition("Attributes\n----------\n")[2]
    for names, body in re.findall(r"(?m)^([\w, ]+)\n((?:    .*\n?|\n)+)", text):
        plain = re.sub(r"``|`", "", " ".join(body.split()))
        plain = re.sub(r"; None for ([^.;]*)", r". Default: \1", plain)
        for name in names.split(", "):
            yield name, plain


def _export(name: str, *, data: Any, output: str, as_json: bool, **options: Any) -> None:
    from lexicell.exports import export as run

    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    with _console.bar("exporting", "cells") as bar:
        done = run(name, data, output, listener=_console.listen(bar), **given)
    if as_json:
        _console.result_json(done.as_dict())
        return
    for consumer, sentence in done.facts.get("consumers", {}).items():
        _console.note(f"{consumer}: {sentence}")
    if options["dry_run"]:
        _console.facts({key: value for key, value in done.facts.items() if not isinstance(value, dict)})
        return
    dropped = int(done.facts["cells_read"]) - done.cells
    left_out = f", {dropped:,} cells left out" if dropped else ""
    _console.result(f"{done.cells:,} cells -> {done.output}{left_out}")
