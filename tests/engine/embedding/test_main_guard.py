"""A script without a guard is told that it needs one, once and soon, and its processes say nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anndata
import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("distributed")

_IMPORT = "import lexicell, sys\n"
_EMBED = 'lexicell.embed(sys.argv[1], sys.argv[2], scheduler="local", workers=1, top_k=20)\n'
_CHECK = "from lexicell.embedding.main_guard import check_main_guard\ncheck_main_guard()\n"
_GUARD = 'if __name__ == "__main__":\n    '


@pytest.fixture
def data(tmp_path: Path, cells: anndata.AnnData) -> Path:
    cells.write_h5ad(tmp_path / "data.h5ad")
    return tmp_path / "data.h5ad"


def run(folder: Path, *start: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *start, str(folder / "data.h5ad"), str(folder / "out.zarr")]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.parametrize(
    "script",
    [
        _IMPORT + _EMBED,
        _IMPORT + f"def main():\n    {_EMBED}main()\n",
        _IMPORT + f"try:\n    {_EMBED}finally:\n    pass\n",
        "import helper\n",
        # These mention __name__, so it shows only when the processes start.
        "import logging\nlogging.getLogger(__name__)\n" + _IMPORT + _EMBED,
        _IMPORT + _EMBED + _GUARD + "print('done')\n",
    ],
    ids=["plain", "in a function", "in a try", "in a module", "a logger's name", "a guard elsewhere"],
)
def test_a_script_without_a_guard_is_one_sentence(script: str, data: Path) -> None:
    (data.parent / "helper.py").write_text(_IMPORT + _EMBED)
    (data.parent / "script.py").write_text(script)
    ended = run(data.parent, "script.py")
    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") == 1, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("lexicell.errors.InputError: ")
    assert 'if __name__ == "__main__":' in last
    assert not ended.stdout
    assert not list(data.parent.glob("out.zarr*"))


@pytest.mark.parametrize(
    ("start", "script"),
    [
        (["script.py"], _GUARD + _CHECK.replace("\n", "\n    ")),
        (["-m", "script"], _GUARD + _CHECK.replace("\n", "\n    ")),
        (["-m", "package"], _CHECK),
        (["-c", _CHECK], ""),
        (
            ["script.py"],
            "import dask\ndask.config.set({'distributed.worker.multiprocessing-method': 'fork'})\n" + _CHECK,
        ),
    ],
    ids=["guarded", "guarded module", "package", "command", "fork"],
)
def test_what_no_process_runs_again_needs_none(start: list[str], script: str, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    for path in ("script.py", "package/__main__.py"):
        (tmp_path / path).write_text(script)
    ended = run(tmp_path, *start)
    assert ended.returncode == 0, ended.stderr
