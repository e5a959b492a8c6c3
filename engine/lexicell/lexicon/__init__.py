"""Lexicons: genes, their texts and their vectors.

A lexicon is built once by a text encoder and is a folder from then on; see `Lexicon`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexicell.lexicon._artefact import Lexicon, bundled_lexicons, write_lexicon
from lexicell.lexicon._build import build_lexicon
from lexicell.lexicon._encoder import (
    BatchCallback,
    Encoder,
    EncoderOptions,
    ProgressCallback,
    load_encoder,
)
from lexicell.lexicon._manifest import EncoderInfo, Manifest, TextInfo
from lexicell.lexicon._onnx_encoder import OnnxTextEncoder
from lexicell.lexicon._text import GeneTexts, TextOptions, read_gene_texts, read_orthologues

if TYPE_CHECKING:
    from lexicell.lexicon._align import Alignment, Route, align_genes

__all__ = [
    "Alignment",
    "BatchCallback",
    "Encoder",
    "EncoderInfo",
    "EncoderOptions",
    "GeneTexts",
    "Lexicon",
    "Manifest",
    "OnnxTextEncoder",
    "ProgressCallback",
    "Route",
    "TextInfo",
    "TextOptions",
    "align_genes",
    "build_lexicon",
    "bundled_lexicons",
    "load_encoder",
    "read_gene_texts",
    "read_orthologues",
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
