"""Which texts say nothing about a gene, and which say the same about many."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lexicell.lexicon import read_gene_texts
from lexicell.lexicon.text.flags import SHARED_BY, flag_texts


@dataclass(frozen=True)
class Gene:
    symbol: str | None
    name: str | None
    text: str
    aliases: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("gene", "flag"),
    [
        (Gene("INS", "insulin", "INS (insulin)"), "name-only"),
        (Gene("INS", "insulin", "INS: insulin."), "name-only"),
        (Gene("INS", None, "INS"), "name-only"),
        (Gene("INS", "insulin", "Insulin, or INS1"), None),
        (Gene("INS", "insulin", "INS (insulin), IDDM2.", ("IDDM2",)), "name-only"),
        (Gene("INS", "insulin", "INS (insulin). Lowers glucose."), None),
        (Gene("Gm10", "predicted gene 10", "Gm10 (predicted gene 10)"), "placeholder"),
        (Gene("Gm10", "predicted gene 10", "Gm10 (predicted gene 10). Lowers glucose."), None),
        (Gene("LOC1", "uncharacterized LOC1", "LOC1 (uncharacterized LOC1)"), "placeholder"),
        (Gene("1700001C19Rik", "RIKEN cDNA 1700001C19 gene", "RIKEN cDNA 1700001C19 gene"), "placeholder"),
        (Gene("C1orf2", "chromosome 1 open reading frame 2", "C1orf2"), "placeholder"),
        (Gene("LOC344065", "zinc finger protein 570-like", "zinc finger protein 570-like"), "name-only"),
        (Gene("X", None, "novel transcript, antisense to Y"), "placeholder"),
        (Gene("LOC1", None, "LOC1"), "placeholder"),
        (Gene("PTENP1", "PTEN pseudogene 1", "PTENP1 (PTEN pseudogene 1)"), "name-only"),
        (Gene("P", "pseudogene", "P (pseudogene)"), "placeholder"),
        (Gene("AC0", None, "5 (6)"), "name-only"),
        (Gene("A", None, "A a A's a"), None),
    ],
)
def test_texts_of_nothing_but_names_are_flagged(gene, flag):
    assert flag_texts([gene]) == [flag]


def family(n: int) -> list[Gene]:
    return [
        Gene(
            f"MIR{i}",
            f"microRNA {i}",
            f"MIR{i} (microRNA {i}). MIR{i}, or mir-{i}x, is a {i} nt RNA.",
            (f"mir-{i}x",),
        )
        for i in range(n)
    ]


def test_a_text_is_shared_when_enough_others_have_it_but_for_names_and_numbers():
    assert set(flag_texts(family(SHARED_BY))) == {None}
    assert set(flag_texts(family(SHARED_BY + 1))) == {"shared"}
    other = Gene("MIR99", "microRNA 99", "MIR99 (microRNA 99). MIR99 is in the heart.")
    assert flag_texts([*family(SHARED_BY + 1), other])[-1] is None


@pytest.mark.parametrize(("species", "n_genes", "n_shared"), [("human", 15149, 2443), ("mouse", 3835, 2378)])
def test_real_families_share_their_texts(data, species, n_genes, n_shared):
    path = data(f"gene_text/ncbi_refseq_summary_{species}.tsv.gz")
    genes = read_gene_texts(path)
    assert (genes.table.num_rows, genes.flags) == (n_genes, {"shared": n_shared})
    shared = {
        gene["symbol"] for gene in genes.table.to_pylist() if gene["text_flag"] == "shared" and gene["symbol"]
    }
    mirna = sum(symbol.upper().startswith("MIR") for symbol in shared)
    olfactory = sum(symbol.startswith(("OR", "Olfr")) for symbol in shared)
    assert mirna > 1100
    assert olfactory > 400
    if species == "human":
        assert {"H3C4", "PCDHGA8", "PCDHA9", "PCDHB5", "MRPL19"} <= shared
        assert not shared & {"INS", "CD3D", "GAPDH", "TP53", "XIST"}
