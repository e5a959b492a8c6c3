from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lexicell.lexicon import EncoderInfo, Lexicon, TextInfo, write_lexicon

N_GENES = 600


def made_up(
    folder: Path, vectors: np.ndarray, texts: list[str | None] | None = None, name: str = "made-up"
) -> Lexicon:
    """Write a lexicon of made-up genes: NCBI ids from 1, symbols G0, G1, ... and aliases A0, A1, ..."""
    import pyarrow as pa

    n = len(vectors)
    lists = pa.list_(pa.string())
    genes = pa.table(
        {
            "ncbi_id": list(range(1, n + 1)),
            "symbol": [f"G{i}" for i in range(n)],
            "ensembl_ids": pa.array([[f"ENSG{i:011d}"] for i in range(n)], lists),
            "aliases": pa.array([[f"A{i}"] for i in range(n)], lists),
            "mouse_symbols": pa.array([[]] * n, lists),
            "name": ["a name"] * n,
            "text": pa.array(texts or ["a text"] * n, pa.string()),
            "text_source": ["made up"] * n,
        }
    )
    encoder = EncoderInfo(id="none", revision="0", pooling="mean", max_tokens=1, normalised=False)
    return write_lexicon(
        folder / name, genes, vectors, name=name, organism="human", text=TextInfo(source="a test"),
        encoder=encoder, dtype="float32",
    )  # fmt: skip


@pytest.fixture
def make_lexicon(tmp_path: Path) -> Callable[..., Lexicon]:
    """Write a lexicon of made-up genes for one test."""
    return partial(made_up, tmp_path)


@pytest.fixture(scope="session")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Lexicon:
    """600 genes in 10 noisy clusters: gene i belongs to cluster i mod 10, and the even ones' texts say so."""
    rng = np.random.default_rng(0)
    cluster = np.arange(N_GENES) % 10
    vectors = np.eye(10, 16)[cluster] + 0.35 * rng.standard_normal((N_GENES, 16)) + 0.5
    texts = [f"A gene of CLUSTER {c}." if i % 20 < 10 else "A gene." for i, c in enumerate(cluster)]
    return made_up(tmp_path_factory.mktemp("clustered"), vectors.astype(np.float32), texts)


@pytest.fixture
def gmt(tmp_path: Path) -> Path:
    """The ten clusters as a GMT of symbols."""
    lines = (
        "\t".join([f"C{c}", f"cluster {c}", *(f"G{i}" for i in range(c, N_GENES, 10))]) for c in range(10)
    )
    path = tmp_path / "clusters.gmt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
