"""Making a lexicon from texts, and folding one onto the genes of a data set."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench import cells
from bench.measure import Case, GateError
from bench.peers import transformer
from bench.scenario import Scenario
from bench.workbench import Workbench
from lexicell.counts import CountSource, open_counts
from lexicell.embedding import CandidateGenes, FoldedTable, Options, fold, make_plan
from lexicell.errors import LexicellError
from lexicell.lexicon import Lexicon, align_genes, build_lexicon, load_encoder
from lexicell.projection import Projection

__all__ = ["cases"]

_BUNDLED = "human-go-minilm"
_LEAST_COSINE = 0.9999
_TINY_TEXTS, _CHECKED_TEXTS = 8, 16
_OURS = (
    "A whole build: the table is read, texts cut into tokens and encoded by ONNX Runtime in batches of one "
    "length, never padded, the lexicon written. The model's export to ONNX was made before; no vector comes "
    "from the cache. The more texts, the more share a length: a whole genome goes faster than this sample."
)
_TORCH = (
    "Tokens and vectors alone: no table is read, and no lexicon written. The model is loaded before. Texts "
    "of a batch are padded to the longest, so a text's last bits depend on its batch."
)
_PEERS = {
    "transformers": ("transformers in torch, batches of 32 as they come", _TORCH),
    "transformers-sorted": (
        "transformers in torch, batches of 32 by length",
        f"{_TORCH} Texts are sorted by length first, as sentence-transformers does.",
    ),
}
_PARTS = {
    "lexicell": "make_plan: sample, open, align, fold",
    "open": "of it, opening the lexicon and hashing its files",
    "align": "of it, aligning genes",
    "fold": "of it, folding",
}


@contextmanager
def cases(rows: Sequence[Scenario], bench: Workbench) -> Iterator[list[Case]]:
    """Make the rows of a group into cases."""
    with ExitStack() as stack:
        if rows[0].group == "texts":
            yield [_texts(row, bench) for row in rows]
        else:
            source = stack.enter_context(open_counts(_data(rows[0], bench)))
            yield [_fold(row, source) for row in rows]


def _texts(row: Scenario, bench: Workbench) -> Case:
    lexicon = Lexicon.open(_BUNDLED)
    n = _TINY_TEXTS if bench.tiny else int(row.cells)
    rows = np.linspace(0, lexicon.n_genes - 1, n).astype(np.int64)
    label, fairness = _PEERS.get(row.what, ("lexicell genes build", _OURS))
    try:
        encode = _encoder(row.what, lexicon, bench.folder)
    except (ImportError, LexicellError) as error:
        return Case(row, label, unit="texts", peer=row.what in _PEERS, fairness=fairness, empty=str(error))

    def gate() -> dict[str, Any]:
        return _check_texts(encode(rows[:_CHECKED_TEXTS])(), lexicon, rows[:_CHECKED_TEXTS])

    return Case(
        row,
        label,
        n,
        "texts",
        encode(rows),
        peer=row.what in _PEERS,
        fairness=fairness,
        gate=gate,
    )


def _encoder(
    what: str, lexicon: Lexicon, folder: Path
) -> Callable[[NDArray[np.int64]], Callable[[], NDArray[np.float32]]]:
    """What makes rows of a lexicon into a run that encodes their texts."""
    genes = lexicon.read_genes()
    if what in _PEERS:
        for package in ("torch", "transformers"):
            if importlib.util.find_spec(package) is None:
                msg = f'needs {package}: pip install "lexicell[encoders]"'
                raise ImportError(msg)
        ours = transformer.load(sort=what == "transformers-sorted")
        texts = genes.column("text").to_pylist()
        return lambda rows: lambda: ours([texts[row] for row in rows])
    encoder = load_encoder("minilm")

    def of(rows: NDArray[np.int64]) -> Callable[[], NDArray[np.float32]]:
        table = folder / f"{len(rows)}-genes.parquet"
        pq.write_table(genes.take(pa.array(rows)), table)

        def build() -> NDArray[np.float32]:
            out = folder / f"{len(rows)}-genes.lexicon"
            built = build_lexicon(table, out, encoder=encoder, cache=False, overwrite=True, dtype="float32")
            return built.vectors(built.rows)

        return build

    return of


def _check_texts(vectors: NDArray[np.float32], lexicon: Lexicon, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Hold vectors against the bundled lexicon's, which are those of the same texts in float16."""
    bundled = lexicon.vectors(rows)
    least = float(((vectors * bundled).sum(axis=1) / np.linalg.norm(bundled, axis=1)).min())
    if not least > _LEAST_COSINE:
        msg = f"a text's vector has cosine {least:.5f} to the bundled one, less than {_LEAST_COSINE}"
        raise GateError(msg)
    return {"reference": "the bundled lexicon", "texts": len(rows), "max_error": abs(1 - least)}


def _data(row: Scenario, bench: Workbench) -> ad.AnnData:
    """Synthetic cells whose columns are symbols, of which about two thirds are the bundled lexicon's."""
    x = bench.matrix(row)
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(x.shape[0])])
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=cells.panel().names.astype(object)))


def _fold(row: Scenario, source: CountSource) -> Case:
    lexicon = Lexicon.open(_BUNDLED)
    p = int(row.p)
    projection = None
    if p != lexicon.dim:
        weight = np.random.default_rng(0).standard_normal((p, lexicon.dim), np.float32)
        projection = Projection(weight / np.sqrt(lexicon.dim, dtype=np.float32))
    alignment = align_genes(lexicon, source.var)
    runs: dict[str, Callable[[], Any]] = {
        "lexicell": lambda: make_plan(source, Options(projection=projection, recipe="paper")).folded,
        "open": lambda: Lexicon.open(_BUNDLED),
        "align": lambda: align_genes(lexicon, source.var).rows,
        "fold": lambda: fold(lexicon, CandidateGenes.of(alignment.rows), projection),
    }
    if row.what not in runs:
        msg = f"{row.id}: there is no {row.what!r}; there are {', '.join(runs)}"
        raise ValueError(msg)

    def gate() -> dict[str, Any]:
        got = runs[row.what]()
        if isinstance(got, Lexicon):
            got.verify()
            return {"reference": "hashes in its manifest", "max_error": 0.0}
        if isinstance(got, FoldedTable):
            return _check_folded(got, lexicon, alignment.rows, projection)
        return _check_aligned(got, lexicon, source)

    described = f", projected to {p} dimensions" if projection else f", {p} dimensions"
    label = f"{_PARTS[row.what]}{described if row.what in ('lexicell', 'fold') else ''}"
    return Case(row, label, 1, "tables", runs[row.what], gate=gate)


def _check_folded(
    folded: FoldedTable, lexicon: Lexicon, rows: NDArray[np.int32], projection: Projection | None
) -> dict[str, Any]:
    """Hold the vector of each described column against the lexicon's, projected in float64."""
    described = rows >= 0
    if not np.array_equal(folded.table.rank >= 0, described):
        msg = "other columns have a vector than have a gene"
        raise GateError(msg)
    expected = lexicon.vectors(rows[described].astype(np.int64)).astype(np.float64)
    if projection is not None:
        expected = expected @ projection.weight.T.astype(np.float64)
    off = float(np.abs(folded.table.vectors[folded.table.rank[described]] - expected).max())
    if not off <= 1e-5:
        msg = f"a gene's vector is off by {off:.2g}, more than 1e-5"
        raise GateError(msg)
    return {"reference": "float64 NumPy", "columns": int(described.sum()), "max_error": off}


def _check_aligned(rows: NDArray[np.int32], lexicon: Lexicon, source: CountSource) -> dict[str, Any]:
    """Hold the genes of columns against their symbols, which these columns are named by."""
    symbols = np.array(lexicon.read_genes(["symbol"]).column("symbol").to_pylist(), object)
    names = source.var.index.to_numpy().astype(object)
    found = rows >= 0
    known = set(symbols)
    wrong = int((symbols[rows[found]] != names[found]).sum()) + sum(name in known for name in names[~found])
    if wrong:
        msg = f"{wrong} columns have the wrong gene, or none"
        raise GateError(msg)
    return {"reference": "symbols", "columns": len(rows), "max_error": 0.0}
