"""The graph that `lexicell genes export cell.onnx` writes: selected genes and weights in, vectors out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bench.peers.counts import Counts, slices
from lexicell.exports.cell_onnx import _model
from lexicell_kernels import select_topk

__all__ = ["pool_by_onnxruntime"]

_ROWS = 64  # in one call, the fastest of 16 to 2,000: their 8 MB of gathered vectors stay in a cache


def pool_by_onnxruntime(counts: Counts, k: int, threads: int) -> Callable[[], list[NDArray[np.float32]]]:
    """Gather, sum and length in ONNX Runtime; the genes of each cell are selected beforehand."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    graph = _model(counts.vectors, None, {}, normalise=True)
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    picks = select_topk(counts.block, counts.table, k=k)
    weights = np.log1p(picks.scores * counts.scale[:, None])  # 0 where there is no gene
    genes = np.maximum(picks.genes, 0).astype(np.int64)
    parts = [{"genes": genes[rows], "weights": weights[rows]} for rows in slices(len(genes), _ROWS)]
    return lambda: [session.run(["z"], part)[0] for part in parts]
