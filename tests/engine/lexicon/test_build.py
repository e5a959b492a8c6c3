from __future__ import annotations

import gzip

import numpy as np
import pytest

from lexicell.errors import InputError, OutputExistsError
from lexicell.lexicon import Lexicon, TextOptions, build_lexicon, read_gene_texts


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
        "recipe": "",
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
    options = {"encoder": minilm, "name": "n", "source": "s"}
    first = build_lexicon(small_table, tmp_path / "a", **options)
    second = build_lexicon(shuffled, tmp_path / "b", **options)
    third = build_lexicon(first.path / "genes.parquet", tmp_path / "c", **options)
    assert _files(first) == _files(second) == _files(third)


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
    from lexicell.lexicon import _artefact

    def fail(folder, vectors, dtype):
        (folder / "table.bin").write_bytes(b"half")
        message = "No space left on device"
        raise OSError(28, message)

    monkeypatch.setattr(_artefact, "write_table", fail)
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
    with pytest.raises(InputError, match="no column 'summary'"):
        build_lexicon(
            small_table, tmp_path / "new", encoder=fake_encoder, texts=TextOptions(text_column="summary")
        )
    built.verify()
