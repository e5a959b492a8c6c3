"""Bags of cells for multiple-instance learners: the vectors of each donor, and one label for them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lexicell._say import listed
from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.embedding.labels import read_labels
from lexicell.errors import InputError
from lexicell.exports import vectors
from lexicell.exports.components import Components, Moments, fit_components
from lexicell.exports.coordinates import read_coordinates
from lexicell.exports.donors import SPLITS, Donors, parse_split, read_donors, split_donors
from lexicell.exports.placing import (
    file_names,
    fill,
    map_tensors,
    places,
    rows_and_vectors,
    table_in_order,
    with_vector,
)
from lexicell.exports.prepared import Prepared
from lexicell.store import PASSING, parquet_bytes

if TYPE_CHECKING:
    from lexicell.store import WriterStore

__all__ = ["BagOptions", "prepare"]


@dataclass(frozen=True)
class BagOptions:
    """What becomes of donors.

    Attributes
    ----------
    donor
        Column of ``obs``; cells without a donor are left out.
    label
        Column of ``obs``, a class or a number, the same in all cells of a donor; cells without are left out.
    covariates
        Columns of ``obs`` that are the same in all cells of a donor too.
    instance_label
        Column of ``obs`` with a class of each cell.
    components
        Principal components of the vectors, fitted to cells of training donors only; None for the vectors as
        they are.
    scale
        Centre each column and divide it by ``std * sqrt(columns)`` of the cells of training donors, as MixMIL
        does with its own data.
    split
        Shares of training, validation and test donors.
    seed
        Of the order in which donors of one label are dealt to the splits.
    min_cells
        Donors with fewer cells are left out.
    layout
        ``"safetensors"``, one file, or ``"torchmil"``, folders with a file for each donor.
    coordinates
        Array of ``obsm``, or columns of ``obs`` with commas between, where cells lie; for torchmil.
    recipe, projection
        Name of a recipe, and folder of a learned projection; see `VectorOptions`.
    """

    donor: str
    label: str
    covariates: Sequence[str] = ()
    instance_label: str | None = None
    components: int | None = None
    scale: bool = False
    split: str = "0.8,0.1,0.1"
    seed: int = 0
    min_cells: int = 1
    layout: Literal["safetensors", "torchmil"] = "safetensors"
    coordinates: str | None = None
    recipe: str | None = None
    projection: str | None = None

    def __post_init__(self) -> None:
        parse_split(self.split)
        if self.components is not None and self.components < 1:
            msg = f"there is one component at least, not {self.components}"
            raise InputError(msg)
        if self.layout not in {"safetensors", "torchmil"}:
            msg = f"layouts of bags are safetensors and torchmil, not {self.layout!r}"
            raise InputError(msg)
        if self.coordinates is not None and self.layout != "torchmil":
            msg = "coordinates are for the layout torchmil; spatial-graph writes them for other models"
            raise InputError(msg)


@dataclass(frozen=True)
class _Assembly:
    """Puts the bags together, see `lexicell.exports.prepared.Assembly`."""

    options: BagOptions
    donors: Donors
    width: int
    instances: NDArray[np.int64] | None
    points: NDArray[np.float64] | None
    listener: Listener

    def __call__(
        self,
        tables: Iterable[pa.Table],
        store: WriterStore,
        card: Mapping[str, Any],  # noqa: ARG002
    ) -> Mapping[str, Any]:
        there = with_vector(tables, len(self.donors.of_cell))
        of_cell = np.where(there, self.donors.of_cell, -1)
        sizes = np.bincount(of_cell[of_cell >= 0], minlength=len(self.donors.table))
        kept = sizes >= max(self.options.min_cells, 1)
        self._tell(sizes, kept, int((~there).sum()))
        of_cell = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)[of_cell]
        donors = self.donors.table[kept].reset_index(drop=True)
        donors.insert(1, "n_cells", sizes[kept])
        split = split_donors(donors, parse_split(self.options.split), self.options.seed)
        donors["split"] = np.array(SPLITS)[split]
        if self.options.layout == "torchmil":
            donors["file"] = file_names(donors["donor"])
        change = self._change(tables, np.append(split == 0, values=False)[of_cell])
        place = places(of_cell)
        ptr = np.concatenate([[0], np.cumsum(sizes[kept])])
        width = self.width if change is None or change.axes is None else len(change.axes)

        def write(path: Path) -> None:
            files = map_tensors(
                path, {"ptr": (np.int64, ptr.shape), "cells": (np.float32, (int(ptr[-1]), width))}
            )
            files["ptr"][:] = ptr
            fill(tables, place, files["cells"], None if change is None else change.apply)
            if self.options.layout == "torchmil":
                self._write_folders(store, files["cells"], donors, ptr, place)

        store.put_file(
            f"{PASSING}/cells" if self.options.layout == "torchmil" else "cells.safetensors", write
        )
        store.put("donors.parquet", (_parquet(pa.Table.from_pandas(donors, preserve_index=False)),))
        store.put("cells.parquet", (_parquet(self._cells(tables, place, donors, ptr)),))
        told: dict[str, Any] = {
            "cells": int(ptr[-1]),
            "donors": len(donors),
            "donors_of_splits": dict(
                zip(SPLITS, np.bincount(split, minlength=len(SPLITS)).tolist(), strict=True)
            ),
            "columns": width,
        }
        if change is not None:
            told["variance"] = [float(value) for value in change.variance]
        return told

    def _tell(self, sizes: NDArray[np.int64], kept: NDArray[np.bool_], empty: int) -> None:
        names = self.donors.table["donor"].to_numpy(object)
        if empty:
            self.listener(
                Note(f"{empty:,} cells without genes have no vector and are in no bag", serious=True)
            )
        if not kept.all():
            which = f"{int((~kept).sum()):,} donors have fewer than {max(self.options.min_cells, 1)} cells"
            self.listener(Note(f"{which} and are left out: {listed(names[~kept])}", serious=True))
        if not kept.any():
            msg = "no donor has enough cells; give a smaller --min-cells"
            raise InputError(msg)
        if (alone := names[kept & (sizes == 1)]).size:
            self.listener(Note(f"{alone.size:,} donors have one cell: {listed(alone)}", serious=True))

    def _change(self, tables: Iterable[pa.Table], training: NDArray[np.bool_]) -> Components | None:
        """Fit components to cells of training donors."""
        options = self.options
        if options.components is None and not options.scale:
            return None
        lengths = [np.linalg.norm(rows, axis=1).max(initial=0) for _, rows in rows_and_vectors(tables)]
        length = float(np.nextafter(np.float32(max(lengths, default=0)), np.float32(np.inf)))
        moments = Moments(self.width, length)
        for rows, found in rows_and_vectors(tables):
            moments.add(found[training[rows]])
        return fit_components(moments, options.components, length, scale=options.scale)

    def _cells(
        self, tables: Iterable[pa.Table], place: NDArray[np.int64], donors: Any, ptr: NDArray[np.int64]
    ) -> pa.Table:
        made = {"row", "embedding", "donor"}
        columns = [name for name in next(iter(tables)).column_names if name not in made]
        cells = table_in_order(tables, place, columns)
        return cells.add_column(
            1, "donor", pa.array(np.repeat(donors["donor"].to_numpy(object), np.diff(ptr)), pa.string())
        )

    def _write_folders(
        self,
        store: WriterStore,
        cells: NDArray[np.float32],
        donors: Any,
        ptr: NDArray[np.int64],
        place: NDArray[np.int64],
    ) -> None:
        """Write one file for each donor into the folders that torchmil reads."""
        row = np.empty(int(ptr[-1]), np.int64)
        row[place[place >= 0]] = np.flatnonzero(place >= 0)
        for at, (name, y) in enumerate(zip(donors["file"], donors["y"], strict=True)):
            bag = slice(int(ptr[at]), int(ptr[at + 1]))
            parts: dict[str, NDArray[Any]] = {"features": cells[bag], "labels": np.array([y], np.float32)}
            if self.instances is not None:
                parts["inst_labels"] = self.instances[row[bag]]
            if self.points is not None:
                parts["coords"] = self.points[row[bag]].astype(np.float32)
            for folder, array in parts.items():
                store.put(f"{folder}/{name}.npy", (_npy(array),))


def prepare(cells: AlignedCells, options: BagOptions, listener: Listener) -> Prepared:
    """Settle the donors.

    Raises
    ------
    InputError
        There is no such column; a label or a covariate differs within a donor; or cells of a bag have no
        coordinates.
    """
    donors = read_donors(cells.source, options.donor, options.label, options.covariates, listener)
    points = None
    if options.coordinates is not None:
        points = read_coordinates(cells.source, options.coordinates)
        if without := int(np.isnan(points[donors.of_cell >= 0]).any(axis=1).sum()):
            msg = f"{without:,} cells of bags have no {options.coordinates}; leave the coordinates out"
            raise InputError(msg)
    instances, kinds = None, []
    if options.instance_label is not None:
        labels = read_labels(
            cells.source, options.instance_label, listener, unlabelled="written as -1", least=1
        )
        kinds = sorted(set(labels.tolist()) - {""})
        number = {name: at for at, name in enumerate(kinds)} | {"": -1}
        instances = np.array([number[name] for name in labels.tolist()], np.int64)
    made = vectors.prepare_numbered(cells, options.recipe, options.projection, listener)
    facts = {
        **made.facts,
        "donor": options.donor,
        "label": options.label,
        "classes": list(donors.classes),
        "covariates": list(options.covariates),
        "instance_label": options.instance_label,
        "instance_classes": kinds,
        "components": options.components,
        "scale": options.scale,
        "split": options.split,
        "seed": options.seed,
        "min_cells": options.min_cells,
        "layout": options.layout,
        "coordinates": options.coordinates,
    }
    dim = int(made.facts["dim"])
    if options.components is not None and options.components > dim:
        msg = f"vectors have {dim} columns, so there are no {options.components} components"
        raise InputError(msg)
    assembly = _Assembly(options, donors, dim, instances, points, listener)
    needs = () if options.instance_label is None else (options.instance_label,)
    return replace(made, facts=facts, assembly=assembly, needs_obs=needs)


def _parquet(table: pa.Table) -> Any:
    return parquet_bytes(table.replace_schema_metadata(None))


def _npy(array: NDArray[Any]) -> bytes:
    written = io.BytesIO()
    np.save(written, np.ascontiguousarray(array), allow_pickle=False)
    return written.getvalue()
