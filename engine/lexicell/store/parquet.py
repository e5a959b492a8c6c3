"""Tables of cells, shard by shard: a folder of Parquet files that pandas, Polars and DuckDB read as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexicell.store.layout import Layout
from lexicell.store.objects import Bytes

if TYPE_CHECKING:
    import pyarrow as pa

    from lexicell.store.writer import WriterStore

__all__ = ["ParquetSink", "parquet_bytes"]


@dataclass(frozen=True, slots=True)
class ParquetSink:
    """The sink of Arrow tables: one file a shard, compressed, each page with a checksum.

    Names that begin with ``_`` or ``.`` are not taken for parts by readers of folders; what describes the
    cells lies under such names.

    Attributes
    ----------
    layout
        How the cells are cut.
    """

    layout: Layout

    def schema(self, store: WriterStore) -> None:
        """Write nothing: each part has its schema."""

    def encode(
        self, number: int, shard: pa.Table
    ) -> tuple[list[tuple[str, Sequence[Bytes]]], dict[str, Any]]:
        """See `lexicell.store.Sink`; it remembers the number of rows."""
        return [(f"part-{number:05d}.parquet", (parquet_bytes(shard),))], {"rows": shard.num_rows}

    def finish(self, store: WriterStore, files: Mapping[str, Bytes]) -> None:
        """Write files beside the parts, by their names."""
        for name, content in files.items():
            store.put(name, (content,))


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file: the same bytes for the same table and version of pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = pa.BufferOutputStream()
    pq.write_table(table, written, compression="zstd", write_page_checksum=True)
    return bytes(written.getvalue())
