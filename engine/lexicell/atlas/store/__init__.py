"""What is written: the journal that makes it safe, the embedding, and what reads, verifies and tidies it."""

from lexicell.atlas.store._gc import Freed, gc
from lexicell.atlas.store._identity import check_identity
from lexicell.atlas.store._journal import Begun, begun
from lexicell.atlas.store._layout import Layout, Shard
from lexicell.atlas.store._reading import open_embedding
from lexicell.atlas.store._sharded import Receipt, ShardedStore, ShardWriter, Sink, create_store
from lexicell.atlas.store._verify import Verified, verify
from lexicell.atlas.store.embedding import QUALITY, EmbeddingSink, check_output

__all__ = [
    "QUALITY",
    "Begun",
    "EmbeddingSink",
    "Freed",
    "Layout",
    "Receipt",
    "Shard",
    "ShardWriter",
    "ShardedStore",
    "Sink",
    "Verified",
    "begun",
    "check_identity",
    "check_output",
    "create_store",
    "gc",
    "open_embedding",
    "verify",
]
