"""Labels for the cells of a query: from labelled cells, from a trained projection, or from sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lexicell.annotation.across import Likenesses, name_by_composition
from lexicell.annotation.namer import CellNamer, Cells, NamesCells
from lexicell.annotation.reference import check_projection, fit_reference, of_projection, projection_of
from lexicell.annotation.result import Annotation, check_output, make_annotation
from lexicell.counts import Values, check_writable
from lexicell.embedding import AlignOptions, Listener, Note, align_cells
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.events import ignore, log
from lexicell.embedding.inputs import open_data
from lexicell.embedding.labels import read_labels
from lexicell.errors import InputError
from lexicell.learn.bridge import weight_matrix
from lexicell.learn.gene_atlas import read_through, resolve_atlas
from lexicell.learn.mixture import mix, own_components
from lexicell.lexicon import GeneAtlas, GeneList, Lexicon
from lexicell.projection import Projection
from lexicell.words import Description, name_cells
from lexicell.words.descriptions import gather_descriptions
from lexicell.words.known import Foretold, Known, Labelled

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["annotate", "annotate_anndata"]

_KEY = "lexicell_label"
_METHODS = ("logistic", "knn")
#: Probability from which a cell is named by a sentence; below it about half of the names are wrong.
SURE = 0.4


def annotate(
    query: str | Path | Sequence[str | Path] | AnnData,
    output: str | Path | None = None,
    *,
    reference: str | Path | Sequence[str | Path] | AnnData | Projection | None = None,
    label: str | None = None,
    describe: Mapping[str, str] | Sequence[Description] | str | Path | None = None,
    types: str | Sequence[str] | None = None,
    method: Literal["logistic", "knn"] = "logistic",
    threshold: float | None = None,
    mixture: bool | None = None,
    atlas: str | Path | GeneAtlas = "bundled",
    through: str | Path | AnnData | None = None,
    key_added: str = _KEY,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    reference_layer: str | None = None,
    reference_use_raw: bool = False,
    reference_modality: str | None = None,
    values: Values | str | None = None,
    gene_column: str | None = None,
    organism: str | None = None,
    min_coverage: float = 0.5,
    mask_genes: Sequence[str] = (),
    genes: GeneList | None = None,
    seed: int = 0,
    overwrite: bool = False,
    listener: Listener = log,
) -> Annotation:
    """Name the cells of a query: by those of a reference, or by sentences about what cell types do.

    Parameters
    ----------
    query
        Cells to name; see `lexicell.embed`.
    output
        ``.h5ad`` (a copy of the query with three columns more), ``.csv`` or ``.parquet``.
    reference
        A trained projection that has a classifier, or its folder; or labelled cells, to which a projection is
        fitted here. What is fitted depends on the genes: where the query measures genes with at least 30 % of
        the variance of the reference's 2,000 most variable ones, principal components of the genes that both
        measure; elsewhere a bridge of the genes' texts and of what other cells tell of genes, whose result is
        transductive and says so. Genes that both measure are then weighed with it.
    label
        Column of ``obs`` with the labels of the reference; with sentences and no reference, of the query,
        where some cells are labelled.
    describe, types
        Sentences by the names of types, or a file with a name, a tab and a sentence on each line (see
        `lexicell.words.read_descriptions`); and types whose sentences come with the package, by groups
        ("blood,pancreas") or names of the Cell Ontology. A sentence calls up the genes whose texts speak of
        the same, the cells correct how much each gene counts, and sentences compete for fine groups of cells
        (`lexicell.words.name_cells`). A type that is not there ends empty. Sentences need neither reference
        nor labels; where there are some, both are weighed, and cells that are labelled keep their label. The
        result is transductive: a cell's label depends on the other cells.
    method
        ``"logistic"``: logistic regression with calibrated probabilities. ``"knn"``: the share of the votes
        of the ten nearest reference cells; of labelled cells only.
    threshold
        Confidence below which a cell is "unknown"; None for the one that loses 5 % of the reference cells
        which are named rightly when they are held out; with sentences 0.4 by default.
    mixture
        Hold cells of the query that look alike to be of one class: a mixture of Gaussians in components of
        expression, one for each class, that is held near what is said of each cell; a label depends on the
        other cells then. None for where texts connect the two; and for where both measure the same, the
        reference has 50 labelled cells a class or fewer, and its cells lie among those of the query: then
        labelled cells take part and keep their class, and held out they decide whether the mixture helps.
        ``facts["mixture_why"]`` says what was found.
    atlas
        What unlabelled cells have told of which genes are alike, for a query of other genes: a file of
        ``lexicell genes learn``, "bundled" (human blood and pancreas) or "none".
    through
        Unlabelled cells that have measured the genes of query and reference, in one data set; ten help, and
        more than 1,000 are sampled.
    key_added
        Column of ``obs`` that gets the labels; two more get ``_confidence`` and ``_second`` appended.
    lexicon
        Bundled name, folder or opened lexicon.
    layer, use_raw, modality, follow_links, values, gene_column, organism, min_coverage, mask_genes, genes
        How the query is read and understood, see `lexicell.embed`. Links are followed, and genes masked and
        listed, in the reference too.
    reference_layer, reference_use_raw, reference_modality
        How a reference of labelled cells is read.
    seed
        Of folds, solvers and simulated panels.
    overwrite
        Replace an existing output.
    listener
        Is told what was understood and how far it is.

    Returns
    -------
    Annotation
        Labels of all cells; the same for the same input and seed. Named by sentences, it also has the types
        and the genes that speak for each.

    Raises
    ------
    InputError, CountsError, CoverageError, OutputExistsError
        Query, reference or an option can't be used or don't fit together, or `output` exists.
    CorruptDataError
        An input is damaged.
    MissingExtraError
        scikit-learn is not installed.

    Notes
    -----
    Query and reference are read in blocks. Beside vectors, the counts of 2,000 genes of the reference (and
    with `mixture` of the query) are in memory.
    """
    described = gather_descriptions(describe, types)
    _check(reference, method, described=described is not None, mixture=mixture)
    target = None if output is None else check_output(output, query, overwrite=overwrite)
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    projection = projection_of(reference)
    if reference is None and (
        reference_layer is not None or reference_use_raw or reference_modality is not None
    ):
        msg = "there is no reference; leave the --reference-... options out"
        raise InputError(msg)
    if projection is not None:
        check_projection(projection, label, method)
        if reference_layer is not None or reference_use_raw or reference_modality is not None:
            msg = f"the projection {projection.name} is no matrix; leave the --reference-... options out"
            raise InputError(msg)
    if through is not None and (reference is None or projection is not None):
        msg = "cells that measured both panels connect labelled cells with a query: leave --through out"
        raise InputError(msg)
    read = AlignOptions(
        lexicon=opened, values=values, gene_column=gene_column, organism=organism,
        min_coverage=min_coverage, mask_genes=mask_genes, genes=genes,
    )  # fmt: skip
    with open_data(query, layer, modality, use_raw=use_raw, follow_links=follow_links) as source:
        cells = Cells(align_cells(source, read, listener), listener)
        namer = None
        if projection is not None:
            namer = of_projection(projection, cells)
        elif reference is not None:
            with open_data(
                reference,
                reference_layer,
                reference_modality,
                use_raw=reference_use_raw,
                follow_links=follow_links,
            ) as labelled:
                genes_alike = AlignOptions(lexicon=opened, mask_genes=mask_genes, genes=genes)
                spread = False if described is not None else mixture
                beside = Likenesses(resolve_atlas(atlas, opened))
                if through is not None:
                    alike = read_through(through, genes_alike, listener, follow_links=follow_links, seed=seed)
                    beside = replace(beside, through=alike)
                namer = _fit(labelled, label, genes_alike, cells, method, spread, beside, seed)
        if described is not None:
            annotation = _annotate_by_sentences(cells, described, namer, label, threshold, seed)
        else:
            assert namer is not None  # noqa: S101 -- `_check` has looked
            annotation = _annotate(namer, cells, threshold, seed, mixture=mixture)
    if target is not None:
        annotation.write(target, query=query, key=key_added, overwrite=overwrite)
    return annotation


def annotate_anndata(
    adata: AnnData,
    *,
    reference: str | Path | Sequence[str | Path] | AnnData | Projection | None = None,
    key_added: str = _KEY,
    **options: Any,
) -> None:
    """Name the cells of an AnnData in place.

    Parameters
    ----------
    adata
        Cells x genes.
    reference
        See `lexicell.annotate`.
    key_added
        Name of what is written.
    **options
        Of `lexicell.annotate`, but for `output`, `overwrite` and `follow_links`.

    Returns
    -------
    None
        Writes ``adata.obs[key_added]`` and ``adata.obs[key_added + "_second"]`` (categorical),
        ``adata.obs[key_added + "_confidence"]`` (float32) and ``adata.uns[key_added]`` (what was used).

    Raises
    ------
    InputError, CountsError, CoverageError, CorruptDataError
        As `lexicell.annotate`; `adata` is then unchanged.
    """
    if refused := options.keys() & {"output", "overwrite", "follow_links"}:
        msg = f"tl.annotate writes into the AnnData: leave {', '.join(sorted(refused))} out"
        raise InputError(msg)
    check_writable(adata)
    annotation = annotate(adata, reference=reference, **options)
    for name, column in annotation.columns(key_added).items():
        adata.obs[name] = column.array
    adata.uns[key_added] = annotation.uns


def _check(reference: Any, method: str, *, described: bool, mixture: bool | None) -> None:
    """Raise where options do not go together."""
    if method not in _METHODS:
        msg = f"methods are {' and '.join(_METHODS)}, not {method!r}"
        raise InputError(msg)
    if described and (mixture or (reference is None and method != "logistic")):
        msg = "sentences name groups of cells: leave --mixture out, and without a reference --method"
        raise InputError(msg)
    if not described and reference is None:
        msg = "nothing tells what the cells are: give --reference, sentences (--describe), or --types"
        raise InputError(msg)


def _fit(
    labelled: Any,
    label: str | None,
    options: AlignOptions,
    cells: Cells,
    method: Literal["logistic", "knn"],
    mixture: bool | None,  # noqa: FBT001
    likenesses: Likenesses,
    seed: int,
) -> CellNamer:
    """Fit what suits labelled cells and the query."""
    listener = cells.listener
    if label is None:
        have = ", ".join(labelled.obs_columns) or "no columns at all"
        msg = f"{labelled.label}: name the column of obs that holds its labels (--label); it has {have}"
        raise InputError(msg)
    labels = read_labels(labelled, label, listener, unlabelled="not learned from")
    aligned = align_cells(labelled, options, listener)
    namer = fit_reference(
        Cells(aligned, listener), labels, cells,
        method=method, mixture=mixture, likenesses=likenesses, seed=seed, listener=listener,
    )  # fmt: skip
    namer.facts["reference_cells"] = int((labels != "").sum())
    return namer


def _annotate(
    namer: CellNamer, cells: Cells, threshold: float | None, seed: int, *, mixture: bool | None
) -> Annotation:
    """Name all cells of the query."""
    listener, source = cells.listener, cells.aligned.source
    vectors, quality = namer.embed(listener)
    probability = namer.name(vectors, quality)
    empty = ~probability.any(axis=1)
    spread = namer.together is not None
    across = namer.across or namer.facts.get("objective") == "bridge"
    mixed = not spread and (across if mixture is None else mixture)
    if mixed:
        listener(
            Note("cells of the query that look alike are held to be of one class: a mixture", serious=True)
        )
        # What two kinds of evidence say together is said once.
        trust = 1.0 if namer.mode == "both" else 2.0
        components = _components(replace(cells, listener=ignore), seed)

        def mixed_by(classifier: NamesCells | None = None) -> NDArray[np.float32]:
            return mix(namer.name(vectors, quality, classifier), components, trust=trust).astype(np.float32)

        probability = mixed_by()
        if namer.recentred is not None:
            probability, shift = name_by_composition(namer, probability, mixed_by, listener)
            namer.facts["composition_shift"] = shift
    if empty.any():
        probability[empty] = 0
        text = f"{empty.sum():,} cells have no gene in use, so they are unknown"
        listener(Note(text, serious=True))
    facts = {
        **namer.facts,
        "cells": source.n_cells,
        "coverage": float(quality.coverage.mean()),
        "mixture": mixed or spread,
        "transductive": mixed or spread or across,
    }
    return make_annotation(
        source.names(0, source.n_cells),
        namer.classifier.classes,
        probability,
        threshold=namer.classifier.threshold if threshold is None else _threshold(threshold),
        mode=namer.mode,
        facts=facts,
    )


def _annotate_by_sentences(
    cells: Cells,
    described: tuple[Description, ...],
    namer: CellNamer | None,
    label: str | None,
    threshold: float | None,
    seed: int,
) -> Annotation:
    """Name all cells of the query by what sentences say of them, and by what is known of them beside."""
    source, listener = cells.aligned.source, cells.listener
    known: Known | None = None
    why = f"no labelled cells were given, so {len(described):,} sentences compete for the cells"
    if namer is not None:
        probability, _ = namer.probability(listener)
        if not namer.across:
            text = "where the reference has the same genes, sentences seldom add to it: try it without them"
            listener(Note(text, serious=True))
        known = Foretold(namer.classifier.classes, probability, across=namer.across)
        why = (
            f"{len(described):,} sentences and the reference are weighed; of the latter: {namer.facts['why']}"
        )
    elif label is not None:
        labels = read_labels(source, label, listener, unlabelled="named by sentences", least=1)
        known = Labelled(labels, label)
        why = f"{len(described):,} sentences and {len(known.cells):,} labelled cells are weighed"
    found = name_cells(cells.aligned, described, known=known, seed=seed, listener=listener)
    facts = {
        "why": why,
        "cells": source.n_cells,
        "coverage": cells.aligned.coverage,
        "fitted": found.n_fitted,
        "transductive": True,
    }
    annotation = make_annotation(
        source.names(0, source.n_cells),
        tuple(found.types.index),
        found.probability,
        threshold=SURE if threshold is None else _threshold(threshold),
        mode="described",
        facts=facts,
    )
    return replace(annotation, types=found.types, genes=found.genes)


def _components(cells: Cells, seed: int) -> NDArray[np.float64]:
    """Components of the query's own expression."""
    weights, _ = weight_matrix(cells.select(cells.highly_variable()))
    return own_components(weights, seed=seed)


def _threshold(asked: float) -> float:
    if not 0 <= asked <= 1:
        msg = f"the threshold of a label is a probability from 0 to 1, not {asked}"
        raise InputError(msg)
    return asked
