"""Everything that docs/lexicon.md tells a person to type, but for what needs a network, is typed here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PAGE = Path("docs") / "lexicon.md"


def blocks(repository: Path, language: str) -> list[str]:
    text = (repository / PAGE).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def here(tmp_path, cells, workshop, minilm) -> Path:
    """What a person has: data, a list of genes, vectors from elsewhere; and NCBI, on this machine."""
    folder = tmp_path / "page"
    folder.mkdir()
    cells.write_h5ad(folder / "my.h5ad")
    (folder / "my_genes.txt").write_text("CD3E\nMS4A1\n916\nENSG00000254647\n", encoding="utf-8")
    vectors = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    np.savez(folder / "GenePT.npz", symbol=np.array(["CD3E", "MS4A1", "INS"]), emb=vectors)
    return folder


def typed(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env=os.environ)


@pytest.mark.slow
def test_every_command_and_the_example_run_in_their_order(repository, here):
    lines = [line for block in blocks(repository, "sh") for line in block.splitlines() if line]
    assert len(lines) > 12
    for line in lines:
        program, *rest = shlex.split(line)
        assert program == "lexicell"
        done = typed([sys.executable, "-m", "lexicell", *rest], here)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout, line
    (example,) = blocks(repository, "python")
    done = typed([sys.executable, "-c", example], here)
    assert (done.returncode, done.stdout) == (0, "(2, 384)\n"), done.stderr


def test_what_needs_a_network_names_options_that_exist(repository, here, lexicell_help):
    lines = [line for block in blocks(repository, "console") for line in block.splitlines() if line]
    for line in lines:
        words = shlex.split(line)
        if words[0] == "export":
            continue
        options = [word for word in words if word.startswith("--")]
        verbs = [word for word in words[1:3] if word.isalpha()][: 2 if words[1] == "genes" else 1]
        assert not [option for option in options if option not in lexicell_help(*verbs)], line


@pytest.fixture
def lexicell_help(capsys):
    from lexicell.cli import main

    def told(*verbs: str) -> str:
        with pytest.raises(SystemExit):
            main([*verbs, "--help"])
        return capsys.readouterr().out

    return told


def test_the_files_that_it_shows_exist(repository):
    text = (repository / PAGE).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert targets
    assert not [target for target in targets if not (repository / PAGE.parent / target).exists()]
