"""How AlignedCells are made: what a data set holds, and which genes of a lexicon it measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import blake3
import numpy as np
from numpy.typing import NDArray

from lexicell.counts import ConcatSource, CountSource, Values, decode_values, read_sample, resolve_values
from lexicell.embedding.aligned import AlignedCells
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.events import Listener, Note, ignore
from lexicell.errors import CoverageError, InputError
from lexicell.lexicon import (
    TEXT_FLAGS,
    Alignment,
    GeneList,
    Lexicon,
    TextFlag,
    align_genes,
    find_genes,
    read_gene_list,
)

__all__ = ["DEFAULT_LEXICON", "AlignOptions", "align_cells"]

DEFAULT_LEXICON = "human-go-minilm"
#: Cells at the start, in the middle and at the end whose names identify an input.
_NAMED = 1_000
#: Cells up to which all names are looked at for repeated ones.
_MOST_NAMES = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignOptions:
    """What a user can say about how a data set is to be understood.

    Attributes
    ----------
    lexicon
        Name of a bundled lexicon, a folder, or an opened one.
    values
        What the matrix holds; None to find out.
    gene_column, organism
        See `lexicell.lexicon.align_genes`.
    min_coverage
        Least share of the counts that must lie in described genes, 0 to 1; None for any, also none at all.
    mask_genes
        Genes whose text has one of these flags are never used, as if the lexicon did not have them.
    genes
        The only genes to use: names, or a text file with one a line; None for all.
    """

    lexicon: str | Lexicon = DEFAULT_LEXICON
    values: Values | str | None = None
    gene_column: str | None = None
    organism: str | None = None
    min_coverage: float | None = 0.5
    mask_genes: Sequence[str] = ()
    genes: GeneList | None = None


def align_cells(source: CountSource, options: AlignOptions, listener: Listener = ignore) -> AlignedCells:
    """Find out what a data set holds, and which genes of the lexicon it measures.

    Parameters
    ----------
    source
        Opened counts; a sample of up to 1,800 cells is read.
    options
        What the user says about it.
    listener
        Is told how it was understood.

    Raises
    ------
    InputError
        An option does not fit the data.
    CountsError
        The values are not what they should be; see `lexicell.counts.resolve_values`.
    CoverageError
        No genes in common, or less than ``min_coverage`` of the counts described.
    CorruptDataError
        Files of the lexicon were changed.
    """
    lexicon = options.lexicon if isinstance(options.lexicon, Lexicon) else Lexicon.open(options.lexicon)
    listed = None if options.genes is None else read_gene_list(options.genes)
    asked = _values(options.values)
    for text in source.notes:
        listener(Note(text))
    if isinstance(source, ConcatSource):
        for text in source.check(asked):
            listener(Note(text))
    sample = read_sample(source)
    resolved = resolve_values(source, asked, sample)
    if resolved.note:
        listener(Note(resolved.note, serious=True))
    alignment = align_genes(lexicon, source.var, column=options.gene_column, organism=options.organism)
    listener(Note(alignment.describe()))
    mask = _mask(options.mask_genes)
    flagged = _flagged(lexicon, mask, listener)
    genes = CandidateGenes.of(alignment.rows, flagged)
    coverage = genes.share(decode_values(sample, resolved.values))
    cells = AlignedCells(
        source, lexicon, alignment, resolved.values, genes, sample, coverage, mask, names=_names_hash(source)
    )
    if options.min_coverage is not None:
        _check_coverage(cells, options.min_coverage)
    if flagged is not None:
        text = (
            f"{cells.n_masked:,} of {alignment.n_genes:,} genes are masked ({', '.join(mask)}): their counts "
            "lie in genes without a description"
        )
        listener(Note(text))
    _tell_oddities(source, alignment, listener)
    return cells if listed is None else _only_listed(cells, listed, listener)


def _only_listed(cells: AlignedCells, names: tuple[str, ...], listener: Listener) -> AlignedCells:
    """Keep the genes of a list; few may hold few counts, which is no sign of a wrong lexicon."""
    alignment = cells.alignment
    var = cells.source.var
    columns: list[Any] = [var[use.column] for use in alignment.columns if use.genes and use.column in var]
    of_data: dict[str, set[int]] = {}
    for of_columns in [var.index, alignment.names, *columns]:
        for name, row in zip(map(str, of_columns), alignment.rows.tolist(), strict=True):
            if row >= 0:
                of_data.setdefault(name, set()).add(row)
    rows = find_genes(
        cells.lexicon,
        names,
        organism=alignment.organism,
        also=of_data,
        notify=lambda text: listener(Note(text, serious=True)),
    )
    listed = replace(cells.restrict(rows), listed=blake3.blake3(rows.tobytes()).hexdigest())
    here = len(listed.genes.rows)
    if not here:
        msg = f"{cells.source.label}: none of the {len(rows):,} listed genes is in it; give another list"
        raise CoverageError(msg)
    text = f"{here:,} of the {len(rows):,} listed genes are here, with {listed.coverage:.0%} of the counts"
    listener(Note(text))
    return listed


def _names_hash(source: CountSource) -> str:
    """Hash the names of all genes and of the first, middle and last cells: reading 100 M takes minutes."""
    digest, n = blake3.blake3(), source.n_cells
    few = min(n, _NAMED)
    parts = [source.names(start, start + few) for start in (0, (n - few) // 2, n - few)]
    for index in (*parts, source.var.index):
        digest.update("\n".join(map(str, index)).encode() + b"\0")
    return digest.hexdigest()


def _mask(asked: Sequence[str]) -> tuple[TextFlag, ...]:
    named: Sequence[str] = (asked,) if isinstance(asked, str) else asked
    unknown = [flag for flag in named if flag not in TEXT_FLAGS]
    if unknown:
        msg = f"genes are masked by one of {', '.join(TEXT_FLAGS)}, not by {unknown[0]!r}"
        raise InputError(msg)
    return tuple(flag for flag in TEXT_FLAGS if flag in named)


def _flagged(lexicon: Lexicon, mask: tuple[TextFlag, ...], listener: Listener) -> NDArray[np.bool_] | None:
    """Return which genes of the lexicon have a flag of the mask, ``[G]``; None without mask or flags."""
    if not mask:
        return None
    genes = lexicon.read_genes(["text_flag"])
    # A lexicon of an earlier version has no such column.
    flags = genes.column("text_flag").to_pylist() if "text_flag" in genes.column_names else []
    if not any(flags):
        listener(
            Note(
                f"the lexicon {lexicon.name} has no flags, so no gene is masked; texts are flagged when a "
                "lexicon is built from a table of them",
                serious=True,
            )
        )
        return None
    return np.array([flag in mask for flag in flags], bool)


def _values(asked: Values | str | None) -> Values | None:
    try:
        return None if asked is None else Values(asked)
    except ValueError:
        msg = f"values are one of {', '.join(Values)}, not {asked!r}"
        raise InputError(msg) from None


def _check_coverage(cells: AlignedCells, least: float) -> None:
    label, lexicon, alignment = cells.source.label, cells.lexicon, cells.alignment
    if alignment.n_matched == 0:
        msg = f"{label} and the lexicon {lexicon.name} have no gene in common: {alignment.why_none()}"
        raise CoverageError(msg)
    if not len(cells.genes.rows):
        msg = f"{label}: all {cells.n_masked:,} genes are masked; mask fewer, or use another lexicon"
        raise CoverageError(msg)
    if cells.coverage < least:
        without = f" without the {cells.n_masked:,} masked ones" if cells.n_masked else ""
        msg = (
            f"{label}: only {cells.coverage:.0%} of the counts lie in genes that {lexicon.name} describes"
            f"{without}, less than {least:.0%}; look at `lexicell genes align`, try another --gene-column, "
            "--organism or --lexicon, or accept it with --min-coverage"
        )
        raise CoverageError(msg)


def _tell_oddities(source: CountSource, alignment: Alignment, listener: Listener) -> None:
    doubled = alignment.n_matched - alignment.n_genes
    if doubled:
        listener(Note(f"{doubled:,} columns are genes that another column is too: their counts are summed"))
    for sentence in alignment.oddities():
        listener(Note(sentence))
    repeated = 0
    if source.n_cells <= _MOST_NAMES:
        repeated = int(source.names(0, source.n_cells).duplicated().sum())
    if repeated:
        listener(Note(f"{repeated:,} cell names occur more than once; they are kept, in order"))
