"""Where cells lie: an array of ``obsm``, or columns of ``obs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.errors import InputError

if TYPE_CHECKING:
    from lexicell.counts import CountSource

__all__ = ["read_coordinates"]


def read_coordinates(source: CountSource, name: str) -> NDArray[np.float64]:
    """Read ``[N, 2]`` or ``[N, 3]`` float64; NaN where a cell has none.

    Parameters
    ----------
    source
        ``N`` cells.
    name
        Of an array of ``obsm``; or of columns of ``obs``, with commas between.

    Raises
    ------
    InputError
        There is no such array or column, or it holds no coordinates.
    """
    if "," in name:
        names = [part.strip() for part in name.split(",")]
        if len(set(names)) < len(names):
            msg = f"{source.label}: {name} names a column twice; coordinates are columns of their own"
            raise InputError(msg)
        table = source.read_obs(names, 0, source.n_cells)
        for column in names:
            if not pd.api.types.is_numeric_dtype(table[column].dtype):
                msg = f"{source.label}: obs[{column!r}] holds no numbers, so no coordinates"
                raise InputError(msg)
        points = table.to_numpy(np.float64, na_value=np.nan)
    else:
        try:
            points = source.read_obsm(name, 0, source.n_cells)
        except InputError as error:
            msg = f"{error}; name an array of obsm, or columns of obs with commas between, as x,y"
            raise InputError(msg) from error
    if points.shape[1] not in {2, 3} or np.isinf(points).any():
        what = f"{points.shape[1]} columns" if points.shape[1] not in {2, 3} else "an infinite value"
        msg = f"{source.label}: {name} has {what}; coordinates are two or three finite numbers a cell"
        raise InputError(msg)
    if np.isnan(points).any(axis=1).all():
        msg = f"{source.label}: {name} has no value in any cell; name other coordinates"
        raise InputError(msg)
    return points
