"""Writes the gene scales that come with the package: what texts foretell of how much a gene varies.

``python lexicons/gene_scales.py CELLS.h5ad [CELLS.h5ad ...]``

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
from lexicell.embedding.default_projection import SHIPPED, make_default_projection
from lexicell.embedding.gene_statistics import gene_statistics
from lexicell.learn.gene_scales import predict_gene_scales
from lexicell.lexicon import Lexicon
from lexicell.lexicon._gene_scales import GENE_SCALES_FILE


def main(paths: list[str]) -> None:
    """Measure, foretell, write."""
    lexicon = Lexicon.open("human-go-minilm")
    found = []
    for path in paths:
        with open_counts(path) as source:
            found.append(gene_statistics(align_cells(source, AlignOptions(lexicon=lexicon))))
    scales = predict_gene_scales(found, lexicon.vectors(lexicon.rows))
    genes = lexicon.read_genes(["ncbi_id", "symbol"])
    table = genes.append_column("scale", pa.array(np.round(scales, 3), pa.float32()))
    pq.write_table(table, GENE_SCALES_FILE, compression="zstd")
    make_default_projection(lexicon).save(SHIPPED / lexicon.name, overwrite=True)
    print(f"{GENE_SCALES_FILE}: {len(scales):,} genes, scales {scales.min():.2f} to {scales.max():.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
