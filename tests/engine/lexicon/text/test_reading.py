from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexicell.errors import CorruptDataError, InputError, InputNotFoundError
from lexicell.lexicon import TextOptions, read_gene_texts, read_orthologues

HEADER = "gene_id\tsymbol\tensembl_ids\taliases\tgene_name\ttext\n"


def _write(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_the_whole_human_table_is_read(gene_table, orthologue_table):
    genes = read_gene_texts(gene_table, orthologues=read_orthologues(orthologue_table))
    assert (genes.n_read, genes.n_empty, genes.n_unnamed, genes.table.num_rows) == (21609, 0, 0, 21609)
    ids = genes.table["ncbi_id"].to_pylist()
    assert ids == sorted(ids)
    by_symbol = {gene["symbol"]: gene for gene in genes.table.to_pylist()}
    assert by_symbol["INS"]["mouse_symbols"] == ["Ins1", "Ins2"]
    assert by_symbol["A1BG"] == {
        "ncbi_id": 1,
        "symbol": "A1BG",
        "ensembl_ids": ["ENSG00000121410"],
        "aliases": ["A1B", "ABG", "GAB", "HYST2477"],
        "mouse_symbols": ["A1bg"],
        "name": "alpha-1-B glycoprotein",
        "text": "A1BG: alpha-1-B glycoprotein. Located in: platelet alpha granule lumen; secretory granule"
        " lumen; ficolin-1-rich granule lumen.",
        "text_source": "text",
        "gene_type": "protein-coding",
        "text_flag": None,
    }
    assert (genes.recipe, genes.info, genes.organism, genes.dropped) == ("column text", None, None, {})
    assert genes.flags == {"shared": 1868, "name-only": 1286, "placeholder": 544}


def test_the_refseq_summaries_are_read_with_their_gaps(data):
    path = data("gene_text/ncbi_refseq_summary_human.tsv.gz")
    genes = read_gene_texts(path)
    # One row of this table has neither id nor symbol, 13 more have an id and no symbol and no name.
    assert (genes.n_read, genes.n_unnamed, genes.table.num_rows) == (15150, 1, 15149)
    assert genes.table["symbol"].null_count == 13
    assert genes.columns.ensembl == "ensembl_id"
    assert genes.columns.name == "full_name"
    assert genes.recipe == "name+summary"
    sources = genes.table["text_source"].to_pylist()
    assert (sources.count("name+summary"), sources.count("summary")) == (15136, 13)
    a1bg = genes.table.slice(0, 1).to_pylist()[0]
    assert a1bg["text"].startswith(
        "A1BG (alpha-1-B glycoprotein). The protein encoded by this gene is a plasma"
    )
    assert a1bg["gene_type"] == "protein-coding"

    plain = read_gene_texts(path, TextOptions(text_column="summary"))
    assert plain.recipe == "column summary"
    assert set(plain.table["text_source"].to_pylist()) == {"summary"}
    assert any("(PMID:" in text for text in plain.texts)


@pytest.mark.slow
def test_the_go_recipes_on_the_human_table(gene_table, small_table):
    alone = read_gene_texts(small_table, TextOptions(recipe="go"))
    assert (alone.table.num_rows, alone.n_empty) == (38, 3)
    named = read_gene_texts(gene_table, TextOptions(recipe="name+go+summary"))
    assert named.table.num_rows == 21609
    by_symbol = dict(zip(named.table["symbol"].to_pylist(), named.texts, strict=True))
    assert by_symbol["A1BG"] == (
        "A1BG (alpha-1-B glycoprotein). Located in: platelet alpha granule lumen; secretory granule lumen; "
        "ficolin-1-rich granule lumen."
    )
    assert by_symbol["CATR1"] == "CATR1 (CATR tumorigenicity conversion 1)"
    assert set(named.table["text_source"].to_pylist()) == {"name+go", "name"}
    assert named.flags["name-only"] + named.flags["placeholder"] == 1830


def test_row_order_does_not_depend_on_the_file(tmp_path):
    rows = [
        "9\tB\t\t\t\tnine",
        "10\tA\t\t\t\tten",
        "\tZ\t\t\t\tno id",
        "\tC\t\t\t\tno id either",
        "2\tD\t\t\t\ttwo",
    ]
    forward = read_gene_texts(_write(tmp_path / "a.tsv", *rows))
    backward = read_gene_texts(_write(tmp_path / "b.tsv", *reversed(rows)))
    assert forward.table["symbol"].to_pylist() == ["D", "B", "A", "C", "Z"]
    assert forward.table.equals(backward.table)


def test_lists_are_split_and_ensembl_versions_dropped(tmp_path):
    path = _write(tmp_path / "t.tsv", "1\tG\tENSG01.4|ENSG01.5| ENSMUSG7.1 |LRG_1.2\tH||G|H|I.1\t\t A text. ")
    (gene,) = read_gene_texts(path).table.to_pylist()
    assert gene["ensembl_ids"] == ["ENSG01", "ENSMUSG7", "LRG_1.2"]
    assert gene["aliases"] == ["H", "I.1"]
    assert gene["text"] == "A text."
    assert gene["name"] is None


def test_the_same_table_in_every_format(tmp_path):
    path = _write(
        tmp_path / "t.tsv", '1\tG\tE1\tH|I\tgene "G", the first\tα "beta", gamma', "2\tK\t\t\t\tmore"
    )
    expected = read_gene_texts(path).table
    assert expected["text"].to_pylist()[0] == 'α "beta", gamma'
    frame = pd.read_csv(path, sep="\t", quoting=3)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.csv.gz", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    with gzip.open(tmp_path / "t.txt.gz", "wb") as file:
        file.write(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    for name in ("t.csv", "t.csv.gz", "t.parquet", "t.txt.gz"):
        assert read_gene_texts(tmp_path / name).table.equals(expected), name


def test_a_lexicon_is_a_table_of_texts(lexicon, small_table):
    assert read_gene_texts(lexicon.path / "genes.parquet").table.equals(read_gene_texts(small_table).table)


def test_columns_can_be_named(tmp_path):
    path = _write(tmp_path / "t.csv", "7,X,ENSG7.2,Y,eks,words", header="a,b,c,d,e,f\n")
    genes = read_gene_texts(
        path,
        TextOptions(
            id_column="a",
            symbol_column="b",
            ensembl_column="c",
            alias_column="d",
            name_column="e",
            text_column="f",
            text_source="my notes",
        ),
    )
    (gene,) = genes.table.to_pylist()
    assert (gene["ncbi_id"], gene["symbol"], gene["ensembl_ids"], gene["aliases"]) == (
        7,
        "X",
        ["ENSG7"],
        ["Y"],
    )
    assert (gene["name"], gene["text"], gene["text_source"]) == ("eks", "words", "my notes")


def test_rows_without_text_or_identity_are_counted(tmp_path):
    path = _write(
        tmp_path / "t.tsv", "1\tA\t\t\t\ta", "2\tB\t\t\t\t  ", "\t\t\t\tnameless\ttext", "3\t\t\t\t\tc"
    )
    genes = read_gene_texts(path)
    assert (genes.n_read, genes.n_empty, genes.n_unnamed) == (4, 1, 1)
    assert genes.texts == ["a", "c"]


def test_integer_ids_survive_pandas_floats(tmp_path):
    frame = pd.DataFrame({"gene_id": [3, None], "symbol": ["A", "B"], "text": ["x", "y"]})
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_gene_texts(tmp_path / "t.parquet").table["ncbi_id"].to_pylist() == [3, None]


SUMMARIES = "gene_id\tsymbol\tname\tsummary\tsummary_source\ttype_of_gene\n"


def test_names_and_summaries_are_the_default_where_there_are_summaries(tmp_path):
    path = _write(
        tmp_path / "t.tsv",
        "1\tA\taye\tDoes X (PMID:1234567). [provided by RefSeq, Jul 2008]\tRefSeq\tprotein-coding",
        "2\tB\tbee [Source:HGNC Symbol;Acc:HGNC:1]\t-\t-\tpseudo",
        "3\tGm3\tpredicted gene 3\t\t\t",
        "4\t-\t-\t\t\t",
        header=SUMMARIES,
    )
    genes = read_gene_texts(path)
    assert genes.texts == ["A (aye). Does X.", "B (bee)", "Gm3 (predicted gene 3)"]
    assert genes.table["text_source"].to_pylist() == ["RefSeq", "name", "name"]
    assert genes.table["text_flag"].to_pylist() == [None, "name-only", "placeholder"]
    assert genes.table["gene_type"].to_pylist() == ["protein-coding", "pseudo", None]
    assert genes.table["name"].to_pylist() == ["aye", "bee", "predicted gene 3"]
    assert (genes.n_read, genes.n_empty, genes.n_unnamed) == (4, 1, 0)
    assert genes.flags == {"name-only": 1, "placeholder": 1}

    assert read_gene_texts(path, TextOptions(recipe="summary")).texts == ["Does X."]
    assert read_gene_texts(path, TextOptions(recipe="name")).texts == [
        "A (aye)",
        "B (bee)",
        "Gm3 (predicted gene 3)",
    ]
    template = read_gene_texts(path, TextOptions(recipe="{symbol}[: {summary}]"))
    assert template.texts == ["A: Does X.", "B", "Gm3"]
    assert template.table["text_source"].to_pylist() == ["RefSeq", "template", "template"]
    verbatim = read_gene_texts(path, TextOptions(text_column="summary", text_source="mine"))
    assert verbatim.texts == ["Does X (PMID:1234567). [provided by RefSeq, Jul 2008]"]
    assert verbatim.table["text_source"].to_pylist() == ["mine"]


def test_summaries_come_before_texts_and_a_name_has_no_other_source(tmp_path):
    header = "symbol\tname\tsummary\ttext\ttext_source\n"
    path = _write(tmp_path / "t.tsv", "A\taye\tDoes X.\told\tdump", "B\tbee\t\told\tdump", header=header)
    genes = read_gene_texts(path)
    assert genes.texts == ["A (aye). Does X.", "B (bee)"]
    assert genes.table["text_source"].to_pylist() == ["dump", "name"]
    verbatim = read_gene_texts(path, TextOptions(text_column="text"))
    assert verbatim.table["text_source"].to_pylist() == ["dump", "dump"]


def test_gaps_that_are_not_a_number_are_empty(tmp_path):
    gap = float("nan")
    columns = {"gene_id": [3.0, gap], "symbol": ["A", "B"], "name": ["aye", "bee"], "summary": [gap, gap]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    genes = read_gene_texts(tmp_path / "t.parquet")
    assert genes.table["ncbi_id"].to_pylist() == [3, None]
    assert genes.texts == ["A (aye)", "B (bee)"]


def test_flagged_genes_can_be_dropped(tmp_path):
    path = _write(
        tmp_path / "t.tsv", "1\tA\taye\tDoes X.\t\t", "2\tB\tbee\t\t\t", "3\tGm3\tGm3\t\t\t", header=SUMMARIES
    )
    genes = read_gene_texts(path, TextOptions(drop=("name-only",)))
    assert genes.table["symbol"].to_pylist() == ["A", "Gm3"]
    assert (genes.dropped, genes.flags, genes.n_empty) == ({"name-only": 1}, {"placeholder": 1}, 0)
    fewer = read_gene_texts(path, TextOptions(drop=("name-only", "placeholder", "shared")))
    assert fewer.table["symbol"].to_pylist() == ["A"]
    assert fewer.dropped == {"name-only": 1, "placeholder": 1}


def test_an_export_of_uniprot_is_read(tmp_path):
    path = tmp_path / "uniprot.tsv"
    path.write_text(
        "Entry\tGene Names (primary)\tGeneID\tFunction [CC]\tGene Ontology (molecular function)\n"
        "P01308\tINS\t3630;\tFUNCTION: Insulin decreases blood glucose concentration (PubMed:1234567). It "
        "accelerates glycolysis. {ECO:0000269|PubMed:1234567}.\thormone activity [GO:0005179]; identical "
        "protein binding [GO:0042802]\n"
        "P69905\tHBA1; HBA2\t3039;3040;\tFUNCTION: Involved in oxygen transport from the lung.\t\n"
        "Q00001\tDUP\t1;2;\tFUNCTION: Unknown.\t\n"
        "Q00002\tSILENT\t7;\t\t\n"
        "Q00003\tONE; TWO\t8;\tFUNCTION: Twins.\t\n"
    )
    genes = read_gene_texts(path)
    assert genes.recipe == "name+summary"
    rows = [(gene["ncbi_id"], gene["symbol"], gene["text"]) for gene in genes.table.to_pylist()]
    assert rows == [
        (7, "SILENT", "SILENT"),
        (3630, "INS", "INS. Insulin decreases blood glucose concentration. It accelerates glycolysis."),
        (None, "DUP", "DUP. Unknown."),
        (None, "HBA1", "HBA1; HBA2. Involved in oxygen transport from the lung."),
        (None, "HBA2", "HBA1; HBA2. Involved in oxygen transport from the lung."),
        (None, "ONE", "ONE; TWO. Twins."),
        (None, "TWO", "ONE; TWO. Twins."),
    ]
    (go,) = read_gene_texts(path, TextOptions(recipe="go")).texts
    assert go == "Molecular function: hormone activity; identical protein binding."
    template = read_gene_texts(path, TextOptions(recipe="{entry}: {Function [CC]}"))
    assert template.texts[0] == "Q00002:"


def test_a_description_is_a_name_only_in_ncbis_own_table(tmp_path):
    row = "1\tA\tprotein-coding\talpha"
    ncbi = _write(tmp_path / "a.tsv", row, header="GeneID\tSymbol\ttype_of_gene\tdescription\n")
    assert read_gene_texts(ncbi, TextOptions(recipe="name")).texts == ["A (alpha)"]
    other = _write(tmp_path / "b.tsv", row, header="GeneID\tSymbol\tbiotype\tdescription\n")
    assert read_gene_texts(other, TextOptions(recipe="name")).texts == ["A"]


def test_parquet_of_pandas_with_arrays_categories_and_nullable_integers(tmp_path):
    frame = pd.DataFrame(
        {
            "gene_id": pd.array([3, None], "Int64"),
            "symbol": pd.Categorical(["A", "B"]),
            "aliases": [["x", "y"], None],
            "go_bp": [pd.Series(["one", "two"]).to_numpy(), pd.Series([], dtype=object).to_numpy()],
            "summary": ["Does X.", float("nan")],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    genes = read_gene_texts(tmp_path / "t.parquet", TextOptions(recipe="name+go+summary"))
    assert genes.table["ncbi_id"].to_pylist() == [3, None]
    assert genes.table["aliases"].to_pylist() == [["x", "y"], []]
    assert genes.texts == ["A. Involved in: one; two. Does X.", "B"]


SOURCE = {
    "organism": "mouse",
    "source": "NCBI Gene",
    "date": "2025-01-02",
    "licence": "public domain",
    "attribution": "Thanks.",
    "files": [{"url": "x", "date": "y", "bytes": 1, "blake3": "z"}],
}


def test_a_fetched_table_says_where_it_is_from(tmp_path):
    table = pa.table({"ncbi_id": [1], "symbol": ["A"], "name": ["aye"], "summary": ["Does X."]})
    table = table.replace_schema_metadata({b"lexicell.source": json.dumps(SOURCE).encode()})
    pq.write_table(table, tmp_path / "t.parquet")
    genes = read_gene_texts(tmp_path / "t.parquet")
    assert genes.organism == "mouse"
    assert genes.info is not None
    assert genes.info.model_dump() == {
        **{name: SOURCE[name] for name in ("source", "date", "licence", "attribution")},
        "recipe": "name+summary",
    }


@pytest.mark.parametrize(
    "note",
    [
        b"{",
        b"[]",
        b"5",
        b"\xff",
        b'{"source": "x"}',
        json.dumps({**SOURCE, "date": 3}).encode(),
        b"[" * 100_000,
    ],
    ids=lambda note: str(note[:20]),
)
def test_a_damaged_note_of_the_source_is_corrupt_data(tmp_path, note):
    table = pa.table({"symbol": ["A"], "text": ["x"]}).replace_schema_metadata({b"lexicell.source": note})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(CorruptDataError, match=r"t\.parquet"):
        read_gene_texts(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (HEADER + "1\tA\t\t\t\ta\n1\tB\t\t\t\tb\n", {}, "two rows for NCBI id 1;"),
        (HEADER + "\tA\t\t\t\ta\n\tA\t\t\t\tb\n", {}, "two rows for symbol A;"),
        (HEADER + "ENSG01\tA\t\t\t\ta\n", {}, "row 1: 'ENSG01' in column 'gene_id' .* Ensembl column"),
        (HEADER + "-4\tA\t\t\t\ta\n", {}, "row 1: '-4' in column 'gene_id' is not an NCBI Gene id"),
        (
            HEADER + "1\tA\t\t\t\ta\n",
            {"text_column": "summary"},
            "no column 'summary' .*there are gene_id, symbol",
        ),
        (HEADER + "1\tA\t\t\t\ta\n", {"alias_column": "nick"}, "no column 'nick' for the alias"),
        (HEADER + "1\tA\t\t\t\t\n", {}, "no gene with an id and a text"),
        (HEADER, {}, "no gene with an id and a text"),
        (HEADER + "1\tA\n", {}, r"t\.tsv cannot be read"),
        ("", {}, "is empty"),
        (
            HEADER.replace("text", "words"),
            {},
            "no column 'text' and none of summaries .*there are gene_id, sym",
        ),
        (
            HEADER + "1\tA\t\t\tfull\ta\n",
            {"recipe": "summary"},
            "no column of summaries .*'summary'.*are gene_id",
        ),
        (HEADER + "1\tA\t\t\tfull\ta\n", {"recipe": "name+go+summary"}, "no column of GO terms or summaries"),
        (
            HEADER + "1\tA\t\t\tfull\ta\n",
            {"recipe": "{symbol} {nick}"},
            "no column 'nick' for the template; there a",
        ),
        (
            HEADER + "1\tA\t\t\tfull\tA: full.\n",
            {"drop": ("name-only",)},
            "no gene left: all 1 are name-only",
        ),
        (HEADER + "1;2;\t\t\t\t\ta\n", {}, "row 1 has several ids in column 'gene_id' and no symbol"),
        (HEADER + "1;x2\tA\t\t\t\ta\n", {}, "row 1: 'x2' in column 'gene_id' is not an NCBI Gene id"),
        ("text\tnote\nx\ty\n", {}, "no column of gene ids or symbols by a usual name"),
        ("text\ttext\nx\ty\n", {}, "two columns named 'text'"),
    ],
)
def test_bad_tables_are_refused_in_one_sentence(tmp_path, content, options, message):
    path = tmp_path / "t.tsv"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_gene_texts(path, TextOptions(**options))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_other_encodings_are_named_by_line(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes(HEADER.encode() + b"1\tA\t\t\t\ta\n2\tB\t\t\t\tna\xefve\n")
    with pytest.raises(InputError, match=r"line 3.*UTF-8.*0xef"):
        read_gene_texts(path)


def test_missing_truncated_and_mislabelled_files(tmp_path, gene_table):
    for name in ("absent.tsv", "absent.tsv.gz", "absent.parquet"):
        with pytest.raises(InputNotFoundError, match="does not exist"):
            read_gene_texts(tmp_path / name)
    (tmp_path / "cut.tsv.gz").write_bytes(gene_table.read_bytes()[:100_000])
    (tmp_path / "plain.tsv.gz").write_bytes(b"gene_id\tsymbol\ttext\n")
    for name in ("cut.tsv.gz", "plain.tsv.gz"):
        with pytest.raises(CorruptDataError, match="not complete gzip"):
            read_gene_texts(tmp_path / name)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CorruptDataError, match="as Parquet"):
        read_gene_texts(tmp_path / "bad.parquet")
    (tmp_path / "table.xlsx").write_bytes(b"")
    with pytest.raises(InputError, match="by its name"):
        read_gene_texts(tmp_path / "table.xlsx")


def test_orthologues_skip_empty_sides_and_are_sorted(tmp_path, orthologue_table):
    (tmp_path / "o.csv").write_text("A,b2\n,c\nD,\nA,b1\nA,b1\n")
    assert read_orthologues(tmp_path / "o.csv") == {"A": ("b1", "b2")}
    pairs = read_orthologues(orthologue_table)
    assert sum(len(mice) for mice in pairs.values()) == 24857
    assert pairs["CD3D"] == ("Cd3d",)


def test_orthologues_must_be_pairs(tmp_path):
    (tmp_path / "o.csv").write_text("A,b,c\n")
    with pytest.raises(InputError, match="3 columns"):
        read_orthologues(tmp_path / "o.csv")
