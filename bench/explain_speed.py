"""Explaining beside embedding, from disk to disk, each in a process of its own; memory; and kills."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Any

import anndata as ad
import blake3
import h5py
import numpy as np
import pandas as pd

import lexicell
from bench import cells, machine
from bench.process import lexicell as command
from bench.process import run_process
from lexicell.embedding.events import ignore

__all__ = ["GROUPS", "packed_cells", "speed"]

#: Random labels of the synthetic cells.
GROUPS = 10
_LABEL = "label"


def speed(folder: Path, sizes: dict[int, int], *, seed: int = 0) -> dict[str, Any]:
    """Cells a second and peak memory, by number of cells; and whether a killed run ends the same.

    Parameters
    ----------
    folder
        For files.
    sizes
        Cells -> rounds; all ways take turns. The largest one is also killed.
    seed
        Of cells, labels and the instant of the kill.
    """
    rows: list[dict[str, Any]] = []
    killed: dict[str, Any] = {}
    for n, rounds in sizes.items():
        packed = packed_cells(folder, n, seed)
        out, store = folder / "out", folder / "out.zarr"
        ways = {"embed": _embed(packed, store)} | {
            f"explain {sets}": _explain(packed, out, sets) for sets in ("none", "go")
        }
        ran: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        loads = []
        for _ in range(rounds):
            for way, line in ways.items():
                loads.append(round(os.getloadavg()[0], 2))
                done = run_process(line)
                shutil.rmtree(store if way == "embed" else out)
                ran[way].append((done.taken.seconds, done.peak_mb))
        for way, of in ran.items():
            seconds = median(one for one, _ in of)
            rows.append({
                "cells": n,
                "way": way,
                "rounds": rounds,
                "seconds": round(seconds, 2),
                "cells/s": round(n / seconds),
                "peak_mb": round(max(peak for _, peak in of)),
                "all_seconds": [round(one, 2) for one, _ in of],
            })  # fmt: skip
        rows[-1]["loads"] = loads
        if n == max(sizes):
            killed = _killed(packed, folder, rows[-2]["seconds"], seed)
        shutil.rmtree(packed)
    return {"machine": machine.fingerprint(), "rows": rows, "kill": killed}


def packed_cells(folder: Path, n: int, seed: int) -> Path:
    """Write `n` synthetic cells, labelled at random, as a packed atlas."""
    plain, packed = folder / "plain.h5ad", folder / f"{n}.zarr"
    cells.write_h5ad(plain, n, seed, None, depth=cells.SHALLOW)
    labels = np.random.default_rng(seed).integers(0, GROUPS, n)
    with h5py.File(plain, "a") as file:
        del file["obs"]
        column = pd.Categorical([f"group {i}" for i in labels])
        ad.io.write_elem(file, "obs", pd.DataFrame({_LABEL: column}, index=[f"cell{i}" for i in range(n)]))
    lexicell.pack(plain, packed, listener=ignore)
    plain.unlink()
    return packed


def _embed(packed: Path, out: Path) -> list[str]:
    return command("embed", str(packed), str(out))


def _explain(packed: Path, out: Path, sets: str, *more: str) -> list[str]:
    return command("explain", str(packed), "--group", _LABEL, "--sets", sets, "--output", str(out), *more)


def _killed(packed: Path, folder: Path, took: float, seed: int) -> dict[str, Any]:
    """Kill a run, resume it, and hold its tables against those of a quiet one."""
    whole, broken = folder / "whole", folder / "broken"
    run_process(_explain(packed, whole, "go"))
    line = _explain(packed, broken, "go", "--resume")
    instant = random.Random(seed).uniform(0.5, 0.7) * took  # noqa: S311 -- an instant, no secret
    running = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    time.sleep(instant)
    running.send_signal(signal.SIGKILL)
    code = running.wait()
    began = time.perf_counter()
    run_process(line)
    seconds = time.perf_counter() - began
    one, other = (
        {file.name: blake3.blake3(file.read_bytes()).hexdigest() for file in sorted(at.glob("*.parquet"))}
        for at in (whole, broken)
    )
    for at in (whole, broken):
        shutil.rmtree(at)
    return {
        "killed_after": round(instant, 2),
        "was_killed": code == -signal.SIGKILL,
        "resumed_in": round(seconds, 2),
        "tables": sorted(one),
        "same": one == other and len(one) > 0,
    }
