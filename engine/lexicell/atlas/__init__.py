"""Count matrices in, embeddings out: readers of every common format, and the store."""

from lexicell.atlas._scratch import Scratch
from lexicell.atlas.counts._blocks import MAX_NNZ
from lexicell.atlas.counts._concat import ConcatSource, open_many
from lexicell.atlas.counts._fingerprint import Fingerprint, fingerprint
from lexicell.atlas.counts._guess import Values
from lexicell.atlas.counts._input_paths import expand_inputs
from lexicell.atlas.counts._memory import check_writable, chunk_block, dask_counts
from lexicell.atlas.counts._obsm import StoredObsm, open_obsm
from lexicell.atlas.counts._open import is_mudata, open_counts
from lexicell.atlas.counts._take import take_cells
from lexicell.atlas.counts._values import (
    Resolved,
    check_values,
    decode_values,
    naming_bad_counts,
    read_sample,
    resolve_values,
)
from lexicell.atlas.source import CountSource
from lexicell.atlas.store._h5ad_output import create_h5ad
from lexicell.atlas.store._obs import check_columns, write_obs

__all__ = [
    "MAX_NNZ",
    "ConcatSource",
    "CountSource",
    "Fingerprint",
    "Resolved",
    "Scratch",
    "StoredObsm",
    "Values",
    "check_columns",
    "check_values",
    "check_writable",
    "chunk_block",
    "create_h5ad",
    "dask_counts",
    "decode_values",
    "expand_inputs",
    "fingerprint",
    "is_mudata",
    "naming_bad_counts",
    "open_counts",
    "open_many",
    "open_obsm",
    "read_sample",
    "resolve_values",
    "take_cells",
    "write_obs",
]
