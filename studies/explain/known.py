"""How many known markers are among the first 20 genes of a group, by what genes are ranked by."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

import lexicell
from lexicell.embedding.events import ignore
from lexicell.evaluation import CONTROLS, control_vectors
from lexicell.explanation import GeneRows, contributions, pooled_vectors
from lexicell.explanation.evidence import like_expression
from studies.explain.cells import LABEL, ExplainedCells, explained_cells, markers

__all__ = ["TESTS", "TOP", "difference", "group_contributions", "known_markers", "ranked_by_scanpy"]

#: Genes that are looked at.
TOP = 20
#: Methods of scanpy, by the names of rows.
TESTS = {"t-test": "t-test_overestim_var", "wilcoxon": "wilcoxon"}
_RECIPES = ("paper", "genept-w")
_SEEDS, _DRAWS = 5, 200
#: Group -> numbers of the described genes, the first one first.
Ranking = dict[str, NDArray[np.int64]]


def known_markers(key: str) -> dict[str, Any]:
    """Recall of each way of ranking, by group; and what was in the way of it."""
    of, lists = explained_cells(key), markers()[key]
    there = {group: of.places_of(lists[group]) for group in of.groups}
    found = lexicell.explain(
        of.adata, group=LABEL, sets=None, values="counts", permutations=1, listener=ignore
    )
    ours = _of_table(of, found.genes)
    rankings: dict[str, list[Ranking]] = {"lexicell": [ours]}
    again = group_contributions(of, of.rows)
    largest = max(
        float(np.abs(again[str(group)] - _dense(of, part)).max())
        for group, part in found.genes.groupby("group", observed=True)
    )
    rankings["agreement"] = [
        _of_table(of, found.genes.sort_values("agreement", ascending=False, kind="stable"))
    ]
    more = found.genes[found.genes["share_of_cells"] > found.genes["share_of_rest"]]
    counting_more = {
        group: set(genes.tolist()) for group, genes in _of_table(of, found.genes[found.genes["more"]]).items()
    }
    rankings["present"] = [_of_table(of, more)]
    rankings["effect"] = [_of_table(of, more.sort_values("effect", ascending=False, kind="stable"))]
    for recipe in _RECIPES:
        other = lexicell.explain(
            of.adata, group=LABEL, sets=None, values="counts", permutations=1, recipe=recipe, listener=ignore
        )
        rankings[recipe] = [_of_table(of, other.genes)]
    rankings["shares"] = [_ranking(_shares(of))]
    for row, method in TESTS.items():
        rankings[row] = [ranked_by_scanpy(of, of.adata, method)]
    for control in CONTROLS:
        tables = (control_vectors(of.rows.table, control, seed=seed) for seed in range(_SEEDS))
        rankings[control] = [
            _more_first(_ranking(group_contributions(of, replace(of.rows, table=table))), counting_more)
            for table in tables
        ]
    rankings["like expression"] = _of_like_expression(of, ours)
    recall = {
        name: {
            group: [round(float(np.isin(there[group], one[group][:TOP]).mean()), 4) for one in ran]
            for group in of.groups
        }
        for name, ran in rankings.items()
    }
    recall["like expression"] = {
        group: [round(float(np.mean(values)), 4)] for group, values in recall["like expression"].items()
    }
    sizes = pd.Series(of.labels).value_counts()
    return {
        "cells": len(of.labels),
        "genes": len(of.rows.rows),
        "groups": {
            group: {
                "cells": int(sizes[group]),
                "markers": len(lists[group]),
                "described": len(there[group]),
                "found": [str(of.columns[at]) for at in there[group] if at in ours[group][:TOP]],
                "missed": [str(of.columns[at]) for at in there[group] if at not in ours[group][:TOP]],
            }
            for group in of.groups
        },
        "recall": recall,
        "largest difference of contributions computed anew": largest,
        "overlap with t-test": {
            group: int(np.isin(ours[group][:TOP], rankings["t-test"][0][group][:TOP]).sum())
            for group in of.groups
        },
    }


def difference(vectors: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean vector of some cells less that of the others, of length 1."""
    has = vectors.any(axis=1)
    found = vectors[inside & has].mean(axis=0) - vectors[~inside & has].mean(axis=0)
    return np.asarray(found / np.linalg.norm(found), np.float64)


def group_contributions(of: ExplainedCells, rows: GeneRows) -> dict[str, NDArray[np.float64]]:
    """Contributions ``[m]`` to each group's difference, of any table, cell by cell."""
    import scipy.sparse as sp

    selection = of.select(of.counts)
    vectors = pooled_vectors(selection, rows)
    made = {}
    for group in of.groups:
        inside = of.labels == group
        one = contributions(selection, rows, difference(vectors, inside))
        by_cell = sp.csr_array((one.values, one.genes, one.indptr), (len(selection), len(rows.rows)))
        made[group] = np.asarray(by_cell[inside].mean(axis=0) - by_cell[~inside].mean(axis=0))
    return made


def ranked_by_scanpy(of: ExplainedCells, adata: ad.AnnData, method: str) -> Ranking:
    """Described genes as ``rank_genes_groups`` ranks them, on log1p of counts per 10,000.

    Parameters
    ----------
    of
        Which genes are described.
    adata
        Counts of all or of some of its cells.
    method
        Of scanpy.
    """
    import scanpy as sc

    made = ad.AnnData(adata.X.astype(np.float32), obs=adata.obs[[LABEL]].copy(), var=adata.var[[]].copy())
    sc.pp.normalize_total(made, target_sum=1e4)
    sc.pp.log1p(made)
    rank = of.plan.folded.genes.rank
    made = made[:, rank >= 0].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas' of scanpy's tables
        sc.tl.rank_genes_groups(made, LABEL, method=method, use_raw=False)
    names = made.uns["rank_genes_groups"]["names"]
    found = {}
    for group in names.dtype.names:
        at = rank[of.adata.var_names.get_indexer(pd.Index(names[group]))]
        _, first = np.unique(at, return_index=True)
        found[group] = at[np.sort(first)].astype(np.int64)
    return found


def _of_table(of: ExplainedCells, genes: pd.DataFrame) -> Ranking:
    return {
        str(group): of.columns.get_indexer(pd.Index(part["column"]))
        for group, part in genes.groupby("group", observed=True, sort=False)
    }


def _dense(of: ExplainedCells, part: pd.DataFrame) -> NDArray[np.float64]:
    found = np.zeros(len(of.rows.rows))
    found[of.columns.get_indexer(pd.Index(part["column"]))] = part["contribution"]
    return found


def _shares(of: ExplainedCells) -> dict[str, NDArray[np.float64]]:
    """Mean share of the weights in a group less that of all other cells."""
    shares = of.shares(of.select(of.counts))
    return {
        group: np.asarray(shares[of.labels == group].mean(axis=0) - shares[of.labels != group].mean(axis=0))
        for group in of.groups
    }


def _ranking(values: dict[str, NDArray[np.float64]]) -> Ranking:
    return {group: np.argsort(-of, kind="stable") for group, of in values.items()}


def _more_first(ranking: Ranking, more: Mapping[str, set[int]]) -> Ranking:
    """Genes that count more in a group before the others, as explain has them."""
    return {
        group: np.array(sorted(genes.tolist(), key=lambda gene: gene not in more[group]), np.int64)
        for group, genes in ranking.items()
    }


def _of_like_expression(of: ExplainedCells, ours: Ranking) -> list[Ranking]:
    """In place of each of the first genes, a random one of the same bin of mean share."""
    mean = np.asarray(of.shares(of.select(of.counts)).mean(axis=0))
    used = np.flatnonzero(mean > 0)
    bins = [used[part] for part in like_expression(mean[used])]
    of_gene = np.zeros(len(mean), np.int64)
    for number, part in enumerate(bins):
        of_gene[part] = number
    rng, made = np.random.default_rng(0), []
    for _ in range(_DRAWS):
        shuffled = [rng.permutation(part) for part in bins]
        to = np.arange(len(mean))
        for part, other in zip(bins, shuffled, strict=True):
            to[part] = other
        made.append({group: to[genes[:TOP]] for group, genes in ours.items()})
    return made
