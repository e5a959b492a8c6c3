from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.engine.evaluation.conftest import make_lexicon

from lexicell.lexicon import (
    BatchCallback,
    EncoderInfo,
    Lexicon,
    OnnxTextEncoder,
    TextInfo,
    load_encoder,
    write_lexicon,
)
from lexicell.lexicon.text.reading import read_gene_texts

__all__ = ["make_lexicon"]

SOURCES = Path(__file__).parents[3] / "lexicons" / "human-go-minilm"


class FakeEncoder:
    """Vectors from the letters of a text: instant, deterministic, and different for each text."""

    info = EncoderInfo(
        id="fake/letters", revision="1", pooling="mean", max_tokens=99, normalised=False, long_text="truncate"
    )
    cache_key = "fake/letters"

    def encode(self, texts: Sequence[str], on_batch: BatchCallback | None = None) -> np.ndarray:
        vectors = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts])
        vectors = vectors.reshape(len(texts), 26).astype(np.float32)
        if on_batch is not None:
            on_batch(range(len(texts)), vectors)
        return vectors


@pytest.fixture
def fake_encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture(scope="session")
def gene_table() -> Path:
    """The whole table behind the bundled lexicon: 21,609 human genes."""
    return SOURCES / "gene_text_human_orgdb_go.tsv.gz"


@pytest.fixture(scope="session")
def orthologue_table() -> Path:
    return SOURCES / "human_mouse_orthologs_ensembl105.csv.gz"


@pytest.fixture(scope="session")
def small_table(gene_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every 540th gene of the real table: 41 rows."""
    with gzip.open(gene_table, "rb") as file:
        header, *rows = file.readlines()
    path = tmp_path_factory.mktemp("tables") / "small.tsv"
    path.write_bytes(b"".join([header, *rows[::540]]))
    return path


@pytest.fixture
def lexicon(tmp_path: Path, small_table: Path) -> Lexicon:
    """A lexicon of 41 real genes with made-up float16 vectors, fresh for each test."""
    genes = read_gene_texts(small_table).table
    vectors = np.random.default_rng(0).standard_normal((genes.num_rows, 48)).astype(np.float32)
    return write_lexicon(
        tmp_path / "lexicon",
        genes,
        vectors,
        name="test",
        organism="human",
        text=TextInfo(source="a test"),
        encoder=EncoderInfo(id="none", revision="0", pooling="mean", max_tokens=1, normalised=False),
        notes={"NOTICE.md": b"Thanks to all genes.\n"},
    )


@pytest.fixture(scope="session")
def minilm(encoder_cache: Path, encoder_packages: None) -> OnnxTextEncoder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEXICELL_CACHE", str(encoder_cache))
        return load_encoder("minilm")
