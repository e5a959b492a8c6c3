"""AnnData on disk: h5ad and AnnData-Zarr have the same groups, attributes and slicing."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell.containers.faults import Where, is_unknown, reading
from lexicell.counts.dataset import RowsSource, check_sides
from lexicell.counts.dense import DenseRows
from lexicell.counts.elements import attribute
from lexicell.counts.modality import types_of_shared_names
from lexicell.counts.row_partition import csc_rows
from lexicell.counts.rows import CsrRows, MatrixRows
from lexicell.counts.tables import open_table, read_table
from lexicell.counts.zarr_reader import keys_of
from lexicell.errors import InputError, LexicellError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lexicell.counts.source import CountSource

__all__ = ["choose_part", "open_stored", "other_parts", "stated_base", "stored_rows"]


def choose_part(label: str, layers: list[str], layer: str | None, *, has_raw: bool, use_raw: bool) -> str:
    """Name the requested matrix ("X", ".raw" or a layer), or raise InputError where there is none."""
    if use_raw and layer is not None:
        msg = f"{label}: a layer and .raw exclude each other; give one of --layer and --use-raw"
        raise InputError(msg)
    if use_raw and not has_raw:
        msg = f"{label}: there is no .raw; {_offer(layers)}"
        raise InputError(msg)
    if layer is not None and layer not in layers:
        msg = f"{label}: there is no layer {layer!r}; {_offer(layers)}"
        raise InputError(msg)
    return ".raw" if use_raw else "X" if layer is None else f"layer {layer!r}"


def other_parts(
    open_part: Callable[..., CountSource], layers: Sequence[str], *, has_x: bool, has_raw: bool, **read: Any
) -> dict[str, Callable[[], CountSource]]:
    """Return what opens each matrix but the one that is read, by the option that asks for it.

    Parameters
    ----------
    open_part
        Takes ``layer`` and ``use_raw``.
    layers, has_x, has_raw
        What there is.
    **read
        ``layer`` and ``use_raw`` of the matrix that is read.
    """
    parts: dict[str, dict[str, Any]] = {
        f"--layer {shlex.quote(name)}": {"layer": name, "use_raw": False} for name in layers
    }
    if has_raw:
        parts["--use-raw"] = {"layer": None, "use_raw": True}
    if has_x:
        parts["X instead"] = {"layer": None, "use_raw": False}
    return {option: partial(open_part, **part) for option, part in parts.items() if part != read}


def stated_base(uns: Any) -> float | None:
    """Base of the logarithm that scanpy noted as ``uns["log1p"]``: natural, unless it says another."""
    if "log1p" not in uns:
        return None
    try:
        base = uns["log1p"]["base"]
        base = float(base[()] if hasattr(base, "shape") else base)
    except LexicellError:
        raise
    except Exception:
        return float(np.e)
    return base if base > 1 else float(np.e)


def open_stored(
    root: Any, label: str, *, layer: str | None, use_raw: bool, on_close: Callable[[], None] | None = None
) -> RowsSource:
    """Open a matrix of a stored AnnData.

    Parameters
    ----------
    root
        ``h5py.File`` or ``zarr.Group``.
    label
        For messages.
    layer, use_raw
        See `lexicell.counts.open_counts`.
    on_close
        Closes `root`.
    """
    with reading(Where(label, "the table of contents")):
        layers = keys_of(root["layers"]) if "layers" in root else []
        raw = next((prefix for prefix in ("raw/", "raw.") if prefix + "X" in root), None)
        has_x = "X" in root and str(attribute(root["X"], "encoding-type")) != "null"
        log_base = _stored_base(root)
        obsm = root["obsm"] if "obsm" in root and hasattr(root["obsm"], "keys") else None
    part = choose_part(label, layers, layer, has_raw=raw is not None, use_raw=use_raw)
    if layer is not None:
        matrix, columns = f"layers/{layer}", "var"
    elif use_raw:
        matrix, columns = f"{raw}X", f"{raw}var"
    else:
        matrix, columns = "X", "var"
        if not has_x:
            raw_option = " or --use-raw" if raw is not None else ""
            msg = f"{label}: there is no X; {_offer(layers)}{raw_option}"
            raise InputError(msg)
    where = Where(label, part)
    with reading(where):
        element = root[matrix]
    # The tables first: they are no longer than their names in the file, whatever the matrix says.
    obs, var = open_table(root, label), read_table(root, columns, label)
    rows = stored_rows(element, where, (len(obs), len(var)))
    if use_raw and "var" in root:
        var = types_of_shared_names(var, lambda: read_table(root, "var", label))
    return RowsSource(
        rows,
        obs,
        var,
        obsm=obsm,
        log_base=log_base if part == "X" else None,
        layers=layers,
        has_raw=raw is not None,
        others=other_parts(
            partial(open_stored, root, label),
            layers,
            has_x=has_x,
            has_raw=raw is not None,
            layer=layer,
            use_raw=use_raw,
        ),
        on_close=[] if on_close is None else [on_close],
    )


def stored_rows(element: Any, where: Where, sides: tuple[int, int] | None = None) -> MatrixRows:
    """Reader of one stored matrix.

    Parameters
    ----------
    element
        Group of a sparse matrix or a 2-d array, of h5py or zarr.
    where
        For messages.
    sides
        Cells and genes that it has, or CorruptDataError is raised.
    """
    with reading(where):
        if not hasattr(element, "keys"):
            check_sides(element.shape, sides, where)
            return DenseRows(element, where)
        # anndata before 0.7 used the names of the h5sparse package.
        kind = str(attribute(element, "encoding-type") or attribute(element, "h5sparse_format") or "")
        kind = kind.removesuffix("_matrix")
        if kind not in ("csr", "csc"):
            msg = f"{where} is stored as {kind or 'a group'}, not as CSR, CSC or dense; choose another layer"
            raise InputError(msg)
        shape = attribute(element, "shape")
        shape = attribute(element, "h5sparse_shape") if shape is None else shape
        n, v = (int(side) for side in shape)
        check_sides((n, v), sides, where)
        data, indices, indptr = element["data"], element["indices"], element["indptr"]
    if kind == "csr":
        return CsrRows(data, indices, indptr, (n, v), where)
    return csc_rows(data, indices, indptr, (n, v), where)


def _stored_base(root: Any) -> float | None:
    """Base of the logarithm that ``uns`` notes, whatever else it holds; None where it notes none."""
    try:
        uns = root["uns"]
        return stated_base(uns) if hasattr(uns, "keys") else None
    except KeyError:
        return None
    except Exception as exc:
        if not is_unknown(exc):
            raise
        return None


def _offer(layers: list[str]) -> str:
    if not layers:
        return "it has no layers"
    return f"choose one of its layers with --layer: {', '.join(layers)}"
