"""CSR and CSC matrices of the stand-in: three device arrays and a shape; SciPy does the work."""
# ruff: noqa: A002  # CuPy's names

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from cupy._array import from_host, ndarray
from cupy._creation import array, asarray

__all__ = ["coo_matrix", "csc_matrix", "csr_matrix", "hstack", "issparse", "isspmatrix", "isspmatrix_csc",
           "isspmatrix_csr", "spmatrix", "vstack"]  # fmt: skip

_DATA = "?fdFD"


class spmatrix:  # noqa: N801  # CuPy's name
    """What `csr_matrix` and `csc_matrix` share."""

    __array_priority__ = 101
    __hash__ = None  # type: ignore[assignment]
    format: ClassVar[str] = ""
    _host_type: ClassVar[Any] = None
    _major = 0
    ndim = 2

    def __init__(self, arg1: Any, shape: Any = None, dtype: Any = None, copy: bool = False) -> None:
        data, indices, indptr, given = self._parts(arg1, shape, dtype)
        if np.dtype(dtype or data.dtype).char not in _DATA:
            raise ValueError("Only bool, float32, float64, complex64 and complex128 are supported")
        self.data = data.astype(dtype or data.dtype, copy=copy)
        self.indices = indices.astype(indices.dtype, copy=copy)
        self.indptr = indptr.astype(indices.dtype, copy=copy)
        self._shape = tuple(int(n) for n in (shape or given))
        if len(self.indptr) != self._shape[self._major] + 1:
            raise ValueError(f"index pointer size ({len(indptr)}) should be ({self._shape[self._major] + 1})")
        self._canonical: bool | None = getattr(arg1, "_canonical", None)
        self._sorted: bool | None = getattr(arg1, "_sorted", None)

    def _parts(self, arg1: Any, shape: Any, dtype: Any) -> tuple[Any, Any, Any, Any]:
        """Data, indices, offsets and shape of what the constructor takes."""
        if isinstance(arg1, spmatrix):
            same = arg1.asformat(self.format)
            return same.data, same.indices, same.indptr, same.shape
        if sp.issparse(arg1):
            host: Any = self._host_type(arg1)
            return *(array(a) for a in (host.data, host.indices, host.indptr)), host.shape
        if isinstance(arg1, ndarray):
            host = self._host_type(np.atleast_2d(arg1._host))
        elif isinstance(arg1, tuple) and len(arg1) == 3:
            return self._checked(*arg1, shape)
        elif isinstance(arg1, tuple) and all(isinstance(n, (int, np.integer)) for n in arg1):
            host = self._host_type(arg1, dtype=dtype or float)
        elif isinstance(arg1, tuple) and len(arg1) == 2:
            host = self._host_type((arg1[0]._host, tuple(a._host for a in arg1[1])), shape=shape)
        else:
            raise ValueError("Unsupported initializer format")
        return *map(from_host, (host.data, host.indices, host.indptr)), host.shape

    def _checked(self, data: Any, indices: Any, indptr: Any, shape: Any) -> tuple[Any, Any, Any, Any]:
        if not all(isinstance(a, ndarray) and a.ndim == 1 for a in (data, indices, indptr)):
            raise ValueError("data, indices, and indptr must be 1-D cupy arrays")
        if len(data) != len(indices):
            raise ValueError("indices and data should have the same size")
        first, stored = indptr[np.array([0, -1])].get()  # here CuPy waits, too
        if first != 0:
            raise ValueError(f"index pointer should start with 0 (got {first})")
        if stored > len(data):
            raise ValueError(f"last index pointer ({stored}) exceeds the size of data/indices ({len(data)})")
        largest = indices[:stored]._host.max(initial=0)
        if shape is None:
            shape = (len(indptr) - 1, int(largest) + 1)[:: -1 if self._major else 1]
        kind = np.int32 if max(*shape, largest, stored) < 2**31 else np.int64
        return data[:stored], indices[:stored].astype(kind, copy=False), indptr, shape

    shape = property(lambda self: self._shape)
    dtype = property(lambda self: self.data.dtype)
    nnz = property(lambda self: int(self.data.size))
    size = nnz

    @property
    def _on_host(self) -> Any:
        """A look from the host that is no copy."""
        return self._host_type((self.data._host, self.indices._host, self.indptr._host), shape=self._shape)

    @classmethod
    def _of(cls, host: Any) -> Any:
        made = cls.__new__(cls)
        made.data, made.indices, made.indptr = map(from_host, (host.data, host.indices, host.indptr))
        made._shape, made._canonical, made._sorted = host.shape, None, None
        return made

    def get(self, stream: Any = None) -> Any:
        """Copy to the host, as SciPy's matrix."""
        return self._host_type((self.data.get(), self.indices.get(), self.indptr.get()), shape=self._shape)

    def __getstate__(self) -> Any:
        return self.get(), self._canonical, self._sorted

    def __setstate__(self, state: Any) -> None:
        self.__init__(state[0])  # type: ignore[misc]
        self._canonical, self._sorted = state[1:]

    @property
    def has_canonical_format(self) -> bool:
        """Whether indices ascend strictly; waits for the device the first time."""
        if self._canonical is None:
            self._canonical = bool(asarray(_ascending(self, strictly=True)))
        return self._canonical

    @has_canonical_format.setter
    def has_canonical_format(self, value: bool) -> None:
        self._canonical = bool(value)
        if value:
            self._sorted = True

    @property
    def has_sorted_indices(self) -> bool:
        """Whether indices do not descend; waits for the device the first time."""
        if self._sorted is None:
            self._sorted = bool(asarray(_ascending(self, strictly=False)))
        return self._sorted

    @has_sorted_indices.setter
    def has_sorted_indices(self, value: bool) -> None:
        self._sorted = bool(value)

    def sort_indices(self) -> None:
        if not self.has_sorted_indices:
            self._take(self._on_host.sorted_indices())
            self._sorted = True

    def sum_duplicates(self) -> None:
        if not self.has_canonical_format:
            host = self._on_host.copy()
            host.has_canonical_format = host.has_sorted_indices = False
            host.sum_duplicates()
            self._take(host)
            self.has_canonical_format = True

    def _take(self, host: Any) -> None:
        self.data, self.indices, self.indptr = map(from_host, (host.data, host.indices, host.indptr))

    def copy(self) -> Any:
        return self._with_data(self.data.copy(), copy=True)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        return (
            self._with_data(self.data.astype(dtype)) if self.dtype != dtype else self.copy() if copy else self
        )

    def _with_data(self, data: Any, copy: bool = True) -> Any:
        made = type(self).__new__(type(self))
        made.data, made._shape, made._canonical, made._sorted = (
            data,
            self._shape,
            self._canonical,
            self._sorted,
        )
        made.indices = self.indices.copy() if copy else self.indices
        made.indptr = self.indptr.copy() if copy else self.indptr
        return made

    def asformat(self, format: str | None) -> Any:
        return self if format in (None, self.format) else getattr(self, f"to{format}")()

    def tocsr(self, copy: bool = False) -> Any:
        return (
            (self.copy() if copy else self) if self.format == "csr" else csr_matrix._of(self._on_host.tocsr())
        )

    def tocsc(self, copy: bool = False) -> Any:
        return (
            (self.copy() if copy else self) if self.format == "csc" else csc_matrix._of(self._on_host.tocsc())
        )

    def toarray(self, order: Any = None, out: Any = None) -> Any:
        return from_host(self._on_host.toarray())

    todense = toarray

    def transpose(self, axes: Any = None, copy: bool = False) -> Any:
        other = {"csr": csc_matrix, "csc": csr_matrix}[self.format]
        return other((self.data, self.indices, self.indptr), shape=self._shape[::-1], copy=copy)

    T = property(transpose)

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        return from_host(np.asarray(self._on_host.sum(axis)))

    def multiply(self, other: Any) -> Any:
        return csr_matrix._of(sp.csr_matrix(self._on_host.multiply(_plain(other))))

    def dot(self, other: Any) -> Any:
        return self @ other

    def __matmul__(self, other: Any) -> Any:
        found: Any = self._on_host @ _plain(other)
        return csr_matrix._of(sp.csr_matrix(found)) if sp.issparse(found) else from_host(found)

    def __mul__(self, other: Any) -> Any:
        return self._with_data(self.data * other) if np.isscalar(other) else self @ other

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._with_data(self.data / other)

    def __abs__(self) -> Any:
        return self._with_data(abs(self.data))

    def __getitem__(self, key: Any) -> Any:
        row, column = (_position(k) for k in (key if isinstance(key, tuple) else (key, slice(None))))
        if self.format == "csr" and isinstance(row, slice) and row.step in (None, 1) and _is_all(column):
            return self.copy() if row == slice(None) else self._rows(row)
        found: Any = self._on_host[row, column]
        return (
            type(self)._of(found.asformat(self.format))
            if sp.issparse(found)
            else from_host(np.asarray(found))
        )

    def _rows(self, rows: slice) -> Any:
        """Consecutive rows share memory with the whole, whose offsets are read on the host."""
        start, stop, _ = rows.indices(self._shape[0])
        stop = max(start, stop)
        if (start, stop) == (0, self._shape[0]):
            return self
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        made = type(self).__new__(type(self))
        made.data, made.indices = self.data[first:last], self.indices[first:last]
        made.indptr = self.indptr[start : stop + 1] - np.asarray(first, self.indptr.dtype)[()]
        made._shape = (stop - start, self._shape[1])
        made._canonical, made._sorted = self._canonical, self._sorted
        return made

    def __len__(self) -> int:
        raise TypeError("sparse array length is ambiguous; use shape[0] or .nnz")

    def __bool__(self) -> bool:
        raise ValueError("The truth value of an array with more than one element is ambiguous.")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __repr__(self) -> str:
        return (
            f"<stand-in {self.format} matrix of dtype '{self.dtype}', {self.nnz} stored, shape {self.shape}>"
        )


class coo_matrix(spmatrix):  # noqa: N801  # CuPy's name
    """There for libraries that ask whether something is one; none is ever made."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError


class csr_matrix(spmatrix):  # noqa: N801  # CuPy's name
    """Rows one after another."""

    format = "csr"
    _host_type = sp.csr_matrix


class csc_matrix(spmatrix):  # noqa: N801  # CuPy's name
    """Columns one after another."""

    format = "csc"
    _host_type = sp.csc_matrix
    _major = 1


def issparse(x: Any) -> bool:
    return isinstance(x, spmatrix)


isspmatrix = issparse


def isspmatrix_csr(x: Any) -> bool:
    return isinstance(x, csr_matrix)


def isspmatrix_csc(x: Any) -> bool:
    return isinstance(x, csc_matrix)


def vstack(blocks: Any, format: Any = None, dtype: Any = None) -> Any:
    return csr_matrix._of(sp.vstack([b._on_host for b in blocks], "csr", dtype))


def hstack(blocks: Any, format: Any = None, dtype: Any = None) -> Any:
    return csr_matrix._of(sp.hstack([b._on_host for b in blocks], "csr", dtype))


def _ascending(a: spmatrix, *, strictly: bool) -> bool:
    step = np.diff(a.indices._host.astype(np.int64))
    inside = np.ones(step.shape, bool)
    ends = a.indptr._host[1:-1]
    inside[ends[(ends > 0) & (ends <= len(step))] - 1] = False
    return bool((step > 0 if strictly else step >= 0)[inside].all())


def _position(key: Any) -> Any:
    if isinstance(key, ndarray):
        return key._host
    return np.asarray(key) if isinstance(key, list) else key


def _is_all(key: Any) -> bool:
    return isinstance(key, slice) and key == slice(None)


def _plain(x: Any) -> Any:
    return x._on_host if isinstance(x, spmatrix) else x._host if isinstance(x, ndarray) else x
