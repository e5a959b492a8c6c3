"""Cells and tokens a second of exports and of what others do, from disk to disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

import lexicell
from bench import cells, record
from bench.exports_given import Given, dictionaries, of_columns
from bench.measure import Case, Taken, measure
from bench.peers.ranked_lists import lists_of, loop
from bench.scenario import Scenario
from lexicell.counts import MAX_NNZ, Values
from lexicell.embedding import AlignOptions, align_cells
from lexicell.embedding.events import ignore
from lexicell.embedding.inputs import open_data
from lexicell.explanation.sums import SumShards
from lexicell.exports import FORMATS

__all__ = ["speed"]

#: Depths of synthetic cells: as PBMC3k's, and as today's.
DEPTHS = {"pbmc3k-like": cells.SHALLOW, "deep": 1.0}
#: Of these, where SLAF is measured, which takes minutes whatever there is to do.
SLAF_AT = ("pbmc3k-like",)
#: Cells of peers that take a millisecond for each.
_FEW = 10_000
#: Cells whose counts are held in memory.
_IN_MEMORY = 20_000


def speed(given: Given) -> dict[str, Any]:
    """Cells and tokens a second, in turn, each held against ours."""
    path, tokens, medians = dictionaries(given.folder, given.seed)
    stamp, made = record.Stamp.now(), []
    for depth, scale in DEPTHS.items():
        plain, packed = given.folder / f"{depth}.h5ad", given.folder / f"{depth}.zarr"
        cells.write_h5ad(plain, given.n, given.seed, None, depth=scale)
        lexicell.pack(plain, packed, overwrite=True, listener=ignore)
        token, median, names = of_columns(str(plain), tokens, medians)
        genes = given.folder / "genes.npz"
        np.savez(genes, token=token, median=median, words=np.array(names))
        for name, options, k in (
            ("geneformer", {"tokens": str(path), "medians": str(path)}, 2048),
            ("cell-sentence", {"top": 200}, 200),
        ):
            cases = _cases(given, depth, name, options, k, (plain, packed, genes), (token, median, names))
            load = os.getloadavg()[0]
            made += record.make(measure(cases, given.rounds), stamp, load)
            inside = _in_memory(given, depth, name, options, k, packed, (token, median, names))
            made += record.make(measure(inside, given.rounds), stamp, os.getloadavg()[0])
        for one in (plain, packed, given.folder / f"{depth}.slaf"):
            shutil.rmtree(one) if one.is_dir() else one.unlink(missing_ok=True)
    for row in made:
        if not any(row["cpu_seconds"]):  # another process, whose CPU time nobody took
            row["cpu_seconds"], row["cpu_ratio"] = [], None
    return {"records": made}


def _in_memory(
    given: Given,
    depth: str,
    name: str,
    options: Mapping[str, Any],
    k: int,
    packed: Path,
    of_columns: tuple[NDArray[np.int64], NDArray[np.float64], list[str]],
) -> list[Case]:
    """The lists alone: counts are in memory, and Arrow's bytes stay there."""
    token, median, names = of_columns
    by = median if name == "geneformer" else None
    few = min(given.n, _IN_MEMORY)
    with open_data(packed) as source:
        aligned = align_cells(source, AlignOptions(min_coverage=None))
        form = FORMATS[name]
        encoder = form.prepare(aligned, form.options(**options), ignore).encoder
        assert not isinstance(encoder, SumShards)
        blocks = [source.read(start, stop) for start, stop in source.spans(MAX_NNZ, 0, few)]
        of_plain = {str(one): at for at, one in enumerate(names)}
        at_packed = [of_plain.get(str(one), -1) for one in source.var.index]
    token = np.where(np.array(at_packed) >= 0, token[at_packed], -1)
    divisor = None if by is None else np.where(np.array(at_packed) >= 0, by[at_packed], 1.0)
    words = [str(one) for one in source.var.index]

    def ours() -> None:
        for block in blocks:
            counts = encoder.genes.counts(block, Values.COUNTS)
            _stream(pa.table(encoder.encode(counts, 0, pd.DataFrame(index=range(block.n_rows)))[0]))

    def one() -> None:
        for block in blocks:
            ends = block.indptr.tolist()
            cells_of = [(block.data[a:b], block.indices[a:b]) for a, b in pairwise(ends)]
            _stream(pa.table({"made": lists_of(cells_of, k, token, divisor, words)[0]}))

    def case(what: str, label: str, run: Callable[[], object], fairness: str = "") -> Case:
        row = Scenario(
            "exports", f"{name}-{depth}-in-memory", what, "synthetic", str(few), str(k), "-", "uint16", "-",
            "memory", "cpu", "all", "warm",
        )  # fmt: skip
        return Case(row, label, few, run=run, peer=what != "lexicell", fairness=fairness)

    return [
        case("lexicell", "lexicell, counts in memory", ours),
        case("loop", "NumPy, cell by cell, counts in memory", one, "One thread; equal scores in any order."),
    ]


def _cases(
    given: Given,
    depth: str,
    name: str,
    options: Mapping[str, Any],
    k: int,
    paths: tuple[Path, Path, Path],
    of_columns: tuple[NDArray[np.int64], NDArray[np.float64], list[str]],
) -> list[Case]:
    plain, packed, genes = paths
    token, median, names = of_columns
    by = median if name == "geneformer" else None
    out = given.folder / "out"
    counted: dict[str, float] = {}

    def ours(source: Path) -> None:
        lexicell.export(name, source, out, listener=ignore, **options)

    def one() -> None:
        counted["loop"] = loop(plain, given.folder / "loop.arrow", k, token, by, names) / given.n

    @cache
    def slaf() -> Taken:
        return elsewhere("slaf", "slaf", str(plain), str(given.folder / f"{depth}.slaf"))

    def elsewhere(package: str, *words: str) -> Taken:
        said = given.elsewhere(package, *words)
        counted[package] = said["tokens"] / said["n"]
        return Taken(said["seconds"] * few / said["n"] if package == "datasets" else said["seconds"], 0.0)

    def case(
        what: str, label: str, n: int, run: Callable[[], object], fairness: str = "", empty: str = ""
    ) -> Case:
        row = Scenario(
            "exports", f"{name}-{depth}", what, "synthetic", str(n), str(k), "-", "f32", "-",
            "packed" if what == "lexicell" else "h5ad-plain", "cpu", "all", "warm",
        )  # fmt: skip
        package = "datasets" if what == "datasets" else "slaf" if what == "slaf" else "loop"
        return Case(
            row, label, n, run=run, peer=not what.startswith("lexicell"), fairness=fairness, empty=empty,
            before=lambda: _clear(out),
            facts=lambda: {"tokens_per_cell": round(counted.get(package, counted.get("loop", 0.0)), 1)},
        )  # fmt: skip

    few = min(_FEW, given.n)
    found = [
        case("lexicell", "lexicell, packed", given.n, lambda: ours(packed)),
        case("lexicell-h5ad", "lexicell, the peers' h5ad", given.n, lambda: ours(plain)),
        case(
            "loop", "NumPy, cell by cell", given.n, one,
            "One process; knows the columns' tokens; no checks, hashes or fsync; equal scores in any order.",
        ),
        case(
            "loop-2", "NumPy, cell by cell, two processes", given.n,
            lambda: elsewhere("loop", "loop", str(plain), str(genes), str(out), str(k), name),
            "The same in two processes, whose start is not timed.",
        ),
    ]  # fmt: skip
    if name == "geneformer":
        words = ("map", str(plain), str(genes), str(out), str(few))
        found += [
            case(
                "datasets", "datasets.map, two processes", few, lambda: elsewhere("datasets", *words),
                "Cells become a data set first, as in Geneformer's own tokenizer; then one function a cell.",
                given.missing("datasets"),
            ),
            case(
                "slaf", "SLAF's loader", given.n, slaf,
                "Tokens in memory, nothing written; from its own format, whose making is not timed; genes by "
                "count, no medians; up to its last batch, after which it waits for more than a minute. Once.",
                given.missing("slaf") or ("" if depth in SLAF_AT else f"measured at {' and '.join(SLAF_AT)}"),
            ),
        ]  # fmt: skip
    return found


def _stream(table: pa.Table) -> pa.Buffer:
    """Arrow's bytes of a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _clear(out: Path) -> None:
    """Remove what the last repeat wrote, and the cache of ``datasets``."""
    for folder in (out, out.with_name("out.cache")):
        shutil.rmtree(folder, ignore_errors=True)
