"""Runs as the suites record them: coherent, with a peer that wins, one that is missing, and stages."""

from dataclasses import replace

import numpy as np
from bench import record
from bench.measure import Case, Measured
from bench.scenario import Scenario

EPYC = {
    "cpu": "AMD EPYC (family 25, model 17)",
    "cpus": 2,
    "caches": {"L2": "1024K"},
    "memory_gib": 23.5,
    "system": "Linux x86_64",
    "versions": {"python": "3.11.7", "numpy": "2.4.6"},
}
COMMIT = "65e1e48" + "0" * 33
STAGES = {
    "read": 0.4, "decode": 4.1, "copy": 1.2, "kernel": 6.9,
    "write": 0.9, "wait": 0.03, "plan": 0.1, "finish": 0.5,
}  # fmt: skip


def scenario(suite, group, what="lexicell", **columns):
    usual = {
        "data": "synthetic", "cells": "100000", "k": "128", "p": "256", "counts": "f32", "table": "f16",
        "storage": "memory", "device": "cpu", "threads": "all", "cache": "-",
    }  # fmt: skip
    return Scenario(suite, group, what, **(usual | columns))


def ours(suite, group, label, rate, n=100_000, **columns):
    facts = columns.pop("facts", {})
    unit = columns.pop("unit", "cells")
    case = Case(scenario(suite, group, **columns), label, n, unit)
    gate = {"reference": "lexicell_kernels.reference, 200 rows", "max_error": 1.2e-7}
    return case, rate, gate, facts


def peer(suite, group, label, rate, n=4_000, *, fairness="The same work, without checks.", **columns):
    columns.setdefault("what", label.replace(" ", "_"))
    return Case(scenario(suite, group, **columns), label, n, peer=True, fairness=fairness), rate, None, {}


def missing(suite, group, label, why, **columns):
    columns.setdefault("what", label.replace(" ", "_"))
    return Case(scenario(suite, group, **columns), label, peer=True, fairness="-", empty=why), 0, None, {}


def kernel():
    return [
        ours("kernel", "synthetic", "lexicell, float32 counts, float16 table", 179_000),
        ours("kernel", "synthetic", "lexicell, all genes", 13_100, n=4_000, k="all", table="f32"),
        peer("kernel", "synthetic", "scipy X @ E, 1 thread", 2_730, fairness="All genes: compare that row."),
        peer("kernel", "synthetic", "torch CSR @ dense, all threads", 3_900),
        peer("kernel", "synthetic", "GenePT dense np.dot, all threads", 610),
        peer("kernel", "synthetic", "dense argpartition + gather, 1 thread", 323, n=2_000),
        peer("kernel", "synthetic", "torch.topk + embedding_bag", 905, n=2_000),
        peer("kernel", "synthetic", "ONNX Runtime Gather graph", 1_480, n=2_000),
    ]  # fmt: skip


def scaling():
    cells = [
        ours("kernel", "cells", f"lexicell, {n:,} cells", 178_000 * (1 + 0.01 * i), n=n, cells=str(n))
        for i, n in enumerate((10_000, 100_000, 1_000_000))
    ]
    threads = [
        ours("kernel", "threads", f"lexicell, {t} threads", rate, threads=t)
        for t, rate in (("1", 94_000), ("2", 179_000), ("all", 181_000))
    ]
    genes = [
        ours("kernel", "k", f"lexicell, k = {k}", rate, n=n, cells=str(n), k=k)
        for k, rate, n in (
            ("32", 262_000, 20_000),
            ("128", 179_000, 20_000),
            ("512", 61_000, 20_000),
            ("all", 13_100, 4_000),
        )
    ]
    return [cells, threads, genes]


def ranking():
    return [
        ours("ranking", "sentences", "lexicell select_topk", 310_000, p="-", table="-"),
        peer("ranking", "sentences", "Cell2Sentence-style loop", 2_210, p="-", table="-"),
        peer("ranking", "sentences", "Geneformer-style loop", 3_050, p="-", table="-"),
    ]


def read():
    return [
        ours("read", "packed", "lexicell reads packed cells", 253_000, storage="packed", cache="warm",
             facts={"bytes_per_cell": 5_120.0}),
        peer("read", "packed", "scanpy read_h5ad, gzip", 9_800, storage="h5ad", cache="warm"),
        missing("read", "packed", "annbatch Loader", "needs annbatch under Python 3.12: none was found",
                storage="packed", cache="warm"),
    ]  # fmt: skip


def embed(storage="packed", rate=71_000):
    where = {"storage": storage, "cache": "warm"}
    known = {"stages": STAGES, "peak_mb": 529.1, "bytes_per_cell": 5_120.0, "bytes_per_cell_out": 530.0}
    return [
        ours("embed", storage, f"lexicell, {storage}", rate, what="run", **where, facts=known),
        ours("embed", storage, "reading alone", 2.6 * rate, what="read", **where),
        ours("embed", storage, "computing alone", 237_000, what="compute"),
        peer("embed", storage, "annbatch, loading only", 1.18 * rate, n=100_000, **where,
             fairness="Only loads; computes and writes nothing."),
    ]  # fmt: skip


def models():
    """Rows that need other packages, or a GPU; one of them is timed once."""
    where = {"k": "-", "p": "50", "table": "-", "storage": "zarr", "cache": "warm"}
    return [
        ours("models", "synthetic", "lexicell, whole run, zarr", 70_000, storage="zarr", cache="warm"),
        peer("models", "synthetic", "pretrained PCA, scipy", 19_100, n=100_000, **where),
        peer("models", "synthetic", "scanpy.pp.pca, fitted", 2_500, n=100_000, **where,
             fairness="Fits components to these cells."),
        missing("models", "synthetic", "rapids_singlecell.pp.pca", "needs rapids_singlecell: a GPU",
                device="cuda", **where),
        peer("models", "synthetic", "MLP, ONNX Runtime", 1_900, **(where | {"p": "128"})),
    ]  # fmt: skip


def tokens():
    where = {"k": "2048", "p": "-", "table": "-", "storage": "h5ad-plain", "cache": "warm", "unit": "tokens"}
    theirs = {name: value for name, value in where.items() if name != "unit"}
    loop, *rest = peer("tokens", "synthetic", "Geneformer's semantics", 21_000_000, **theirs)
    return [
        ours("tokens", "synthetic", "lexicell export geneformer", 38_000_000, **where),
        (replace(loop, unit="tokens"), *rest),
        missing("tokens", "synthetic", "SLAF's loader", "no folder with slaf was given", **theirs),
    ]


def everything():
    return [kernel(), *scaling(), ranking(), read(), embed(), embed("h5ad", 24_000)]


def run_of(groups, run="0a1b2c3d", *, day=22, commit=COMMIT, dirty=False, machine=EPYC, rounds=5, slower=()):
    """Records of a run; `slower` maps labels to how many times their time is."""
    rng = np.random.default_rng(int(run, 16))
    stamp = record.Stamp(run, commit, dirty, machine)
    made = []
    for rows in groups:
        pace = rng.lognormal(0, 0.15, rounds)  # what the machine does, to all rows of a round
        measured = []
        for case, rate, gate, facts in rows:
            one = Measured(case, case.empty, gate=gate, facts=facts)
            if not case.empty:
                each = pace * rng.lognormal(0, 0.015, rounds) / rate * dict(slower).get(case.label, 1)
                one.seconds = [float(s) for s in each * case.n]
                one.cpu_seconds = [1.9 * s for s in one.seconds]
            measured.append(one)
        made.extend(record.make(measured, stamp, 0.42))
    fixed = {"time": f"2026-11-{day:02}T20:00:00+00:00", "affinity": [0, 1]}
    return [row | fixed for row in made]
