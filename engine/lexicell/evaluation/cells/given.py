"""Vectors from elsewhere, judged as our own are: on the same draws, by the same classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import Listener, Note
from lexicell.errors import InputError
from lexicell.evaluation.cells.methods import Method, Vectors
from lexicell.evaluation.cells.panels import Panel, Task
from lexicell.imports import join_vectors, open_sources

__all__ = ["given_methods"]


def given_methods(
    embeddings: Mapping[str, str | Path], panel: Panel, label: str, listener: Listener
) -> tuple[list[Method], Panel]:
    """Read vectors from elsewhere, and leave the cells that have one of each.

    Parameters
    ----------
    embeddings
        Name -> a store, an ``.h5ad``, AnnData-Zarr, Parquet or CSV, joined by id as
        `lexicell.import_embedding` does; ``PATH#KEY`` names the key of ``obsm``, or the column of ids.
    panel
        Cells with names.
    label
        What messages call them.
    listener
        Is told what is missing, and how many cells are left out.

    Returns
    -------
    tuple
        A method for each, and the panel of the cells that have all vectors.

    Raises
    ------
    InputError
        No cell has all vectors, or as `lexicell.imports.join_vectors`.
    """
    assert panel.names is not None  # noqa: S101 -- read from a data set
    there = np.ones(panel.n_cells, np.bool_)
    methods = []
    for name, location in embeddings.items():
        method, present = _given(name, location, panel.names, f"{label} (labelled cells)", listener)
        methods.append(method)
        there &= present
    if not there.any():
        msg = f"{label}: no cell has a vector in all of {', '.join(embeddings)}"
        raise InputError(msg)
    if left := int((~there).sum()):
        which = ", ".join(embeddings)
        text = f"{label}: {left:,} cells without a vector in {which} are left out for all methods"
        listener(Note(text, serious=True))
    return methods, panel.take(np.flatnonzero(there))


def _given(
    name: str, location: str | Path, names: NDArray[np.object_], label: str, listener: Listener
) -> tuple[Method, NDArray[np.bool_]]:
    path, _, key = str(location).partition("#") if not Path(location).exists() else (str(location), "", "")
    with ExitStack() as opened:
        sources = open_sources([path], None, opened, key=key or None)
        vectors = np.zeros((len(names), sources[0].shape[1]), np.float32)

        def put(places: NDArray[np.intp], rows: NDArray[np.float32]) -> None:
            vectors[places] = rows

        joined = join_vectors(sources, names, label, put, listener=_notes_of(listener))
    index = pd.Index(names)

    def run(task: Task) -> Vectors:
        return _taken(task.reference), _taken(task.query)

    def _taken(panel: Panel) -> NDArray[np.float32]:
        return vectors[index.get_indexer(pd.Index([] if panel.names is None else panel.names))]

    made = f"{Path(path).name}{f'#{sources[0].key}' if sources[0].key else ''}, blake3 {sources[0].digest}"
    return Method(name, run, text=False, per_draw=False, given=True, source=made), joined.present


def _notes_of(listener: Listener) -> Listener:
    """Only notes: how far a file is read is no progress of an evaluation."""
    return lambda event: listener(event) if isinstance(event, Note) else None
