"""Elements of a stored AnnData read whole, as anndata reads them, mostly without anndata.

To import anndata takes a second, as long as all else that a run of few cells does. So the encodings that
tables consist of are read here, and whatever is another one, or cannot be read, is anndata's: the values and
the errors are always its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.counts.zarr_reader import check_declared

__all__ = ["attribute", "nullable_text", "read_element"]


def attribute(element: Any, name: str) -> Any:
    """Attribute of an element of h5py or zarr, text as str; None where it has none."""
    value = element.attrs.get(name)
    return value.decode() if isinstance(value, bytes) else value


def read_element(element: Any) -> Any:
    """Read an element of h5py or zarr whole; what `anndata.io.read_elem` returns or raises."""
    check_declared(element)
    stored = element.plain() if hasattr(element, "plain") else element
    try:
        if _is_known(stored):
            return _read(stored)
    except Exception:  # noqa: S110 -- anndata says below what is wrong, or reads it nevertheless
        pass
    from anndata.io import read_elem

    with warnings.catch_warnings():
        # Reading old files is the purpose; the advice to rewrite them is not the reader's to act on.
        warnings.filterwarnings("ignore", message=".*was written with(out encoding| a very old version)")
        return read_elem(stored)


def _is_known(element: Any) -> bool:
    """Whether an element and all that is read of it are in encodings that are read here."""
    known = _KNOWN.get(_encoding(element))
    if known is None or hasattr(element, "keys") != (known.parts is not None):
        return False
    return known.parts is None or all(_is_known(element[name]) for name in known.parts(element))


def _read(element: Any) -> Any:
    return _KNOWN[_encoding(element)].read(element)


def _encoding(element: Any) -> tuple[Any, Any]:
    return attribute(element, "encoding-type"), attribute(element, "encoding-version")


def _array(element: Any) -> Any:
    return element[()]


def _texts(element: Any) -> Any:
    return element.asstr()[()] if hasattr(element, "asstr") else element[()]


def _categorical(element: Any) -> Any:
    return pd.Categorical.from_codes(
        codes=_read(element["codes"]),
        categories=_read(element["categories"]),
        ordered=bool(attribute(element, "ordered")),
    )


def _integers(element: Any) -> Any:
    return pd.arrays.IntegerArray(_read(element["values"]), mask=_read(element["mask"]))


def _booleans(element: Any) -> Any:
    return pd.arrays.BooleanArray(_read(element["values"]), mask=_read(element["mask"]))


def nullable_text(element: Any) -> Callable[[NDArray[Any], NDArray[np.bool_]], Any]:
    """How values and mask of a nullable text become one: missing as pandas has it, where the file says so."""
    usual = pd.Series(["a"]).dtype
    is_nan = attribute(element, "na-value") == "NaN"
    dtype = usual if is_nan and isinstance(usual, pd.StringDtype) else pd.StringDtype()

    def make(values: NDArray[Any], mask: NDArray[np.bool_]) -> Any:
        texts = np.array(values, object)
        texts[mask] = None
        return pd.array(texts, dtype=dtype)

    return make


def _nullable_texts(element: Any) -> Any:
    return nullable_text(element)(_read(element["values"]), _read(element["mask"]))


def _columns(element: Any) -> list[str]:
    columns = list(element.attrs["column-order"])
    if not all(isinstance(name, str) for name in columns):  # of fixed length, say
        msg = "names of columns that are not text"
        raise TypeError(msg)
    return columns


def _table(element: Any) -> pd.DataFrame:
    columns, names = _columns(element), attribute(element, "_index")
    table = pd.DataFrame(
        {name: _read(element[name]) for name in columns},
        index=_read(element[names]),
        columns=columns or None,
    )
    if names != "_index":
        table.index.name = names
    return table


def _group_of(*names: str) -> Callable[[Any], list[Any]]:
    return lambda _: list(names)


class _Known(NamedTuple):
    """How an encoding is read; for a group also which of its members are elements that are read."""

    read: Callable[[Any], Any]
    parts: Callable[[Any], list[Any]] | None = None


#: By type and version.
_KNOWN: dict[tuple[Any, Any], _Known] = {
    ("array", "0.2.0"): _Known(_array),
    ("string-array", "0.2.0"): _Known(_texts),
    ("categorical", "0.2.0"): _Known(_categorical, _group_of("codes", "categories")),
    ("nullable-integer", "0.1.0"): _Known(_integers, _group_of("values", "mask")),
    ("nullable-boolean", "0.1.0"): _Known(_booleans, _group_of("values", "mask")),
    ("nullable-string-array", "0.1.0"): _Known(_nullable_texts, _group_of("values", "mask")),
    ("dataframe", "0.2.0"): _Known(_table, lambda group: [*_columns(group), attribute(group, "_index")]),
}
