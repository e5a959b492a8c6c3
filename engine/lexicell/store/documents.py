"""Groups and single values of a Zarr v3 as the bytes they are.

anndata and zarr-python write a value in some ten steps, each through an event loop: twenty values took a
quarter of a second, as long as 25,000 cells. Here each is two objects, and no request comes first.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.store.anndata import ARRAY
from lexicell.store.layout import chunk_bytes

__all__ = ["Document", "empty_table", "group", "mapping_documents"]

#: Key and content of an object.
Document = tuple[str, bytes]

_DICT = {"encoding-type": "dict", "encoding-version": "0.1.0"}
_TEXTS = {"encoding-type": "string-array", "encoding-version": "0.2.0"}
_STRING = {"encoding-type": "string", "encoding-version": "0.2.0"}
_NUMBER = {"encoding-type": "numeric-scalar", "encoding-version": "0.2.0"}
_CRC = {"name": "crc32c"}
_TEXT = [{"name": "vlen-utf8", "configuration": {}}, _CRC]


def group(path: str, attributes: Mapping[str, Any]) -> Document:
    """Metadata of a group."""
    return f"{path}/zarr.json", _json(attributes=dict(attributes), zarr_format=3, node_type="group")


def mapping_documents(path: str, values: Mapping[str, Any]) -> Iterator[Document]:
    """Text, numbers, lists of text, 1-d arrays and mappings of these, as anndata writes a dict.

    Each value ends with its crc32c.

    Raises
    ------
    TypeError
        A value is of another type.
    """
    yield group(path, _DICT)
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from mapping_documents(f"{path}/{name}", value)
        elif isinstance(value, np.ndarray) or (isinstance(value, list) and set(map(type, value)) <= {str}):
            yield from _vector(f"{path}/{name}", value)
        else:
            yield from _scalar(f"{path}/{name}", value)


def empty_table(path: str) -> Iterator[Document]:
    """A data frame without rows and columns."""
    order: dict[str, Any] = {"column-order": [], "_index": "_index"}
    yield group(path, {**order, "encoding-type": "dataframe", "encoding-version": "0.2.0"})
    yield _array(f"{path}/_index", [0], [1], "string", "", _TEXT, _TEXTS)


def _scalar(path: str, value: object) -> Iterator[Document]:
    if isinstance(value, str):
        yield _array(path, [], [], "string", "", _TEXT, _STRING)
        yield f"{path}/c", _text([value])
        return
    if not isinstance(value, bool | int | float):
        msg = f"{path} is a {type(value).__name__}, and neither text nor a number"
        raise TypeError(msg)
    number = np.array([value])  # bool, int64 or float64
    yield _array(path, [], [], number.dtype.name, type(value)(0), _codecs(number.dtype), _NUMBER)
    yield f"{path}/c", b"".join(chunk_bytes(number, 1))


def _vector(path: str, values: list[str] | NDArray[Any]) -> Iterator[Document]:
    n = [len(values)]
    if isinstance(values, list):
        yield _array(path, n, n, "string", "", _TEXT, _TEXTS)
        yield f"{path}/c/0", _text(values)
    else:
        yield _array(path, n, n, values.dtype.name, 0, _codecs(values.dtype), ARRAY)
        yield f"{path}/c/0", b"".join(chunk_bytes(values, n[0]))


def _text(values: list[str]) -> bytes:
    encoded = [value.encode() for value in values]
    parts = [struct.pack("<I", len(encoded)), *(struct.pack("<I", len(text)) + text for text in encoded)]
    content = np.frombuffer(b"".join(parts), np.uint8)
    return b"".join(chunk_bytes(content, len(content)))


def _codecs(dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    endian = {"configuration": {"endian": "little"}} if dtype.itemsize > 1 else {}
    return [{"name": "bytes", **endian}, _CRC]


def _array(
    path: str, shape: list[int], chunk: list[int], dtype: str, fill: Any, codecs: list[Any], attributes: Any
) -> Document:
    return f"{path}/zarr.json", _json(
        shape=shape,
        data_type=dtype,
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": chunk}},
        chunk_key_encoding={"name": "default", "configuration": {"separator": "/"}},
        fill_value=fill,
        codecs=codecs,
        attributes=attributes,
        zarr_format=3,
        node_type="array",
        storage_transformers=[],
    )


def _json(**fields: Any) -> bytes:
    return json.dumps(fields, indent=2).encode()
