"""A run and the data that it was made of, opened and held against each other: the same cells, or an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._files import reading_file
from lexicell.containers.remote import is_url
from lexicell.counts import CountSource
from lexicell.embedding.inputs import open_data
from lexicell.embedding.remake import check_facts, is_imported
from lexicell.errors import InputError
from lexicell.store import KEY, QUALITY, StoredVectors, open_vectors, vectors_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["OpenedRun", "match_names", "open_run"]

#: Vectors read at once.
_BLOCK = 32_768


@dataclass(frozen=True)
class OpenedRun:
    """Vectors of ``N`` cells, what is known of the cells, and their counts where there are any.

    Attributes
    ----------
    label
        The store.
    facts
        ``uns["lexicell"]``.
    names
        ``[N]`` names of the cells.
    dim
        Length of the vectors, ``p``.
    counts
        Of the same cells; None for none.
    place
        ``[N]`` row of each cell in `counts`; None where both are in the same order.
    stored
        The vectors, where they lie in a store that has no counts; else None.
    kept
        Columns of ``obs`` that the store was told to keep.
    dtype
        Of the stored vectors, "" where it is not known.
    """

    label: str
    facts: Mapping[str, Any]
    names: pd.Index[Any]
    dim: int
    counts: CountSource | None
    place: NDArray[np.intp] | None
    stored: StoredVectors | None
    kept: tuple[str, ...]
    dtype: str
    _rows: Callable[[int, int], NDArray[np.float32]]
    _obs: pd.DataFrame | None

    def vectors(self, cells: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Vectors ``[n, p]`` of some cells, numbers ascending; InputError where one is not finite."""
        found = np.empty((len(cells), self.dim), np.float32)
        for start in range(0, len(self.names), _BLOCK):
            first, last = np.searchsorted(cells, [start, start + _BLOCK])
            if last > first:
                block = self._rows(start, min(start + _BLOCK, len(self.names)))
                found[first:last] = block[cells[first:last] - start]
        if not np.isfinite(found).all():
            cell = self.names[cells[np.flatnonzero(~np.isfinite(found).all(axis=1))[0]]]
            msg = f"{self.label}: the vector of cell {cell!r} is not finite; embed the cells anew"
            raise InputError(msg)
        return found

    @property
    def has_vector(self) -> NDArray[np.bool_]:
        """``[N]`` which cells have a vector that is not 0."""
        n_genes = None if is_imported(self.facts) else self.quality("lexicell_n_genes")
        if n_genes is not None:
            return n_genes > 0
        starts = range(0, len(self.names), _BLOCK)
        return np.concatenate(
            [self._rows(at, min(at + _BLOCK, len(self.names))).any(axis=1) for at in starts]
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of ``obs``, those of the store first."""
        own = () if self._obs is None else tuple(str(name) for name in self._obs.columns)
        others = () if self.counts is None else self.counts.obs_columns
        return tuple(dict.fromkeys((*own, *others)))

    def column(self, name: str) -> pd.Series[Any]:
        """One column of ``obs``, ``[N]`` in the order of the store; the store's own where both have it.

        Raises
        ------
        InputError
            There is no such column, or it can't be read.
        """
        if self._obs is not None and name in self._obs:
            if list(self._obs.columns).count(name) > 1:
                msg = f"{self.label}: several columns of obs are called {name!r}; rename all but one"
                raise InputError(msg)
            return self._obs[name]
        if name not in self.columns or self.counts is None:
            have = ", ".join(self.columns) or "no columns at all"
            hint = "" if self.counts is not None else "; name the cells' data too (--data)"
            msg = f"{self.label}: obs has no column {name!r}; it has {have}{hint}"
            raise InputError(msg)
        column = self.counts.read_obs([name], 0, self.counts.n_cells)[name]
        return column if self.place is None else column.iloc[self.place]

    def quality(self, name: str) -> NDArray[np.float64] | None:
        """A column of quality, such as "lexicell_coverage", ``[N]``; None where there is none."""
        if name not in self.columns or is_imported(self.facts):
            return None
        return self.column(name).to_numpy(np.float64, na_value=np.nan)

    @property
    def counts_rows(self) -> NDArray[np.intp]:
        """``[N]`` row of each cell in `counts`."""
        return np.arange(len(self.names)) if self.place is None else self.place


def open_run(
    store: str | Path | AnnData,
    data: str | Path | Sequence[str | Path] | AnnData | None,
    opened: ExitStack,
    *,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
) -> OpenedRun:
    """Open a store, and the data that its cells are of.

    Parameters
    ----------
    store
        What `lexicell.embed` wrote, or an AnnData that ``lexicell.tl.embed`` did.
    data
        The same cells, in any order; None for those of the store, where it has counts too.
    opened
        Closes what is opened.
    layer, use_raw, modality, follow_links
        How data are read, see `lexicell.embed`.

    Raises
    ------
    InputError
        The store has no vectors of a run, or the data have other cells.
    InputNotFoundError
        There is no such store.
    PartialError, CorruptDataError
        The store is not complete, or something is damaged.
    """
    if isinstance(store, str | Path) and not is_url(store) and not Path(store).exists():
        open_vectors(store)  # tells whether it is not there, or not complete

    def read(cells: Any) -> CountSource:
        return opened.enter_context(
            open_data(cells, layer, modality, use_raw=use_raw, follow_links=follow_links)
        )

    vectors = vectors_of(store)
    if vectors is not None:
        counts = None if data is None else read(data)
        kept = tuple(str(name) for name in vectors.obs.columns if name not in QUALITY)
        place = None if counts is None else _place(vectors.names, counts, vectors.target)
        return OpenedRun(
            vectors.target, vectors.facts, vectors.names, vectors.shape[1], counts, place, vectors,
            kept, vectors.dtype, vectors.rows, vectors.obs,
        )  # fmt: skip
    own = read(store)
    names, label = own.names(0, own.n_cells), own.label
    facts = _facts(store, label)
    dim = own.read_obsm(KEY, 0, 1).shape[1]
    counts = own if data is None else read(data)
    place = None if counts is own else _place(names, counts, label)

    def rows(start: int, stop: int) -> NDArray[np.float32]:
        return own.read_obsm(KEY, start, stop).astype(np.float32)

    quality = [name for name in own.obs_columns if name in QUALITY] if counts is not own else []
    obs = own.read_obs(quality, 0, own.n_cells) if quality else None
    return OpenedRun(label, facts, names, dim, counts, place, None, (), "", rows, obs)


def _facts(store: Any, label: str) -> Mapping[str, Any]:
    """What a run in an AnnData says of itself."""
    facts: Any = None
    if not isinstance(store, str | Path):
        facts = store.uns.get("lexicell")
    else:
        import anndata

        with reading_file(label, "see whether it is the file that was meant", InputError):
            if Path(store).is_dir():
                import zarr

                root = zarr.open_group(str(store), mode="r")
                facts = anndata.io.read_elem(root["uns/lexicell"]) if "uns/lexicell" in root else None
            else:
                import h5py

                with h5py.File(store, "r") as file:
                    facts = anndata.io.read_elem(file["uns/lexicell"]) if "uns/lexicell" in file else None
    return check_facts(facts, label)


def match_names(
    names: pd.Index[Any], theirs: pd.Index[Any], others: str, remedy: str
) -> NDArray[np.intp] | None:
    """Find each cell of a store among the names of other rows.

    Parameters
    ----------
    names, theirs
        ``[N]`` of the cells, and of the rows.
    others, remedy
        Begin and end the message where the rows are of other cells.

    Returns
    -------
    numpy.ndarray or None
        ``[N]`` row of each cell; None where both are in the same order.

    Raises
    ------
    InputError
        The rows are of other cells, or in another order with names that occur twice.
    """
    if len(theirs) == len(names) and bool((np.asarray(theirs) == np.asarray(names)).all()):
        return None
    if not theirs.is_unique or not names.is_unique:
        msg = f"{others}, or in another order and with repeated names; {remedy}"
        raise InputError(msg)
    place = theirs.get_indexer(names)
    if len(theirs) != len(names) or (place < 0).any():
        lacking = names[place < 0]
        which = (
            f"{len(lacking):,} of {len(names):,} are not in it, such as {lacking[0]!r}"
            if len(lacking)
            else f"it has {len(theirs):,}, and the store {len(names):,}"
        )
        msg = f"{others}: {which}; {remedy}"
        raise InputError(msg)
    return np.asarray(place, np.intp)


def _place(names: pd.Index[Any], counts: CountSource, label: str) -> NDArray[np.intp] | None:
    others = f"{counts.label} has other cells than {label}"
    return match_names(names, counts.names(0, counts.n_cells), others, "name the data that it was made from")
