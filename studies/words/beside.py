"""Sentences where counts are not at hand, and beside labelled cells of another panel."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import scipy.sparse as sp

import lexicell
from lexicell.annotation import Annotation
from lexicell.embedding.events import ignore
from lexicell.evaluation.cells.markers import named_by_most
from lexicell.evaluation.cells.placed import Named
from studies.words.scores import score
from studies.words.sets import LabelledSet

__all__ = ["across_panels", "from_store"]

#: Genes of both panels together.
_GENES = 4_000


def from_store(of: LabelledSet) -> dict[str, Any]:
    """Scores of a store that was made with the default recipe, by each hand and under other names."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        made, store = Path(folder) / "cells.h5ad", Path(folder) / "vectors.zarr"
        of.adata.write_h5ad(made)
        lexicell.embed(made, store, listener=ignore)
        for hand, sentences in of.sentences.items():
            asked = {name: sentences[name] for name in of.types}
            found = lexicell.search(store, asked, listener=ignore).scores.to_numpy(np.float64)
            rows[f"store hand {hand}"] = score(of.labels, of.types, named_by_most(np.nan_to_num(found)))
        first = next(iter(of.sentences.values()))
        asked = {name: first[name] for name in of.types}
        moved = dict(zip(asked, [*asked.values()][1:] + [*asked.values()][:1], strict=True))
        found = lexicell.search(store, moved, listener=ignore).scores.to_numpy(np.float64)
        rows["store scrambled"] = score(of.labels, of.types, named_by_most(np.nan_to_num(found)))
    return rows


def across_panels(of: LabelledSet, seed: int) -> dict[str, Any]:
    """Half of the described cells named on half of 4,000 variable genes, by the rest on the other half.

    Nothing of a targeted panel, half of which has too few genes of a sentence.
    """
    import scanpy as sc

    if of.adata.n_vars < 2 * _GENES:
        return {}
    rng = np.random.default_rng(seed)
    logged = ad.AnnData(sp.csr_matrix(of.adata.X, dtype=np.float32))
    sc.pp.normalize_total(logged)
    sc.pp.log1p(logged)
    sc.pp.highly_variable_genes(logged, n_top_genes=_GENES)
    genes = rng.permutation(np.flatnonzero(logged.var["highly_variable"].to_numpy()))
    cells = rng.permutation(np.flatnonzero(np.isin(of.labels, of.types)))
    mine, other = np.sort(cells[::2]), np.sort(cells[1::2])
    reference = of.adata[mine][:, np.sort(genes[::2])].copy()
    query = of.adata[other][:, np.sort(genes[1::2])].copy()
    reference.obs["label"] = of.labels[mine]

    def scored(**options: Any) -> dict[str, float]:
        found: Annotation = lexicell.annotate(
            query, threshold=0, seed=seed, min_coverage=0, listener=ignore, **options
        )
        chosen = found.cells["label"].astype(str).to_numpy()
        right = (chosen[:, None] == np.array(of.types)).astype(float)
        return score(of.labels[other], of.types, Named(right, right, np.ones(len(of.types), bool)))

    known: dict[str, Any] = {"reference": reference, "label": "label"}
    rows = {"panels, reference": scored(**known)}
    for hand, sentences in of.sentences.items():
        asked = {name: sentences[name] for name in of.types}
        rows[f"panels, sentences {hand}"] = scored(describe=asked)
        rows[f"panels, both {hand}"] = scored(describe=asked, **known)
    return rows
