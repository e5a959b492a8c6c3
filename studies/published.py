"""Where a table would stand among published ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import InputError, InputNotFoundError

__all__ = ["Published", "Standing", "read_published"]


@dataclass(frozen=True)
class Standing:
    """A table among published ones.

    Attributes
    ----------
    terms
        Ids of the terms in common.
    ours
        Mean AUROC over them.
    others
        Published table -> its mean AUROC over the same terms, best first.
    """

    terms: tuple[str, ...]
    ours: float
    others: Mapping[str, float]

    @property
    def rank(self) -> int:
        """1 for the best of ``len(others) + 1``."""
        return 1 + sum(mean > self.ours for mean in self.others.values())


@dataclass(frozen=True)
class Published:
    """AUROCs of other gene tables.

    Attributes
    ----------
    name
        Of the file.
    tables, terms
        Names of rows and columns.
    auroc
        ``[tables, terms]`` float64, NaN where nothing is given.
    """

    name: str
    tables: tuple[str, ...]
    terms: tuple[str, ...]
    auroc: NDArray[np.float64]

    def standing(self, ours: Mapping[str, float]) -> Standing | None:
        """Compare mean AUROCs on the terms that all tables and `ours` (by term id) have; None without any."""
        common = [
            i for i, term in enumerate(self.terms) if term in ours and np.isfinite(self.auroc[:, i]).all()
        ]
        if not common:
            return None
        means = self.auroc[:, common].mean(axis=1)
        order = np.argsort(-means, kind="stable")
        terms = tuple(self.terms[i] for i in common)
        mean = float(np.mean([ours[term] for term in terms]))
        return Standing(terms, mean, {self.tables[i]: float(means[i]) for i in order})


def read_published(path: str | Path) -> Published:
    """Read a TSV of AUROCs: the first line holds term ids, each other line a table's name and its numbers.

    Raises
    ------
    InputNotFoundError
        If the file does not exist.
    InputError
        If it is anything else.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        msg = f"there is no file {path} of published AUROCs"
        raise InputNotFoundError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not a table of published AUROCs: it is not UTF-8 text"
        raise InputError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror or error})"
        raise InputError(msg) from error
    terms = lines[0].split("\t")[1:] if lines else []
    names: list[str] = []
    rows: list[list[float]] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        name, *fields = line.split("\t")
        try:
            values = [float(field) if field.strip() else math.nan for field in fields]
        except ValueError:
            values = []
        if len(values) != len(terms) or any(value < 0 or value > 1 for value in values):
            msg = f"{path}, line {number}: expected a name and {len(terms)} AUROCs between 0 and 1"
            raise InputError(msg)
        names.append(name)
        rows.append(values)
    if not rows or not terms or len(set(terms)) != len(terms):
        msg = f"{path} is no table of AUROCs: a line of different term ids, then a line for each embedding"
        raise InputError(msg)
    return Published(path.name, tuple(names), tuple(terms), np.array(rows))
