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
from numba.core import cgutils, config
from numba.extending import intrinsic

from lexicell_kernels._machine_code import MachineCode

__all__ = [
    "TILE",
    "as_float32",
    "as_level",
    "at_least",
    "bits_to_double",
    "bits_to_float",
    "count_bits",
    "double_bits",
    "float_bits",
    "kernel",
    "source_stamp",
    "trailing_zeros",
    "weighted_rows",
]


def kernel(
    *, reorder: bool = False, cache: bool = False, merge: bool = False
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
    merge
        Make it part of its caller before anything is compiled, which then happens once and not at each level;
        and a call passes all arrays of a scratch, some 0.2 us. Not for two that differ in `reorder`.
    """
    flags = {"contract", "reassoc", "nsz"} if reorder else {"contract"}
    options = {
        "nogil": True,
        "fastmath": flags,
        "error_model": "numpy",
        "inline": "always" if merge else "never",
    }

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
    for name in ("jit", *modules):
        digest.update((here / f"{name}.py").read_bytes())
    return digest.hexdigest()


def _is_arm() -> bool:
    return platform.machine().lower() in {"aarch64", "arm64"}


def _has(feature: str) -> bool:
    """Whether the x86 CPU that Numba compiles for has something."""
    if config.CPU_FEATURES is not None:
        return f"+{feature}" in config.CPU_FEATURES
    return config.CPU_NAME in {None, "", "host"} and bool(get_host_cpu_features().get(feature))


#: Whether the CPU converts halves; without that, LLVM's call ends the process.
_HALVES = _is_arm() or _has("f16c")
_WORD, _OFFSET, _BYTES = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
_LANES = 8  # of a vector: with 16, conversion takes twice as long and is what the kernel waits for
_VECTORS = 16 if not _is_arm() and _has("avx512vl") else 8  # sums that fit the CPU's registers
_AHEAD = 8  # rows; memory is some 60 ns away, and a row's share of the sums takes 4 to 8
_LINE = 64  # bytes
#: Columns of a table that `weighted_rows` takes at a time.
TILE = _LANES * _VECTORS


def _widened(builder: Any, x: Any) -> Any:
    """Table entries as float32, one or a vector of them: halves come as their bits."""

    def shaped(kind: Any) -> Any:
        return ir.VectorType(kind, x.type.count) if isinstance(x.type, ir.VectorType) else kind

    def constant(kind: Any, number: Any) -> Any:
        many = isinstance(x.type, ir.VectorType)
        return ir.Constant(shaped(kind), [number] * x.type.count if many else number)

    kind = x.type.element if isinstance(x.type, ir.VectorType) else x.type
    if isinstance(kind, ir.FloatType):
        return x
    if _HALVES:
        return builder.fpext(builder.bitcast(x, shaped(ir.HalfType())), shaped(ir.FloatType()))
    # The half's exponent and fraction in their places of a float32, and the exponents' difference made up
    # for by a product, which is exact for subnormal halves too.
    wide = builder.zext(x, shaped(_WORD))
    magnitude = builder.shl(builder.and_(wide, constant(_WORD, 0x7FFF)), constant(_WORD, 13))
    scaled = builder.fmul(
        builder.bitcast(magnitude, shaped(ir.FloatType())), constant(ir.FloatType(), 2.0**112)
    )
    sign = builder.shl(builder.and_(wide, constant(_WORD, 0x8000)), constant(_WORD, 16))
    return builder.bitcast(builder.or_(builder.bitcast(scaled, shaped(_WORD)), sign), shaped(ir.FloatType()))


@intrinsic
def as_float32(typingctx: Any, x: Any) -> Any:
    """Read a table entry as float32: float32 as it is, uint16 as the bits of an IEEE half."""
    return types.float32(x), lambda _context, builder, _signature, args: _widened(builder, args[0])


@intrinsic
def as_level(typingctx: Any, x: Any) -> Any:
    """Saturate a count, uint16 or a float32 that is not negative, to a byte: 255 stands for more too."""

    def saturate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        top = ir.Constant(args[0].type, 255)
        if isinstance(args[0].type, ir.IntType):
            least = builder.select(builder.icmp_unsigned("<", args[0], top), args[0], top)
            return builder.trunc(least, ir.IntType(8))
        least = builder.select(builder.fcmp_ordered("<", args[0], top), args[0], top)
        return builder.fptoui(least, ir.IntType(8))

    return types.uint8(x), saturate


@intrinsic
def weighted_rows(typingctx: Any, table: Any, picked: Any, weight: Any, n: Any, first: Any, sums: Any) -> Any:
    """Fill ``sums[first : first + TILE]`` with ``sum(weight[i] * table[picked[i]])``, i ascending to n.

    The sums stay in registers for all rows, and rows are asked for before they are needed: what a compiler
    makes of loops in Python does neither. The caller guarantees that the columns are there.
    """

    def add(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, picks, weights, out = (
            context.make_array(signature.args[i])(context, builder, args[i]) for i in (0, 1, 2, 5)
        )
        many, start = args[3], args[4]
        columns = cgutils.unpack_tuple(builder, rows.shape, 2)[1]
        vector = ir.VectorType(ir.FloatType(), _LANES)
        entry = rows.data.type.pointee
        size = context.get_abi_sizeof(entry)
        held = [cgutils.alloca_once(builder, vector) for _ in range(_VECTORS)]
        for place in held:
            builder.store(ir.Constant(vector, [0.0] * _LANES), place)
        prefetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [_BYTES, _WORD, _WORD, _WORD]), "llvm.prefetch.p0"
        )

        def entries(i: Any) -> Any:
            """Where row i of the picks starts within the tile."""
            row = builder.sext(builder.load(builder.gep(picks.data, [i])), _OFFSET)
            return builder.gep(rows.data, [builder.add(builder.mul(row, columns), start)])

        with cgutils.for_range(builder, many) as loop:
            later = builder.add(loop.index, _OFFSET(_AHEAD))
            later = builder.select(builder.icmp_signed("<", later, many), later, loop.index)
            ahead = builder.bitcast(entries(later), _BYTES)
            for byte in range(0, TILE * size, _LINE):
                line = builder.gep(ahead, [_OFFSET(byte)])
                builder.call(prefetch, [line, _WORD(0), _WORD(3), _WORD(1)])  # to read, keep close, data
            w = builder.load(builder.gep(weights.data, [loop.index]))
            lane = builder.insert_element(ir.Constant(vector, ir.Undefined), w, _WORD(0))
            same = ir.Constant(ir.VectorType(_WORD, _LANES), [0] * _LANES)
            w = builder.shuffle_vector(lane, ir.Constant(vector, ir.Undefined), same)
            here = entries(loop.index)
            for j, place in enumerate(held):
                at = builder.gep(here, [_OFFSET(j * _LANES)])
                x = builder.load(builder.bitcast(at, ir.VectorType(entry, _LANES).as_pointer()))
                x.align = size
                product = builder.fmul(w, _widened(builder, x), flags=("contract",))
                builder.store(builder.fadd(builder.load(place), product, flags=("contract",)), place)
        for j, place in enumerate(held):
            at = builder.gep(out.data, [builder.add(start, _OFFSET(j * _LANES))])
            builder.store(builder.load(place), builder.bitcast(at, vector.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.none(table, picked, weight, types.int64, types.int64, sums), add


def _reinterpret(given: Any, wanted: Any) -> Any:
    @intrinsic
    def bits(typingctx: Any, x: Any) -> Any:
        def bitcast(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(wanted))

        return wanted(given), bitcast

    return bits


#: Bits of a float32, and back; for values >= 0 they are ordered as the values are.
float_bits = _reinterpret(types.float32, types.uint32)
bits_to_float = _reinterpret(types.uint32, types.float32)
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
