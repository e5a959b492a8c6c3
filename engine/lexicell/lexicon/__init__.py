"""Lexicons: genes, their texts and their vectors.

A lexicon is built once by a text encoder and is a folder from then on; see `Lexicon`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexicell.lexicon.align import Alignment, Route, align_genes
    from lexicell.lexicon.build import BuildPlan, build_lexicon, plan_build
    from lexicell.lexicon.card import UNKNOWN_POOLING, GeneCounts, count_genes
    from lexicell.lexicon.diff import Change, LexiconDiff, VectorChange, diff_lexicons, word_diff
    from lexicell.lexicon.edit import merge_lexicons, subset_lexicon
    from lexicell.lexicon.encoders.encoder import (
        BatchCallback,
        Encoder,
        EncoderOptions,
        ProgressCallback,
    )
    from lexicell.lexicon.encoders.loading import load_encoder
    from lexicell.lexicon.encoders.onnx_encoder import OnnxTextEncoder
    from lexicell.lexicon.formats.export_vectors import export_vectors
    from lexicell.lexicon.formats.import_vectors import NameKind, import_vectors
    from lexicell.lexicon.gene_atlas import AtlasCells, GeneAtlas, cell_hashes, gene_scales, open_gene_atlas
    from lexicell.lexicon.gene_list import GeneList, find_genes, read_gene_list
    from lexicell.lexicon.genes import TEXT_FLAGS, TextFlag
    from lexicell.lexicon.lexicon import Lexicon, bundled_lexicons
    from lexicell.lexicon.manifest import EncoderInfo, Manifest, TextInfo
    from lexicell.lexicon.text.ncbi import FetchedGenes, fetch_genes
    from lexicell.lexicon.text.reading import GeneTexts, TextOptions, read_gene_texts, read_orthologues
    from lexicell.lexicon.write import write_lexicon

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

#: Module -> what it gives. It is imported when that is first used: who embeds cells builds no lexicon.
_MODULES = {
    "align": "Alignment Route align_genes",
    "lexicon": "Lexicon bundled_lexicons",
    "build": "BuildPlan build_lexicon plan_build",
    "card": "UNKNOWN_POOLING GeneCounts count_genes",
    "formats.import_vectors": "NameKind import_vectors",
    "formats.export_vectors": "export_vectors",
    "diff": "Change LexiconDiff VectorChange diff_lexicons word_diff",
    "edit": "merge_lexicons subset_lexicon",
    "gene_atlas": "AtlasCells GeneAtlas cell_hashes gene_scales open_gene_atlas",
    "gene_list": "GeneList find_genes read_gene_list",
    "genes": "TEXT_FLAGS TextFlag",
    "manifest": "EncoderInfo Manifest TextInfo",
    "encoders.encoder": "BatchCallback Encoder EncoderOptions ProgressCallback",
    "encoders.loading": "load_encoder",
    "encoders.onnx_encoder": "OnnxTextEncoder",
    "write": "write_lexicon",
    "text.ncbi": "FetchedGenes fetch_genes",
    "text.reading": "GeneTexts TextOptions read_gene_texts read_orthologues",
}
_LAZY = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used."""
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
