"""Groups of zarr-python whose arrays decode within bounds, whatever reads them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numcodecs  # type: ignore[import-untyped]
import zarr
from zarr.abc.codec import ArrayBytesCodec, BytesBytesCodec
from zarr.codecs import ShardingCodec
from zarr.codecs._v2 import V2Codec
from zarr.core.codec_pipeline import BatchedCodecPipeline

from lexicell.containers.chunk_bounds import BOUNDED, FIXED, TEXT, check_text, decode, unknown_codec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zarr.abc.codec import Codec, CodecPipeline

__all__ = ["bounded"]

#: Codecs of Zarr v3, beside those of numcodecs, whose results are as large as the array says.
_OF_ZARR = frozenset({"bytes", "cast_value", "crc32c", "scale_offset", "transpose"})


def bounded(node: Any) -> Any:
    """The same group or array of zarr, with bounds on what is read of it; arrays may have been changed.

    Raises
    ------
    ValueError
        An array has a codec that is not known to be safe, and pickle is not. Of a group, that is raised when
        the array is accessed.
    """
    if isinstance(node, zarr.Group):
        return zarr.Group(_bound(node._async_group))
    return zarr.Array(_bound(node._async_array))


class _Group(zarr.AsyncGroup):
    async def getitem(self, key: str) -> Any:
        return _bound(await super().getitem(key))


def _bound(node: Any) -> Any:
    if isinstance(node, zarr.AsyncGroup):
        return _Group(node.metadata, node.store_path)
    metadata = node.metadata
    if max((0, *node.shape, *(node.shards or node.chunks))) >= 1 << 63:
        msg = f"{node.path} has a side of 2**63 or more"  # which zarr-python reads as nothing
        raise ValueError(msg)
    # Not the pipeline that is configured, where that may decode past these codecs.
    usual = isinstance(node.codec_pipeline, BatchedCodecPipeline)
    codecs = (
        [_v2_codec(node)]
        if metadata.zarr_format == 2
        else _v3_codecs(node.codec_pipeline if usual else metadata.codecs)
    )
    object.__setattr__(node, "codec_pipeline", BatchedCodecPipeline.from_codecs(codecs))
    return node


def _v3_codecs(codecs: Iterable[Codec]) -> list[Any]:
    codecs_by_name = [(str(codec.to_dict()["name"]).removeprefix("numcodecs."), codec) for codec in codecs]
    text = any(name in TEXT for name, _ in codecs_by_name)
    return [_v3_codec(name, codec, text=text) for name, codec in codecs_by_name]


def _v3_codec(name: str, codec: Any, *, text: bool) -> Any:
    if name == "sharding_indexed":
        return _Sharding(
            chunk_shape=codec.chunk_shape,
            codecs=_v3_codecs(codec.codecs),
            index_codecs=codec.index_codecs,
            index_location=codec.index_location,
        )
    if name in TEXT:
        return _Text(codec)
    if name in BOUNDED:
        # To decode, only LZMA needs its options.
        return _Bytes(codec._codec if name == "lzma" else numcodecs.get_codec({"id": name}), text)
    if name in FIXED or name in _OF_ZARR:
        return codec
    raise unknown_codec(name)


def _v2_codec(array: Any) -> V2Codec:
    n, filters, compressor = prod(array.chunks), array.metadata.filters or (), array.metadata.compressor
    names = [codec.codec_id for codec in filters]
    for name in [*names, *([] if compressor is None else [compressor.codec_id])]:
        if name not in BOUNDED | TEXT | FIXED:
            raise unknown_codec(name)
    size = n * array.dtype.itemsize
    # Filters may widen values, or add a checksum.
    limit = None if not TEXT.isdisjoint(names) else 16 * size + 64 if names else size
    bounded_codecs: list[Any] = [codec and _V2(codec, limit, n) for codec in (*filters, compressor)]
    return V2Codec(tuple(bounded_codecs[:-1]) or None, bounded_codecs[-1])


@dataclass(frozen=True)
class _V2:
    """A codec of numcodecs; V2Codec asks for no more than this."""

    codec: Any
    most: int | None
    n: int

    def decode(self, raw: Any) -> Any:
        return decode(self.codec, raw, self.most, self.n)


@dataclass(frozen=True)
class _Bytes(BytesBytesCodec):
    """One of `BOUNDED`."""

    codec: Any
    text: bool
    is_fixed_size = False

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        size = prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize
        # There may be checksums and other compression within.
        most = None if self.text else size + size // 8 + 4096
        raw = chunk_bytes.as_numpy_array()
        decoded = await asyncio.to_thread(decode, self.codec, raw, most, 0)
        return chunk_spec.prototype.buffer.from_bytes(decoded)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        raise NotImplementedError


@dataclass(frozen=True)
class _Text(ArrayBytesCodec):
    """One of `TEXT`."""

    codec: Any
    is_fixed_size = False

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        check_text(chunk_bytes.as_numpy_array().data, prod(chunk_spec.shape))
        return await self.codec._decode_single(chunk_bytes, chunk_spec)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        raise NotImplementedError


class _Sharding(ShardingCodec):
    @property
    def codec_pipeline(self) -> CodecPipeline:
        return BatchedCodecPipeline.from_codecs(self.codecs)
