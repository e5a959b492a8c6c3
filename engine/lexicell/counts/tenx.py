"""10x Genomics: the ``.h5`` of Cell Ranger v2 and v3. Genes x cells in CSC is cells x genes in CSR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lexicell.containers.faults import Where, reading
from lexicell.counts.dataset import RowsSource
from lexicell.counts.rows import CsrRows
from lexicell.counts.tables import NamesTable
from lexicell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["genomes_of", "open_tenx", "refuse_parts"]

_V2_PARTS = {"barcodes", "data", "gene_names", "genes", "indices", "indptr", "shape"}
#: Parts of ``features`` that are no column of var, or have another name there.
_INDEX, _TAGS = "name", "_all_tag_keys"
_RENAMED = {"id": "gene_ids", "feature_type": "feature_types"}


def refuse_parts(label: str, layer: str | None, *, use_raw: bool) -> None:
    """Raise InputError where a layer or ``.raw`` is requested of a format that has one matrix."""
    if layer is not None or use_raw:
        option = "--use-raw" if use_raw else "--layer"
        msg = f"{label}: a 10x matrix has neither layers nor .raw; leave out {option}"
        raise InputError(msg)


def genomes_of(root: Any) -> list[str]:
    """List the groups of a Cell Ranger v2 file, one for each genome; empty where it is not such a file."""
    return [name for name in root if hasattr(root[name], "keys") and set(root[name].keys()) >= _V2_PARTS]


def open_tenx(root: Any, label: str, *, on_close: Callable[[], None]) -> RowsSource:
    """Open a 10x ``.h5``.

    Parameters
    ----------
    root
        ``h5py.File`` in the v3 layout (group ``matrix``) or the v2 layout (a group for each genome).
    label
        For messages.
    on_close
        Closes `root`.
    """
    where = Where(label, "the matrix")
    with reading(where):
        genomes = ["matrix"] if "matrix" in root else genomes_of(root)
        if len(genomes) > 1:
            msg = f"{label}: there are several genomes ({', '.join(genomes)}); give a file with one"
            raise InputError(msg)
        group = root[genomes[0]]
        v, n = (int(side) for side in group["shape"][:])
        rows = CsrRows(group["data"], group["indices"], group["indptr"], (n, v), where)
        obs = NamesTable(group["barcodes"], label)
        var = _features(group)
    return RowsSource(rows, obs, var, on_close=[on_close])


def _features(group: Any) -> pd.DataFrame:
    if "features" not in group:
        names, ids = _strings(group["gene_names"]), _strings(group["genes"])
        return pd.DataFrame({"gene_ids": ids}, index=pd.Index(names, dtype=object))
    features, table = group["features"], {}
    n = features[_INDEX].shape
    # Those of Cell Ranger first, whatever their order in the file; other parts may be no columns at all.
    for key in dict.fromkeys((*_RENAMED, "genome", *features)):
        part = features.get(key)
        if key in (_INDEX, _TAGS) or not hasattr(part, "dtype") or (part.shape != n and key not in _RENAMED):
            continue
        table[_RENAMED.get(key, key)] = part[:] if part.dtype.kind in "biuf" else _strings(part)
    return pd.DataFrame(table, index=pd.Index(_strings(features[_INDEX]), dtype=object))


def _strings(dataset: Any) -> Any:
    return np.array([item.decode() if isinstance(item, bytes) else str(item) for item in dataset[:]], object)
