"""Genes of groups of cells, and their promoters: for models of DNA, which read no cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from lexicell._files import hash_file
from lexicell.embedding import AlignedCells, Listener, Note, plan_cells
from lexicell.embedding.labels import read_labels
from lexicell.embedding.recipe import resolve_recipe
from lexicell.errors import InputError
from lexicell.explanation import GeneRows
from lexicell.explanation.cells import check_linear
from lexicell.explanation.sums import GroupSums, SumShards
from lexicell.exports.ensembl import ensembl_ids
from lexicell.exports.prepared import Prepared
from lexicell.exports.promoters import promoters, read_genes
from lexicell.projection import Projection
from lexicell.store import parquet_bytes
from lexicell_kernels import Weight

if TYPE_CHECKING:
    from lexicell.store import WriterStore

__all__ = ["GroupGeneOptions", "prepare"]


@dataclass(frozen=True)
class GroupGeneOptions:
    """Which genes of which groups.

    Attributes
    ----------
    group
        Column of ``obs`` that tells groups of cells apart.
    by
        ``"contribution"``: genes that count more in the group, and contribute most to the difference of its
        mean vector and that of the rest, see `lexicell.explain`;
        ``"expression"``: those with the largest mean of ``log1p(1e4 x / N)``.
    n
        Genes of a group.
    gtf
        GTF of a genome, gzipped or not: their promoters are written too, as promoters.bed.
    upstream
        Bases of a promoter before a gene.
    downstream
        Bases of a promoter from the first base of a gene on.
    recipe, projection
        Name of a recipe, and folder of a learned projection, for contributions; see `VectorOptions`.
    """

    group: str
    by: Literal["contribution", "expression"] = "contribution"
    n: int = 50
    gtf: str | None = None
    upstream: int = 1500
    downstream: int = 300
    recipe: str | None = None
    projection: str | None = None

    def __post_init__(self) -> None:
        if self.by not in {"contribution", "expression"}:
            msg = f"genes are chosen by contribution or expression, not {self.by!r}"
            raise InputError(msg)
        if self.n < 1:
            msg = f"a group has at least one gene, not {self.n}"
            raise InputError(msg)
        if min(self.upstream, self.downstream) < 0 or not 0 < self.upstream + self.downstream < 2**31:
            msg = "a promoter has some bases upstream or downstream, and no fewer than none"
            raise InputError(msg)


@dataclass(frozen=True)
class _Assembly:
    """Sums over groups, see `lexicell.exports.prepared.Assembly`."""

    options: GroupGeneOptions
    groups: tuple[str, ...]
    genes: pd.DataFrame
    rows: GeneRows | None
    scale: float
    places: pd.DataFrame | None
    listener: Listener

    def __call__(
        self,
        tables: Iterable[pa.Table],
        store: WriterStore,
        card: Mapping[str, Any],  # noqa: ARG002
    ) -> Mapping[str, Any]:
        sums = GroupSums.read(tables, len(self.groups), len(self.genes), self.scale)
        score, seen = sums.means, sums.found.toarray()
        if self.rows is not None:
            groups = np.eye(len(self.groups), dtype=bool)
            pairs = (sums.merged(np.stack([one, ~one])) for one in groups)
            contrasts = [self.rows.contrast(pair) for pair in pairs]
            score = np.stack([np.where(of.more, of.contributions, 0) for of in contrasts])
        score = np.where(seen > 0, score, -np.inf)
        best = np.argsort(-score, axis=1, kind="stable")[:, : self.options.n]
        group = np.arange(len(self.groups))[:, None]
        kept = score[group, best] > 0
        at = best[kept]
        found = pd.DataFrame(
            {
                "group": np.repeat(np.asarray(self.groups, object), kept.sum(axis=1)),
                "rank": (np.cumsum(kept, axis=1)[kept]).astype(np.int32),
                "ensembl_id": self.genes["ensembl_id"].to_numpy(object)[at],
                "symbol": self.genes["symbol"].to_numpy(object)[at],
                "score": score[group, best][kept],
                "n_cells": seen[group, best][kept],
            }
        )
        table = pa.Table.from_pandas(found, preserve_index=False).replace_schema_metadata(None)
        store.put("group_genes.parquet", (parquet_bytes(table),))
        cells = int((sums.cells + sums.without).sum())
        told: dict[str, Any] = {"cells": cells, "groups": len(self.groups), "genes_of_groups": len(found)}
        if self.places is not None:
            told |= self._write_promoters(store, set(found["ensembl_id"]) - {""})
        return told

    def _write_promoters(self, store: WriterStore, wanted: set[str]) -> dict[str, Any]:
        assert self.places is not None  # noqa: S101
        here = self.places[self.places["ensembl_id"].isin(wanted)]
        bed = promoters(here, self.options.upstream, self.options.downstream)
        store.put("promoters.bed", (bed.to_csv(sep="\t", header=False, index=False).encode(),))
        length = self.options.upstream + self.options.downstream
        short = int((bed["end"] - bed["start"] != length).sum())
        without = len(wanted - set(bed["name"]))
        if short or without:
            text = f"{without:,} genes are not in the GTF; {short:,} promoters begin before their chromosome"
            self.listener(Note(text, serious=True))
        return {"promoters": len(bed), "genes_without_promoter": without, "promoters_cut_off": short}


def prepare(cells: AlignedCells, options: GroupGeneOptions, listener: Listener) -> Prepared:
    """Settle groups, and where genes lie.

    Raises
    ------
    InputError
        There is no such column, recipe, projection or file; contributions need two groups.
    CoverageError
        The GTF has no gene of the data set.
    """
    by_share = options.by == "contribution"
    labels = read_labels(cells.source, options.group, listener, least=2 if by_share else 1)
    groups = tuple(sorted(set(labels.tolist()) - {""}))
    codes = pd.Index(groups).get_indexer(pd.Index(labels)).astype(np.int32)
    facts: dict[str, Any] = {
        "group": options.group,
        "groups_named": list(groups),
        "by": options.by,
        "n": options.n,
    }
    rows: GeneRows | None = None
    if by_share:
        projection = None if options.projection is None else Projection.load(options.projection)
        recipe = resolve_recipe(options.recipe, pooling=None if projection is None else projection.pooling)
        plan = plan_cells(cells, projection, recipe, listener=listener)
        check_linear(plan)
        cells, rows = plan.cells, GeneRows.of(plan)
        maker = SumShards.of_plan(plan, codes, len(groups))
        made = plan.provenance()
        facts |= {name: made[name] for name in ("recipe", "top_k", "weight", "projection")}
    else:
        source = cells.source
        maker = SumShards(
            cells.genes, None, Weight.LOG1P, None, cells.values, source.label, source.var.index, codes,
            len(groups), summed="weight",
        )  # fmt: skip
    candidates = cells.genes.rows
    of_column = ensembl_ids(cells)
    of_gene = pd.Series(of_column.ids, cells.genes.rank)
    of_gene = of_gene[(of_gene.index >= 0) & (of_gene != "")]
    ids = of_gene[~of_gene.index.duplicated()].reindex(range(len(candidates)), fill_value="")
    symbols = np.asarray(cells.lexicon.genes.column("symbol").to_pylist(), object)[candidates]
    genes = pd.DataFrame({"row": candidates, "symbol": symbols, "ensembl_id": ids.to_numpy(object)})
    facts["ids_from"] = of_column.route
    places = None
    if options.gtf is not None:
        places = read_genes(options.gtf, set(genes["ensembl_id"]) - {""})
        facts["gtf"] = hash_file(Path(options.gtf))
        facts |= {"upstream": options.upstream, "downstream": options.downstream}
        listener(Note(f"{places['ensembl_id'].nunique():,} of {len(genes):,} genes are in {options.gtf}"))
    assembly = _Assembly(options, groups, genes, rows, maker.scale, places, listener)
    return Prepared(maker, genes, facts, assembly=assembly)
