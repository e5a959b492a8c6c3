"""Text is read whole or refused in a sentence; outputs are there whole or not at all."""

from __future__ import annotations

import errno
import gzip
import os

import pytest

from lexicell._files import check_new_file, read_utf8, staged_path
from lexicell.errors import (
    CorruptDataError,
    InputError,
    InputNotFoundError,
    OutputExistsError,
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

    with pytest.raises(WriteError, match=r"out cannot be written \(No space left on device\); make room"):
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
