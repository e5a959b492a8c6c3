"""Pictures of ``docs/explain.md``: what `lexicell.pl` draws of an explanation."""

from __future__ import annotations

from pathlib import Path

from lexicell import pl
from studies.explain.cells import explanation

__all__ = ["WATERFALL", "draw"]

#: The group whose score is taken apart.
WATERFALL = "NK cells"
_SETS_OF = ["acinar", "activated_stellate", "delta", "endothelial"]


def draw(folder: Path) -> None:
    """Write all of them as PNG."""
    pbmc, baron = explanation("pbmc3k"), explanation("baron")
    pl.contributions(pbmc, n_genes=4, title="PBMC3k", save=folder / "explain-dots.png")
    pl.contributions(baron, n_genes=3, title="Baron", save=folder / "explain-dots-baron.png")
    pl.contributions(pbmc, kind="waterfall", groups=WATERFALL, n_genes=10, save=folder / "explain-sum.png")
    pl.pathways(baron, groups=_SETS_OF, n_pathways=4, title="Baron", save=folder / "explain-sets.png")
    pl.groups(pbmc, title="PBMC3k", save=folder / "explain-groups.png")
