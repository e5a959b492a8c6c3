"""What docs/exports.md tells a person to type is typed here, with the demo's cells."""

from __future__ import annotations

import gzip
import json
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lexicell
from lexicell.exports import FORMATS

PAGE = Path(__file__).parents[1] / "docs/exports.md"
DICTIONARIES = Path(__file__).parent / "data/geneformer_gc30M.json.gz"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def here(tmp_path):
    """A folder with cells, and with Geneformer's dictionaries as it publishes them: pickles."""
    both = json.loads(gzip.decompress(DICTIONARIES.read_bytes()))
    medians = {name: np.float64(value) for name, value in both["medians"].items()}
    (tmp_path / "token_dictionary_gc30M.pkl").write_bytes(pickle.dumps(both["tokens"]))
    (tmp_path / "gene_median_dictionary_gc30M.pkl").write_bytes(pickle.dumps(medians))
    return tmp_path


@pytest.mark.slow
def test_the_demos_cells_go_to_three_consumers(here):
    pytest.importorskip("datasets")
    pytest.importorskip("scanpy")
    from lexicell.cli.demo import load_cells

    load_cells().write_h5ad(here / "pbmc3k.h5ad")
    for line in blocks("sh")[0].splitlines():
        program, *words = shlex.split(line)
        assert program == "lexicell"
        done = subprocess.run(
            [sys.executable, "-m", "lexicell", *words], cwd=here, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    shown = re.sub(r"(?m)^(load_|anndata\.)(.*?)(  #.*)?$", r"print(len(\1\2))", blocks("python")[0])
    typed = [sys.executable, "-W", "error::UserWarning", "-c", shown]
    done = subprocess.run(typed, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tokens, characters, genes = (int(number) for number in done.stdout.split())
    assert tokens > 50
    assert characters > 200
    assert genes > 700


def test_the_page_lists_all_formats_and_says_how_each_was_checked():
    text = PAGE.read_text(encoding="utf-8")
    listed = re.findall(r"(?m)^\| `([\w-]+)` \|", text.partition("## What was checked")[0])
    assert sorted(listed) == sorted(FORMATS)
    words = {"loaded with the original", "held against a reference", "not checked"}
    assert all(form.checked.startswith(tuple(words)) for form in FORMATS.values())
    assert all(word in text for word in words)
    assert callable(lexicell.export)
