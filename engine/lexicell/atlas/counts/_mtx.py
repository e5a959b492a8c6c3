"""Matrix Market with its two tables: ``matrix.mtx``, ``barcodes.tsv``, ``features.tsv`` or ``genes.tsv``."""

from __future__ import annotations

import csv
import gzip
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from lexicell.atlas.counts._blocks import Where, reading
from lexicell.atlas.counts._dataset import RowsSource
from lexicell.atlas.counts._rows import MatrixRows
from lexicell.atlas.counts._spool import Entries, SpoolRows
from lexicell.atlas.counts._tables import FrameTable
from lexicell.atlas.counts._tenx import keep_genes
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["find_mtx", "open_mtx", "tables_of"]

_INT32_MAX = np.iinfo(np.int32).max


class _Header(NamedTuple):
    lines: int
    rows: int
    columns: int
    nnz: int
    integer: bool


def find_mtx(folder: Path) -> Path | None:
    """Find the one ``*matrix.mtx`` or ``.mtx.gz`` of a folder; None without, InputError with several."""
    found = sorted(path for path in folder.glob("*matrix.mtx*") if path.name.endswith((".mtx", ".mtx.gz")))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        msg = f"{folder}: there are several matrices ({names}); give the path of one"
        raise InputError(msg)
    return found[0] if found else None


def open_mtx(path: Path) -> RowsSource:
    """Open a ``.mtx`` or ``.mtx.gz``; the two tables are looked for beside it, under the same prefix."""
    label = str(path)
    where = Where(label, "the matrix")
    with reading(where):
        header = _header(path)
    barcodes = _tsv(path, "barcodes")
    features = _tsv(path, "features", "genes")
    obs = pd.DataFrame(index=pd.Index(barcodes[0].to_numpy(), dtype=object))
    var = _var(features)
    by_gene = (header.rows, header.columns) == (len(var), len(obs))
    if not by_gene and (header.rows, header.columns) != (len(obs), len(var)):
        msg = (
            f"{where} is {header.rows} x {header.columns} where its tables have {len(var)} genes and "
            f"{len(obs)} cells; put files together that belong together"
        )
        raise CorruptDataError(msg)

    def stream(size: int) -> Iterator[Entries]:
        for first, second, values in _entries(path, header, size):
            yield (second, first, values) if by_gene else (first, second, values)

    value = np.int32 if header.integer else np.float64
    rows: MatrixRows = SpoolRows(stream, header.nnz, value, (len(obs), len(var)), where)
    rows, var = keep_genes(rows, var, label)
    return RowsSource(rows, FrameTable(obs, label), var)


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _header(path: Path) -> _Header:
    with _open(path) as file:
        words = file.readline().decode("latin-1").lower().split()
        if len(words) != 5 or words[0] != "%%matrixmarket":
            msg = f"{path}: this is not a Matrix Market file; give the matrix.mtx that came with the barcodes"
            raise InputError(msg)
        if (
            words[1:3] != ["matrix", "coordinate"]
            or words[3] not in ("integer", "real")
            or words[4] != "general"
        ):
            kind = " ".join(words[1:])
            msg = f"{path}: Matrix Market {kind!r} is not read; write 'matrix coordinate integer general'"
            raise InputError(msg)
        lines = 1
        for raw in file:
            lines += 1
            if raw.strip() and not raw.startswith(b"%"):
                rows, columns, nnz = (int(word) for word in raw.split())
                return _Header(lines, rows, columns, nnz, words[3] == "integer")
    fault = "ends before its size is told"
    raise Where(str(path), "the matrix").corrupt(fault)


def _entries(path: Path, header: _Header, size: int) -> Iterator[Entries]:
    if header.nnz == 0:
        return
    value = np.int64 if header.integer else np.float64
    with _open(path) as file:
        for _ in range(header.lines):
            file.readline()
        # The C parser skips blank lines and splits at any white space. A short last line is an error for
        # integers and NaN for reals, which the kernel refuses.
        chunks: Any = pd.read_csv(
            file,
            sep=r"\s+",
            header=None,
            names=["first", "second", "value"],
            dtype={"first": np.int64, "second": np.int64, "value": value},
            chunksize=size,
            engine="c",
        )
        for chunk in chunks:
            values = chunk["value"].to_numpy()
            if header.integer and values.size and int(np.abs(values).max()) > _INT32_MAX:
                msg = f"{path}: a count exceeds {_INT32_MAX}; write the values as real"
                raise InputError(msg)
            yield chunk["first"].to_numpy() - 1, chunk["second"].to_numpy() - 1, values


def tables_of(matrix: Path, *names: str) -> list[Path]:
    """Where tables of these names may lie beside a ``.mtx``: under the same prefix, gzipped or not."""
    plain = matrix.name.removesuffix(".gz").removesuffix(".mtx")
    prefix = plain.removesuffix("matrix") if plain.endswith("matrix") else f"{plain}."
    return [matrix.with_name(f"{prefix}{name}.tsv{suffix}") for name in names for suffix in ("", ".gz")]


def _tsv(matrix: Path, *names: str) -> pd.DataFrame:
    tried = tables_of(matrix, *names)
    path = next((path for path in tried if path.is_file()), None)
    if path is None:
        listed = ", ".join(path.name for path in tried)
        msg = f"{matrix}: none of {listed} lies beside it; put the tables of the matrix there"
        raise InputNotFoundError(msg)
    with reading(Where(str(path), "the table")):
        return pd.read_csv(
            path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE
        )


def _var(features: pd.DataFrame) -> pd.DataFrame:
    names = features[1 if features.shape[1] > 1 else 0].to_numpy()
    table = {"gene_ids": features[0].to_numpy()}
    if features.shape[1] > 2:
        table["feature_types"] = features[2].to_numpy()
    return pd.DataFrame(table, index=pd.Index(names, dtype=object))
