from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.engine.embedding.conftest import many, many_file

from lexicell.lexicon import Lexicon
from lexicell.projection import Classifier, HeadLayer, Pooling, Projection, Residual

__all__ = ["full", "many", "many_file"]

P, Q = 24, 12
CLASSES = ("B", "CD4 T", "CD8 T", "NK")


@pytest.fixture(scope="session")
def full(bundled: Lexicon) -> Callable[..., Projection]:
    """A projection for the bundled lexicon with all parts, any of which can be replaced."""

    def make(**changed: Any) -> Projection:
        rng = np.random.default_rng(0)
        n = bundled.n_genes

        def numbers(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape).astype(np.float32)

        rows = np.sort(rng.choice(n, 3_000, replace=False))
        parts: dict[str, Any] = {
            "weight": numbers(P, bundled.dim),
            "bias": numbers(P) / 10,
            "gene_scale": rng.uniform(0.5, 1.5, n),
            "offset": numbers(P),
            "residual": Residual(rows, numbers(3_000, 5) / 5, numbers(5, P)),
            "rank_factor": rng.uniform(0.5, 2, n),
            "masked": rng.random(n) < 0.2,
            "head": (HeadLayer(numbers(16, P), numbers(16), "gelu"), HeadLayer(numbers(Q, 16), numbers(Q))),
            "pooling": Pooling(60, "count"),
            "classifier": Classifier(CLASSES, numbers(4, Q), numbers(4), 1.5, 0.6),
            "lexicon": bundled.identity,
            "card": {"name": "types", "label": "cell_type", "data": ["a.h5ad"], "lexicon": bundled.name},
        }
        return Projection(**(parts | changed))

    return make
