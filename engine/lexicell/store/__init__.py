"""What is written: the journal that makes it safe, the embedding, and what reads, verifies and tidies it.

`WriterStore` and `open_writer` bring zarr, so they are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexicell.store import steps
from lexicell.store.anndata import ANNDATA, ARRAY, KEY, PARTS, check_own, write_element
from lexicell.store.documents import mapping_documents
from lexicell.store.embedding import QUALITY, EmbeddingSink, check_folder, check_output
from lexicell.store.garbage import Freed, gc
from lexicell.store.h5ad_output import create_h5ad
from lexicell.store.identity import check_identity
from lexicell.store.journal import Begun, Journal, Mode, begun, open_journal
from lexicell.store.layout import Layout, Shard, chunk_bytes, shard_bytes
from lexicell.store.objects import FOLDER, Bytes, Objects, Written, open_objects, writing
from lexicell.store.obs import check_columns, write_obs
from lexicell.store.parquet import ParquetSink, parquet_bytes
from lexicell.store.place import PASSING, RUN, place_of
from lexicell.store.reading import StoredVectors, open_embedding, open_vectors, vectors_of
from lexicell.store.sharded import ShardedStore, ShardWriter, Sink, create_store
from lexicell.store.units import Receipt
from lexicell.store.verification import Verified, examine, verify

if TYPE_CHECKING:
    from lexicell.store.writer import WriterStore, open_writer

__all__ = [
    "ANNDATA",
    "ARRAY",
    "FOLDER",
    "KEY",
    "PARTS",
    "PASSING",
    "QUALITY",
    "RUN",
    "Begun",
    "Bytes",
    "EmbeddingSink",
    "Freed",
    "Journal",
    "Layout",
    "Mode",
    "Objects",
    "ParquetSink",
    "Receipt",
    "Shard",
    "ShardWriter",
    "ShardedStore",
    "Sink",
    "StoredVectors",
    "Verified",
    "WriterStore",
    "Written",
    "begun",
    "check_columns",
    "check_folder",
    "check_identity",
    "check_output",
    "check_own",
    "chunk_bytes",
    "create_h5ad",
    "create_store",
    "examine",
    "gc",
    "mapping_documents",
    "open_embedding",
    "open_journal",
    "open_objects",
    "open_vectors",
    "open_writer",
    "parquet_bytes",
    "place_of",
    "shard_bytes",
    "steps",
    "vectors_of",
    "verify",
    "write_element",
    "write_obs",
    "writing",
]


def __getattr__(name: str) -> Any:
    """Import what brings zarr when it is first used."""
    if name in {"WriterStore", "open_writer"}:
        from lexicell.store import writer

        return getattr(writer, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
