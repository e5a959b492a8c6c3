"""The way back: vectors that other tools made, joined to cells by their ids."""

from lexicell.imports.api import Imported, import_embedding
from lexicell.imports.joining import Joined, join_vectors
from lexicell.imports.sources import KINDS, Kind, Source, open_sources

__all__ = [
    "KINDS",
    "Imported",
    "Joined",
    "Kind",
    "Source",
    "import_embedding",
    "join_vectors",
    "open_sources",
]
