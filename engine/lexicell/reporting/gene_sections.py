"""Parts of a page about genes: what puts groups where they are, and what scores of sentences are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.explanation import Explanation
from lexicell.reporting.content import (
    Block,
    Categories,
    Cells,
    Folded,
    Matrix,
    Section,
    Sentence,
    Table,
    TableColumn,
)

__all__ = ["group_section", "sentence_section"]

#: Rows of tables: genes that count more and less in a group, its sets, genes and groups of a sentence.
_GENES, _LESS, _SETS, _CALLED, _BEST = 10, 5, 6, 12, 8
#: Groups whose similarity is a matrix.
_MOST_IN_MATRIX = 40


def group_section(
    column: Categories, found: Explanation | None, vectors: NDArray[np.float32], why: str
) -> Section:
    """What puts groups of cells where they are, and how near they are to each other.

    Parameters
    ----------
    column
        The groups of the ``n`` cells that are shown.
    found
        Of the same cells; None where nothing is known of their genes.
    vectors
        ``[n, p]`` of these cells.
    why
        Why nothing is known; a sentence.
    """
    blocks: list[Block] = []
    if found is None:
        blocks.append(Sentence(why))
    else:
        blocks.append(
            Sentence(
                "What a gene contributes to where a group stands, less what it does elsewhere; contributions "
                "of all genes and of the bias sum to the score. They tell why vectors are where they are; to "
                "find markers, differential expression is better."
            )
        )
        pathways = None if found.pathways is None else found.pathways.query("redundant_with == ''")
        groups = found.groups.to_dict("index")
        for group in (name for name in column.names if name in groups):  # in the order of the legend
            of = groups[group]
            genes = found.genes[(found.genes["group"] == group)]
            parts = _genes(genes)
            if pathways is not None:
                parts += _sets(pathways[(pathways["group"] == group) & (pathways["contribution"] > 0)])
            first = ", ".join(genes[genes["more"]]["gene"][:4])
            score = f"{of['score']:.3f}" + (f" ({first})" if first else "")
            line = f"\u2068{group}\u2069: {of['cells']:,} cells, score {score}"  # whichever way it is read
            blocks.append(Folded(line, tuple(parts), str(group), opened=len(blocks) == 1))
    blocks.append(_similarity(column, vectors))
    return Section("groups", f"Groups of {column.name}", tuple(blocks))


def _genes(genes: pd.DataFrame) -> list[Table]:
    columns = (
        TableColumn("gene"), TableColumn("contribution", "bar", ".4f"), TableColumn("cells", "number", ".0%"),
        TableColumn("rest", "number", ".0%"), TableColumn("effect", "number", ".1f"),
    )  # fmt: skip
    fields = ["gene", "contribution", "share_of_cells", "share_of_rest", "effect"]
    more, less = genes[genes["more"]], genes[~genes["more"] & (genes["contribution"] > 0)]
    tables = [
        ("Genes that count more here", more.head(_GENES)),
        ("Genes that count less here", less.head(_LESS)),
    ]
    note = "cells and rest: the share that uses the gene; effect: Cohen's d of the cells' contributions."
    return [Table(title, columns, _rows(part[fields]), note) for title, part in tables if len(part)]


def _sets(sets: pd.DataFrame) -> list[Table]:
    if not len(sets):
        return []
    note = "p: how often as many other genes of like expression contribute as much, adjusted for all sets."
    if sets["p_adjusted"].isna().all():
        note = "Of so many groups sets have no p-values here; `lexicell explain` has them."
    columns = (
        TableColumn("gene set"), TableColumn("contribution", "bar", ".4f"),
        TableColumn("genes", "number", ",.0f"), TableColumn("adjusted p", "number", ".3f"),
        TableColumn("leading genes"),
    )  # fmt: skip
    sets = sets.assign(genes=sets["genes"].str.replace(",", ", "))
    fields = ["pathway", "contribution", "n_genes", "p_adjusted", "genes"]
    return [Table("Gene sets that contribute most", columns, _rows(sets.head(_SETS)[fields]), note)]


def _rows(table: pd.DataFrame) -> tuple[tuple[str | float | None, ...], ...]:
    def cell(value: Any) -> str | float | None:
        if isinstance(value, str):
            return value
        return None if pd.isna(value) else float(value)

    return tuple(tuple(cell(value) for value in row) for row in table.itertuples(index=False))


def _similarity(column: Categories, vectors: NDArray[np.float32]) -> Block:
    """Cosines of the groups' mean vectors, seen from the mean of all cells that are shown."""
    sizes = np.bincount(column.codes[column.codes >= 0], minlength=len(column.names))
    there = np.flatnonzero(sizes > 1)
    if len(there) < 2:
        return Sentence("Fewer than two groups have several cells that are drawn, so none can be compared.")
    left = int((sizes == 1).sum())
    means = np.stack([vectors[column.codes == group].mean(axis=0, dtype=np.float64) for group in there])
    means -= vectors.mean(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # of groups that lie where all cells do nothing is known
        means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = means @ means.T
    names = [column.names[group] for group in there]
    title = "How alike groups are"
    note = "Cosine of the groups' mean vectors, seen from the mean of all cells that are drawn."
    if left:
        note += f" Groups of one cell ({left}) are left out."
    if len(names) <= _MOST_IN_MATRIX:
        return Matrix(title, tuple(names), cosines, note)
    np.fill_diagonal(cosines, -2)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :3]
    rows = tuple(
        (name, *(f"{names[other]} ({cosines[i, other]:.2f})" for other in nearest[i]))
        for i, name in enumerate(names)
    )
    columns = (TableColumn("group"), *(TableColumn(rank) for rank in ("nearest", "second", "third")))
    return Table(title, columns, rows, note)


def sentence_section(genes: pd.DataFrame, cells: Cells) -> Section:
    """Which genes a sentence's scores are made of, and which groups score highest."""
    blocks: list[Block] = [
        Sentence(
            "Genes that a sentence calls up are the evidence: look at them before the cells. Scores have "
            "mean 0 and standard deviation 1 over the cells; those of two sentences can't be compared."
        )
    ]
    group = next((column for column in cells.columns if column.name == cells.group), None)
    for column in cells.columns:
        if column.origin != "sentence" or isinstance(column, Categories):
            continue
        # What a gene adds to the score of the cells that score highest; not known of a store without counts.
        by = "added" if "added" in genes else "weight"
        of = genes[(genes["type"] == column.name) & (genes[by] > 0)].head(_CALLED)
        title = f"Genes that it calls up, by {'what they add to the highest scores' if by == 'added' else by}"
        parts: list[Table | Sentence] = [
            Table(title, (TableColumn("gene"), TableColumn(by, "bar", ".3f")), _rows(of[["gene", by]]))
            if len(of)
            else Sentence("No gene that it calls up tells these cells apart.", serious=True)
        ]
        if isinstance(group, Categories):
            has = (group.codes >= 0) & np.isfinite(column.values)
            sizes = np.bincount(group.codes[has], minlength=len(group.names))
            sums = np.bincount(group.codes[has], column.values[has], minlength=len(group.names))
            mean = np.where(sizes > 0, sums / np.maximum(sizes, 1), -np.inf)
            best = [code for code in np.argsort(-mean, kind="stable")[:_BEST] if mean[code] > 0]
            rows = tuple((group.names[code], float(mean[code])) for code in best)
            columns = (TableColumn(cells.group), TableColumn("mean score", "signed", ".2f"))
            if rows:
                parts.append(Table("Groups that score above the mean", columns, rows))
        blocks.append(Folded(column.name, tuple(parts), opened=True))
    return Section("sentences", "Sentences", tuple(blocks))
