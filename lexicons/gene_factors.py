"""Writes the gene factors that come with the package: what texts foretell of how much a gene varies.

``python lexicons/gene_factors.py CELLS.h5ad [CELLS.h5ad ...]``

Those of the package were made from PBMC3k (10x Genomics) and human pancreas (GSE84133, donor 1). The file
holds the prediction for every gene of the bundled lexicon, not the measurements.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lexicell.atlas import open_counts
from lexicell.embedding import AlignOptions, align_cells
from lexicell.embedding.default_projection import REFINED, refine
from lexicell.embedding.gene_statistics import gene_statistics
from lexicell.learn.factors import foretell_factors
from lexicell.lexicon import Lexicon
from lexicell.lexicon._factors import FACTORS_FILE


def main(paths: list[str]) -> None:
    """Measure, foretell, write."""
    lexicon = Lexicon.open("human-go-minilm")
    found = []
    for path in paths:
        with open_counts(path) as source:
            found.append(gene_statistics(align_cells(source, AlignOptions(lexicon=lexicon))))
    factors = foretell_factors(found, lexicon.vectors(lexicon.rows))
    genes = lexicon.read_genes(["ncbi_id", "symbol"])
    table = genes.append_column("factor", pa.array(np.round(factors, 3), pa.float32()))
    pq.write_table(table, FACTORS_FILE, compression="zstd")
    refine(lexicon).save(REFINED / lexicon.name, overwrite=True)
    print(f"{FACTORS_FILE}: {len(factors):,} genes, factors {factors.min():.2f} to {factors.max():.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
