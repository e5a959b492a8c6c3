"""Lexicons from lexicons: some of the genes of one, or all of the genes of several.

Vectors are copied bit for bit, and rows stay in lexicon order: a part and its complement, merged, are the
lexicon they come from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell._say import silent
from lexicell.errors import InputError
from lexicell.lexicon.gene_list import GeneList, find_genes, read_gene_list
from lexicell.lexicon.genes import GENE_COLUMNS, TEXT_FLAGS
from lexicell.lexicon.lexicon import Lexicon
from lexicell.lexicon.manifest import TextInfo
from lexicell.lexicon.match import GeneIndex, gene_keys, lexicon_order, take_rows
from lexicell.lexicon.write import check_output, write_lexicon

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from lexicell.lexicon.align import Alignment
    from lexicell.lexicon.genes import TextFlag
    from lexicell.lexicon.table import TableDtype

__all__ = ["merge_lexicons", "subset_lexicon"]

_COLUMNS = GENE_COLUMNS[1:]


def subset_lexicon(
    lexicon: str | Path,
    out: str | Path,
    *,
    genes: GeneList | None = None,
    like: pd.DataFrame | None = None,
    types: Sequence[str] = (),
    drop: Sequence[TextFlag] = (),
    organism: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
    notify: Callable[[str], None] | None = None,
) -> Lexicon:
    """Write a lexicon of some of the genes of another; a gene is kept if every option keeps it.

    Parameters
    ----------
    lexicon
        A folder, or the name of a bundled lexicon.
    out
        Folder to create.
    genes
        Symbols, NCBI ids, Ensembl ids or aliases of genes to keep, in any order and mixture; or a text file
        with one a line.
    like
        Columns of a data set (``adata.var``): the genes that they are, as `align_genes` finds them.
    types
        Gene types to keep ("protein-coding").
    drop
        Flags of texts whose genes are left out.
    organism
        Whose names `genes` and `like` are; see `align_genes`. By default the lexicon's own for `genes`,
        and the better match for `like`.
    name
        What to call the new lexicon; by default the name of `out`.
    overwrite
        Whether to replace a lexicon at `out`.
    notify
        Called with one line for each option that keeps or leaves out genes, and with names not found.

    Returns
    -------
    Lexicon
        Opened at `out`: rows in their order, vectors bit for bit, sources and notes as they were.

    Raises
    ------
    OutputExistsError
        If `out` exists and is not to be replaced.
    InputError
        If no option is given, a type is unknown, or no gene is left.
    WriteError
        If the output cannot be written.
    """
    target = Path(out)
    check_output(target, overwrite=overwrite)
    if genes is None and like is None and not types and not drop:
        message = "Say which genes to keep: by a list, by a data set, by type, or by the flag of their texts."
        raise InputError(message)
    opened = Lexicon.open(lexicon)
    keep = np.ones(opened.n_genes, bool)
    if genes is not None:
        listed = find_genes(opened, read_gene_list(genes), organism=organism, notify=notify or silent)
        keep &= np.isin(opened.rows, listed)
    if like is not None:
        keep &= _aligned(opened, like, organism, notify)
    if types:
        keep &= _of_types(opened, types)
    if drop:
        keep &= _without_flags(opened, drop)
    rows = np.flatnonzero(keep)
    if not rows.size:
        message = f"None of the {opened.n_genes:,} genes of {opened.name} is left, so nothing was written."
        raise InputError(message)
    if notify is not None:
        notify(f"{rows.size:,} of {opened.n_genes:,} genes kept")
    return write_lexicon(
        target,
        take_rows(opened.read_genes(_COLUMNS), rows),
        opened.stored[rows],
        name=name or target.resolve().name,
        organism=opened.info.organism,
        text=opened.info.text,
        encoder=opened.info.encoder,
        dtype=opened.info.dtype,
        notes=opened.read_notes(),
        overwrite=overwrite,
    )


def merge_lexicons(
    lexicons: Sequence[str | Path],
    out: str | Path,
    *,
    name: str | None = None,
    overwrite: bool = False,
    notify: Callable[[str], None] | None = None,
) -> Lexicon:
    """Write a lexicon of all genes of several.

    Genes are the same if their NCBI ids are; where one of two has none, if they share an Ensembl id; where
    one has none of these either, if their symbols are equal. Of genes that are the same, the one in the
    lexicon named first is taken with all that belongs to it.

    Parameters
    ----------
    lexicons
        Two or more folders or names of bundled lexicons, of one organism and one encoder.
    out
        Folder to create.
    name
        What to call the new lexicon; by default the name of `out`.
    overwrite
        Whether to replace a lexicon at `out`.
    notify
        Called with one line for each lexicon: how many of its genes were new.

    Returns
    -------
    Lexicon
        Opened at `out`. Vectors are copied; float16 is widened where another lexicon has float32. Sources,
        licences and credits are those of all, and so are the notes.

    Raises
    ------
    OutputExistsError
        If `out` exists and is not to be replaced.
    InputError
        If there are not two lexicons, or they differ in organism, encoder or length of the vectors.
    WriteError
        If the output cannot be written.
    """
    target = Path(out)
    check_output(target, overwrite=overwrite)
    if len(lexicons) < 2:
        message = "Merging takes two or more lexicons."
        raise InputError(message)
    opened = [Lexicon.open(lexicon) for lexicon in lexicons]
    for other in opened[1:]:
        _refuse_different(opened[0], other)
    new_rows = _new_genes(opened, notify)

    import pyarrow as pa

    dtype: TableDtype = "float32" if any(o.info.dtype == "float32" for o in opened) else "float16"
    genes = pa.concat_tables(
        take_rows(o.read_genes(_COLUMNS), rows) for o, rows in zip(opened, new_rows, strict=True)
    )
    order = lexicon_order(gene_keys(genes))
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    vectors = np.empty((order.size, opened[0].dim), dtype)
    start = 0
    for lexicon, rows in zip(opened, new_rows, strict=True):
        vectors[place[start : start + rows.size]] = lexicon.stored[rows]
        start += rows.size
    return write_lexicon(
        target,
        take_rows(genes, order),
        vectors,
        name=name or target.resolve().name,
        organism=opened[0].info.organism,
        text=_joined_sources([lexicon.info.text for lexicon in opened]),
        encoder=opened[0].info.encoder,
        dtype=dtype,
        notes=_joined_notes(opened),
        overwrite=overwrite,
    )


def _aligned(
    lexicon: Lexicon, var: pd.DataFrame, organism: str | None, notify: Callable[[str], None] | None
) -> NDArray[np.bool_]:
    from lexicell.lexicon.align import align_genes

    alignment = align_genes(lexicon, var, organism=organism)
    if notify is not None:
        notify(alignment.describe())
    return _rows_of(lexicon, alignment)


def _rows_of(lexicon: Lexicon, alignment: Alignment) -> NDArray[np.bool_]:
    keep = np.zeros(lexicon.n_genes, bool)
    keep[alignment.rows[alignment.rows >= 0]] = True
    return keep


def _of_types(lexicon: Lexicon, types: Sequence[str]) -> NDArray[np.bool_]:
    gene_types: list[str | None] = lexicon.read_genes(["gene_type"]).column("gene_type").to_pylist()
    available = sorted({kind for kind in gene_types if kind})
    if not available:
        message = f"{lexicon.name} does not say of which types its genes are, so none can be chosen by type."
        raise InputError(message)
    for kind in types:
        if kind not in available:
            message = f"{lexicon.name} has no genes of type {kind!r}; there are {', '.join(available)}."
            raise InputError(message)
    return np.isin(np.array([kind or "" for kind in gene_types]), list(types))


def _without_flags(lexicon: Lexicon, drop: Sequence[TextFlag]) -> NDArray[np.bool_]:
    for flag in drop:
        if flag not in TEXT_FLAGS:
            message = f"There is no flag {flag!r}; there are {', '.join(TEXT_FLAGS)}."
            raise InputError(message)
    flags = lexicon.read_genes(["text_flag"]).column("text_flag").to_pylist()
    return ~np.isin(np.array([flag or "" for flag in flags]), list(drop))


def _refuse_different(first: Lexicon, other: Lexicon) -> None:
    """Vectors are comparable if the same model made them in the same way."""
    compared: list[tuple[str, Any, Any]] = [
        ("organism", first.info.organism, other.info.organism),
        *(
            (f"encoder's {field.replace('_', ' ')}", value, getattr(other.info.encoder, field))
            for field, value in first.info.encoder
        ),
        ("length of the vectors", first.dim, other.dim),
    ]
    for label, a, b in compared:
        if a != b:
            message = (
                f"{first.name} and {other.name} cannot be merged: the {label} is {_shown(a)} in the first "
                f"and {_shown(b)} in the other."
            )
            raise InputError(message)


def _new_genes(lexicons: Sequence[Lexicon], notify: Callable[[str], None] | None) -> list[NDArray[np.int64]]:
    """Rows of each lexicon that are in none before it; rows of one lexicon are never held for one gene."""
    index = GeneIndex()
    new_rows = []
    for lexicon in lexicons:
        keys = gene_keys(lexicon.genes)
        rows = [row for row, key in enumerate(keys) if index.find(key) is None]
        index.add([keys[row] for row in rows])
        new_rows.append(np.array(rows, dtype=np.int64))
        if notify is not None:
            n_known = len(keys) - len(rows)
            skipped = f"; {n_known:,} are in a lexicon before it, which is taken" if n_known else ""
            notify(f"{lexicon.name}: {len(rows):,} of {len(keys):,} genes{skipped}")
    return new_rows


def _joined_sources(texts: Sequence[TextInfo]) -> TextInfo:
    licences = [text.licence or f"not stated for {text.source}" for text in texts]
    if not any(text.licence for text in texts):
        licences = []
    attribution = ""
    for text in texts:
        if text.attribution not in attribution:
            attribution = f"{attribution} {text.attribution}".strip()
    return TextInfo(
        source=_joined([text.source for text in texts]),
        date=_joined([text.date for text in texts]),
        licence=_joined(licences),
        attribution=attribution,
        recipe=_joined([text.recipe for text in texts]),
    )


def _joined(values: Sequence[str]) -> str:
    """Distinct parts in order; what was joined before is taken apart, so that merging again adds nothing."""
    if len({*values}) <= 1:
        return "".join({*values})
    return "; ".join(dict.fromkeys(part for value in values for part in value.split("; ") if part))


def _joined_notes(lexicons: Sequence[Lexicon]) -> dict[str, bytes]:
    notes: dict[str, bytes] = {}
    for lexicon in lexicons:
        for name, content in lexicon.read_notes().items():
            path, number = Path(name), 2
            while notes.get(name, content) != content:  # another text of the same name
                name = f"{path.stem}-{number}{path.suffix}"  # noqa: PLW2901
                number += 1
            notes[name] = content
    return notes


def _shown(value: Any) -> str:
    return repr(value) if value not in {"", None} else "not stated"
