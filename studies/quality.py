"""10-NN accuracy of the recipes beside their controls, on labelled cells.

``python -m studies.quality DATA.h5ad [DATA.h5ad ...] --label cell_type [--lexicon L] [--mask shared ...]``

Controls: the same cells, genes and weights with the vectors shuffled over the genes, or random (mean of three
draws each), and 50 principal components of log-normalised expression. Types of fewer than 25 cells and cells
without a label are left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import anndata as ad
import numpy as np
from numpy.typing import NDArray

from lexicell.counts import CountSource, open_counts
from lexicell.embedding import RECIPES, Options, embed_in_memory, make_plan
from lexicell.embedding.plan import Plan
from lexicell.evaluation import CONTROLS, control_vectors, knn_accuracy, pca_of_expression
from lexicell_kernels import GeneTable

__all__ = ["main", "scores"]

_DRAWS = 3
_LEAST_CELLS = 25


def scores(adata: ad.AnnData, labels: NDArray[np.str_], options: Options) -> dict[str, float]:
    """Name of the vectors -> accuracy; `adata` holds counts of the labelled cells."""
    found = {}
    with open_counts(adata) as source:
        for recipe in RECIPES:
            plan = make_plan(source, replace(options, recipe=recipe))

            accuracy = partial(_accuracy, source, plan, labels)

            table = plan.folded.table
            found[f"{recipe}, text"] = accuracy(table)
            for control in CONTROLS:
                drawn = (control_vectors(table.vectors, control, seed=i) for i in range(_DRAWS))
                scores = [accuracy(replace(table, vectors=vectors)) for vectors in drawn]
                found[f"{recipe}, {control} vectors"] = float(np.mean(scores))
    found["PCA50 of expression"] = knn_accuracy(pca_of_expression(adata.X), labels)
    return found


def _accuracy(source: CountSource, plan: Plan, labels: NDArray[np.str_], table: GeneTable) -> float:
    folded = replace(plan.folded, table=table)
    vectors, _ = embed_in_memory(source, replace(plan.embedder, folded=folded))
    return knn_accuracy(vectors, labels)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table per data set."""
    parser = argparse.ArgumentParser(prog="python -m studies.quality", description=main.__doc__)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--label", required=True, help="column of obs with cell types")
    parser.add_argument("--lexicon", default="human-go-minilm", help="bundled name or folder")
    parser.add_argument("--mask", nargs="*", default=(), help="flags of texts whose genes are left out")
    given = parser.parse_args(argv)
    options = Options(lexicon=given.lexicon, mask_genes=tuple(given.mask))
    for path in given.data:
        adata = ad.read_h5ad(path)
        sizes = adata.obs[given.label].value_counts()
        adata = adata[adata.obs[given.label].isin(sizes.index[sizes >= _LEAST_CELLS])].copy()
        labels = adata.obs[given.label].astype(str).to_numpy()
        print(f"{path}: {adata.n_obs:,} cells, {len(set(labels))} types")
        for name, value in scores(adata, labels, options).items():
            print(f"  {name:<42} {value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
