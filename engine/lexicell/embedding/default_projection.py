"""What the recipe `lexicell` does to a lexicon's vectors before the first cell is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexicell.lexicon import Lexicon, gene_scales
from lexicell.projection import Projection
from lexicell.projection.whitening import fit_whitening

__all__ = ["SHIPPED", "default_projection", "make_default_projection", "whiten_and_scale"]


#: Projections that come with the package, by the lexicon's name; written by ``lexicons/gene_scales.py``.
SHIPPED = Path(__file__).with_name("data")
#: The last one that was made, by the lexicon's identity: each worker and each call of `embed` asks for it.
_LAST: dict[str, Projection] = {}


def default_projection(lexicon: Lexicon) -> Projection:
    """Whiten the vectors of a lexicon, scale them to length 1, and scale genes by how much they count.

    Texts of genes are much alike, so vectors point into few directions; whitening (ZCA) makes all directions
    count the same. Scales are those of `lexicell.lexicon.gene_scales`. Both are linear for each gene, so
    they are a projection, and cost nothing per cell. That of the bundled lexicon comes with the package, so
    it has the same bits everywhere.
    """
    if lexicon.identity in _LAST:
        return _LAST[lexicon.identity]
    shipped = SHIPPED / lexicon.name
    made = Projection.load(shipped) if shipped.is_dir() else None
    if made is None or made.lexicon != lexicon.identity:
        made = make_default_projection(lexicon)
    _LAST.clear()
    _LAST[lexicon.identity] = made
    return made


def make_default_projection(lexicon: Lexicon) -> Projection:
    """Compute what `default_projection` gives; the last bits depend on the machine's linear algebra."""
    made = whiten_and_scale(lexicon.vectors(lexicon.rows), gene_scales(lexicon))
    card = {"name": "whitening and gene factors", "lexicon": lexicon.name}
    return replace(made, lexicon=lexicon.identity, card=card)


def whiten_and_scale(vectors: NDArray[np.float32], scales: NDArray[np.float32]) -> Projection:
    """Whiten vectors ``[G, d]`` and give each the length of its factor ``[G]``, as a projection."""
    whitening = fit_whitening(vectors, kind="zca")
    lengths = np.linalg.norm(whitening.apply(vectors), axis=1)
    d = vectors.shape[1]
    weight, offset = whitening.compose(np.eye(d, len(whitening.weight), dtype=np.float32))
    scale = scales / np.maximum(lengths, 1e-6)
    return Projection(weight, offset=offset, gene_scale=scale.astype(np.float32))
