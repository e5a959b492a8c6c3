"""``lexicell.search`` and ``lexicell.describe``: the cells and the genes that a sentence speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from lexicell._files import check_table
from lexicell.counts import CountSource, Values, check_writable
from lexicell.embedding import AlignedCells, AlignOptions, Listener, align_cells, embed_in_memory, plan_cells
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.events import log
from lexicell.embedding.inputs import Output, inputs_of, open_data, run_mode
from lexicell.errors import InputError
from lexicell.lexicon import GeneList, Lexicon
from lexicell.store import vectors_of
from lexicell.words.cells import logged_counts
from lexicell.words.descriptions import Description, read_descriptions, shipped_type
from lexicell.words.naming import CALLED, called_up
from lexicell.words.panel import listed_genes
from lexicell.words.retrieval import likeness_of
from lexicell.words.score_run import score_to_folder
from lexicell.words.scoring import ask, score_cells
from lexicell.words.stored import InMemory, search_by_genes, search_by_text, search_like
from lexicell.words.table import Search

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Text", "describe", "descriptions_of", "score_text", "search", "search_counts"]

#: One sentence, several, or several by names.
Text = str | Sequence[str] | Mapping[str, str]


def search(
    data: str | Path | Sequence[str | Path] | AnnData,
    text: Text | None = None,
    output: str | Path | None = None,
    *,
    like: str | None = None,
    genes: GeneList | None = None,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    values: Values | str | None = None,
    gene_column: str | None = None,
    organism: str | None = None,
    min_coverage: float = 0.0,
    mask_genes: Sequence[str] = (),
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    listener: Listener = log,
) -> Search:
    """Find cells by a sentence about what they do, by a cell, or by genes.

    A sentence calls up the genes whose texts speak of the same; the cells correct how much each of them
    counts, without labels; and the weighted mean of their standardised expression is a cell's score. Each
    sentence is looked for alone: scores of several can't be compared, for which see
    ``lexicell.annotate(..., describe=...)``.

    Parameters
    ----------
    data
        Cells, see `lexicell.embed`; or a store that it wrote. Its vectors say less of a sentence's genes than
        counts do, see `lexicell.words.stored.search_by_text`.
    text
        A sentence, several, or several by names.
    output
        ``.csv`` or ``.parquet`` for the scores of all cells; a name without a suffix for a folder of Parquet
        files, written shard by shard in bounded memory.
    like
        Name of a cell: the cosine of its vector and each cell's, in place of sentences.
    genes
        Genes, or a file with one name a line: the mean of their standardised ``log1p(1e4 x / N)``.
    lexicon
        Bundled name, folder or opened lexicon.
    layer, use_raw, modality, follow_links, values, gene_column, organism, min_coverage, mask_genes
        How data are read and understood, see `lexicell.embed`.
    seed
        Of the groups of cells that correct the genes.
    workers
        Threads that write a folder; None for as many as there are CPUs.
    overwrite
        Replace an existing output.
    resume
        Go on with a run to this folder that was interrupted, or begin it.
    listener
        Is told what was understood and how far it is.

    Returns
    -------
    Search
        Scores of all cells, and the genes that they are made of.

    Raises
    ------
    InputError, CountsError, CoverageError, OutputExistsError
        Not one of `text`, `like` and `genes` is given, or it finds nothing; data or an option can't be used.
    CorruptDataError
        An input is damaged.
    PartialError
        The run to a folder could not go on; what is done can be continued with `resume`.
    MissingExtraError
        scikit-learn is not installed.
    """
    if sum(asked is not None for asked in (text, like, genes)) != 1:
        msg = "give one of a sentence, a cell that others shall be like (--like), and genes (--genes)"
        raise InputError(msg)
    _check_names(text, output)
    inputs = inputs_of(data, layer, modality, use_raw=use_raw, follow_links=follow_links)
    folder = _folder(output, text, data if inputs is None else inputs, overwrite=overwrite, resume=resume)
    target = (
        None if output is None or folder is not None else check_table(output, "scores", overwrite=overwrite)
    )
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    store = vectors_of(data)
    if store is not None:
        about_counts = (layer, use_raw, modality, values, gene_column, organism, mask_genes, min_coverage)
        if folder is not None or any(about_counts):
            msg = (
                f"{data} holds vectors and no counts: leave options about counts and a folder out, or name "
                "the data that it was made from"
            )
            raise InputError(msg)
        if text is not None:
            found = search_by_text(store, descriptions_of(text), opened, listener)
        elif genes is not None:
            found = search_by_genes(store, _listed(genes), opened, listener)
        else:
            found = search_like(store, str(like), {"cells": len(store.names)})
    else:
        options = AlignOptions(
            lexicon=opened, values=values, gene_column=gene_column, organism=organism,
            min_coverage=min_coverage, mask_genes=mask_genes,
        )  # fmt: skip
        with open_data(data, layer, modality, use_raw=use_raw, follow_links=follow_links) as source:
            if genes is not None:
                found = _by_genes(source, options, _listed(genes), listener)
            else:
                cells = align_cells(source, options, listener)
                if text is not None and folder is not None:
                    found = score_to_folder(
                        cells,
                        descriptions_of(text),
                        folder,
                        inputs,
                        seed=seed,
                        workers=workers,
                        listener=listener,
                    )
                elif text is not None:
                    found = search_counts(cells, descriptions_of(text), seed, listener)
                else:
                    plan = plan_cells(cells, listener=listener)
                    vectors, _ = embed_in_memory(source, plan.embedder, listener=listener)
                    facts = {"lexicon": cells.lexicon.name, "cells": source.n_cells}
                    names = source.names(0, source.n_cells)
                    found = search_like(InMemory(names, vectors), str(like), facts)
    if target is not None:
        found.write(target, overwrite=overwrite)
    return found


def describe(
    text: Text,
    data: str | Path | Sequence[str | Path] | AnnData | None = None,
    *,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    values: Values | str | None = None,
    gene_column: str | None = None,
    organism: str | None = None,
    listener: Listener = log,
) -> pd.DataFrame:
    """Show which genes a sentence calls up, before any cell is looked at.

    Parameters
    ----------
    text
        A sentence, several, several by names; or the name or Cell Ontology id of a type whose sentence comes
        with the package.
    data
        Cells whose panel is compared, see `lexicell.embed`; their counts are not read, but for a sample.
    lexicon
        Bundled name, folder or opened lexicon.
    layer, use_raw, modality, follow_links, values, gene_column, organism
        How data are read and understood, see `lexicell.embed`.
    listener
        Is told what was understood.

    Returns
    -------
    pandas.DataFrame
        The 200 genes that each sentence is most like, best first: ``type``, ``gene``, ``name``, ``likeness``
        (standard deviations above the lexicon's mean), ``others`` (share of the shipped sentences that call
        the gene up too: 0 is specific, 1 says nothing) and, with `data`, ``measured``.

    Raises
    ------
    InputError, CoverageError, CorruptDataError, MissingExtraError
        As `search`.
    """
    descriptions = descriptions_of(text)
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    likeness, null = likeness_of(descriptions, opened, listener)
    called = called_up(likeness)
    others = (called_up(null) > 0).mean(axis=0)
    order = np.argsort(-called, axis=1, kind="stable")[:, :CALLED]
    kind, rank = np.nonzero(np.take_along_axis(called, order, 1) > 0)
    rows = order[kind, rank]
    who = opened.genes
    table = pd.DataFrame({
        "type": np.asarray([of.name for of in descriptions], object)[kind],
        "gene": np.asarray(who.column("symbol").to_pylist(), object)[rows],
        "name": np.asarray(who.column("name").to_pylist(), object)[rows],
        "likeness": likeness[kind, rows],
        "others": others[rows],
    })  # fmt: skip
    if data is not None:
        options = AlignOptions(
            lexicon=opened, values=values, gene_column=gene_column, organism=organism, min_coverage=None
        )
        with open_data(data, layer, modality, use_raw=use_raw, follow_links=follow_links) as source:
            measured = align_cells(source, options, listener).genes.rows
        table["measured"] = np.isin(rows, measured)
    return table


def score_text(adata: AnnData, text: Text, *, prefix: str = "", **options: Any) -> None:
    """Score the cells of an AnnData by sentences, as ``scanpy.tl.score_genes`` does by genes.

    Parameters
    ----------
    adata
        Cells x genes.
    text
        A sentence, several, or several by names.
    prefix
        Of the columns' names.
    **options
        Of `lexicell.search`, but for `output`, `overwrite`, `resume`, `workers`, `like`, `genes` and
        `follow_links`.

    Returns
    -------
    None
        Writes ``adata.obs[prefix + name]`` (float32), the name of a sentence without one being itself.

    Raises
    ------
    InputError, CountsError, CoverageError, CorruptDataError, MissingExtraError
        As `lexicell.search`; `adata` is then unchanged.
    """
    if refused := options.keys() & {
        "output",
        "overwrite",
        "resume",
        "workers",
        "like",
        "genes",
        "follow_links",
    }:
        msg = f"tl.score_text writes into the AnnData: leave {', '.join(sorted(refused))} out"
        raise InputError(msg)
    check_writable(adata)
    found = search(adata, text, **options)
    for name in found.scores.columns:
        adata.obs[prefix + name] = found.scores[name].to_numpy()


def descriptions_of(text: Text) -> tuple[Description, ...]:
    """Make descriptions of sentences: a sentence's name is itself, and a type's sentence the shipped one."""
    if isinstance(text, Mapping):
        return read_descriptions(text)
    asked = [text] if isinstance(text, str) else list(text)
    return read_descriptions([shipped_type(str(one)) or Description(str(one), str(one)) for one in asked])


def search_counts(
    cells: AlignedCells, descriptions: tuple[Description, ...], seed: int, listener: Listener
) -> Search:
    """Score the cells of a data set by sentences, each looked for alone; see `search`."""
    question = ask(cells, descriptions, seed=seed, listener=listener)
    scores = score_cells(cells, question.scorer, listener)
    names = cells.source.names(0, cells.source.n_cells)
    facts = {
        "lexicon": cells.lexicon.name,
        "cells": len(names),
        "fitted": question.n_fitted,
        "measured": question.types["measured"].to_dict(),
    }
    return Search(pd.DataFrame(scores, names, list(question.types.index)), question.genes, facts)


def _check_names(text: Text | None, output: str | Path | None) -> None:
    """Raise where a column of scores would have the name of that of the cells."""
    if output is not None and text is not None:
        asked = [text] if isinstance(text, str) else list(text)
        if "cell" in asked:
            msg = "a question can't be called 'cell', as the column with the cells' names is; say more"
            raise InputError(msg)


def _folder(
    output: str | Path | None, text: Any, data: Any, *, overwrite: bool, resume: bool
) -> Output | None:
    """Where an output without a suffix goes, shard by shard; None for a file or nothing."""
    if output is None or Path(output).suffix:
        if resume:
            msg = "a search is continued in a folder (--out scores), which is written shard by shard"
            raise InputError(msg)
        return None
    if text is None:
        msg = f"{output}: scores of sentences go to a folder; name a .csv or a .parquet for others"
        raise InputError(msg)
    folder = Output(output, mode=run_mode(overwrite=overwrite, resume=resume))
    folder.check_folder(data)
    return folder


def _listed(genes: GeneList) -> GeneList:
    """Genes of a file, or by names; ``INS,IAPP`` are two."""
    return genes.split(",") if isinstance(genes, str) and not Path(genes).exists() else genes


def _by_genes(source: CountSource, options: AlignOptions, genes: GeneList, listener: Listener) -> Search:
    cells = align_cells(source, replace(options, genes=genes, min_coverage=None), listener)
    rows = cells.genes.rows
    parts = [logged_counts(selection, rows) for selection in cells.selections(None, listener=listener)]
    logged = sp.csr_array(sp.vstack(parts, format="csr"))
    mean = np.asarray(logged.mean(axis=0, dtype=np.float64)).ravel()
    deviation = np.sqrt((np.asarray(logged.power(2).mean(axis=0)).ravel() - mean**2).clip(1e-12))
    weight = 1 / len(rows)
    score = np.asarray(logged @ (weight / deviation)) - float((mean / deviation).sum() * weight)
    table = listed_genes(cells.lexicon, rows)
    index = source.names(0, source.n_cells)
    scores = pd.DataFrame({table["type"].iloc[0]: score.astype(np.float32)}, index=index)
    return Search(scores, table, {"lexicon": cells.lexicon.name, "cells": len(index)})
