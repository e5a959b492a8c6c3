"""Ways to turn cells into vectors, and the controls that tell whether the text did it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding import RECIPES, Listener, Note, Recipe
from lexicell.errors import MissingExtraError
from lexicell.evaluation.cells.expression import Correction, components, corrected_components, log_normalise
from lexicell.evaluation.cells.panels import Panel, Task
from lexicell.projection import Pooling
from lexicell.projection.whitening import fit_whitening
from lexicell_kernels import CsrBlock, GeneTable, Rows, Weight, embed_rows

__all__ = ["BASELINES", "Method", "Vectors", "embed_panel", "pool"]

#: Vectors of the reference cells and of the query cells.
Vectors = tuple[NDArray[np.float32], NDArray[np.float32]]

_HVG = 2_000


@dataclass(frozen=True)
class Method:
    """A way to embed the cells of a task.

    Attributes
    ----------
    name
        What people call it.
    run
        Embeds a task: ``[n, p]`` for the reference, ``[q, p]`` for the query.
    text
        Whether it reads the genes' vectors. It is then run with shuffled and with random ones too; one that
        reads none is itself a control.
    transductive
        Whether it also learns from ``task.unlabelled``.
    per_draw
        Whether its vectors depend on which cells are labelled. Where they do not, all cells are embedded
        once, as a reference without labels and an empty query.
    shared_genes
        Whether reference and query must have measured the same genes.
    other_genes
        Whether it is only for a query that has measured other genes than the reference.
    some_genes
        Whether it is only for a query whose genes are in part those of the reference.
    atlas
        Whether it also reads ``task.atlas``.
    other_batches
        Whether it is only for a query of other batches, or another data set, than the reference.
    given
        Whether its vectors are from elsewhere, of all genes that were measured: no control, and for cells of
        one data set that see all genes.
    mixture
        Whether classes are mixed once the classifiers have said what they can; see `lexicell.learn.mixture`.
        Where labelled cells and query are of one data set, in their vectors, and from both classifiers, so
        that both give the same.
    evidence
        Gives probabilities of classes ``[q, C]``, sorted by name, that those of a classifier are multiplied
        with; None for none.
    package
        What must be installed beside scikit-learn; where it is not, there are no rows, and a note says so.
    source
        Where the method is from.
    """

    name: str
    run: Callable[[Task], Vectors]
    text: bool = True
    transductive: bool = False
    per_draw: bool = True
    shared_genes: bool = False
    other_genes: bool = False
    some_genes: bool = False
    atlas: bool = False
    other_batches: bool = False
    given: bool = False
    mixture: bool = False
    evidence: Callable[[Task], NDArray[np.float64]] | None = None
    package: str = ""
    source: str = ""

    def __call__(self, task: Task) -> Vectors:
        """Embed the cells of a task."""
        return self.run(task)


#: Package that a method takes -> the extra that brings it.
_EXTRAS = {"harmonypy": "harmony", "torch": "train"}


def installed_methods(methods: Sequence[Method], listener: Listener, *, batches: bool = True) -> list[Method]:
    """Leave methods out whose packages are not there, and tell of those that would have had rows.

    Parameters
    ----------
    methods
        What is asked for.
    listener
        Is told.
    batches
        Whether methods for other batches would have rows.

    Raises
    ------
    MissingExtraError
        None would be left.
    """
    lacking = [method for method in methods if method.package and find_spec(method.package) is None]
    kept = [method for method in methods if method not in lacking]
    if told := [method for method in lacking if batches or not method.other_batches]:
        names = ", ".join(method.name for method in told)
        extras = ",".join(sorted({_EXTRAS[method.package] for method in told}))
        if not kept:
            raise MissingExtraError.of(extras, names)
        lacks = f'which need what is not installed: pip install "lexicell[{extras}]"'
        listener(Note(f"no rows of {names}, {lacks}"))
    return kept


def embed_panel(
    panel: Panel,
    vectors: NDArray[np.float32],
    recipe: Recipe | Pooling,
    *,
    used: NDArray[np.bool_] | None = None,
    bias: NDArray[np.float32] | None = None,
    rank_factor: NDArray[np.float32] | None = None,
) -> Rows:
    """Embed a panel's cells with the kernel.

    Parameters
    ----------
    panel
        ``n`` cells, ``m`` genes.
    vectors
        ``[m, p]``, of the panel's genes, or of those that are used.
    recipe
        k, weight, normalisation.
    used
        ``[m]`` genes that may be selected; None for all.
    bias
        ``[p]``, None for 0.
    rank_factor
        ``[m]`` like `vectors`: what counts are multiplied with to select genes, None for 1.
    """
    m = len(panel.rows)
    if panel.n_cells == 0:
        nothing = np.empty(0)
        return Rows(np.empty((0, vectors.shape[1]), np.float32), nothing, nothing, nothing)
    rank = np.full(m + 1, -1, np.int32)
    columns = np.arange(m) if used is None else np.flatnonzero(used)
    rank[columns] = np.arange(len(columns), dtype=np.int32)
    return embed_rows(
        _kernel_block(panel),
        GeneTable(np.ascontiguousarray(vectors, np.float32), rank, rank_factor, bias),
        k=recipe.top_k,
        weight=Weight(recipe.weight),
        normalise=recipe.normalise,
    )


def pool(panel: Panel, vectors: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float32]:
    """Embed a panel's cells with vectors ``[G, d]`` of all genes of the lexicon, ``[n, d]``."""
    pooled: NDArray[np.float32] = embed_panel(panel, vectors[panel.rows], recipe).vectors
    return pooled


def _kernel_block(panel: Panel) -> CsrBlock:
    """Counts of a panel for the kernel, with one column more, which is no gene.

    Weights are relative to all of a cell's counts, so it holds those of undescribed genes.
    """
    other_counts = panel.totals - np.asarray(panel.counts.sum(axis=1, dtype=np.float64))
    counts = sp.csr_array(sp.hstack([panel.counts, np.maximum(other_counts, 0)[:, None]], format="csr"))
    return CsrBlock(
        data=counts.data.astype(np.float32),
        indices=counts.indices.astype(np.int32),
        indptr=counts.indptr.astype(np.int64),
        n_columns=len(panel.rows) + 1,
    )


def _pooled(recipe: Recipe) -> Callable[[Task], Vectors]:
    return lambda task: (
        pool(task.reference, task.vectors, recipe),
        pool(task.query, task.vectors, recipe),
    )


def _whitened(task: Task) -> Vectors:
    vectors = fit_whitening(task.vectors, kind="zca").apply(task.vectors)
    recipe = RECIPES["paper"]
    return pool(task.reference, vectors, recipe), pool(task.query, vectors, recipe)


def _scelmo(task: Task) -> Vectors:
    def embed(panel: Panel) -> NDArray[np.float32]:
        weights = log_normalise(panel.all_counts)
        described = log_normalise(panel.counts, panel.totals) @ task.vectors[panel.rows]
        sums = np.maximum(np.asarray(weights.sum(axis=1, dtype=np.float64)), 1e-12)
        return np.asarray(described / sums[:, None], np.float32)

    return embed(task.reference), embed(task.query)


def _components(n_genes: int | None, *, transductive: bool) -> Callable[[Task], Vectors]:
    def embed(task: Task) -> Vectors:
        fitted = task.reference
        if transductive and task.unlabelled is not None:
            fitted = _stack(task.reference, task.unlabelled)
        reference, query = components(fitted, [task.reference, task.query], n_genes=n_genes, seed=task.seed)
        return reference, query

    return embed


def _corrected(how: Correction) -> Callable[[Task], Vectors]:
    def embed(task: Task) -> Vectors:
        sides = (task.reference, task.query)
        # Cells of two data sets are of two batches, whatever these are called.
        batches = np.concatenate(
            [
                np.char.add(f"{side} ", np.full(panel.n_cells, "") if panel.batch is None else panel.batch)
                for side, panel in enumerate(sides)
            ]
        )
        found = corrected_components(_stack(*sides), batches, how=how, n_genes=_HVG, seed=task.seed)
        return found[: sides[0].n_cells], found[sides[0].n_cells :]

    return embed


def _stack(first: Panel, second: Panel) -> Panel:
    counts = sp.csr_array(sp.vstack([first.all_counts, second.all_counts], format="csr"))
    return Panel(counts, first.rows, np.concatenate([first.totals, second.totals]))


_PCA = "PCA of log1p(1e4 x / N)"
#: How batches are corrected for, in words, and the package that it takes.
_CORRECTIONS: tuple[tuple[Correction, str, str], ...] = (
    ("centred", "each centred in each batch, scaled", ""),
    ("harmony", "scaled, corrected by Harmony", "harmonypy"),
)
BASELINES: dict[str, Method] = {
    method.name: method
    for method in (
        Method("paper", _pooled(RECIPES["paper"]), per_draw=False, source=RECIPES["paper"].source),
        Method("genept-w", _pooled(RECIPES["genept-w"]), per_draw=False, source=RECIPES["genept-w"].source),
        Method(
            "scelmo",
            _scelmo,
            per_draw=False,
            source="mode wa of scELMo (Liu et al. 2023): log-normalised expression over its sum, times "
            "vectors; genes without one stay in the sum as zeros, and lengths are kept",
        ),
        Method("whitened", _whitened, per_draw=False, source="paper, vectors whitened over all genes"),
        *(
            Method(
                f"{name}{'' if transductive else '-labelled'}{'+mixture' if mixture else ''}",
                embed,
                text=False,
                transductive=transductive,
                per_draw=not transductive,
                shared_genes=True,
                mixture=mixture,
                source=f"{_PCA}, {genes}, fitted on {'all cells' if transductive else 'the labelled cells'}"
                + "; then a mixture" * mixture,
            )
            for name, n_genes, genes in (
                ("pca50-all", None, "all genes"),
                ("pca50-hvg", _HVG, f"{_HVG:,} most variable genes, scaled"),
            )
            for transductive in (True, False)
            for embed in [_components(n_genes, transductive=transductive)]
            for mixture in ((False, True) if transductive else (False,))
        ),
        *(
            Method(
                f"pca50-{how}{'+mixture' if mixture else ''}",
                embed,
                text=False,
                transductive=True,
                per_draw=False,
                shared_genes=True,
                other_batches=True,
                mixture=mixture,
                package=package,
                source=f"{_PCA}, {_HVG:,} most variable genes of all cells, {about}"
                + "; then a mixture" * mixture,
            )
            for how, about, package in _CORRECTIONS
            for embed in [_corrected(how)]
            for mixture in (False, True)
        ),
    )
}
