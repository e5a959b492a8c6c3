"""Count matrices in, embeddings out: readers of every common format, and the store."""

from lexicell.atlas._memory import chunk_block, dask_counts
from lexicell.atlas._open import open_counts
from lexicell.atlas._values import Values, decode_values, read_sample, resolve_values
from lexicell.atlas.source import CountSource
from lexicell.atlas.store import EmbeddingStore, create_store

__all__ = [
    "CountSource",
    "EmbeddingStore",
    "Values",
    "chunk_block",
    "create_store",
    "dask_counts",
    "decode_values",
    "open_counts",
    "read_sample",
    "resolve_values",
]
