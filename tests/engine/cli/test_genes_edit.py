"""``lexicell genes subset``, ``merge``, ``diff``, ``convert`` and ``info``."""

from __future__ import annotations

import io
import json
import pickle
import sys

import numpy as np
import pytest

from lexicell.lexicon import Lexicon

FACTS = ("--encoder-id", "ada", "--source", "GenePT", "--licence", "MIT", "--organism", "human")


@pytest.fixture
def few(lexicell, tmp_path):
    """A lexicon of four genes."""
    (tmp_path / "genes.txt").write_text("CD3E\nENSG00000010610\n\n7157\nOCT4\nno such gene\n")
    ended = lexicell(
        "genes", "subset", "human-go-minilm", tmp_path / "few", "--genes", tmp_path / "genes.txt"
    )
    assert ended.code == 0, ended.err
    assert "1 of 5 names are no genes of human-go-minilm: no such gene" in ended.err
    assert "genes     4" in ended.out
    return tmp_path / "few"


def test_subset_reads_names_from_stdin(lexicell, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("CD3E\r\nCD4\n"))
    ended = lexicell(
        "genes", "subset", "human-go-minilm", tmp_path / "s", "--genes", "-", "--name", "t", "--json"
    )
    told = json.loads(ended.out)
    assert (told["n_genes"], told["name"]) == (2, "t")
    assert "2 of 21,609 genes kept" in ended.err


def test_subset_like_a_data_set_serves_that_data_set(lexicell, tmp_path, h5ad):
    assert lexicell("genes", "subset", "human-go-minilm", tmp_path / "s", "--like", h5ad).code == 0
    told = [json.loads(lexicell("genes", "align", h5ad, "--lexicon", name, "--json").out)
            for name in ("human-go-minilm", tmp_path / "s")]  # fmt: skip
    assert told[0]["coverage"] == told[1]["coverage"] > 0.9


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((), "Say which genes to keep"),
        (("--genes", "no.txt"), "no.txt does not exist"),
        (("--types", "protein"), "no genes of type 'protein'; there are ncRNA, protein-coding, pseudo"),
        (("--drop", "short"), "no flag 'short'"),
        (("--like", "no.h5ad"), "no.h5ad"),
    ],
)
def test_subset_refuses_in_a_sentence(lexicell, tmp_path, monkeypatch, options, why):
    monkeypatch.chdir(tmp_path)
    ended = lexicell("genes", "subset", "human-go-minilm", "out", *options)
    assert (ended.code, ended.out) == (2, "")
    assert why in ended.complaint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00"])
def test_a_list_of_names_that_is_none_is_refused(lexicell, tmp_path, content):
    (tmp_path / "genes.txt").write_bytes(content)
    ended = lexicell("genes", "subset", "human-go-minilm", tmp_path / "o", "--genes", tmp_path / "genes.txt")
    assert (ended.code, "genes.txt" in ended.complaint) == (2, True)
    assert not (tmp_path / "o").exists()


def test_merge_tells_what_was_new(lexicell, tmp_path, few):
    ended = lexicell("genes", "merge", few, "human-go-minilm", tmp_path / "all")
    assert ended.code == 0
    assert "human-go-minilm: 21,605 of 21,609 genes; 4 are in a lexicon before it" in ended.err
    whole, merged = Lexicon.open("human-go-minilm"), Lexicon.open(tmp_path / "all")
    assert merged.stored.tobytes() == whole.stored.tobytes()
    again = lexicell("genes", "merge", few, "human-go-minilm", tmp_path / "all")
    assert (again.code, "exists" in again.complaint) == (2, True)
    assert lexicell("genes", "merge", few, few, tmp_path / "all", "--overwrite").code == 0
    assert Lexicon.open(tmp_path / "all").n_genes == 4


def test_differences_are_a_result(lexicell, few):
    ended = lexicell("genes", "diff", few, "human-go-minilm")
    assert ended.code == 0
    for part in ("only in the second", "21,605", "A1BG, A2M", "(21,595 more)", "n genes"):
        assert part in ended.out
    told = json.loads(lexicell("genes", "diff", few, "human-go-minilm", "--json").out)
    assert (told["common"], len(told["only_second"])) == (4, 21605)
    assert "identical: 4 genes" in lexicell("genes", "diff", few, few).out


def test_vectors_go_out_and_come_back(lexicell, tmp_path, few):
    ended = lexicell("genes", "convert", few, tmp_path / "few.parquet")
    assert ended.code == 0
    assert "few.parquet" in ended.out
    assert (
        "leave out --licence"
        in lexicell("genes", "convert", few, tmp_path / "b.parquet", "--licence", "x").complaint
    )
    ended = lexicell(
        "genes", "convert", tmp_path / "few.parquet", tmp_path / "back", *FACTS, "--ids", "human-go-minilm",
        "--attribution", "Thank them.", "--source-date", "2024", "--encoder-revision", "2",
        "--pooling", "api", "--max-tokens", "8191", "--dtype", "float16",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "'symbol' holds gene symbols" in ended.err
    assert "4 of 4 genes are in human-go-minilm (4 by id or symbol)" in ended.err
    back, before = Lexicon.open(tmp_path / "back"), Lexicon.open(few)
    assert back.stored.tobytes() == before.stored.tobytes()
    assert back.genes.equals(before.genes)
    assert (back.info.encoder.pooling, back.info.encoder.max_tokens) == ("api", 8191)
    assert (back.info.text.date, back.info.text.attribution) == ("2024", "Thank them.")


def test_where_vectors_come_from_must_be_said(lexicell, tmp_path):
    (tmp_path / "g.json").write_text('{"TP53": [1, 2]}')
    ended = lexicell("genes", "convert", tmp_path / "g.json", tmp_path / "l", *FACTS[:4])
    assert ended.code == 2
    assert "--licence, --organism must be given" in ended.complaint
    assert not (tmp_path / "l").exists()
    ended = lexicell("genes", "convert", tmp_path / "g.json", tmp_path / "l", *FACTS)
    assert "vectors made elsewhere" in ended.out


def test_a_pickle_is_explained(lexicell, tmp_path):
    (tmp_path / "GenePT.pickle").write_bytes(pickle.dumps({"TP53": np.ones(3)}))
    ended = lexicell("genes", "convert", tmp_path / "GenePT.pickle", tmp_path / "l", *FACTS)
    assert (ended.code, ended.out) == (2, "")
    assert "is a pickle, and opening a pickle runs any code" in ended.err
    assert "pandas.read_pickle" in ended.err
    assert len(ended.err.splitlines()) == 3


def test_info_prints_the_card_and_json_counts(lexicell, few):
    ended = lexicell("genes", "info", few)
    assert ended.out.startswith((few / "README.md").read_text(encoding="utf-8"))
    assert Lexicon.open(few).identity in ended.out
    assert str(few) in ended.out
    told = json.loads(lexicell("genes", "info", few, "--json").out)
    assert told["identity"] == Lexicon.open(few).identity
    assert told["counts"]["ensembl_ids"] == told["counts"]["genes"] == 4


def test_info_renders_the_card_on_a_terminal(lexicell, few, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = lexicell("genes", "info", few).out
    assert "```" not in out
    assert "| --- |" not in out
    assert "Known gaps" in out
    assert Lexicon.open(few).identity in out


def test_a_changed_card_is_found(lexicell, few):
    (few / "README.md").write_text("# lies")
    ended = lexicell("genes", "info", few)
    assert (ended.code, "README.md" in ended.complaint) == (4, True)


@pytest.mark.parametrize("verb", ["subset", "merge", "diff", "convert"])
def test_every_verb_explains_itself(lexicell, verb):
    ended = lexicell("genes", verb, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: lexicell genes {verb}")
