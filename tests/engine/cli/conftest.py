from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lexicell.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that says what went wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("lexicell: error: ")]
        assert len(lines) == 1, self.err
        assert self.err.splitlines()[-1] == lines[0]
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def lexicell(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run the command line in this process."""

    def run(*args: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in args])
        said = capsys.readouterr()
        return Ended(ended.value.code, said.out, said.err)

    return run


@pytest.fixture
def refused(lexicell: Callable[..., Ended], tmp_path: Path) -> Callable[..., str]:
    """Run ``embed`` on something bad; return its one sentence, with nothing written anywhere."""

    def run(data: object, *options: object, code: int = 2, output: str = "out.zarr") -> str:
        folder = tmp_path / "outputs"
        folder.mkdir(exist_ok=True)
        before = sorted(p.name for p in folder.rglob("*"))
        ended = lexicell("embed", data, folder / output, *options)
        assert ended.code == code, ended.err
        assert ended.out == ""
        assert sorted(p.name for p in folder.rglob("*")) == before
        return ended.complaint

    return run


@pytest.fixture
def h5ad(tmp_path: Path, cells) -> Path:
    """120 real cells as a file."""
    cells.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"
