"""What a run will do, decided and checked before the first cell is embedded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import blake3
import numpy as np
import pandas as pd

from lexicell.atlas import CountSource, Values, decode_values, read_sample, resolve_values
from lexicell.embedding.events import Listener, Note, ignore
from lexicell.embedding.fold import FoldedTable, fold
from lexicell.embedding.pipeline import MAX_NNZ
from lexicell.embedding.recipe import DEFAULT_RECIPE, Recipe, resolve_recipe
from lexicell.errors import CoverageError, InputError
from lexicell.learn import Projection
from lexicell.lexicon import Alignment, Lexicon, align_genes
from lexicell_kernels import CsrBlock

__all__ = ["DEFAULT_LEXICON", "Options", "Plan", "described_share", "make_plan"]

DEFAULT_LEXICON = "human-go-minilm"


@dataclass(frozen=True, slots=True)
class Options:
    """What a user can choose about an embedding.

    Attributes
    ----------
    lexicon
        Name of a bundled lexicon, a folder, or an opened one.
    projection
        Learned map, or None for the lexicon's own vectors.
    recipe
        Name or `Recipe`; `top_k` and `weight` replace its settings.
    top_k, weight
        See `Recipe`.
    values
        What the matrix holds; None to find out.
    gene_column, organism
        See `lexicell.lexicon.align_genes`.
    min_coverage
        Least share of the counts that must lie in described genes, 0 to 1.
    """

    lexicon: str | Lexicon = DEFAULT_LEXICON
    projection: Projection | None = None
    recipe: str | Recipe = DEFAULT_RECIPE
    top_k: int | None = None
    weight: str | None = None
    values: Values | str | None = None
    gene_column: str | None = None
    organism: str | None = None
    min_coverage: float = 0.5


@dataclass(frozen=True)
class Plan:
    """Everything that is settled before a run; `describe` is what ``--dry-run`` prints."""

    source: CountSource
    lexicon: Lexicon
    alignment: Alignment
    folded: FoldedTable
    recipe: Recipe
    values: Values
    coverage: float
    projection: Projection | None = None

    @property
    def dim(self) -> int:
        """Output dimensions, ``p``."""
        return self.folded.table.dim

    def describe(self, itemsize: int = 4) -> dict[str, Any]:
        """Return the plan as plain values, for people and for ``--json``; sizes are bytes.

        Parameters
        ----------
        itemsize
            Bytes of one number of the output.
        """
        table = self.folded.table
        return {
            "input": self.source.label,
            "cells": self.source.n_cells,
            "columns": self.source.n_columns,
            "values": str(self.values),
            "lexicon": self.lexicon.name,
            "organism": self.alignment.organism,
            "gene_column": self.alignment.column,
            "genes": table.n_genes,
            "coverage": round(self.coverage, 4),
            "recipe": self.recipe.name,
            "top_k": self.recipe.top_k,
            "weight": str(self.recipe.weight),
            "dim": table.dim,
            "table_dtype": str(table.vectors.dtype),
            "table_bytes": int(table.vectors.nbytes),
            "block_values": MAX_NNZ,
            "output_bytes": self.source.n_cells * table.dim * itemsize,
        }

    def provenance(self) -> dict[str, Any]:
        """Return what belongs into ``uns``: enough to make the same vectors again."""
        from importlib.metadata import version

        alignment = self.alignment
        return {
            "version": version("lexicell"),
            "recipe": self.recipe.name,
            "top_k": 0 if self.recipe.top_k is None else self.recipe.top_k,
            "weight": str(self.recipe.weight),
            "normalise": self.recipe.normalise,
            "values": str(self.values),
            "lexicon": {"name": self.lexicon.name, "identity": self.lexicon.identity},
            "projection": "none" if self.projection is None else self.projection.identity,
            "input": {
                "cells": self.source.n_cells,
                "names": _names_hash(self.source.obs.index, self.source.var.index),
            },
            "genes": {
                "column": alignment.column,
                "organism": alignment.organism,
                "matched_columns": alignment.n_matched,
                "genes": alignment.n_genes,
                "columns": len(alignment.names),
            },
        }


def make_plan(source: CountSource, options: Options, listener: Listener = ignore) -> Plan:
    """Settle everything about embedding `source`, and check that it makes sense.

    Parameters
    ----------
    source
        Opened counts; a sample of up to 1,800 cells is read.
    options
        What the user chose.
    listener
        Is told how the input was understood.

    Raises
    ------
    InputError
        An option does not fit the data.
    CountsError
        The values are not what they should be; see `lexicell.atlas.resolve_values`.
    CoverageError
        No genes in common, or less than ``min_coverage`` of the counts described.
    CorruptDataError
        The lexicon's files were changed.
    """
    recipe = resolve_recipe(options.recipe, options.top_k, options.weight)
    lexicon = options.lexicon if isinstance(options.lexicon, Lexicon) else Lexicon.open(options.lexicon)
    sample = read_sample(source)
    values = resolve_values(source, _values(options.values), sample)
    if values is Values.NORMALISED:
        listener(
            Note(
                "the matrix holds fractions: taken as normalised counts, so ties and totals are theirs",
                serious=True,
            )
        )
    alignment = align_genes(lexicon, source.var, column=options.gene_column, organism=options.organism)
    listener(Note(alignment.describe()))
    coverage = described_share(sample, alignment, values)
    _check_coverage(source, lexicon, alignment, coverage, options.min_coverage)
    _tell_oddities(source, alignment, listener)

    folded = fold(lexicon, alignment, options.projection)
    if options.top_k is not None and options.top_k > folded.table.n_genes:
        msg = (
            f"{source.label}: top_k is {options.top_k}, more than the "
            f"{folded.table.n_genes:,} described genes; "
            "give a smaller one, or the recipe genept-w for all genes"
        )
        raise InputError(msg)
    return Plan(source, lexicon, alignment, folded, recipe, values, coverage, options.projection)


def _names_hash(*indexes: pd.Index[Any]) -> str:
    """Hash the names of cells and genes: what tells one input from another without reading its counts."""
    digest = blake3.blake3()
    for index in indexes:
        for start in range(0, len(index), 1 << 16):
            digest.update("\n".join(map(str, index[start : start + (1 << 16)])).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def described_share(sample: CsrBlock, alignment: Alignment, values: Values) -> float:
    """Return the share of a sample's counts that lies in described genes."""
    x = np.nan_to_num(decode_values(sample, values).data.astype(np.float64), posinf=0.0).clip(min=0)
    total = float(x.sum())
    return float(x[alignment.rows[sample.indices] >= 0].sum()) / total if total else 0.0


def _values(asked: Values | str | None) -> Values | None:
    try:
        return None if asked is None else Values(asked)
    except ValueError:
        msg = f"values are one of {', '.join(Values)}, not {asked!r}"
        raise InputError(msg) from None


def _check_coverage(
    source: CountSource, lexicon: Lexicon, alignment: Alignment, coverage: float, least: float
) -> None:
    if alignment.n_matched == 0:
        shown = ", ".join(alignment.names[:3])
        hint = (
            "these are Ensembl ids of mouse genes, and it knows mouse genes by symbol: name the column of "
            "var that holds symbols with --gene-column"
            if any(name.upper().startswith("ENSMUSG") for name in alignment.names[:100])
            else "name the column of var that holds gene ids or symbols with --gene-column"
        )
        msg = f"{source.label} and the lexicon {lexicon.name} have no gene in common ({shown}, ...); {hint}"
        raise CoverageError(msg)
    if coverage < least:
        msg = (
            f"{source.label}: only {coverage:.0%} of the counts lie in genes that {lexicon.name} describes, "
            f"less than {least:.0%}; look at `lexicell genes align`, try another --gene-column, --organism "
            "or --lexicon, or accept it with --min-coverage"
        )
        raise CoverageError(msg)


def _tell_oddities(source: CountSource, alignment: Alignment, listener: Listener) -> None:
    doubled = alignment.n_matched - alignment.n_genes
    if doubled:
        listener(Note(f"{doubled:,} columns are genes that another column is too: their counts are summed"))
    if alignment.ambiguous:
        shown = ", ".join(alignment.ambiguous[:5])
        listener(
            Note(f"{len(alignment.ambiguous):,} names could mean several genes and are left out: {shown}")
        )
    if alignment.displaced:
        shown = ", ".join(alignment.displaced[:5])
        listener(Note(f"{len(alignment.displaced):,} aliases give way to a gene's own name: {shown}"))
    repeated = int(source.obs.index.duplicated().sum())
    if repeated:
        listener(Note(f"{repeated:,} cell names occur more than once; they are kept, in order"))
