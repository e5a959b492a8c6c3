"""Real data for every test, and how hypothesis searches."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from anndata import AnnData

    from lexicell.lexicon import Lexicon

REPOSITORY = Path(__file__).parents[1]

# The same examples in every run; `pytest --hypothesis-profile explore` looks for new ones.
settings.register_profile("same", deadline=None, derandomize=True, max_examples=60)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("same")


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """Path of a real data set, by file name; skips where the data are not beside the repository."""
    folder = Path(os.environ.get("LEXICELL_DATA", REPOSITORY.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = folder / "expr" / name
        if not path.is_file():
            pytest.skip(f"no {name}: set LEXICELL_DATA to the folder that holds expr/{name}")
        return path

    return find


def _read(path: Path) -> AnnData:
    import anndata

    return anndata.read_h5ad(path)


@pytest.fixture(scope="session")
def pbmc3k(data: Callable[[str], Path]) -> AnnData:
    """2,700 x 32,738 raw counts; shared, so never written to."""
    return _read(data("pbmc3k_raw_labelled.h5ad"))


@pytest.fixture(scope="session")
def baron(data: Callable[[str], Path]) -> AnnData:
    """1,937 x 20,125 raw counts; shared, so never written to."""
    return _read(data("baron_h1_pancreas.h5ad"))


@pytest.fixture(scope="session")
def retina(data: Callable[[str], Path]) -> AnnData:
    """300 x 259 raw counts of mouse genes in upper case; shared, so never written to."""
    return _read(data("macosko2015_retina_subset_300x259.h5ad"))


@pytest.fixture(scope="session")
def bundled() -> Lexicon:
    from lexicell.lexicon import Lexicon

    return Lexicon.open("human-go-minilm")


@pytest.fixture(scope="session")
def _blood() -> AnnData:
    pytest.importorskip("scanpy")
    from lexicell.cli.demo import load_cells

    return load_cells()


@pytest.fixture
def cells(_blood: AnnData) -> AnnData:
    """120 x 765 real counts that come with scanpy, so present everywhere; a fresh copy for each test."""
    return _blood[:120].copy()
