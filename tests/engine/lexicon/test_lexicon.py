from __future__ import annotations

import errno
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lexicell.errors import (
    CorruptDataError,
    InputError,
    InputNotFoundError,
    OutputExistsError,
    WriteError,
)
from lexicell.lexicon import EncoderInfo, Lexicon, TextInfo, bundled_lexicons, write_lexicon
from lexicell.lexicon.genes import GENE_COLUMNS
from lexicell.lexicon.text.reading import read_gene_texts

FILES = ("lexicon.json", "genes.parquet", "table.onnx", "table.bin", "NOTICE.md", "README.md")
ABOUT = {
    "name": "test",
    "organism": "human",
    "text": TextInfo(source="a test"),
    "encoder": EncoderInfo(id="none", revision="0", pooling="mean", max_tokens=1, normalised=False),
}


@pytest.fixture(scope="session")
def genes(small_table: Path) -> pa.Table:
    return read_gene_texts(small_table).table


def _vectors(n: int, dim: int = 48) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, dim)).astype(np.float32)


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_was_written_is_read_back(tmp_path, genes, dtype):
    vectors = _vectors(genes.num_rows)
    write_lexicon(tmp_path / "lex", genes, vectors, dtype=dtype, **ABOUT)
    lexicon = Lexicon.open(tmp_path / "lex")

    assert (lexicon.n_genes, lexicon.dim, lexicon.info.dtype) == (41, 48, dtype)
    rows = np.array([40, 0, 7, 7], dtype=np.int64)
    gathered = lexicon.vectors(rows)
    assert gathered.dtype == np.float32
    assert gathered.flags.c_contiguous
    np.testing.assert_array_equal(gathered, vectors[rows].astype(dtype).astype(np.float32))
    assert lexicon.read_genes().select(genes.column_names).equals(genes)
    assert lexicon.read_genes(["row"])["row"].to_pylist() == list(range(41))


def test_identifiers_are_read_without_the_texts(lexicon):
    assert "text" not in lexicon.genes.column_names
    assert {"row", "ncbi_id", "symbol", "ensembl_ids", "aliases", "mouse_symbols"} < set(
        lexicon.genes.column_names
    )
    assert tuple(lexicon.read_genes().column_names) == GENE_COLUMNS


def test_no_rows_give_no_vectors(lexicon):
    assert lexicon.vectors(np.array([], dtype=np.int64)).shape == (0, 48)


@pytest.mark.parametrize(
    "rows", [np.array([-1]), np.array([41]), np.array([0.5]), np.array([[0]]), np.array([True])]
)
def test_rows_that_are_not_rows_are_refused(lexicon, rows):
    with pytest.raises(InputError, match="Lexicon rows must"):
        lexicon.vectors(rows)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found_in_every_file(lexicon, name):
    size = (lexicon.path / name).stat().st_size
    for position in sorted({0, size // 3, size // 2, size - 1}):
        _flip(lexicon.path / name, position)
        with pytest.raises(CorruptDataError, match=name.replace(".", r"\.")) as caught:
            Lexicon.open(lexicon.path)
        assert caught.value.exit_code == 4
        _flip(lexicon.path / name, position)
    Lexicon.open(lexicon.path)


def test_a_flipped_bit_is_found_at_every_position_of_the_manifest(lexicon):
    manifest = lexicon.path / "lexicon.json"
    for position in range(manifest.stat().st_size - 1):
        _flip(manifest, position)
        with pytest.raises(CorruptDataError):
            Lexicon.open(lexicon.path, verify=False)
        _flip(manifest, position)


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_missing_and_truncated_files_are_found_without_hashing(lexicon, name, damage):
    file = lexicon.path / name
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CorruptDataError, match=name):
        Lexicon.open(lexicon.path, verify=False)


def test_verify_finds_what_changed_after_opening(lexicon):
    _flip(lexicon.path / "table.bin", 5)
    with pytest.raises(CorruptDataError, match=r"table\.bin"):
        lexicon.verify()
    (lexicon.path / "table.bin").unlink()
    with pytest.raises(CorruptDataError, match=r"table\.bin"):
        lexicon.verify()


@pytest.mark.parametrize("garbage", [b"", b"{", b"[1]", b"\xff\xfe", b"{}", b'{"format_version": 1}'])
def test_a_garbage_manifest_is_corrupt(lexicon, garbage):
    (lexicon.path / "lexicon.json").write_bytes(garbage)
    with pytest.raises(CorruptDataError, match=r"lexicon\.json"):
        Lexicon.open(lexicon.path)


def test_a_newer_format_asks_for_an_upgrade(lexicon):
    manifest = lexicon.path / "lexicon.json"
    content = json.loads(manifest.read_bytes()) | {"format_version": 99, "novelty": 1}
    manifest.write_text(json.dumps(content))
    with pytest.raises(InputError, match="upgrade lexicell"):
        Lexicon.open(lexicon.path)


def test_unreadable_files_are_corrupt_even_unverified(lexicon):
    for name in ("genes.parquet", "table.onnx"):
        size = (lexicon.path / name).stat().st_size
        (lexicon.path / name).write_bytes(bytes(size))
    opened = Lexicon.open(lexicon.path, verify=False)
    with pytest.raises(CorruptDataError, match=r"genes\.parquet"):
        opened.genes  # noqa: B018
    with pytest.raises(CorruptDataError, match=r"table\.onnx"):
        opened.vectors(opened.rows)


def test_a_folder_without_manifest_is_not_a_lexicon(tmp_path):
    with pytest.raises(InputNotFoundError, match="is not a lexicon"):
        Lexicon.open(tmp_path)


def test_an_unknown_name_lists_the_bundled_ones():
    with pytest.raises(InputNotFoundError, match=r"\(human-go-minilm\)\. Did you mean human-go-minilm\?"):
        Lexicon.open("human-go-minilmm")


def test_the_identity_follows_the_content_and_not_the_place(tmp_path, genes):
    vectors = _vectors(genes.num_rows)
    first, second = (write_lexicon(tmp_path / name, genes, vectors, **ABOUT) for name in "ab")
    assert first.identity == second.identity
    vectors[3, 3] += 1
    assert write_lexicon(tmp_path / "c", genes, vectors, **ABOUT).identity != first.identity


def test_the_same_content_gives_the_same_bytes(tmp_path, genes):
    for name in "ab":
        write_lexicon(tmp_path / name, genes, _vectors(genes.num_rows), **ABOUT)
    names = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert names == ["README.md", "genes.parquet", "lexicon.json", "table.bin", "table.onnx"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_lexicon_travels_to_workers_but_not_into_another_lexicon(lexicon, genes):
    lexicon.vectors(lexicon.rows)  # an open session must not get in the way
    sent = pickle.dumps(lexicon)
    np.testing.assert_array_equal(pickle.loads(sent).vectors(lexicon.rows), lexicon.vectors(lexicon.rows))  # noqa: S301
    write_lexicon(lexicon.path, genes, _vectors(genes.num_rows), overwrite=True, **ABOUT)
    with pytest.raises(CorruptDataError, match="another lexicon"):
        pickle.loads(sent)  # noqa: S301


def test_an_existing_output_is_kept_unless_it_may_be_replaced(lexicon, genes):
    with pytest.raises(OutputExistsError, match="exists"):
        write_lexicon(lexicon.path, genes, _vectors(genes.num_rows), **ABOUT)
    Lexicon.open(lexicon.path)
    replaced = write_lexicon(lexicon.path, genes, _vectors(genes.num_rows), overwrite=True, **ABOUT)
    replaced.verify()
    assert replaced.identity != lexicon.identity
    assert [path.name for path in lexicon.path.parent.iterdir()] == ["lexicon"]


def test_a_folder_that_is_no_lexicon_is_never_replaced(tmp_path, genes):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(OutputExistsError, match="not a lexicon"):
        write_lexicon(tmp_path / "thesis", genes, _vectors(genes.num_rows), overwrite=True, **ABOUT)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"


def test_vectors_that_cannot_be_stored_leave_nothing_behind(tmp_path, genes):
    for value, dtype, cause in ((np.nan, "float32", "not finite"), (1e6, "float16", "range of float16")):
        vectors = _vectors(genes.num_rows)
        vectors[7, 2] = value
        with pytest.raises(InputError, match=f"row 7 .*{cause}"):
            write_lexicon(tmp_path / "lex", genes, vectors, dtype=dtype, **ABOUT)
    with pytest.raises(InputError, match="41 genes but 40 vectors"):
        write_lexicon(tmp_path / "lex", genes, _vectors(40), **ABOUT)
    with pytest.raises(InputError, match="'aliases'"):
        write_lexicon(tmp_path / "lex", genes.drop_columns("aliases"), _vectors(41), **ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_the_card_lies_in_the_folder_and_an_older_lexicon_gets_one_when_asked(lexicon):
    written = (lexicon.path / "README.md").read_text(encoding="utf-8")
    assert lexicon.card == written
    assert written.startswith("# test\n\n41 human genes")
    assert "README.md" in lexicon.info.files
    (lexicon.path / "README.md").unlink()
    older = {name: file for name, file in lexicon.info.files.items() if name != "README.md"}
    lexicon.info.model_copy(update={"files": older}).write(lexicon.path)
    assert Lexicon.open(lexicon.path).card == written


@pytest.mark.parametrize("name", ["README.md", "genes.parquet", "lexicon.json", "table.bin", "../x", "a/b"])
def test_notes_do_not_take_the_names_of_other_files(tmp_path, genes, name):
    with pytest.raises(InputError, match="file of its own"):
        write_lexicon(tmp_path / "l", genes, _vectors(41), notes={name: b""}, **ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_notes_are_read_back_without_the_files_of_the_lexicon(lexicon):
    assert lexicon.read_notes() == {"NOTICE.md": b"Thanks to all genes.\n"}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_stored_table_is_mapped_read_only_with_the_bits_on_disk(tmp_path, genes, dtype):
    lexicon = write_lexicon(tmp_path / "l", genes, _vectors(41), dtype=dtype, **ABOUT)
    assert (lexicon.stored.shape, lexicon.stored.dtype) == ((41, 48), dtype)
    assert lexicon.stored.tobytes() == (lexicon.path / "table.bin").read_bytes()
    np.testing.assert_array_equal(lexicon.stored.astype(np.float32), lexicon.vectors(lexicon.rows))
    with pytest.raises(ValueError, match="read-only"):
        lexicon.stored[0, 0] = 1


def test_a_table_of_another_size_is_corrupt(lexicon):
    opened = Lexicon.open(lexicon.path, verify=False)
    (lexicon.path / "table.bin").write_bytes(b"short")
    with pytest.raises(CorruptDataError, match=r"table\.bin.*41.*48"):
        opened.stored  # noqa: B018


@pytest.mark.parametrize("victim", ["genes.parquet", "table.bin", "README.md", "lexicon.json"])
def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path, genes, monkeypatch, victim):
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(*args, **kwargs):
        raise full

    writers = {
        "genes.parquet": ("lexicell.lexicon.write.write_genes", refuse),
        "table.bin": ("lexicell.lexicon.write.write_table", refuse),
        "README.md": ("pathlib.Path.write_bytes", refuse),
        "lexicon.json": ("pathlib.Path.write_text", refuse),
    }
    monkeypatch.setattr(*writers[victim])
    with pytest.raises(WriteError, match=r"\(No space left on device\)"):
        write_lexicon(tmp_path / "l", genes, _vectors(41), **ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_named(tmp_path, genes):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WriteError, match="l cannot be written"):
        write_lexicon(tmp_path / "file" / "l", genes, _vectors(41), **ABOUT)


def test_a_failed_replacement_leaves_the_old_lexicon(lexicon, genes):
    vectors = _vectors(genes.num_rows)
    vectors[0, 0] = np.inf
    with pytest.raises(InputError):
        write_lexicon(lexicon.path, genes, vectors, overwrite=True, **ABOUT)
    assert Lexicon.open(lexicon.path).identity == lexicon.identity
    assert [path.name for path in lexicon.path.parent.iterdir()] == ["lexicon"]


_MEASURE = """
import sys
import numpy as np
from lexicell.lexicon import Lexicon

def memory():
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return [int(fields[key].split()[0]) // 1024 for key in ("RssAnon", "RssFile")]

small, large = sys.argv[1:]
Lexicon.open(small).vectors(np.arange(2))
before = memory()
lexicon = Lexicon.open(large, verify=False)
lexicon.vectors(np.arange(0, lexicon.n_genes, lexicon.n_genes // 8))
print(*(after - start for after, start in zip(memory(), before)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_table_is_mapped_and_not_copied(tmp_path, lexicon, genes, dtype):
    """A gather of 8 rows from a table of 128 MiB takes memory for the rows, not for the table."""
    rows = genes.slice(0, 32)
    width = (128 << 20) // (rows.num_rows * np.dtype(dtype).itemsize)
    values = np.ones((rows.num_rows, width), dtype=dtype)
    large = write_lexicon(tmp_path / "large", rows, values, dtype=dtype, **ABOUT)
    values = None
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, lexicon.path, large.path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    private, mapped = (int(number) for number in done.stdout.split())
    gathered = 8 * width * 4 >> 20
    assert private < 2 * gathered + 16, f"{private} MiB of private memory for {gathered} MiB of vectors"
    assert mapped < 64, f"{mapped} MiB of the file were read for a quarter of its rows"


def test_importing_the_package_loads_no_heavy_library():
    heavy = {"torch", "onnxruntime", "onnx", "pyarrow", "transformers", "tokenizers", "huggingface_hub"}
    code = f"import sys, lexicell.lexicon; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_bundled_names_are_listed():
    assert "human-go-minilm" in bundled_lexicons()


def _settled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files count as old enough for their times to tell of a change."""
    assert folder.is_dir()
    monkeypatch.setattr("lexicell.lexicon.lexicon._UNSETTLED", -1e9)


def test_an_unchanged_lexicon_is_hashed_once(tmp_path, genes, monkeypatch):
    write_lexicon(tmp_path / "lex", genes, _vectors(genes.num_rows), **ABOUT)
    _settled(tmp_path / "lex", monkeypatch)
    opened = Lexicon.open(tmp_path / "lex")
    assert Lexicon.open(tmp_path / "lex") is opened
    assert Lexicon.open(tmp_path / "lex", verify=False) is not opened


def test_a_file_that_changed_after_a_lexicon_was_opened_is_found(tmp_path, genes, monkeypatch):
    folder = tmp_path / "lex"
    write_lexicon(folder, genes, _vectors(genes.num_rows), **ABOUT)
    _settled(folder, monkeypatch)
    Lexicon.open(folder)
    _flip(folder / "table.bin", 5)  # as long as before
    with pytest.raises(CorruptDataError, match=r"table\.bin was changed"):
        Lexicon.open(folder)
    _flip(folder / "table.bin", 5)
    assert Lexicon.open(folder).n_genes == 41


def test_a_lexicon_in_the_place_of_another_is_opened(tmp_path, genes, monkeypatch):
    folder = tmp_path / "lex"
    write_lexicon(folder, genes, _vectors(genes.num_rows), **ABOUT)
    _settled(folder, monkeypatch)
    before = Lexicon.open(folder)
    write_lexicon(folder, genes, -_vectors(genes.num_rows), overwrite=True, **ABOUT)
    after = Lexicon.open(folder)
    assert after.identity != before.identity
    np.testing.assert_array_equal(after.stored, -_vectors(genes.num_rows).astype(np.float16))


def test_a_file_that_just_changed_is_hashed_each_time(tmp_path, genes):
    """It may change again without another time."""
    write_lexicon(tmp_path / "lex", genes, _vectors(genes.num_rows), **ABOUT)
    assert Lexicon.open(tmp_path / "lex") is not Lexicon.open(tmp_path / "lex")
