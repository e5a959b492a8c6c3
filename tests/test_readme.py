"""What the README tells a person to type is typed here or by ``make dist``, in a folder of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.kernels.cuda.stand_in import run_script

if TYPE_CHECKING:
    from anndata import AnnData

README = Path(__file__).parents[1] / "README.md"
KERNELS = README.with_name("docs") / "kernels.md"
BY_CI = ["make demo", "make test"]  # what CI runs, or what the demo's own test runs


def blocks(language: str, page: Path = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line]


def write_my_cells(cells: AnnData, folder: Path) -> None:
    """Write what the README calls ``my.h5ad``: cells whose types have twenty of them, or are "other"."""
    kinds = cells.obs["bulk_labels"].astype(str).str.split("+").str[0]
    cells.obs["cell_type"] = kinds.where(kinds.groupby(kinds).transform("size") >= 20, "other")
    cells.write_h5ad(folder / "my.h5ad")


@pytest.fixture
def here(tmp_path: Path, cells: AnnData, workshop: object) -> Path:
    """What a person has: data of their own. NCBI is on this machine."""
    folder = tmp_path / "readme"
    folder.mkdir()
    write_my_cells(cells, folder)
    return folder


def typed(words: list[str], here: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "lexicell", *words]
    return subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)


def test_the_two_commands_are_targets_of_the_makefile(repository: Path) -> None:
    assert commands()[:2] == BY_CI
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{line.split()[1]}:", makefile, flags=re.MULTILINE) for line in BY_CI)
    assert BY_CI[1] in (repository / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_lexicon_is_made_of_what_ncbi_has(here: Path) -> None:
    """``make dist`` types all other commands, in an environment without the repository."""
    pytest.importorskip("onnxscript")
    (block,) = (block for block in blocks("sh") if "my-lexicon" in block)
    for line in block.splitlines():
        program, *words = shlex.split(line)
        assert program == ".venv/bin/lexicell"
        done = typed(words, here)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout


def test_the_python_example_runs(here: Path) -> None:
    example = blocks("python")[0]
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=here, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(120, 384)")


_ON_GPU = """
import os, sys, types
import cupyx.scipy.sparse as sparse

def anndata_to_GPU(adata):
    adata.X = sparse.csr_matrix(adata.X)

get = types.SimpleNamespace(anndata_to_GPU=anndata_to_GPU)
sys.modules["rapids_singlecell"] = types.SimpleNamespace(get=get)
os.chdir(sys.argv[1])
"""


@pytest.mark.slow
def test_the_example_for_a_gpu_runs_with_the_stand_in_for_cupy(here: Path) -> None:
    example = next(block for block in blocks("python", KERNELS) if block.startswith("# on a GPU"))
    shown = "\nprint(type(adata.obsm['X_lexicell']).__module__, adata.obsm['X_lexicell'].shape)"
    assert run_script(_ON_GPU + example + shown, str(here)).split() == ["cupy", "(120,", "384)"]


def test_the_files_that_it_points_to_exist(repository: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", README.read_text(encoding="utf-8"))
    assert targets
    assert not [t for t in targets if not (repository / t).exists()]
