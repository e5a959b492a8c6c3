"""Pictures of ``docs/explain.md``: what `lexicell.pl` draws of an explanation."""

from __future__ import annotations

from pathlib import Path

import lexicell
from bench.explain_cells import LABEL, explained_cells
from lexicell.embedding.events import ignore

__all__ = ["WATERFALL", "draw"]

#: The group whose score is taken apart.
WATERFALL = "NK cells"
_SETS_OF = ["B cells", "CD14+ Monocytes", "NK cells", "Megakaryocytes"]


def draw(folder: Path) -> None:
    """Write all of them as PNG."""
    found = {
        key: lexicell.explain(explained_cells(key).adata, group=LABEL, values="counts", listener=ignore)
        for key in ("pbmc3k", "baron")
    }
    pl, of = lexicell.pl, found["pbmc3k"]
    pl.contributions(of, n_genes=4, title="PBMC3k", save=folder / "explain-dots.png")
    pl.contributions(found["baron"], n_genes=3, title="Baron", save=folder / "explain-dots-baron.png")
    pl.contributions(of, kind="waterfall", groups=WATERFALL, n_genes=10, save=folder / "explain-sum.png")
    pl.pathways(of, groups=_SETS_OF, n_pathways=3, title="PBMC3k", save=folder / "explain-sets.png")
    pl.groups(of, title="PBMC3k", save=folder / "explain-groups.png")
