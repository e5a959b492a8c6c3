"""Folders that Hugging Face ``datasets`` opens, in all its versions, written with pyarrow alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lexicell.errors import InputError
from lexicell.store import Layout

if TYPE_CHECKING:
    from lexicell.store import Bytes, WriterStore

__all__ = ["HfSink", "features_of"]

#: Arrow's own names of types, where Hugging Face's differ.
_NAMES = {"double": "float64", "float": "float32", "halffloat": "float16"}
#: Values of a list column in one shard that 32-bit offsets can count.
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class HfSink:
    """The sink of ``datasets.load_from_disk``: Arrow streams, and two small files that list them.

    Attributes
    ----------
    layout
        How the cells are cut.
    fingerprint
        Hex, unique for the content: ``datasets`` caches by it.
    """

    layout: Layout
    fingerprint: str

    def schema(self, store: WriterStore) -> None:
        """Write nothing: each part has its schema."""

    def encode(
        self, number: int, shard: pa.Table
    ) -> tuple[list[tuple[str, Sequence[Bytes]]], dict[str, Any]]:
        """See `lexicell.store.Sink`; it remembers the rows and the schema."""
        for column in shard.columns:
            if pa.types.is_list(column.type) and sum(len(chunk.values) for chunk in column.chunks) > _MOST:
                msg = "a shard has more than 2^31 values in one column; ask for fewer genes"
                raise InputError(msg)
        written = _Parts()
        plain = shard.replace_schema_metadata(None)
        with pa.ipc.new_stream(pa.PythonFile(written, "w"), plain.schema) as stream:
            stream.write_table(plain)
        facts = {"rows": shard.num_rows, "features": features_of(plain.schema)}
        return [(self._name(number), written.parts)], facts

    def finish(self, store: WriterStore, features: Mapping[str, Any], files: Mapping[str, Bytes]) -> None:
        """Write ``dataset_info.json``, other files, and ``state.json`` last."""
        info = {"features": features, "citation": "", "description": "", "homepage": "", "license": ""}
        state: dict[str, Any] = {
            "_data_files": [{"filename": self._name(number)} for number in range(self.layout.n_shards)],
            "_fingerprint": self.fingerprint,
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        for name, content in files.items():
            store.put(name, (content,))
        store.put("dataset_info.json", (json.dumps(info, indent=2).encode(),))
        store.put("state.json", (json.dumps(state, indent=2).encode(),))

    def _name(self, number: int) -> str:
        return f"data-{number:05d}-of-{self.layout.n_shards:05d}.arrow"


class _Parts:
    """A file that keeps the buffers of what is written to it, so that no list is copied."""

    closed = False

    def __init__(self) -> None:
        self.parts: list[Bytes] = []

    def write(self, part: Bytes) -> int:
        self.parts.append(memoryview(part))
        return len(part)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """Hugging Face's description of a schema; lists as ``Sequence``, which old and new versions read."""
    return {field.name: _feature(field.type) for field in schema}


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "Sequence"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    if pa.types.is_large_string(kind):
        return {"dtype": "large_string", "_type": "Value"}
    return {"dtype": _NAMES.get(str(kind), str(kind)), "_type": "Value"}
