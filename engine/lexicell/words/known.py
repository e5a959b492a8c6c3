"""What is known of cells beside sentences: a few labels, or what labelled cells elsewhere foretell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.errors import InputError, needing
from lexicell.words.cells import CellGroups, nearest_group

__all__ = ["Foretold", "Known", "Labelled"]

#: No type is impossible because of one cell.
_LEAST = 1e-4
#: What a logarithm of a probability counts beside a standard deviation of evidence.
_WEIGHT = 0.5
#: How much more it counts where a classifier has seen the same genes in labelled cells.
_SAME_GENES = 4.0
#: A classifier takes a cell for a type from the first on, and the type to be there from so many cells on.
_SURE, _SOME = 0.5, 5


class Known(Protocol):
    """Says how likely types are in groups of cells, before sentences are asked."""

    @property
    def cells(self) -> NDArray[np.intp]:
        """Cells whose type is told; it is not changed."""
        ...

    def check(self, names: Sequence[str]) -> None:
        """Raise InputError where a type is known that is not among those described."""
        ...

    def of_cells(self, names: Sequence[str]) -> NDArray[np.intp]:
        """For each of `cells` the number of its type."""
        ...

    def there(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """``[S]`` types that are known to be among the cells."""
        ...

    def prior(self, groups: CellGroups, names: Sequence[str]) -> list[NDArray[np.float64]]:
        """For each grouping ``[J, S]``: weighted logarithms of probabilities, 0 for types not known of."""
        ...


@dataclass(frozen=True)
class Labelled:
    """Cells of the data set whose type is known, one of each type or more.

    Attributes
    ----------
    labels
        ``[N]`` str, "" for no label.
    label
        What the labels are called, for messages.
    """

    labels: NDArray[np.object_]
    label: str

    @property
    def cells(self) -> NDArray[np.intp]:
        """See `Known`."""
        return np.flatnonzero(self.labels != "")

    def check(self, names: Sequence[str]) -> None:
        """See `Known`."""
        _check(self.label, sorted(set(self.labels[self.cells].tolist())), names)

    def of_cells(self, names: Sequence[str]) -> NDArray[np.intp]:
        """See `Known`."""
        found: NDArray[np.intp] = pd.Index(names).get_indexer(pd.Index(self.labels[self.cells]))
        return found

    def there(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """See `Known`: those that are labelled."""
        return np.isin(np.arange(len(names)), self.of_cells(names))

    def prior(self, groups: CellGroups, names: Sequence[str]) -> list[NDArray[np.float64]]:
        """Logistic regression of the labelled cells on components, asked for the centres of groups.

        Of one cell a type it counts a quarter of a standard deviation of evidence for each unit of the
        logarithm, of many cells twice that.
        """
        with needing("evaluate", "Naming cells by a few labels"):
            from sklearn.linear_model import LogisticRegression
        labels = self.labels[groups.fitted]
        known = labels != ""
        classes, sizes = np.unique(labels[known].astype(str), return_counts=True)
        if len(classes) < 2:
            msg = f"{self.label}: label cells of two types or more, with genes: one alone tells nothing apart"
            raise InputError(msg)
        model = LogisticRegression(max_iter=2_000, class_weight="balanced")
        model.fit(groups.components[known], labels[known].astype(str))
        n = float(np.median(sizes))
        return [
            _spread(model.predict_log_proba(part.centres), classes.tolist(), names, n / (n + 1))
            for part in groups.profiles
        ]


@dataclass(frozen=True)
class Foretold:
    """Types that a classifier of other cells foretells.

    Attributes
    ----------
    classes
        ``C`` types.
    probability
        ``[N, C]``, 0 for a cell of which it knows nothing.
    across
        Whether it was learned from other genes, and is trusted less.
    """

    classes: Sequence[str]
    probability: NDArray[np.floating]
    across: bool

    @property
    def cells(self) -> NDArray[np.intp]:
        """See `Known`: none is told."""
        return np.zeros(0, np.intp)

    def check(self, names: Sequence[str]) -> None:
        """See `Known`."""
        _check("the reference", self.classes, names)

    def of_cells(self, names: Sequence[str]) -> NDArray[np.intp]:  # noqa: ARG002 -- none is told
        """See `Known`."""
        return self.cells

    def there(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """See `Known`: those that more than a few cells are taken for, each by more than half."""
        cells = (self.probability > _SURE).sum(axis=0)
        found = np.zeros(len(names), bool)
        found[pd.Index(names).get_indexer(pd.Index(list(self.classes)))] = cells >= _SOME
        return found

    def prior(self, groups: CellGroups, names: Sequence[str]) -> list[NDArray[np.float64]]:
        """Mean logarithm over the cells of a group, against that of the mean group."""
        told = np.asarray(self.probability[groups.fitted], np.float64)
        some = told.any(axis=1)
        logs = np.log(np.maximum(told[some], _LEAST))
        found = []
        for part in groups.profiles:
            group = nearest_group(groups.components[some], part.centres)
            sizes = np.bincount(group, minlength=len(part.centres))[:, None]
            sums = np.zeros((len(part.centres), logs.shape[1]))
            np.add.at(sums, group, logs)
            mean = np.where(sizes > 0, sums / np.maximum(sizes, 1), logs.mean(axis=0))
            share = 1.0 if self.across else _SAME_GENES
            found.append(_spread(mean - mean.mean(axis=0), self.classes, names, share))
        return found


def _check(whose: str, known: Sequence[str], names: Sequence[str]) -> None:
    if others := sorted(set(known) - set(names)):
        msg = f"{whose} has types that no sentence describes: {', '.join(others)}; describe them too"
        raise InputError(msg)


def _spread(
    logs: NDArray[Any], classes: Sequence[str], names: Sequence[str], share: float
) -> NDArray[np.float64]:
    """Weighted logarithms, in the order of the sentences."""
    at = pd.Index(names).get_indexer(pd.Index(list(classes)))
    found = np.zeros((len(logs), len(names)))
    found[:, at] = _WEIGHT * share * np.maximum(logs, np.log(_LEAST))
    return found
