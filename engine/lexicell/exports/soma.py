"""Embeddings as the CELLxGENE Census takes contributed ones: by number of the cell, in bfloat16 precision."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.errors import InputError, needing
from lexicell.exports import vectors
from lexicell.exports.placing import fill, places, rows_and_vectors, with_vector
from lexicell.exports.prepared import Prepared

if TYPE_CHECKING:
    from lexicell.counts import CountSource
    from lexicell.store import WriterStore

__all__ = ["SomaOptions", "bfloat16", "prepare"]

#: Where the Census looks for what an array is, and the folder that it becomes.
INFO, ARRAY = "CxG_embedding_info", "embedding"


@dataclass(frozen=True)
class SomaOptions:
    """What the embedding is called, and of which Census the cells are.

    Attributes
    ----------
    joinid
        Column of ``obs`` with the numbers of cells in the Census, which row numbers of a part are not.
    layout
        ``"npy"``, embeddings.npy and joinids.npy; ``"tiledb"``, a sparse array, which needs tiledbsoma.
    census_version
        Of which Census, as 2025-11-08.
    experiment, measurement
        What of it: an organism, and what was measured.
    census_cells
        How many cells this experiment of the Census has, for the shape of the array; None for as many as the
        largest number says.
    id
        What the Census calls the embedding, as CxG-contrib-1.
    title, description
        Its name, and what it is.
    contact, email, affiliation
        Whom to ask: a name, an address and an institute.
    submission_date
        As 2025-11-08.
    recipe, projection
        Name of a recipe, and folder of a learned projection; see `VectorOptions`.
    """

    joinid: str = "soma_joinid"
    layout: Literal["npy", "tiledb"] = "npy"
    census_version: str = ""
    experiment: str = "homo_sapiens"
    measurement: str = "RNA"
    census_cells: int | None = None
    id: str = ""
    title: str = "lexicell"
    description: str = ""
    contact: str = ""
    email: str = ""
    affiliation: str = ""
    submission_date: str = ""
    recipe: str | None = None
    projection: str | None = None

    def __post_init__(self) -> None:
        if self.layout not in {"npy", "tiledb"}:
            msg = f"layouts of an embedding of the Census are npy and tiledb, not {self.layout!r}"
            raise InputError(msg)

    def info(self, cells: int, columns: int) -> dict[str, Any]:
        """What the Census wants to be told."""
        return {
            "id": self.id,
            "embedding_name": self.title,
            "title": self.title,
            "description": self.description,
            "primary_contact": {
                "name": self.contact,
                "email": self.email,
                "affiliation": self.affiliation,
            },
            "additional_contacts": [],
            "data_type": "obs_embedding",
            "census_version": self.census_version,
            "experiment_name": self.experiment,
            "measurement_name": self.measurement,
            "n_embeddings": cells,
            "n_features": columns,
            "submission_date": self.submission_date,
        }


@dataclass(frozen=True)
class _Assembly:
    """Writes the cells by their numbers, see `lexicell.exports.prepared.Assembly`."""

    options: SomaOptions
    joinids: NDArray[np.int64]
    width: int
    listener: Listener

    def __call__(
        self,
        tables: Iterable[pa.Table],
        store: WriterStore,
        card: Mapping[str, Any],  # noqa: ARG002
    ) -> Mapping[str, Any]:
        there = with_vector(tables, len(self.joinids))
        if without := int((~there).sum()):
            text = f"{without:,} cells without genes have no vector and are not written, as the Census has it"
            self.listener(Note(text, serious=True))
        place = places(np.where(there, self.joinids, -1))
        n = int(there.sum())
        info = self.options.info(n, self.width)
        if self.options.layout == "tiledb":
            self._write_array(tables, store, there, info)
        else:
            shape = (n, self.width)

            def write(path: Path) -> None:
                out = np.lib.format.open_memmap(path, "w+", np.float32, shape)
                fill(tables, place, out, bfloat16)

            def write_ids(path: Path) -> None:
                with path.open("wb") as file:
                    np.save(file, np.sort(self.joinids[there]), allow_pickle=False)

            store.put_file("embeddings.npy", write)
            store.put_file("joinids.npy", write_ids)
            store.put(f"{INFO}.json", (json.dumps(info, indent=2).encode(),))
        return {"cells": n, INFO: info}

    def _write_array(
        self,
        tables: Iterable[pa.Table],
        store: WriterStore,
        there: NDArray[np.bool_],
        info: Mapping[str, Any],
    ) -> None:
        """Write a SOMASparseNDArray in which every value of a cell is stored, zeros too."""
        import tiledbsoma  # type: ignore[import-not-found, unused-ignore]

        cells = self.options.census_cells or int(self.joinids[there].max(initial=0)) + 1
        with tempfile.TemporaryDirectory() as folder:
            uri = str(Path(folder, ARRAY))
            shape = (cells, self.width)
            with tiledbsoma.SparseNDArray.create(uri, type=pa.float32(), shape=shape) as array:
                array.metadata[INFO] = json.dumps(info)
                for rows, found in rows_and_vectors(tables):
                    kept = there[rows]
                    ids = np.repeat(self.joinids[rows[kept]], self.width)
                    columns = np.tile(np.arange(self.width, dtype=np.int64), int(kept.sum()))
                    data = bfloat16(found[kept]).reshape(-1)
                    if len(data):
                        array.write(pa.table({"soma_dim_0": ids, "soma_dim_1": columns, "soma_data": data}))
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    store.put(path.relative_to(folder).as_posix(), (path.read_bytes(),))


def prepare(cells: AlignedCells, options: SomaOptions, listener: Listener) -> Prepared:
    """Read the numbers of cells.

    Raises
    ------
    InputError
        There are none, or they are not what the Census can have.
    MissingExtraError
        tiledbsoma is not installed, and the layout needs it.
    """
    if options.layout == "tiledb":
        with needing("soma", "The layout tiledb"):
            import tiledbsoma  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    joinids = _joinids(cells.source, options)
    made = vectors.prepare_numbered(cells, options.recipe, options.projection, listener)
    width = int(made.facts["dim"])
    facts = {**made.facts, "layout": options.layout, "joinid": options.joinid, INFO: options.info(0, width)}
    if options.layout == "tiledb":
        facts["census_cells"] = options.census_cells
    return replace(made, facts=facts, assembly=_Assembly(options, joinids, width, listener))


def _joinids(source: CountSource, options: SomaOptions) -> NDArray[np.int64]:
    name = options.joinid
    if name not in source.obs_columns:
        have = ", ".join(source.obs_columns) or "no columns at all"
        msg = (
            f"{source.label}: obs has no column {name!r}, by which the Census knows its cells, and nothing "
            f"else stands for it; it has {have}"
        )
        raise InputError(msg)
    column = source.read_obs([name], 0, source.n_cells)[name]
    whole = pd.to_numeric(column, errors="coerce")
    if bad := int((whole.isna() | (whole < 0) | (whole % 1 != 0)).sum()):
        msg = f"{source.label}: obs[{name!r}] has no whole number in {bad:,} cells"
        raise InputError(msg)
    ids: NDArray[np.int64] = whole.to_numpy(np.int64)
    if (twice := ids[pd.Series(ids).duplicated()]).size:
        msg = f"{source.label}: obs[{name!r}] has {twice[0]} more than once, and a cell has one vector"
        raise InputError(msg)
    if options.census_cells is not None and ids.max() >= options.census_cells:
        msg = (
            f"{name} {ids.max()} is beyond the {options.census_cells:,} cells that the Census is said to have"
        )
        raise InputError(msg)
    return ids


def bfloat16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round float32 to the nearest bfloat16, ties to even, and leave them float32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    bits = (bits + ((bits >> 16) & 1) + np.uint32(0x7FFF)) & np.uint32(0xFFFF0000)
    found: NDArray[np.float32] = bits.view(np.float32)
    return found
