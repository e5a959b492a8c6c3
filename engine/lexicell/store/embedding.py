"""The EmbeddingStore: what embedded rows become, an AnnData-Zarr, and what may stand in its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell._files import is_taken
from lexicell._trace import detail
from lexicell.containers.remote import is_url
from lexicell.errors import InputError, OutputExistsError
from lexicell.store import documents
from lexicell.store.anndata import ANNDATA, ARRAY, KEY, PARTS
from lexicell.store.journal import check_target
from lexicell.store.layout import QUALITY_DTYPES, Layout, Shard, chunk_bytes, shard_bytes
from lexicell.store.objects import Bytes
from lexicell.store.place import place_of

if TYPE_CHECKING:
    import zarr

    from lexicell.store.writer import WriterStore

__all__ = ["QUALITY", "EmbeddingSink", "check_folder", "check_output"]


#: Columns of ``obs`` that each shard brings with it.
QUALITY = tuple(QUALITY_DTYPES)


@dataclass(frozen=True, slots=True)
class EmbeddingSink:
    """The sink of embedded rows: ``obsm["X_lexicell"]`` and three columns of ``obs``.

    It remembers of a shard ``n_empty``, how many of its cells have no described gene, and ``coverage``, the
    sum over its cells. Vectors of other models are of unknown genes: ``n_genes`` is -1 and the coverage NaN.

    Attributes
    ----------
    layout
        How the embedding is cut.
    """

    layout: Layout

    def schema(self, store: WriterStore) -> None:
        """Write the metadata of the arrays that shards go to, so that Zarr can read these."""
        import zarr
        from zarr.codecs import Crc32cCodec

        layout = self.layout
        zarr.create_array(
            store,
            name=f"obsm/{KEY}",
            shape=(layout.n_cells, layout.dim),
            shards=(layout.shard_rows, layout.dim),
            chunks=(layout.chunk_rows, layout.dim),
            dtype=layout.dtype,
            compressors=[Crc32cCodec()],
            attributes=ARRAY,
            zarr_format=3,
            overwrite=False,
        )
        for name, dtype in QUALITY_DTYPES.items():
            zarr.create_array(
                store,
                name=f"obs/{name}",
                shape=(layout.n_cells,),
                chunks=(layout.shard_rows,),
                dtype=dtype,
                compressors=[Crc32cCodec()],
                attributes=ARRAY,
                zarr_format=3,
            )

    def encode(self, number: int, shard: Shard) -> tuple[list[tuple[str, Sequence[Bytes]]], dict[str, Any]]:
        """Objects of a shard; ValueError where its shape or its dtype is not the layout's."""
        layout = self.layout
        start, stop = layout.rows(number)
        if shard.vectors.shape != (stop - start, layout.dim) or shard.vectors.dtype != layout.dtype:
            msg = f"shard {number} is {layout.dtype} [{stop - start}, {layout.dim}]"
            raise ValueError(msg)
        with detail("encode"):
            encoded: list[tuple[str, Sequence[Bytes]]] = [
                (f"obsm/{KEY}/c/{number}/0", shard_bytes(shard.vectors, layout))
            ]
        for name, dtype in QUALITY_DTYPES.items():
            column = getattr(shard, name.removeprefix("lexicell_"))
            if column.shape != (stop - start,) or column.dtype != dtype:
                msg = f"{name} of shard {number} is {dtype} [{stop - start}]"
                raise ValueError(msg)
            encoded.append((f"obs/{name}/c/{number}", chunk_bytes(column, layout.shard_rows)))
        facts = {
            "n_empty": int(np.count_nonzero(shard.n_genes == 0)),
            "coverage": float(np.nansum(shard.coverage, dtype=np.float64)),
        }
        return encoded, facts

    def finish(
        self, store: WriterStore, write_obs: Callable[[zarr.Group], None], uns: Mapping[str, Any]
    ) -> None:
        """Write all that an AnnData has beside what the shards bring.

        Parameters
        ----------
        store
            Where to.
        write_obs
            Called with the root; writes ``obs`` except for the columns in `QUALITY`, which are there.
        uns
            Goes to ``uns["lexicell"]``.
        """
        import zarr

        root = zarr.open_group(store, mode="a", zarr_format=3)
        root.attrs.update(ANNDATA)
        for part in PARTS:
            for key, content in documents.mapping_documents(part, {"lexicell": uns} if part == "uns" else {}):
                store.put(key, (content,))
        for key, content in documents.empty_table("var"):
            store.put(key, (content,))
        write_obs(root)


def check_output(
    path: str | Path, *, overwrite: bool, resume: bool = False, data: Any = None, copied: bool = True
) -> Path | str:
    """Check that an output of this name can be written.

    Parameters
    ----------
    path
        Of the output; a ``.zarr`` may be a URL.
    overwrite
        Whether it may exist. A link to what lexicell wrote is then replaced itself, and what it points to
        stays; one that leads nowhere is never replaced.
    resume
        Whether an unfinished run to it goes on.
    data
        Where the counts are from, a path or an AnnData: never replaced by something without counts.
    copied
        Whether an h5ad is written as a copy of an h5ad that it is made of, and so may replace it.

    Raises
    ------
    InputError
        It ends neither in ``.zarr`` nor in ``.h5ad``, or it would take the place of the input.
    OutputExistsError
        It exists, and is not to be replaced or nothing that lexicell writes; or it is unfinished.
    """
    output = str(path).rstrip("/") if is_url(path) else Path(path)
    suffix = Path(str(output)).suffix
    if suffix not in {".zarr", ".h5ad"} or (suffix == ".h5ad" and isinstance(output, str)):
        msg = f"{output}: the output is a .zarr, here or at a URL, or an .h5ad; give it one of these endings"
        raise InputError(msg)
    if suffix == ".zarr":
        return check_folder(output, overwrite=overwrite, resume=resume, data=data)
    _check_loss(output, data, copied=copied)
    if is_taken(file := Path(output)):
        if not overwrite:
            msg = f"{output} exists; choose another name or overwrite it (--overwrite)"
            raise OutputExistsError(msg)
        if not file.is_file():
            msg = f"{output} was not written by lexicell, so it is not replaced; choose another name"
            raise OutputExistsError(msg)
    return output


def check_folder(path: str | Path, *, overwrite: bool, resume: bool = False, data: Any = None) -> Path | str:
    """Check that a folder, here or at a URL, can be written shard by shard; see `check_output`."""
    output = str(path).rstrip("/") if is_url(path) else Path(path)
    _check_loss(output, data)
    check_target(place_of(output), "overwrite" if overwrite else "resume" if resume else "new")
    return output


def _check_loss(output: Path | str, data: Any, *, copied: bool = True) -> None:
    if _would_lose(output, data, copied=copied):
        msg = f"{output} is the input, or holds it, and the output has not all of it; choose another name"
        raise InputError(msg)


def _would_lose(output: Path | str, data: Any, *, copied: bool) -> bool:
    """Whether an output would replace its own input. A copied h5ad keeps all that is in it."""
    is_path = isinstance(data, (str, Path))
    path = data if is_path else getattr(data, "filename", None)
    if path is None or is_url(path) != isinstance(output, str):
        return False
    if isinstance(output, str):
        source = str(path).rstrip("/")
        return f"{source}/".startswith(f"{output}/") or f"{output}/".startswith(f"{source}/")
    source_path, target = Path(path).resolve(), output.resolve()
    if copied and is_path and source_path == target and source_path.suffix == ".h5ad":
        return False
    return target in (source_path, *source_path.parents) or source_path in target.parents
