"""Read an embedding back, and never a wrong number from a damaged or unfinished one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell.containers.remote import is_url
from lexicell.errors import CorruptDataError, InputError
from lexicell.store.anndata import KEY
from lexicell.store.layout import QUALITY_DTYPES, Layout
from lexicell.store.objects import Objects, Written
from lexicell.store.place import Place, place_of
from lexicell.store.units import units_done
from lexicell.store.verification import compare, finished_objects, read_manifest

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["StoredVectors", "open_embedding", "open_vectors", "vectors_of"]

#: Cells read at once.
_BLOCK = 32_768


@dataclass(frozen=True)
class StoredVectors:
    """The vectors of an embedding, which stay on disk. Made by `open_vectors`.

    Attributes
    ----------
    target
        Where they are.
    obs
        Cells, index = names: quality, and the columns that were kept.
    facts
        ``uns["lexicell"]``.
    shape
        ``(N, p)``.
    """

    target: str
    obs: pd.DataFrame
    facts: Mapping[str, Any]
    shape: tuple[int, int]
    _array: Any

    @property
    def names(self) -> pd.Index[Any]:
        """``[N]`` names of the cells."""
        return self.obs.index

    @property
    def dtype(self) -> str:
        """How they are stored: "float16" or "float32"."""
        return str(self._array.dtype)

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Vectors of cells ``start:stop``; CorruptDataError where they can't be read any more."""
        try:
            return np.asarray(self._array[start:stop], np.float32)
        except Exception as error:  # what was checked when it was opened has changed
            raise _damaged(self.target, error) from error

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Number of the first cell and vectors, of all cells in order."""
        for start in range(0, self.shape[0], _BLOCK):
            yield start, self.rows(start, start + _BLOCK)


def open_vectors(target: str | Path) -> StoredVectors:
    """Open an embedding without reading its vectors into memory; they are hashed, as by `open_embedding`.

    Parameters
    ----------
    target
        A ``.zarr`` that `lexicell.embed` wrote: folder or URL.

    Raises
    ------
    CorruptDataError, PartialError, InputError, InputNotFoundError
        See `open_embedding`.
    """
    import anndata
    import zarr

    from lexicell.containers.bounded import bounded

    place = place_of(target)
    objects = _intact(place)
    try:
        root = bounded(zarr.open_group(objects.zarr_store(), mode="r"))
        obs = anndata.io.read_elem(root["obs"])
        facts = anndata.io.read_elem(root["uns/lexicell"])
        array = root[f"obsm/{KEY}"]
    except Exception as error:  # whatever it is: all that was to be read is there
        raise _damaged(place.target, error) from error
    n, p = array.shape
    return StoredVectors(place.target, obs, facts, (int(n), int(p)), array)


def vectors_of(data: Any) -> StoredVectors | None:
    """Open a store that `lexicell.embed` wrote; None for what is none, or has counts too."""
    if not isinstance(data, str | Path):
        return None
    if is_url(data):
        there = place_of(str(data)).finished
        is_store = there is not None and there.get(f"obsm/{KEY}/zarr.json") is not None
        has_counts = there is not None and there.get("X/zarr.json") is not None
    else:
        is_store, has_counts = (Path(data) / "obsm" / KEY).is_dir(), (Path(data) / "X").exists()
    return open_vectors(data) if is_store and not has_counts else None


def open_embedding(target: str | Path, *, allow_partial: bool = False) -> AnnData:
    """Read an embedding into memory.

    Parameters
    ----------
    target
        A ``.zarr`` that `lexicell.embed` wrote: folder or URL.
    allow_partial
        Read also a run that is not complete, which is refused otherwise.

    Returns
    -------
    AnnData
        ``obsm["X_lexicell"]`` (``[N, p]``, float16 or float32), ``obs`` and ``uns["lexicell"]``, no ``X``.
        Everything is hashed before it is read: zarrs skips the checksum of a chunk of which it reads a part,
        and to every reader a chunk that is not there means zeros.

        Of a run that is not complete, rows of shards that are not there are zero, and ``lexicell_present``
        in ``obs`` says which are there. Names and columns of the cells are written last, so ``obs`` has the
        number of the row in their place; ``uns["lexicell"]`` is the identity of the run.

    Raises
    ------
    CorruptDataError
        Something is missing or damaged.
    PartialError
        The embedding is not complete.
    InputError, InputNotFoundError
        It is no embedding of lexicell's, or nothing is there.
    """
    place = place_of(target)
    if allow_partial and place.finished is None and (run := place.unfinished) is not None:
        return _read_partial(place.target, place.objects, run["identity"])
    return _read(place.target, _intact(place))


def _intact(place: Place) -> Objects:
    """Objects of a complete embedding, all of them hashed."""
    objects = finished_objects(place)
    listed = read_manifest(objects)["objects"]
    _check(place.target, objects, {key: Written(key, size, blake3) for key, size, blake3 in listed})
    return objects


def _check(target: str, objects: Objects, expected: Mapping[str, Written]) -> None:
    for key, fault in compare(objects, expected, objects.sizes()):
        msg = f"{target}: {key} is not as written ({fault}); `lexicell verify` tells what else is"
        raise CorruptDataError(msg)


def _read(target: str, objects: Objects) -> AnnData:
    import anndata
    import zarr

    from lexicell.containers.bounded import bounded

    try:
        return anndata.read_zarr(bounded(zarr.open_group(objects.zarr_store(), mode="r")))
    except Exception as error:  # whatever it is: all that was to be read is there
        raise _damaged(target, error) from error


def _read_partial(target: str, objects: Objects, identity: dict[str, Any]) -> AnnData:
    import anndata
    import pandas as pd
    import zarr

    from lexicell.containers.bounded import bounded

    if "layout" not in identity:
        msg = f"{target} is no embedding"
        raise InputError(msg)
    done = units_done(objects)
    _check(target, objects, {item.key: item for receipt in done.values() for item in receipt.objects})
    layout = Layout(**identity["layout"])
    vectors = np.zeros((layout.n_cells, layout.dim), layout.dtype)
    columns = {name: np.zeros(layout.n_cells, dtype) for name, dtype in QUALITY_DTYPES.items()}
    present = np.zeros(layout.n_cells, np.bool_)
    store = objects.zarr_store()
    try:
        paths = {name: f"obs/{name}" for name in QUALITY_DTYPES} | {KEY: f"obsm/{KEY}"}
        arrays = {name: bounded(zarr.open_array(store, path=at, mode="r")) for name, at in paths.items()}
        stored = arrays.pop(KEY)
        for rows in (slice(*layout.rows(number)) for number in sorted(done)):
            vectors[rows] = stored[rows]
            present[rows] = True
            for name, array in arrays.items():
                columns[name][rows] = array[rows]
    except Exception as error:
        raise _damaged(target, error) from error
    index = pd.RangeIndex(layout.n_cells).astype(str)
    obs = pd.DataFrame({**columns, "lexicell_present": present}, index=index)
    return anndata.AnnData(obs=obs, obsm={KEY: vectors}, uns={"lexicell": identity})


def _damaged(target: str, error: Exception) -> CorruptDataError:
    reason = str(error).partition("\n")[0]
    return CorruptDataError(f"{target} is damaged ({reason}); `lexicell verify` tells where")
