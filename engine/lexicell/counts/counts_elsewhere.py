"""Which other matrix of a data set holds counts, for messages that refuse one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from lexicell.arrays import move
from lexicell.counts.blocks import concat_rows
from lexicell.counts.guess import Values, guess_values
from lexicell.errors import LexicellError

if TYPE_CHECKING:
    from lexicell.counts.source import CountSource

__all__ = ["counts_elsewhere"]

#: Cells of each matrix that are looked at, and ways out that are named.
_LOOK_CELLS, _MOST_WAYS = 48, 3
#: Names of what holds a part of the counts (RNA velocity), and of what was smoothed, imputed or scaled.
_PART = re.compile(r"(un)?spliced|ambiguous|mature|nascent", re.IGNORECASE)
_SMOOTHED = re.compile(r"^M[su]$|magic|imput|scvi|denois|smooth|knn|scale|resid|velocity", re.IGNORECASE)


def counts_elsewhere(source: CountSource) -> tuple[str, ...]:
    """Options that read counts of the same data set, the best first, with what was seen there.

    A few cells of each matrix are read; one that can't be opened, or holds anything but counts or fractions
    of counts, is passed over. Parts of the counts and smoothed ones are named where nothing else is.
    """
    ranked = []
    for number, (option, open_other) in enumerate(source.others.items()):
        try:
            with open_other() as other:
                spans = other.peek(_LOOK_CELLS)
                sample = concat_rows([move(other.read(start, stop), "cpu") for start, stop in spans])
        except (LexicellError, OSError):
            continue
        if not bool((np.isfinite(sample.data) & (sample.data >= 0)).all()) or not sample.data.any():
            continue
        guess = guess_values(sample, other.log_base)
        if guess.transformed:
            continue
        name = option.removeprefix("--layer ").strip("'")
        second = bool(_SMOOTHED.search(name)) * 2 + bool(_PART.search(name))
        plain = re.search(r"count|raw|umi", name, re.IGNORECASE) is None
        ranked.append((second, guess.values is not Values.COUNTS, plain, number, f"{option} ({guess.what})"))
    ranked.sort()
    first_rank = ranked[0][0] if ranked else 0
    return tuple(way for rank, *_, way in ranked if rank == first_rank)[:_MOST_WAYS]
