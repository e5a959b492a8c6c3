"""``cell.onnx``: selected genes and their weights in, the vector of the cell out, in any ONNX runtime.

::

    genes int64 [n, k], weights float32 [n, k]  ->  z float32 [n, p]
    z = sum_i w_i T[g_i] / sum_i w_i + b, through the head, divided by its length

with the projection folded into the table ``T`` beforehand. Genes that it masks weigh nothing. This is for
people who serve elsewhere; lexicell's own kernels select the genes too, and never hold the ``n k p`` floats
that a graph gathers before summing.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell._files import check_new_file, staged_path
from lexicell.errors import InputError
from lexicell.lexicon import Lexicon
from lexicell.projection import HeadLayer, Projection

if TYPE_CHECKING:
    from lexicell.lexicon.table import TableDtype

__all__ = ["export_cell"]

# As for a lexicon's table: the same numbers give the same bytes whatever version of onnx writes them.
_OPSET = 17
_IR_VERSION = 8
#: A protobuf message ends at 2 GiB, and the table lies inside.
_MOST_BYTES = 2**31 - 2**20

_INPUTS = (
    "genes: int64 [n, k], rows of the lexicon, any valid row where the weight is 0. "
    "weights: float32 [n, k], finite and not negative; the weight of the recipe (log1p: ln(1 + 1e4 x / N) "
    "with the gene's count x and the cell's total N). z: float32 [n, p]; zeros where all weights are 0."
)


def export_cell(
    lexicon: Lexicon,
    path: str | Path,
    *,
    projection: Projection | None = None,
    normalise: bool | None = None,
    dtype: TableDtype | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a lexicon as an ONNX graph that embeds cells, one file, completely or not at all.

    Parameters
    ----------
    lexicon
        Whose rows ``genes`` are.
    path
        File to create, ``.onnx``.
    projection
        Folded into the table, its bias, head and mask into the graph. Its rank factors are for whoever
        selects the genes.
    normalise
        Whether vectors are scaled to length 1; None for what the projection was learned with, else True.
    dtype
        Storage type of the table; by default float16 where that loses nothing, else float32.
    overwrite
        Whether a file of that name is replaced.

    Returns
    -------
    pathlib.Path
        The file. Equal input gives equal bytes.

    Raises
    ------
    InputError
        The name does not end in ``.onnx``, the projection is for another lexicon, or the table does not fit
        into a file of 2 GB or the range of `dtype`.
    OutputExistsError
        The file exists and is not to be replaced.
    WriteError
        The disk is full, or the folder may not be written to.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        msg = f"{path} is not the name of a graph; end it with .onnx"
        raise InputError(msg)
    check_new_file(path, overwrite=overwrite)
    table = _stored(_vectors(lexicon, projection), dtype)
    if table.nbytes > _MOST_BYTES:
        hint = "store it as float16" if table.dtype == np.float32 else "project it to fewer dimensions"
        msg = f"the table of {lexicon.name} has {table.nbytes / 1e9:.1f} GB and the file holds 2; {hint}"
        raise InputError(msg)
    pooling = None if projection is None else projection.pooling
    if normalise is None:
        normalise = pooling is None or pooling.normalise
    about = {
        "lexicell.lexicon": lexicon.name,
        "lexicell.identity": lexicon.identity,
        "lexicell.genes": str(lexicon.n_genes),
        "lexicell.projection": "" if projection is None else projection.identity,
        "lexicell.inputs": _INPUTS,
        "lexicell.text": json.dumps(lexicon.info.text.model_dump(), sort_keys=True),
        "lexicell.encoder": lexicon.info.encoder.id,
    }
    if pooling is not None:
        about["lexicell.pooling"] = json.dumps(asdict(pooling), sort_keys=True)
    model = _model(table, projection, about, normalise=normalise)
    with staged_path(path, replace=overwrite) as staging:
        staging.write_bytes(model)
    return path


def _vectors(lexicon: Lexicon, projection: Projection | None) -> NDArray[np.float32]:
    if projection is None:
        return lexicon.vectors(lexicon.rows)
    return projection.table_rows(lexicon, lexicon.rows)


def _stored(vectors: NDArray[np.float32], dtype: TableDtype | None) -> NDArray[np.floating[Any]]:
    if dtype == "float32":
        return np.ascontiguousarray(vectors, "<f4")
    with np.errstate(over="ignore"):  # what half precision can't hold becomes infinite
        half = np.ascontiguousarray(vectors, "<f2")
    if dtype is None:
        lossless = np.array_equal(half.astype(np.float32), vectors)
        return half if lossless else np.ascontiguousarray(vectors, "<f4")
    if not np.isfinite(half).all():
        row = int(np.argmin(np.isfinite(half).all(axis=1)))
        msg = f"the vector of row {row} exceeds the range of float16; store the table as float32"
        raise InputError(msg)
    return half


def _model(
    table: NDArray[np.floating[Any]],
    projection: Projection | None,
    about: dict[str, str],
    *,
    normalise: bool,
) -> bytes:
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node
    half = table.dtype == np.float16
    bias, masked = (None, None) if projection is None else (projection.bias, projection.masked)
    head = () if projection is None else projection.head
    constants = [
        _constant("table", table, "<f2" if half else "<f4"),
        _constant("zero", 0, "<f4"),
        _constant("one", 1, "<f4"),
        _constant("genes_axis", [1], "<i8"),
    ]
    nodes = [node("Gather", ["table", "genes"], ["stored" if half else "vectors"], axis=0)]
    if half:
        nodes.append(node("Cast", ["stored"], ["vectors"], to=TensorProto.FLOAT))
    counted = "weights"
    if masked is not None:
        counted = "unmasked_weights"
        constants.append(_constant("unmasked", ~masked, "<f4"))
        nodes += [
            node("Gather", ["unmasked", "genes"], ["usable"], axis=0),
            node("Mul", ["weights", "usable"], [counted]),
        ]
    nodes += [
        node("Unsqueeze", [counted, "genes_axis"], ["weights_row"]),  # [n, 1, k]
        node("MatMul", ["weights_row", "vectors"], ["sum_row"]),  # [n, 1, p]
        node("Squeeze", ["sum_row", "genes_axis"], ["sum"]),
        node("ReduceSum", [counted, "genes_axis"], ["total"], keepdims=1),  # [n, 1]
        node("Greater", ["total", "zero"], ["any"]),
        node("Where", ["any", "total", "one"], ["divisor"]),
        node("Div", ["sum", "divisor"], ["mean"]),
    ]
    last = "mean"
    if bias is not None:
        constants.append(_constant("bias", bias, "<f4"))
        nodes.append(node("Add", [last, "bias"], ["placed"]))
        last = "placed"
    for i, layer in enumerate(head):
        nodes += _layer(layer, f"head.{i}", last, constants)
        last = f"head.{i}"
    if normalise:
        nodes += [
            node("ReduceL2", [last], ["length"], axes=[1], keepdims=1),
            node("Greater", ["length", "zero"], ["has_length"]),
            node("Where", ["has_length", "length", "one"], ["safe_length"]),
            node("Div", [last, "safe_length"], ["scaled"]),
        ]
        last = "scaled"
    nodes.append(node("Where", ["any", last, "zero"], ["z"]))  # a bias alone is no cell
    dim = table.shape[1] if projection is None else projection.dim
    graph = helper.make_graph(
        nodes,
        "cell",
        [
            helper.make_tensor_value_info("genes", TensorProto.INT64, ["n", "k"]),
            helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["n", "k"]),
        ],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", dim])],
        constants,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="lexicell",
    )
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def _constant(name: str, values: Any, dtype: str) -> Any:
    from onnx import TensorProto

    array = np.asarray(values, dtype)
    kind = {"<f2": TensorProto.FLOAT16, "<f4": TensorProto.FLOAT, "<i8": TensorProto.INT64}[dtype]
    return TensorProto(name=name, data_type=kind, dims=array.shape, raw_data=array.tobytes())


def _layer(layer: HeadLayer, name: str, before: str, constants: list[Any]) -> list[Any]:
    """Nodes from `before` to `name`; the layer's numbers are added to `constants`."""
    from onnx.helper import make_node as node

    constants += [
        _constant(f"{name}.weight", layer.weight.T, "<f4"),
        _constant(f"{name}.bias", layer.bias, "<f4"),
    ]
    linear = name if layer.activation == "none" else f"{name}.linear"
    nodes = [
        node("MatMul", [before, f"{name}.weight"], [f"{name}.product"]),
        node("Add", [f"{name}.product", f"{name}.bias"], [linear]),
    ]
    if layer.activation == "relu":
        nodes.append(node("Relu", [linear], [name]))
    elif layer.activation == "gelu":  # exact; an operator of its own only since opset 20
        constants += [
            _constant(f"{name}.half", 0.5, "<f4"),
            _constant(f"{name}.root", 0.5**0.5, "<f4"),
            _constant(f"{name}.one", 1, "<f4"),
        ]
        nodes += [
            node("Mul", [linear, f"{name}.root"], [f"{name}.scaled"]),
            node("Erf", [f"{name}.scaled"], [f"{name}.erf"]),
            node("Add", [f"{name}.erf", f"{name}.one"], [f"{name}.gate"]),
            node("Mul", [linear, f"{name}.half"], [f"{name}.halved"]),
            node("Mul", [f"{name}.halved", f"{name}.gate"], [name]),
        ]
    return nodes
