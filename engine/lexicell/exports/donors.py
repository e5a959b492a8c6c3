"""Donors of cells: what is known of each, and which of them a model is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import blake3
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import Listener
from lexicell.embedding.labels import read_labels
from lexicell.errors import InputError

if TYPE_CHECKING:
    from lexicell.counts import CountSource

__all__ = ["SPLITS", "Donors", "parse_split", "read_donors", "split_donors"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Donors:
    """Donors in the order of their names.

    Attributes
    ----------
    of_cell
        ``[N]`` int64 donor of each cell, -1 for none.
    table
        ``[D]`` rows: ``donor``, ``label``, ``y`` (float32: a number as it is, a class as its place in
        `classes`) and the covariates.
    classes
        Labels in order; empty where they are numbers.
    """

    of_cell: NDArray[np.int64]
    table: pd.DataFrame
    classes: tuple[str, ...]


def read_donors(
    source: CountSource, donor: str, label: str, covariates: Sequence[str], listener: Listener
) -> Donors:
    """Read the donor of each cell, and what is the same in all cells of one.

    Cells without a donor or without a label have none.

    Raises
    ------
    InputError
        There is no such column; there is one label only; or a label or a covariate differs in a donor.
    """
    if clash := [name for name in covariates if name in {"donor", "n_cells", "label", "y", "split", "file"}]:
        msg = f"obs[{clash[0]!r}] has a name that donors.parquet uses itself; rename the column"
        raise InputError(msg)
    of_cell = read_labels(source, donor, listener, least=1)
    labels = read_labels(source, label, listener)
    known = (of_cell != "") & (labels != "")
    if not known.any():
        msg = f"{source.label}: no cell has both a {donor} and a {label}"
        raise InputError(msg)
    names, codes = np.unique(of_cell[known].astype(str), return_inverse=True)
    table = pd.DataFrame({"donor": names.astype(object)})
    table["label"] = _of_donors(pd.Series(labels[known]), codes, names, label)
    kind = source.read_obs([label], 0, 0)[label].dtype
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
        classes: tuple[str, ...] = ()
        table["label"] = pd.to_numeric(table["label"])
        table["y"] = table["label"].astype(np.float32)
    else:
        classes = tuple(sorted(set(table["label"])))
        table["y"] = table["label"].map({name: at for at, name in enumerate(classes)}).astype(np.float32)
    for name in covariates:
        column = source.read_obs([name], 0, source.n_cells)[name].reset_index(drop=True)
        table[name] = _of_donors(column[known].reset_index(drop=True), codes, names, name)
    place = np.full(len(of_cell), -1, np.int64)
    place[known] = codes
    return Donors(place, table, classes)


def _of_donors(
    column: pd.Series[Any], codes: NDArray[np.integer[Any]], names: NDArray[Any], name: str
) -> NDArray[Any]:
    """Value of each donor; missing where no cell has one."""
    values, texts = pd.factorize(column.astype(object))
    seen = np.full(len(names), -1, np.int64)
    there = values >= 0
    seen[codes[there][::-1]] = values[there][::-1]  # the first cell's stays
    if (other := np.flatnonzero(there & (seen[codes] != values))).size:
        at = int(other[0])
        donor, first, second = names[codes[at]], texts[seen[codes[at]]], texts[values[at]]
        msg = (
            f"{name} differs within the donor {donor}: {first} and {second}; a bag has one, so name a column "
            "that is the same in all cells of a donor"
        )
        raise InputError(msg)
    padded = np.array([*texts, None], object)
    return pd.Series(padded[seen]).infer_objects().to_numpy()


def parse_split(text: str) -> tuple[float, ...]:
    """Shares of training, validation and test donors; InputError where they are none."""
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if (
        len(shares) != 3
        or not np.isfinite(shares).all()
        or min(shares, default=-1) < 0
        or not shares[0]
        or abs(sum(shares) - 1) > 1e-6
    ):
        msg = f"a split is three shares that are 1 together, as 0.8,0.1,0.1, the first above 0; not {text!r}"
        raise InputError(msg)
    return shares


def split_donors(donors: pd.DataFrame, shares: Sequence[float], seed: int) -> NDArray[np.int64]:
    """Place in `SPLITS` of each donor, by names, labels and seed alone.

    Each share of all donors is met to one donor, and nearly so among those of a label: donors stand by label,
    those of one label in an order that the seed draws, and each split takes them at equal distances.
    """
    n = len(donors)
    drawn = [blake3.blake3(f"{seed}\0{name}".encode()).hexdigest() for name in donors["donor"]]
    order = pd.DataFrame({"y": donors["y"].to_numpy(), "drawn": drawn}).sort_values(["y", "drawn"]).index
    exact = np.asarray(shares) * n
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    sizes[np.argsort(sizes - exact, kind="stable")[: n - sizes.sum()]] += 1
    split = np.repeat(np.arange(len(sizes)), sizes)
    at = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes if size] or [np.zeros(0)])
    found = np.empty(n, np.int64)
    found[order] = split[np.argsort(at, kind="stable")]
    return found
