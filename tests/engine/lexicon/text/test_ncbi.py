"""Gene tables out of NCBI's dumps: what is joined to what, and what a dump may not be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexicell.errors import CorruptDataError, InputError, OutputExistsError, WriteError
from lexicell.lexicon import EncoderInfo, TextInfo, align_genes, fetch_genes, write_lexicon
from lexicell.lexicon.genes import gene_schema
from lexicell.lexicon.text import ncbi_dumps as dumps

DATA = "/gene/DATA/"
HUMAN = f"{DATA}GENE_INFO/Mammalia/Homo_sapiens.gene_info.gz"
SUMMARIES = f"{DATA}gene_summary.gz"
ORTHOLOGUES = f"{DATA}gene_orthologs.gz"


def edit(server, path: str, old: str, new: str) -> None:
    text = gzip.decompress(server.files[path]).decode()
    assert old in text
    server.files[path] = gzip.compress(text.replace(old, new).encode(), mtime=0)


def rows(path: Path) -> dict[str, dict]:
    return {row["symbol"]: row for row in pq.read_table(path).to_pylist()}


@pytest.fixture
def human(ncbi, tmp_path) -> dict[str, dict]:
    return rows(fetch_genes(tmp_path / "human.parquet").path)


@pytest.fixture
def mouse(ncbi, tmp_path) -> dict[str, dict]:
    return rows(fetch_genes(tmp_path / "mouse.parquet", organism="mouse").path)


def test_a_human_gene_has_its_names_ids_summary_and_mouse_orthologue(human):
    cd3e = human["CD3E"]
    assert cd3e.pop("summary").startswith("The protein encoded by this gene is the CD3-epsilon polypeptide")
    assert cd3e == {
        "ncbi_id": 916,
        "symbol": "CD3E",
        "name": "CD3 epsilon subunit of T-cell receptor complex",
        "aliases": ["CD3epsilon", "IMD18", "T3E", "TCRE"],
        "ensembl_ids": ["ENSG00000198851"],
        "gene_type": "protein-coding",
        "summary_source": "RefSeq",
        "mouse_symbols": ["Cd3e"],
    }


def test_rows_are_sorted_by_id_and_typed(ncbi, tmp_path):
    table = pq.read_table(fetch_genes(tmp_path / "human.parquet").path)
    ids = table.column("ncbi_id").to_pylist()
    assert ids == sorted(ids)
    assert table.schema.field("ncbi_id").type == pa.int64()
    for name in ("aliases", "ensembl_ids", "mouse_symbols"):
        assert table.schema.field(name).type.value_type == pa.string()


def test_several_ensembl_ids_and_none(human):
    assert human["CYP2D6"]["ensembl_ids"] == ["ENSG00000100197", "ENSG00000280905"]
    assert human["LOC105372280"]["ensembl_ids"] == []
    assert human["LOC105372280"]["aliases"] == []


def test_the_full_name_is_the_authoritys_or_else_the_description(human):
    assert human["COX1"]["name"] == "mitochondrially encoded cytochrome c oxidase I"
    assert human["LOC105372280"]["name"] == "uncharacterized LOC105372280"


def test_the_authoritys_symbol_is_an_alias_where_ncbi_uses_another(human):
    assert human["COX1"]["aliases"] == ["COI", "MTCO1", "MT-CO1"]


def test_text_beyond_ascii_comes_through(human):
    assert human["LOC107984345"]["name"] == "Sjögren locus α-enhancer"
    assert human["LOC107984345"]["aliases"] == ["TCRα enhancer"]
    assert "Leber’s" in human["COX1"]["summary"]


def test_what_is_no_gene_is_left_out_and_counted(ncbi, tmp_path):
    fetched = fetch_genes(tmp_path / "human.parquet")
    assert fetched.left_out == {"biological-region": 1, "discontinued": 1, "placeholder (NEWENTRY)": 1}
    assert (fetched.genes, fetched.own, fetched.without) == (13, 9, 4)
    assert fetched.types["protein-coding"] == (8, 8)
    assert not {"NEWENTRY", "LOC106480796", "LOC100131390"} & rows(fetched.path).keys()


def test_refseq_comes_before_other_summaries_wherever_it_stands(human):
    assert human["CD3E"]["summary_source"] == human["MS4A1"]["summary_source"] == "RefSeq"
    assert human["COX1"]["summary_source"] == "Alliance of Genome Resources"


def test_summaries_under_terms_of_their_own_are_taken_only_when_asked_for(ncbi, tmp_path):
    fetched = fetch_genes(tmp_path / "free.parquet")
    assert fetched.withheld == 1
    assert rows(fetched.path)["PWCR1"]["summary"] is None
    fetched = fetch_genes(tmp_path / "all.parquet", all_sources=True)
    assert fetched.withheld == 0
    assert rows(fetched.path)["PWCR1"]["summary_source"] == "OMIM"
    source = json.loads(pq.read_schema(fetched.path).metadata[b"lexicell.source"])
    assert "OMIM: terms of their own" in source["licence"]
    assert "OMIM" in source["attribution"]


def test_an_empty_summary_is_none(human):
    assert human["DDX11L1"]["summary"] is None
    assert human["DDX11L1"]["summary_source"] is None


def test_mouse_genes_borrow_the_summary_of_their_human_orthologue(mouse, human):
    assert mouse["Ms4a1"]["summary"] == human["MS4A1"]["summary"]
    assert mouse["Ms4a1"]["summary_source"] == "human orthologue MS4A1 (NCBI 931), RefSeq"
    assert "mouse_symbols" not in mouse["Ms4a1"]


def test_two_mouse_genes_may_share_a_human_orthologue(mouse):
    assert mouse["Bcl2a1a"]["summary"] == mouse["Bcl2a1b"]["summary"] is not None


def test_a_mouse_genes_own_summary_comes_first(mouse):
    assert mouse["Pax6"]["summary_source"] == "RefSeq"
    assert mouse["Cd3e"]["summary_source"] == "Alliance of Genome Resources"


def test_orthologues_are_read_in_either_direction(mouse, human):
    assert mouse["COX1"]["summary_source"].startswith("human orthologue COX1 (NCBI 4512), ")
    assert human["COX1"]["mouse_symbols"] == ["COX1"]


def test_of_several_human_orthologues_none_is_taken(ncbi, tmp_path):
    fetched = fetch_genes(tmp_path / "mouse.parquet", organism="mouse")
    assert rows(fetched.path)["Cyp2d22"]["summary"] is None
    assert (fetched.own, fetched.from_orthologue, fetched.without) == (2, 6, 2)
    assert fetched.several_orthologues == 1


def test_of_several_human_orthologues_the_one_of_the_same_name_is_taken(ncbi, tmp_path):
    edit(ncbi, ORTHOLOGUES, "9606\t6010\tOrtholog\t10090", "9606\t931\tOrtholog\t10090\t212541\n"
         "9606\t6010\tOrtholog\t10090")  # fmt: skip
    found = rows(fetch_genes(tmp_path / "mouse.parquet", organism="mouse").path)
    assert found["Rho"]["summary_source"].startswith("human orthologue RHO")


def test_only_the_types_asked_for_are_kept(ncbi, tmp_path):
    fetched = fetch_genes(tmp_path / "few.parquet", types=["ncRNA", "pseudo"])
    assert set(rows(fetched.path)) == {"MIR21", "LOC105372280", "DDX11L1"}
    with pytest.raises(InputError, match="'protein_coding'"):
        fetch_genes(tmp_path / "none.parquet", types=["protein_coding"])


def test_a_mouse_orthologue_is_named_whatever_types_are_kept(ncbi, tmp_path):
    found = rows(fetch_genes(tmp_path / "few.parquet", types=["ncRNA"]).path)
    assert found["MIR21"]["mouse_symbols"] == ["Mir21a"]


def test_the_table_says_where_it_is_from(ncbi, tmp_path):
    ncbi.dates[SUMMARIES] = "Sun, 04 Jan 2026 01:00:00 GMT"
    fetched = fetch_genes(tmp_path / "human.parquet")
    source = json.loads(pq.read_schema(fetched.path).metadata[b"lexicell.source"])
    assert (source["organism"], source["source"], source["date"]) == ("human", "NCBI Gene", "2026-01-06")
    assert source["licence"].startswith("Public domain (US government work)")
    assert "Alliance of Genome Resources: CC BY 4.0" in source["licence"]
    assert len(source["files"]) == 4
    for file, held in zip(source["files"], fetched.files, strict=True):
        assert file == {"url": held.url, "date": held.date, "bytes": held.bytes, "blake3": held.blake3}


def test_without_alliance_summaries_the_licence_is_plain(ncbi, tmp_path):
    source = fetch_genes(tmp_path / "few.parquet", types=["ncRNA"]).path
    metadata = json.loads(pq.read_schema(source).metadata[b"lexicell.source"])
    assert metadata["licence"] == "Public domain (US government work)"


def test_a_password_in_the_address_is_not_in_the_table(ncbi, tmp_path):
    base = f"{ncbi.url}{DATA}".replace("//127", "//me:secret@127")
    assert b"secret" not in fetch_genes(tmp_path / "human.parquet", base_url=base).path.read_bytes()


def test_the_same_dumps_give_the_same_bytes(ncbi, tmp_path):
    first = fetch_genes(tmp_path / "1.parquet").path.read_bytes()
    assert fetch_genes(tmp_path / "2.parquet", refresh=True).path.read_bytes() == first


def test_dumps_of_both_organisms_are_fetched_once(ncbi, tmp_path):
    fetch_genes(tmp_path / "human.parquet")
    fetched = fetch_genes(tmp_path / "mouse.parquet", organism="mouse")
    assert {file.origin for file in fetched.files} == {"unchanged"}
    assert ncbi.statuses() == [200] * 4 + [304] * 4


def test_lines_across_blocks_are_read_once(ncbi, tmp_path, monkeypatch):
    whole = pq.read_table(fetch_genes(tmp_path / "whole.parquet").path)
    for size in (1, 7, 64, 1000):
        monkeypatch.setattr(dumps, "_BLOCK", size)
        assert pq.read_table(fetch_genes(tmp_path / f"{size}.parquet").path) == whole


def test_a_last_line_without_a_line_feed_counts(ncbi, tmp_path):
    text = gzip.decompress(ncbi.files[HUMAN]).rstrip(b"\n").rpartition(b"\n")[0]
    last = b"\n" + b"9606\t77\tLAST".ljust(15) + b"\t-" * 6 + b"\tprotein-coding" + b"\t-" * 6
    ncbi.files[HUMAN] = gzip.compress(text + last)
    assert rows(fetch_genes(tmp_path / "human.parquet").path)["LAST"]["ncbi_id"] == 77


def test_further_columns_and_another_order_are_fine(ncbi, tmp_path, human):
    text = gzip.decompress(ncbi.files[SUMMARIES]).decode().splitlines()
    moved = ["\t".join([*reversed(line.lstrip("#").split("\t")), "new"]) for line in text]
    ncbi.files[SUMMARIES] = gzip.compress(("\n".join(moved) + "\n").encode())
    assert rows(fetch_genes(tmp_path / "moved.parquet").path) == human


def test_a_missing_column_is_named_with_the_file_and_what_there_is(ncbi, tmp_path):
    edit(ncbi, SUMMARIES, "Source\tSummary", "Source\tAbstract")
    message = r"gene_summary.gz has no column 'Summary'; there are tax_id, GeneID, Source, Abstract\.$"
    with pytest.raises(InputError, match=message):
        fetch_genes(tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        (HUMAN, "\t916\t", "\tx16\t", "'x16' where a gene id should be"),
        (HUMAN, "\tCD3E\t-\t", "\tCD3E\t", "15 instead of 16 columns"),
        (SUMMARIES, "9606\t", "9605\t", "no line with tax_id 9606"),
        (ORTHOLOGUES, "10090", "10091", "no line with tax_id"),
    ],
)
def test_a_dump_that_is_not_as_expected_is_one_sentence(ncbi, tmp_path, path, old, new, message):
    edit(ncbi, path, old, new)
    with pytest.raises(InputError, match=message) as refused:
        fetch_genes(tmp_path / "out.parquet")
    assert path in str(refused.value)
    assert not (tmp_path / "out.parquet").exists()


def test_a_dump_that_is_not_utf8_is_one_sentence(ncbi, tmp_path):
    text = gzip.decompress(ncbi.files[SUMMARIES]).replace("’".encode(), b"\x92")
    ncbi.files[SUMMARIES] = gzip.compress(text)
    with pytest.raises(InputError, match=r"gene_summary\.gz.*UTF-8"):
        fetch_genes(tmp_path / "out.parquet")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no gzip", "empty"])
def test_a_damaged_dump_leaves_the_cache_so_that_the_next_run_is_good(ncbi, tmp_path, damage):
    good = ncbi.files[ORTHOLOGUES]
    flipped = bytearray(good)
    flipped[-6] ^= 1  # in the checksum
    ncbi.files[ORTHOLOGUES] = {
        "truncated": good[:-20], "flipped": bytes(flipped), "no gzip": b"<html>Please log in</html>",
        "empty": b"",
    }[damage]  # fmt: skip
    with pytest.raises(CorruptDataError, match=r"gene_orthologs\.gz"):
        fetch_genes(tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
    assert not list((tmp_path / "cache" / "downloads").glob("*orthologs*"))
    ncbi.files[ORTHOLOGUES] = good
    assert fetch_genes(tmp_path / "out.parquet").genes == 13


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("genes.tsv", {}, r"should end in \.parquet"),
        ("genes.parquet", {"organism": "zebrafish"}, "human and mouse"),
        ("genes.parquet", {"source": "ensembl"}, "'ensembl'"),
        ("genes.parquet", {"base_url": "ftp.ncbi.nlm.nih.gov"}, "https://"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_asked(ncbi, tmp_path, name, options, message):
    with pytest.raises(InputError, match=message):
        fetch_genes(tmp_path / name, **options)
    assert ncbi.asked == []


def test_an_existing_table_is_kept_unless_it_may_be_replaced(ncbi, tmp_path):
    out = tmp_path / "genes.parquet"
    out.write_text("mine")
    with pytest.raises(OutputExistsError):
        fetch_genes(out)
    assert (out.read_text(), ncbi.asked) == ("mine", [])
    assert fetch_genes(out, overwrite=True).genes == 13
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "genes.parquet"]


def test_a_folder_is_never_replaced(ncbi, tmp_path):
    (tmp_path / "genes.parquet").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        fetch_genes(tmp_path / "genes.parquet", overwrite=True)


def test_a_full_disk_leaves_no_table(ncbi, tmp_path, monkeypatch):
    def full(table, file, **options):
        file.write(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(WriteError, match=r"genes\.parquet.*\(No space left on device\)"):
        fetch_genes(tmp_path / "genes.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_a_mouse_table_serves_mouse_data_also_with_symbols_in_upper_case(ncbi, tmp_path, fake_encoder):
    fetched = fetch_genes(tmp_path / "mouse.parquet", organism="mouse")
    table = pq.read_table(fetched.path)
    table = table.filter(table.column("summary").is_valid())
    columns = {"text": table["summary"], "text_source": table["summary_source"]}
    columns |= {name: table[name] for name in table.column_names}
    schema = pa.schema([field for field in gene_schema() if field.name != "row"])
    genes = pa.table(
        [columns.get(field.name, pa.nulls(table.num_rows, field.type)) for field in schema], schema=schema
    )
    lexicon = write_lexicon(
        tmp_path / "lexicon", genes, fake_encoder.encode(genes.column("text").to_pylist()), name="mouse",
        organism="mouse", text=TextInfo(source="NCBI Gene"), encoder=EncoderInfo(
            id="none", revision="0", pooling="mean", max_tokens=1, normalised=False
        ),
    )  # fmt: skip
    symbols = ["Rho", "Cd3e", "Ms4a1", "Pax6", "Actb"]
    expected = [genes.column("symbol").to_pylist().index(symbol) for symbol in symbols[:-1]]
    for names in (symbols, [symbol.upper() for symbol in symbols]):
        alignment = align_genes(lexicon, pd.DataFrame(index=names))
        np.testing.assert_array_equal(alignment.rows, [*expected, -1])
        assert alignment.organism == "mouse"
