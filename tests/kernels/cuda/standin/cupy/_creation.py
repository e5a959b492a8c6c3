"""Functions that make arrays or look at them, where they are more than NumPy's."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from cupy._array import allocated, from_host, ndarray, to_host, upload


def array(obj: Any, dtype: Any = None, copy: bool = True, order: str = "K", subok: bool = False,
          ndmin: int = 0) -> Any:  # fmt: skip
    """Copy to the device, or on it."""
    out: Any
    if isinstance(obj, ndarray):
        same = dtype is None or obj.dtype == dtype
        out = obj if same and not copy else obj.astype(dtype or obj.dtype)
    elif isinstance(obj, (list, tuple)) and any(isinstance(x, ndarray) for x in obj):
        out = from_host(np.array([to_host(x) for x in obj], dtype))
    else:
        out = upload(obj, dtype)
    return out.reshape((1,) * (ndmin - out.ndim) + out.shape) if out.ndim < ndmin else out


def asarray(a: Any, dtype: Any = None, order: Any = None, *, blocking: bool = False) -> Any:
    """Return `a` itself where it is a device array of that type."""
    return array(a, dtype, copy=False)


def asanyarray(a: Any, dtype: Any = None, order: Any = None) -> Any:
    return asarray(a, dtype)


def ascontiguousarray(a: Any, dtype: Any = None) -> Any:
    a = asarray(a, dtype)
    return a if a.flags.c_contiguous else a.copy()


def asfortranarray(a: Any, dtype: Any = None) -> Any:
    return from_host(np.asfortranarray(asarray(a, dtype)._host))


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
    """Copy to the host."""
    return a.get(stream, order, out) if hasattr(a, "get") else np.asarray(a)


def get_array_module(*args: Any) -> Any:
    """Tell whether any of `args` is on the device: this module, or NumPy."""
    from cupyx.scipy.sparse import issparse

    here = any(isinstance(a, ndarray) or issparse(a) for a in args)
    return sys.modules["cupy"] if here else np


def empty(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    """Memory that nobody has written to; here 0xcd bytes."""
    return ndarray(shape, dtype, order)


def empty_like(prototype: Any, dtype: Any = None, order: str = "K", subok: Any = None,
               shape: Any = None) -> Any:  # fmt: skip
    return empty(prototype.shape if shape is None else shape, dtype or prototype.dtype)


def zeros_like(a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> Any:
    return full_like(a, 0, dtype, order, subok, shape)


def ones_like(a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> Any:
    return full_like(a, 1, dtype, order, subok, shape)


def full_like(a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: Any = None,
              shape: Any = None) -> Any:  # fmt: skip
    return from_host(allocated(np.full(a.shape if shape is None else shape, fill_value, dtype or a.dtype)))


def from_dlpack(array: Any, **kwargs: Any) -> Any:
    """Share memory; CuPy takes only what lies on a GPU."""
    if isinstance(array, ndarray):
        return from_host(array._host)
    device = array.__dlpack_device__()
    if device[0] == 1:
        raise TypeError("CPU arrays cannot be directly imported to CuPy.")
    raise BufferError(f"unsupported device type: {device[0]}")


def result_type(*args: Any) -> Any:
    return np.result_type(*(a.dtype if isinstance(a, ndarray) else a for a in args))


def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return np.may_share_memory(to_host(a), to_host(b))


shares_memory = may_share_memory


def copy(a: Any, order: str = "K") -> Any:
    return asarray(a).copy()


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    dst._host[...] = to_host(src)


def shape(a: Any) -> Any:
    return a.shape


def ndim(a: Any) -> int:
    return int(a.ndim)
