"""``lexicell.export``: cells as the inputs of other models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexicell.atlas import Values
from lexicell.embedding import AlignedCells, AlignOptions, Listener, align_cells
from lexicell.embedding._main_guard import check_main_guard
from lexicell.embedding.aligned import DEFAULT_LEXICON
from lexicell.embedding.events import log
from lexicell.embedding.inputs import Output, inputs_of, open_data, run_mode
from lexicell.errors import InputError
from lexicell.exports import geneformer, ranked, sentences, vectors
from lexicell.exports.run import Container, Exported, Prepared, write_tables
from lexicell.lexicon import GeneList, Lexicon

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["FORMATS", "Format", "export"]


@dataclass(frozen=True)
class Format:
    """One kind of output.

    Attributes
    ----------
    summary
        One line: whom it is for.
    checked
        "loaded with the original", "held against a reference" or "not checked".
    options
        Dataclass of what it takes.
    prepare
        Settles what becomes of a data set.
    container
        How it is written, unless asked otherwise.
    """

    summary: str
    checked: str
    options: type[Any]
    prepare: Callable[[AlignedCells, Any, Listener], Prepared]
    container: Container = "hf"


FORMATS: Mapping[str, Format] = {
    "geneformer": Format(
        "Geneformer v1 and v2: ranked tokens, in a Hugging Face folder",
        "held against a reference",
        geneformer.GeneformerOptions,
        geneformer.prepare,
    ),
    "cell-sentence": Format(
        "Cell2Sentence and text models: genes as words, in a Hugging Face folder",
        "held against a reference",
        sentences.SentenceOptions,
        sentences.prepare,
    ),
    "ranked": Format(
        "scReader-like models and whatever comes next: ranked genes with counts, and a table of genes",
        "not checked",
        ranked.RankedOptions,
        ranked.prepare,
        "parquet",
    ),
    "vectors": Format(
        "everyone outside the field: lexicell's vectors as lists, with their quality",
        "held against a reference",
        vectors.VectorOptions,
        vectors.prepare,
        "parquet",
    ),
}


def export(
    format: str,  # noqa: A002 -- the field's own word
    data: str | Path | Sequence[str | Path] | AnnData,
    output: str | Path,
    *,
    obs_columns: Sequence[str] = (),
    container: Container | None = None,
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
        A new folder.
    obs_columns
        Columns of ``obs`` that go along; missing values become null.
    container
        ``"hf"``, a folder for ``datasets.load_from_disk``, or ``"parquet"``, a folder of Parquet files.
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
        Of the format: `GeneformerOptions`, `SentenceOptions`, `RankedOptions` or `VectorOptions` of
        `lexicell.exports`.

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
    chosen = _format(format)
    settings = _settings(format, chosen, options)
    if scheduler == "local":
        check_main_guard()
    inputs = inputs_of(data, layer, modality, use_raw=use_raw, follow_links=follow_links)
    target = Output(output, mode=run_mode(overwrite=overwrite, resume=resume))
    target.check_folder(data if inputs is None else inputs)
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
            format, cells, prepared, target, inputs, container=container or chosen.container, obs=columns,
            workers=workers, scheduler=scheduler, listener=listener,
        )  # fmt: skip


def _format(name: str) -> Format:
    if name not in FORMATS:
        near = get_close_matches(name, FORMATS, 3, 0.3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(FORMATS)}"
        msg = f"there is no format {name!r}; {hint}"
        raise InputError(msg)
    return FORMATS[name]


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
