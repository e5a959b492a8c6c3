"""``table.onnx``: the vectors of a lexicon as one Gather over memory-mapped external data.

``rows int64 [n] -> vectors float32 [n, d]`` in any ONNX runtime. The initializer lies in
``table.bin`` as row-major little-endian float16 or float32, starting at byte 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lexicell.errors import InputError
from lexicell.lexicon._session import offers, open_session

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lexicell_kernels import Device

__all__ = [
    "TABLE_DATA",
    "TABLE_MODEL",
    "TableDtype",
    "gather",
    "gather_shared",
    "open_table",
    "shares_memory",
    "write_table",
]

TABLE_MODEL = "table.onnx"
TABLE_DATA = "table.bin"
TableDtype = Literal["float16", "float32"]

# Fixed, so that the same vectors always give the same bytes whatever version of onnx writes them.
_OPSET = 17
_IR_VERSION = 8


def write_table(folder: Path, vectors: NDArray[np.floating[Any]], dtype: TableDtype) -> None:
    """Write ``table.onnx`` and ``table.bin`` into `folder`.

    Parameters
    ----------
    folder
        An existing folder.
    vectors
        ``[G, d]``, finite, within the range of `dtype`.
    dtype
        Storage type; ``float16`` halves the file and keeps 11 bits of each number.

    Raises
    ------
    InputError
        If a vector cannot be stored.
    """
    import onnx
    from onnx import TensorProto, helper

    stored = _storable(vectors, dtype)
    n_rows, dim = stored.shape
    (folder / TABLE_DATA).write_bytes(stored.data.cast("B"))

    element = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT}[dtype]
    table = TensorProto(name="table", data_type=element, dims=[n_rows, dim])
    table.data_location = TensorProto.EXTERNAL
    for key, value in (("location", TABLE_DATA), ("offset", "0"), ("length", str(stored.nbytes))):
        table.external_data.add(key=key, value=value)

    gathered = "vectors" if dtype == "float32" else "stored"
    nodes = [helper.make_node("Gather", ["table", "rows"], [gathered], axis=0)]
    if dtype == "float16":
        nodes.append(helper.make_node("Cast", ["stored"], ["vectors"], to=TensorProto.FLOAT))
    graph = helper.make_graph(
        nodes,
        "lexicon",
        [helper.make_tensor_value_info("rows", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", dim])],
        [table],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="lexicell",
    )
    path = folder / TABLE_MODEL
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path))  # by path, so that the external data is checked too


def open_table(folder: Path, device: Device = "cpu") -> Any:
    """Open ``table.onnx`` with ONNX Runtime; returns the ``InferenceSession``.

    On the CPU, ONNX Runtime leaves external data in the mapped file, shared by all processes that open it.
    Graph optimisation is off: a Gather has nothing to gain from it, and no pass may come to copy the table.

    Raises
    ------
    CorruptDataError
        If ONNX Runtime refuses the files.
    InputError
        If it cannot use the device.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # A gather is memory-bound: worker threads would only idle beside the caller's own.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return open_session(folder / TABLE_MODEL, options, device, remedy="rebuild the lexicon")


def gather(session: Any, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Vectors of `rows` (int64 ``[n]``, not negative) as float32 ``[n, d]``, a fresh array."""
    vectors: NDArray[np.float32] = session.run(["vectors"], {"rows": rows})[0]
    return vectors


def shares_memory() -> bool:
    """Whether the installed ONNX Runtime gathers on a GPU and hands its memory over (DLPack)."""
    import onnxruntime as ort

    return offers("cuda") and hasattr(ort.OrtValue, "__dlpack__")


def gather_shared(session: Any, rows: NDArray[np.int64], device: Device) -> Any:
    """Vectors of `rows` in memory of ONNX Runtime's on `device`, for ``from_dlpack`` of NumPy or CuPy.

    What is made of it keeps that memory; the session, whose allocator it is from, is the caller's to keep.
    """
    binding = session.io_binding()
    binding.bind_cpu_input("rows", rows)
    binding.bind_output("vectors", device_type=device)
    session.run_with_iobinding(binding)
    binding.synchronize_outputs()  # other streams may read it now
    return binding.get_outputs()[0]


def _storable(vectors: NDArray[np.floating[Any]], dtype: TableDtype) -> NDArray[np.floating[Any]]:
    if vectors.ndim != 2 or 0 in vectors.shape:
        message = f"A lexicon needs vectors of shape [genes, dimensions], not {list(vectors.shape)}."
        raise InputError(message)
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(vectors, dtype=np.dtype(dtype).newbyteorder("<"))
    finite = np.isfinite(stored).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        cause = "is not finite" if not np.isfinite(vectors[row]).all() else f"exceeds the range of {dtype}"
        message = f"The vector of row {row} {cause}, so the lexicon was not written."
        raise InputError(message)
    return stored
