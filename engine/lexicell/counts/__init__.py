"""Count matrices: readers of every common format, one or many inputs at a time; all are a CountSource."""

from lexicell.counts.anndata import stored_rows
from lexicell.counts.blocks import MAX_NNZ, concat_rows, cut_spans, gather_rows, slice_rows
from lexicell.counts.concat import ConcatSource, open_many
from lexicell.counts.concat_tables import gene_keys
from lexicell.counts.fingerprints import Fingerprint, fingerprint
from lexicell.counts.guess import Values
from lexicell.counts.input_paths import expand_inputs
from lexicell.counts.memory import check_writable, chunk_block, dask_counts
from lexicell.counts.obsm import StoredObsm, open_obsm
from lexicell.counts.opening import is_mudata, open_counts
from lexicell.counts.scratch import Scratch
from lexicell.counts.source import CountSource
from lexicell.counts.take import take_cells
from lexicell.counts.values import (
    Resolved,
    check_values,
    decode_values,
    first_bad,
    naming_bad_counts,
    read_sample,
    resolve_values,
)

__all__ = [
    "MAX_NNZ",
    "ConcatSource",
    "CountSource",
    "Fingerprint",
    "Resolved",
    "Scratch",
    "StoredObsm",
    "Values",
    "check_values",
    "check_writable",
    "chunk_block",
    "concat_rows",
    "cut_spans",
    "dask_counts",
    "decode_values",
    "expand_inputs",
    "fingerprint",
    "first_bad",
    "gather_rows",
    "gene_keys",
    "is_mudata",
    "naming_bad_counts",
    "open_counts",
    "open_many",
    "open_obsm",
    "read_sample",
    "resolve_values",
    "slice_rows",
    "stored_rows",
    "take_cells",
]
