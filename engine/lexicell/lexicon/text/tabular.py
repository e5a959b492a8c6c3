"""Delimited text and Parquet as Arrow tables of strings, with errors that name the place."""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING, Any

from lexicell._files import read_utf8, reading_file
from lexicell.errors import InputError, InputNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

__all__ = ["read_delimited", "read_parquet"]


def read_delimited(path: Path, *, separator: str, header: bool = True) -> pa.Table:
    """Read TSV or CSV, plain or gzipped, every column as strings.

    Parameters
    ----------
    path
        The file, UTF-8.
    separator
        A tab (fields are then never quoted) or a comma (fields may be quoted).
    header
        Whether the first line holds the column names; otherwise columns are numbered.

    Raises
    ------
    InputNotFoundError
        If the file does not exist.
    InputError
        If it is empty, not UTF-8, or a line has too few or too many fields.
    CorruptDataError
        If it is not complete gzip.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    data = read_utf8(path)
    header_line = data.split(b"\n", 1)[0].decode().rstrip("\r")
    quote = '"' if separator == "," else False
    quoting: Any = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
    with reading_file(path, "give a table with as many fields in every line", InputError):
        names = next(csv.reader([header_line], delimiter=separator, quoting=quoting)) if header_line else []
        if not names:
            message = f"{path} is empty."
            raise InputError(message)
        if not header:
            names = [str(number) for number in range(len(names))]
        elif len(set(names)) != len(names):
            message = f"{path} has two columns named {Counter(names).most_common(1)[0][0]!r}."
            raise InputError(message)
        return arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(
                column_names=names, skip_rows=1 if header else 0, use_threads=False
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator, quote_char=quote, newlines_in_values=bool(quote)
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )


def read_parquet(path: Path) -> pa.Table:
    """Read a Parquet file.

    Raises
    ------
    InputNotFoundError
        If the file does not exist.
    CorruptDataError
        If it is not complete Parquet.
    """
    import pyarrow.parquet as pq

    with reading_file(path, "write it again as Parquet"):
        if not path.is_file():
            message = f"{path} does not exist."
            raise InputNotFoundError(message)
        with pq.ParquetFile(path) as file:
            return file.read()
