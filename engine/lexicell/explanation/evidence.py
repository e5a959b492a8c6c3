"""What genes contribute to a difference between groups of cells, and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexicell.explanation.sums import GroupSums

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Contrast", "Donors", "adjusted", "like_expression", "p_of_counts", "shuffled_within"]

#: Share of the cells of either side that use a gene which is tested: others can't be told from nothing.
_TESTED = 0.05
#: Share of the cells of either side that use a gene which counts in a set.
_USED = 0.005
#: Genes of a bin of like expression, and bins at most.
_BIN, _MOST_BINS = 20, 50
#: Permutations whose scores are computed together.
_BATCH = 500
#: Donors of a side without whom nothing is inferred, and cells of a donor on a side that are taken for one.
LEAST_DONORS, LEAST_CELLS = 3, 10


@dataclass(frozen=True)
class Contrast:
    """Contributions of ``m`` genes to the difference of two sides in a score.

    Attributes
    ----------
    sides
        Sums of two sides; of one where there is nothing to compare with.
    vector
        ``[p]`` what cells are scored by.
    table
        ``[m, p]`` float32 rows of the gene table.
    bias
        ``[p]`` of the projection; zeros for none.
    length
        Of the difference of the mean vectors, where the vector is that difference scaled to length 1; 0 where
        it is given.
    """

    sides: GroupSums
    vector: NDArray[np.float64]
    table: NDArray[np.float32]
    bias: NDArray[np.float64]
    length: float = 0.0

    @classmethod
    def between(cls, sides: GroupSums, table: NDArray[np.float32], bias: NDArray[np.float64]) -> Contrast:
        """Score cells by the difference of the mean vectors of two sides, scaled to length 1."""
        inverse = sides.mean_inverse
        vector = _difference(sides.means) @ table + (inverse[0] - inverse[1]) * bias
        length = float(np.linalg.norm(vector))
        return cls(sides, vector / length if length else vector, table, bias, length)

    @cached_property
    def gains(self) -> NDArray[np.float64]:
        """``[m]`` score of a gene's row of the table."""
        return np.asarray(self.table @ self.vector, np.float64)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """``[sides, m]`` mean contribution of each gene on each side."""
        return self.sides.means * self.gains

    @cached_property
    def contributions(self) -> NDArray[np.float64]:
        """``[m]`` mean contribution on the first side, less that on the second."""
        return _difference(self.means)

    @property
    def agreement(self) -> NDArray[np.float64]:
        """``[m]`` contributions less what a gene has of its own row.

        Where the vector is the difference of the sides, a gene that they express differently is part of it,
        so that it contributes whatever its text says. What is left is what the texts of the others agree.
        """
        if not self.length:
            return self.contributions
        own = _difference(self.sides.means) ** 2 * np.einsum("ij,ij->i", self.table, self.table)
        found: NDArray[np.float64] = self.contributions - own / self.length
        return found

    @cached_property
    def of_bias(self) -> NDArray[np.float64]:
        """``[sides]`` mean contribution of the bias."""
        found: NDArray[np.float64] = self.sides.mean_inverse * float(self.bias @ self.vector)
        return found

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """``[sides]`` mean score of the cells."""
        found: NDArray[np.float64] = self.means.sum(axis=1) + self.of_bias
        return found

    @property
    def effects(self) -> NDArray[np.float64]:
        """``[m]`` contribution over its standard deviation among cells (Cohen's d); NaN with one side."""
        if len(self.sides.cells) < 2:
            return np.full(self.table.shape[0], np.nan)
        n = self.sides.cells[:, None]
        spread = np.sqrt((n * self.sides.variances).sum(axis=0) / max(int(n.sum()) - 2, 1))
        difference = _difference(self.sides.means) * np.sign(self.gains)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 0, difference / spread, np.nan)

    @property
    def tested(self) -> NDArray[np.bool_]:
        """``[m]`` genes that 5 % of the cells of a side use."""
        return np.asarray(self.sides.shares.max(axis=0) >= _TESTED)

    @property
    def more(self) -> NDArray[np.bool_]:
        """``[m]`` genes that count more on the first side; others contribute by counting less."""
        return np.asarray(_difference(self.sides.means) > 0)

    @property
    def used(self) -> NDArray[np.bool_]:
        """``[m]`` genes that 1 in 200 cells of a side uses."""
        return np.asarray(self.sides.shares.max(axis=0) >= _USED)

    def p_values(self, permutations: int, seed: int) -> NDArray[np.float64]:
        """How often another gene's text would agree as much with the vector.

        The directions of the rows of the table are permuted among tested genes of like expression, each gene
        keeping the length of its row, and `agreement` is computed anew, where the vector is the difference of
        the sides with a vector of the permuted rows. So it is not told what genes contribute because the
        sides express them differently, but what their texts do.

        Parameters
        ----------
        permutations
            How many.
        seed
            Of them.

        Returns
        -------
        numpy.ndarray
            ``[m]``, two-sided; NaN for genes that are not tested, and for all where the vector is given: how
            well a text agrees with that is its rank among texts, which no group has a part in.
        """
        found = np.full(len(self.table), np.nan)
        if not self.length or not permutations:
            return found
        at = np.flatnonzero(self.tested)
        length = np.linalg.norm(self.table[at], axis=1)
        table = np.asarray(self.table[at] / np.where(length > 0, length, 1)[:, None], np.float32)
        pull = (_difference(self.sides.means)[at] * length).astype(np.float32)  # how far rows are moved
        whole = (self.vector * self.length).astype(np.float32)
        others = whole - pull @ table  # what other genes and the bias have of it

        def agreement(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            """Of genes that have the directions of others, ``[permutations, tested]``."""
            moved = np.zeros(rows.shape, np.float32)
            np.put_along_axis(moved, rows, np.broadcast_to(pull, rows.shape), 1)
            vectors = moved @ table + others
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            gains = np.take_along_axis(vectors @ table.T, rows, 1) - pull * (length > 0)[rows]
            return np.asarray(pull * gains / np.where(lengths > 0, lengths, 1))

        observed = agreement(np.arange(len(at))[None])[0]
        above, below = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
        for rows in shuffled_within(like_expression(self.sides.means.mean(axis=0)[at]), permutations, seed):
            drawn = agreement(rows)
            above += (drawn >= observed).sum(axis=0)
            below += (drawn <= observed).sum(axis=0)
        found[at] = p_of_counts(np.minimum(above, below), permutations)
        return found


@dataclass(frozen=True)
class Donors:
    """What donors, taken for independent samples, say of a contrast.

    Attributes
    ----------
    p_values
        ``[m]``, NaN where nothing is inferred.
    numbers
        Donors of each side with enough cells.
    inference
        In words.
    """

    p_values: NDArray[np.float64]
    numbers: tuple[int, int]
    inference: str

    @classmethod
    def of(cls, contrast: Contrast, first: GroupSums, second: GroupSums) -> Donors:
        """Compare donors by t-tests: paired where three or more have cells on both sides, else Welch's.

        Parameters
        ----------
        contrast
            What is compared.
        first, second
            Sums of the ``d`` donors' cells on each side.
        """
        from scipy.stats import ttest_ind, ttest_rel

        enough = [side.cells >= LEAST_CELLS for side in (first, second)]
        numbers = int(enough[0].sum()), int(enough[1].sum())
        nothing = np.full(len(contrast.table), np.nan)
        if min(numbers) < LEAST_DONORS:
            few = f"no inference: {numbers[0]} and {numbers[1]} donors have {LEAST_CELLS} cells or more"
            return cls(nothing, numbers, few)
        at = np.flatnonzero(contrast.tested)
        means = [side.means[:, at] for side in (first, second)]
        both = enough[0] & enough[1]
        n_both, n_alone = int(both.sum()), int((enough[0] ^ enough[1]).sum())
        paired = n_both >= LEAST_DONORS
        if n_both and not paired:
            few = f"no inference: {n_both} donors have cells on both sides, too few to pair"
            return cls(nothing, numbers, few)
        with np.errstate(invalid="ignore", divide="ignore"):
            if paired:
                difference = means[0][both] - means[1][both]
                varies = difference.std(axis=0) > 1e-12
                found = ttest_rel(means[0][both][:, varies], means[1][both][:, varies]).pvalue
            else:
                sides = [mean[few] for mean, few in zip(means, enough, strict=True)]
                varies = np.maximum(*(side.std(axis=0) for side in sides)) > 1e-12
                found = ttest_ind(*(side[:, varies] for side in sides), equal_var=False).pvalue
        nothing[at[varies]] = found
        how = f"paired t-test of {n_both} donors" if paired else "Welch's t-test of {} and {} donors"
        how += f", without {n_alone} that have cells on one side only" * (paired and n_alone > 0)
        return cls(nothing, numbers, how.format(*numbers))


def adjusted(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini-Hochberg; NaN stays, and is no test."""
    from scipy.stats import false_discovery_control

    found = np.full(p_values.shape, np.nan)
    known = np.isfinite(p_values)
    if known.any():
        found[known] = false_discovery_control(p_values[known])
    return found


def like_expression(mean: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Genes in bins of like mean expression: up to 50, of 20 genes or more."""
    bins = min(_MOST_BINS, max(1, len(mean) // _BIN))
    return [np.sort(part) for part in np.array_split(np.argsort(mean, kind="stable"), bins)]


def shuffled_within(
    bins: list[NDArray[np.int64]], permutations: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Permutations of all genes that keep each bin to itself, ``[up to 500, genes]`` at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, permutations, _BATCH):
        rows = np.empty((min(_BATCH, permutations - start), sum(map(len, bins))), np.int64)
        for part in bins:
            rows[:, part] = rng.permuted(np.broadcast_to(part, (len(rows), len(part))), axis=1)
        yield rows


def p_of_counts(beyond: NDArray[np.int64], permutations: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """Two-sided p-values of how many permutations were as far out, on one side, as what was found."""
    found: NDArray[np.float64] = np.minimum(1.0, 2 * (1 + beyond) / (permutations + 1))
    return found


def _difference(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(sides[0] - sides[1] if len(sides) > 1 else sides[0])
