"""Breaks the kernels on purpose, one place at a time, and sees whether the tests notice.

``python -m tests.kernels.cuda.mutants [PART OF A NAME]`` prints a table. Every barrier is removed once, and
each of `SUBSTITUTIONS` is made. A mutant is built and run in a process of its own, since it may write
anywhere or never end; it is killed when it crashes, hangs, or answers wrongly on one of `problems` in one of
several orders of threads. What survives is either a hole in the tests or code that is not needed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexicell_kernels import CsrBlock, GeneTable, Weight, parity
from lexicell_kernels.cuda.source import joined_source

from .stand_in import environment, stand_in

__all__ = ["SUBSTITUTIONS", "Substitution", "killed_by", "mutants", "problems"]

SEEDS = (1, 2, 3)
TIMEOUT = 60.0  # seconds; a mutant that is not killed takes a few
CHUNK = 32  # picks held at once, so that small cells take several rounds

_ROOT = Path(__file__).parents[3]
_KILLED, _NOT_BUILT = 3, 4  # exit codes


class Substitution(NamedTuple):
    """One text of the source that is replaced by another; it has to be there exactly once."""

    name: str
    old: str
    new: str


SUBSTITUTIONS = (
    # Which genes.
    Substitution("the last ties in the lexicon win", "bits & (0u - bits)", "1u << (31 - __clz(int(bits)))"),
    Substitution("one tie more (any order)", "bits && wanted > 0", "bits && wanted > -1"),
    Substitution("one tie more (lexicon order)", "is_equal && e >= t.ties", "is_equal && e > t.ties"),
    Substitution("places are left for other ties", "place = a + min(e, t.ties)", "place = a + e"),
    Substitution("equal scores in reverse", "<< 32 | u64(j)", "<< 32 | u64(count - 1 - j)"),
    Substitution("a threshold too low", "inclusive >= need", "inclusive > need"),
    Substitution("255 and more are one count", "found.bin < kBins - 1", "found.bin < kBins"),
    Substitution("rank factors do not count", "facts.small && !columns.factor", "facts.small"),
    Substitution("all digits from all keys", "key && (key & settled) == t.key", "key"),
    Substitution("genes without a row are candidates", "> 0 && has(c)", "> 0"),
    Substitution("zeros are candidates", "int(__float_as_uint(x)) > 0 && has(c)", "has(c)"),
    Substitution("k that cuts nothing ties", "hist, k);\n    if (found.total <= k)",
                 "hist, k);\n    if (found.total < k)"),
    Substitution("k that cuts no scores ties", "== 24) {\n      if (found.total <= k)",
                 "== 24) {\n      if (found.total < k)"),
    Substitution("the tied group is what was taken of it", "t.tied = found.at", "t.tied = t.ties"),
    # What they add up to.
    Substitution("coverage counts every gene", "columns.has(min(g.c[u], last)) ?", "true ?"),
    Substitution("sums of fractions overflow", "facts.shift = 61 -", "facts.shift = 70 -"),
    Substitution("a library of a thousand", "1e4f *", "1e3f *"),
    Substitution("count for log1p", "kind == kLog1p ? log1pf(share)", "kind == kLog1p ? share"),
    Substitution("ranks down to 0", "float(count - r) / float(count)", "float(count - r - 1) / float(count)"),
    Substitution("only the last round counts", "first ? sums[c][i] : sum + sums[c][i]", "sums[c][i]"),
    Substitution("no bias", "(bias ? bias[q] : 0.f)", "0.f"),
    Substitution("a length too many", "square += z[c] * z[c]", "square += z[c]"),
    Substitution("counts are scores", "count_row[begin + j] = p.weight",
                 "count_row[begin + j] = all.score(p.weight, u32(p.gene))"),
    Substitution("totals in units", ": facts.total()", ": double(facts.sum)"),
    # What is refused.
    Substitution("a column may stand twice", "disorder |= int(g.c[u]) <= ", "disorder |= int(g.c[u]) < "),
    Substitution("there is one column more", "[row.n - 1]) >= columns.n", "[row.n - 1]) > columns.n"),
    Substitution("infinite is a count", "all.top >= kInfinity", "all.top > kInfinity"),
)  # fmt: skip

_BARRIER = re.compile(r"__sync(?:threads|warp)\w*\(")
_STATEMENT = re.compile(r"__sync(?:threads|warp)\(\);")
_FILE = re.compile(r'^#line 1 "(.+)"$')


@cache
def mutants() -> dict[str, str | None]:
    """Name and source of every mutant; None where the kernels do not hold exactly once what is replaced."""
    source = joined_source()
    changed = {
        s.name: source.replace(s.old, s.new) if source.count(s.old) == 1 else None for s in SUBSTITUTIONS
    }
    return {**dict(_without_barriers(source)), **changed}


def _without_barriers(source: str) -> Iterator[tuple[str, str | None]]:
    file, start_of_file, offset = "", 0, 0
    for number, line in enumerate(source.splitlines(keepends=True)):
        if found := _FILE.match(line):
            file, start_of_file = found[1], number
        code = line.partition("//")[0]
        for barrier in _BARRIER.finditer(code):
            # One whose value is used has to become a substitution.
            statement = _STATEMENT.match(code, barrier.start())
            start, end = offset + barrier.start(), offset + (statement.end() if statement else 0)
            yield (
                f"no {barrier[0][:-1]} at {file}:{number - start_of_file}",
                f"{source[:start]}(void)0;{source[end:]}" if statement else None,
            )
        offset += len(line)


class Problem(NamedTuple):
    """Cells, genes, and the options to embed them with."""

    block: CsrBlock
    table: GeneTable
    options: dict[str, Any]


def problems() -> Iterator[Problem]:
    """Small cells where every rule matters, first with columns in any order, then in the lexicon's."""
    yield from _problems(in_order=False, values=np.float32, columns=np.int32, vectors=np.float32)
    yield from _problems(in_order=True, values=np.uint16, columns=np.uint16, vectors=np.float16)


def _problems(*, in_order: bool, values: Any, columns: Any, vectors: Any) -> Iterator[Problem]:
    rng = np.random.default_rng(7)
    v, dim = 5000, 40  # so many that several warps own words of the bitmaps
    known = np.flatnonzero(rng.random(v) < 0.8)
    m = len(known)
    rank = np.full(v, -1, np.int32)
    rank[known] = np.arange(m) if in_order else rng.permutation(m)
    bias = rng.standard_normal(dim).astype(np.float32)
    plain = GeneTable((rng.standard_normal((m, dim)) + 1).astype(vectors), rank, None, bias)
    weighted = GeneTable(plain.vectors, rank, rng.choice(np.array([0.5, 1, 3], np.float32), m), bias)

    def cells(draw: Callable[[int], NDArray[Any]], *lengths: int) -> CsrBlock:
        places = [np.sort(rng.permutation(v)[:n]) for n in lengths]
        counts = [draw(n) for n in lengths]
        indptr = np.cumsum([0, *lengths]).astype(np.int64)
        x, c = np.concatenate(counts).astype(values), np.concatenate(places).astype(columns)
        return CsrBlock(data=x, indices=c, indptr=indptr, n_columns=v)

    def mostly_ones(n: int) -> NDArray[Any]:
        return rng.choice([0, 1, 1, 1, 1, 1, 1, 2, 3], n)

    def two_levels(n: int) -> NDArray[Any]:
        """As many high counts of known genes as are selected: the threshold is where bins change owners."""
        x = rng.choice([1, 2, 3], n)
        x[:30] = 9
        return x

    few = cells(mostly_ones, 0, 1, 40, *range(200, 690, 35))
    yield Problem(few, plain, {"k": 48})
    yield Problem(few, plain, {"k": 90})
    yield Problem(few, weighted, {"k": 100, "weight": Weight.RANK})
    many = cells(lambda n: rng.choice([1, 254, 255, 256, 300, 60_000], n), 33, 129, 600)
    yield Problem(many, plain, {"k": 70, "weight": Weight.COUNT})
    yield Problem(many, weighted, {"k": 1, "weight": Weight.UNIFORM, "normalise": False})
    edge = cells(two_levels, 300)
    high = int((rank[edge.indices[:30]] >= 0).sum())
    yield Problem(edge, plain, {"k": high})
    for table in (plain, weighted):
        yield Problem(edge, table, {"k": int((rank[edge.indices] >= 0).sum())})
    if values is np.float32:
        fractions = cells(lambda n: np.round(rng.random(n) * 3, 1), 200, 500)
        yield Problem(fractions, plain, {"k": 64})
        hidden = np.where(rank[fractions.indices] < 0, np.float32(3e20), fractions.data)
        # Candidates are next to nothing in these rows.
        yield Problem(
            CsrBlock(data=hidden, indices=fractions.indices, indptr=fractions.indptr, n_columns=v),
            plain,
            {"k": 64},
        )


def _check_faults(backend: Any, cupy: Any, table: GeneTable) -> None:
    """Rows that can't be used, and some that can."""
    columns = np.array([3, 4, 3, 4, 3, table.n_columns, 5, 5, 9, 8], np.int32)
    values = np.array([1, np.inf, 1, 2, 1, 1, 1, 1, 1, 1], np.float32)
    indptr = np.arange(0, 11, 2, dtype=np.int64)
    rows = CsrBlock(
        data=cupy.asarray(values),
        indices=cupy.asarray(columns),
        indptr=cupy.asarray(indptr),
        n_columns=table.n_columns,
    )
    found = cupy.asnumpy(backend.embed_rows(rows, table, k=5).n_genes)
    np.testing.assert_array_equal(found[[0, 2, 3, 4]], [-1, -2, -3, -3])
    offsets = np.array([-1, 2, 0, 1, 10, 11, 2**40, 10], np.int64)
    torn = replace(rows, data=cupy.ones(10, np.float32), indptr=cupy.asarray(offsets))
    found = cupy.asnumpy(backend.embed_rows(torn, table, k=5).n_genes)
    np.testing.assert_array_equal(found[[0, 1, 4, 5, 6]], -4)


def _run(source: str) -> None:
    """Raise where kernels of this source answer wrongly; in a process of its own."""
    with stand_in() as cupy:
        from lexicell_kernels import cuda
        from lexicell_kernels.cuda import source as source_module

        source_module.joined_source = lambda: source  # type: ignore[assignment]
        cuda.CHUNK = CHUNK  # type: ignore[attr-defined]
        cupy._raw._flags = lambda: ("-w",)  # a mutant may leave something unused
        given = list(problems())
        for seed in SEEDS:
            os.environ["LEXICELL_SHIM_SEED"] = str(seed)
            for block, table, options in given:
                parity.check_block(
                    cuda, block, table, to_device=cupy.asarray, to_host=cupy.asnumpy, **options
                )
            _check_faults(cuda, cupy, given[0].table)


def killed_by(source: str | None) -> str | None:
    """Build and run kernels of this source.

    Returns
    -------
    str or None
        How the mutant was noticed; None where it survived.

    Raises
    ------
    ValueError
        There is no such mutant, or it does not compile.
    """
    if source is None:
        msg = "the kernels do not hold exactly once what this mutant replaces: bring its text up to date"
        raise ValueError(msg)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.kernels.cuda.mutants", "--run"], input=source, env=environment(),
            capture_output=True, text=True, check=False, timeout=TIMEOUT, cwd=_ROOT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "hangs"
    if done.returncode < 0:
        return f"signal {-done.returncode}"
    if done.returncode not in (0, _KILLED):
        raise ValueError(done.stdout + done.stderr)
    return done.stdout.strip() if done.returncode else None


def _run_from_stdin() -> int:
    try:
        _run(sys.stdin.read())
    except Exception as error:  # whatever it is, it was noticed
        name = type(error).__name__
        print(name, *str(error).split() if name == "CompileException" else str(error).split()[:12])  # noqa: T201
        return _NOT_BUILT if name == "CompileException" else _KILLED
    return 0


def _main(part: str = "") -> int:
    chosen = {name: source for name, source in mutants().items() if part in name}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        fates = list(pool.map(_fate, chosen.values()))
    for name, (fate, how) in zip(chosen, fates, strict=True):
        print(f"{fate:8}  {name:48}  {how}")  # noqa: T201
    return int(any(fate != "killed" for fate, _ in fates))


def _fate(source: str | None) -> tuple[str, str]:
    try:
        how = killed_by(source)
    except ValueError as error:
        return "STALE", str(error)
    return ("SURVIVED", "") if how is None else ("killed", how)


if __name__ == "__main__":
    sys.exit(_run_from_stdin() if sys.argv[1:] == ["--run"] else _main(*sys.argv[1:]))
