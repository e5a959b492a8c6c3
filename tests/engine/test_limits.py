"""A limit of the system is told as what it is: never as damage, and never before it is needed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest

from lexicell import errors
from lexicell._files import staged_path
from lexicell._limits import limit_reached
from lexicell.cli import main
from lexicell.containers.faults import Where, reading
from lexicell.errors import CorruptDataError, ResourceError, WriteError

resource = pytest.importorskip("resource", reason="this system has no such limits")


def caused_by(cause: BaseException) -> BaseException:
    error = ValueError("can't decode")
    error.__cause__ = cause
    return error


def hdf5(number: int) -> OSError:
    """As h5py raises it: without a number of its own."""
    return OSError(f"Unable to open file (errno = {number}, error message = '{os.strerror(number)}')")


FILES = [OSError(errno.EMFILE, "x"), OSError(errno.ENFILE, "x"), hdf5(errno.EMFILE)]
MEMORY = [
    OSError(errno.ENOMEM, "x"),
    MemoryError(),
    np._core._exceptions._ArrayMemoryError((9,), np.dtype("i8")),
]
OTHERS = [
    OSError(errno.EIO, "x"),
    hdf5(errno.EIO),
    ValueError("x"),
    OSError(errno.ENOSPC, "x"),
    EOFError("x"),
]


@pytest.mark.parametrize("wrap", [lambda error: error, caused_by], ids=["itself", "its cause"])
@pytest.mark.parametrize(
    ("error", "says"),
    [
        *((error, "ulimit -n") for error in FILES),
        *((error, "memory") for error in MEMORY),
        *((error, None) for error in OTHERS),
    ],
    ids=repr,
)
def test_limits_are_told_from_damage_when_reading(error: Exception, says: str | None, wrap: Any) -> None:
    def read() -> None:
        with reading(Where("a.h5ad", "X")):
            raise wrap(error)

    with pytest.raises(
        CorruptDataError if says is None else ResourceError, match=says or "damaged"
    ) as caught:
        read()
    assert "a.h5ad" in str(caught.value)
    assert (limit_reached("x", wrap(error)) is None) == (says is None)


@pytest.mark.parametrize(("number", "kind"), [(errno.EMFILE, ResourceError), (errno.ENOSPC, WriteError)])
def test_limits_are_told_from_a_full_disk_when_writing(
    number: int, kind: type[Exception], tmp_path: Path
) -> None:
    def write() -> None:
        with staged_path(tmp_path / "out", replace=False):
            raise OSError(number, os.strerror(number))

    with pytest.raises(kind):
        write()


def test_the_limit_is_named() -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert f"limit is {limit}" in str(limit_reached("x", FILES[0]))


def test_memory_that_does_not_suffice_is_one_sentence_of_the_command_line(
    tmp_path: Path,
    cells: anndata.AnnData,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cells.write_h5ad(tmp_path / "a.h5ad")

    def full(*_: Any, **__: Any) -> None:
        np.empty(1 << 60, np.uint8)

    monkeypatch.setattr("lexicell.embedding.pipeline.embed_rows", full)
    with pytest.raises(SystemExit) as ended:
        main(["embed", str(tmp_path / "a.h5ad"), str(tmp_path / "out.zarr")])
    assert ended.value.code == errors.ResourceError.exit_code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "memory" in last
    assert "unexpected" not in last


_SETUP = """
import json, os, resource, shutil, sys
from pathlib import Path
import anndata, numpy as np, pandas as pd, scipy.sparse as sp
import lexicell
from lexicell.counts import open_counts
from lexicell.store import verify
from lexicell.errors import LexicellError, ResourceError
folder = Path(sys.argv[1])

def cells(seed):
    X = sp.csr_matrix(np.random.default_rng(seed).poisson(2, (9, 4)).astype("f4"))
    obs = pd.DataFrame({"kind": pd.Categorical(list("abc") * 3)}, index=[f"{seed}-{i}" for i in range(9)])
    return anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=["CD3E", "MS4A1", "LYZ", "NKG7"]))
"""

_MANY = (
    _SETUP
    + """
cells(0).write_h5ad(folder / "a.h5ad")
cells(1).write_zarr(folder / "a.zarr")
for i in range(80):
    copy, kind = (shutil.copytree, "zarr") if i % 4 == 0 else (shutil.copy, "h5ad")
    copy(folder / f"a.{kind}", folder / f"{i:02}.{kind}")
paths = sorted(folder.glob("??.*"))
whole = anndata.concat([cells(int(path.suffix == ".zarr")) for path in paths])
lexicell.tl.embed(whole)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
lexicell.embed(paths, folder / "out.zarr", obs_columns=["kind", "input"])
out = lexicell.open_embedding(folder / "out.zarr")
lexicell.pack(paths, folder / "packed.zarr")
packed = anndata.read_zarr(folder / "packed.zarr")
found = [
    out.obs["input"].nunique(),
    bool((out.obsm["X_lexicell"] == whole.obsm["X_lexicell"]).all()),
    bool((packed[:, whole.var_names].X != whole.X).nnz == 0),
]
print(json.dumps(found))
"""
)

_NONE_LEFT = (
    _SETUP
    + """
cells(0).write_h5ad(folder / "a.h5ad")
cells(0).write_zarr(folder / "a.zarr")
lexicell.embed(folder / "a.h5ad", folder / "e.zarr")
lexicon = lexicell.Lexicon.open("human-go-minilm")
both = [folder / "a.h5ad", folder / "a.zarr"]

def read(path):
    with open_counts(path) as source:
        source.read(0, 9)

uses = {
    "h5ad": lambda: read(folder / "a.h5ad"),
    "zarr": lambda: read(folder / "a.zarr"),
    "several": lambda: lexicell.embed(both, folder / "s.zarr", overwrite=True),
    "store": lambda: lexicell.open_embedding(folder / "e.zarr"),
    "verify": lambda: verify(folder / "e.zarr"),
    "lexicon": lambda: lexicell.Lexicon.open("human-go-minilm"),
    "hash": lexicon.verify,
    "embed": lambda: lexicell.embed(folder / "a.h5ad", folder / "o.h5ad", overwrite=True),
}
for use in uses.values():
    use()  # whatever is imported late
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
found = {}
for name, use in uses.items():
    for left in range(4):
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        for _ in range(left):
            os.close(held.pop())
        try:
            use()
            what = "fine"
        except BaseException as error:
            what = type(error).__name__ + ("" if isinstance(error, ResourceError) else f": {error}")
        for descriptor in held:
            os.close(descriptor)
        found.setdefault(name, []).append(what)
print(json.dumps(found))
"""
)


def run(script: str, folder: Path) -> Any:
    words = [sys.executable, "-W", "ignore", "-c", script, str(folder)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=200)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.slow
def test_any_number_of_inputs_is_embedded_and_packed_where_few_files_may_be_open(tmp_path: Path) -> None:
    assert run(_MANY, tmp_path) == [80, True, True]


@pytest.mark.slow
def test_no_file_left_to_open_is_told_as_that_by_whatever_reads(tmp_path: Path) -> None:
    found = run(_NONE_LEFT, tmp_path)
    assert {what for each in found.values() for what in each} <= {"ResourceError", "fine"}, found
    assert all(each[0] == "ResourceError" for each in found.values()), found
