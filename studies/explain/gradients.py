"""Integrated gradients of the score of a cell, by captum, of a pooling that torch can differentiate.

captum is no dependency: ``pip install --no-deps --target FOLDER captum``, and name the FOLDER (``--captum``).
"""

from __future__ import annotations

import importlib.util
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding import Selection
from lexicell.explanation import GeneRows

__all__ = ["STEPS", "integrated_gradients", "missing"]

#: Of the integral, by Gauss and Legendre (captum's default).
STEPS = 50


def missing(folder: Path | None) -> str:
    """Why captum can't run, or nothing."""
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    lacking = [name for name in ("torch", "captum") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(lacking)} not installed" if lacking else ""


def integrated_gradients(
    selection: Selection, rows: GeneRows, vector: NDArray[np.float64], baseline: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Attributions of the selected genes, and how long they took.

    A score is a function of the weights ``w`` of all genes, ``<z(w), v>`` with ``z(w) = sum(w T) / sum(w)``
    scaled to length 1. The weights go in a straight line from the baseline to those of the cell.

    Parameters
    ----------
    selection
        ``n`` cells.
    rows
        What they are pooled of, ``m`` genes.
    vector
        ``[p]`` what they are scored by.
    baseline
        ``[m]`` weights that the line begins at; None for 0.

    Returns
    -------
    numpy.ndarray
        ``[nnz]`` float64.
    float
        Seconds a cell.
    numpy.ndarray
        ``[n]`` scores, as they are computed here.
    """
    import torch
    from captum.attr import IntegratedGradients

    at = np.searchsorted(rows.rows, selection.genes)
    table, toward = torch.from_numpy(rows.table.astype(np.float64)), torch.from_numpy(vector)
    bias = torch.from_numpy(rows.bias)
    start = np.zeros(len(rows.rows)) if baseline is None else baseline
    whole, total = torch.from_numpy(start @ rows.table.astype(np.float64)), float(start.sum())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of so little work, more threads only wait for each other
    found, scores, began = np.zeros(len(at)), np.zeros(len(selection)), time.perf_counter()
    for cell in range(len(selection)):
        of = slice(int(selection.indptr[cell]), int(selection.indptr[cell + 1]))
        if of.start == of.stop:
            continue
        mine = table[at[of]]
        here = torch.from_numpy(start[at[of]])
        # Genes that the cell does not have go from the baseline to 0 together: `left` is what is there of it.
        others, weight = whole - here @ mine, total - float(here.sum())

        def score(
            weights: Any, left: Any, mine: Any = mine, others: Any = others, weight: float = weight
        ) -> Any:
            pooled = (weights @ mine + left * others) / (weights.sum(1, keepdim=True) + left * weight) + bias
            return (pooled / pooled.norm(dim=1, keepdim=True)) @ toward

        own = torch.from_numpy(selection.weights[of].astype(np.float64))[None]
        given = own, torch.zeros(1, 1, dtype=torch.float64)
        begins = here[None], torch.ones(1, 1, dtype=torch.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = IntegratedGradients(score).attribute(given, begins, n_steps=STEPS)
        found[of] = values[0].detach().numpy()[0]
        scores[cell] = float(score(*given))
    torch.set_num_threads(threads)
    return found, (time.perf_counter() - began) / max(1, len(selection)), scores
