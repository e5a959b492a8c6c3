"""Gene scales: how much a gene should count in a cell's vector, whichever lexicon describes it.

They are a file beside the bundled lexicon and no part of it, so other lexicons get them too, and it keeps its
identity.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lexicell.lexicon._artefact import Lexicon

__all__ = ["GENE_SCALES_FILE", "gene_scales"]

#: Written by ``lexicons/gene_scales.py``.
GENE_SCALES_FILE = Path(__file__).with_name("data") / "gene-scales.parquet"


def gene_scales(lexicon: Lexicon) -> NDArray[np.float32]:
    """Scales of a lexicon's genes that come with the package.

    They are what a gene's text predicts of its dispersion over cells, learned on human blood and pancreas:
    low for housekeeping genes, high for what marks a type.

    Returns
    -------
    numpy.ndarray
        ``[G]`` float32 from 0.05 to 4. Genes are found by NCBI id, else by symbol, in capitals; others get
        the median scale.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(GENE_SCALES_FILE)
    scales = table.column("scale").to_numpy()
    by_id = dict(zip(table.column("ncbi_id").to_pylist(), scales, strict=True))
    by_symbol = dict(zip(table.column("symbol").to_pylist(), scales, strict=True))
    by_id.pop(None, None)
    genes = lexicon.read_genes(["ncbi_id", "symbol"])
    median = float(np.median(scales))
    matched = [
        by_id.get(number, by_symbol.get((symbol or "").upper(), median))
        for number, symbol in zip(
            genes.column("ncbi_id").to_pylist(), genes.column("symbol").to_pylist(), strict=True
        )
    ]
    return np.array(matched, np.float32)
