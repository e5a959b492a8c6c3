"""Cells that a model generated, beside real ones, real halves and a bad generator, in our embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.counts import Values
from lexicell.embedding import Advanced, AlignOptions, Listener, Note
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.default_projection import default_projection
from lexicell.embedding.events import log
from lexicell.errors import InputError
from lexicell.evaluation.cells.distances import SIGMAS, distances
from lexicell.evaluation.cells.intervals import Interval, mean_interval
from lexicell.evaluation.cells.learned_methods import METHODS
from lexicell.evaluation.cells.panels import Panel, Task, panel_of
from lexicell.evaluation.cells.report_files import check_output, csv_of, interval_text, plain, write_report
from lexicell.lexicon import GeneList, Lexicon, gene_scales

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Distance", "DistanceLine", "GeneratedReport", "evaluate_generated"]

#: What half of the real cells is compared with.
GENERATED, REAL, SHUFFLED = "generated", "real (the floor)", "shuffled genes (a bad generator)"
_SCORES = ("w1", "w2", "mmd_linear", "mmd_rbf")
#: Fewest cells of a sample.
_LEAST = 10


@dataclass(frozen=True)
class Distance:
    """How far one sample is from one of real cells.

    Attributes
    ----------
    scenario
        "generative".
    setting, draw
        "all cells" or a class, and the number of the draw.
    compared
        What the sample is of.
    cells
        Of each sample.
    w1, w2
        See `lexicell.evaluation.cells.distances.wasserstein`.
    mmd_linear, mmd_rbf
        See `lexicell.evaluation.cells.distances.mmd`.
    """

    scenario: str
    setting: str
    draw: int
    compared: str
    cells: int
    w1: float
    w2: float
    mmd_linear: float
    mmd_rbf: float


@dataclass(frozen=True)
class DistanceLine:
    """Distances in one setting over all draws.

    Attributes
    ----------
    setting, compared, cells
        As in `Distance`.
    scores
        Score -> mean and interval over draws of cells from the same data.
    """

    setting: str
    compared: str
    cells: int
    scores: Mapping[str, Interval]


@dataclass(frozen=True)
class GeneratedReport:
    """What `evaluate_generated` found.

    Attributes
    ----------
    records
        One for each setting, draw and sample.
    skipped
        Class -> its real and generated cells, where these are too few.
    settings, data, versions
        How, of what and with what it was made: plain values.
    """

    records: tuple[Distance, ...]
    skipped: Mapping[str, tuple[int, int]]
    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    versions: Mapping[str, str]

    def lines(self) -> list[DistanceLine]:
        """All samples in all settings."""
        groups: dict[tuple[str, str, int], list[Distance]] = {}
        for record in self.records:
            groups.setdefault((record.setting, record.compared, record.cells), []).append(record)
        return [
            DistanceLine(
                *key,
                {
                    name: mean_interval(np.array([getattr(record, name) for record in drawn], np.float64))
                    for name in _SCORES
                },
            )
            for key, drawn in groups.items()
        ]

    def shares(self, setting: str) -> dict[str, float]:
        """Where generated cells are from the floor (0) to shuffled genes (1), by score."""
        means = {
            line.compared: {name: of.mean for name, of in line.scores.items()}
            for line in self.lines()
            if line.setting == setting
        }
        found = {}
        for name in _SCORES:
            floor, bad = means[REAL][name], means[SHUFFLED][name]
            found[name] = (means[GENERATED][name] - floor) / (bad - floor) if bad != floor else float("nan")
        return found

    def table(self, setting: str) -> tuple[list[str], list[list[str]]]:
        """Head and rows of a table for people."""
        rows = [
            [line.compared, *(interval_text(line.scores[name], form=".4g") for name in _SCORES)]
            for line in self.lines()
            if line.setting == setting
        ]
        shares = [f"{share:.2f}" for share in self.shares(setting).values()]
        return ["compared with real cells", *_SCORES], [*rows, ["floor 0, shuffled 1", *shares]]

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON; what was not measured is None."""
        settings = dict.fromkeys(record.setting for record in self.records)
        return plain(
            {
                "settings": self.settings,
                "data": self.data,
                "versions": self.versions,
                "skipped": {name: list(cells) for name, cells in self.skipped.items()},
                "lines": [asdict(line) for line in self.lines()],
                "shares": {setting: self.shares(setting) for setting in settings},
                "records": [asdict(record) for record in self.records],
            }
        )

    def csv(self) -> str:
        """Records in long format; see `Evaluation.csv`."""
        return csv_of([asdict(record) for record in self.records])

    def markdown(self) -> str:
        """A table for each setting: mean and 95 % interval over draws."""
        tables = []
        for setting in dict.fromkeys(record.setting for record in self.records):
            head, rows = self.table(setting)
            lines = [head, ["---", *["---:"] * len(_SCORES)], *rows]
            table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
            tables.append(f"### generative, {setting}\n\n{table}")
        return "\n\n".join(tables) + "\n"

    def write(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write ``scores.csv``, ``evaluation.json`` and ``tables.md``; see `Evaluation.write`."""
        return write_report(folder, self.csv(), self.as_dict(), self.markdown(), overwrite=overwrite)


def evaluate_generated(
    real: str | Path | Sequence[str | Path] | AnnData,
    generated: str | Path | Sequence[str | Path] | AnnData,
    *,
    label: str | None = None,
    draws: int = 10,
    cells: int = 1_000,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    values: Values | str | None = None,
    generated_values: Values | str | None = None,
    gene_column: str | None = None,
    organism: str | None = None,
    min_coverage: float = 0.5,
    mask_genes: Sequence[str] = (),
    genes: GeneList | None = None,
    seed: int = 0,
    output: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener = log,
) -> GeneratedReport:
    """Evaluate how near generated cells are to real ones, in the embedding of the recipe "lexicell".

    Each draw takes a sample of real cells, and compares it with as many generated ones, with as many other
    real ones (the floor, below which nothing can honestly be) and with these after each gene's counts were
    permuted over the cells (a generator that knows every gene's distribution and nothing else).

    Parameters
    ----------
    real, generated
        Cells, see `lexicell.embed`; read into memory whole. Only genes that both have count.
    label
        Column of ``obs`` that both have: each class is compared too. Cells without a label are left out.
    draws
        How many.
    cells
        Most cells of a sample; it is as large as the generated cells and half of the real ones allow.
    lexicon
        Bundled name, folder or opened lexicon.
    layer, use_raw, modality, follow_links
        How both are read; see `lexicell.embed`.
    values, generated_values
        What the numbers of the real and of the generated cells are; None to find out.
    gene_column, organism, min_coverage, mask_genes, genes
        How both are understood; see `lexicell.embed`.
    seed
        Of all draws.
    output
        Folder for ``scores.csv``, ``evaluation.json`` and ``tables.md``.
    overwrite
        Replace these.
    listener
        Is told what was left out, and progress.

    Returns
    -------
    GeneratedReport
        The same numbers for the same cells, lexicon and seed.

    Raises
    ------
    InputError, CountsError, CoverageError, OutputExistsError
        A data set cannot be used, they have no genes in common or too few cells, or an output exists.
    """
    if min(draws, cells) < 1 or cells < _LEAST:
        msg = f"draws are at least 1, and cells of a sample at least {_LEAST}"
        raise InputError(msg)
    if output is not None:
        check_output(Path(output), overwrite=overwrite)
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)

    def read(data: Any, kind: Values | str | None) -> Panel:
        options = AlignOptions(
            lexicon=opened, values=kind, gene_column=gene_column, organism=organism,
            min_coverage=min_coverage, mask_genes=mask_genes, genes=genes,
        )  # fmt: skip
        return panel_of(
            data, options, label=label, layer=layer, use_raw=use_raw, modality=modality,
            follow_links=follow_links, listener=listener,
        )  # fmt: skip

    sides = read(real, values), read(generated, generated_values)
    common = np.intersect1d(sides[0].rows, sides[1].rows)
    if len(common) < 2:
        msg = "real and generated cells have no two described genes in common"
        raise InputError(msg)
    left = [len(side.rows) - len(common) for side in sides]
    if any(left):
        listener(
            Note(f"{len(common):,} genes are in both; {left[0]:,} real, {left[1]:,} generated are left out")
        )
    report = _compare(
        sides[0].restrict(common), sides[1].restrict(common), opened, draws, cells, seed, listener
    )
    if output is not None:
        paths = report.write(output, overwrite=overwrite)
        listener(Note(f"written: {', '.join(map(str, paths))}"))
    return report


def _compare(
    real: Panel, generated: Panel, lexicon: Lexicon, draws: int, most: int, seed: int, listener: Listener
) -> GeneratedReport:
    from importlib.metadata import version

    embed = _embedder(lexicon)
    vectors = embed(real), embed(generated)
    settings: dict[str, tuple[NDArray[np.intp], NDArray[np.intp]]] = {
        "all cells": (np.arange(real.n_cells), np.arange(generated.n_cells))
    }
    for name in sorted({*real.classes(), *generated.classes()}):
        settings[name] = _of(real, name), _of(generated, name)
    sizes = {name: min(len(ours) // 2, len(theirs), most) for name, (ours, theirs) in settings.items()}
    if sizes["all cells"] < _LEAST:
        msg = (
            f"{real.n_cells} real and {generated.n_cells} generated cells are too few: samples have "
            f"{_LEAST}, and two are of the real ones"
        )
        raise InputError(msg)
    skipped = {
        name: (len(ours), len(theirs)) for name, (ours, theirs) in settings.items() if sizes[name] < _LEAST
    }
    if skipped:
        shown = ", ".join(
            f"{name} ({ours} real, {theirs} generated)" for name, (ours, theirs) in skipped.items()
        )
        listener(Note(f"classes with too few cells are left out: {shown}"))
    records = []
    kept = [name for name in settings if name not in skipped]
    for number, name in enumerate(kept):
        ours, theirs = settings[name]
        n = sizes[name]
        for draw in range(draws):
            rng = np.random.default_rng([seed, draw])
            drawn = rng.permutation(ours)[: 2 * n]
            first, second = drawn[:n], drawn[n:]
            samples = {
                GENERATED: vectors[1][rng.permutation(theirs)[:n]],
                REAL: vectors[0][second],
                SHUFFLED: embed(_shuffled(real.take(second), rng)),
            }
            for compared, sample in samples.items():
                found = distances(vectors[0][first], sample)
                records.append(Distance("generative", name, draw, compared, n, **found))
            listener(Advanced(number * draws + draw + 1, len(kept) * draws))
    facts = {
        "draws": draws, "cells": most, "seed": seed, "sigmas": list(SIGMAS), "recipe": "lexicell",
        "lexicon": {"name": lexicon.name, "identity": lexicon.identity}, "mmd": "squared, unbiased",
    }  # fmt: skip
    data = {"real": _facts(real), "generated": _facts(generated)}
    versions = {name: version(name) for name in ("lexicell", "numpy", "scipy")}
    return GeneratedReport(tuple(records), skipped, facts, data, versions)


def _facts(panel: Panel) -> dict[str, Any]:
    return {
        "cells": panel.n_cells,
        "genes": len(panel.rows),
        "classes": panel.classes(),
        "identity": panel.identity,
    }


def _of(panel: Panel, label: str) -> NDArray[np.intp]:
    return np.empty(0, np.intp) if panel.labels is None else np.flatnonzero(panel.labels == label)


def _embedder(lexicon: Lexicon) -> Any:
    table, scale = lexicon.vectors(lexicon.rows), gene_scales(lexicon)

    @cache
    def rows() -> NDArray[np.float32]:
        return default_projection(lexicon).table_rows(lexicon, lexicon.rows)

    def embed(panel: Panel) -> NDArray[np.float32]:
        bare = panel.without_labels()
        task = Task(table, bare, bare.take(np.empty(0, np.int64)), None, 0, scale, rows)
        vectors, _ = METHODS["lexicell"](task)
        return vectors

    return embed


def _shuffled(panel: Panel, rng: np.random.Generator) -> Panel:
    """The same counts of each gene, in other cells than before."""
    by_gene = sp.csc_array(panel.counts)
    cells = [rng.permutation(panel.n_cells)[:n] for n in np.diff(by_gene.indptr)]
    indices = np.concatenate(cells) if cells else np.empty(0, np.int64)
    shuffled = sp.csr_array(sp.csc_array((by_gene.data, indices, by_gene.indptr), shape=by_gene.shape))
    totals = np.asarray(shuffled.sum(axis=1, dtype=np.float64), np.float32)
    return Panel(shuffled, panel.rows, totals)
