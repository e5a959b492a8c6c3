"""scBank, which scGPT and scMMGPT are pretrained on: tokens and counts of cells, in the order of columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.labels import read_column
from lexicell.embedding.tables import text_column
from lexicell.errors import CoverageError, InputError
from lexicell.exports.cell_lists import cell_lists
from lexicell.exports.dictionaries import read_dictionary
from lexicell.exports.ensembl import symbols_of
from lexicell.exports.in_columns import Rounded, counts_in_columns, every_column, inexact
from lexicell.exports.prepared import Prepared
from lexicell.exports.ranking import rank_genes
from lexicell.store import parquet_bytes
from lexicell_kernels import CsrBlock

if TYPE_CHECKING:
    from lexicell.store import WriterStore

__all__ = ["ScBankEncoder", "ScBankOptions", "prepare"]

#: What scGPT's own tools append to a vocabulary that lacks them, in this order.
_MOST_BINS = 1_000
_SPECIAL = ("<pad>", "<cls>", "<eoc>")


@dataclass(frozen=True)
class ScBankOptions:
    """What becomes of counts.

    Attributes
    ----------
    vocab
        Dictionary gene -> token: a ``.json``, ``.csv`` or ``.tsv``.
    bins
        Number of bins; None for raw counts. Each count becomes the upper end of the bins that it may be in:
        scGPT draws one of them, so these are not its own.
    top
        Genes of a cell, the most expressed, equal ones by token; None for all.
    layout
        ``"scgpt"``, one folder with a manifest; ``"scmmgpt"``, a folder ``all_counts``, which needs
        ``cell_type``.
    cell_type
        Column of ``obs`` that is called ``cell_type`` there.
    """

    vocab: str
    bins: int | None = None
    top: int | None = None
    layout: Literal["scgpt", "scmmgpt"] = "scgpt"
    cell_type: str = "cell_type"

    def __post_init__(self) -> None:
        if self.bins is not None and not 2 <= self.bins <= _MOST_BINS:
            msg = f"there are 2 to {_MOST_BINS:,} bins, not {self.bins}"
            raise InputError(msg)
        if self.top is not None and self.top < 1:
            msg = f"a cell has at least one gene, not {self.top}"
            raise InputError(msg)
        if self.layout not in {"scgpt", "scmmgpt"}:
            msg = f"layouts of scBank are scgpt and scmmgpt, not {self.layout!r}"
            raise InputError(msg)


@dataclass(frozen=True)
class ScBankEncoder:
    """Makes ``genes`` and ``expressions``; see `lexicell.embedding.tables.Encoder`.

    Attributes
    ----------
    place
        ``[v]`` int32, number of each column's token in `tokens`, -1 for none.
    tokens
        ``[m]`` int64, in the order in which columns have them.
    bins, top
        See `ScBankOptions`.
    cell_type
        Column of ``obs`` that becomes ``cell_type``; None for none.
    """

    place: NDArray[np.int32]
    tokens: NDArray[np.int64]
    bins: int | None
    top: int | None
    cell_type: str | None

    @property
    def genes(self) -> CandidateGenes:
        """See `Encoder`: all columns, as they are."""
        return every_column(len(self.place))

    @property
    def read_obs(self) -> Sequence[str]:
        """See `Encoder`."""
        return () if self.cell_type is None else (self.cell_type,)

    def encode(
        self, counts: CsrBlock, start: int, obs: pd.DataFrame
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_] | None]:
        """See `Encoder`."""
        x = counts_in_columns(counts, self.place, len(self.tokens))
        if self.top is not None and (np.diff(x.indptr) > self.top).any():
            x = _most_expressed(x, self.tokens, self.top)
        values = x.data.astype(np.float32) if self.bins is None else upper_bins(x.data, x.indptr, self.bins)
        made = {
            "id": pa.array(np.arange(start, start + counts.n_rows, dtype=np.int64)),
            "genes": cell_lists(self.tokens[x.indices], x.indptr),
            "expressions": cell_lists(values, x.indptr),
            "n_genes": pa.array(np.diff(x.indptr).astype(np.int32)),
            "n_inexact": pa.array(inexact(x) if self.bins is None else np.zeros(counts.n_rows, np.int32)),
        }
        if self.cell_type is not None:
            made["cell_type"] = text_column(obs[self.cell_type])
        return made, None


@dataclass(frozen=True)
class _Assembly:
    """Writes the folder, see `lexicell.exports.prepared.Assembly`."""

    vocab: Mapping[str, int]
    layout: str
    listener: Listener

    def __call__(
        self,
        tables: Iterable[pa.Table],
        store: WriterStore,
        card: Mapping[str, Any],  # noqa: ARG002
    ) -> Mapping[str, Any]:
        store.put("gene_vocab.json", (json.dumps(self.vocab).encode(),))
        rounded = Rounded(tables)
        if self.layout == "scmmgpt":
            for number, table in enumerate(rounded):
                store.put(f"all_counts/part-{number:05d}.parquet", (parquet_bytes(table),))
            return rounded.told(self.listener)
        store.put_file("counts.datatable.parquet", lambda path: _write_in_order(rounded, path))
        manifest = {"on_disk_format": "parquet", "main_data": "counts", "gene_vocab_md5": None}
        store.put("manifest.json", (json.dumps(manifest).encode(),))
        store.put("studytable.json", (json.dumps({"study_ids": None}).encode(),))
        return rounded.told(self.listener)


def prepare(cells: AlignedCells, options: ScBankOptions, listener: Listener) -> Prepared:
    """Match a data set's symbols with a vocabulary, as they are written: case matters.

    Raises
    ------
    InputError
        The vocabulary has gaps, or is none.
    CoverageError
        No column has a token.
    """
    read, about = read_dictionary(options.vocab)
    if sorted(map(str, read.values())) != sorted(map(str, range(len(read)))):
        msg = f"{options.vocab}: tokens are not the numbers 0 to {len(read) - 1:,}, so scGPT can't load it"
        raise InputError(msg)
    vocab = {name: int(token) for name, token in read.items()}
    for name in _SPECIAL:
        vocab.setdefault(name, len(vocab))
    own = symbols_of(cells)
    token = np.array([vocab.get(name, -1) for name in own.ids.tolist()], np.int64)
    if not (token >= 0).any():
        theirs, ours = ", ".join(list(read)[:3]), ", ".join(own.ids[:3].tolist())
        msg = f"{cells.source.label} has no gene of {options.vocab}: here are {ours}, there {theirs}"
        raise CoverageError(msg)
    place = np.full(len(token), -1, np.int32)
    numbers, tokens = pd.factorize(token[token >= 0])
    place[token >= 0] = numbers
    share = CandidateGenes.of(place).share(cells.sample)
    facts: dict[str, Any] = {
        "vocab": about,
        "symbols_from": own.route,
        "matched": int((token >= 0).sum()),
        "unmatched": int((token < 0).sum()),
        "collapsed": int((token >= 0).sum() - len(tokens)),
        "share_of_counts": round(share, 4),
        "bins": options.bins,
        "top": options.top,
        "layout": options.layout,
    }
    listener(
        Note(
            f"{len(tokens):,} genes have a token (symbols from {own.route}), with {share:.0%} of the counts; "
            f"{facts['unmatched']:,} columns have none"
        )
    )
    if options.bins is not None:
        note = (
            "bins are the upper ends of those that scGPT draws from, so they are not the ones it would draw"
        )
        listener(Note(note, serious=True))
    scmmgpt = options.layout == "scmmgpt"
    if scmmgpt:
        read_column(cells.source, options.cell_type)
    names = {number: name for name, number in vocab.items()}
    genes = pd.DataFrame({"token": tokens, "symbol": [names[one] for one in tokens.tolist()]})
    encoder = ScBankEncoder(place, tokens, options.bins, options.top, options.cell_type if scmmgpt else None)
    return Prepared(encoder, genes, facts, assembly=_Assembly(vocab, options.layout, listener))


def upper_bins(x: NDArray[np.float64], indptr: NDArray[Any], n_bins: int) -> NDArray[np.float32]:
    """Bins of the counts of cells: for each, how many quantiles of its cell's counts are not above it.

    Parameters
    ----------
    x, indptr
        ``[nnz]`` counts above 0 of cells.
    n_bins
        The quantiles are ``n_bins - 1``, from the least to the largest count, as `numpy.quantile` has them.
    """
    sizes = np.diff(indptr)
    row = np.repeat(np.arange(len(sizes)), sizes)
    ascending = x[np.lexsort((x, row))]
    first, last = indptr[:-1][sizes > 0], (sizes - 1)[sizes > 0]
    of = np.cumsum(sizes > 0)[row] - 1
    bins = np.zeros(len(x), np.float32)
    for share in np.linspace(0, 1, n_bins - 1):
        at = share * last
        low = np.floor(at).astype(np.int64)
        a, b = ascending[first + low], ascending[first + np.minimum(low + 1, last)]
        part = at - low
        edge = np.where(part < 0.5, a + (b - a) * part, b - (b - a) * (1 - part))
        bins += edge[of] <= x
    return bins


def _most_expressed(x: sp.csr_matrix, tokens: NDArray[np.int64], top: int) -> sp.csr_matrix:
    """Keep the highest counts of each row, equal ones by token, in the order of columns."""
    genes = CandidateGenes.of(tokens.astype(np.int32))
    found = rank_genes(
        CsrBlock(data=x.data, indices=x.indices, indptr=x.indptr, n_columns=x.shape[1]), genes, top
    )
    place = np.argsort(tokens)[np.searchsorted(genes.rows, found.genes)]
    kept = sp.csr_matrix((found.counts, place, found.indptr), shape=x.shape)
    kept.sort_indices()
    return kept


def _write_in_order(tables: Iterable[pa.Table], path: Path) -> None:
    """Write tables as the row groups of one Parquet file."""
    import pyarrow.parquet as pq

    writer = None
    for table in tables:
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd", write_page_checksum=True)
        writer.write_table(table)
    if writer is not None:
        writer.close()
