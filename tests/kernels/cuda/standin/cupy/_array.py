"""`cupy.ndarray` as a wrapper around a NumPy array that never turns into one by itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cupy._counters import counters
from cupy.cuda.memory import pretended
from cupy.cuda.pinned import is_pinned
from cupy.cuda.stream import get_current_stream, settle

_REFUSED = (
    "Implicit conversion to a NumPy array is not allowed. "
    "Please use `.get()` to construct a NumPy array explicitly."
)
_SCALARS = (bool, int, float, complex, np.generic)
_KINDS = "biufc"


class ndarray:  # noqa: N801  # CuPy's name
    """An array "on the device": reading it on the host is explicit, mixing it with NumPy an error."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    _host: Any

    def __new__(cls, shape: Any, dtype: Any = float, order: Any = "C") -> Any:
        """Allocate without initialising, as `cupy.ndarray(shape)` does."""
        return from_host(allocated(garbage(np.empty(shape, dtype, order))), cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: subclasses may be called with arguments of their own."""

    def __array_finalize__(self, obj: Any) -> None:
        """Subclasses may define it."""

    # Reading on the host: each of these waits for the device.

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        counters.downloads += 1
        stream = stream or get_current_stream()
        here, source = np.empty(self.shape, self.dtype, order) if out is None else out, self._host
        if not isinstance(here, np.ndarray) or here.dtype != source.dtype:
            raise TypeError("out must be a NumPy array of the same type")
        if here.shape != source.shape:
            raise ValueError("Shape mismatch")

        def copy() -> None:
            here[...] = source

        stream._do(copy, later=True)
        if blocking or not is_pinned(here):  # a copy to memory that may be swapped out waits
            stream._advance(stream._put)
        return here

    def item(self, *args: Any) -> Any:
        return self.get().item(*args)

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return bytes(self.get().tobytes(order))

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get(), spec)

    def __reduce__(self) -> Any:
        return _restore, (self.get(),)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(_REFUSED)

    # Structure: known on the host.

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: from_host(self._host.T))
    real = property(lambda self: from_host(self._host.real))
    base = property(lambda self: None if self._host.base is None else from_host(self._host.base))

    @property
    def data(self) -> Any:
        """Pointer into "device" memory."""
        from cupy.cuda.memory import MemoryPointer

        return MemoryPointer(self)

    @property
    def device(self) -> Any:
        from cupy.cuda import Device

        return Device(0)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._host.__array_interface__, "version": 3, "stream": 1}

    def __dlpack__(self, **kwargs: Any) -> Any:
        raise BufferError("the stand-in has no device memory that others could read")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        settle()
        return from_host(self._host[_index(key)], type(self), self)

    def __setitem__(self, key: Any, value: Any) -> None:
        settle()
        self._host[_index(key)] = to_host(value)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    # New arrays of the same type.

    def view(self, dtype: Any = None, **subclass: Any) -> Any:
        """Reinterpret the memory, or show it as a subclass (``type=``)."""
        if isinstance(dtype, type) and issubclass(dtype, ndarray):
            return self.view(type=dtype)
        host = self._host if dtype is None else self._host.view(dtype)
        return from_host(host, subclass.get("type", ndarray), self)

    def astype(self, dtype: Any, order: str = "K", casting: str | None = None, subok: Any = None,
               copy: bool = True) -> Any:  # fmt: skip
        if not copy and self.dtype == dtype:
            return self
        settle()
        with np.errstate(all="ignore"):  # a device does not warn
            return from_host(allocated(self._host.astype(dtype, order)))

    def copy(self, order: str = "C") -> Any:
        settle()
        return from_host(allocated(self._host.copy(order)), type(self), self)

    def set(self, arr: Any, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype or self.shape != arr.shape:
            raise ValueError("Shape or dtype mismatch")
        counters.uploads += 1
        pinned, there = is_pinned(arr), self._host
        source = arr if pinned else arr.copy()

        def copy() -> None:
            there[...] = source

        (stream or get_current_stream())._do(copy, later=pinned)

    def fill(self, value: Any) -> None:
        settle()
        self._host.fill(to_host(value))

    # NumPy's functions and operators, given CuPy arrays, are CuPy's.

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        import cupy

        ours = getattr(cupy, ufunc.__name__, None)
        if method != "__call__" or ours is None:
            return NotImplemented
        if (out := kwargs.get("out")) is not None:
            kwargs["out"] = out[0]
        return ours(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        import cupy

        try:
            path = [*func.__module__.split(".")[1:], func.__name__]
            ours: Any = functools.reduce(getattr, path, cupy)
        except AttributeError:
            return NotImplemented
        if not all(issubclass(t, (ndarray, np.ndarray)) for t in types):
            return NotImplemented
        return ours(*args, **kwargs)


ndarray.__module__ = "cupy"


def from_host(a: Any, cls: type[ndarray] = ndarray, parent: Any = None) -> Any:
    """Wrap `a` without copying it."""
    wrapped = object.__new__(cls)
    wrapped._host = np.asanyarray(a)
    wrapped.__array_finalize__(parent)
    return wrapped


def to_host(x: Any) -> Any:
    """Look into a CuPy array or scalar; a NumPy array is refused, as by CuPy's kernels."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, _SCALARS) or x is None:
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def upload(a: Any, dtype: Any = None, order: Any = None) -> Any:
    """Copy host data to the "device"."""
    host = np.array(a, dtype=dtype, order=order, copy=True)
    if host.dtype.kind not in _KINDS:
        raise ValueError(f"Unsupported dtype {host.dtype}")
    counters.uploads += 1
    settle()
    return from_host(allocated(host))


def allocated(a: Any) -> Any:
    """Count an array that a GPU would need memory for, or find that there is none."""
    if a.base is None:
        pretended.allocate(a.nbytes)
    return a


def garbage(a: Any) -> Any:
    """Fill fresh memory with bytes that no test expects."""
    if a.flags.c_contiguous:
        a.reshape(-1).view(np.uint8)[...] = 0xCD
    return a


def lift(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make CuPy's version of a NumPy function: CuPy arrays and scalars in, CuPy arrays out."""

    @functools.wraps(function, updated=())
    def lifted(*args: Any, **kwargs: Any) -> Any:
        settle()
        with np.errstate(all="ignore"):
            found = function(*(_lower(a) for a in args), **{k: _lower(v) for k, v in kwargs.items()})
        return tuple(map(_raise, found)) if isinstance(found, (tuple, list)) else _raise(found)

    return lifted


def _lower(x: Any) -> Any:
    if isinstance(x, (tuple, list)):
        return type(x)(_lower(y) for y in x)
    return x if isinstance(x, (str, np.dtype, type, slice)) or callable(x) else to_host(x)


def _raise(x: Any) -> Any:
    return from_host(allocated(np.asanyarray(x))) if isinstance(x, (np.ndarray, np.generic)) else x


def _index(key: Any) -> Any:
    """Indices may be on either side; those from the host are uploaded."""
    if isinstance(key, tuple):
        return tuple(_index(k) for k in key)
    if isinstance(key, ndarray):
        return key._host
    if isinstance(key, np.ndarray):
        counters.uploads += 1
    return key


def _restore(a: Any) -> Any:
    return upload(a)


def _operator(name: str) -> Callable[..., Any]:
    plain = getattr(np.ndarray, name)

    def operate(self: ndarray, *others: Any) -> Any:
        if not all(isinstance(o, (ndarray, *_SCALARS)) for o in others):
            return NotImplemented
        settle()
        with np.errstate(all="ignore"):
            found = plain(self._host, *(to_host(o) for o in others))
        if name.startswith("__i") and name != "__invert__":
            return self
        return found if found is NotImplemented else from_host(allocated(np.asanyarray(found)))

    return operate


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor",
              "lshift", "rshift"):  # fmt: skip
    for _prefix in ("", "r", "i"):
        setattr(ndarray, f"__{_prefix}{_name}__", _operator(f"__{_prefix}{_name}__"))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in ("all", "any", "argmax", "argmin", "argsort", "clip", "conj", "cumsum", "diagonal", "dot",
              "flatten", "max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "reshape", "round",
              "searchsorted", "sort", "squeeze", "std", "sum", "swapaxes", "take", "trace", "transpose",
              "var"):  # fmt: skip
    setattr(ndarray, _name, lift(getattr(np.ndarray, _name)))
