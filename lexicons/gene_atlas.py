"""Writes the gene atlas that comes with the package, and the default projection, which has its scales.

``python lexicons/gene_atlas.py NAME=CELLS.h5ad [NAME=CELLS.h5ad ...]``

That of the package was made from PBMC3k (10x Genomics) and human pancreas (GSE84133, donor 1).
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from lexicell.embedding.default_projection import SHIPPED, make_default_projection
from lexicell.learn.gene_atlas import learn_gene_atlas
from lexicell.lexicon import Lexicon
from lexicell.lexicon.gene_atlas import GENE_ATLAS_FILE


def main(sets: list[str]) -> None:
    """Learn, write."""
    lexicon = Lexicon.open("human-go-minilm")
    atlas = learn_gene_atlas(dict(one.split("=", 1) for one in sets), lexicon=lexicon)
    replace(atlas, scale=np.round(atlas.scale, 3)).save(GENE_ATLAS_FILE, lexicon, overwrite=True)
    make_default_projection(lexicon).save(SHIPPED / lexicon.name, overwrite=True)
    print(f"{GENE_ATLAS_FILE}: {', '.join(f'{cells.name}, {cells.genes:,} genes' for cells in atlas.data)}")


if __name__ == "__main__":
    main(sys.argv[1:])
