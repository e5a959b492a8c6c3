"""A gene atlas: what unlabelled cells tell of genes, and what texts foretell of it for all genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from lexicell._files import check_new_file
from lexicell.arrays import unit_rows
from lexicell.embedding import AlignedCells, AlignOptions, Listener, Note, align_cells
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.events import ignore, log
from lexicell.embedding.gene_statistics import gene_statistics
from lexicell.embedding.inputs import open_data
from lexicell.embedding.selected import SelectedCells
from lexicell.errors import InputError, needing
from lexicell.learn.bridge import weight_matrix
from lexicell.learn.gene_scales import predict_gene_scales
from lexicell.learn.likeness import Likeness
from lexicell.learn.mixture import scaled_to_variance
from lexicell.lexicon import AtlasCells, GeneAtlas, Lexicon, cell_hashes, open_gene_atlas
from lexicell.lexicon.text_index import index_of, singular_vectors
from lexicell.projection.whitening import fit_whitening

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "atlas_likenesses",
    "expression_of_genes",
    "foretell_loadings",
    "gene_loadings",
    "learn_gene_atlas",
    "read_through",
    "resolve_atlas",
]

#: One data set; see `lexicell.embed`.
Data: TypeAlias = Union[str, Path, "AnnData"]
#: Components of a data set, and of the words of texts.
_COMPONENTS, _WORDS = 50, 100
#: Cells that components are found in; more would not change them.
_MOST_CELLS = 20_000
#: Cells that genes are compared through; more hardly help.
_MOST_THROUGH = 1_000
#: Genes get loadings that so many of a data set's cells have.
_DETECTED = 0.005
#: Of the regression from texts to loadings, on columns of variance 1.
_RIDGE = 2_000.0


def learn_gene_atlas(
    data: Data | Sequence[Data] | Mapping[str, Data],
    output: str | Path | None = None,
    *,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    values: str | None = None,
    gene_column: str | None = None,
    organism: str | None = None,
    min_coverage: float = 0.5,
    seed: int = 0,
    overwrite: bool = False,
    listener: Listener = log,
) -> GeneAtlas:
    """Learn from unlabelled cells which genes are alike, and what texts foretell of it for all other genes.

    Parameters
    ----------
    data
        Data sets, each of one tissue or more and of at least 20 cells; by names, or called by their files.
        Each is read twice or thrice, block by block; components are those of up to 20,000 of its cells.
    output
        Parquet file to write.
    lexicon
        Bundled name, folder or opened lexicon, of ``G`` genes.
    layer, use_raw, modality, follow_links, values, gene_column, organism, min_coverage
        How data sets are read and understood; see `lexicell.embed`.
    seed
        Of samples and solvers.
    overwrite
        Replace `output`.
    listener
        Is told the progress.

    Returns
    -------
    GeneAtlas
        Of each data set 50 loadings of the genes that 0.5 % of its cells have, components of
        ``log1p(1e4 x / N)`` scaled to variance 1; the same, foretold from texts by ridge regression, for all
        genes; and the scales of `predict_gene_scales`.

    Raises
    ------
    InputError
        A data set has fewer than 20 cells or genes, or two have the same name.
    CountsError, CoverageError, CorruptDataError, OutputExistsError, WriteError
        As `lexicell.embed`.
    MissingExtraError
        scikit-learn is not installed.
    """
    named = _named(data)
    if output is not None:
        check_new_file(Path(output), overwrite=overwrite)
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    options = AlignOptions(
        lexicon=opened, values=values, gene_column=gene_column, organism=organism, min_coverage=min_coverage
    )
    vectors = opened.vectors(opened.rows).astype(np.float32)
    words = _words(opened, seed)
    features = _features(vectors, words)
    blocks: list[NDArray[np.float32]] = []
    foretold, learned, statistics, detected = [], [], [], []
    for name, given in named.items():
        with open_data(given, layer, modality, use_raw=use_raw, follow_links=follow_links) as source:
            aligned = align_cells(source, options, listener)
            statistics.append(gene_statistics(aligned, listener=listener))
            cells = _sampled(aligned, _MOST_CELLS, seed, listener)
            names = np.asarray(source.names(0, source.n_cells).astype(str), object)
            # Cells that were not drawn are known again, too: they are of the same experiment.
            totals = (cells if len(cells) == len(names) else aligned.select(1, listener=listener)).totals
        loadings = gene_loadings(cells, seed=seed)
        measured = int(loadings.any(axis=1).sum())
        start = sum(block.shape[1] for block in blocks)
        columns = (start, start + loadings.shape[1])
        detected.append(np.bincount(cells.genes, minlength=opened.n_genes) / len(cells))
        learned.append(AtlasCells.of(name, len(cells), measured, columns, cell_hashes(names, totals)))
        blocks.append(np.asarray(unit_rows(loadings), np.float32))
        foretold.append(foretell_loadings(loadings, features))
        listener(Note(f"{name}: loadings of {measured:,} genes from {len(cells):,} cells"))
    atlas = GeneAtlas(
        np.hstack(blocks),
        np.hstack(foretold),
        words,
        np.stack(detected, axis=1).astype(np.float32),
        predict_gene_scales(statistics, vectors),
        tuple(learned),
        {
            "lexicon": opened.name,
            "lexicon_identity": opened.identity,
            "components": _COMPONENTS,
            "seed": seed,
            "versions": {name: version(name) for name in ("lexicell", "numpy", "scikit-learn")},
        },
    )
    if output is not None:
        atlas.save(output, opened, overwrite=overwrite)
    return atlas


def gene_loadings(cells: SelectedCells, *, seed: int = 0) -> NDArray[np.float32]:
    """How genes load on the principal components of cells, ``[G, 50]``, times their spread.

    Parameters
    ----------
    cells
        With all described genes. Those that fewer than 0.5 % of them have get zeros.
    seed
        Of the solver.

    Raises
    ------
    InputError
        There are fewer than 20 cells or genes, or no two cells differ.
    MissingExtraError
        scikit-learn is not installed.
    """
    with needing("train", "Loadings of genes"):
        from sklearn.decomposition import PCA
    weights, rows = weight_matrix(cells)
    common = np.bincount(weights.indices, minlength=len(rows)) > _DETECTED * len(cells)
    if min(len(cells), int(common.sum())) < 20:
        msg = f"loadings are learned from 20 cells and genes or more, not {len(cells)} and {common.sum()}"
        raise InputError(msg)
    scaled = scaled_to_variance(weights[:, common])
    if not scaled.nnz:
        msg = "no two cells differ, so genes have no loadings; give cells of several types"
        raise InputError(msg)
    n = min(_COMPONENTS, min(scaled.shape) - 1)
    solver = PCA(n, svd_solver="arpack", random_state=seed).fit(scaled)
    loadings = np.zeros((cells.n_lexicon, n), np.float32)
    loadings[rows[common]] = solver.components_.T * np.sqrt(solver.explained_variance_)
    return loadings


def foretell_loadings(loadings: NDArray[np.float32], features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ridge regression from texts to loadings, ``[G, c]``, for all genes: what is foretold, of length 1.

    Parameters
    ----------
    loadings
        ``[G, c]``, 0 for genes that are not learned from.
    features
        ``[G, f]`` of the texts, columns of variance 1.
    """
    measured = loadings.any(axis=1)
    known, targets = features[measured].astype(np.float64), loadings[measured].astype(np.float64)
    square = known.T @ known + _RIDGE * np.eye(features.shape[1])
    weight = np.linalg.solve(square, known.T @ (targets - targets.mean(axis=0)))
    return np.asarray(unit_rows(features @ weight.astype(np.float32)), np.float32)


def atlas_likenesses(atlas: GeneAtlas | None) -> tuple[Likeness, ...]:
    """What a gene atlas tells of which genes are alike, to stand beside their texts; nothing for None."""
    if atlas is None:
        return ()
    parts = (("words", atlas.words), ("loadings", atlas.loadings), ("foretold loadings", atlas.foretold))
    return tuple(Likeness(name, vectors) for name, vectors in parts if vectors.any())


def expression_of_genes(cells: SelectedCells) -> Likeness:
    """What some cells tell of which genes are alike: their expression, each gene scaled to variance 1.

    Parameters
    ----------
    cells
        That have measured the genes of both panels; ten are of use, 200 enough.
    """
    weights, rows = weight_matrix(cells)
    dense = weights.toarray().astype(np.float32)
    dense -= dense.mean(axis=0)
    dense /= np.maximum(dense.std(axis=0), 1e-3)
    vectors = np.zeros((cells.n_lexicon, len(cells)), np.float32)
    vectors[rows] = np.clip(dense, -10, 10).T
    return Likeness("co-expression", vectors)


def read_through(
    data: Data,
    options: AlignOptions,
    listener: Listener = ignore,
    *,
    follow_links: bool = False,
    seed: int = 0,
) -> Likeness:
    """Read cells that have measured the genes of two panels; of more than 1,000 a sample.

    Parameters
    ----------
    data
        See `lexicell.embed`. Its X is read, as raw counts or whatever it is found to hold.
    options
        Lexicon, and which genes are left out.
    listener
        Is told the progress.
    follow_links
        See `lexicell.embed`.
    seed
        Of the sample.

    Raises
    ------
    InputError
        There are fewer than three cells.
    """
    with open_data(data, None, None, use_raw=False, follow_links=follow_links) as source:
        alike = AlignOptions(lexicon=options.lexicon, mask_genes=options.mask_genes, genes=options.genes)
        aligned = align_cells(source, alike, listener)
        if source.n_cells < 3:
            msg = f"{source.label}: genes are compared through three cells or more, not {source.n_cells}"
            raise InputError(msg)
        return expression_of_genes(_sampled(aligned, _MOST_THROUGH, seed, listener))


def resolve_atlas(atlas: str | Path | GeneAtlas | None, lexicon: Lexicon) -> GeneAtlas | None:
    """Open a gene atlas by its path or as "bundled"; "none" for none at all.

    Raises
    ------
    InputNotFoundError, InputError, CorruptDataError
        See `lexicell.lexicon.open_gene_atlas`.
    """
    if isinstance(atlas, GeneAtlas):
        return atlas
    return None if atlas == "none" else open_gene_atlas(lexicon, atlas or "bundled")


def _named(data: Data | Sequence[Data] | Mapping[str, Data]) -> dict[str, Data]:
    if isinstance(data, Mapping):
        names, given = [*data], [*data.values()]
    else:
        given = list(data) if isinstance(data, Sequence) and not isinstance(data, str) else [data]
        names = [
            Path(one).stem if isinstance(one, str | Path) else f"data {i + 1}" for i, one in enumerate(given)
        ]
    if not given or len(set(names)) < len(names):
        msg = "two data sets have the same name; give each its own, as NAME=FILE"
        raise InputError(msg if given else "a gene atlas is learned from cells: give a data set or more")
    return dict(zip(names, given, strict=True))


def _sampled(cells: AlignedCells, most: int, seed: int, listener: Listener) -> SelectedCells:
    only, n = None, cells.source.n_cells
    if n > most:
        only = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    return cells.select(None, only=only, listener=listener)


def _words(lexicon: Lexicon, seed: int) -> NDArray[np.float32]:
    index = index_of(lexicon)
    if index is None or min(index.matrix.shape) <= 1:
        return np.zeros((lexicon.n_genes, 1), np.float32)
    return np.asarray(unit_rows(singular_vectors(index.matrix, _WORDS, seed=seed)), np.float32)


def _features(vectors: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[Any]:
    """What loadings are foretold from: whitened vectors and words of texts, columns of variance 1."""
    whitened = fit_whitening(vectors, kind="zca").apply(vectors) * np.sqrt(vectors.shape[1])
    spread = words.std(axis=0)
    return np.hstack([whitened, (words - words.mean(axis=0)) / np.where(spread > 0, spread, 1)])
