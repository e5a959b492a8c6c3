"""What is removed from descriptions, and that no biology is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexicell.lexicon.text.clean import clean, tidy
from lexicell.lexicon.text.tabular import read_delimited


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Credits
        ("It binds. [provided by RefSeq, Jul 2008]", "It binds."),
        ("It binds.[supplied by OMIM, Mar 2008].", "It binds."),
        ("It binds. [provided by Alliance of Genome Resources, Nov 2024]", "It binds."),
        ("insulin [Source:HGNC Symbol;Acc:HGNC:6081]", "insulin"),
        ("dystrophy. provided by RefSeq, Jul 2020].  Sequence Note: The RefSeq transcript.", "dystrophy."),
        # Citations
        ("of proteins (Arreola et al., 2003 [PubMed 12837797]).[supplied by OMIM, Apr 2008]", "of proteins."),
        ("of proteins (Arreola et al., 2003.", "of proteins."),
        ("of each (summary by Smith et al., 2010).", "of each."),
        ("finger (Koyano-Nakagawa et al., 1994; van der Meer and O'Neil, 2001a) domain", "finger domain"),
        ("domains (reviewed by Choo, 1997). The", "domains. The"),
        ("for PNP (PMID:20805888). It", "for PNP. It"),
        ("autism (PMID: 21091464, PMID: 20844286).", "autism."),
        ("signaling (reviewed in PMID: 9701547, 11854008, and 17499243).", "signaling."),
        ("found (PubMed IDs: 16344562 and 17623810), but", "found, but"),
        ("p53 [PMID 20833636]", "p53"),
        ("pemphigus (PNP; PMID:20805888).", "pemphigus (PNP)."),
        ("ataxia proteins' (Parfitt et al., PubMed: 19208651). A", "ataxia proteins'. A"),
        ("transporter (ORNT3, PMID:19287344), however", "transporter (ORNT3), however"),
        ("POLR2A (MIM 180660) and TFIIB (see MIM 189963)", "POLR2A and TFIIB"),
        ("(PRM1, MIM 182880; PRM2, MIM 182890)", "(PRM1; PRM2)"),
        ("disease (OMIM:606988).", "disease."),
        # UniProt
        (
            "FUNCTION: Binds DNA (PubMed:1234567, PubMed:7654321). Cuts it. {ECO:0000269|PubMed:1234567, "
            "ECO:0000303|Ref.4}.; FUNCTION: [Isoform 2]: Binds Ca(2+) (Ref.5, PubMed:12345). {ECO:0000250}.",
            "Binds DNA. Cuts it. [Isoform 2]: Binds Ca(2+).",
        ),
        # Notes on the record
        ("Does X. Publication Note:  This RefSeq record includes a subset of the publications.", "Does X."),
        (
            "Does X. Sequence Note: Made of AK1. ##Evidence-Data-START## AK1 ##Evidence-Data-END## "
            "COMPLETENESS: complete on the 3' end. [provided by RefSeq, Jul 2008]",
            "Does X.",
        ),
        ("in mRNA. The RefSeq represents the predicted microRNA stem-loop.", "in mRNA."),
        # Markup, Unicode, spaces
        ("a &lt;i&gt;D. rerio&lt;/i&gt; gene, Ca<sup>2+</sup><br/>&amp; so", "a D. rerio gene, Ca2+ & so"),
        ("na\u0069\u0308ve\u00a0T\u200b cells\t\n of  it", "naïve T cells of it"),
        ("(SARS-CoV-2). It , too .", "(SARS-CoV-2). It, too."),
        ("a trypsin&", "a trypsin"),
    ],
)  # fmt: skip
def test_what_is_not_about_the_gene_is_removed(before, after):
    assert clean(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "Coronavirus disease (Coronavirus disease 2019) and the Nomenclature Committee (1997).",
        "The Na(+)/K(+)-ATPase uses NAD(P)H; [ADP-ribose] and C3b[i], p < 0.05 <=> 3 > 2, R&D, {beta}.",
        "Described in PMID:20797690 as the IMD (IRSp53/MIM homology domain) family (see Fig. 2), etc...",
        "This record represents naturally-occurring readthrough transcription provided by v-SNARE.",
        "Source: bone (e.g., 2001 cells; CD4, CD8). Ref. 5 is a gene (TNF, IL2, and CD3E).",
    ],
)
def test_biology_is_kept(text):
    assert clean(text) == text


@given(st.text(st.sampled_from("aB9.,;()[]{}& <>-\u0308\xa0")))
def test_tidying_loses_no_letter_and_no_digit(text):
    assert [sign for sign in tidy(text) if sign.isalnum()] == [sign for sign in text if sign.isalnum()]
    assert "  " not in clean(text)


def test_the_refseq_summaries_lose_their_citations_and_nothing_else(data):
    path = data("gene_text/ncbi_refseq_summary_human.tsv.gz")
    summaries = set(read_delimited(path, separator="\t")["summary"].to_pylist())
    changed = [(before, clean(before)) for before in summaries if clean(before) != " ".join(before.split())]
    lost = sum(len(before) - len(after) for before, after in changed)
    assert 800 < len(changed) < 1000  # of 12,544 that differ
    assert lost < 0.01 * sum(map(len, summaries))
    assert all(after for _, after in changed)
    assert all(clean(after) == after for _, after in changed)
    left = [
        text for text in map(clean, summaries) if "[provided" in text or "(PMID" in text or "(MIM" in text
    ]
    assert not left


@pytest.mark.parametrize(
    "text",
    [
        "(A" + "a, Bb" * 20_000 + " et al",
        "(" + "De-" * 40_000 + " et al",
        "(PMID:12345, " + "12345, " * 20_000,
        "[provided " * 20_000,
        "( " * 50_000,
        ". " * 50_000,
    ],
    ids=["authors", "particles", "ids", "credits", "brackets", "stops"],
)
def test_no_text_takes_long(text):
    clean(text)  # quadratic time would be minutes
