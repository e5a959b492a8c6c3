"""The labelled cells that explanations are measured on, and the markers that were written down before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from bench.real_data import data_folder
from numpy.typing import NDArray

import lexicell
from lexicell.counts import Values
from lexicell.embedding import Options, Plan, Selection, make_plan
from lexicell.embedding.events import ignore
from lexicell.embedding.inputs import open_data
from lexicell.embedding.selected import select_block
from lexicell.explanation import Explanation, GeneRows
from lexicell.explanation.groups import columns_of
from lexicell_kernels import CsrBlock

__all__ = [
    "LABEL",
    "MARKERS",
    "PERMUTATIONS",
    "SETS",
    "TITLES",
    "ExplainedCells",
    "explained_cells",
    "explanation",
    "markers",
    "of_anndata",
]

#: Column of ``obs`` with the groups.
LABEL = "cell_type"
#: More than the default, so that p-values that are adjusted for hundreds of tests can be small.
PERMUTATIONS = 10_000
#: What people call a data set, and its file in ``expr/``.
SETS = {"pbmc3k": ("PBMC3k", "pbmc3k_raw_labelled.h5ad"), "baron": ("Baron", "baron_h1_pancreas.h5ad")}
TITLES = {key: title for key, (title, _) in SETS.items()}
MARKERS = Path(__file__).with_name("markers.json")


@dataclass(frozen=True)
class ExplainedCells:
    """Labelled cells, and how they are embedded.

    Attributes
    ----------
    adata
        ``n`` cells, counts; those without a label are left out.
    labels
        ``[n]`` group of each cell.
    plan
        How they are embedded.
    """

    adata: ad.AnnData
    labels: NDArray[np.object_]
    plan: Plan

    @cached_property
    def counts(self) -> sp.csr_array[Any]:
        """``[n, v]`` float32."""
        found = sp.csr_array(self.adata.X, dtype=np.float32)
        found.sum_duplicates()
        return found

    @cached_property
    def rows(self) -> GeneRows:
        """The ``m`` described genes."""
        return GeneRows.of(self.plan)

    @cached_property
    def columns(self) -> pd.Index[Any]:
        """``[m]`` name of each described gene in the data."""
        return pd.Index(columns_of(self.plan))

    @property
    def groups(self) -> list[str]:
        """Names of the groups."""
        return sorted(set(self.labels.tolist()))

    def embed(self, counts: sp.csr_array[Any]) -> NDArray[np.float64]:
        """Vectors of some cells, by the kernel that embeds all cells."""
        found = self.plan.embedder.embed(_block(counts), 0, _names)
        return np.asarray(found.vectors, np.float64)

    def select(self, counts: sp.csr_array[Any]) -> Selection:
        """Genes of some cells, as the kernel selects them."""
        genes, recipe = self.plan.folded.genes, self.plan.recipe
        return select_block(
            genes.counts(_block(counts), Values.COUNTS),
            genes,
            recipe.top_k,
            weight=recipe.weight,
            rank_factor=self.plan.folded.table.rank_factor,
        )

    def shares(self, selection: Selection) -> sp.csr_array[Any]:
        """How much each described gene counts in each cell, ``[n, m]``; rows sum to 1."""
        at = np.searchsorted(self.rows.rows, selection.genes)
        return sp.csr_array((selection.shares, at, selection.indptr), (len(selection), len(self.rows.rows)))

    def places_of(self, names: list[str]) -> NDArray[np.int64]:
        """Numbers of the genes that are described, of some: by their names in the data, else symbols."""
        by_column = self.columns.get_indexer(pd.Index(names))
        symbols = {symbol: at for at, symbol in enumerate(self.rows.symbols)}
        found = [at if at >= 0 else symbols.get(name, -1) for at, name in zip(by_column, names, strict=True)]
        return np.array([at for at in found if at >= 0], np.int64)


def _names(start: int, stop: int) -> pd.Index[Any]:
    return pd.Index([f"cell {i}" for i in range(start, stop)])


def _block(counts: sp.csr_array[Any]) -> CsrBlock:
    return CsrBlock(
        data=np.asarray(counts.data, np.float32),
        indices=counts.indices.astype(np.int32),
        indptr=counts.indptr.astype(np.int64),
        n_columns=counts.shape[1],
    )


def of_anndata(adata: ad.AnnData, recipe: str | None = None) -> ExplainedCells:
    """Cells of an AnnData that have a label."""
    adata = adata[adata.obs[LABEL].notna().to_numpy()].copy()
    adata.obs = adata.obs.assign(**{LABEL: adata.obs[LABEL].astype(str).astype("category")})
    plan = make_plan(open_data(adata), Options(recipe=recipe, values="counts"))
    return ExplainedCells(adata, adata.obs[LABEL].astype(str).to_numpy(object), plan)


@cache
def explained_cells(key: str, recipe: str | None = None) -> ExplainedCells:
    """One of `SETS`."""
    adata = ad.read_h5ad(data_folder() / "expr" / SETS[key][1])
    adata.var_names_make_unique()
    return of_anndata(adata, recipe)


@cache
def explanation(key: str, permutations: int = PERMUTATIONS) -> Explanation:
    """What `lexicell.explain` says of the groups of one of `SETS`, with the sets that texts name."""
    return lexicell.explain(
        explained_cells(key).adata, group=LABEL, values="counts", permutations=permutations, listener=ignore
    )


def markers() -> dict[str, dict[str, list[str]]]:
    """Data set -> group -> known markers."""
    found: dict[str, dict[str, list[str]]] = json.loads(MARKERS.read_text(encoding="utf-8"))
    return found
