"""What a command costs before it does anything, and a run of few cells: whole processes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from bench.measure import Case, Taken
from bench.process import lexicell, run_process
from bench.scenario import Scenario
from bench.suites._kinds import Kind, Parts
from bench.workbench import Missing, Workbench

__all__ = ["cases"]

_SCRIPTS = {
    "import": "import lexicell",
    "use": "from lexicell import embed, pack",
    "scanpy": "import scanpy",
}


@contextmanager
def cases(rows: Sequence[Scenario], bench: Workbench) -> Iterator[list[Case]]:
    """Commands and scripts."""
    yield [_KINDS[row.what].case(bench, row) for row in rows]


def _script(_: Workbench, row: Scenario) -> Parts:
    if row.what == "scanpy" and find_spec("scanpy") is None:
        msg = "needs scanpy: pip install scanpy"
        raise Missing(msg)
    return _process(sys.executable, "-c", _SCRIPTS[row.what])


def _help(_: Workbench, __: Scenario) -> Parts:
    return _process(*lexicell("--help"))


def _embed(bench: Workbench, row: Scenario) -> Parts:
    source = bench.path(row.data, row.storage, bench.cells(row))
    out = bench.folder / "start.zarr"
    parts = _process(
        *lexicell("embed", str(source), str(out), "--recipe", "paper", "--top-k", row.k, "--dtype", "f16")
    )
    return {**parts, "before": lambda: shutil.rmtree(out, ignore_errors=True)}


def _process(*line: str) -> Parts:
    peaks: list[float] = []

    def run() -> Taken:
        ended = run_process(line)
        peaks.append(ended.peak_mb)
        return ended.taken

    return {"n": 1, "unit": "starts", "run": run, "facts": lambda: {"peak_mb": max(peaks)}}


_KINDS: dict[str, Kind[Workbench]] = {
    "import": Kind("import lexicell", _script),
    "use": Kind("from lexicell import embed, pack", _script),
    "help": Kind("lexicell --help", _help),
    "embed": Kind("lexicell embed, few cells", _embed),
    "scanpy": Kind(
        "import scanpy", _script, peer=True,
        fairness="Imports all that it has; lexicell imports what is used when it is used: the row "
        "'from lexicell import embed, pack' is what a script waits for that embeds.",
    ),
}  # fmt: skip
