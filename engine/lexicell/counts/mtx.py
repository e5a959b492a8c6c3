"""Matrix Market with its two tables, under the names that the common tools give them."""

from __future__ import annotations

import csv
import gzip
import io
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from lexicell._files import read_maybe_gzipped
from lexicell._say import listed
from lexicell.containers.faults import Where, reading
from lexicell.counts.dataset import RowsSource
from lexicell.counts.row_partition import Entries, PartitionedRows
from lexicell.counts.tables import FrameTable
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["find_mtx", "matrices_in", "open_mtx", "tables_of"]

_INT32_MAX = np.iinfo(np.int32).max
_ENDS = (".mtx", ".mtx.gz")
#: Bytes of the longest line: what pandas reads at once.
_LONGEST = 1 << 18
_SIZES = re.compile(rb"\s*(\d{1,18})\s+(\d{1,18})\s+(\d{1,18})\s*")


class _Layout(NamedTuple):
    """How a tool names a matrix and its tables; each may be gzipped.

    Attributes
    ----------
    matrix
        The name without ``.mtx``, of which the first group stands for ``{}`` in the names of the tables.
    cells, genes
        Names of the tables.
    symbols
        Name of one more table, with a line for each gene.
    cells_first
        Whether rows are cells where the numbers of cells and genes are the same.
    """

    matrix: str
    cells: tuple[str, ...]
    genes: tuple[str, ...]
    symbols: str = ""
    cells_first: bool = False


_TENX = _Layout("(.*)matrix", ("{}barcodes.tsv",), ("{}features.tsv", "{}genes.tsv"))
_LAYOUTS = (
    _TENX,  # and STARsolo
    _Layout("(.*)(?<!matrix)", ("{}.barcodes.tsv",), ("{}.features.tsv", "{}.genes.tsv")),
    # STARsolo's matrices beside matrix.mtx, as UniqueAndMult-EM.mtx.
    _Layout("(.*)", ("barcodes.tsv",), ("features.tsv", "genes.tsv")),
    # alevin-fry
    _Layout("(quants_mat)", ("{}_rows.txt",), ("{}_cols.txt",), cells_first=True),
    # kallisto | bustools, and its spliced and unspliced counts as cells_x_genes.mature.mtx
    _Layout(
        r"(cells_x_genes)(?:\.\w+)?",
        ("{}.barcodes.txt",),
        ("{}.genes.txt",),
        "{}.genes.names.txt",
        cells_first=True,
    ),
    # Parse
    _Layout("(count_matrix|DGE)", ("cell_metadata.csv",), ("all_genes.csv",), cells_first=True),
)
_SUMMED = "alevin-fry counted spliced, unspliced and ambiguous molecules: their sum is read for each gene"
#: Names of matrices in a folder: where the first of these patterns has one, that is meant.
_NAMES = (r".*matrix", "DGE|quants_mat|cells_x_genes", r"cells_x_genes\.\w+")


class _Header(NamedTuple):
    lines: int
    rows: int
    columns: int
    nnz: int
    integer: bool


def matrices_in(folder: Path) -> list[Path]:
    """The ``.mtx`` and ``.mtx.gz`` that a folder may stand for; hidden files are none."""
    files = sorted(
        path
        for path in folder.iterdir()
        if path.name.endswith(_ENDS) and path.name[0] != "." and path.is_file()
    )
    inner = (folder / "alevin" / f"quants_mat{end}" for end in _ENDS)
    choices = ([path for path in files if re.fullmatch(pattern, _stem(path))] for pattern in _NAMES)
    return next(filter(None, choices), [path for path in inner if path.is_file()])


def find_mtx(folder: Path) -> Path | None:
    """Find the matrix of a folder that one of `_LAYOUTS` fits; None without, InputError with several."""
    matrices = matrices_in(folder)
    if len(matrices) > 1:
        names = listed(path.name for path in matrices)
        msg = f"{folder}: there are several matrices ({names}); give the path of one"
        raise InputError(msg)
    return matrices[0] if matrices else None


def open_mtx(path: Path) -> RowsSource:
    """Open a ``.mtx`` or ``.mtx.gz``; its tables are looked for beside it."""
    label = str(path)
    where = Where(label, "the matrix")
    with reading(where):
        header = _header(path)
    layout, tables = _find_tables(path)
    obs, (var, copies) = _cells(tables[0][0]), _genes(*(paths[0] for paths in tables[1:] if paths))
    n, v = len(obs), len(var) * copies
    by_gene, by_cell = (header.rows, header.columns) == (v, n), (header.rows, header.columns) == (n, v)
    if not by_gene and not by_cell:
        msg = (
            f"{where} is {header.rows} x {header.columns} where its tables have {v} genes and "
            f"{n} cells; put files together that belong together"
        )
        raise CorruptDataError(msg)
    cells_first = by_cell and (layout.cells_first or not by_gene)

    def stream(size: int) -> Iterator[Entries]:
        for first, second, values in _entries(path, header, size):
            cells, genes = (first, second) if cells_first else (second, first)
            if copies > 1:  # indices out of range stay so
                genes = np.where((genes >= 0) & (genes < v), genes % len(var), genes)
            yield cells, genes, values

    value = np.int32 if header.integer else np.float64
    rows = PartitionedRows(stream, header.nnz, value, (n, len(var)), where)
    notes = (_SUMMED,) if copies > 1 else ()
    return RowsSource(rows, FrameTable(obs, label), var, notes=notes)


class _Lines(io.RawIOBase):
    """The bytes of a file, as long as they are lines: what has no end of line would fill the memory."""

    def __init__(self, path: Path) -> None:
        self._file = (gzip.open if path.suffix == ".gz" else open)(path, "rb")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Read for pandas, which asks for 256 KiB."""
        return self._checked(self._file.read(size))

    def readline(self, size: int | None = -1) -> bytes:  # noqa: ARG002 -- the limit is the same for all
        return self._checked(self._file.readline(_LONGEST))

    def close(self) -> None:
        self._file.close()
        super().close()

    @staticmethod
    def _checked(read: bytes) -> bytes:
        if len(read) >= _LONGEST and b"\n" not in read and b"\r" not in read:
            msg = f"a line is longer than {_LONGEST:,} bytes"
            raise ValueError(msg)
        return read


def _header(path: Path) -> _Header:
    with _Lines(path) as file:
        words = file.readline().decode("latin-1").lower().split()
        if len(words) != 5 or words[0] != "%%matrixmarket":
            msg = f"{path}: this is not a Matrix Market file; give the matrix.mtx that came with the barcodes"
            raise InputError(msg)
        if (
            words[1:3] != ["matrix", "coordinate"]
            or words[3] not in ("integer", "real", "float")
            or words[4] != "general"
        ):
            kind = " ".join(words[1:])
            msg = f"{path}: Matrix Market {kind!r} is not read; write 'matrix coordinate integer general'"
            raise InputError(msg)
        lines = 1
        while raw := file.readline():
            lines += 1
            if raw.strip() and not raw.startswith(b"%"):
                if (sizes := _SIZES.fullmatch(raw)) is None:
                    msg = f"its size is {raw[:80].decode('latin-1').strip()!r}"
                    raise ValueError(msg)
                rows, columns, nnz = map(int, sizes.groups())
                return _Header(lines, rows, columns, nnz, words[3] == "integer")
    fault = "ends before its size is stated"
    raise Where(str(path), "the matrix").corrupt(fault)


def _entries(path: Path, header: _Header, size: int) -> Iterator[Entries]:
    if header.nnz == 0:
        return
    value = np.int64 if header.integer else np.float64
    with _Lines(path) as file:
        for _ in range(header.lines):
            file.readline()
        # The C parser skips blank lines and splits at any white space. A fourth column, which is to stay
        # empty, shows lines that hold more than three fields; of yet more in the first line it makes an
        # index. No word stands for a missing value, only the end of a line that is too short.
        chunks: Any = pd.read_csv(
            file,
            sep=r"\s+",
            header=None,
            names=["first", "second", "value", "more"],
            dtype={"first": np.int64, "second": np.int64, "value": value, "more": np.float64},
            quoting=csv.QUOTE_NONE,
            keep_default_na=False,
            na_values=[""],
            chunksize=size,
            engine="c",
        )
        for chunk in chunks:
            values = chunk["value"].to_numpy()
            if not isinstance(chunk.index, pd.RangeIndex) or chunk["more"].notna().any():
                msg = "a line holds more than a row, a column and a value"
                raise ValueError(msg)
            if not np.isfinite(values).all():
                msg = "a line holds no finite value"
                raise ValueError(msg)
            if header.integer and max(int(values.max()), -int(values.min())) > _INT32_MAX:
                msg = f"{path}: a count exceeds {_INT32_MAX}; write the values as real"
                raise InputError(msg)
            yield chunk["first"].to_numpy() - 1, chunk["second"].to_numpy() - 1, values


def tables_of(matrix: Path) -> list[Path]:
    """Tables that belong to a ``.mtx``; none where not all of them are there."""
    chosen = next((tables for _, tables in _layouts_of(matrix) if all(tables[:2])), ())
    return [path for paths in chosen for path in paths]


def _stem(matrix: Path) -> str:
    return matrix.name.removesuffix(".gz").removesuffix(".mtx")


def _layouts_of(matrix: Path) -> Iterator[tuple[_Layout, list[list[Path]]]]:
    """Layouts that fit a matrix's name; of each the tables of cells, genes and symbols that are there."""
    for layout in _LAYOUTS:
        if (fits := re.fullmatch(layout.matrix, _stem(matrix))) is not None:
            parts = (layout.cells, layout.genes, (layout.symbols,) if layout.symbols else ())
            yield (
                layout,
                [[path for path in _paths(matrix, part, fits[1]) if path.is_file()] for part in parts],
            )


def _paths(matrix: Path, names: tuple[str, ...], prefix: str) -> list[Path]:
    return [matrix.with_name(name.format(prefix) + suffix) for name in names for suffix in ("", ".gz")]


def _find_tables(matrix: Path) -> tuple[_Layout, list[list[Path]]]:
    """Layout whose tables of cells and genes are there, and these; InputNotFoundError without."""
    layouts = list(_layouts_of(matrix))
    complete = next((layout for layout in layouts if all(layout[1][:2])), None)
    if complete is not None:
        return complete
    layout, tables = next((layout for layout in layouts if any(layout[1])), layouts[0])
    names = layout.genes if tables[0] else layout.cells
    tried = _paths(matrix, names, re.fullmatch(layout.matrix, _stem(matrix))[1])  # type: ignore[index]
    msg = (
        f"{matrix}: none of {listed(path.name for path in tried)} lies beside it; put the tables of the "
        "matrix there"
    )
    raise InputNotFoundError(msg)


def _is_csv(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(".csv")


def _read(path: Path, **options: Any) -> pd.DataFrame:
    """Read a table of text, the type of the file by its name."""
    if not _is_csv(path):
        options |= {"sep": "\t", "header": None, "dtype": str, "quoting": csv.QUOTE_NONE}
    with reading(Where(str(path), "the table")):
        text = io.BytesIO(read_maybe_gzipped(path))
        table: pd.DataFrame = pd.read_csv(text, keep_default_na=False, **options)
    return table


def _cells(path: Path) -> pd.DataFrame:
    if _is_csv(path):
        table = _read(path, converters={0: str})
        names = table.iloc[:, 0].to_numpy()
        return table.iloc[:, 1:].set_index(pd.Index(names, dtype=object))
    return pd.DataFrame(index=pd.Index(_read(path)[0].to_numpy(), dtype=object))


def _genes(path: Path, symbols: Path | None = None) -> tuple[pd.DataFrame, int]:
    """Genes as var, and how many columns of the file there are for each."""
    if _is_csv(path):  # Parse
        table = _read(path, dtype=str).rename(columns={"gene_id": "gene_ids"})
        column = "gene_name" if "gene_name" in table else table.columns[0]
        return table.set_index(pd.Index(table.pop(column).to_numpy(), dtype=object)), 1
    table = _read(path)
    ids = table[0].to_numpy()
    if (n := _molecules(ids)) is not None:
        ids = ids[:n]
        return pd.DataFrame({"gene_ids": ids}, index=pd.Index(ids, dtype=object)), 3
    if symbols is not None:
        lines = _read(symbols, skip_blank_lines=False)[0].to_numpy()
        if len(lines) != len(ids):
            fault = f"has {len(lines)} lines for {len(ids)} genes"
            raise Where(str(symbols), "the table").corrupt(fault)
        names = np.where(lines == "", ids, lines)
    else:
        names = table[1 if table.shape[1] > 1 else 0].to_numpy()
    columns = {"gene_ids": ids}
    if table.shape[1] > 2:
        columns["feature_types"] = table[2].to_numpy()
    return pd.DataFrame(columns, index=pd.Index(names, dtype=object)), 1


def _molecules(names: Any) -> int | None:
    """How many genes there are where alevin-fry lists each three times, with ``-U`` and ``-A`` after it."""
    n = len(names) // 3
    if n == 0 or 3 * n != len(names) or not str(names[n]).endswith("-U"):
        return None
    spliced = names[:n]
    repeated = (names[n : 2 * n] == spliced + "-U").all() and (names[2 * n :] == spliced + "-A").all()
    return n if repeated else None
