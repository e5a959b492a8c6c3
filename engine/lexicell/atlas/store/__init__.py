"""What is written: the journal that makes it safe, the embedding, and what reads, verifies and tidies it."""

from lexicell.atlas.store._anndata import ANNDATA, ARRAY, KEY, PARTS, write_element
from lexicell.atlas.store._gc import Freed, gc
from lexicell.atlas.store._identity import check_identity
from lexicell.atlas.store._journal import Begun, begun
from lexicell.atlas.store._layout import Layout, Shard
from lexicell.atlas.store._place import PASSING
from lexicell.atlas.store._reading import StoredVectors, open_embedding, open_vectors, vectors_of
from lexicell.atlas.store._sharded import ShardedStore, ShardWriter, Sink, create_store
from lexicell.atlas.store._units import Receipt
from lexicell.atlas.store._verify import Verified, verify
from lexicell.atlas.store.embedding import QUALITY, EmbeddingSink, check_folder, check_output
from lexicell.atlas.store.parquet import ParquetSink, parquet_bytes

__all__ = [
    "ANNDATA",
    "ARRAY",
    "KEY",
    "PARTS",
    "PASSING",
    "QUALITY",
    "Begun",
    "EmbeddingSink",
    "Freed",
    "Layout",
    "ParquetSink",
    "Receipt",
    "Shard",
    "ShardWriter",
    "ShardedStore",
    "Sink",
    "StoredVectors",
    "Verified",
    "begun",
    "check_folder",
    "check_identity",
    "check_output",
    "create_store",
    "gc",
    "open_embedding",
    "open_vectors",
    "parquet_bytes",
    "vectors_of",
    "verify",
    "write_element",
]
