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
from lexicell.exports import (
    bags,
    chat,
    counts,
    geneformer,
    group_genes,
    ranked,
    scbank,
    sentences,
    soma,
    spatial_graph,
    vectors,
)
from lexicell.exports.prepared import Prepared
from lexicell.exports.run import Container, Exported, write_tables
from lexicell.lexicon import GeneList, Lexicon

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["FORMATS", "Format", "export", "format_of"]


@dataclass(frozen=True)
class Format:
    """One kind of output.

    Attributes
    ----------
    summary
        One line: whom it is for.
    about
        What becomes of a cell.
    checked
        "loaded with the original", "held against a reference" or "not checked".
    options
        Dataclass of what it takes.
    prepare
        Settles what becomes of a data set.
    container
        How tables are written, unless asked otherwise; None for a format that has files of its own.
    output
        What the output is: "a new folder", or "an .h5ad or .zarr".
    by_lexicon
        Whether its genes are those of the lexicon, so that a list of genes can choose among them.
    """

    summary: str
    about: str
    checked: str
    options: type[Any]
    prepare: Callable[[AlignedCells, Any, Listener], Prepared]
    container: Container | None = "hf"
    output: str = "a new folder"
    by_lexicon: bool = False


_ORIGINAL, _REFERENCE, _UNCHECKED = "loaded with the original", "held against a reference", "not checked"

FORMATS: Mapping[str, Format] = {
    "counts": Format(
        "TranscriptFormer, UCE, SCimilarity, STATE, scPRINT, scGPT, CFGen: one AnnData for all of them",
        "Write raw counts, ids, symbols and totals as every model that reads an AnnData looks for them.\n\n"
        "Says of each model which cells and genes it will leave out or cut.",
        _REFERENCE,
        counts.CountsOptions,
        counts.prepare,
        None,
        "an .h5ad or .zarr",
    ),
    "geneformer": Format(
        "Geneformer v1 and v2, scCello, Cell2Text: ranked tokens, in a Hugging Face folder",
        "Write Geneformer's input_ids, as its own tokenizer does.\n\n"
        "Cells keep their order and names (cell_id); those without a token are empty lists.",
        _REFERENCE,
        geneformer.GeneformerOptions,
        geneformer.prepare,
    ),
    "cell-sentence": Format(
        "Cell2Sentence and text models: genes as words, in a Hugging Face folder",
        "Write each cell as a sentence of its genes, the most expressed first.\n\n"
        "n_tied tells how many words the order of the lexicon has chosen among genes of the same count.",
        _REFERENCE,
        sentences.SentenceOptions,
        sentences.prepare,
        by_lexicon=True,
    ),
    "scbank": Format(
        "pretraining of scGPT, and scMMGPT: counts in column order, as scBank has them",
        "Write tokens and raw counts of each cell, in the order of the data set's columns.",
        _REFERENCE,
        scbank.ScBankOptions,
        scbank.prepare,
        None,
    ),
    "chat": Format(
        "CellVerse and fine-tuning of language models: questions about cells, and their answers",
        "Write a question about the genes of each labelled cell, and its answer.",
        _REFERENCE,
        chat.ChatOptions,
        chat.prepare,
        None,
        by_lexicon=True,
    ),
    "ranked": Format(
        "scReader-like models and whatever comes next: ranked genes with counts, and a table of genes",
        "Write ranked genes with their counts; _genes.parquet says which gene a number is.",
        _UNCHECKED,
        ranked.RankedOptions,
        ranked.prepare,
        "parquet",
        by_lexicon=True,
    ),
    "vectors": Format(
        "everyone outside the field: lexicell's vectors as lists, with their quality",
        "Write lexicell's own vectors as a column of lists, with the cells' quality.",
        _REFERENCE,
        vectors.VectorOptions,
        vectors.prepare,
        "parquet",
        by_lexicon=True,
    ),
    "bags": Format(
        "MixMIL, torchmil, MMIL: the vectors of each donor, one label for them, and donors for training",
        "Write the vectors of cells donor by donor, with a label of each donor, and split the donors.\n\n"
        "What is fitted, components and scales, is fitted to the cells of training donors only.",
        _ORIGINAL,
        bags.BagOptions,
        bags.prepare,
        None,
        by_lexicon=True,
    ),
    "spatial-graph": Format(
        "HEIST, PyTorch Geometric, squidpy: vectors of cells, and edges to those that lie near, by slide",
        "Write a graph of cells for each slide: tensors, and an AnnData with the keys of squidpy.\n\n"
        "With --gene-graph also the graphs of genes that vary together in groups of cells.",
        _ORIGINAL,
        spatial_graph.SpatialGraphOptions,
        spatial_graph.prepare,
        None,
        by_lexicon=True,
    ),
    "soma": Format(
        "the CELLxGENE Census: vectors by soma_joinid, as it takes contributed embeddings",
        "Write vectors in bfloat16 precision by the numbers that cells have in the Census.\n\n"
        "A cell without genes is left out: what is not there was not embedded.",
        _ORIGINAL,
        soma.SomaOptions,
        soma.prepare,
        None,
        by_lexicon=True,
    ),
    "genes": Format(
        "GENERator, VQDNA and other models of DNA, which read no cells: genes of groups, and promoters",
        "Write a table of the genes of each group of cells, and with --gtf their promoters.",
        _REFERENCE,
        group_genes.GroupGeneOptions,
        group_genes.prepare,
        None,
        by_lexicon=True,
    ),
}


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
    if "h5ad" not in chosen.output:
        output.check_folder(data)
        return
    output.check(data)
    if output.is_h5ad and scheduler is not None:
        msg = f"{output.path}: an .h5ad is written in order, by one process; give a .zarr, or no scheduler"
        raise InputError(msg)


def format_of(name: str) -> Format:
    """Format of a name; InputError with the nearest names where there is none."""
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
