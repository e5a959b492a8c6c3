"""One AnnData of raw counts for every model that reads counts, and what each of them will make of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell._say import listed
from lexicell.counts import Values
from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.embedding.labels import read_labels
from lexicell.errors import InputError
from lexicell.exports import vectors
from lexicell.exports.anndata_counts import write_anndata
from lexicell.exports.consumers import Tally
from lexicell.exports.ensembl import ensembl_ids, symbols_of
from lexicell.exports.in_columns import ColumnEncoder, told_rounded
from lexicell.exports.prepared import Prepared
from lexicell.store import write_element

if TYPE_CHECKING:
    from lexicell.store import WriterStore

__all__ = ["CountsOptions", "prepare"]

_TAXA = {"human": "NCBITaxon:9606", "mouse": "NCBITaxon:10090"}
_TAXON = "organism_ontology_term_id"
_PROFILES = ("cfgen",)


@dataclass(frozen=True)
class CountsOptions:
    """What goes with the counts.

    Attributes
    ----------
    vectors
        Also write lexicell's vectors, as ``obsm["X_lexicell"]``.
    recipe, projection
        See `VectorOptions`.
    profile
        ``"cfgen"``: also ``layers["X_counts"]``; cells without a count or a class are refused.
    covariates
        Columns of ``obs`` that CFGen is conditioned on: classes of cells, none missing.
    """

    vectors: bool = False
    recipe: str | None = None
    projection: str | None = None
    profile: Literal["cfgen"] | None = None
    covariates: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.profile is not None and self.profile not in _PROFILES:
            msg = f"profiles of counts are {' and '.join(_PROFILES)}, not {self.profile!r}"
            raise InputError(msg)
        if self.covariates and self.profile != "cfgen":
            msg = "covariates are for the profile cfgen"
            raise InputError(msg)


@dataclass(frozen=True)
class _Assembly:
    """Puts the AnnData together, see `lexicell.exports.prepared.Assembly`."""

    genes: pd.DataFrame
    layers: tuple[str, ...]
    constant: Mapping[str, str]
    refuse_empty: bool
    listener: Listener

    def __call__(
        self, tables: Iterable[pa.Table], store: WriterStore, card: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        import zarr

        return self._write(zarr.open_group(store, mode="a", zarr_format=3), tables, card)

    def write_file(
        self, tables: Iterable[pa.Table], path: Path, card: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        import h5py

        with h5py.File(path, "w") as root:
            return self._write(root, tables, card)

    def foresee(self, table: pa.Table) -> Mapping[str, Any]:
        """What consumers would make of some cells."""
        tally = Tally(self.genes)
        list(tally.watching([table]))
        return {"consumers": tally.sentences()}

    def _write(self, root: Any, tables: Iterable[pa.Table], card: Mapping[str, Any]) -> Mapping[str, Any]:
        tally = Tally(self.genes)
        var = self.genes.set_index("symbol").drop(columns="has_id").rename_axis(None)
        var["feature_name"] = var["gene_name"] = var.index
        write_anndata(root, tally.watching(tables), var, layers=self.layers, constant=self.constant)
        if tally.n_empty and self.refuse_empty:
            msg = f"{tally.n_empty:,} cells have no counts, which breaks CFGen; drop them (--drop-empty)"
            raise InputError(msg)
        told: dict[str, Any] = {"consumers": tally.sentences()}
        told |= told_rounded(tally.n_inexact, self.listener)
        write_element(root["uns"], "lexicell_export", json.dumps({**card, **told, "cells": tally.n_cells}))
        return told


def prepare(cells: AlignedCells, options: CountsOptions, listener: Listener) -> Prepared:
    """Settle which genes the AnnData has, and which columns of the data set they are.

    Raises
    ------
    InputError
        There is no such class, or it is missing in some cells.
    CountsError
        The values are no counts.
    """
    if cells.values is not Values.COUNTS:
        listener(
            Note(f"the values are {cells.values}, and consumers of counts expect whole ones", serious=True)
        )
    for name in options.covariates:
        _check_class(cells, name, listener)
    genes, place = _genes(cells)
    constant = {}
    if _TAXON not in cells.source.obs_columns and cells.alignment.organism in _TAXA:
        constant[_TAXON] = _TAXA[cells.alignment.organism]
    facts: dict[str, Any] = {
        "genes_written": len(genes),
        "collapsed": int(len(place) - len(genes)),
        "without_ensembl_id": int((~genes["has_id"]).sum()),
        "profile": options.profile,
        "covariates": list(options.covariates),
    }
    embedder = None
    if options.vectors:
        made = vectors.prepare(cells, vectors.VectorOptions(options.recipe, options.projection), listener)
        facts["vectors"] = made.facts
        assert isinstance(made.encoder, vectors.VectorEncoder)  # noqa: S101
        embedder = made.encoder
    repeated = genes["symbol"].to_numpy(object)[np.bincount(place, minlength=len(genes)) > 1].tolist()
    together = f"; {facts['collapsed']:,} columns are summed with another of the same symbol or id: "
    together = together + listed(repeated) if facts["collapsed"] else ""
    listener(Note(f"{len(genes):,} genes, {facts['without_ensembl_id']:,} without an Ensembl id{together}"))
    layers = ("counts", "X_counts") if options.profile == "cfgen" else ("counts",)
    assembly = _Assembly(genes, layers, constant, refuse_empty=options.profile == "cfgen", listener=listener)
    encoder = ColumnEncoder(place, len(genes), embedder)
    table = genes.assign(row=np.arange(len(genes), dtype=np.int32))
    return Prepared(encoder, table, facts, assembly=assembly, every_obs=("n_counts", *constant))


def _genes(cells: AlignedCells) -> tuple[pd.DataFrame, NDArray[np.int32]]:
    """Genes of the output, in the order of the data set's columns, and which of them each column is.

    Columns of one symbol, whatever its case, are one gene, and so are those of one Ensembl id.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    symbols, ids = symbols_of(cells).ids, ensembl_ids(cells).ids
    v = len(symbols)
    upper = pd.factorize(pd.Series(symbols).str.upper())[0]
    known = ids != ""
    of_id = pd.factorize(ids)[0]
    # A column, its symbol and its id belong together.
    rows = np.concatenate([np.arange(v), np.arange(v)[known]])
    others = np.concatenate([v + upper, 2 * v + of_id[known]])
    edges = coo_matrix((np.ones(len(rows)), (rows, others)), shape=(3 * v, 3 * v))
    gene = connected_components(edges, directed=False)[1][:v]
    place, first = pd.factorize(gene)
    owner = np.unique(place, return_index=True)[1]
    frame = pd.DataFrame({"place": place[known], "id": ids[known]}).drop_duplicates("place")
    of_gene = pd.Series("", index=range(len(first)), dtype=object)
    of_gene[frame["place"].to_numpy()] = frame["id"].to_numpy()
    has_id = of_gene.ne("").to_numpy()
    genes = pd.DataFrame(
        {"symbol": symbols[owner], "ensembl_id": np.where(has_id, of_gene.to_numpy(object), symbols[owner])}
    )
    return genes.assign(has_id=has_id), place.astype(np.int32)


def _check_class(cells: AlignedCells, name: str, listener: Listener) -> None:
    """Raise where a cell has no class, and tell of classes with one cell."""
    labels = read_labels(cells.source, name, listener, unlabelled="refused", least=1)
    if missing := int((labels == "").sum()):
        msg = f"{missing:,} cells have no {name}, which CFGen would make a class of; name or remove them"
        raise InputError(msg)
    names, sizes = np.unique(labels, return_counts=True)
    if (alone := names[sizes < 2]).size:
        shown = ", ".join(alone[:5].tolist())
        msg = f"{len(alone)} classes of {name} have one cell, as {shown}: CFGen has no spread of their sizes"
        listener(Note(msg, serious=True))
