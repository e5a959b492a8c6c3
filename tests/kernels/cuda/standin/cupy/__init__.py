"""A stand-in for CuPy on a machine without a GPU, for tests.

Arrays are NumPy arrays behind a wrapper that refuses to become one unasked; kernels are compiled by g++
against the fiber shim. What is here behaves as in CuPy 14, and what CuPy does not have is not here, but for
`testing_counters` and `testing_memory`. Put this folder's parent on ``PYTHONPATH``.
"""
# ruff: noqa: F401  # names for others

from __future__ import annotations

from typing import Any

import numpy as _np
from numpy import (
    bool_,
    can_cast,
    complex64,
    complex128,
    complexfloating,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    floating,
    generic,
    iinfo,
    inexact,
    inf,
    int8,
    int16,
    int32,
    int64,
    integer,
    intp,
    isscalar,
    issubdtype,
    nan,
    newaxis,
    number,
    pi,
    promote_types,
    signedinteger,
    uint8,
    uint16,
    uint32,
    uint64,
    unsignedinteger,
)

from cupy import cuda, exceptions, linalg
from cupy._array import lift as _lift
from cupy._array import ndarray
from cupy._counters import counters as testing_counters
from cupy._creation import (
    array,
    asanyarray,
    asarray,
    ascontiguousarray,
    asfortranarray,
    asnumpy,
    copy,
    copyto,
    empty,
    empty_like,
    from_dlpack,
    full_like,
    get_array_module,
    may_share_memory,
    ndim,
    ones_like,
    result_type,
    shape,
    shares_memory,
    zeros_like,
)
from cupy._raw import RawKernel, RawModule
from cupy.cuda.memory import pretended as testing_memory

__version__ = "14.2.0"


_AS_IN_NUMPY = """
arange eye full linspace ones zeros
abs absolute add all allclose amax amin any append argmax argmin argsort around array_equal atleast_1d
atleast_2d bincount bitwise_and bitwise_count bitwise_or bitwise_xor broadcast_to ceil clip concatenate
conj copysign cos count_nonzero cumsum diag diff divide dot einsum equal exp expand_dims expm1
flatnonzero flip floor floor_divide fmax fmin greater greater_equal hstack invert isclose isfinite isin
isinf isnan left_shift less less_equal lexsort log log1p log2 logical_and logical_not logical_or
logical_xor matmul max maximum mean median min minimum mod moveaxis multiply nan_to_num negative nonzero
not_equal packbits partition percentile positive power prod put ravel reciprocal remainder repeat reshape
right_shift rint roll rollaxis searchsorted sign signbit sin sort sqrt square squeeze stack std subtract
sum swapaxes take tensordot tile transpose tril triu true_divide trunc unique unpackbits unravel_index
var vdot vstack where
"""
for _name in _AS_IN_NUMPY.split():
    if hasattr(_np, _name):
        globals()[_name] = _lift(getattr(_np, _name))


def get_default_memory_pool() -> Any:
    return cuda.memory.POOL


def get_default_pinned_memory_pool() -> Any:
    return cuda.memory.POOL
