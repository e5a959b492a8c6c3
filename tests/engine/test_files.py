"""Text is read whole or refused in a sentence; outputs are there whole or not at all."""

from __future__ import annotations

import errno
import gzip
import os

import pandas as pd
import pytest

from lexicell._files import (
    check_new_file,
    parse_json,
    read_cells,
    read_file,
    read_utf8,
    reading_file,
    staged_path,
    write_cells,
)
from lexicell.errors import (
    CorruptDataError,
    InputError,
    InputNotFoundError,
    OutputExistsError,
    ResourceError,
    WriteError,
)


def test_text_is_read_plain_and_gzipped_whatever_the_name(tmp_path):
    text = "α\tβ\n".encode()
    for name, data in (("a.tsv", text), ("b.tsv.gz", gzip.compress(text)), ("c", gzip.compress(text)),
                       ("d.tsv", b"\xef\xbb\xbf" + text)):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        assert read_utf8(tmp_path / name) == text, name


@pytest.mark.parametrize(
    ("name", "data", "error", "says"),
    [
        ("a.tsv", b"fine\nb\xe4d\n", InputError, r"line 2: not UTF-8 \(byte 0xe4\)"),
        ("a.gz", b"no gzip", CorruptDataError, "not complete gzip"),
        ("a.gz", gzip.compress(b"a" * 999, mtime=0)[:-6], CorruptDataError, "not complete gzip"),
        ("a.tsv", None, InputNotFoundError, "does not exist"),
    ],
    ids=["latin-1", "no gzip", "cut short", "not there"],
)
def test_what_is_no_text_is_told_apart(tmp_path, name, data, error, says):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=says):
        read_utf8(tmp_path / name)


@pytest.mark.parametrize(
    "error",
    [
        RecursionError("deep"),
        OverflowError("large"),
        KeyError("x"),
        AttributeError(),
        AssertionError("a\nb"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        OSError(errno.ELOOP, "Too many levels"),
        StopIteration(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [CorruptDataError, InputError])
def test_whatever_is_raised_while_reading_becomes_one_line_that_names_the_file(error, kind):
    with pytest.raises(kind) as caught, reading_file("folder/a.json", "fetch it again", kind):
        raise error
    assert type(caught.value) is kind
    said = str(caught.value)
    assert said.startswith("folder/a.json cannot be read (")
    assert said.endswith("; fetch it again")
    assert "\n" not in said


def test_memory_that_is_not_there_is_no_damage_and_an_error_of_ours_stays_as_it_is():
    with (
        pytest.raises(ResourceError, match=r"a\.json.*memory") as caught,
        reading_file("a.json", "x"),
    ):
        raise MemoryError
    assert not isinstance(caught.value, CorruptDataError)
    ours = InputNotFoundError("not there")
    with pytest.raises(InputNotFoundError) as caught, reading_file("a.json", "x"):
        raise ours
    assert caught.value is ours


@pytest.mark.parametrize("text", ["[" * 100_000, b'{"a":' * 100_000, "{", b"\xff", "1" * 5_000])
def test_json_that_cannot_be_parsed_is_a_value_error_at_any_depth(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse_json(text)
    assert parse_json('{"a": [1]}') == {"a": [1]}


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_file(tmp_path / "file") == read_file(tmp_path / "link") == b"x"
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "", "none", "a" * 300):
        with pytest.raises(OSError):  # noqa: PT011
            read_file(tmp_path / name)


def test_a_folder_and_an_existing_file_are_not_written_over(tmp_path):
    file = tmp_path / "file"
    check_new_file(file, overwrite=False)
    file.write_text("old")
    with pytest.raises(OutputExistsError, match="exists; choose another name"):
        check_new_file(file, overwrite=False)
    check_new_file(file, overwrite=True)
    with pytest.raises(OutputExistsError, match="is a folder"):
        check_new_file(tmp_path, overwrite=True)


def test_a_failed_write_is_one_sentence_and_leaves_the_old_file(tmp_path):
    target = tmp_path / "out"
    target.write_text("old")

    def write() -> None:
        with staged_path(target, replace=True) as staging:
            staging.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(WriteError, match=r"\(No space left on device\)"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert target.read_text() == "old"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    target = tmp_path / "out"

    def write() -> None:
        with staged_path(target, replace=False) as staging:
            staging.write_text("mine")
            target.write_text("theirs")

    with pytest.raises(OutputExistsError, match="exists"):
        write()
    assert target.read_text() == "theirs"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_of_cells_is_read_as_it_was_written(tmp_path, suffix):
    table = pd.DataFrame(
        {"label": ["=1+1", "0", "'quoted", "NA"], "confidence": [0.5, 1.0, float("nan"), -1.0]},
        index=["-cell", "cell", "7", "@home"],
    )
    path = tmp_path / f"cells{suffix}"
    write_cells(table, path, suffix)
    pd.testing.assert_frame_equal(read_cells(path), table, check_index_type=False, check_dtype=False)


def test_what_is_no_table_of_cells_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("name,label\nx,y\n")
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    for name, message in (
        ("a.csv", "no column cell"),
        ("b.parquet", "cannot be read"),
        ("c.txt", "are .csv or"),
    ):
        with pytest.raises(InputError, match=message):
            read_cells(tmp_path / name)
