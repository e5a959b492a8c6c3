"""``lexicell.explain``, and ``lexicell.tl.explain`` in an AnnData."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._files import check_table
from lexicell.counts import Values, check_writable
from lexicell.embedding import Listener, Note, Options, Plan, Selection, make_plan
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.events import log
from lexicell.embedding.inputs import Output, inputs_of, open_data, run_mode
from lexicell.embedding.labels import find_cell
from lexicell.embedding.main_guard import check_main_guard
from lexicell.embedding.recipe import Recipe
from lexicell.errors import InputError
from lexicell.explanation.cells import GeneRows, check_linear, contributions, pooled_vectors, select_cell
from lexicell.explanation.directions import Direction
from lexicell.explanation.grouping import read_groups
from lexicell.explanation.groups import GroupQuestion, columns_of, explain_groups
from lexicell.explanation.pathways import TEXTS, Pathways, read_pathways
from lexicell.explanation.result import Explanation
from lexicell.lexicon import GeneList, Lexicon
from lexicell.projection import Projection
from lexicell.store import vectors_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["GeneSets", "explain", "explain_anndata"]

#: Genes of a set that is looked at in one cell, which uses few.
_OF_CELL = 3
#: Name of sets of genes, a file of them, or genes by the names of sets; None for none.
GeneSets = str | Path | Mapping[str, Sequence[str]] | None


def explain(
    data: str | Path | Sequence[str | Path] | AnnData,
    output: str | Path | None = None,
    *,
    group: str | None = None,
    contrast: Sequence[str] | None = None,
    donor: str | None = None,
    cell: str | None = None,
    like: str | None = None,
    text: str | None = None,
    class_name: str | None = None,
    direction: Sequence[float] | None = None,
    sets: GeneSets = TEXTS,
    gsea: bool = False,
    permutations: int = 10_000,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    projection: Projection | str | Path | None = None,
    recipe: str | Recipe | None = None,
    top_k: int | None = None,
    weight: str | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    values: Values | str | None = None,
    gene_column: str | None = None,
    organism: str | None = None,
    min_coverage: float = 0.5,
    mask_genes: Sequence[str] = (),
    genes: GeneList | None = None,
    seed: int = 0,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    listener: Listener = log,
) -> Explanation:
    """Tell which genes, and which sets of genes, put cells where they are.

    A cell's vector is a weighted mean of the rows of a table, so its score along any direction ``v`` is the
    sum of its genes' contributions ``w_g <T_g, v> / sum w``, over the length of the vector where vectors are
    normalised, and of the bias's. That is exact: contributions sum to the score.

    Parameters
    ----------
    data
        Cells, see `lexicell.embed`; their counts are read.
    output
        ``.csv`` or ``.parquet`` for the genes; a name without a suffix for a folder of Parquet files (genes,
        groups, pathways, similarity), written shard by shard, so that the run can be continued.
    group
        Column of ``obs`` whose groups are explained; None for all cells as one.
    contrast
        Two of the groups, of which the first is compared with the second; None for each with all others.
    donor
        Column of ``obs`` with the independent samples. Cells are never taken for such: without donors, or
        with fewer than three of ten cells or more a side, there is no inference from samples.
    cell
        Name of one cell to explain, in place of groups.
    like, text, class_name, direction
        What cells are scored by: the vector of a cell, of a sentence, a class of the projection's classifier,
        or ``p`` numbers. Without any, groups are scored by the difference of the two sides' mean vectors,
        scaled to length 1, and a cell by its own vector.
    sets
        ``"go"`` for the Gene Ontology terms that the lexicon's texts name, ``"go-bp"`` for 56 processes that
        come with the package, a ``.gmt`` file, or names of genes by names of sets; ``"none"`` or None for
        none. Of a set 10 to 500 genes are in use (3 or more of given sets, and in one cell), each in 1 of 200
        cells of a side.
    gsea
        Whether gseapy's preranked enrichment of the same contributions stands beside.
    permutations
        Of the nulls: of texts among genes of like expression, and of genes among sets; 0 for no p-values,
        which saves about a second a group.
    lexicon, projection, recipe, top_k, weight
        How the cells are embedded, see `lexicell.embed`. A projection with a head is refused: what comes
        after a non-linear function has no exact contributions.
    layer, use_raw, modality, follow_links, values, gene_column, organism, min_coverage, mask_genes, genes
        How data are read and understood, see `lexicell.embed`.
    seed
        Of the permutations.
    workers, scheduler
        Threads, or processes of a Dask cluster, that write a folder; see `lexicell.embed`.
    overwrite
        Replace an existing output.
    resume
        Go on with a run to this folder that was interrupted, or begin it.
    listener
        Is told what was understood and how far it is.

    Returns
    -------
    Explanation
        Tables of genes, groups and pathways.

    Raises
    ------
    InputError, CountsError, CoverageError, OutputExistsError
        There is no such column, group, cell or class; the projection has a head; data or an option can't be
        used.
    CorruptDataError
        An input is damaged.
    PartialError
        The run to a folder could not go on; what is done can be continued with `resume`.
    MissingExtraError
        gseapy is not installed.

    Examples
    --------
    >>> import lexicell
    >>> found = lexicell.explain("pbmc.h5ad", group="cell_type")  # doctest: +SKIP
    >>> found.top(5)[["group", "gene", "contribution", "p_adjusted"]]  # doctest: +SKIP
    """
    _check(group, contrast, donor, cell, (like, text, class_name, direction), permutations, seed)
    only = data[0] if isinstance(data, list | tuple) and len(data) == 1 else data
    if vectors_of(only) is not None:
        msg = f"{only} holds vectors and no counts; name the data that it was made from"
        raise InputError(msg)
    if scheduler == "local":
        check_main_guard()
    inputs = inputs_of(data, layer, modality, use_raw=use_raw, follow_links=follow_links)
    folder = _folder(
        output, cell, data if inputs is None else inputs, scheduler, overwrite=overwrite, resume=resume
    )
    if output is not None and folder is None:
        check_table(output, "contributions", overwrite=overwrite)
    options = Options(
        lexicon=lexicon, projection=projection, recipe=recipe, top_k=top_k, weight=weight, values=values,
        gene_column=gene_column, organism=organism, min_coverage=min_coverage, mask_genes=mask_genes,
        genes=genes,
    )  # fmt: skip
    with open_data(data, layer, modality, use_raw=use_raw, follow_links=follow_links) as source:
        plan = make_plan(source, options, listener)
        check_linear(plan)
        rows = GeneRows.of(plan)
        toward = _direction(plan, rows, like, text, class_name, direction, listener)
        # A cell that is not there is told before sets are read.
        selection, own = (None, None) if cell is None else _cell(plan, rows, cell)
        pathways = None
        if sets is not None and sets != "none":
            pathways = read_pathways(sets, plan.cells.lexicon, plan.folded.genes.rows, listener)
        about: dict[str, Any] = {
            "group": group,
            "reference": "",
            "donor": donor,
            "direction": "difference" if cell is None else "itself",
            "sets": None if pathways is None else pathways.name,
            "permutations": permutations,
            "seed": seed,
            **({} if toward is None else {"direction": toward.name}),
        }
        if cell is not None and selection is not None and own is not None:
            about["cell"] = cell
            vector = own if toward is None else toward.vector
            found = _explain_cell(plan, rows, selection, vector, pathways, about, gsea=gsea)
        else:
            pair = None if contrast is None else (str(contrast[0]), str(contrast[1]))
            groups = read_groups(plan, group, pair, donor, listener, needs_two=toward is None)
            about["reference"] = groups.reference
            question = GroupQuestion(groups, toward, pathways, permutations, seed, gsea, about)
            found = explain_groups(
                plan, question, inputs, folder, workers=workers, scheduler=scheduler, listener=listener
            )
    if output is not None and folder is None:
        found.write(output, overwrite=overwrite)
    return found


def explain_anndata(
    adata: AnnData, group: str, *, key_added: str = "lexicell_explain", **options: Any
) -> None:
    """Tell which genes put the groups of an AnnData where they are, as ``scanpy.tl.rank_genes_groups`` does.

    Parameters
    ----------
    adata
        Cells x genes.
    group
        Column of ``obs`` with the groups.
    key_added
        Where in ``uns`` it is written.
    **options
        Of `lexicell.explain`, but for `output`, `cell`, `workers`, `scheduler`, `overwrite`, `resume` and
        `follow_links`.

    Returns
    -------
    None
        Writes ``adata.uns[key_added]``: what ``scanpy.get.rank_genes_groups_df(adata, group, key=...)`` and
        scanpy's plots of ranked genes read, and the tables ``contributions``, ``groups``, ``pathways`` and
        ``similarity`` of `Explanation`, which `lexicell.pl` draws.

        Of what scanpy reads, ``scores`` are contributions, negative where a gene counts less in the group,
        ``logfoldchanges`` those of how much it counts, and ``pts`` the share of the cells that *use* the
        gene, not of those that have it.

    Raises
    ------
    InputError, CountsError, CoverageError, CorruptDataError, MissingExtraError
        As `lexicell.explain`; `adata` is then unchanged.
    """
    lacking = {"output", "cell", "workers", "scheduler", "overwrite", "resume", "follow_links"}
    if refused := options.keys() & lacking:
        msg = f"tl.explain writes into the AnnData: leave {', '.join(sorted(refused))} out"
        raise InputError(msg)
    check_writable(adata)
    if not key_added:
        msg = "what is written into uns has a name; give key_added one"
        raise InputError(msg)
    found = explain(adata, group=group, **options)
    made = adata.uns.get("lexicell", {})
    for what in ("recipe", "top_k", "weight", "projection"):
        if isinstance(made, Mapping) and made.get(what, found.facts[what]) != found.facts[what]:
            text = (
                f"the vectors of this AnnData were made with {what} {made[what]}, and {found.facts[what]} is "
                f"explained; give {what}= as for tl.embed"
            )
            options.get("listener", log)(Note(text, serious=True))
            break
    adata.uns[key_added] = found.uns(adata, group)


def _check(
    group: str | None,
    contrast: Sequence[str] | None,
    donor: str | None,
    cell: str | None,
    toward: tuple[Any, ...],
    permutations: int,
    seed: int,
) -> None:
    """Refuse what does not go together."""
    scored = sum(asked is not None for asked in toward)
    if scored > 1:
        msg = "cells are scored by one thing: a cell (--like), a sentence (--text), or a class (--class)"
        raise InputError(msg)
    if cell is not None and not group is contrast is donor is None:
        msg = "explain groups (--group) or one cell (--cell), not both"
        raise InputError(msg)
    if cell is None and group is None and contrast is donor is None and not scored:
        msg = "say what to explain: groups (--group), a cell (--cell), or all cells by a sentence (--text)"
        raise InputError(msg)
    if group is None and not contrast is donor is None:
        msg = "name the column of obs that holds the groups (--group)"
        raise InputError(msg)
    if contrast is not None and (isinstance(contrast, str) or len(contrast) != 2):
        msg = f"two groups are compared, not {contrast!r}"
        raise InputError(msg)
    for name, number in (("permutations", permutations), ("the seed", seed)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            msg = f"{name} must be a whole number from 0, not {number!r}"
            raise InputError(msg)


def _folder(
    output: str | Path | None,
    cell: str | None,
    data: Any,
    scheduler: str | None,
    *,
    overwrite: bool,
    resume: bool,
) -> Output | None:
    """Where an output without a suffix goes, shard by shard; None for a file or nothing."""
    if output is None or Path(output).suffix:
        if resume or scheduler is not None:
            what = "an explanation is continued in" if resume else "a cluster explains into"
            msg = f"{what} a folder (--out NAME), which is written shard by shard"
            raise InputError(msg)
        return None
    if cell is not None:
        msg = f"{output}: what explains one cell is a table; name a .csv or a .parquet"
        raise InputError(msg)
    folder = Output(output, mode=run_mode(overwrite=overwrite, resume=resume))
    folder.check_folder(data)
    return folder


def _direction(
    plan: Plan,
    rows: GeneRows,
    like: str | None,
    text: str | None,
    class_name: str | None,
    direction: Sequence[float] | None,
    listener: Listener,
) -> Direction | None:
    if like is not None:
        return Direction(f"like {like}", _cell(plan, rows, like)[1])
    if text is not None:
        return Direction.of_text(plan, text, listener)
    if class_name is not None:
        return Direction.of_class(plan, class_name)
    return None if direction is None else Direction.of_vector(direction, plan.dim)


def _cell(plan: Plan, rows: GeneRows, name: str) -> tuple[Selection, NDArray[np.float64]]:
    """The genes of one cell, and its vector."""
    source = plan.cells.source
    selection = select_cell(plan, find_cell(source.names(0, source.n_cells), name))
    (vector,) = pooled_vectors(selection, rows, unit=plan.recipe.normalise)
    if not vector.any():
        msg = f"{source.label}: the cell {name!r} has no described gene, so it has no vector; name another"
        raise InputError(msg)
    return selection, np.asarray(vector)


def _explain_cell(
    plan: Plan,
    rows: GeneRows,
    selection: Selection,
    vector: NDArray[np.float64],
    pathways: Pathways | None,
    about: dict[str, Any],
    *,
    gsea: bool,
) -> Explanation:
    cell = about["cell"]
    found = contributions(selection, rows, vector, unit=plan.recipe.normalise)
    order = np.argsort(-found.values, kind="stable")
    genes = pd.DataFrame({
        "group": cell,
        "gene": rows.symbols[found.genes],
        "column": columns_of(plan)[found.genes],
        "contribution": found.values,
        "share": selection.shares,
    })  # fmt: skip
    summed = None
    if pathways is not None:
        by_gene, share = np.zeros(len(rows.rows)), np.zeros(len(rows.rows))
        by_gene[found.genes], share[found.genes] = found.values, selection.shares
        summed = pathways.contributions(
            rows.symbols,
            by_gene,
            share,
            share > 0,
            permutations=about["permutations"],
            seed=about["seed"],
            gsea=gsea,
            least=_OF_CELL,
        )
        summed.insert(0, "group", cell)
    score = {"score": found.scores[0], "in_group": found.scores[0], "bias": found.bias[0], "cells": 1}
    return Explanation(
        genes.iloc[order].reset_index(drop=True),
        pd.DataFrame(score, index=pd.Index([cell], name="group")),
        summed,
        None,
        {**plan.provenance(), **about},
    )
