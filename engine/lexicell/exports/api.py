"""``lexicell.export``: cells as the inputs of other models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexicell.counts import Values
from lexicell.embedding import AlignOptions, Listener, align_cells
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.events import log
from lexicell.embedding.inputs import Output, inputs_of, open_data, run_mode
from lexicell.embedding.main_guard import check_main_guard
from lexicell.errors import InputError, OutputExistsError
from lexicell.exports.formats import Format, format_of
from lexicell.exports.run import Container, Exported, write_tables
from lexicell.lexicon import GeneList, Lexicon

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["export"]


def export(
    format: str,  # noqa: A002 -- the field's own word
    data: str | Path | Sequence[str | Path] | AnnData,
    output: str | Path,
    *,
    obs_columns: Sequence[str] = (),
    container: Container | None = None,
    drop_empty: bool = False,
    dry_run: bool = False,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    values: Values | str | None = None,
    gene_column: str | None = None,
    organism: str | None = None,
    genes: GeneList | None = None,
    overwrite: bool = False,
    resume: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    listener: Listener = log,
    **options: Any,
) -> Exported:
    """Write cells as another model reads them.

    The same cell becomes the same bytes under any order of rows and columns, chunking, number of threads and
    workers, and after an interrupt.

    Parameters
    ----------
    format
        One of `lexicell.exports.FORMATS`.
    data
        Cells, see `lexicell.embed`.
    output
        A new folder; for counts an ``.h5ad``, written first row to last, or a ``.zarr``.
    obs_columns
        Columns of ``obs`` that go along; missing values become null. By default none, and for counts all.
    container
        ``"hf"``, a folder for ``datasets.load_from_disk``, or ``"parquet"``, a folder of Parquet files; for
        formats that are tables.
    drop_empty
        Leave out cells without genes, which else are empty lists.
    dry_run
        Look at the first 1,000 cells, say what would be written and how large, and write nothing.
    lexicon
        Bundled name or folder, for symbols and ids that the data set does not have.
    layer, use_raw, modality, follow_links, values, gene_column, organism, genes
        How data are read and understood, see `lexicell.embed`.
    overwrite
        Replace an existing output.
    resume
        Go on with a run to this folder that was interrupted, or begin it.
    workers, scheduler
        See `lexicell.embed`.
    listener
        Is told what was understood and how far it is.
    **options
        Of the format, see `lexicell.exports.FORMATS`: `CountsOptions`, `GeneformerOptions`,
        `SentenceOptions`, `ScBankOptions`, `ChatOptions`, `RankedOptions`, `VectorOptions`, `BagOptions`,
        `SpatialGraphOptions`, `SomaOptions` or `GroupGeneOptions`.

    Returns
    -------
    Exported
        What was written.

    Raises
    ------
    InputError, CountsError, CoverageError, OutputExistsError
        The format or an option is unknown, the input can't be used, or `output` exists.
    CorruptDataError
        The input or a dictionary is damaged.
    PartialError
        The run could not go on, and what is done can be continued with `resume`.
    """
    chosen = format_of(format)
    settings = _settings(format, chosen, options)
    if scheduler == "local":
        check_main_guard()
    inputs = inputs_of(data, layer, modality, use_raw=use_raw, follow_links=follow_links)
    target = Output(output, mode=run_mode(overwrite=overwrite, resume=resume))
    if genes is not None and not chosen.by_lexicon:
        msg = f"{format} takes the genes of its own dictionary or of the data set, and no list of genes"
        raise InputError(msg)
    _check(format, chosen, target, data if inputs is None else inputs, container, scheduler)
    columns = (obs_columns,) if isinstance(obs_columns, str) else tuple(obs_columns)
    align = AlignOptions(
        lexicon=lexicon,
        values=values,
        gene_column=gene_column,
        organism=organism,
        min_coverage=None,
        genes=genes,
    )
    with open_data(data, layer, modality, use_raw=use_raw, follow_links=follow_links) as source:
        cells = align_cells(source, align, listener)
        prepared = chosen.prepare(cells, settings, listener)
        return write_tables(
            format, cells, prepared, target, inputs, container=container or chosen.container or "hf",
            obs=columns, drop_empty=drop_empty, dry_run=dry_run, workers=workers, scheduler=scheduler,
            listener=listener,
        )  # fmt: skip


def _check(
    name: str, chosen: Format, output: Output, data: Any, container: Container | None, scheduler: str | None
) -> None:
    """Raise where the output can't be written, or not so."""
    if container is not None and chosen.container is None:
        msg = f"{name} has files of its own, and is not written as {container}"
        raise InputError(msg)
    if not chosen.is_anndata:
        output.check_folder(data)
        return
    output.check(data, copied=False)
    if output.is_h5ad and Path(output.path).is_file() and not _is_ours(Path(output.path)):
        msg = f"{output.path} was not written by lexicell export, so it is not replaced; choose another name"
        raise OutputExistsError(msg)
    if output.is_h5ad and scheduler is not None:
        msg = f"{output.path}: an .h5ad is written in order, by one process; give a .zarr, or no scheduler"
        raise InputError(msg)


def _settings(name: str, chosen: Format, options: Mapping[str, Any]) -> Any:
    known = [field.name for field in fields(chosen.options)]
    if unknown := sorted(options.keys() - set(known)):
        msg = f"the format {name} takes {', '.join(known)}, not {', '.join(unknown)}"
        raise InputError(msg)
    try:
        return chosen.options(**options)
    except TypeError as error:
        missing = [field.name for field in fields(chosen.options) if field.name not in options]
        msg = f"the format {name} needs {' and '.join(missing[:2])}"
        raise InputError(msg) from error


def _is_ours(path: Path) -> bool:
    """Whether a file is an AnnData of counts that an export has written."""
    import h5py

    try:
        with h5py.File(path) as file:
            return "uns/lexicell_export" in file
    except OSError:
        return False
