"""Questions about cells and their answers, as language models are tuned and tested with: CellVerse's form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.labels import as_text, read_labels
from lexicell.errors import InputError
from lexicell.exports import sentences
from lexicell.exports.dictionaries import read_file
from lexicell.exports.prepared import Prepared
from lexicell.exports.ranking import rank_genes
from lexicell_kernels import CsrBlock

if TYPE_CHECKING:
    from lexicell.store import WriterStore

__all__ = ["ChatEncoder", "ChatOptions", "prepare"]

#: What is said where no template is given. Braces are no fields: CellVerse's lists are called so.
TEMPLATE: Mapping[str, str] = {
    "system": "You are an expert in single-cell biology, and tell what kind of cell shows a list of genes.",
    "user": "The list {gene_names} has the genes of one cell ordered by descending expression level in the "
    "cell. Which entry of the list {cell_types} is it? End with one line, 'Final Answer: ' and the entry.\n"
    "{gene_names}: $genes\n{cell_types}: $candidates.",
    "assistant": "$label",
}
_FIELDS = ("genes", "candidates", "label", "n_genes")
_FIELD = re.compile(rf"\$({'|'.join(_FIELDS)})\b")


@dataclass(frozen=True)
class ChatOptions:
    """What is asked.

    Attributes
    ----------
    label
        Column of ``obs`` with the answers; cells without one are left out.
    top
        Genes of a question; None for all that are expressed.
    template
        JSON with ``system`` (may be missing), ``user`` and ``assistant``, in which ``$genes``,
        ``$candidates``, ``$label`` and ``$n_genes`` are filled in.
    layout
        ``"json"``, one list, or ``"jsonl"``, one question a line.
    shuffle_candidates
        Seed of the order of answers, which is another one for each cell; None for one order in all of them.
    """

    label: str
    top: int | None = 100
    template: str | None = None
    layout: Literal["json", "jsonl"] = "json"
    shuffle_candidates: int | None = None

    def __post_init__(self) -> None:
        if self.top is not None and not 1 <= self.top < 2**31:
            msg = f"a question has at least one gene, not {self.top}"
            raise InputError(msg)
        if self.layout not in {"json", "jsonl"}:
            msg = f"chats are written as json or jsonl, not {self.layout!r}"
            raise InputError(msg)


@dataclass(frozen=True)
class ChatEncoder:
    """Makes ``line``, the JSON of a question; see `lexicell.embedding.tables.Encoder`.

    Attributes
    ----------
    genes
        Columns that have a word; their rows are numbers of words.
    words, candidates
        Names of genes, and answers.
    label, top
        See `ChatOptions`.
    pieces
        Text of the JSON, and between two of them a field.
    seed
        Of the order of answers; None for the one they have.
    """

    genes: CandidateGenes
    words: tuple[str, ...]
    candidates: tuple[str, ...]
    label: str
    top: int | None
    pieces: tuple[str, ...]
    seed: int | None

    @property
    def read_obs(self) -> Sequence[str]:
        """See `Encoder`."""
        return (self.label,)

    def encode(
        self,
        counts: CsrBlock,
        start: int,  # noqa: ARG002
        obs: pd.DataFrame,
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_] | None]:
        """See `Encoder`."""
        texts = pd.Series(as_text(obs[self.label])).str.strip()
        answer = pd.Index(self.candidates).get_indexer(pd.Index(texts))
        kept = answer >= 0
        ranked = rank_genes(counts, self.genes, self.top)
        n_genes = np.diff(ranked.indptr)
        values = {
            "genes": sentences.joined(_escaped(self.words), ranked.genes, ranked.indptr, " "),
            "label": _escaped(self.candidates).take(pa.array(np.maximum(answer, 0))),
            "n_genes": pa.array(n_genes).cast(pa.string()),
            "candidates": self._answers(obs.index),
            "cell_id": _escaped(obs.index.astype(str)),
        }
        fields = [values[piece] if at % 2 else pa.scalar(piece) for at, piece in enumerate(self.pieces)]
        made = {
            "line": pc.binary_join_element_wise(*fields, ""),
            "n_genes": pa.array(n_genes.astype(np.int32)),
            "n_tied": pa.array(ranked.n_tied),
        }
        return {name: column.filter(pa.array(kept)) for name, column in made.items()}, kept

    def _answers(self, names: pd.Index[Any]) -> pa.Array:
        """List of the possible answers of each cell."""
        n, c = len(names), len(self.candidates)
        quoted = _escaped([_quoted(text) for text in self.candidates])
        order = np.broadcast_to(np.arange(c), (n, c))
        if self.seed is not None:
            key = f"{self.seed}".rjust(16, "0")[-16:]
            of_cell = pd.util.hash_array(names.astype(str).to_numpy(object), hash_key=key, categorize=False)
            of_answer = pd.util.hash_array(np.asarray(self.candidates, object), hash_key=key)
            mixed = of_cell[:, None] ^ of_answer
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            order = np.argsort(mixed ^ (mixed >> np.uint64(27)), axis=1, kind="stable")
        return sentences.joined(quoted, order.reshape(-1), np.arange(n + 1) * c, ", ")


@dataclass(frozen=True)
class _Assembly:
    """Writes the questions to one file, see `lexicell.exports.prepared.Assembly`."""

    layout: str

    def __call__(
        self,
        tables: Iterable[pa.Table],
        store: WriterStore,
        card: Mapping[str, Any],  # noqa: ARG002
    ) -> Mapping[str, Any]:
        store.put_file(f"chat.{self.layout}", lambda path: self._write(tables, path))
        return {}

    def _write(self, tables: Iterable[pa.Table], path: Path) -> None:
        begin, between, end = (b"[\n", b",\n", b"\n]\n") if self.layout == "json" else (b"", b"\n", b"\n")
        with path.open("wb") as file:
            file.write(begin)
            first = True
            for table in tables:
                lines = table.column("line").combine_chunks()
                if len(lines):
                    file.write(b"" if first else between)
                    whole = pa.LargeListArray.from_arrays(pa.array([0, len(lines)], pa.int64()), lines)
                    file.write(pc.binary_join(whole, between.decode())[0].as_buffer())
                    first = False
            file.write(b"" if first and self.layout == "jsonl" else end)


def prepare(cells: AlignedCells, options: ChatOptions, listener: Listener) -> Prepared:
    """Settle the words, the possible answers and what is said around them.

    Raises
    ------
    InputError
        There is no such column, or it has one label; or the template is none.
    """
    template = TEMPLATE if options.template is None else _read_template(Path(options.template))
    labels = read_labels(cells.source, options.label, listener, unlabelled="left out")
    candidates = tuple(sorted(set(labels.tolist()) - {""}))
    of_words = sentences.prepare(cells, sentences.SentenceOptions(options.top), listener)
    assert isinstance(of_words.encoder, sentences.SentenceEncoder)  # noqa: S101
    roles = [role for role in ("system", "user", "assistant") if role in template]
    whole = {
        "cell_id": "$cell_id",
        "messages": [{"role": role, "content": template[role]} for role in roles],
    }
    parts = re.split(rf"\$({'|'.join((*_FIELDS, 'cell_id'))})\b", json.dumps(whole, ensure_ascii=False))
    facts: dict[str, Any] = {
        **of_words.facts,
        "label": options.label,
        "candidates": list(candidates),
        "template": "lexicell" if options.template is None else template,
        "layout": options.layout,
        "shuffle_candidates": options.shuffle_candidates,
    }
    listener(Note(f"{len(candidates)} possible answers"))
    encoder = ChatEncoder(
        of_words.encoder.genes, of_words.encoder.words, candidates, options.label, options.top, tuple(parts),
        options.shuffle_candidates,
    )  # fmt: skip
    return Prepared(encoder, of_words.genes, facts, assembly=_Assembly(options.layout))


def _read_template(path: Path) -> dict[str, str]:
    content = read_file(path)
    try:
        found = json.loads(content)
    except ValueError as error:
        msg = f"{path} is no JSON that can be read ({error})"
        raise InputError(msg) from error
    known = isinstance(found, dict) and all(isinstance(text, str) for text in found.values())
    if not known or not {"user", "assistant"} <= found.keys() <= {"system", "user", "assistant"}:
        msg = f"{path}: a template is a JSON with the texts user and assistant, and system if need be"
        raise InputError(msg)
    if "label" not in _FIELD.findall(found["assistant"]):
        msg = f"{path}: the text of assistant has no $label, so it would not be an answer"
        raise InputError(msg)
    if "genes" not in _FIELD.findall(found["user"]):
        msg = f"{path}: the text of user has no $genes, so nothing would be asked about a cell"
        raise InputError(msg)
    return {str(role): str(text) for role, text in found.items()}


def _escaped(texts: Iterable[str]) -> pa.Array:
    """Texts as they stand in JSON, between its quotation marks."""
    return pa.array([json.dumps(text, ensure_ascii=False)[1:-1] for text in texts], pa.string())


def _quoted(text: str) -> str:
    return f"'{text}'" if "'" not in text else f'"{text}"'
