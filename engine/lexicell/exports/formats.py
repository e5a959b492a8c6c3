"""The formats that `lexicell export` writes: whom each is for, and how it was checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lexicell.embedding import AlignedCells, Listener
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
from lexicell.exports.run import Container

__all__ = ["FORMATS", "Format", "format_of"]


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
        "loaded with the original", "held against a reference" or "not checked", and of what.
    options
        Dataclass of what it takes.
    prepare
        Settles what becomes of a data set.
    container
        How tables are written, unless asked otherwise; None for a format that has files of its own.
    is_anndata
        Whether the output is an ``.h5ad`` or a ``.zarr``, and not a new folder.
    by_lexicon
        Whether its genes are those of the lexicon, so that a list of genes can choose among them.
    """

    summary: str
    about: str
    checked: str
    options: type[Any]
    prepare: Callable[[AlignedCells, Any, Listener], Prepared]
    container: Container | None = "hf"
    is_anndata: bool = False
    by_lexicon: bool = False


FORMATS: Mapping[str, Format] = {
    "counts": Format(
        "TranscriptFormer, UCE, SCimilarity, STATE, scPRINT, scGPT, CFGen: one AnnData for all of them",
        "Write raw counts, ids, symbols and totals as every model that reads an AnnData looks for them.\n\n"
        "Says of each model which cells and genes it will leave out or cut.",
        "loaded with the original: TranscriptFormer, cell-load, SCimilarity; else held against a reference",
        counts.CountsOptions,
        counts.prepare,
        None,
        is_anndata=True,
    ),
    "geneformer": Format(
        "Geneformer v1 and v2, scCello, Cell2Text: ranked tokens, in a Hugging Face folder",
        "Write Geneformer's input_ids, as its own tokenizer does.\n\n"
        "Cells keep their order and names (cell_id); those without a token are empty lists.",
        "held against a reference; the folder loaded with datasets",
        geneformer.GeneformerOptions,
        geneformer.prepare,
    ),
    "cell-sentence": Format(
        "Cell2Sentence and text models: genes as words, in a Hugging Face folder",
        "Write each cell as a sentence of its genes, the most expressed first.\n\n"
        "n_tied tells how many words the order of the lexicon has chosen among genes of the same count.",
        "loaded with the original: cell2sentence, datasets",
        sentences.SentenceOptions,
        sentences.prepare,
        by_lexicon=True,
    ),
    "scbank": Format(
        "pretraining of scGPT, and scMMGPT: counts in column order, as scBank has them",
        "Write tokens and raw counts of each cell, in the order of the data set's columns.",
        "loaded with the original: scgpt",
        scbank.ScBankOptions,
        scbank.prepare,
        None,
    ),
    "chat": Format(
        "CellVerse and fine-tuning of language models: questions about cells, and their answers",
        "Write a question about the genes of each labelled cell, and its answer.",
        "held against a reference; the lines loaded with datasets",
        chat.ChatOptions,
        chat.prepare,
        None,
        by_lexicon=True,
    ),
    "ranked": Format(
        "scReader-like models and whatever comes next: ranked genes with counts, and a table of genes",
        "Write ranked genes with their counts; _genes.parquet says which gene a number is.",
        "not checked: no public code reads it",
        ranked.RankedOptions,
        ranked.prepare,
        "parquet",
        by_lexicon=True,
    ),
    "vectors": Format(
        "everyone outside the field: lexicell's vectors as lists, with their quality",
        "Write lexicell's own vectors as a column of lists, with the cells' quality.",
        "loaded with the original: datasets",
        vectors.VectorOptions,
        vectors.prepare,
        "parquet",
        by_lexicon=True,
    ),
    "bags": Format(
        "MixMIL, torchmil, MMIL: the vectors of each donor, one label for them, and donors for training",
        "Write the vectors of cells donor by donor, with a label of each donor, and split the donors.\n\n"
        "What is fitted, components and scales, is fitted to the cells of training donors only.",
        "loaded with the original: torchmil, mixmil",
        bags.BagOptions,
        bags.prepare,
        None,
        by_lexicon=True,
    ),
    "spatial-graph": Format(
        "HEIST, PyTorch Geometric, squidpy: vectors of cells, and edges to those that lie near, by slide",
        "Write a graph of cells for each slide: tensors, and an AnnData with the keys of squidpy.\n\n"
        "With --gene-graph also the graphs of genes that vary together in groups of cells.",
        "loaded with the original: torch-geometric, squidpy; HEIST held against a reference",
        spatial_graph.SpatialGraphOptions,
        spatial_graph.prepare,
        None,
        by_lexicon=True,
    ),
    "soma": Format(
        "the CELLxGENE Census: vectors by soma_joinid, as it takes contributed embeddings",
        "Write vectors in bfloat16 precision by the numbers that cells have in the Census.\n\n"
        "A cell without genes is left out: what is not there was not embedded.",
        "loaded with the original: tiledbsoma",
        soma.SomaOptions,
        soma.prepare,
        None,
        by_lexicon=True,
    ),
    "genes": Format(
        "GENERator, VQDNA and other models of DNA, which read no cells: genes of groups, and promoters",
        "Write a table of the genes of each group of cells, and with --gtf their promoters.",
        "held against a reference",
        group_genes.GroupGeneOptions,
        group_genes.prepare,
        None,
        by_lexicon=True,
    ),
}


def format_of(name: str) -> Format:
    """Format of a name; InputError with the nearest names where there is none."""
    if name not in FORMATS:
        near = get_close_matches(name, FORMATS, 3, 0.3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(FORMATS)}"
        msg = f"there is no format {name!r}; {hint}"
        raise InputError(msg)
    return FORMATS[name]
