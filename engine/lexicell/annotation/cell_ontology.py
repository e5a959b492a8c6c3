"""Cell types as texts: names and definitions, encoded as the genes were, and the nearest type of a cell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lexicell._arrays import unit_rows
from lexicell._files import parse_json, read_utf8, reading_file
from lexicell.embedding import AlignedCells, Listener, Note, Quality, embed_in_memory, plan_cells
from lexicell.errors import InputError, MissingExtraError
from lexicell.lexicon import UNKNOWN_POOLING, EncoderOptions, Lexicon, load_encoder
from lexicell.lexicon.encoders.model_files import MODELS
from lexicell.lexicon.encoders.vector_cache import encode_cached
from lexicell.projection import UNKNOWN

__all__ = ["CellType", "embed_types", "read_types", "text_scores"]

#: All described genes, weight log1p, vectors as they are in the lexicon.
EVERY_GENE = "genept-w"
_GUIDE = "cellxgene-ontology-guide"
#: Namespace of cell types; an ontology's file also holds terms of others.
_CELL = "CL:"
_DEFINITION = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class CellType:
    """A name, and what it means.

    Attributes
    ----------
    name
        What cells are called.
    definition
        One or a few sentences, or "".
    id
        Of the Cell Ontology ("CL:0000236"), or "".
    """

    name: str
    definition: str = ""
    id: str = ""

    @property
    def text(self) -> str:
        """What is encoded."""
        return f"{self.name}. {self.definition}" if self.definition else self.name


def read_types(given: str | Path | Sequence[str] | Sequence[CellType]) -> tuple[CellType, ...]:
    """Read cell types.

    Parameters
    ----------
    given
        Names, in a list or with commas between them; cell types; or a file: ``.txt`` with a name on each
        line, and its definition behind a tab where there is one; ``.obo``, or OBO-graph ``.json``, of the
        Cell Ontology; or "cell-ontology" for all types in the package cellxgene-ontology-guide. Types of more
        than 2,500 names are seldom told apart.

    Raises
    ------
    InputError
        Fewer than two types, a name twice, or a file that is none of these.
    InputNotFoundError
        The file does not exist.
    MissingExtraError
        The package is not installed.
    """
    suffixes = {".txt", ".obo", ".json", ".gz"}
    if isinstance(given, str) and given != "cell-ontology" and Path(given).suffix not in suffixes:
        given = given.split(",")
    if not isinstance(given, str | Path):
        kinds = (kind if isinstance(kind, CellType) else CellType(kind.strip()) for kind in given)
        found: Iterable[CellType] = (kind for kind in kinds if kind.name)
    elif str(given) == "cell-ontology":
        found = _from_guide()
    else:
        path = Path(given)
        text = read_utf8(path).decode()
        if path.suffix == ".json":
            found = _from_graph(path, text)
        elif path.suffix == ".obo":
            found = _from_obo(text)
        else:
            lines = (line.partition("\t") for line in text.splitlines() if line.strip())
            found = (CellType(name.strip(), definition.strip()) for name, _, definition in lines)
    types = tuple(found)
    names = Counter(kind.name for kind in types)
    if len(types) < 2:
        msg = f"{len(types)} cell types were found in {given}; two or more are needed"
        raise InputError(msg)
    twice = next((name for name, times in names.items() if times > 1), None)
    if twice is not None or UNKNOWN in names:
        what = f"{UNKNOWN!r} is no cell type" if UNKNOWN in names else f"the cell type {twice!r} occurs twice"
        msg = f"{what}; name each type once"
        raise InputError(msg)
    return types


def embed_types(types: Sequence[CellType], lexicon: Lexicon, listener: Listener) -> NDArray[np.float32]:
    """Encode types by the encoder that a lexicon was made with, ``[n, d]`` float32.

    Raises
    ------
    InputError
        The lexicon's vectors were made elsewhere, or by another version of the encoder than is here.
    """
    info = lexicon.info.encoder
    if info.pooling == UNKNOWN_POOLING:
        msg = f"the vectors of {lexicon.name} were made elsewhere, so no other text can be encoded like them"
        raise InputError(msg)
    name = next((name for name, spec in MODELS.items() if spec.id == info.id), info.id)
    options = EncoderOptions(long_text=info.long_text, precision=info.precision, dimensions=info.dimensions)
    if not name.startswith("openai:"):  # a service pools by itself
        pooling: Literal["cls", "mean"] = "cls" if info.pooling == "cls" else "mean"
        options = replace(options, pooling=pooling, max_tokens=info.max_tokens)

    def notify(text: str) -> None:
        listener(Note(text))

    encoder = load_encoder(name, options, notify=notify)
    if info.revision and encoder.info.revision != info.revision:
        msg = (
            f"the encoder {info.id} here is another version ({encoder.info.revision}) than the one that made "
            f"{lexicon.name} ({info.revision}); install that one"
        )
        raise InputError(msg)
    return encode_cached(encoder, [of.text for of in types], notify=notify)


def text_scores(
    cells: AlignedCells, types: NDArray[np.float32], listener: Listener
) -> tuple[NDArray[np.float32], Quality]:
    """Cosine of each cell and each type, ``[N, n]``; 0 for a cell without any described gene.

    Cells are weighted means of all their genes' vectors. The mean over the types is subtracted from types,
    the mean over the cells from cells: what all of them share is most of every vector.

    Parameters
    ----------
    cells
        ``N`` cells.
    types
        ``[n, d]`` from `embed_types`.
    listener
        Is told the progress.
    """
    plan = plan_cells(cells, recipe=EVERY_GENE)
    vectors, quality = embed_in_memory(cells.source, plan.embedder, listener=listener)
    full = quality.n_genes > 0
    if full.any():
        vectors[full] -= vectors[full].mean(axis=0)
    return unit_rows(vectors) @ unit_rows(types - types.mean(axis=0)).T, quality


def _from_obo(text: str) -> Iterable[CellType]:
    """Terms of an OBO file, obsolete ones excepted."""
    for stanza in re.split(r"^\[", text, flags=re.MULTILINE)[1:]:
        kind, _, body = stanza.partition("]")
        if kind != "Term":
            continue
        lines = (line.partition(": ") for line in body.splitlines())
        tags = {
            key: value
            for key, separator, value in lines
            if separator and key in {"id", "name", "def", "is_obsolete"}
        }
        if tags.get("id", "").startswith(_CELL) and "name" in tags and tags.get("is_obsolete") != "true":
            quoted = _DEFINITION.match(tags.get("def", ""))
            definition = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
            yield CellType(tags["name"].strip(), definition, tags["id"])


def _from_graph(path: Path, text: str) -> Iterable[CellType]:
    """Nodes of an OBO graph, obsolete ones excepted."""
    with reading_file(path, "give an OBO graph (cl.json) or cl.obo", InputError):
        for node in [node for graph in parse_json(text)["graphs"] for node in graph["nodes"]]:
            about: dict[str, Any] = node.get("meta", {})
            term = node["id"].rpartition("/")[2].replace("_", ":", 1)
            if term.startswith(_CELL) and node.get("lbl") and not about.get("deprecated"):
                name, definition = node["lbl"], about.get("definition", {}).get("val", "")
                if not (isinstance(name, str) and isinstance(definition, str)):
                    message = f"name and definition of {term} are not text"
                    raise TypeError(message)
                yield CellType(name, definition, term)


def _from_guide() -> Iterable[CellType]:
    """All types of the Cell Ontology, from an optional package."""
    try:
        OntologyParser: Any = import_module(f"{_GUIDE}.ontology_parser".replace("-", "_")).OntologyParser
    except ImportError as error:
        msg = f"the Cell Ontology is not here: pip install {_GUIDE}, or give its file (cl.obo, cl.json)"
        raise MissingExtraError(msg) from error
    parser = OntologyParser()
    for term in parser.get_term_label_to_id_map("CL").values():
        if not parser.is_term_deprecated(term):
            yield CellType(parser.get_term_label(term), parser.get_term_description(term) or "", term)
