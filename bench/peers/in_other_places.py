"""Packages that live in a folder of their own, each run by a Python that has it on its path.

``python in_other_places.py map CELLS.h5ad GENES.npz OUT N``, ``slaf CELLS.h5ad OUT.slaf``, ``sentences
CELLS.h5ad OUT.json`` or ``loop CELLS.h5ad GENES.npz OUT K FORMAT``, which only needs a quiet process; the
last line that is printed is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["main"]


def _map(path: str, genes: str, out: str, n: str) -> dict[str, Any]:
    """Rank values by ``datasets.map``: a data set of cells, a function of a cell, and saved to disk."""
    import datasets
    import h5py
    import numpy as np

    datasets.disable_progress_bars()
    of = np.load(genes)
    token, median = of["token"], of["median"]
    wanted = int(n)
    started = time.perf_counter()

    def cells() -> Any:
        with h5py.File(path) as file:
            indptr = file["X/indptr"][: wanted + 1]
            data, columns = file["X/data"][: indptr[-1]], file["X/indices"][: indptr[-1]]
        for i in range(wanted):
            a, b = indptr[i], indptr[i + 1]
            yield {"cell_id": f"cell{i}", "genes": columns[a:b], "x": data[a:b]}

    def rank(cell: dict[str, Any]) -> dict[str, Any]:
        x, j = np.asarray(cell["x"]), np.asarray(cell["genes"])
        known = token[j] >= 0
        score = x[known] / x.sum(dtype=np.float64) * 10_000 / median[j[known]]
        ids = token[j[known][np.argsort(-score)[:2048]]]
        return {"input_ids": ids, "length": len(ids)}

    made = datasets.Dataset.from_generator(cells, cache_dir=f"{out}.cache")
    made = made.map(rank, remove_columns=["genes", "x"], num_proc=2)
    made.save_to_disk(out)
    return {"seconds": time.perf_counter() - started, "tokens": int(np.sum(made["length"][:])), "n": wanted}


def _loop(path: str, genes: str, out: str, k: str, name: str) -> dict[str, Any]:
    """`bench.peers.ranked_lists.loop` in two processes, each with half of the cells."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    import h5py
    import numpy as np

    from bench.peers.ranked_lists import loop

    of = np.load(genes)
    median = of["median"] if name == "geneformer" else None
    with h5py.File(path) as file:
        n = len(file["obs/_index"])
    fixed = (int(k), of["token"], median, of["words"].tolist())
    Path(out).mkdir()
    started = time.perf_counter()
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        parts = [(0, n // 2), (n // 2, n)]
        made = [
            pool.submit(loop, Path(path), Path(out) / f"{i}.arrow", *fixed, part)
            for i, part in enumerate(parts)
        ]
        tokens = sum(one.result() for one in made)
    return {"seconds": time.perf_counter() - started, "tokens": tokens, "n": n}


def _slaf(path: str, out: str) -> dict[str, Any]:
    """SLAF's own loader with its tokenizer, in its sequential mode, which it calls the fastest."""
    from slaf import SLAFArray
    from slaf.data import SLAFConverter
    from slaf.ml.dataloaders import SLAFDataLoader

    if not Path(out).exists():
        SLAFConverter().convert(path, out)
    started = time.perf_counter()
    loader = SLAFDataLoader(
        SLAFArray(out), tokenizer_type="geneformer", max_genes=2048, batch_size=256, batches_per_chunk=50,
        by_fragment=False, use_mixture_of_scanners=False, verbose=False,
    )  # fmt: skip
    n = tokens = padded = 0
    seconds = 0.0
    for batch in loader:
        n += len(batch["input_ids"])
        padded += batch["input_ids"].numel()
        tokens += int(batch["attention_mask"].sum())
        seconds = time.perf_counter() - started
    ended = time.perf_counter() - started
    return {"seconds": seconds, "ended": ended, "tokens": tokens, "padded": padded, "n": n}


def _sentences(path: str, out: str) -> dict[str, Any]:
    """Cell2Sentence's package; ``plotnine``, which only draws, may be missing."""
    sys.modules.setdefault("plotnine", ModuleType("plotnine"))
    import anndata as ad
    from cell2sentence.utils import generate_sentences, generate_vocabulary

    cells = ad.read_h5ad(path)
    made = generate_sentences(cells, generate_vocabulary(cells))
    Path(out).write_text(json.dumps(dict(zip(cells.obs_names, made, strict=True))))
    return {"n": len(made)}


def main(words: list[str]) -> None:
    """Run one, and print what it says."""
    what: dict[str, Callable[..., dict[str, Any]]] = {
        "map": _map,
        "loop": _loop,
        "slaf": _slaf,
        "sentences": _sentences,
    }
    print("\n" + json.dumps(what[words[0]](*words[1:])))


if __name__ == "__main__":
    main(sys.argv[1:])
