"""``table.onnx``: the vectors of a lexicon as one Gather over memory-mapped external data.

``rows int64 [n] -> vectors float32 [n, d]`` in any ONNX runtime. The initializer lies in
``table.bin`` as row-major little-endian float16 or float32, starting at byte 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lexicell._files import reading_file
from lexicell.arrays import namespace
from lexicell.errors import CorruptDataError, InputError
from lexicell.lexicon.manifest import RESTORE
from lexicell.lexicon.session import offers, open_session

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lexicell_kernels import Device

__all__ = [
    "TABLE_DATA",
    "TABLE_MODEL",
    "TableDtype",
    "check_table",
    "first_not_finite",
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

_LARGEST_MODEL = 1 << 16  # bytes; the table lies beside it
_BLOCK = 1 << 21  # numbers that are looked at together, which stay in a cache


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

    stored = _storable(vectors, dtype)
    (folder / TABLE_DATA).write_bytes(stored.data.cast("B"))
    path = folder / TABLE_MODEL
    n_rows, dim = stored.shape
    path.write_bytes(_lookup(n_rows, dim, dtype).SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path))  # by path, so that the external data is checked too


def _lookup(n_rows: int, dim: int, dtype: TableDtype) -> Any:
    """Make the ``ModelProto`` of ``table.onnx``."""
    from onnx import TensorProto, helper

    element = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT}[dtype]
    table = TensorProto(name="table", data_type=element, dims=[n_rows, dim])
    table.data_location = TensorProto.EXTERNAL
    size = n_rows * dim * np.dtype(dtype).itemsize
    for key, value in (("location", TABLE_DATA), ("offset", "0"), ("length", str(size))):
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
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="lexicell",
    )


def check_table(folder: Path, n_rows: int, dim: int, dtype: TableDtype) -> None:
    """See that ``table.onnx`` is the Gather (and Cast) that `write_table` makes for a table of that shape.

    An ONNX graph is a program: another one could run for ever, fill the memory, read other files or draw
    random numbers. So ONNX Runtime is shown none that has not passed here.

    Raises
    ------
    CorruptDataError
        If it is any other graph, or cannot be read.
    InputError
        If the table is a link out of the folder.
    """
    import onnx

    path, data = folder / TABLE_MODEL, folder / TABLE_DATA
    with reading_file(path, RESTORE):
        if data.resolve().parent != folder.resolve():
            message = (
                f"{data} links to another folder, where ONNX Runtime does not go; put the file itself there."
            )
            raise InputError(message)
        with path.open("rb") as file:
            content = file.read(_LARGEST_MODEL + 1)
        is_lookup = False
        if len(content) <= _LARGEST_MODEL:
            model = onnx.ModelProto.FromString(content)
            foreign = [*model.functions, *model.training_info, *filter(_is_foreign, model.opset_import)]
            is_lookup = not foreign and model.graph == _lookup(n_rows, dim, dtype).graph
    if not is_lookup:
        message = f"{path} is more or less than a lookup in {n_rows:,} x {dim:,} {dtype} numbers; {RESTORE}."
        raise CorruptDataError(message)


def _is_foreign(operators: Any) -> bool:
    return operators.domain not in ("", "ai.onnx")


def open_table(folder: Path, device: Device = "cpu") -> Any:
    """Open a ``table.onnx`` that `check_table` has passed; returns the ``InferenceSession``.

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


def first_not_finite(vectors: Any) -> int | None:
    """Return the first row with a number that is NaN or infinite, None if all are finite.

    Parameters
    ----------
    vectors
        Floats ``[n, d]``, of NumPy or CuPy.
    """
    xp = namespace(vectors)
    rows = max(1, _BLOCK // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), rows):
        block = vectors[start : start + rows]
        if block.dtype == np.float16:  # NumPy looks at halves one by one; all bits of the exponent say it too
            bits = block.view(np.uint16)
            finite = (bits & 0x7C00) != 0x7C00
        else:
            finite = xp.isfinite(block)
        if not finite.all():
            return start + int(finite.all(axis=1).argmin())
    return None


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
    row = first_not_finite(stored)
    if row is not None:
        cause = "is not finite" if not np.isfinite(vectors[row]).all() else f"exceeds the range of {dtype}"
        message = f"The vector of row {row} {cause}, so the lexicon was not written."
        raise InputError(message)
    return stored
