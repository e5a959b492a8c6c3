"""10x Genomics: the ``.h5`` of Cell Ranger v2 and v3. Genes x cells in CSC is cells x genes in CSR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lexicell.atlas.counts._blocks import Where, reading
from lexicell.atlas.counts._dataset import RowsSource
from lexicell.atlas.counts._rows import CsrRows, MatrixRows, PickedRows
from lexicell.atlas.counts._tables import NamesTable
from lexicell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["genomes_of", "keep_genes", "open_tenx", "refuse_parts"]

_V2_PARTS = {"barcodes", "data", "gene_names", "genes", "indices", "indptr", "shape"}
_EXPRESSION = "Gene Expression"


def refuse_parts(label: str, layer: str | None, *, use_raw: bool) -> None:
    """Raise InputError where a layer or ``.raw`` is asked of a format that has one matrix."""
    if layer is not None or use_raw:
        option = "--use-raw" if use_raw else "--layer"
        msg = f"{label}: a 10x matrix has neither layers nor .raw; leave out {option}"
        raise InputError(msg)


def keep_genes(rows: MatrixRows, var: pd.DataFrame, label: str) -> tuple[MatrixRows, pd.DataFrame]:
    """Keep the columns of type "Gene Expression" where `var` has several ``feature_types``."""
    if "feature_types" not in var or var["feature_types"].nunique() < 2:
        return rows, var
    kept = np.flatnonzero((var["feature_types"] == _EXPRESSION).to_numpy())
    if kept.size == 0:
        types = ", ".join(sorted(var["feature_types"].unique()))
        msg = f"{label}: no feature is {_EXPRESSION!r}, all are {types}; give a matrix with gene counts"
        raise InputError(msg)
    return PickedRows(rows, None, kept), var.iloc[kept]


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
        rows: MatrixRows = CsrRows(group["data"], group["indices"], group["indptr"], (n, v), where)
        obs = NamesTable(group["barcodes"], label)
        var = _features(group)
    rows, var = keep_genes(rows, var, label) if len(var) == v else (rows, var)
    return RowsSource(rows, obs, var, on_close=[on_close])


def _features(group: Any) -> pd.DataFrame:
    if "features" not in group:
        names, ids = _strings(group["gene_names"]), _strings(group["genes"])
        return pd.DataFrame({"gene_ids": ids}, index=pd.Index(names, dtype=object))
    features = group["features"]
    columns = {"gene_ids": "id", "feature_types": "feature_type", "genome": "genome"}
    table = {name: _strings(features[key]) for name, key in columns.items() if key in features}
    return pd.DataFrame(table, index=pd.Index(_strings(features["name"]), dtype=object))


def _strings(dataset: Any) -> Any:
    return np.array([item.decode() if isinstance(item, bytes) else str(item) for item in dataset[:]], object)
