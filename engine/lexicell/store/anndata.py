"""What makes a group an AnnData without X."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["ANNDATA", "ARRAY", "KEY", "PARTS", "check_own", "write_element"]

#: Where the vectors lie in ``obsm``.
KEY = "X_lexicell"
ANNDATA: dict[str, Any] = {"encoding-type": "anndata", "encoding-version": "0.1.0"}
ARRAY: dict[str, Any] = {"encoding-type": "array", "encoding-version": "0.2.0"}
PARTS = ("obsm", "varm", "obsp", "varp", "layers", "uns")


def check_own(file: Any, parts: Iterable[str]) -> None:
    """Raise InputError where parts of a copy that are read and written next lie in another file."""
    from lexicell.containers.h5group import OwnGroup

    root = OwnGroup(file["/"].id, "a copy of the input", follow_links=False)
    for part in parts:
        if part in root and hasattr(root[part], "plain"):
            root[part].plain()


def write_element(group: Any, name: str, value: Any) -> None:
    """Write as anndata does, in plain chunks: what is sharded is decided here, not by its defaults.

    In a Zarr, chunks of arrays end with their crc32c; single values do not, which anndata gives no codecs.
    """
    import anndata
    import h5py
    from zarr.codecs import Crc32cCodec, ZstdCodec

    codecs = {} if isinstance(group, h5py.Group) else {"compressors": [ZstdCodec(), Crc32cCodec()]}
    with anndata.settings.override(auto_shard_zarr_v3=False, allow_write_nullable_strings=True):
        anndata.io.write_elem(group, name, value, dataset_kwargs=codecs)
