"""Lexicons: genes, their texts and their vectors.

A lexicon is built once by a text encoder and is a folder from then on; see `Lexicon`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexicell.lexicon._artefact import Lexicon, bundled_lexicons, write_lexicon
from lexicell.lexicon._build import BuildPlan, build_lexicon, plan_build
from lexicell.lexicon._card import UNKNOWN_POOLING, GeneCounts, count_genes
from lexicell.lexicon._convert import NameKind, import_vectors
from lexicell.lexicon._convert_out import export_vectors
from lexicell.lexicon._diff import Change, LexiconDiff, VectorChange, diff_lexicons, word_diff
from lexicell.lexicon._edit import merge_lexicons, subset_lexicon
from lexicell.lexicon._gene_atlas import AtlasCells, GeneAtlas, cell_hashes, gene_scales, open_gene_atlas
from lexicell.lexicon._gene_list import GeneList, find_genes, read_gene_list
from lexicell.lexicon._genes import TEXT_FLAGS, TextFlag
from lexicell.lexicon._manifest import EncoderInfo, Manifest, TextInfo
from lexicell.lexicon.encoders.encoder import (
    BatchCallback,
    Encoder,
    EncoderOptions,
    ProgressCallback,
)
from lexicell.lexicon.encoders.loading import load_encoder
from lexicell.lexicon.encoders.onnx_encoder import OnnxTextEncoder
from lexicell.lexicon.text.ncbi import FetchedGenes, fetch_genes
from lexicell.lexicon.text.reading import GeneTexts, TextOptions, read_gene_texts, read_orthologues

if TYPE_CHECKING:
    from lexicell.lexicon._align import Alignment, Route, align_genes

__all__ = [
    "TEXT_FLAGS",
    "UNKNOWN_POOLING",
    "Alignment",
    "AtlasCells",
    "BatchCallback",
    "BuildPlan",
    "Change",
    "Encoder",
    "EncoderInfo",
    "EncoderOptions",
    "FetchedGenes",
    "GeneAtlas",
    "GeneCounts",
    "GeneList",
    "GeneTexts",
    "Lexicon",
    "LexiconDiff",
    "Manifest",
    "NameKind",
    "OnnxTextEncoder",
    "ProgressCallback",
    "Route",
    "TextFlag",
    "TextInfo",
    "TextOptions",
    "VectorChange",
    "align_genes",
    "build_lexicon",
    "bundled_lexicons",
    "cell_hashes",
    "count_genes",
    "diff_lexicons",
    "export_vectors",
    "fetch_genes",
    "find_genes",
    "gene_scales",
    "import_vectors",
    "load_encoder",
    "merge_lexicons",
    "open_gene_atlas",
    "plan_build",
    "read_gene_list",
    "read_gene_texts",
    "read_orthologues",
    "subset_lexicon",
    "word_diff",
    "write_lexicon",
]

_ALIGNMENT = ("Alignment", "Route", "align_genes")


def __getattr__(name: str) -> Any:
    """Import alignment, and with it pandas, when it is first used: it is half of the import time."""
    if name in _ALIGNMENT:
        from lexicell.lexicon import _align

        return getattr(_align, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
