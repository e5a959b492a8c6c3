"""Encoders that are layers of neurons, in the shapes of SCimilarity's and scVI's, with random weights.

From their public code. SCimilarity (Heimberg et al., 2024; ``Encoder``, hidden 1,024 three times as its
training script has it, latent 128, 28,231 genes): linear layers, each with a batch norm and a PReLU, and a
linear one whose result is divided by its length; of counts scaled to 10,000 a cell and logged. scVI (Lopez et
al., 2018; scvi-tools' defaults: one hidden layer of 128, 10 latent): a linear layer with a batch norm and a
ReLU, and a linear one for the mean; of logged counts. Batch norms are folded into the weights, which saves
their time; dropout does nothing once a model is trained.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.peers.in_slices import log_normalised, through_slices

__all__ = ["SHAPES", "Encoder", "by_onnxruntime", "by_reference", "by_torch", "encode", "random_encoder"]

#: Genes of SCimilarity's panel.
N_GENES = 28_231
#: Cells made dense at once: 116 MB.
ROWS = 1_024
#: Name -> widths of the layers after the genes.
SHAPES = {"scimilarity": (1_024, 1_024, 1_024, 128), "scvi": (128, 10)}
_OPSET, _IR_VERSION = 17, 8

Forward = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Encoder:
    """Layers with their weights.

    Attributes
    ----------
    layers
        Weights ``[out, in]`` and biases ``[out]``, float32; the first layer has as many inputs as genes.
    slope
        Of what is below 0, after all layers but the last.
    unit
        Whether results are divided by their length, and counts scaled to 10,000 a cell.
    """

    layers: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    slope: float
    unit: bool

    @property
    def dim(self) -> int:
        """Of the results."""
        return len(self.layers[-1][1])


def random_encoder(name: str, seed: int = 0) -> Encoder:
    """One of `SHAPES`, with weights that keep values as large as they are."""
    rng, widths = np.random.default_rng(seed), (N_GENES, *SHAPES[name])
    layers = []
    for n_in, n_out in itertools.pairwise(widths):
        weights = rng.standard_normal((n_out, n_in), np.float32) * np.float32(np.sqrt(2 / n_in))
        layers.append((weights, rng.standard_normal(n_out, np.float32) * np.float32(0.01)))
    unit = name == "scimilarity"
    return Encoder(tuple(layers), 0.25 if unit else 0.0, unit)


def prepared(x: sp.csr_array, encoder: Encoder) -> NDArray[np.float32]:
    """Counts ``[n, v]`` as the first layer takes them: its genes, logged and dense.

    The first columns stand for the panel; where there are fewer, the others are genes that were not measured.
    """
    if x.shape[1] > N_GENES:
        x = x[:, :N_GENES]
    elif x.shape[1] < N_GENES:
        x = sp.csr_array((x.data, x.indices, x.indptr), shape=(x.shape[0], N_GENES))
    if encoder.unit:
        y = log_normalised(x)
    else:
        y = x
        y.data = np.log1p(y.data.astype(np.float32, copy=False))
    return np.asarray(y.toarray())


def encode(path: Path, encoder: Encoder, forward: Forward, out: Path, n: int) -> None:
    """From the counts of the first `n` cells to their vectors, ``.npy``; one slice after another."""
    through_slices(path, out, encoder.dim, lambda x: forward(prepared(x, encoder)), n=n, rows=ROWS)


def by_torch(encoder: Encoder, threads: int) -> Forward:
    """As torch runs it, without gradients."""
    torch: Any = importlib.import_module("torch")
    functional = torch.nn.functional
    layers = [tuple(torch.from_numpy(part) for part in layer) for layer in encoder.layers]
    slope = torch.tensor([encoder.slope])

    def forward(x: NDArray[np.float32]) -> NDArray[np.float32]:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            z = torch.from_numpy(x)
            for number, (weights, bias) in enumerate(layers, 1):
                z = functional.linear(z, weights, bias)
                if number < len(layers):
                    z = functional.prelu(z, slope) if encoder.slope else functional.relu(z)
            made: NDArray[np.float32] = (functional.normalize(z, dim=1) if encoder.unit else z).numpy()
        return made

    return forward


def by_onnxruntime(encoder: Encoder, threads: int) -> Forward:
    """The same graph, as ONNX Runtime runs it."""
    ort: Any = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = ort.InferenceSession(_graph(encoder), options, providers=["CPUExecutionProvider"])

    def forward(x: NDArray[np.float32]) -> NDArray[np.float32]:
        made: NDArray[np.float32] = session.run(["z"], {"x": x})[0]
        return made

    return forward


def _graph(encoder: Encoder) -> bytes:
    onnx: Any = importlib.import_module("onnx")
    make, kept, nodes, last = onnx.helper, [], [], len(encoder.layers)
    kept.append(onnx.numpy_helper.from_array(np.array([encoder.slope], np.float32), "slope"))
    given = "x"
    for number, (weights, bias) in enumerate(encoder.layers, 1):
        kept.append(onnx.numpy_helper.from_array(weights, f"w{number}"))
        kept.append(onnx.numpy_helper.from_array(bias, f"b{number}"))
        made = f"linear{number}" if number < last or encoder.unit else "z"
        nodes.append(make.make_node("Gemm", [given, f"w{number}", f"b{number}"], [made], transB=1))
        given = f"active{number}"
        if number < last:
            kind = ("PRelu", [made, "slope"]) if encoder.slope else ("Relu", [made])
            nodes.append(make.make_node(*kind, [given]))
        elif encoder.unit:
            nodes.append(make.make_node("LpNormalization", [made], ["z"], axis=1, p=2))
    ends = [
        make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", width])
        for name, width in (("x", encoder.layers[0][0].shape[1]), ("z", encoder.dim))
    ]
    graph = make.make_graph(nodes, "encoder", ends[:1], ends[1:], kept)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    serialised: bytes = model.SerializeToString()
    return serialised


def by_reference(x: NDArray[np.float32], encoder: Encoder) -> NDArray[np.float64]:
    """Compute the same in float64 NumPy, of what `prepared` gives."""
    z = x.astype(np.float64)
    for number, (weights, bias) in enumerate(encoder.layers, 1):
        z = z @ weights.T.astype(np.float64) + bias
        if number < len(encoder.layers):
            z = np.where(z > 0, z, encoder.slope * z)
    return z / np.linalg.norm(z, axis=1, keepdims=True) if encoder.unit else z
