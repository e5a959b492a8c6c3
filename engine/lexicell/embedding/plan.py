"""What a run will do, decided and checked before the first cell is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blake3
import numpy as np
from numpy.typing import NDArray

from lexicell._arrays import Device, require_gpu
from lexicell.atlas import ConcatSource, CountSource, Values, decode_values, read_sample, resolve_values
from lexicell.atlas.counts._blocks import gather_rows
from lexicell.embedding.events import Listener, Note, ignore
from lexicell.embedding.fold import FoldedTable, either, fold
from lexicell.embedding.learned import about, facts, tell_chosen, tell_pooling
from lexicell.embedding.pipeline import MAX_NNZ, BlockEmbedder
from lexicell.embedding.recipe import Recipe, resolve_recipe
from lexicell.embedding.refine import refined
from lexicell.errors import CoverageError, InputError
from lexicell.lexicon import TEXT_FLAGS, Alignment, Lexicon, TextFlag, align_genes
from lexicell.projection import Projection
from lexicell_kernels import CsrBlock

__all__ = ["DEFAULT_LEXICON", "Options", "Plan", "described_share", "make_plan"]

DEFAULT_LEXICON = "human-go-minilm"
#: Cells at the start, in the middle and at the end whose names identify an input.
_NAMED = 1_000
#: Cells of which machines compare what they become.
_PROBED = 64
#: Cells up to which all names are looked at for repeated ones.
_MOST_NAMES = 200_000


@dataclass(frozen=True, slots=True)
class Options:
    """What a user can choose about an embedding.

    Attributes
    ----------
    lexicon
        Name of a bundled lexicon, a folder, or an opened one.
    projection
        Learned map or its folder, or None for what the recipe makes of the lexicon's vectors.
    recipe
        Name or `Recipe`, or None for what the projection was learned with, else the default; `top_k` and
        `weight` replace its settings.
    top_k, weight
        See `Recipe`.
    values
        What the matrix holds; None to find out.
    gene_column, organism
        See `lexicell.lexicon.align_genes`.
    min_coverage
        Least share of the counts that must lie in described genes, 0 to 1.
    mask
        Genes whose text has one of these flags are never used, as if the lexicon did not have them.
    device
        Where to embed: "cpu", "cuda", or "auto" for where the counts lie.
    """

    lexicon: str | Lexicon = DEFAULT_LEXICON
    projection: Projection | str | Path | None = None
    recipe: str | Recipe | None = None
    top_k: int | None = None
    weight: str | None = None
    values: Values | str | None = None
    gene_column: str | None = None
    organism: str | None = None
    min_coverage: float = 0.5
    mask: Sequence[str] = ()
    device: str = "auto"


@dataclass(frozen=True)
class Plan:
    """Everything that is settled before a run; `describe` is what ``--dry-run`` prints.

    `mask` holds the flags of genes that are left out, `n_masked` how many genes of the data set have one,
    `device` where cells are embedded, `names` a hash of names of cells and genes. `probe` holds a few cells
    as they are stored, and `refined` tells that the projection was made of the lexicon, for the recipe.
    """

    source: CountSource
    lexicon: Lexicon
    alignment: Alignment
    folded: FoldedTable
    recipe: Recipe
    values: Values
    coverage: float
    probe: CsrBlock
    projection: Projection | None = None
    refined: bool = False
    mask: tuple[TextFlag, ...] = ()
    n_masked: int = 0
    device: Device = "cpu"
    names: str = ""

    @property
    def dim(self) -> int:
        """Output dimensions, ``p``."""
        return self.folded.dim

    @property
    def embedder(self) -> BlockEmbedder:
        """What embeds blocks of the source."""
        return BlockEmbedder(
            self.folded, self.recipe, self.values, self.device, self.source.label, self.source.var.index
        )

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
            **facts(self.projection),
            "mask": ", ".join(self._masks) or "none",
            "masked_genes": self.n_masked,
            "coverage": round(self.coverage, 4),
            "recipe": self.recipe.name,
            "top_k": self.recipe.top_k,
            "weight": str(self.recipe.weight),
            "dim": self.dim,
            "table_dtype": str(table.vectors.dtype),
            "table_bytes": int(table.vectors.nbytes),
            "block_values": MAX_NNZ,
            "device": self.device,
            "output_bytes": self.source.n_cells * self.dim * itemsize,
        }

    @property
    def _masks(self) -> tuple[str, ...]:
        """What masks genes."""
        learned = self.projection is not None and self.projection.masked is not None
        return (*self.mask, "projection") if learned else self.mask

    def provenance(self) -> dict[str, Any]:
        """Return what belongs into ``uns``: enough to make the same vectors again."""
        from importlib.metadata import version

        alignment, card = self.alignment, about(self.projection)
        return {
            "version": version("lexicell"),
            "recipe": self.recipe.name,
            "top_k": 0 if self.recipe.top_k is None else self.recipe.top_k,
            "weight": str(self.recipe.weight),
            "normalise": self.recipe.normalise,
            "values": str(self.values),
            "device": self.device,
            "lexicon": {"name": self.lexicon.name, "identity": self.lexicon.identity},
            "projection": "none" if self.projection is None else self.projection.identity,
            **({"projection_card": card} if card else {}),
            "input": {
                "cells": self.source.n_cells,
                "names": self.names,
            },
            "genes": {
                "column": alignment.column,
                "organism": alignment.organism,
                "matched_columns": alignment.n_matched,
                "genes": alignment.n_genes,
                "columns": len(alignment.names),
                "mask": ",".join(self._masks) or "none",
                "masked": self.n_masked,
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
        Files of the lexicon or the projection were changed.
    """
    projection = options.projection
    if not isinstance(projection, Projection | None):
        projection = Projection.load(projection)
    learned = None if projection is None else projection.pooling
    recipe = resolve_recipe(options.recipe, options.top_k, options.weight, learned)
    tell_pooling(learned, recipe, listener)
    device = _device(source, options.device)
    lexicon = options.lexicon if isinstance(options.lexicon, Lexicon) else Lexicon.open(options.lexicon)
    is_refined = projection is None and recipe.refine
    if is_refined:
        projection = refined(lexicon)
    elif projection is not None:
        projection.check_lexicon(lexicon)
    asked = _values(options.values)
    for text in source.notes:
        listener(Note(text))
    if isinstance(source, ConcatSource):
        for text in source.check(asked):
            listener(Note(text))
    sample = read_sample(source)
    resolved = resolve_values(source, asked, sample)
    values = resolved.values
    if resolved.note:
        listener(Note(resolved.note, serious=True))
    alignment = align_genes(lexicon, source.var, column=options.gene_column, organism=options.organism)
    listener(Note(alignment.describe()))
    mask = _mask(options.mask)
    flagged = _masked(lexicon, mask, listener)
    n_flagged = _count_masked(alignment, flagged)
    coverage = described_share(sample, alignment, values, flagged)
    _check_coverage(source, lexicon, alignment, coverage, options.min_coverage, n_flagged)
    if flagged is not None:
        listener(
            Note(
                f"{n_flagged:,} of {alignment.n_genes:,} genes are masked ({', '.join(mask)}): their counts "
                "lie in genes without a description"
            )
        )
    _tell_oddities(source, alignment, listener)
    masked, n_masked = flagged, n_flagged
    if projection is not None and projection.masked is not None:
        # Few genes may be chosen and hold few counts: that is no sign of a wrong lexicon, so it is told only.
        masked = either(flagged, projection.masked)
        n_masked = _count_masked(alignment, masked)
        coverage = described_share(sample, alignment, values, masked)
        here = alignment.n_genes - n_masked
        tell_chosen(source.label, projection.masked, here, coverage, listener)

    folded = fold(lexicon, alignment, projection, masked=masked, device=device)
    if options.top_k is not None and options.top_k > folded.table.n_genes:
        msg = (
            f"{source.label}: top_k is {options.top_k}, more than the "
            f"{folded.table.n_genes:,} described genes; "
            "give a smaller one, or the recipe genept-w for all genes"
        )
        raise InputError(msg)
    return Plan(
        source,
        lexicon,
        alignment,
        folded,
        recipe,
        values,
        coverage,
        gather_rows(sample, np.arange(min(_PROBED, sample.n_rows))),
        projection,
        is_refined,
        mask,
        n_masked,
        device,
        _names_hash(source),
    )


def _names_hash(source: CountSource) -> str:
    """Hash the names of all genes and of the first, middle and last cells: reading 100 M takes minutes."""
    digest, n = blake3.blake3(), source.n_cells
    few = min(n, _NAMED)
    parts = [source.names(start, start + few) for start in (0, (n - few) // 2, n - few)]
    for index in (*parts, source.var.index):
        digest.update("\n".join(map(str, index)).encode() + b"\0")
    return digest.hexdigest()


def described_share(
    sample: CsrBlock, alignment: Alignment, values: Values, masked: NDArray[np.bool_] | None = None
) -> float:
    """Return the share of a sample's counts that lies in described genes, masked ones (``[G]``) excepted."""
    x = np.nan_to_num(decode_values(sample, values).data.astype(np.float64), posinf=0.0).clip(min=0)
    total = float(x.sum())
    described = alignment.rows >= 0
    if masked is not None:
        described &= ~masked[np.maximum(alignment.rows, 0)]
    return float(x[described[sample.indices]].sum()) / total if total else 0.0


def _device(source: CountSource, asked: str) -> Device:
    choices: dict[str, Device] = {"auto": source.device, "cpu": "cpu", "cuda": "cuda"}
    if asked not in choices:
        msg = f"the device is one of {', '.join(choices)}, not {asked!r}"
        raise InputError(msg)
    if choices[asked] == "cuda":
        require_gpu()
    return choices[asked]


def _mask(asked: Sequence[str]) -> tuple[TextFlag, ...]:
    named: Sequence[str] = (asked,) if isinstance(asked, str) else asked
    unknown = [flag for flag in named if flag not in TEXT_FLAGS]
    if unknown:
        msg = f"genes are masked by one of {', '.join(TEXT_FLAGS)}, not by {unknown[0]!r}"
        raise InputError(msg)
    return tuple(flag for flag in TEXT_FLAGS if flag in named)


def _masked(lexicon: Lexicon, mask: tuple[TextFlag, ...], listener: Listener) -> NDArray[np.bool_] | None:
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


def _count_masked(alignment: Alignment, masked: NDArray[np.bool_] | None) -> int:
    return 0 if masked is None else int(masked[np.unique(alignment.rows[alignment.rows >= 0])].sum())


def _values(asked: Values | str | None) -> Values | None:
    try:
        return None if asked is None else Values(asked)
    except ValueError:
        msg = f"values are one of {', '.join(Values)}, not {asked!r}"
        raise InputError(msg) from None


def _check_coverage(
    source: CountSource,
    lexicon: Lexicon,
    alignment: Alignment,
    coverage: float,
    least: float,
    n_masked: int,
) -> None:
    if alignment.n_matched == 0:
        msg = f"{source.label} and the lexicon {lexicon.name} have no gene in common: {alignment.why_none()}"
        raise CoverageError(msg)
    if n_masked == alignment.n_genes:
        msg = f"{source.label}: all {n_masked:,} genes are masked; mask fewer, or use another lexicon"
        raise CoverageError(msg)
    if coverage < least:
        without = f" without the {n_masked:,} masked ones" if n_masked else ""
        msg = (
            f"{source.label}: only {coverage:.0%} of the counts lie in genes that {lexicon.name} describes"
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
