"""Which cells are compared: groups, and the donors that they are of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._say import listed
from lexicell.embedding import Listener, Note, Plan
from lexicell.embedding.labels import read_labels
from lexicell.errors import InputError

__all__ = ["Groups", "read_groups"]

#: What cells are called where no groups are told apart.
_ALL = "all cells"


@dataclass(frozen=True)
class Groups:
    """Which cells are compared.

    Attributes
    ----------
    names
        Groups that are explained, sorted; the first of two that are compared.
    reference
        What they are compared with: "rest", another group, or "" for nothing.
    codes
        ``[N]`` int32 number of each cell's stratum, -1 for none.
    group, donor
        ``[s]`` which group and donor a stratum is of.
    sides
        Group numbers of both sides for each name.
    donors
        Names of donors; empty for none.
    """

    names: tuple[str, ...]
    reference: str
    codes: NDArray[np.int32]
    group: NDArray[np.int64]
    donor: NDArray[np.int64]
    sides: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    donors: tuple[str, ...]


def read_groups(
    plan: Plan,
    group: str | None,
    contrast: tuple[str, str] | None,
    donor: str | None,
    listener: Listener,
    *,
    needs_two: bool,
) -> Groups:
    """Read which group, and which donor, each cell is of.

    Parameters
    ----------
    plan
        ``N`` cells.
    group
        Column of ``obs``; None for all cells as one.
    contrast
        Two groups that are compared; None for each with all others.
    donor
        Column of ``obs`` with the independent samples; None for none.
    listener
        Is told of cells that are left out.
    needs_two
        Whether one group alone says nothing.

    Raises
    ------
    InputError
        There is no such column or group, one group only, or a group of one cell.
    """
    source = plan.cells.source
    if group is None:
        labels = np.full(source.n_cells, _ALL, object)
    else:
        labels = read_labels(source, group, listener, least=2 if needs_two else 1)
    if contrast is not None:
        there = sorted(set(labels.tolist()) - {""})
        if unknown := [name for name in contrast if name not in there]:
            msg = f"{source.label}: obs[{group!r}] has no group {unknown[0]!r}; it has {listed(there, 40)}"
            raise InputError(msg)
        if contrast[0] == contrast[1]:
            msg = f"a group is compared with another one, not {contrast[0]!r} with itself"
            raise InputError(msg)
        labels = np.where(np.isin(labels, contrast), labels, "")
    donors = None
    if donor is not None:
        donors = read_labels(source, donor, listener, least=1)
        labels = np.where(donors == "", "", labels)
    all_names = np.array(sorted(set(labels.tolist()) - {""}), object)
    of_group = pd.Index(all_names).get_indexer(pd.Index(labels))
    sizes = np.bincount(of_group[of_group >= 0], minlength=len(all_names))
    if len(all_names) < (2 if needs_two or contrast is not None else 1):
        msg = f"{source.label}: fewer than two groups have cells with a donor; name other donors"
        raise InputError(msg)
    alone = all_names[sizes < 2] if group is not None else all_names[:0]
    if len(alone) and (contrast is not None or len(alone) == len(all_names)):
        msg = (
            f"{source.label}: the group {alone[0]!r} of obs[{group!r}] has one cell, whose contributions are "
            "told by its name (--cell)"
        )
        raise InputError(msg)
    if len(alone):
        listener(Note(f"groups of one cell are only part of the rest: {listed(alone)}", serious=True))
    names_of_donors = () if donors is None else tuple(sorted(set(donors[of_group >= 0].tolist())))
    of_donor = np.zeros(len(labels), np.int64)
    if donors is not None:
        of_donor = pd.Index(names_of_donors).get_indexer(pd.Index(donors)).astype(np.int64)
    width = max(1, len(names_of_donors))
    both = np.where(of_group >= 0, of_group * width + of_donor, -1)
    strata, codes = np.unique(both, return_inverse=True)
    first = int(len(strata) > 0 and strata[0] == -1)
    numbers = np.arange(len(all_names))
    sides: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    if contrast is not None:
        a, b = (np.flatnonzero(all_names == name) for name in contrast)
        names, reference, sides = (contrast[0],), contrast[1], ((a, b),)
    else:
        several = numbers[sizes > 1] if group is not None else numbers
        names, reference = tuple(all_names[several].tolist()), "rest" if len(all_names) > 1 else ""
        sides = tuple((numbers[[i]], np.delete(numbers, i)) for i in several)
    return Groups(
        names, reference, (codes - first).astype(np.int32), strata[first:] // width, strata[first:] % width,
        sides, names_of_donors,
    )  # fmt: skip
