"""What is written: the journal that makes it safe, the embedding, and what reads, verifies and tidies it."""

from lexicell.atlas.store._gc import Freed, gc
from lexicell.atlas.store._identity import check_identity
from lexicell.atlas.store._journal import Begun, begun
from lexicell.atlas.store._layout import Layout, Shard
from lexicell.atlas.store._reading import open_embedding
from lexicell.atlas.store._verify import Verified, verify
from lexicell.atlas.store.embedding import (
    QUALITY,
    EmbeddingStore,
    Receipt,
    ShardWriter,
    check_output,
    create_store,
)

__all__ = [
    "QUALITY",
    "Begun",
    "EmbeddingStore",
    "Freed",
    "Layout",
    "Receipt",
    "Shard",
    "ShardWriter",
    "Verified",
    "begun",
    "check_identity",
    "check_output",
    "create_store",
    "gc",
    "open_embedding",
    "verify",
]
