"""What sets of genes contribute, beside sets of other genes of like expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding import Listener, Note
from lexicell.errors import CoverageError, InputError, needing
from lexicell.explanation.evidence import adjusted, like_expression, p_of_counts, shuffled_within
from lexicell.lexicon import Lexicon
from lexicell.lexicon.gene_sets import (
    GO_SETS,
    GeneSet,
    GeneSets,
    go_sets_of_texts,
    read_gene_sets,
    rows_of_sets,
)

__all__ = ["TEXTS", "Pathways", "read_pathways"]

#: The sets that a lexicon's own texts name.
TEXTS = "go"
#: Genes of a set that is looked at; and its genes that are shown.
LEAST, _MOST, _SHOWN = 10, 500, 8
#: The same of sets that the user gives.
LEAST_OF_GIVEN = 3
#: A set says the same as a stronger one where that has this share of its contribution; of the strongest.
_SAME, _COMPARED = 0.5, 200
#: Permutations beyond a set, on the rarer side, that tell its p-value well enough.
_ENOUGH = 50


@dataclass(frozen=True)
class Pathways:
    """Sets of the ``m`` candidate genes.

    Attributes
    ----------
    name
        What people call them.
    ids, labels
        ``[S]``.
    members
        ``[S, m]`` sparse float64 of 1.
    least
        Genes in use of a set that is looked at.
    """

    name: str
    ids: NDArray[np.object_]
    labels: NDArray[np.object_]
    members: sp.csr_array[Any]
    least: int = LEAST

    def contributions(
        self,
        genes: NDArray[np.object_],
        contributions: NDArray[np.float64],
        expression: NDArray[np.float64],
        used: NDArray[np.bool_],
        *,
        permutations: int,
        seed: int,
        gsea: bool = False,
        least: int | None = None,
    ) -> pd.DataFrame:
        """Add up contributions over sets.

        Parameters
        ----------
        genes
            ``[m]`` symbols.
        contributions
            ``[m]``.
        expression
            ``[m]`` mean value of a gene, by which genes are alike.
        used
            ``[m]`` genes that count: others are in no set.
        permutations, seed
            Contributions are permuted among genes of like expression; of sets that no small p-value can come
            of, not all of them are made.
        gsea
            Whether gseapy's preranked enrichment of the same contributions stands beside.
        least
            In place of the sets' own.

        Returns
        -------
        pandas.DataFrame
            The largest contribution first, in absolute terms; see `lexicell.explanation.Explanation`.
        """
        at = np.flatnonzero(used)
        members = sp.csr_array(self.members[:, at])
        sizes = np.diff(members.indptr)
        least = self.least if least is None else least
        kept = np.flatnonzero((sizes >= least) & (sizes <= _MOST))
        members, values = sp.csr_array(members[kept]), contributions[at]
        sums = members @ values
        p_values = _p_values(members, values, sums, like_expression(expression[at]), permutations, seed)
        order = np.argsort(-np.abs(sums), kind="stable")
        table = pd.DataFrame({
            "id": self.ids[kept],
            "pathway": self.labels[kept],
            "n_genes": sizes[kept].astype(np.int32),
            "contribution": sums,
            "p_value": p_values,
            "p_adjusted": adjusted(p_values),
            "redundant_with": _redundant(members, values, sums, order, self.ids[kept]),
            "genes": _leading(members, values, sums, genes[at]),
        })  # fmt: skip
        if gsea:
            table = _beside(table, genes[at], values, members, permutations, seed)
        return table.iloc[order].reset_index(drop=True)


def read_pathways(
    sets: str | Path | Mapping[str, Sequence[str]],
    lexicon: Lexicon,
    rows: NDArray[np.int32],
    listener: Listener,
) -> Pathways | None:
    """Look gene sets up among the candidate genes.

    Parameters
    ----------
    sets
        ``"go"`` for the Gene Ontology terms that the lexicon's texts name, ``"go-bp"`` for 56 processes that
        come with the package, a ``.gmt`` file, or names of genes by names of sets.
    lexicon
        Whose genes they are.
    rows
        ``[m]`` lexicon rows of the candidates, ascending.
    listener
        Is told how many sets can be looked at.

    Returns
    -------
    Pathways or None
        None where the lexicon's texts name no terms, which is told.

    Raises
    ------
    InputError, InputNotFoundError, CorruptDataError
        The file is no list of sets, or has none with a gene; see `lexicell.lexicon.gene_sets.read_gene_sets`.
    CoverageError
        No set has enough of the candidates.
    """
    least = LEAST
    other: object = sets
    if isinstance(sets, Mapping):
        if wrong := [name for name, genes in sets.items() if isinstance(genes, str) or not len(genes)]:
            msg = f"the gene set {wrong[0]!r} is empty or no list of genes; leave it out"
            raise InputError(msg)
        least = LEAST_OF_GIVEN
        given = tuple(GeneSet(str(name), str(name), frozenset(genes)) for name, genes in sets.items())
        found = GeneSets("the gene sets", given)
    elif not isinstance(other, str | Path):
        msg = f"gene sets are a name, a .gmt file, or genes by the names of sets, not {sets!r}"
        raise InputError(msg)
    elif str(sets) == TEXTS:
        found = go_sets_of_texts(lexicon)
        if not found.sets:
            text = f"the texts of {lexicon.name} name no Gene Ontology terms; give gene sets to see pathways"
            listener(Note(text, serious=True))
            return None
    else:
        found = read_gene_sets(sets)
        least = LEAST if sets == GO_SETS else LEAST_OF_GIVEN
    of_sets = rows_of_sets(lexicon, found)
    inside = [np.flatnonzero(np.isin(rows, of)) for of in of_sets]
    kept = [i for i, genes in enumerate(inside) if len(genes) >= least]
    if not kept:
        largest = max(map(len, inside), default=0)
        msg = f"no set of {found.name} has {least} genes of this data set; the largest has {largest}"
        raise CoverageError(msg)
    indptr = np.concatenate([[0], np.cumsum([len(inside[i]) for i in kept])])
    columns = np.concatenate([inside[i] for i in kept])
    members = sp.csr_array((np.ones(len(columns)), columns, indptr), shape=(len(kept), len(rows)))
    listener(Note(f"{len(kept):,} of {len(of_sets):,} sets of {found.name} have {least} genes or more here"))
    ids = np.array([found.sets[i].id for i in kept], np.object_)
    labels = np.array([found.sets[i].title for i in kept], np.object_)
    return Pathways(found.name, ids, labels, members, least)


def _p_values(
    members: sp.csr_array[Any],
    values: NDArray[np.float64],
    sums: NDArray[np.float64],
    bins: list[NDArray[np.int64]],
    permutations: int,
    seed: int,
) -> NDArray[np.float64]:
    """Two-sided p-values: of as much or more in the direction of the sum.

    A set that other genes exceed as often as not has a large one, though it may contribute. It is left out
    of further permutations once enough were beyond it.
    """
    if not permutations:
        return np.full(len(sums), np.nan)
    beyond, made = np.zeros(len(sums), np.int64), np.zeros(len(sums), np.int64)
    going, sign = np.arange(len(sums)), np.sign(sums)
    for rows in shuffled_within(bins, permutations, seed):
        drawn = members[going] @ values[rows].T
        far = drawn * sign[going, None] >= np.abs(sums[going])[:, None]
        beyond[going] += far.sum(axis=1)
        made[going] += len(rows)
        going = going[beyond[going] < _ENOUGH]
        if not len(going):
            break
    return p_of_counts(beyond, made)


def _redundant(
    members: sp.csr_array[Any],
    values: NDArray[np.float64],
    sums: NDArray[np.float64],
    order: NDArray[np.int64],
    ids: NDArray[np.object_],
) -> list[str]:
    """Id of a stronger set that has more than half of what a set contributes; "" for none."""
    found = [""] * len(order)
    kept: list[tuple[int, NDArray[np.bool_]]] = []
    for place in order[:_COMPARED]:
        genes = members.indices[members.indptr[place] : members.indptr[place + 1]]
        agreeing = np.clip(values[genes] * np.sign(sums[place]), 0, None)
        whole = float(agreeing.sum())
        for other, inside in kept:
            if whole and sums[other] * sums[place] > 0 and agreeing[inside[genes]].sum() > _SAME * whole:
                found[place] = str(ids[other])
                break
        else:
            mask = np.zeros(members.shape[1], bool)
            mask[genes] = True
            kept.append((int(place), mask))
    return found


def _leading(
    members: sp.csr_array[Any],
    values: NDArray[np.float64],
    sums: NDArray[np.float64],
    genes: NDArray[np.object_],
) -> list[str]:
    """The genes of each set that contribute most in its direction, comma-separated."""
    found = []
    for place, total in enumerate(sums):
        mine = members.indices[members.indptr[place] : members.indptr[place + 1]]
        best = mine[np.argsort(-values[mine] * np.sign(total), kind="stable")[:_SHOWN]]
        found.append(",".join(genes[best[values[best] * total > 0]]))
    return found


def _beside(
    table: pd.DataFrame,
    genes: NDArray[np.object_],
    values: NDArray[np.float64],
    members: sp.csr_array[Any],
    permutations: int,
    seed: int,
) -> pd.DataFrame:
    """Add what gseapy's preranked enrichment says: ``nes``, ``gsea_p`` and ``gsea_q``."""
    with needing("gsea", "Enrichment beside contributions"):
        import gseapy
    # Ranks by number: symbols may repeat.
    ranking = pd.Series(values, index=[str(i) for i in range(len(genes))]).sort_values(ascending=False)
    sets = {
        str(i): [str(gene) for gene in members.indices[members.indptr[i] : members.indptr[i + 1]]]
        for i in range(members.shape[0])
    }
    done = gseapy.prerank(
        ranking, sets, outdir=None, min_size=1, max_size=_MOST, permutation_num=permutations, seed=seed,
        no_plot=True, threads=1,
    )  # fmt: skip
    scores = done.res2d.set_index("Term")
    names = {"NES": "nes", "NOM p-val": "gsea_p", "FDR q-val": "gsea_q"}
    for theirs, ours in names.items():
        column = scores[theirs].astype(float)
        table[ours] = [float(column.get(str(i), np.nan)) for i in range(members.shape[0])]
    return table
