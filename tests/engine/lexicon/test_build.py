from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexicell.errors import InputError, OutputExistsError, WriteError
from lexicell.lexicon import (
    EncoderOptions,
    Lexicon,
    TextOptions,
    build_lexicon,
    plan_build,
    read_gene_texts,
)


def _files(lexicon: Lexicon) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in lexicon.path.iterdir()}


def test_a_lexicon_is_built_from_real_genes(tmp_path, small_table, orthologue_table, minilm):
    seen: list[tuple[int, int]] = []
    build_lexicon(
        small_table,
        tmp_path / "lex",
        encoder=minilm,
        source="org.Hs.eg.db",
        source_date="3.16",
        licence="Artistic-2.0",
        attribution="Thanks.",
        orthologues=orthologue_table,
        progress=lambda done, total: seen.append((done, total)),
    )
    lexicon = Lexicon.open(tmp_path / "lex")
    genes = read_gene_texts(small_table)
    assert seen[-1] == (41, 41)
    assert (lexicon.n_genes, lexicon.dim, lexicon.name) == (41, 384, "lex")
    assert lexicon.info.text.model_dump() == {
        "source": "org.Hs.eg.db",
        "date": "3.16",
        "licence": "Artistic-2.0",
        "attribution": "Thanks.",
        "recipe": "column text",
    }
    assert lexicon.info.encoder.id == minilm.id
    assert lexicon.info.encoder.max_tokens == 256
    np.testing.assert_array_equal(
        lexicon.vectors(lexicon.rows), minilm.encode(genes.texts).astype(np.float16).astype(np.float32)
    )
    assert any(lexicon.genes["mouse_symbols"].to_pylist())


def test_two_builds_are_bit_equal_and_so_is_a_rebuild_from_itself(tmp_path, small_table, minilm):
    shuffled = tmp_path / "shuffled.tsv.gz"
    header, *rows = small_table.read_bytes().splitlines(keepends=True)
    with gzip.open(shuffled, "wb") as file:
        file.writelines([header, *reversed(rows)])
    options = {"encoder": minilm, "name": "n", "source": "s", "cache": False}
    first = build_lexicon(small_table, tmp_path / "a", **options)
    second = build_lexicon(shuffled, tmp_path / "b", **options)
    third = build_lexicon(first.path / "genes.parquet", tmp_path / "c", **options)
    assert _files(first) == _files(second) == _files(third)
    half = tmp_path / "half.tsv"
    half.write_bytes(b"".join([header, *rows[::2]]))
    options["cache"] = True
    build_lexicon(half, tmp_path / "d", **options)
    extended = build_lexicon(small_table, tmp_path / "e", **options)
    cached = build_lexicon(small_table, tmp_path / "f", **options)
    assert _files(first) == _files(extended) == _files(cached)


def test_left_out_rows_are_announced(tmp_path, fake_encoder):
    table = tmp_path / "t.tsv"
    table.write_text("symbol\ttext\nA\tabc\nB\t\n\tlost\n")
    lines: list[str] = []
    lexicon = build_lexicon(table, tmp_path / "lex", encoder=fake_encoder, notify=lines.append)
    assert lexicon.n_genes == 1
    assert lines == ["Of 3 rows, 1 without a text and 1 without id and symbol were left out"]
    assert lexicon.info.text.source == "t.tsv"


def test_other_columns_and_types(tmp_path, small_table, fake_encoder):
    lexicon = build_lexicon(
        small_table,
        tmp_path / "lex",
        encoder=fake_encoder,
        texts=TextOptions(text_column="gene_name"),
        dtype="float32",
    )
    assert lexicon.info.dtype == "float32"
    assert lexicon.read_genes(["text_source"])["text_source"].to_pylist() == ["gene_name"] * 41


@pytest.mark.parametrize("accident", [RuntimeError, KeyboardInterrupt])
def test_an_accident_while_encoding_leaves_nothing(
    tmp_path, small_table, fake_encoder, monkeypatch, accident
):
    def fail(texts, on_batch=None):
        raise accident

    monkeypatch.setattr(fake_encoder, "encode", fail)
    with pytest.raises(accident):
        build_lexicon(small_table, tmp_path / "lex", encoder=fake_encoder)
    assert list(tmp_path.iterdir()) == []


def test_an_accident_while_writing_leaves_nothing(tmp_path, small_table, fake_encoder, monkeypatch):
    from lexicell.lexicon import write

    def fail(folder, vectors, dtype):
        (folder / "table.bin").write_bytes(b"half")
        message = "No space left on device"
        raise OSError(28, message)

    monkeypatch.setattr(write, "write_table", fail)
    with pytest.raises(OSError, match="No space left"):
        build_lexicon(small_table, tmp_path / "lex", encoder=fake_encoder)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_found_before_anything_is_encoded(
    tmp_path, small_table, fake_encoder, monkeypatch
):
    built = build_lexicon(small_table, tmp_path / "lex", encoder=fake_encoder)
    monkeypatch.setattr(fake_encoder, "encode", lambda *_: pytest.fail("encoded in vain"))
    with pytest.raises(OutputExistsError, match="exists"):
        build_lexicon(small_table, built.path, encoder=fake_encoder)
    with pytest.raises(InputError, match="'summary'"):
        build_lexicon(
            small_table, tmp_path / "new", encoder=fake_encoder, texts=TextOptions(text_column="summary")
        )
    built.verify()


def test_what_the_table_says_of_its_source_is_the_default(tmp_path, fake_encoder):
    said = {
        "organism": "mouse",
        "source": "NCBI Gene",
        "date": "2025-01-02",
        "licence": "public domain",
        "attribution": "Thanks to NCBI.",
        "files": [],
    }
    genes = pa.table({"symbol": ["Ins1", "Ins2"], "summary": ["Makes insulin.", "Makes it, too."]})
    genes = genes.replace_schema_metadata({"lexicell.source": json.dumps(said)})
    pq.write_table(genes, tmp_path / "genes.parquet")
    told = build_lexicon(tmp_path / "genes.parquet", tmp_path / "a", encoder=fake_encoder).info
    assert told.organism == "mouse"
    assert told.text.model_dump() == {
        "source": "NCBI Gene",
        "date": "2025-01-02",
        "licence": "public domain",
        "attribution": "Thanks to NCBI.",
        "recipe": "name+summary",
    }
    told = build_lexicon(
        tmp_path / "genes.parquet", tmp_path / "b", encoder=fake_encoder, organism="rat", source="me",
        source_date="", licence="mine", attribution="", texts=TextOptions(recipe="summary"),
    ).info  # fmt: skip
    assert told.organism == "rat"
    assert told.text.model_dump() == {
        "source": "me", "date": "", "licence": "mine", "attribution": "", "recipe": "summary",
    }  # fmt: skip


def test_dropped_genes_are_announced(tmp_path, fake_encoder):
    table = tmp_path / "t.tsv"
    table.write_text("symbol\tname\tsummary\nA\talpha\tDoes much.\nB\tbeta\t\n")
    lines: list[str] = []
    lexicon = build_lexicon(
        table, tmp_path / "lex", encoder=fake_encoder, texts=TextOptions(drop=("name-only",)),
        notify=lines.append,
    )  # fmt: skip
    assert lexicon.n_genes == 1
    assert lines == ["Of 2 rows, 1 whose text is name-only were left out"]


def test_a_full_disk_costs_no_vector(tmp_path, small_table, fake_encoder, monkeypatch):
    from lexicell.lexicon import write

    def fail(folder, vectors, dtype):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(write, "write_table", fail)
        with pytest.raises(WriteError, match="No space left on device"):
            build_lexicon(small_table, tmp_path / "lex", encoder=fake_encoder)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(fake_encoder, "encode", lambda *_: pytest.fail("encoded again"))
    assert build_lexicon(small_table, tmp_path / "lex", encoder=fake_encoder).n_genes == 41


_SLOW_BUILD = """
import sys, time
import numpy as np
from lexicell.lexicon import EncoderInfo, build_lexicon
from lexicell.lexicon.encoders import vector_cache
from lexicell.lexicon.encoders.vector_cache import text_hash

vector_cache._SECONDS_PER_COMMIT = 0.02

class Slow:
    info = EncoderInfo(id="slow", revision="1", pooling="mean", max_tokens=9, normalised=False)
    cache_key = "slow"

    def encode(self, texts, on_batch=None):
        found = []
        for i, text in enumerate(texts):
            generator = np.random.default_rng(int.from_bytes(text_hash(text)[:8]))
            found.append(generator.standard_normal(5).astype(np.float32))
            on_batch([i], np.stack(found[-1:]))
            print(i, flush=True)
            time.sleep(float(sys.argv[3]))
        return np.stack(found)

build_lexicon(sys.argv[1], sys.argv[2], encoder=Slow(), name="n")
"""


def _slow_build(table: Path, out: Path, cache: Path, pause: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _SLOW_BUILD, table, out, str(pause)],
        env={**os.environ, "LEXICELL_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_killed_build_is_continued_to_the_same_bytes(tmp_path, small_table):
    with _slow_build(small_table, tmp_path / "lex", tmp_path / "cache", 0.05) as killed:
        assert killed.stdout is not None
        for line in killed.stdout:
            if int(line) == 12:
                killed.kill()
                break
    assert killed.returncode == -9
    assert not (tmp_path / "lex").exists()
    with _slow_build(small_table, tmp_path / "lex", tmp_path / "cache", 0) as repeated:
        encoded = len(repeated.communicate()[0].splitlines())
    assert 41 - 13 <= encoded <= 41 - 11
    with _slow_build(small_table, tmp_path / "whole", tmp_path / "empty", 0) as whole:
        assert len(whole.communicate()[0].splitlines()) == 41
    assert _files(Lexicon.open(tmp_path / "lex")) == _files(Lexicon.open(tmp_path / "whole"))


def test_a_service_is_asked_once_and_leaves_no_trace_of_key_and_address(
    tmp_path, small_table, embedding_server, vector_folder, monkeypatch
):
    from lexicell.lexicon.encoders import openai

    monkeypatch.setattr(openai, "_TEXTS_PER_REQUEST", 5)
    embedding_server.script.extend([lambda h, a: h.vectors(a)] * 3)

    def refuse(handler, asked):
        time.sleep(0.5)  # meanwhile others are answered
        handler.say(401, {"error": {"message": "no test-key-4f9a"}})

    embedding_server.script.append(refuse)
    lines: list[str] = []
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        build_lexicon(small_table, tmp_path / "lex", encoder="openai:m", notify=lines.append)
    n_first = len(embedding_server.texts)
    n_kept = int(lines[-1].split()[0])
    assert 5 <= n_kept <= n_first - 5
    lexicon = build_lexicon(small_table, tmp_path / "lex", encoder="openai:m", notify=lines.append)
    assert f"{n_kept} of 41 texts were encoded before" in lines
    assert len(embedding_server.texts) - n_first == 41 - n_kept
    texts = read_gene_texts(small_table).texts
    np.testing.assert_array_equal(
        lexicon.vectors(lexicon.rows), embedding_server.unit(texts).astype(np.float16).astype(np.float32)
    )
    produced = [*tmp_path.rglob("*"), *vector_folder.rglob("*")]
    content = b"".join(path.read_bytes() for path in produced if path.is_file())
    content += "".join([*map(str, produced), *lines]).encode()
    for secret in (b"test-key", b"4f9a1c77", b"127.0.0.1", str(embedding_server.server_port).encode() + b"/"):
        assert secret not in content
    monkeypatch.setattr(embedding_server, "server_port", 0)
    del embedding_server.asked[:]
    again = build_lexicon(small_table, tmp_path / "again", encoder="openai:m", name="lex")
    assert embedding_server.asked == []
    assert _files(again) == _files(lexicon)


def test_a_missing_key_is_known_before_the_table_is_read(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        build_lexicon(tmp_path / "no such table.tsv", tmp_path / "lex", encoder="openai:m")


def test_a_plan_needs_neither_key_nor_server(tmp_path, small_table, vector_folder, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    plan = plan_build(small_table, encoder="openai:text-embedding-3-small")
    assert (plan.genes, plan.texts, plan.cached, plan.to_encode) == (41, 41, 0, 41)
    assert (plan.windows, plan.requests, plan.dim) == (41, 1, 1536)
    assert plan.vector_bytes == 41 * 1536 * 2
    assert plan.recipe == "column text"
    assert plan.tokens is not None
    assert plan.cost == plan.tokens * 0.02 / 1e6
    assert (plan.price, plan.price_as_of) == (0.02, "2025")
    assert list(vector_folder.iterdir()) == []
    dearer = plan_build(small_table, encoder="openai:text-embedding-3-small", price=2, dtype="float32")
    assert dearer.cost == pytest.approx(100 * plan.cost)
    assert dearer.price_as_of is None
    assert dearer.vector_bytes == 2 * plan.vector_bytes
    with pytest.raises(InputError, match="not -1"):
        plan_build(small_table, encoder="openai:m", price=-1)


def test_a_plan_counts_what_is_left(tmp_path, small_table, embedding_server):
    rows = small_table.read_bytes().splitlines(keepends=True)
    (tmp_path / "half.tsv").write_bytes(b"".join(rows[:21]))
    build_lexicon(tmp_path / "half.tsv", tmp_path / "half", encoder="openai:m")
    asked = len(embedding_server.asked)
    plan = plan_build(small_table, encoder="openai:m", encoder_options=EncoderOptions())
    assert (plan.cached, plan.to_encode, plan.windows, plan.dim) == (20, 21, 21, 8)
    assert plan.price is None
    assert plan.describe()["cost"] == "price unknown"
    assert len(embedding_server.asked) == asked
    assert plan_build(small_table, encoder="openai:m", cache=False).to_encode == 41


def test_a_plan_does_not_fetch_a_model(small_table, monkeypatch):
    from lexicell.lexicon import build

    monkeypatch.setattr(build, "load_encoder", lambda *_, **__: pytest.fail("loaded"))
    for name in ("biobert", "owner/model"):
        told = plan_build(small_table, encoder=name).describe()
        assert told["encoder"] == name
        assert "cached" not in told


def test_a_plan_for_an_encoder_of_ones_own(small_table, fake_encoder, minilm):
    plan = plan_build(small_table, encoder=fake_encoder)
    assert (plan.to_encode, plan.dim, plan.requests) == (41, None, None)
    assert plan_build(small_table, encoder=minilm).dim == 384
