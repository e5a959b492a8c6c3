"""Searches among vectors that are there already: by a sentence, or by a cell that others shall be like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.arrays import unit_rows
from lexicell.embedding import Advanced, Listener, Note
from lexicell.embedding.default_projection import default_projection
from lexicell.embedding.labels import find_cell
from lexicell.embedding.remake import check_lexicon, is_imported
from lexicell.errors import InputError
from lexicell.lexicon import GeneList, Lexicon, find_genes, read_gene_list
from lexicell.store import StoredVectors
from lexicell.words.descriptions import Description
from lexicell.words.naming import called_up
from lexicell.words.panel import gene_table, listed_genes
from lexicell.words.retrieval import likeness_of
from lexicell.words.table import Search

__all__ = ["InMemory", "search_by_genes", "search_by_text", "search_like"]

#: How much likeness counts.
_POWER = 2
#: Least variance of a direction of genes' vectors, of the mean one.
_RIDGE = 0.01


class Vectors(Protocol):
    """Vectors of cells, wherever they are."""

    @property
    def names(self) -> pd.Index[Any]:
        """``[N]`` names of the cells."""
        ...

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Some of them."""
        ...

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All of them in order."""
        ...


class InMemory:
    """Vectors that were just made.

    Parameters
    ----------
    names
        ``[N]`` names of the cells.
    vectors
        ``[N, p]``.
    """

    def __init__(self, names: pd.Index[Any], vectors: NDArray[np.float32]) -> None:
        self.names, self._vectors = names, vectors

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """See `Vectors`."""
        return self._vectors[start:stop]

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """See `Vectors`."""
        yield 0, self._vectors


def search_like(vectors: Vectors, cell: str, facts: Mapping[str, Any]) -> Search:
    """Cosine of the vectors of all cells and of one.

    Raises
    ------
    InputError
        There is not one cell of this name.
    """
    at = find_cell(vectors.names, cell)
    (asked,) = unit_rows(vectors.rows(at, at + 1))
    scores = np.concatenate([unit_rows(part) @ asked for _, part in vectors.blocks()])
    table = pd.DataFrame({f"like {cell}": scores}, index=vectors.names)
    return Search(table, pd.DataFrame(columns=["type", "gene", "weight"]), dict(facts))


def search_by_text(
    stored: StoredVectors, descriptions: Sequence[Description], lexicon: Lexicon, listener: Listener
) -> Search:
    """Score cells by what their vectors say of the genes that sentences call up.

    A vector is a weighted mean of genes' vectors. What it says of a gene's weight is, by least squares, its
    product with the gene's vector when the directions of all genes' vectors count alike; a score is the sum
    of these over the genes that the sentence calls up, weighted by ``likeness^2``, standardised. It is less
    sharp than a search of the counts, where cells also correct the genes.

    Parameters
    ----------
    stored
        ``[N, p]``, of the lexicon's vectors or of what the recipe makes of them.
    descriptions
        ``S`` sentences.
    lexicon
        What the store was made with.
    listener
        Is told the progress.

    Raises
    ------
    InputError
        The store was made with another lexicon or a trained projection, or by another model.
    """
    likeness, _ = likeness_of(descriptions, lexicon, listener)
    called = called_up(likeness) ** _POWER
    called /= called.sum(axis=1, keepdims=True)
    names = pd.Index([kind.name for kind in descriptions])
    genes = gene_table(lexicon, np.arange(lexicon.n_genes), names, likeness, called)
    return _by_weights(stored, called, names, genes, lexicon, listener)


def search_by_genes(stored: StoredVectors, genes: GeneList, lexicon: Lexicon, listener: Listener) -> Search:
    """Score cells by what their vectors say of some genes; see `search_by_text`.

    Raises
    ------
    InputError
        No gene is known, or as `search_by_text`.
    """
    rows = find_genes(lexicon, read_gene_list(genes), notify=lambda text: listener(Note(text, serious=True)))
    table = listed_genes(lexicon, rows)
    weights = np.zeros((1, lexicon.n_genes), np.float32)
    weights[0, rows] = 1 / len(rows)
    return _by_weights(stored, weights, pd.Index(table["type"][:1]), table, lexicon, listener)


def _by_weights(
    stored: StoredVectors,
    weights: NDArray[np.float32],
    names: pd.Index[Any],
    genes: pd.DataFrame,
    lexicon: Lexicon,
    listener: Listener,
) -> Search:
    """Sum what vectors say of all genes, weighted by ``[S, G]``, and standardise."""
    note = (
        f"{stored.target} holds vectors and no counts: cells are judged by what vectors say of the genes "
        "that are asked for, also of genes that were not measured"
    )
    listener(Note(note, serious=True))
    table = _table(stored, lexicon)
    table = table - table.mean(axis=0)
    covariance = (table.T @ table).astype(np.float64) / len(table)
    p = len(covariance)
    covariance += np.eye(p) * (_RIDGE * np.trace(covariance) / p)
    direction = np.linalg.solve(covariance, (weights @ table).T.astype(np.float64)).astype(np.float32)
    scores = np.zeros((stored.shape[0], len(weights)), np.float32)
    full = np.zeros(len(scores), bool)
    for start, part in stored.blocks():
        stop = start + len(part)
        scores[start:stop], full[start:stop] = part @ direction, part.any(axis=1)
        listener(Advanced(stop, stored.shape[0], int(part.nbytes)))
    if not full.any():
        msg = f"{stored.target}: no cell has a vector"
        raise InputError(msg)
    scores -= scores[full].mean(axis=0)
    scores /= np.maximum(scores[full].std(axis=0), 1e-9)
    scores[~full] = np.nan
    facts = {"lexicon": lexicon.name, "cells": stored.shape[0]}
    return Search(pd.DataFrame(scores, stored.names, names), genes, facts)


def _table(stored: StoredVectors, lexicon: Lexicon) -> NDArray[np.float32]:
    """``[G, p]``: what a cell with one gene only would be."""
    if is_imported(stored.facts):
        msg = (
            f"{stored.target} holds vectors of another model, which say nothing of genes: name the data that "
            "they are of, or a cell (--like)"
        )
        raise InputError(msg)
    check_lexicon(stored.facts, lexicon, stored.target)
    made = str(stored.facts["projection"])
    if made == "none":
        return np.asarray(lexicon.vectors(lexicon.rows), np.float32)
    refined = default_projection(lexicon)
    if made != refined.identity:
        msg = (
            f"{stored.target} was made with a trained projection, whose numbers say little of single genes: "
            "name the data that it was made from, or a cell (--like)"
        )
        raise InputError(msg)
    return np.asarray(refined.table_rows(lexicon, lexicon.rows), np.float32)
