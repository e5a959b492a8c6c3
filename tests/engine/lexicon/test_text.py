from __future__ import annotations

import gzip
import os
from pathlib import Path

import pandas as pd
import pytest

from lexicell.errors import CorruptDataError, InputError, InputNotFoundError
from lexicell.lexicon import TextOptions, read_gene_texts, read_orthologues

DATA = Path(os.environ.get("LEXICELL_DATA", Path(__file__).parents[4] / "shared" / "data"))
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
        "gene_type": None,
        "text_flag": None,
    }


@pytest.mark.data
def test_the_refseq_summaries_are_read_with_their_gaps():
    path = DATA / "gene_text" / "ncbi_refseq_summary_human.tsv.gz"
    if not path.exists():
        pytest.skip(f"the real data sets are not at {DATA} (set LEXICELL_DATA)")
    genes = read_gene_texts(path, TextOptions(text_column="summary"))
    # One row of this table has neither id nor symbol, 13 more have an id and no symbol.
    assert (genes.n_read, genes.n_unnamed, genes.table.num_rows) == (15150, 1, 15149)
    assert genes.table["symbol"].null_count == 13
    assert genes.columns.ensembl == "ensembl_id"
    assert genes.columns.name == "full_name"
    assert set(genes.table["text_source"].to_pylist()) == {"summary"}


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
        (HEADER + "1\tA\n", {}, "cannot be read as a table"),
        ("", {}, "is empty"),
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
    with pytest.raises(InputError, match=r"line 3: not UTF-8 \(byte 0xef\)"):
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
