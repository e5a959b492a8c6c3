"""How right `annotate` is, and how sure: the table of "Names for cells" in ``docs/learning.md``.

``python -m studies.annotating [--draws 5]`` with ``$LEXICELL_DATA``; some minutes. What the bundled atlas has
learned from the same cells is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anndata as ad
import numpy as np
from bench.real_data import data_folder
from sklearn.metrics import f1_score

from lexicell.annotation import across, annotate
from lexicell.embedding.events import ignore
from lexicell.learn.classify import calibration_error
from lexicell.lexicon import Lexicon, cell_hashes, open_gene_atlas
from studies.markdown import table, with_tables

__all__ = ["PAGE", "cases", "main", "scores"]

PAGE = Path(__file__).parents[1] / "docs" / "learning.md"
_DATA = {"PBMC3k": "pbmc3k_raw_labelled.h5ad", "Baron": "baron_h1_pancreas.h5ad"}
_LABEL = "cell_type"
#: Classes of fewer cells are left out.
_LEAST = 40
#: How each query is named: options of `annotate`, and whether the reference is weighed like the query.
_WAYS: dict[str, dict[str, Any]] = {
    "one half by the other": {},
    "disjoint genes": {},
    "disjoint genes, `--atlas none`": {"atlas": "none"},
    "disjoint genes, `--no-mixture`": {"mixture": False},
    "disjoint genes, half of the types missing": {},
    "the same, the reference as it is": {},
}
_UNWEIGHED = "the same, the reference as it is"


def cases(adata: ad.AnnData, draw: int) -> Iterator[tuple[str, ad.AnnData, ad.AnnData]]:
    """For each way a reference and a query, halves of the cells of classes that are large enough."""
    rng = np.random.default_rng(draw)
    sizes = adata.obs[_LABEL].astype(str).value_counts()
    classes = np.sort(sizes.index[(sizes >= _LEAST) & (sizes.index != "nan")].to_numpy(str))
    cells = rng.permutation(np.flatnonzero(adata.obs[_LABEL].astype(str).isin(classes)))
    genes, middle = rng.permutation(adata.n_vars), adata.n_vars // 2
    kept = rng.permutation(classes)[: (len(classes) + 1) // 2]
    first, second = adata[cells[: len(cells) // 2]], adata[cells[len(cells) // 2 :]]
    some = second[second.obs[_LABEL].astype(str).isin(kept)]
    for way in _WAYS:
        query = some if "the types" in way or way == _UNWEIGHED else second
        apart = way != "one half by the other"
        yield (
            way,
            first[:, genes[:middle]].copy() if apart else first.copy(),
            query[:, genes[middle:]].copy() if apart else query.copy(),
        )


def scores(way: str, reference: ad.AnnData, query: ad.AnnData) -> tuple[float, float, float]:
    """Accuracy, macro-F1 and calibration error of all names, unsure ones too."""
    lexicon = Lexicon.open("human-go-minilm")
    seen = np.concatenate([_hashes(reference), _hashes(query)])
    options = {"atlas": open_gene_atlas(lexicon).apart_from(seen), **_WAYS[way]}
    limit = 1.0 if way == _UNWEIGHED else across.SHIFTED
    with patch.object(across, "SHIFTED", limit):
        found = annotate(
            query, reference=reference, label=_LABEL, lexicon=lexicon, threshold=0, min_coverage=0,
            listener=ignore, **options,
        )  # fmt: skip
    true, named = query.obs[_LABEL].astype(str).to_numpy(), found.cells["label"].astype(str).to_numpy()
    right = true == named
    f1 = f1_score(true, named, average="macro", labels=np.unique(true), zero_division=0)
    return float(right.mean()), float(f1), calibration_error(found.cells["confidence"].to_numpy(), right)


def main(argv: Sequence[str]) -> int:
    """Annotate, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m studies.annotating", description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    draws = parser.parse_args(argv).draws
    rows: dict[str, list[str]] = {way: [way] for way in _WAYS}
    for file in _DATA.values():
        adata = ad.read_h5ad(data_folder() / "expr" / file)
        # As they are called in the whole, so that the atlas knows them again.
        adata.obs["total"] = np.asarray(adata.X.sum(axis=1)).ravel()
        by_way: dict[str, list[tuple[float, float, float]]] = {}
        for draw in range(draws):
            for way, reference, query in cases(adata, draw):
                by_way.setdefault(way, []).append(scores(way, reference, query))
        for way, found in by_way.items():
            rows[way] += [f"{value:.3f}" for value in np.mean(found, axis=0)]
    heads = [
        "query",
        *(f"{name}, {what}" for name in _DATA for what in ("accuracy", "macro-F1", "calibration error")),
    ]
    page = with_tables(PAGE.read_text(encoding="utf-8"), "annotate", table(heads, list(rows.values())))
    PAGE.write_text(page, encoding="utf-8")
    return 0


def _hashes(adata: ad.AnnData) -> Any:
    return cell_hashes(adata.obs_names.to_numpy(), adata.obs["total"].to_numpy())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
