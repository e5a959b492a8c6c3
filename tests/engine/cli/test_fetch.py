"""``lexicell genes fetch`` as its user sees it."""

from __future__ import annotations

import json

import pyarrow.parquet as pq


def test_fetch_tells_what_the_table_holds_and_what_to_do_next(lexicell, ncbi, tmp_path):
    out = tmp_path / "human.parquet"
    ended = lexicell("genes", "fetch", out)
    assert ended.code == 0, ended.err
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    for line in (
        "human genes 13",
        "with a summary of their own 9",
        "without a summary 4",
        "- only from elsewhere (--all-sources) 1",
        "protein-coding 8 8",
        "left out: 1 biological-region, 1 discontinued, 1 placeholder (NEWENTRY)",
        "gene_summary.gz 2026-01-06 0.0 downloaded",
    ):
        assert line in lines
    assert lines[-1] == f"next: lexicell genes build {out} LEXICON"
    assert ended.err.count("fetching ") == 4
    assert pq.read_table(out).num_rows == 13


def test_mouse_genes_with_a_human_summary_are_told_apart(lexicell, ncbi, tmp_path):
    ended = lexicell("genes", "fetch", tmp_path / "mouse.parquet", "--organism", "mouse")
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "with their human orthologue's 6" in lines
    assert "- several human orthologues 1" in lines


def test_json_holds_the_counts_and_the_files(lexicell, ncbi, tmp_path):
    types = ("--types", "ncRNA", "--types", "pseudo")
    ended = lexicell("genes", "fetch", tmp_path / "human.parquet", "--json", *types)
    told = json.loads(ended.out)
    assert (told["genes"], told["own_summary"], told["no_summary"]) == (3, 1, 2)
    assert told["types"]["ncRNA"] == {"genes": 2, "summaries": 1}
    assert [file["origin"] for file in told["files"]] == ["downloaded"] * 4


def test_offline_the_dumps_of_last_time_do_and_it_is_said(lexicell, ncbi, tmp_path):
    lexicell("genes", "fetch", tmp_path / "1.parquet")
    ncbi.faults.extend([(503, {})] * 4)
    ended = lexicell("genes", "fetch", tmp_path / "2.parquet")
    assert ended.code == 0
    assert ended.err.count("using the copy of 2026-01-06") == 4
    assert ended.out.count("NOT COMPARED") == 4
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_a_mirror_can_be_named(lexicell, ncbi, tmp_path, monkeypatch):
    monkeypatch.delenv("LEXICELL_NCBI_URL")
    ended = lexicell("genes", "fetch", tmp_path / "1.parquet", "--base-url", f"{ncbi.url}/gene/DATA/")
    assert ended.code == 0
    assert ncbi.asked[0].path == "/gene/DATA/GENE_INFO/Mammalia/Homo_sapiens.gene_info.gz"


def test_a_wrong_mirror_is_one_sentence_with_its_address(lexicell, ncbi, tmp_path):
    ended = lexicell("genes", "fetch", tmp_path / "1.parquet", "--base-url", f"{ncbi.url}/elsewhere")
    assert (ended.code, ended.out) == (2, "")
    assert f"{ncbi.url}/elsewhere/GENE_INFO/" in ended.complaint
    assert "is not there" in ended.complaint
    assert not (tmp_path / "1.parquet").exists()


def test_a_damaged_dump_is_exit_4(lexicell, ncbi, tmp_path):
    ncbi.files["/gene/DATA/gene_summary.gz"] = ncbi.files["/gene/DATA/gene_summary.gz"][:-9]
    ended = lexicell("genes", "fetch", tmp_path / "1.parquet")
    assert ended.code == 4
    assert "gene_summary.gz is damaged" in ended.complaint


def test_an_output_of_another_kind_is_refused(lexicell, ncbi, tmp_path):
    ended = lexicell("genes", "fetch", tmp_path / "genes.csv")
    assert ended.code == 2
    assert "should end in .parquet" in ended.complaint
    assert ncbi.asked == []


def test_ctrl_c_leaves_only_what_can_be_gone_on_with(lexicell, ncbi, tmp_path, monkeypatch):
    def interrupt(url, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("lexicell.lexicon.text.ncbi.download", interrupt)
    ended = lexicell("genes", "fetch", tmp_path / "1.parquet")
    assert ended.code == 130
    assert not list(tmp_path.glob("*.parquet"))
