"""Exact, fast single-cell embeddings through the language of genes.

``lexicell.embed`` goes from files to a store, which ``lexicell.open_embedding`` reads; functions of
``lexicell.tl`` write into an AnnData as scanpy's do, and those of ``lexicell.pl`` draw. ``lexicell.train``
learns a `Projection` from cells, ``lexicell.annotate`` names cells, by labelled ones or by sentences,
``lexicell.search`` finds cells by a sentence, ``lexicell.explain`` tells which genes put cells where they
are, ``lexicell.evaluate`` scores embeddings beside controls, ``lexicell.report`` writes one page about a run,
``lexicell.export`` writes cells as other models read them, and ``lexicell.import_embedding`` reads the
vectors that these make. ``lexicell.Lexicon`` is the table of gene texts and vectors that all use;
``lexicell.pack`` makes one fast atlas of many files.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

# ONNX Runtime reports to its maker from the moment it is imported; set 0 to allow that. Nothing of
# lexicell is imported before this module, in workers neither.
if not os.environ.get("ORT_DISABLE_TELEMETRY"):
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    if "onnxruntime" in sys.modules:  # too late for what it has begun, but not for what follows
        sys.modules["onnxruntime"].disable_telemetry_events()

if TYPE_CHECKING:
    from lexicell import errors, pl, tl
    from lexicell.annotation import annotate
    from lexicell.embedding import embed
    from lexicell.evaluation import evaluate
    from lexicell.explanation import explain
    from lexicell.exports import export
    from lexicell.imports import import_embedding
    from lexicell.learn.api import train
    from lexicell.lexicon import Lexicon
    from lexicell.packing import pack
    from lexicell.projection import Projection
    from lexicell.reporting import report
    from lexicell.store import open_embedding
    from lexicell.words import describe, search

    #: Version of the package that is installed.
    __version__: str

__all__ = [
    "Lexicon",
    "Projection",
    "__version__",
    "annotate",
    "describe",
    "embed",
    "errors",
    "evaluate",
    "explain",
    "export",
    "import_embedding",
    "open_embedding",
    "pack",
    "pl",
    "report",
    "search",
    "tl",
    "train",
]

_LAZY = {
    "Lexicon": "lexicell.lexicon",
    "Projection": "lexicell.projection",
    "annotate": "lexicell.annotation",
    "describe": "lexicell.words",
    "embed": "lexicell.embedding",
    "evaluate": "lexicell.evaluation",
    "explain": "lexicell.explanation",
    "export": "lexicell.exports",
    "import_embedding": "lexicell.imports",
    "open_embedding": "lexicell.store",
    "pack": "lexicell.packing",
    "report": "lexicell.reporting",
    "search": "lexicell.words",
    "train": "lexicell.learn.api",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: start-up stays short, and no GPU library is touched."""
    if name == "__version__":
        from lexicell._version import installed_version

        return installed_version()
    if name in {"errors", "pl", "tl"}:
        return importlib.import_module(f"lexicell.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    msg = f"module 'lexicell' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
