from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from lexicell.lexicon import EncoderInfo, Manifest, TextInfo, count_genes, read_gene_texts, write_lexicon
from lexicell.lexicon.card import make_card
from lexicell.lexicon.genes import gene_schema

ENCODER = EncoderInfo(id="org/model_v2", revision="blake3:1", pooling="mean", max_tokens=256, normalised=True)
TEXT = TextInfo(
    source="NCBI Gene", date="2025-06-01", licence="public domain", attribution="Thank NCBI.", recipe="name"
)


def _genes(*rows) -> pa.Table:
    empty = {"ensembl_ids": [], "aliases": [], "mouse_symbols": []}
    return pa.Table.from_pylist(
        [{"row": i, **empty, **row} for i, row in enumerate(rows)], schema=gene_schema()
    )


def _about(text=TEXT, encoder=ENCODER, **more) -> Manifest:
    facts = {
        "name": "my-lexicon",
        "organism": "human",
        "n_genes": 3,
        "dim": 384,
        "dtype": "float16",
        "files": {},
    }
    return Manifest(text=text, encoder=encoder, **{**facts, **more})


GENES = _genes(
    {
        "ncbi_id": 1,
        "symbol": "A",
        "ensembl_ids": ["E1"],
        "aliases": ["AA"],
        "mouse_symbols": ["a"],
        "text": "one two",
        "gene_type": "protein-coding",
        "text_source": "RefSeq",
    },
    {
        "ncbi_id": 2,
        "symbol": "B",
        "text": "B",
        "gene_type": "ncRNA",
        "text_source": "human orthologue CD3E (NCBI 916), RefSeq",
        "text_flag": "name-only",
    },
    {
        "ncbi_id": 3,
        "symbol": "C",
        "text": "one two three four",
        "gene_type": "ncRNA",
        "text_source": "human orthologue X (NCBI 9), RefSeq",
    },
)


def test_a_card_says_what_there_is():
    card = make_card(_about(), GENES)
    for line in (
        "# my-lexicon",
        "lexicell embed cells.h5ad cells.zarr --lexicon my-lexicon",
        'lexicell.tl.embed(adata, lexicon="my-lexicon")',
        "| Texts | NCBI Gene |",
        "| date | 2025-06-01 |",
        "| licence | public domain |",
        "| recipe | name |",
        "| Vectors | 3 x 384, float16 |",
        "| encoder | org/model_v2 |",
        "| revision | blake3:1 |",
        "| reads at once | 256 tokens |",
        "| with Ensembl ids | 1 | 33.3% |",
        "| with mouse orthologues | 1 | 33.3% |",
        "| ncRNA | 2 | 66.7% |",
        "| human orthologue, RefSeq | 2 | 66.7% |",
        "A text has 2 words (median); the longest has 4.",
        "- 1 genes (33.3%) have a text that says no more than their names: B (flag `name-only`)",
        "- 2 genes (66.7%) have no Ensembl id",
        "- Of texts beyond 256 tokens the encoder saw the beginning only",
        "Texts: Thank NCBI.",
    ):
        assert line in card.splitlines(), line
    assert "not stated" not in card


def test_what_is_not_stated_is_a_gap():
    unknown = EncoderInfo(id="ada", revision="", pooling="unknown", normalised=False)
    card = make_card(_about(TextInfo(source="someone"), unknown), _genes({"symbol": "A"}, {"symbol": "B"}))
    for line in (
        "- 2 genes (100.0%) have no text",
        "- The licence of the texts is not stated",
        "- The date of the texts is not stated",
        "- The encoder's revision is not stated: whether it still gives these vectors cannot be checked",
        "- The vectors were made elsewhere: that they belong to these genes and texts is taken on trust",
        "| reads at once | not stated |",
        "| pooling | not stated |",
        "| unit length | no |",
        "Texts: someone",
    ):
        assert line in card.splitlines(), line
    assert "words (median)" not in card
    assert "longer texts" not in card


@pytest.mark.parametrize(
    "hostile",
    ["a | b", "a `b` c", "line\nbreak\r\n\n# heading", "*bold* _it_ [x](http://y) <script>", "tab\there",
     "\x1b[31mred\x07", "&lt; &amp;", "\u202eright to left", "back\\slash", "~~gone~~", "  "],
)  # fmt: skip
def test_what_comes_from_outside_is_shown_as_it_is(hostile):
    pytest.importorskip("rich")
    from rich.console import Console
    from rich.markdown import Markdown

    text = TextInfo(source=hostile, licence=hostile, attribution=hostile)
    genes = _genes({"symbol": hostile, "text": "x", "text_flag": "shared", "gene_type": hostile})
    card = make_card(_about(text, name=hostile), genes)
    card.encode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", card)
    harmless = _genes({"symbol": "x", "text": "x", "text_flag": "shared", "gene_type": "x"})
    plain = make_card(_about(TextInfo(source="x", licence="x", attribution="x"), name="x y"), harmless)
    if hostile.strip():
        assert [line[:2] for line in card.splitlines()] == [line[:2] for line in plain.splitlines()]
    console = Console(width=500, file=None, record=True, force_terminal=False)
    with console.capture() as shown:
        console.print(Markdown(card))
    printable = " ".join(re.sub(r"[\x00-\x1f\u202e]", " ", hostile).split())
    assert printable in shown.get()


def test_a_name_that_is_no_plain_word_is_not_put_into_a_command():
    card = make_card(_about(name='x"; rm -rf ~ #'), GENES)
    assert "--lexicon path/to/this/folder" in card
    assert "rm -rf" not in card.split("```")[1]


def test_many_sources_are_summed_up_most_frequent_first():
    genes = _genes(
        *({"symbol": f"G{i}", "text_source": f"s{(i + 19) % 20:02}"} for i in range(21)), {"symbol": "X"}
    )
    lines = make_card(_about(), genes).splitlines()
    at = lines.index("| Text from | genes | share |")
    assert lines[at + 2] == "| s19 | 2 | 9.1% |"
    assert lines[at + 14] == "| 8 others | 8 | 36.4% |"
    assert lines[at + 15] == "| not stated | 1 | 4.5% |"


def test_a_mouse_lexicon_has_no_mouse_orthologues():
    card = make_card(_about(organism="mouse"), GENES)
    assert "orthologues" not in card


def test_the_card_of_real_genes_is_counted_right(small_table, tmp_path):
    genes = read_gene_texts(small_table).table
    lexicon = write_lexicon(
        tmp_path / "l", genes, np.ones((41, 4)), name="l", organism="human", text=TEXT, encoder=ENCODER
    )
    counts = count_genes(lexicon.read_genes())
    assert (counts.genes, counts.text) == (41, 41)
    assert counts.ensembl_ids == sum(map(bool, genes["ensembl_ids"].to_pylist()))
    assert counts.median_words == np.median([len(text.split()) for text in genes["text"].to_pylist()])
    assert counts.as_dict()["most_words"] == max(len(text.split()) for text in genes["text"].to_pylist())
    assert lexicon.card == make_card(lexicon.info, lexicon.read_genes())
