"""Scenarios: which cells are labelled, which are to be classified, and which genes each side sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding.gene_statistics import highly_variable_columns
from lexicell.errors import InputError
from lexicell.evaluation.cells.panels import Panel

__all__ = [
    "SCENARIOS",
    "Scenario",
    "Skipped",
    "Split",
    "batch_splits",
    "disjoint_splits",
    "few_shot_splits",
    "partial_splits",
    "transfer_splits",
]

#: Which cells are labelled, and which are to be named.
Scenario = Literal["few-shot", "disjoint", "partial", "batches", "transfer", "described"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)


@dataclass(frozen=True)
class Skipped:
    """A class that a scenario leaves out, with the number of its cells and of those it would have needed."""

    scenario: Scenario
    n: int | None
    label: str
    cells: int
    needed: int


@dataclass(frozen=True)
class Split:
    """Cells with labels and cells to classify.

    Attributes
    ----------
    scenario
        What it is one of.
    setting
        Which part of the scenario: "n=5", "halves", the two sides of a transfer.
    n
        Labelled cells of each class, None where it is not the same for all.
    draw
        Number within scenario and setting; a draw's seed is the run's seed and this.
    sources
        What reference and query cells are taken from: twice the same panel, or two.
    cells
        Their positions there.
    genes
        Lexicon rows that each side sees; None for all.
    """

    scenario: Scenario
    setting: str
    n: int | None
    draw: int
    sources: tuple[Panel, Panel]
    cells: tuple[NDArray[np.int64], NDArray[np.int64]]
    genes: tuple[NDArray[np.int32] | None, NDArray[np.int32] | None] = (None, None)

    @property
    def one_source(self) -> bool:
        """Whether both sides are cells of one panel and see the same genes."""
        return self.sources[0] is self.sources[1] and self.same_genes

    @property
    def same_genes(self) -> bool:
        """Whether both sides see the same genes."""
        if any(genes is not None for genes in self.genes):
            return False
        return bool(np.array_equal(self.sources[0].rows, self.sources[1].rows))

    @property
    def other_batches(self) -> bool:
        """Whether the query is of other batches, or of another data set, than the reference."""
        return self.scenario == "batches" or self.sources[0] is not self.sources[1]

    @property
    def reference(self) -> Panel:
        """Labelled cells."""
        return self._side(0)

    @property
    def query(self) -> Panel:
        """Cells to classify, with the labels they really have."""
        return self._side(1)

    @property
    def labels(self) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
        """Labels of both sides."""
        first, second = (_labels(panel)[cells] for panel, cells in zip(self.sources, self.cells, strict=True))
        return first, second

    def _side(self, side: int) -> Panel:
        panel = self.sources[side].take(self.cells[side])
        genes = self.genes[side]
        return panel if genes is None else panel.restrict(genes)


def few_shot_splits(
    panel: Panel, sizes: tuple[int, ...], draws: int, seed: int
) -> tuple[list[Split], list[Skipped]]:
    """Draw n cells of each class as reference; all others of these classes are the query.

    A draw with fewer cells is part of the one with more. Classes of fewer than n + 1 cells are skipped.

    Raises
    ------
    InputError
        Fewer than two classes are left.
    """
    labels = _labels(panel)
    splits: list[Split] = []
    skipped: list[Skipped] = []
    for n in sizes:
        classes, small = _large_classes(panel, "few-shot", n, n + 1)
        skipped += small
        for draw in range(draws):
            rng = np.random.default_rng([seed, draw])
            shuffled = {name: rng.permutation(np.flatnonzero(labels == name)) for name in panel.classes()}
            drawn = np.sort(np.concatenate([shuffled[name][:n] for name in classes]))
            query = np.sort(np.concatenate([shuffled[name][n:] for name in classes]))
            splits.append(Split("few-shot", f"n={n}", n, draw, (panel, panel), (drawn, query)))
    return splits, skipped


def disjoint_splits(
    panel: Panel, draws: int, seed: int, *, n_genes: int = 4_000, least: int = 20
) -> tuple[list[Split], list[Skipped]]:
    """Split cells in two halves, and the most variable genes too: no gene is seen on both sides.

    Half of each class, all with labels, sees a random half of the genes, the other half of the class sees
    the other genes. Dispersion, variance over mean of ``log1p(1e4 x / N)``, is of all these cells, without
    labels: so would the maker of a panel choose genes, and both sides are to have informative ones.

    Parameters
    ----------
    panel, draws, seed
        What to split, how often, and by which random numbers.
    n_genes
        Most variable described genes, or all where there are fewer.
    least
        Classes of fewer cells are skipped.

    Raises
    ------
    InputError
        Fewer than two classes are left, or a half would have no gene.
    """
    classes, skipped = _large_classes(panel, "disjoint", None, least)
    labels = _labels(panel)
    eligible = np.flatnonzero(np.isin(labels, classes))
    part = panel.take(eligible)
    chosen = panel.rows[highly_variable_columns(part.counts, part.totals, n_genes)]
    if len(chosen) < 2:
        msg = f"only {len(chosen)} described genes vary between the cells; two halves can't be made of them"
        raise InputError(msg)
    splits = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        genes = _halves(rng, chosen)
        cells = _halved(rng, labels, classes)
        splits.append(Split("disjoint", "halves", None, draw, (panel, panel), cells, genes))
    return splits, skipped


def partial_splits(
    panel: Panel,
    draws: int,
    seed: int,
    *,
    n_genes: tuple[int, ...] = (300, 1_000),
    shares: tuple[float, ...] = (0, 0.02, 0.05, 0.1, 0.25),
    least: int = 20,
) -> tuple[list[Split], list[Skipped]]:
    """Split cells in two halves that see panels of the same size, with some genes in common.

    Panels are drawn from the most variable genes, as many as both panels need together, so that their genes
    are like markers; and from all genes that 1 % of the cells have.

    Parameters
    ----------
    panel, draws, seed
        What to split, how often, and by which random numbers.
    n_genes
        Genes of a panel; sizes that the data set has not enough genes for are left out.
    shares
        Parts of a panel that both have.
    least
        Classes of fewer cells are skipped.

    Raises
    ------
    InputError
        Fewer than two classes are left, or there are not enough genes for any panel.
    """
    classes, skipped = _large_classes(panel, "partial", None, least)
    labels = _labels(panel)
    part = panel.take(np.flatnonzero(np.isin(labels, classes)))
    detected = np.bincount(part.counts.indices, minlength=len(panel.rows)) >= 0.01 * part.n_cells
    splits = []
    for n, share in ((n, share) for n in n_genes for share in shares):
        common = round(share * n)
        variable = panel.rows[highly_variable_columns(part.counts, part.totals, 2 * n - common)]
        for kind, pool in (("variable", variable), ("random", panel.rows[detected])):
            if len(pool) < 2 * n - common:
                continue
            for draw in range(draws):
                rng = np.random.default_rng([seed, draw])
                drawn = rng.permutation(pool)[: 2 * n - common]
                first, second = _halves(rng, drawn[common:])
                genes = (np.union1d(first, drawn[:common]), np.union1d(second, drawn[:common]))
                cells = _halved(rng, labels, classes)
                setting = f"{share:.0%} of {n} {kind}"
                splits.append(Split("partial", setting, None, draw, (panel, panel), cells, genes))
    if not splits:
        msg = f"no two panels of {min(n_genes)} genes can be made of {len(panel.rows)} described genes"
        raise InputError(msg)
    return splits, skipped


def batch_splits(panel: Panel) -> tuple[list[Split], list[Skipped]]:
    """Classify each batch by the cells of all others; the draws are the batches in sorted order.

    Query cells of a class that no other batch has are left out.

    Raises
    ------
    InputError
        There are no batches, or one only.
    """
    batches = [] if panel.batch is None else np.unique(panel.batch).tolist()
    if panel.batch is None or len(batches) < 2:
        msg = "leaving batches out needs two of them; name the column of obs that holds them (--batch-key)"
        raise InputError(msg)
    labels = _labels(panel)
    splits: list[Split] = []
    skipped: list[Skipped] = []
    for draw, name in enumerate(batches):
        is_query = panel.batch == name
        trained = np.unique(labels[~is_query])
        if len(trained) < 2:
            msg = f"without the batch {name!r} there is one class only, so it can't be classified"
            raise InputError(msg)
        alone = panel.take(np.flatnonzero(is_query & ~np.isin(labels, trained))).classes()
        skipped += [Skipped("batches", None, label, cells, 1) for label, cells in alone.items()]
        query = np.flatnonzero(is_query & np.isin(labels, trained))
        if len(query):
            sides = (np.flatnonzero(~is_query), query)
            splits.append(Split("batches", "one held out", None, draw, (panel, panel), sides))
    return splits, skipped


def transfer_splits(
    reference: Panel,
    query: Panel,
    draws: int,
    seed: int,
    *,
    names: Mapping[str, str] | None = None,
) -> tuple[list[Split], list[Skipped]]:
    """Classify the cells of another data set, through the genes in common and through the text alone.

    Each draw takes a random half of each class of the reference, so that there is a spread; the query is the
    same in all. In the setting "common genes", both sides see the lexicon's genes that both measured: also a
    mouse gene and its human orthologue are one of these. In "text alone" no gene is seen on both sides: each
    of these genes is left to one side, by chance, beside those that only this side measured.

    Parameters
    ----------
    reference, query
        Panels of the same lexicon.
    draws, seed
        How often, and by which random numbers.
    names
        Label of the query -> that of the reference; others mean themselves.

    Raises
    ------
    InputError
        The data sets have no label or no gene in common.
    """
    classes = reference.classes()
    mapped = np.array([(names or {}).get(name, name) for name in _labels(query).tolist()], np.str_)
    shared = np.isin(mapped, list(classes))
    unknown = replace(query, labels=mapped).take(np.flatnonzero(~shared)).classes()
    skipped = [Skipped("transfer", None, name, cells, 0) for name, cells in unknown.items()]
    if not shared.any() or len(classes) < 2:
        msg = (
            f"no label of the query ({', '.join(unknown)}) is one of the reference ({', '.join(classes)}); "
            "give a JSON that maps one to the other (--map)"
        )
        raise InputError(msg)
    genes = np.intersect1d(reference.rows, query.rows)
    if len(genes) < 2:
        msg = "reference and query have no two described genes in common, so they are not of one lexicon"
        raise InputError(msg)
    common = (
        replace(reference.restrict(genes), expression=None),
        replace(query.restrict(genes), labels=mapped, expression=None),
    )
    sources = (reference, replace(query, labels=mapped))
    labels, queries = _labels(reference), np.flatnonzero(shared)
    splits = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        drawn, _ = _halved(rng, labels, list(classes))
        first, second = _halves(rng, genes)
        apart = np.setdiff1d(reference.rows, second), np.setdiff1d(query.rows, first)
        splits.append(Split("transfer", "common genes", None, draw, common, (drawn, queries)))
        splits.append(Split("transfer", "text alone", None, draw, sources, (drawn, queries), apart))
    return sorted(splits, key=lambda split: split.setting), skipped


def _labels(panel: Panel) -> NDArray[np.str_]:
    if panel.labels is None:
        msg = "the panel has no labels; make it with `panel_of`"
        raise InputError(msg)
    return panel.labels


def _large_classes(
    panel: Panel, scenario: Scenario, n: int | None, needed: int
) -> tuple[list[str], list[Skipped]]:
    sizes = panel.classes()
    large = [name for name, cells in sizes.items() if cells >= needed]
    small = [Skipped(scenario, n, name, cells, needed) for name, cells in sizes.items() if cells < needed]
    if len(large) < 2:
        largest = max(sizes.values(), default=0)
        msg = (
            f"{scenario}: fewer than two classes have {needed} cells (the largest has {largest}); "
            "give smaller numbers or more cells"
        )
        raise InputError(msg)
    return large, small


def _halves(rng: np.random.Generator, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    shuffled = rng.permutation(values)
    middle = (len(values) + 1) // 2
    return np.sort(shuffled[:middle]), np.sort(shuffled[middle:])


def _halved(
    rng: np.random.Generator, labels: NDArray[np.str_], classes: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    parts = [_halves(rng, np.flatnonzero(labels == name)) for name in classes]
    return np.sort(np.concatenate([a for a, _ in parts])), np.sort(np.concatenate([b for _, b in parts]))
