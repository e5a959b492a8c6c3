"""Cells named by sentences, beside every control: ``docs/words.md`` and ``studies/words/results.json``.

``python -m studies.words [--workers 2] [--page-only]`` with ``$LEXICELL_DATA``, and ``$LEXICELL_OUTSIDE`` for
the further sets. About twenty minutes on two cores. AUCell and ULM are measured where decoupler is installed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import blake3
import numpy as np
import scipy.sparse as sp
from bench.real_data import data_folder
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.events import ignore
from lexicell.evaluation import CONTROLS, Panel
from lexicell.evaluation.cells.likenesses import meaningless, named_genes, of_genes, with_markers
from lexicell.evaluation.cells.markers import FewLabelled, marker_scores, named_by_most
from lexicell.evaluation.cells.placed import Named, Placed
from lexicell.lexicon import Lexicon
from lexicell.words import Description, name_cells
from lexicell.words import cells as grouping
from lexicell.words import naming as naming_settings
from lexicell.words.known import Labelled
from studies.words.beside import across_panels, from_store
from studies.words.likeness import KINDS, KINDS_OUTSIDE, alike
from studies.words.page import PAGE, RESULTS, page
from studies.words.scores import confidence_bins, decoupler_scores, intervals, score
from studies.words.sets import SENTENCES, SETS, LabelledSet, labelled_set, outside_sets

__all__ = ["main", "measure"]

_SEEDS, _DRAWS = 5, 200
_FEW = (1, 3, 5, 10)


def measure(job: tuple[str, int]) -> dict[str, Any]:
    """All rows of one set with one seed: name of the row -> numbers."""
    key, seed = job
    of = labelled_set(key)
    with of.aligned() as cells:
        placed = Placed(cells, seed)
        rows = _by_sentences(of, cells, placed, seed)
        rows |= _by_markers(of, cells, placed, seed)
        rows |= _by_labels(of, placed, cells.lexicon, seed)
    rows |= from_store(of)
    return rows | across_panels(of, seed) if of.group else rows


def _by_sentences(of: LabelledSet, cells: AlignedCells, placed: Placed, seed: int) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    types, lexicon = of.types, cells.lexicon

    def scored(named: Named, order: list[str] = types) -> dict[str, float]:
        return score(of.labels, order, named)

    for hand, sentences in of.sentences.items():
        found = name_cells(cells, _described(sentences), seed=seed, listener=ignore)
        present = found.types["present"].to_numpy(bool)
        named = Named(found.probability, found.scores, present)
        rows[f"hand {hand}"] = scored(named) | {"lost": int((~present).sum())}
        rows[f"bins {hand}"] = {"bins": confidence_bins(of.labels, types, named)}
        if len(rows) > 2:
            continue
        shift = 1 + seed % (len(types) - 1)
        rows["scrambled"] = scored(named, types[shift:] + types[:shift])
        if seed == 0:
            rows["by type"] = score(of.labels, types, named, by_type=True)
            rows["interval"] = intervals(of.labels, types, named, draws=_DRAWS, seed=seed)
    sentences = next(iter(of.sentences.values()))
    texts = [sentences[name] for name in types]
    both = alike("both", texts, lexicon)
    for control in CONTROLS if of.group else CONTROLS[:1]:
        rows[control] = scored(placed.name(*meaningless(both, control, seed)))
    for kind in KINDS if of.group else KINDS_OUTSIDE:
        rows[kind] = scored(placed.name(*alike(kind, texts, lexicon)))
    genes = of_genes(named_genes(texts, lexicon), lexicon)
    rows["named genes"] = scored(placed.compete(genes, both[1]))
    for name, others in of.absent.items():
        rows[f"absent {name}"] = _with_absent(of, placed, sentences | others, lexicon)
    if of.group:
        rows["whole group"] = _with_absent(of, placed, of.group, lexicon)
    return rows


def _with_absent(
    of: LabelledSet, placed: Placed, sentences: dict[str, str], lexicon: Lexicon
) -> dict[str, Any]:
    order = of.types + [name for name in sentences if name not in of.types]
    named = placed.name(*alike("both", [sentences[name] for name in order], lexicon))
    n = len(of.types)
    known = np.isin(of.labels, of.types)
    return score(of.labels, of.types, named) | {
        "extra": len(order) - n,
        "told": int((~named.present[n:]).sum()),
        "lost": int((~named.present[:n]).sum()),
        "taken": float((named.chosen[known] >= n).mean()),
    }


def _by_markers(of: LabelledSet, cells: AlignedCells, placed: Placed, seed: int) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    measured, lexicon = set(placed.symbols), cells.lexicon

    def scored(scores: NDArray[np.float64]) -> dict[str, float]:
        return score(of.labels, of.types, named_by_most(scores))

    for hand, markers in of.markers.items():
        lists = [markers[name] for name in of.types]
        texts = [of.sentences[hand][name] for name in of.types]
        both = alike("both", texts, lexicon)
        genes = of_genes(lists, lexicon)
        ways = {
            "markers": placed.compete(genes, both[1]),
            "both": placed.name(*with_markers(both, genes)),
        }
        if of.group:
            ways["markers, tested"] = placed.name(genes, both[1])
        for way, named in ways.items():
            rows[f"{way} {hand}"] = score(of.labels, of.types, named)
        ordered = dict(zip(of.types, lists, strict=True))
        rows[f"score_genes {hand}"] = scored(marker_scores(placed, ordered, seed))
        every = [gene for genes in lists for gene in genes]
        rows[f"panel {hand}"] = {"markers": len(every), "measured": sum(gene in measured for gene in every)}
        for method in ("aucell", "ulm") if seed == 0 else ():
            found = decoupler_scores(method, placed, ordered)
            if found is not None:
                rows[f"{method} {hand}"] = scored(found)
    return rows


def _by_labels(of: LabelledSet, placed: Placed, lexicon: Lexicon, seed: int) -> dict[str, Any]:
    counts = sp.csr_array(of.adata.X, dtype=np.float32)
    totals = np.asarray(counts.sum(axis=1), np.float32).ravel()
    panel = Panel(counts, np.arange(counts.shape[1], dtype=np.int32), totals)
    few, rows = FewLabelled(panel, of.labels, of.types), {}
    for n in _FEW:
        if (found := few.name(n, seed)) is not None:
            seen, named = found
            judged = of.labels.astype(object)
            judged[seen] = ""
            rows[f"{n} labelled"] = score(judged, of.types, named)
            told = np.full(len(judged), "", object)
            told[seen] = of.labels[seen]
            known = Labelled(told, "few"), of.types
            for hand, sentences in of.sentences.items():
                both = alike("both", [sentences[name] for name in of.types], lexicon)
                rows[f"{n} labelled + {hand}"] = score(judged, of.types, placed.name(*both, known))
    return rows


def _described(sentences: dict[str, str]) -> list[Description]:
    return [Description(name, sentence) for name, sentence in sentences.items()]


def _kept(job: tuple[str, int], folder: Path | None) -> dict[str, Any]:
    """Measure, or read what an earlier run measured."""
    kept = None if folder is None else folder / f"{job[0]}-{job[1]}.json"
    if kept is not None and kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    rows = measure(job)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(rows), encoding="utf-8")
    print(*job, file=sys.stderr)
    return rows


def _settings() -> dict[str, Any]:
    """What the numbers depend on, and no machine does."""
    lexicon = Lexicon.open(DEFAULT_LEXICON)
    named = {name: getattr(naming_settings, name) for name in vars(naming_settings) if name.isupper()}
    grouped = {name: getattr(grouping, name) for name in vars(grouping) if name.isupper()}
    return {
        "lexicon": lexicon.name,
        "identity": lexicon.identity,
        "seeds": _SEEDS,
        "resamplings": _DRAWS,
        "naming": {name.strip("_").lower(): value for name, value in sorted(named.items())},
        "groups": {name.strip("_").lower(): value for name, value in sorted(grouped.items())},
        "sentences": {
            path.name: blake3.blake3(path.read_bytes()).hexdigest()
            for path in (data_folder() / "descriptions.json", SENTENCES)
        },
    }


def _gathered(keys: Sequence[str], found: dict[tuple[str, int], dict[str, Any]]) -> dict[str, Any]:
    """Set -> row -> measure -> values of the seeds."""
    sets = {}
    for key in keys:
        of, rows = labelled_set(key), {}
        for name in found[key, 0]:
            ran = [found[key, seed][name] for seed in range(_SEEDS) if name in found[key, seed]]
            rows[name] = {what: [_rounded(one[what]) for one in ran] for what in ran[0]}
        described = int(np.isin(of.labels, of.types).sum())
        sets[key] = {"cells": len(of.labels), "described": described, "types": len(of.types), "rows": rows}
    return sets


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything, and write the page and its numbers anew."""
    parser = argparse.ArgumentParser(prog="python -m studies.words", description=main.__doc__)
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--page-only", action="store_true", help="from the numbers that are there")
    parser.add_argument("--keep", type=Path, help="a folder that a run which was ended is taken up from")
    given = parser.parse_args(argv)
    if not given.page_only:
        keys = [*SETS, *outside_sets()]
        jobs = [(key, seed) for seed in range(_SEEDS) for key in keys]
        os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
        with ProcessPoolExecutor(given.workers, multiprocessing.get_context("spawn")) as pool:
            ran = pool.map(_kept, jobs, [given.keep] * len(jobs))
            found = dict(zip(jobs, ran, strict=True))
        content = {"settings": _settings(), "sets": _gathered(keys, found)}
        RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    content = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(page(content), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
