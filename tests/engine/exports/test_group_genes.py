"""Genes of groups against a count of their own, and promoters on both strands."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

import lexicell
from lexicell.counts import open_counts
from lexicell.embedding import AlignOptions, align_cells
from lexicell.embedding.events import ignore
from lexicell.errors import CorruptDataError, CoverageError, InputError
from lexicell.exports import export
from lexicell.exports.ensembl import ensembl_ids


def genes_of(folder):
    return pd.read_parquet(folder / "group_genes.parquet")


def test_expressed_genes_are_those_of_the_largest_mean(tmp_path, make_cells):
    adata = make_cells()
    export("genes", adata, tmp_path / "out", group="kind", by="expression", n=7, listener=ignore)
    x = adata.X.toarray().astype(np.float64)
    with np.errstate(invalid="ignore"):
        x = np.nan_to_num(np.log1p(1e4 * x / x.sum(axis=1, keepdims=True)))
    table = genes_of(tmp_path / "out")
    assert table["group"].tolist() == sorted(["a b", "c/d", "é"] * 7)
    for kind, of in table.groupby("group"):
        mine = x[(adata.obs["kind"] == kind).to_numpy()]
        best = np.argsort(-mine.mean(axis=0))[:7]
        assert of["symbol"].tolist() == adata.var_names[best].tolist()
        assert of["rank"].tolist() == list(range(1, 8))
        assert of["score"].tolist() == pytest.approx(mine.mean(axis=0)[best], rel=1e-5)
        assert of["n_cells"].tolist() == (mine > 0).sum(axis=0)[best].tolist()
        assert of["ensembl_id"].tolist() == adata.var["ensembl_id"].iloc[best].tolist()


def test_contributing_genes_are_those_that_explain_tells(tmp_path, make_cells):
    adata = make_cells()
    export("genes", adata, tmp_path / "out", group="kind", n=6, recipe="paper", listener=ignore)
    found = lexicell.explain(adata, group="kind", recipe="paper", sets=None, permutations=1)
    told = found.genes[found.genes["more"]].groupby("group").head(6)
    table = genes_of(tmp_path / "out")
    assert table["symbol"].tolist() == told["gene"].tolist()
    assert table["score"].tolist() == pytest.approx(told["contribution"].tolist(), rel=1e-9)


@pytest.mark.parametrize("by", ["contribution", "expression"])
def test_no_order_of_cells_and_columns_shows(tmp_path, make_cells, by):
    adata = make_cells(3_000)
    rng = np.random.default_rng(1)
    moved = adata[rng.permutation(adata.n_obs)][:, rng.permutation(adata.n_vars)].copy()
    for name, data in (("a", adata), ("b", moved)):
        export("genes", data, tmp_path / name, group="kind", by=by, listener=ignore)
    assert genes_of(tmp_path / "a").equals(genes_of(tmp_path / "b"))


def gtf_of(adata, path, *, packed=False):
    """A GTF in which genes begin at 10,001 and end at 12,000, on both strands; the first lies at the edge."""
    rows = ["#!genome-build test"]
    for at, one in enumerate(adata.var["ensembl_id"]):
        place = "21\t1200" if at == 0 else "10001\t12000"
        strand = "+-"[at % 2]
        rows.append(f'chr{at % 3}\tx\tgene\t{place}\t.\t{strand}\t.\tgene_id "{one}.7"; gene_name "n";')
        rows.append(f'chr{at % 3}\tx\texon\t1\t2\t.\t{strand}\t.\tgene_id "{one}.7"; exon_number 1;')
    text = "\n".join(rows) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_promoters_lie_before_a_gene_on_its_strand(tmp_path, make_cells, packed, notes):
    adata = make_cells()
    gtf = gtf_of(adata, tmp_path / "genes.gtf", packed=packed)
    options = {"group": "kind", "by": "expression", "n": 400, "upstream": 100, "downstream": 20}
    export("genes", adata, tmp_path / "out", gtf=str(gtf), listener=notes, **options)
    names = ["chrom", "start", "end", "name", "score", "strand"]
    bed = pd.read_csv(tmp_path / "out/promoters.bed", sep="\t", names=names)
    table = genes_of(tmp_path / "out")
    assert set(bed["name"]) == set(table["ensembl_id"])
    place = {one: at for at, one in enumerate(adata.var["ensembl_id"])}
    for one, start, end, strand in zip(bed["name"], bed["start"], bed["end"], bed["strand"], strict=True):
        assert strand == "+-"[place[one] % 2]
        if place[one] == 0:  # begins at base 20, counted from 0
            assert (start, end) == (0, 40)
        elif strand == "+":  # the first base is 10,000, counted from 0
            assert (start, end) == (9_900, 10_020)
        else:  # the first base is 11,999: 20 bases down to 11,980, and 100 beyond
            assert (start, end) == (11_980, 12_100)
    assert bed.sort_values(["chrom", "start", "name"]).equals(bed)
    assert "1 promoters begin before their chromosome" in str(notes)


def test_ids_of_the_file_are_kept_where_the_lexicon_knows_another(make_cells):
    """An id that the lexicon lacks is read from the column of ids, though the symbol told the gene."""
    adata = make_cells(60)
    ids = adata.var["ensembl_id"].tolist()
    ids[4] = "ENSG99999999999.2"
    adata.var["ensembl_id"] = ids
    adata.var_names = [one if at < 100 else f"number {at}" for at, one in enumerate(adata.var_names)]
    with open_counts(adata) as source:
        cells = align_cells(source, AlignOptions())
        assert cells.alignment.column == "ensembl_id"
        assert cells.alignment.names[4] == adata.var_names[4]
        assert ensembl_ids(cells).ids[4] == "ENSG99999999999"
        assert ensembl_ids(cells).ids.tolist()[:4] == adata.var["ensembl_id"].tolist()[:4]


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"group": "type"}, InputError, r"obs has no column 'type'; it has donor, sick"),
        ({"by": "rank"}, InputError, r"contribution or expression, not 'rank'"),
        ({"n": 0}, InputError, r"at least one gene, not 0"),
        ({"upstream": -1}, InputError, r"no fewer than none"),
        ({"gtf": "missing.gtf"}, InputError, r"missing.gtf: no such file"),
    ],
)
def test_bad_options_are_one_sentence(tmp_path, make_cells, options, kind, says):
    with pytest.raises(kind, match=says):
        export("genes", make_cells(), tmp_path / "out", listener=ignore, **{"group": "kind"} | options)
    assert not list(tmp_path.iterdir())


def test_a_gtf_that_is_none_is_refused(tmp_path, make_cells):
    adata = make_cells()
    path = tmp_path / "genes.gtf"
    other = 'chr1\tx\tgene\t1\t9\t.\t+\t.\tgene_id "ENSMUSG1.1"; x "y";\n'
    broken = gzip.compress(other.encode() * 500)[:-12]
    cases = [
        (b"chr1\tx\tgene\t1\t9\t.\t+\t.\tID=gene:ENSG1\n", InputError, "no rows of genes with a gene_id"),
        (other.encode(), CoverageError, r"has no gene of this data set: here are ENSG.*, there ENSMUSG1"),
        (broken, CorruptDataError, "cannot be read"),
    ]
    for content, kind, says in cases:
        path.write_bytes(content)
        with pytest.raises(kind, match=says):
            export("genes", adata, tmp_path / "out", group="kind", gtf=str(path), listener=ignore)
    assert not (tmp_path / "out").exists()
