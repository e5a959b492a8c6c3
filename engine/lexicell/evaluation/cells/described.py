"""How well sentences name labelled cells, beside what could show that the sentences did not do it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.errors import InputError
from lexicell.evaluation.cells.likenesses import (
    Likenesses,
    halves,
    likenesses,
    meaningless,
    named_genes,
    of_genes,
    with_markers,
)
from lexicell.evaluation.cells.markers import FewLabelled, known_markers, marker_scores, named_by_most
from lexicell.evaluation.cells.metrics import areas_of_classes, score
from lexicell.evaluation.cells.panels import Panel
from lexicell.evaluation.cells.placed import Named, Placed, aligned_panel
from lexicell.evaluation.cells.protocol import CellProtocol
from lexicell.evaluation.cells.report import Record
from lexicell.evaluation.cells.splits import Skipped
from lexicell.evaluation.controls import CONTROLS
from lexicell.lexicon import Lexicon
from lexicell.words import Description, name_cells

__all__ = ["DescribedRun", "DescribedTypes", "method_facts"]

#: Seeds at most: each groups all cells anew.
_MOST_SEEDS = 5
#: Names that a message lists.
_LISTED = 20

_SENTENCES, _ALL = "sentences", "sentences, types of no label too"
_WORDS, _VECTORS, _OTHER_VECTORS = "TF-IDF alone", "MiniLM alone", "vectors alone"
_MARKED, _SCRAMBLED, _NAMED = "sentences + markers", "sentences under other names", "genes named in sentences"
_MARKERS, _SCORED = "markers", "markers, score_genes"
#: Ways that use the texts of genes, and what they are.
_BY_TEXT = {
    _SENTENCES: "lexicell.words.name_cells",
    _ALL: "the same with all sentences; to name a cell by one that no label has is wrong",
    _WORDS: "the same by the words of sentences and texts alone",
    _VECTORS: "the same by the vectors of sentences and texts alone",
    _OTHER_VECTORS: "the same by the vectors of sentences and texts alone",
    _MARKED: "the same, with markers as like a sentence as the gene that is most so",
}
#: Ways that do not, or that use them wrongly.
_CONTROLS = {
    _SCRAMBLED: "sentences, each under the name of another type",
    _NAMED: "the same competition, of genes whose symbol or name stands in the sentence",
    _MARKERS: "the same competition, of marker genes",
    _SCORED: "scanpy.tl.score_genes; the type whose score is most deviations above its mean",
}
_FEW = "logistic regression on 50 components of the 2,000 most variable genes, fitted on all cells"


@dataclass(frozen=True)
class DescribedTypes:
    """Sentences by which cells are named, and markers to compare them with.

    Attributes
    ----------
    descriptions
        Types, by the names that labels have.
    markers
        Genes by the names of types, or None.
    """

    descriptions: tuple[Description, ...]
    markers: Mapping[str, Sequence[str]] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        sentences = {kind.name: kind.sentence for kind in self.descriptions}
        markers = {name: list(genes) for name, genes in (self.markers or {}).items()}
        return {"sentences": sentences, "markers": markers}


def method_facts(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Say what the methods of this scenario are, as `Evaluation.settings` has it."""
    names = dict.fromkeys(record.method for record in records if record.scenario == "described")
    sources = _BY_TEXT | _CONTROLS
    return {
        name: {"source": sources.get(name, _FEW), "text": name in _BY_TEXT, "transductive": True}
        for name in names
    }


class DescribedRun:
    """Names a panel's cells by sentences, and by everything that sentences are compared with.

    Types are the labels that a sentence has by name. All rows tell these apart; cells of other labels are
    grouped with them, and do not count.

    Parameters
    ----------
    data
        Name of the data set.
    panel
        Labelled cells.
    asked
        Sentences and markers.
    lexicon
        Genes with texts.
    protocol
        Its seed and draws: each draw, of five at most, has a seed, by which cells are grouped, texts shuffled
        and labelled cells drawn. Its `few`: labelled cells of each type.
    listener
        Is told what is left out.

    Attributes
    ----------
    data, types
        Names of the data set and of the types.
    skipped
        The other labels.
    n_draws
        How often everything is named.

    Raises
    ------
    InputError
        Fewer than two labels are described by name, or no marker is known.
    """

    def __init__(
        self,
        data: str,
        panel: Panel,
        asked: DescribedTypes,
        lexicon: Lexicon,
        protocol: CellProtocol,
        listener: Listener,
    ) -> None:
        classes, sentences = panel.classes(), {kind.name: kind for kind in asked.descriptions}
        self.types = [name for name in sentences if name in classes]
        others = [name for name in sentences if name not in classes]
        if len(self.types) < 2:
            msg = (
                f"{data}: fewer than two labels have a sentence of their name: labels are "
                f"{_listed(classes)}; sentences are of {_listed(sentences)}"
            )
            raise InputError(msg)
        if others:
            text = f"{data}: sentences of no label compete in a row of their own only: {_listed(others)}"
            listener(Note(text))
        self.skipped = [
            Skipped("described", None, name, cells, 0)
            for name, cells in classes.items()
            if name not in sentences
        ]
        self.n_draws = min(protocol.draws, _MOST_SEEDS)
        self._described = [sentences[name] for name in self.types]
        self._others = [sentences[name] for name in others]
        self._sentences = [kind.sentence for kind in self._described]
        self.data, self._panel, self._lexicon, self._protocol = data, panel, lexicon, protocol
        self._labels = np.asarray([] if panel.labels is None else panel.labels, np.str_)
        self._told: set[str] = set()
        self._listener = listener
        self._markers = None
        if asked.markers is not None:
            self._markers = known_markers(asked.markers, self.types, lexicon, listener)

    def run(self) -> Iterator[list[Record]]:
        """Name the cells in all ways, draw by draw, and yield how right that was.

        Raises
        ------
        InputError
            A sentence calls up hardly a gene that is measured.
        """
        for draw in range(self.n_draws):
            records, started = [], time.perf_counter()
            for way in self._ways(self._protocol.seed + draw):
                records.append(self._judged(draw, way, time.perf_counter() - started))
                started = time.perf_counter()
            yield records

    def _ways(self, seed: int) -> Iterator[_Way]:
        types, lexicon, markers = self.types, self._lexicon, self._markers
        named = self._by_sentences(self._described, seed)
        yield _Way(_SENTENCES, named, types)
        if self._others:
            every = [*self._described, *self._others]
            yield _Way(_ALL, self._by_sentences(every, seed), [kind.name for kind in every])
        placed = Placed(self._cells, seed)
        for method, part in self._parts.items():
            yield _Way(method, placed.name(*part), types)
        genes = None if markers is None else of_genes(list(markers.values()), lexicon)
        if genes is not None:
            yield _Way(_MARKED, placed.name(*with_markers(self._both, genes)), types)
        for control in CONTROLS:
            without = placed.name(*meaningless(self._both, control, seed))
            yield _Way(_SENTENCES, without, types, control)
        shift = 1 + seed % (len(types) - 1)
        yield _Way(_SCRAMBLED, named, [*types[shift:], *types[:shift]])
        null = self._both[1]
        yield _Way(_NAMED, placed.compete(self._named, null), types)
        if genes is not None and markers is not None:
            yield _Way(_MARKERS, placed.compete(genes, null), types)
            if find_spec("scanpy") is None:
                self._tell(f"no row {_SCORED}: scanpy is not installed: pip install scanpy")
            else:
                yield _Way(_SCORED, named_by_most(marker_scores(placed, markers, seed)), types)
        for n in self._protocol.few:
            method = f"{n} labelled {'cell' if n == 1 else 'cells'} of each type"
            if (labelled := self._few_labelled.name(n, seed)) is None:
                self._tell(f"{method} are too few for two types; the row is left out")
            else:
                yield _Way(method, labelled[1], types, seen=labelled[0])

    @cached_property
    def _cells(self) -> AlignedCells:
        return aligned_panel(self._panel, self._lexicon, self.data)

    def _by_sentences(self, described: Sequence[Description], seed: int) -> Named:
        found = name_cells(self._cells, described, seed=seed, listener=self._hear)
        return Named(found.probability, found.scores, found.types["present"].to_numpy(bool))

    @cached_property
    def _both(self) -> Likenesses:
        found = likenesses("both", self._sentences, self._lexicon)
        assert found is not None  # noqa: S101 -- words are always there
        return found

    @cached_property
    def _parts(self) -> dict[str, Likenesses]:
        tell = self._tell
        found = halves(self._sentences, self._lexicon, lambda half, why: tell(f"no row {half} alone: {why}"))
        return {f"{half} alone": likeness for half, likeness in found.items()}

    @cached_property
    def _named(self) -> NDArray[np.float32]:
        return of_genes(named_genes(self._sentences, self._lexicon), self._lexicon)

    @cached_property
    def _few_labelled(self) -> FewLabelled:
        return FewLabelled(self._panel, self._labels, self.types)

    def _judged(self, draw: int, way: _Way, seconds: float) -> Record:
        known = np.isin(self._labels, self.types)
        known[way.seen] = False
        truth, scores = self._labels[known], np.asarray(way.named.scores)[known]
        scored = score(truth, np.array([*way.types, ""])[way.named.chosen[known]])  # -1, none, is the last
        areas = areas_of_classes(truth, way.types, scores)
        return Record(
            data=self.data,
            scenario="described",
            setting="all cells",
            draw=draw,
            method=way.method,
            control=way.control,
            transductive=True,
            classifier="",
            reference_cells=len(way.seen),
            query_cells=len(truth),
            classes=len(np.unique(truth)),
            accuracy=scored.accuracy,
            macro_f1=scored.macro_f1,
            rare_f1=scored.rare_f1,
            clusters={},
            seconds=seconds,
            auroc=float(np.mean(list(areas.values()))) if areas else float("nan"),
        )

    def _hear(self, event: object) -> None:
        """Pass notes on, each once; progress within a row is none of the run's."""
        if isinstance(event, Note) and event.text not in self._told:
            self._told.add(event.text)
            self._listener(event)

    def _tell(self, text: str) -> None:
        self._hear(Note(f"{self.data}: {text}", serious=True))


@dataclass(frozen=True)
class _Way:
    """A row: what all cells were named, what the columns stand for, and which cells were labelled."""

    method: str
    named: Named
    types: Sequence[str]
    control: str = ""
    seen: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))


def _listed(names: Collection[str]) -> str:
    few = ", ".join(repr(name) if "," in name else name for name in list(names)[:_LISTED])
    return few + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
