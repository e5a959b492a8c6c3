"""What Numba does not give: some LLVM instructions, and a disk cache that notices changed helpers."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.core import config
from numba.extending import intrinsic

from lexicell_kernels._machine_code import MachineCode

__all__ = [
    "as_float32",
    "at_least",
    "bits_to_double",
    "count_bits",
    "double_bits",
    "float_bits",
    "kernel",
    "source_stamp",
    "trailing_zeros",
]


def kernel(
    *, reorder: bool = False, cache: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile to machine code that runs without the GIL.

    Parameters
    ----------
    reorder
        Allow sums to be split over vector lanes. Off for sums whose order is part of the definition;
        NaN and infinity keep their meaning either way.
    cache
        Keep the machine code on disk, where there is a folder for it. Only for entry points that close over
        `source_stamp`.
    """
    flags = {"contract", "reassoc", "nsz"} if reorder else {"contract"}
    options = {"nogil": True, "fastmath": flags, "error_model": "numpy"}

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**options)(function)
        if cache:
            with suppress(RuntimeError):  # nowhere to write a cache: a read-only home in a container
                dispatcher._cache = MachineCode(function)  # what `cache=True` does, with Numba's own
        return dispatcher

    return compiled


def source_stamp(*modules: str) -> str:
    """Hash of the sources of `modules`, siblings of this one.

    Numba's disk cache looks at the file of the cached function alone: with a helper changed in another
    file it would go on running the old code. It does look at closure variables, so an entry point that
    closes over this stamp is compiled anew.
    """
    here = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=16)
    for name in ("_numba", *modules):
        digest.update((here / f"{name}.py").read_bytes())
    return digest.hexdigest()


def _has_halves() -> bool:
    """Whether the CPU that Numba compiles for converts halves; without that, LLVM's call ends the process."""
    if platform.machine().lower() in {"aarch64", "arm64"}:
        return True
    if config.CPU_FEATURES is not None:
        return "+f16c" in config.CPU_FEATURES
    return config.CPU_NAME in {None, "", "host"} and bool(get_host_cpu_features().get("f16c"))


@intrinsic
def as_float32(typingctx: Any, x: Any) -> Any:
    """Read a table entry as float32: float32 as it is, uint16 as the bits of an IEEE half."""
    if isinstance(x, types.Float):
        return types.float32(x), lambda _context, _builder, _signature, args: args[0]

    def native(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    def portable(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        # The half's exponent and fraction in their places of a float32, and the exponents' difference made up
        # for by a product, which is exact for subnormal halves too.
        word = ir.IntType(32)
        wide = builder.zext(args[0], word)
        magnitude = builder.shl(builder.and_(wide, ir.Constant(word, 0x7FFF)), ir.Constant(word, 13))
        scaled = builder.fmul(
            builder.bitcast(magnitude, ir.FloatType()), ir.Constant(ir.FloatType(), 2.0**112)
        )
        sign = builder.shl(builder.and_(wide, ir.Constant(word, 0x8000)), ir.Constant(word, 16))
        return builder.bitcast(builder.or_(builder.bitcast(scaled, word), sign), ir.FloatType())

    return types.float32(types.uint16), native if _has_halves() else portable


def _reinterpret(given: Any, wanted: Any) -> Any:
    @intrinsic
    def bits(typingctx: Any, x: Any) -> Any:
        def bitcast(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(wanted))

        return wanted(given), bitcast

    return bits


#: Bits of a float32; for values >= 0 they are ordered as the values are.
float_bits = _reinterpret(types.float32, types.uint32)
#: Bits of a float64, and back.
double_bits = _reinterpret(types.float64, types.uint64)
bits_to_double = _reinterpret(types.uint64, types.float64)


@intrinsic
def trailing_zeros(typingctx: Any, x: Any) -> Any:
    """Find the lowest set bit of a uint64 that is not 0."""

    def cttz(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), cttz


@intrinsic
def count_bits(typingctx: Any, x: Any) -> Any:
    """How many bits of a uint64 are set."""

    def ctpop(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), ctpop


@intrinsic
def at_least(typingctx: Any, a: Any, start: Any, bound: Any) -> Any:
    """Compare 64 bytes of `a` from `start` with `bound`: bit i tells ``a[start + i] >= bound``.

    One instruction where there are vectors of 64 bytes, a few elsewhere. The caller guarantees that the 64
    bytes are there.
    """
    bytes64 = ir.VectorType(ir.IntType(8), 64)

    def compare(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        first = builder.gep(array.data, [args[1]])
        found = builder.load(builder.bitcast(first, bytes64.as_pointer()))
        found.align = 1
        undefined = ir.Constant(bytes64, ir.Undefined)
        lane = builder.insert_element(undefined, args[2], ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        bounds = builder.shuffle_vector(lane, undefined, lanes)
        return builder.bitcast(builder.icmp_unsigned(">=", found, bounds), ir.IntType(64))

    return types.uint64(a, types.int64, types.uint8), compare
