"""Vectors find their cells: by id, and by position only where there is no id and a person says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._say import listed
from lexicell.embedding import Advanced, Listener, Note
from lexicell.errors import InputError
from lexicell.imports.sources import Source, checked_ids

__all__ = ["Joined", "join_vectors"]


@dataclass(frozen=True)
class Joined:
    """What a join found.

    Attributes
    ----------
    present
        ``[N]`` which cells have a vector.
    missing, extra, unusable
        Cells without a row, rows without a cell, and rows of cells that are no vectors: not all of their
        numbers are finite, or all are 0.
    """

    present: NDArray[np.bool_]
    missing: int
    extra: int
    unusable: int


def join_vectors(
    sources: Sequence[Source],
    names: NDArray[np.object_],
    label: str,
    put: Callable[[NDArray[np.intp], NDArray[np.float32]], None],
    *,
    by_position: bool = False,
    listener: Listener,
) -> Joined:
    """Hand each vector to its cell.

    Parameters
    ----------
    sources
        Vectors whose rows follow one another.
    names
        ``[N]`` ids of the cells.
    label
        What messages call the cells.
    put
        Takes ``[m]`` numbers of cells and their float32 ``[m, d]`` vectors; only of cells that have one.
    by_position
        Whether row i is cell i, where the sources have no ids.
    listener
        Is told which ids are missing and which are extra, and the progress.

    Raises
    ------
    InputError
        An id occurs twice, or no id is one of a cell; there are no ids, and rows are not to be taken by their
        position or are not as many as the cells; or vectors are of different lengths.
    CorruptDataError
        A source is damaged.
    """
    said = listed((source.label for source in sources), 3)
    places = _places(sources, names, label, said, by_position=by_position)
    _check_widths(sources, said)
    present = np.zeros(len(names), np.bool_)
    start = 0
    for source in sources:
        end = start + source.shape[0]
        for block in source.blocks():
            here = places[start : start + len(block)]
            with np.errstate(over="ignore"):
                rows = np.asarray(block, np.float32)
            good = (here >= 0) & np.isfinite(rows).all(axis=1) & rows.any(axis=1)
            put(here[good], rows[good])
            present[here[good]] = True
            start += len(block)
            listener(Advanced(start, len(places)))
        if start != end:
            msg = f"{source.label} has {source.shape[0]:,} rows and gave {source.shape[0] + start - end:,}"
            raise InputError(msg)
    named = np.zeros(len(names), np.bool_)
    named[places[places >= 0]] = True
    found = Joined(present, int((~named).sum()), int((places < 0).sum()), int((named & ~present).sum()))
    if found.missing:
        which = listed(names[~named], 3)
        listener(Note(f"{said}: {found.missing:,} cells have no vector ({which})", serious=True))
    if found.extra:
        which = listed(_ids(sources)[places < 0], 3)
        text = f"{said}: {found.extra:,} vectors have no cell in {label} ({which}); they are left out"
        listener(Note(text, serious=True))
    if found.unusable:
        which = listed(names[named & ~present], 3)
        text = f"{said}: {found.unusable:,} rows are no vectors, with NaN, infinite or only zeros ({which})"
        listener(Note(text, serious=True))
    return found


def _places(
    sources: Sequence[Source], names: NDArray[np.object_], label: str, said: str, *, by_position: bool
) -> NDArray[np.intp]:
    """Cell of each row, -1 for none."""
    n = sum(source.shape[0] for source in sources)
    lacking = [source.label for source in sources if source.ids is None]
    if lacking and len(lacking) < len(sources):
        msg = f"{lacking[0]} has no ids and other files have; give all of them ids"
        raise InputError(msg)
    if lacking:
        if not by_position:
            msg = (
                f"{said} has no ids: give them (a column cell_id, or --ids), or say that row i is cell i "
                "(--by-position)"
            )
            raise InputError(msg)
        if n != len(names):
            msg = f"{said} has {n:,} rows and {label} {len(names):,} cells, so row i is not cell i; give ids"
            raise InputError(msg)
        return np.arange(n)
    if by_position:
        msg = f"{said} has ids, and these are joined by; leave --by-position out"
        raise InputError(msg)
    ids = checked_ids(_ids(sources), said)
    places = pd.Index(checked_ids(names, label)).get_indexer(pd.Index(ids))
    if not (places >= 0).any():
        theirs, ours = (listed(map(repr, some), 3) for some in (ids, names))
        msg = f"no id of {said} ({theirs}) is one of {label} ({ours}), letter by letter"
        raise InputError(msg)
    return np.asarray(places, np.intp)


def _ids(sources: Sequence[Source]) -> NDArray[np.object_]:
    return np.concatenate([source.ids for source in sources if source.ids is not None])


def _check_widths(sources: Sequence[Source], said: str) -> None:
    widths = sorted({source.shape[1] for source in sources})
    if len(widths) > 1 or widths[0] == 0:
        msg = f"{said}: vectors have {' and '.join(map(str, widths))} numbers, and have to be of one length"
        raise InputError(msg)
