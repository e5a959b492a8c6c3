"""What all parts of the benchmark of exports share: what was asked for, dictionaries, and peers elsewhere."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
from numpy.typing import NDArray

from bench.peers import in_other_places
from bench.real_data import data_folder
from lexicell.embedding import AlignOptions, align_cells
from lexicell.embedding.events import ignore
from lexicell.embedding.inputs import open_data
from lexicell.exports.ensembl import ensembl_ids
from lexicell.lexicon import Lexicon

__all__ = ["Given", "dictionaries", "ids_of_columns", "of_columns"]


@dataclass(frozen=True)
class Given:
    """What was asked for; see `bench.exports`."""

    folder: Path
    n: int
    rounds: int
    memory: Sequence[int]
    million: int
    kills: int
    seed: int
    places: Mapping[str, Path | None]

    def elsewhere(self, package: str, *words: str) -> dict[str, Any]:
        """Run a peer by a Python that has its folder on the path."""
        place = self.places.get(package)
        path = os.pathsep.join([*([str(place)] if place else []), *filter(None, sys.path)])
        done = subprocess.run(  # noqa: S603
            [sys.executable, in_other_places.__file__, *words],
            env=os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return said

    def missing(self, package: str) -> str:
        """Why a peer can't run, or nothing."""
        place = self.places[package]
        return "" if place and place.is_dir() else f"no folder with {package} was given"


def dictionaries(folder: Path, seed: int) -> tuple[Path, dict[str, int], dict[str, float]]:
    """Tokens and medians: the published ones, or as many made up for the lexicon's ids."""
    path = folder / "dictionaries.json"
    real = data_folder() / "geneformer/geneformer_gc30M.json.gz"
    if real.is_file():
        both = json.loads(gzip.decompress(real.read_bytes()))
    else:
        column = Lexicon.open("human-go-minilm").genes.column("ensembl_ids").to_pylist()
        ids = sorted({ids[0] for ids in column if ids})
        drawn = np.random.default_rng(seed).lognormal(1, 1, len(ids)).tolist()
        both = {
            "tokens": {one: i + 2 for i, one in enumerate(ids)},
            "medians": dict(zip(ids, drawn, strict=True)),
        }
    path.write_text(json.dumps(both))
    return path, both["tokens"], both["medians"]


def of_columns(
    path: str | ad.AnnData, tokens: Mapping[str, int], medians: Mapping[str, float]
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[str]]:
    """Token, median and name of each column; of columns that are one gene the first alone."""
    ids, names = ids_of_columns(path, tokens)
    seen: set[str] = set()
    token, median = np.full(len(ids), -1), np.ones(len(ids))
    for i, one in enumerate(ids):
        if one in tokens and one in medians and one not in seen:
            seen.add(one)
            token[i], median[i] = tokens[one], medians[one]
    return token, median, names


def ids_of_columns(path: str | ad.AnnData, tokens: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Ensembl id, empty for none, and name of each column."""
    with open_data(path, None, None, use_raw=False, follow_links=False) as source:
        ids = ensembl_ids(align_cells(source, AlignOptions(min_coverage=None), ignore), tokens).ids.tolist()
        return ids, source.var.index.astype(str).tolist()
