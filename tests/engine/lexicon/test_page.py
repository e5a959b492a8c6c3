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

from lexicell.lexicon import Lexicon

PAGE = Path("docs") / "lexicon.md"


def blocks(repository: Path, languages: str) -> list[tuple[str, str]]:
    """Language and text of each block in some languages, as they follow one another."""
    text = (repository / PAGE).read_text(encoding="utf-8")
    return re.findall(rf"```({languages})\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def here(tmp_path, cells, workshop, minilm) -> Path:
    """What a person has: data, a list of genes, vectors from elsewhere; and NCBI, on this machine."""
    folder = tmp_path / "page"
    folder.mkdir()
    cells.write_h5ad(folder / "my.h5ad")
    (folder / "my_genes.txt").write_text("CD3E\nMS4A1\n916\nENSG00000254647\n", encoding="utf-8")
    vectors = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    np.savez(folder / "GenePT.npz", symbol=np.array(["CD3E", "MS4A1", "INS"]), emb=vectors)
    (folder / "gene2vec.txt").write_text("2 3\nCD3E 0.5 -1 2e-3 \nINS 1 2 3 \n", encoding="utf-8")
    return folder


def typed(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env=os.environ)


@pytest.mark.slow
def test_every_command_and_the_example_run_in_their_order(repository, here):
    n_lines, printed = 0, ""
    for language, block in blocks(repository, "sh|python"):
        if language == "python":
            done = typed([sys.executable, "-c", block], here)
            assert done.returncode == 0, done.stderr
            printed += done.stdout
            continue
        for line in filter(None, block.splitlines()):
            n_lines += 1
            program, *rest = shlex.split(line)
            assert program == "lexicell"
            done = typed([sys.executable, "-m", "lexicell", *rest], here)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            assert done.stdout, line
    assert n_lines > 12
    assert printed == "(2, 384)\n"

    brought = Lexicon.open(here / "gene2vec")
    assert brought.genes.column("symbol").to_pylist() == ["CD3E", "INS"]
    np.testing.assert_array_equal(brought.vectors(brought.rows), np.float32([[0.5, -1, 2e-3], [1, 2, 3]]))
    bundled = Lexicon.open("human-go-minilm")
    head, *lines = (here / "vectors.txt").read_text(encoding="utf-8").splitlines()
    assert head == f"{bundled.n_genes} {bundled.dim}"
    gene, *numbers = lines[7].split(" ")
    assert gene == bundled.genes.column("symbol")[7].as_py()
    np.testing.assert_array_equal(np.float32(numbers), bundled.vectors(np.array([7]))[0])


def test_what_needs_a_network_names_options_that_exist(repository, here, lexicell_help):
    lines = [line for _, block in blocks(repository, "console") for line in block.splitlines() if line]
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
