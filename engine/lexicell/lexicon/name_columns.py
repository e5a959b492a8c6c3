"""Which columns of ``var`` name genes, by their headings and by what their values look like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import blake3
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexicell.errors import InputError
from lexicell.lexicon.names import text

__all__ = [
    "INDEX",
    "Grade",
    "NameColumn",
    "digest_of",
    "excel_dates",
    "read_columns",
    "shown",
    "without_suffix",
]

#: What an alignment calls the index of ``var``, and a column of that name.
INDEX, _COLUMN_INDEX = "index", "index (column)"

#: A column of such a name holds names or ids of genes; the index of var always does.
_NAMES = re.compile(
    r"ensembl|ensg|entrez|ncbi|symbol|hgnc|hugo|mgi"
    r"|gene_?(ids?|names?|short_?names?)(\b|_)|feature_?(ids?|names?)(\b|_)"
    r"|^(original_|_)?(var_?names?|index|genes?|ids?|names?|features?|accessions?|locus)$",
    re.IGNORECASE,
)
#: In these, bare numbers are NCBI ids unless they count; in those and the index, if they look like ids.
_NCBI = re.compile(r"entrez|ncbi", re.IGNORECASE)
_GENE_ID = re.compile(r"^(gene_?)?ids?$", re.IGNORECASE)

#: Assemblies whose names Cell Ranger puts before the genes of mixed references; Seurat makes dashes of the
#: underscores.
_ORGANISM = {
    **dict.fromkeys(("grch37", "grch38", "hg18", "hg19", "hg38"), "human"),
    **dict.fromkeys(("grcm38", "grcm39", "mm9", "mm10", "mm39"), "mouse"),
}
_GENOME = rf"^(?P<genome>{'|'.join(_ORGANISM)})[_\-]+(?P<name>[A-Za-z0-9].*)$"
_ID = r"ENS[A-Z]*G\d{5,}(?:\.\d+)?"
_ID_AND_SYMBOL = (
    rf"^(?P<id>{_ID})(?:_|\||:|;|-)+(?P<symbol>.+)$",
    rf"^(?P<symbol>.+?)(?:_|\||:|;|-)+(?P<id>{_ID})$",
)
_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec"
_DATE = (
    rf"(?i)^(\d{{1,2}}[-/ ]({_MONTH})|({_MONTH})[-/ ]\d{{1,4}}|\d{{4}}-\d\d-\d\d( 00:00:00)?"
    r"|\d{1,2}/\d{1,2}/\d{2,4})$"
)
_DIGITS = frozenset("0123456789")
_SUFFIX = re.compile(r"^(.+)-\d{1,2}$")

#: Values up to which shares say little.
_FEW = 20
#: Share of different values below which a column is an annotation (a chromosome, a level) whatever it is
#: called, below which its name has to say that it holds names, and below which numbers are no ids.
_FEW_DIFFERENT, _MANY_DIFFERENT, _IDS_DIFFERENT = 0.02, 0.5, 0.2
#: No data set counts its genes this far; lists of NCBI ids go beyond, unless they are short.
_COUNTED = 150_000
#: Share of the numbers that are ids of the lexicon where they could be counted, and where they could not.
_KNOWN_IF_COUNTED, _KNOWN = 0.9, 0.3


class Grade(IntEnum):
    """How sure it is that a column names genes."""

    #: It does not.
    NONE = 0
    #: Its values may be names, and its name does not say what they are.
    VALUES = 1
    #: Its name says so, or the user does, or it is the index.
    STATED = 2


@dataclass(frozen=True)
class NameColumn:
    """Names that one column of ``var``, or one half of its values, has for the columns of a matrix.

    Attributes
    ----------
    column
        Column of ``var``, `INDEX` for its index.
    names
        ``[v]``, ``""`` where there is none.
    grade
        How sure it is that these are names of genes.
    why
        What speaks against it, for people.
    numbers
        Whether bare numbers are NCBI ids here.
    genomes
        Organism of each assembly that was a prefix of names, and how many.
    organisms
        ``[v]`` organism that a prefix told, ``""`` without; None where no name had one.
    """

    column: str
    names: tuple[str, ...]
    grade: Grade = Grade.STATED
    why: str = ""
    numbers: bool = False
    genomes: tuple[tuple[str, str, int], ...] = ()
    organisms: NDArray[np.object_] | None = None

    @cached_property
    def text(self) -> pa.Array:
        """The names as Arrow holds them."""
        return text(self.names)

    def names_of(self, organism: str) -> tuple[str, ...]:
        """Return the names, ``""`` where a prefix says that the gene is another organism's."""
        if self.organisms is None:
            return self.names
        foreign = (self.organisms != "") & (self.organisms != organism)
        return tuple("" if skip else name for name, skip in zip(self.names, foreign.tolist(), strict=True))


def shown(column: str) -> str:
    """Name a column of ``var`` for people."""
    return "the index of var" if column == INDEX else f"var[{column!r}]"


def read_columns(var: pd.DataFrame, column: str | None, ncbi_ids: NDArray[np.int64]) -> list[NameColumn]:
    """Judge every column of ``var``, its index first.

    Parameters
    ----------
    var
        The columns of a matrix, as in AnnData.
    column
        The only one to read, since the user says that it holds the names; None to find out.
    ncbi_ids
        ``[G]`` ids that the lexicon knows.

    Returns
    -------
    One for each column, or two where its values join an id and a symbol.

    Raises
    ------
    InputError
        There is no such column.
    """
    labels = [_COLUMN_INDEX if str(name) == INDEX else str(name) for name in var.columns]
    if column is not None and column != INDEX and column not in labels:
        msg = (
            f"var has no column {column!r}; it has the index and these columns: {', '.join(labels) or 'none'}"
        )
        raise InputError(msg)
    if column is not None:
        values = var.index if column == INDEX else var.iloc[:, labels.index(column)]
        return _cleaned(NameColumn(column, _strings(values), numbers=True))
    columns = [_judged(INDEX, var.index, ncbi_ids)]
    columns += [_judged(label, var.iloc[:, at], ncbi_ids) for at, label in enumerate(labels)]
    return [part for source in columns for part in (_cleaned(source) if source.grade else [source])]


def digest_of(var: pd.DataFrame) -> bytes | None:
    """BLAKE3 of all that can be read of ``var``: labels, types and values, the index's too.

    Returns
    -------
    None where a column holds objects that are no text, of which nothing says when they are the same.
    """
    digest = blake3.blake3()
    try:
        columns: list[tuple[str, pd.Index[Any] | pd.Series[Any]]] = [("", var.index)]
        columns += ((str(name), var.iloc[:, i]) for i, name in enumerate(var))
        for label, values in columns:
            parts: list[bytes | memoryview] = [label.encode(), str(values.dtype).encode(), *_content(values)]
            for part in parts:
                digest.update(len(part).to_bytes(8, "little"))
                digest.update(part)
    except (TypeError, UnicodeEncodeError, pa.ArrowException):
        return None
    return digest.digest()


def excel_dates(names: Sequence[str]) -> tuple[str, ...]:
    """List names that a spreadsheet made of genes such as MARCHF1 and SEPTIN2."""
    is_date = pc.match_substring_regex(text(names), _DATE).to_numpy(zero_copy_only=False)
    return tuple(names[at] for at in np.flatnonzero(is_date).tolist())


def without_suffix(name: str) -> str | None:
    """Return the name to which a number was added to make it unique (``CD4-1``), None where there is none."""
    match = _SUFFIX.match(name)
    return match[1] if match else None


def _judged(column: str, values: Any, ncbi_ids: NDArray[np.int64]) -> NameColumn:
    """Tell whether the values of a column are names, by what it is called and by all of them together."""
    stated = column == INDEX or bool(_NAMES.search(column))
    kind = values.dtype
    if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind):
        return NameColumn(column, (), Grade.NONE, f"values of type {kind}")
    if pd.api.types.is_numeric_dtype(kind) and not stated:
        return NameColumn(column, (), Grade.NONE, "numbers, and its name does not say that they are ids")
    names = _strings(values)
    filled = list(filter(None, names))
    if not filled:
        return NameColumn(column, (), Grade.NONE, "no values")
    different = len(set(filled))
    if len(filled) > _FEW and different < len(filled) * (_FEW_DIFFERENT if stated else _MANY_DIFFERENT):
        why = f"only {different:,} different values in {len(filled):,}"
        return NameColumn(column, (), Grade.NONE, why)
    # The first sign decides of most names, at a third of the time that asking a name takes.
    numbers = [name for name in filled if name[0] in _DIGITS and name.isascii() and name.isdigit()]
    are_ids = 2 * len(numbers) >= len(filled)
    why = _why_no_ids(column, numbers, ncbi_ids) if are_ids else ""
    if why:
        return NameColumn(column, (), Grade.NONE, why)
    return NameColumn(column, names, Grade.STATED if stated else Grade.VALUES, numbers=are_ids)


def _why_no_ids(column: str, digits: Sequence[str], ncbi_ids: NDArray[np.int64]) -> str:
    """Say why bare numbers are no NCBI ids; empty where they are."""
    stated = bool(_NCBI.search(column))
    if not stated and column != INDEX and not _GENE_ID.search(column):
        return "numbers, and its name does not say that they are NCBI ids"
    if any(number[0] == "0" and len(number) > 1 for number in digits):
        return "numbers with leading zeros"
    if max(map(len, digits)) > 12:
        return "numbers of more than 12 digits"
    values = np.array(digits, np.int64)
    different = np.unique(values)
    low, high, n = int(different[0]), int(different[-1]), len(different)
    if n > 1 and high - low == n - 1 and (low <= 1 or n > _FEW):
        return f"consecutive numbers ({digits[0]}, {digits[1]}, ...)"
    if n < _IDS_DIFFERENT * len(values) and len(values) > _FEW:
        return f"only {n:,} different numbers in {len(values):,}"
    if stated:
        return ""
    countable = high <= _COUNTED
    if countable and n > _FEW and bool((values[1:] > values[:-1]).all()):
        return f"numbers that count upwards ({digits[0]}, {digits[1]}, ...)"
    share = float(np.isin(different, ncbi_ids).mean())
    if share < (_KNOWN_IF_COUNTED if countable else _KNOWN):
        return f"numbers, of which {share:.0%} are NCBI ids that the lexicon knows"
    return ""


def _strings(values: Any) -> tuple[str, ...]:
    held = values.to_numpy(object)
    if pd.api.types.infer_dtype(held, skipna=False) == "string":  # nearly always
        return tuple(map(str.strip, held.tolist()))
    column = pd.Series(values.array)
    gaps = column.isna().to_numpy()
    if pd.api.types.is_float_dtype(column.dtype):  # ids with gaps, which pandas makes 12.0
        names = [f"{v:.0f}" if v % 1 == 0 else str(v) for v in column.to_numpy(float, na_value=np.nan)]
    else:
        names = [str(v).strip() for v in column.to_numpy(object)]
    return tuple("" if gap else name for name, gap in zip(names, gaps.tolist(), strict=True))


def _content(values: Any) -> list[memoryview]:
    """The bytes that say what a column or an index holds; TypeError where there are none."""
    kind = values.dtype
    if isinstance(kind, pd.CategoricalDtype):
        of_categories = memoryview(str(kind.categories.dtype).encode())
        return [
            np.ascontiguousarray(values.array.codes).view(np.uint8).data,
            of_categories,
            *_content(kind.categories),
        ]
    if isinstance(kind, np.dtype) and kind.kind in "biufcmM":
        return [np.ascontiguousarray(values.to_numpy()).view(np.uint8).data]
    held = values.to_numpy(object)
    if pd.api.types.infer_dtype(held, skipna=True) not in {"string", "empty"}:
        raise TypeError
    buffers = pa.array(held, pa.large_string(), from_pandas=True).buffers()
    return [memoryview(b"" if buffer is None else buffer) for buffer in buffers]


def _cleaned(source: NameColumn) -> list[NameColumn]:
    """Take genome prefixes off, and part ids from the symbols that are joined to them."""
    prefixed = _extracted(source, _GENOME)
    if prefixed is not None:
        organisms = np.array(
            [_ORGANISM.get(str(genome).lower(), "") for genome in prefixed["genome"]], object
        )
        counts = prefixed["genome"].value_counts()
        source = replace(
            source,
            names=tuple(prefixed["name"].fillna(pd.Series(source.names))),
            genomes=tuple((str(g), _ORGANISM[str(g).lower()], int(n)) for g, n in counts.items()),
            organisms=organisms,
        )
    n_named = len(source.names) - source.names.count("")
    for pattern in _ID_AND_SYMBOL:
        joined = _extracted(source, pattern)
        if joined is None or 2 * int(joined["id"].notna().sum()) < n_named:
            continue
        ids = joined["id"].fillna(pd.Series(source.names))
        return [replace(source, names=tuple(ids)), replace(source, names=tuple(joined["symbol"].fillna("")))]
    return [source]


def _extracted(source: NameColumn, pattern: str) -> pd.DataFrame | None:
    """Groups of `pattern` in each name, missing where it does not match; None where it never does."""
    # Arrow looks first, which costs a tenth: most columns have no such name.
    plain = re.sub(r"\(\?P<\w+>", "(", pattern)
    if not pc.any(pc.match_substring_regex(source.text, f"(?i){plain}")).as_py():
        return None
    return pd.Series(source.names, dtype=object).str.extract(pattern, flags=re.IGNORECASE).astype(object)
