"""Whether the GPU kernel is right on this device, and how fast it is.

``python -m bench.gpu [--cells CELLS.npz] [--out FOLDER] [--seconds 520]`` checks and times.
``python -m bench.gpu pack CELLS.npz DATA.h5ad ...`` makes the file of real cells (needs lexicell).

A machine with an NVIDIA GPU needs this checkout with ``PYTHONPATH=engine:kernels``, NumPy and CuPy; with
torch there are more peers, with compute-sanitizer on PATH more checks. Settings of the card are left alone.
Each step is a line in ``bench/results/gpu.jsonl``. The exit status is 0 where all that could run came out
right, 1 otherwise, 2 where there is no GPU.

`PREDICTION` was written before the first run; `bench.gpu_peers.FAIRNESS` says what each peer does more or
less than we do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bench import gpu_cells, gpu_checks, gpu_speed, machine
from bench.gpu_speed import FRACTIONS, HEADLINE, NARROW, WIDE, name_of
from bench.gpu_steps import Clock, Journal, Outcome, Step, answer, ask, run_steps
from lexicell_kernels.cuda import require_cupy
from lexicell_kernels.cuda._source import source_hash
from lexicell_kernels.types import GpuUnavailableError

__all__ = ["GOAL", "PREDICTED", "PREDICTION", "main", "steps", "table"]

GOAL = {"cells_per_s": 30e6, "times_the_fastest_peer": 10}

PREDICTION = (
    "H100 SXM. k = 128, p = 256, float16 table, float32 + int32 counts of 2,500 to 2,800 non-zeros in "
    "lexicon order: 40 M cells/s (goal 30 M); uint16 + uint16 48 M; shuffled columns 25 M; (64, 128) "
    "60 M, (256, 256) 28 M, (1024, 512) 4.5 M; fractions 20 M; float32 table 28 M. Floors: device memory at "
    "3.0 TB/s about 140 M cells/s, gathering from L2 about 70 to 85 M. Peers: SpMM over all genes 1.5 M, "
    "top-k on dense rows 0.3 M, segmented sort 0.4 M."
)

#: The same by case, in cells/s.
PREDICTED = {
    HEADLINE: 40e6,
    name_of(128, 256, "float16", NARROW): 48e6,
    name_of(128, 256, "float16", WIDE, in_order=False): 25e6,
    name_of(64, 128, "float16", WIDE): 60e6,
    name_of(256, 256, "float16", WIDE): 28e6,
    name_of(1024, 512, "float16", WIDE): 4.5e6,
    name_of(128, 256, "float16", FRACTIONS): 20e6,
    name_of(128, 256, "float32", WIDE): 28e6,
    "SpMM by CuPy, all genes": 1.5e6,
    "torch.topk on dense rows, embedding_bag": 0.3e6,
    "sort of keys by CuPy, take": 0.4e6,
}


def steps(cells: Path | None) -> dict[str, Step]:
    """List all steps by name; what a run with little time should know first comes first.

    Parameters
    ----------
    cells
        Packed real cells, or None.
    """
    return {
        "memory": Step("what the memory of this card can do", 60, gpu_speed.memory),
        "instantiations": Step(
            "all types and orders, and unusable rows, against the reference",
            150,
            gpu_checks.all_instantiations,
        ),
        "real cells": Step("real cells against the reference", 60, gpu_checks.check_real(cells)),
        "speed": Step("speed", 150, gpu_speed.speed),
        "peers": Step("what people use today, on the same cells", 60, gpu_speed.peers),
        "parity": Step("the parity suite", 150, gpu_checks.parity_cases),
        "large": Step("a million cells at once", 60, gpu_checks.large()),
        "threads": Step("other numbers of threads for a row", 60, gpu_speed.threads),
        "start": Step("time to the first result, cost of a launch", 60, gpu_checks.time_to_first),
        "sanitizer": Step("compute-sanitizer", 150, gpu_checks.sanitizers),
    }


def _device(_: Clock) -> Outcome:
    """Say what the machine is, or which sentence a user gets who has no GPU."""
    try:
        require_cupy()
    except GpuUnavailableError as error:
        return Outcome(missing=str(error))
    return Outcome({"machine": {**machine.fingerprint(), "gpu": machine.gpu()}})


def table(outcomes: Mapping[str, Outcome]) -> str:
    """Put the numbers side by side: cells/s, prediction, shares of what the memory allows."""
    memory = outcomes["memory"].details if "memory" in outcomes else {}
    lines = [f"{'M cells/s':>10} {'predicted':>10} {'of copy':>8} {'of gather':>10} {'ratio':>7}  case"]
    for step in ("speed", "peers", "threads"):
        rows: dict[str, dict[str, Any]] = outcomes[step].details.get("rows", {}) if step in outcomes else {}
        if rows:
            lines.append(f"-- {step}")
        for name, row in rows.items():
            predicted = PREDICTED.get(name)
            shares = [
                _share(row, memory, moved, most)
                for moved, most in (
                    ("memory_bytes_per_cell", "copy_bytes_per_s"),
                    ("gathered_bytes_per_cell", "gather_bytes_per_s"),
                )
            ]
            cells = [
                f"{row['cells_per_s'] / 1e6:10.3f}",
                f"{predicted / 1e6:10.1f}" if predicted else " " * 10,
                f"{shares[0]:8.0%}" if shares[0] else " " * 8,
                f"{shares[1]:10.0%}" if shares[1] else " " * 10,
                f"{row['ratio']:7.1f}" if "ratio" in row else " " * 7,
            ]
            lines.append(f"{' '.join(cells)}  {name}")
    lines.append("")
    lines.extend(f"{name}: {outcome.status}" for name, outcome in outcomes.items())
    return "\n".join(lines)


def _share(row: Mapping[str, Any], memory: Mapping[str, Any], moved: str, most: str) -> float:
    if moved not in row or most not in memory:
        return 0.0
    return float(row["cells_per_s"] * row[moved] / memory[most])


def _measure(given: argparse.Namespace) -> int:
    command = ["--cells", str(given.cells.resolve())] if given.cells else []
    device = ask("device", 60, command)
    if device.missing or device.problems:
        print(f"bench.gpu: {device.missing or device.problems[0]}", file=sys.stderr)
        return 2
    where = device.details["machine"]
    paths = [given.json, *([given.out / "gpu.jsonl"] if given.out else [])]
    journal = Journal(paths, datetime.now(UTC).isoformat(timespec="seconds"), where["gpu"]["name"])
    print(
        f"{where['gpu']['name']}, {where['gpu']['memory_gib']} GiB; kernel {source_hash()[:12]}", flush=True
    )
    device.details |= {
        "kernel": source_hash(),
        "parameters": {"seconds": given.seconds, "real_cells": given.cells is not None},
        "goal": GOAL,
        "prediction": PREDICTION,
        "predicted": PREDICTED,
    }
    journal.write("device", device, 0.0)
    wanted = {name: step for name, step in steps(given.cells).items() if name in given.only}
    outcomes = run_steps(wanted, journal, command, given.seconds)
    print(f"\n{table(outcomes)}", flush=True)
    return 0 if all(o.status in {"ok", "not there"} for o in outcomes.values()) else 1


def _step(given: argparse.Namespace) -> int:
    wanted = {"device": Step("the device", 60, _device), **steps(given.cells)}
    answer(wanted[given.name], given.seconds, given.answer)
    return 0


def _pack(given: argparse.Namespace) -> int:
    gpu_cells.pack(given.npz, given.data)
    print(f"wrote {given.npz.stat().st_size / 1e6:.0f} MB")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=main.__doc__)
    _options(parser, 520.0)
    parser.add_argument(
        "--json", type=Path, default=machine.RESULTS / "gpu.jsonl", help="JSON Lines, appended"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="append the record here, too")
    names = list(steps(None))
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="STEP", help=", ".join(names)
    )
    parser.set_defaults(do=_measure)
    verbs = parser.add_subparsers(title="other uses", metavar="")
    pack = verbs.add_parser("pack", help="put real cells into one file")
    pack.add_argument("npz", type=Path, metavar="CELLS.npz")
    pack.add_argument("data", type=Path, nargs="+", metavar="DATA.h5ad")
    pack.set_defaults(do=_pack)
    # What the steps start; of no use otherwise.
    step = verbs.add_parser("step")
    step.add_argument("name", choices=["device", *names])
    step.add_argument("--answer", type=Path, required=True)
    _options(step, 60.0)
    step.set_defaults(do=_step)
    for name, run in (("small", gpu_checks.small), ("first", gpu_checks.first_result)):
        verbs.add_parser(name).set_defaults(do=partial(_plain, run))
    return parser


def _options(parser: argparse.ArgumentParser, seconds: float) -> None:
    parser.add_argument("--cells", type=Path, metavar="CELLS.npz", help="real cells, from `pack`")
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="that it may take (default %(default)s)"
    )


def _plain(run: Callable[[], int], _: argparse.Namespace) -> int:
    return run()


def main(argv: Sequence[str] | None = None) -> int:
    """Check and time the GPU kernel; print a table and append a record."""
    given = _parser().parse_args(argv)
    if getattr(given, "cells", None) is not None and not given.cells.is_file():
        print(
            f"bench.gpu: there is no file {given.cells}; make it by `python -m bench.gpu pack`",
            file=sys.stderr,
        )
        return 2
    status: int = given.do(given)
    return status


if __name__ == "__main__":
    sys.exit(main())
