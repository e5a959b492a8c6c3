"""What ``docs/explain.md`` says beside its tables."""

from __future__ import annotations

__all__ = [
    "DIRECTION_NAMES",
    "EXPLAINED",
    "FAITHFUL",
    "LIMITS",
    "MARKERS",
    "OPENING",
    "PICTURES",
    "RANKINGS",
    "SPEED",
    "WAYS",
    "WHAT",
]

OPENING = """\
# Explain: which genes put cells where they are

A cell's vector is a weighted mean of vectors of genes, so how near it is to anything can be taken apart
gene by gene, exactly: contributions sum to the score. `lexicell explain` does so for groups of cells, for
two groups, for one cell, or for a sentence. {headline}

```sh
lexicell explain pbmc3k.h5ad --group cell_type                            # each group with all others
lexicell explain pbmc3k.h5ad --group cell_type --contrast "B cells" "NK cells"
lexicell explain pbmc3k.h5ad --group cell_type --donor patient            # inference, of three donors a side
lexicell explain pbmc3k.h5ad --cell AAACATTGAGCTAC-1 --like AAACATACAACCAC-1  # why two cells are alike
lexicell explain pbmc3k.h5ad --group cell_type --text "cells that kill infected cells"
lexicell explain atlas.zarr --group cell_type --output why --resume       # a folder, shard by shard
```

```python
import lexicell
import scanpy as sc

adata = sc.read_h5ad("pbmc3k.h5ad")
lexicell.tl.explain(adata, "cell_type")
sc.get.rank_genes_groups_df(adata, group="NK cells", key="lexicell_explain")
sc.pl.rank_genes_groups_dotplot(adata, key="lexicell_explain")  # scanpy's pictures
lexicell.pl.contributions(adata)  # and lexicell's
lexicell.pl.contributions(adata, kind="waterfall", groups="NK cells")
lexicell.pl.pathways(adata)
lexicell.pl.groups(adata)
```"""

WHAT = """\
## What a contribution is

Of a cell with weights `w_g`, gene vectors `T_g` (whitened and scaled, as the recipe or a projection has it)
and `z = sum(w_g T_g) / sum(w_g) + bias`, the score along a direction `v` is `<z, v> / |z|`, and gene `g`
contributes

```text
c_g = w_g / sum(w) * <T_g, v> / |z|            sum over genes + <bias, v> / |z| = score
```

* A **group's** contribution is the mean of `c_g` in the group less that in the rest, and `v` the difference
  of both mean vectors, of length 1, unless a cell, sentence or class is given. These contributions sum to
  the length of that difference.
* A gene contributes to a group that *lacks* it, too, where its text points to the others: `in_group` and
  `in_rest`, `share_of_cells` and `share_of_rest` tell.
* **agreement** is `c_g` less what the gene has of its own row: `v` is made of the same genes, so that a
  gene which the group expresses differently contributes whatever its text says. What is left is what the
  texts of the *other* genes agree.
* **p of texts** (`p_value`, `p_adjusted`): how often the text of another gene of like expression would
  agree as much. It says whether *texts* matter. It does not say whether the groups differ.
* **donors** (`--donor`): t-tests of the donors' means, paired where three or more have cells on both sides.
  Without three donors of ten cells or more on each side nothing is inferred.
* **gene sets** (`--sets`): contributions summed over the genes of a set that are in use, beside as many
  other genes of like expression."""

LIMITS = """\
## What it can't say

* Cells are no samples: thousands of cells of one patient are one patient. There is no p-value of cells.
* The sets `go` are the Gene Ontology terms which the lexicon's *own texts* name, at most six processes a
  gene: the same texts make the vectors. That such a set stands out is no independent evidence; give a
  `.gmt` file or `go-bp` for that.
* An explanation is one of the *vector*. It tells why lexicell puts cells where they are, and not which
  genes make cells what they are. What it is faithful to is measured below; whether it finds known markers,
  too.
* `|z|` is held fixed: that a gene more changes the length of the vector, and with it what all others
  contribute, is no part of `c_g`. What that costs is measured below.
* A projection with a head (a network after pooling) is refused: it has no exact contributions.
* A gene without a text contributes nothing, and no contribution is told of it."""

EXPLAINED = """\
## PBMC3k and Baron

The genes that contribute most, with their contributions, what share of the score the first eight have, and
the gene sets (`go`) that contribute most; sets that say the same as a stronger one are left out. In
italics: the adjusted p of texts is below .05. Cells without a label are left out."""

PICTURES = """\
![The genes that contribute most to each group of PBMC3k](images/explain-dots.png)

![The genes that contribute most to each group of Baron](images/explain-dots-baron.png)

![How contributions add up to the score of NK cells](images/explain-sum.png)

![Gene sets of four groups of Baron](images/explain-sets.png)

![How alike the groups of PBMC3k are](images/explain-groups.png)"""

MARKERS = """\
## Does it find known markers?

Four to eight textbook markers of each group were written down before anything was looked at
(`studies/explain/markers.json`). Recall is the share of those with a text that is among the first 20 genes,
mean over groups. All rank the same genes (those with a text) of the same cells; scanpy's are by score, on
log1p of counts per 10,000. Shuffled and random rows: means of five draws, each row as long as the one that
it replaces. Genes of like expression: of 200 draws in place of the first 20. Rows with * were added after a
first look at the results."""

FAITHFUL = """\
## Is it faithful?

Half of each group's cells, drawn once, give the directions, the group's ranked genes and the mean of the
rest; the other half is looked at, where a group has ten cells or more ({cells}). Each cell's selected genes
are ranked. **Taken out**: the *counts* of the first `j` = 1, 2, 5, 10, 20, 50 are set to 0 and the cell is
embedded anew, so that its total changes and other genes move up among the 128. **Put back**: all its
selected genes are set to 0, and the first `j` get their counts back. The score is `<unit vector, v>`, where
`v` is the group's difference, or the row of a logistic regression less the mean row, of length 1. Changes
are told in *leads*: the mean score of the group's held-out cells less that of all other held-out cells.
**Area**: trapezoids under the fall (taken out) or rise (put back) over `j` from 0 to 50, divided by 50;
mean over cells, then over groups. Higher is more faithful in both. 95 % intervals: 1,000 resamplings of the
cells of each group. {captum}"""

SPEED = """\
## Speed

Synthetic cells as deep as PBMC3k's, packed, with ten random labels; from disk to disk, each run in a
process of its own, all ways in turn. Medians ({rounds}), and largest peaks. {cpus} CPUs, which others used,
too: a load of {least:.1f} to {most:.1f} as runs began, their own included."""

DIRECTION_NAMES = {"difference": "the group's difference", "classifier": "a classifier's row"}
#: Row -> what it is called.
RANKINGS = {
    "lexicell": "**contributions** (default recipe)",
    "present": "contributions, of genes that more cells of the group use than of the rest *",
    "effect": "the same genes by `effect` (Cohen's d) *",
    "agreement": "agreement",
    "paper": "contributions, recipe `paper`",
    "genept-w": "contributions, recipe `genept-w`",
    "shares": "share of the weights, group less rest: no text",
    "t-test": "**`rank_genes_groups`**, t-test (overestimated variance)",
    "wilcoxon": "`rank_genes_groups`, Wilcoxon",
    "shuffled": "contributions, rows of the table shuffled",
    "random": "contributions, random rows",
    "like expression": "random genes of like expression",
}
WAYS = {
    "exact": "**exact contributions**",
    "gradient": "gradient times weight (length not held fixed)",
    "one out": "score less that without the gene, each gene alone",
    "IG from 0": "integrated gradients, from no expression",
    "IG from the rest": "integrated gradients, from the mean of the rest",
    "t-test": "the group's genes by t-test",
    "expression": "weight of the gene in the cell",
    "random": "random order",
}
