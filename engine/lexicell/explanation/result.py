"""What an explanation says, and where it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lexicell._files import check_table, staged_path
from lexicell._say import spreadsheet_cells

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Explanation"]


@dataclass(frozen=True)
class Explanation:
    """What genes, and sets of genes, contribute to the scores of groups of cells, or of one cell.

    Attributes
    ----------
    genes
        One row for each group and gene that a cell of the data uses, in each group those that count
        more there, the largest contribution first, and then those that count less:

        - ``group``; ``gene`` (symbol) and ``column`` (its name in the data);
        - ``contribution``: mean in the group less that in the rest; these and the bias sum to the score;
        - ``agreement``: the part of it that the texts of the other genes agree to;
        - ``more``: whether the gene counts more in the group; others contribute by counting less there;
        - ``in_group``, ``in_rest``: mean contributions of both;
        - ``share_of_cells``, ``share_of_rest``: of the cells that use the gene;
        - ``effect``: Cohen's d of the cells' contributions;
        - ``p_value``, ``p_adjusted``: how often the text of another gene of like expression would agree as
          much, two-sided, and by Benjamini-Hochberg; NaN where neither side has the gene in 5 % of its cells,
          and of given directions;
        - ``donor_p_value``, ``donor_p_adjusted``: donors taken for independent samples; NaN without.

        Of one cell: ``group`` (its name), ``gene``, ``column``, ``contribution`` and ``share`` (of the cell's
        weights).
    groups
        Index = group: ``score`` (of the group less the rest), ``in_group``, ``in_rest`` (mean scores),
        ``bias`` (its part of the score), ``cells``, ``rest`` (number of cells), ``donors``, ``donors_rest``
        and ``inference`` (what was done with donors, in words).
    pathways
        One row for each group and set of genes, the largest contribution first: ``group``, ``id``,
        ``pathway``, ``n_genes``, ``contribution`` (sum over its genes), ``p_value`` and ``p_adjusted`` (how
        often as many other genes of like expression contribute as much or more in that direction, doubled for
        two), ``redundant_with`` (id of a stronger set with more than half of the contribution), ``genes``
        (leading ones); with ``gsea`` also ``nes``, ``gsea_p``, ``gsea_q``. None where there are no sets.
    similarity
        Cosines of the groups' mean vectors, seen from the mean of all cells; None of one group or cell.
    facts
        What was used, as plain values.
    """

    genes: pd.DataFrame
    groups: pd.DataFrame
    pathways: pd.DataFrame | None
    similarity: pd.DataFrame | None
    facts: Mapping[str, Any]

    def top(self, n: int = 10) -> pd.DataFrame:
        """The `n` genes of each group that contribute most."""
        return self.genes.groupby("group", sort=False, observed=True).head(n)

    def as_dict(self, n: int = 20) -> dict[str, Any]:
        """Facts, groups, and of each group the first genes and pathways, as plain JSON; NaN as None."""
        tables = {"groups": self.groups.reset_index(), "genes": self.top(n)}
        if self.pathways is not None:
            apart = self.pathways[self.pathways["redundant_with"] == ""]
            tables["pathways"] = apart.groupby("group", sort=False, observed=True).head(n)
        rows = {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}
        return {**self.facts, **rows}

    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by the names of their files."""
        found = {"genes": self.genes, "groups": self.groups.reset_index()}
        if self.pathways is not None:
            found["pathways"] = self.pathways
        if self.similarity is not None:
            found["similarity"] = self.similarity.rename_axis("group").reset_index()
        return found

    def write(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the genes as ``.csv`` or ``.parquet``, completely or not at all.

        Raises
        ------
        InputError, OutputExistsError
            The suffix is another one, or there is such a file and it is not to be replaced.
        WriteError
            The disk is full, or the folder may not be written to.
        """
        target = check_table(path, "contributions", overwrite=overwrite)
        with staged_path(target, replace=overwrite) as staging:
            if target.suffix == ".csv":
                spreadsheet_cells(self.genes).to_csv(staging, index=False, lineterminator="\n")
            else:
                self.genes.to_parquet(staging, index=False)
        return target

    def uns(self, adata: AnnData, group: str) -> dict[str, Any]:
        """What ``lexicell.tl.explain`` puts into ``uns``: these tables, and scanpy's of ranked genes.

        Parameters
        ----------
        adata
            Whose genes are named as in ``var_names``.
        group
            Column of ``obs`` with the groups.
        """
        found: dict[str, Any] = {
            "contributions": self.genes,
            "groups": self.groups,
            "facts": json.dumps(dict(self.facts)),
        }
        if self.pathways is not None:
            found["pathways"] = self.pathways
        if self.similarity is not None:
            found["similarity"] = self.similarity
        return found | _ranked(self, adata, group)


def _ranked(found: Explanation, adata: AnnData, group: str) -> dict[str, Any]:
    """Tables in the form of ``scanpy.tl.rank_genes_groups``, of every gene of the data."""
    genes = found.genes
    by_donor = genes["donor_p_value"].notna().any()
    p_value = ("donor_p_value", "donor_p_adjusted") if by_donor else ("p_value", "p_adjusted")
    with np.errstate(divide="ignore", invalid="ignore"):
        folds = np.log2((genes["in_group"].abs() + 1e-9) / (genes["in_rest"].abs() + 1e-9))
    scores = genes["contribution"].where(genes["more"], -genes["contribution"])
    table = pd.DataFrame({
        "names": genes["column"], "scores": scores, "pvals": genes[p_value[0]],
        "pvals_adj": genes[p_value[1]], "logfoldchanges": folds, "pts": genes["share_of_cells"],
        "pts_rest": genes["share_of_rest"],
    })  # fmt: skip
    others = pd.Index(adata.var_names.astype(str)).unique()
    parts = {}
    for name, of_group in table.groupby(genes["group"], sort=False, observed=True):
        part = of_group.drop_duplicates("names")  # of genes that the data call alike, the first
        left = pd.DataFrame({"names": others.difference(part["names"], sort=False)})
        whole = pd.concat([part, left], ignore_index=True).fillna(
            {"scores": 0.0, "logfoldchanges": 0.0, "pts": 0.0, "pts_rest": 0.0}
        )
        parts[str(name)] = whole.sort_values("scores", ascending=False, kind="stable")
    dtypes = {"names": "O", "scores": "float32", "pvals": "float64", "pvals_adj": "float64",
              "logfoldchanges": "float32"}  # fmt: skip
    ranked: dict[str, Any] = {
        key: np.rec.fromarrays(
            [part[key].to_numpy() for part in parts.values()], dtype=[(name, dtype) for name in parts]
        )
        for key, dtype in dtypes.items()
    }
    for key in ("pts", "pts_rest"):
        columns = {name: part.set_index("names")[key].reindex(others) for name, part in parts.items()}
        ranked[key] = pd.DataFrame(columns)
    ranked["params"] = {
        "groupby": group,
        "reference": str(found.facts.get("reference", "rest")),
        "method": "lexicell",
        "use_raw": False,
        "corr_method": "benjamini-hochberg",
    }
    return ranked
