"""Whether the GPU kernel is right on this device, and how fast it and the engine are.

``python -m bench.gpu [--carried FOLDER] [--cells CELLS.npz] [--out FOLDER]`` checks and times, in 8 minutes.
``python -m bench.gpu pack CELLS.npz DATA.h5ad ...`` makes the file of real cells (needs lexicell).
``python -m bench.gpu.carry FOLDER`` makes a folder for a machine without a network: wheels and real cells.

A machine with an NVIDIA GPU needs this checkout with ``PYTHONPATH=engine:kernels``, NumPy and CuPy; with
torch there are more peers and a step of training, with compute-sanitizer on PATH more checks, and with what
the engine needs, which may be carried, the engine's step. Settings of the card are left alone.

Each step is a process of its own with a limit of its own, and a line in ``bench/results/gpu.jsonl`` as soon
as it ends. The exit status is 0 where all that could run came out right, 1 where something was wrong or time
did not suffice, 2 where there is no GPU or an argument can't be used, and 130 where it was interrupted.

`bench.gpu.plan.PREDICTION` was written before the first run; `bench.gpu.peers.FAIRNESS` says what each peer
does more or less than we do.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType

from bench import machine
from bench.gpu import apart, cells, checks
from bench.gpu.plan import BUDGET, GOAL, PREDICTED, PREDICTION, steps
from bench.gpu.sizes import FULL, SMALL, Sizes
from bench.gpu.steps import Clock, Journal, Outcome, Step, answer, ask, end_with_parent, run_steps
from bench.gpu.table import table
from bench.gpu.wheels import CarriedError, unpack
from lexicell_kernels.cuda import require_cupy
from lexicell_kernels.cuda.source import source_hash
from lexicell_kernels.types import GpuUnavailableError

__all__ = ["main"]

_INTERRUPTED = 130


def _device(_: Clock) -> Outcome:
    """Say what the machine is, or which sentence a user gets who has no GPU."""
    try:
        require_cupy()
    except GpuUnavailableError as error:
        return Outcome(missing=str(error))
    return Outcome({"machine": {**machine.fingerprint(), "gpu": machine.gpu()}})


def _measure(given: argparse.Namespace) -> int:
    until = time.monotonic() + given.seconds
    with tempfile.TemporaryDirectory(prefix="lexicell-carried-") as folder:
        if given.carried:
            try:
                site = unpack(given.carried, Path(folder))
            except CarriedError as error:
                print(f"bench.gpu: {error}", file=sys.stderr)
                return 2
            os.environ["PYTHONPATH"] = os.pathsep.join(
                filter(None, [str(site), os.environ.get("PYTHONPATH")])
            )
        if given.cells is None and given.carried and (given.carried / "cells.npz").is_file():
            given.cells = given.carried / "cells.npz"
        return _run(given, until)


def _run(given: argparse.Namespace, until: float) -> int:
    command = ["--cells", str(given.cells.resolve())] if given.cells else []
    command += ["--small"] if given.small else []
    device = ask("device", min(60.0, max(1.0, until - time.monotonic())), command)
    if device.missing or not device.fine:
        print(f"bench.gpu: {device.reason}", file=sys.stderr)
        return 2
    where = device.details["machine"]
    usual = None if given.small else machine.RESULTS / "gpu.jsonl"
    paths = [path for path in (given.json or usual, given.out and given.out / "gpu.jsonl") if path]
    journal = Journal(paths, datetime.now(UTC).isoformat(timespec="seconds"), where["gpu"]["name"])
    print(
        f"{where['gpu']['name']}, {where['gpu']['memory_gib']} GiB; kernel {source_hash()[:12]}", flush=True
    )
    wanted = {name: step for name, step in steps(given.cells).items() if name in given.only}
    device.details |= {
        "kernel": source_hash(),
        "parameters": {
            "seconds": given.seconds,
            "small": given.small,
            "real_cells": given.cells is not None,
            "carried": given.carried is not None,
        },
        "goal": GOAL,
        "prediction": PREDICTION,
        "predicted": PREDICTED,
        "expected_seconds": {name: step.expected for name, step in wanted.items()},
        "limits": {name: step.seconds for name, step in wanted.items()},
    }
    journal.write("device", device, 0.0)
    outcomes: dict[str, Outcome] = {}
    interrupted = False
    try:
        with _interruptible():
            run_steps(wanted, journal, command, until, outcomes)
    except KeyboardInterrupt:
        interrupted = True
    print(f"\n{table(outcomes)}", flush=True)
    if interrupted:
        return _INTERRUPTED
    return 0 if all(outcome.fine for outcome in outcomes.values()) else 1


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP be as Ctrl-C, which ends what is running."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sizes(given: argparse.Namespace) -> Sizes:
    return SMALL if given.small else FULL


def _step(given: argparse.Namespace) -> int:
    end_with_parent()
    wanted = {
        "device": Step("the device", 60, 5, _device),
        **steps(given.cells, _sizes(given), ["--small"] if given.small else []),
    }
    answer(wanted[given.name], given.until, given.answer)
    return 0


def _part(given: argparse.Namespace) -> int:
    end_with_parent()
    outcome = checks.part(_sizes(given), given.number, given.of, Clock(given.until))
    print(json.dumps(asdict(outcome)), flush=True)
    return 0


def _pack(given: argparse.Namespace) -> int:
    cells.pack(given.npz, given.data)
    print(f"wrote {given.npz.stat().st_size / 1e6:.0f} MB")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=main.__doc__)
    _options(parser)
    parser.add_argument(
        "--seconds", type=float, default=BUDGET, help="that all of it may take (default %(default)s)"
    )
    parser.add_argument(
        "--carried", type=Path, metavar="FOLDER", help="wheels and cells, from `python -m bench.gpu.carry`"
    )
    parser.add_argument(
        "--json", type=Path, help="JSON Lines, appended (default bench/results/gpu.jsonl; none with --small)"
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
    step.add_argument("--until", type=float, default=time.monotonic() + 60)
    _options(step)
    step.set_defaults(do=_step)
    part = verbs.add_parser("part")
    part.add_argument("number", type=int)
    part.add_argument("of", type=int)
    part.add_argument("--until", type=float, default=time.monotonic() + 60)
    _options(part)
    part.set_defaults(do=_part)
    for name, run in (("small", apart.small), ("first", apart.first_result)):
        verbs.add_parser(name).set_defaults(do=partial(_plain, run))
    return parser


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cells", type=Path, metavar="CELLS.npz", help="real cells, from `pack`")
    parser.add_argument(
        "--small", action="store_true", help="few cells and rounds: shows that all of it runs, times nothing"
    )


def _plain(run: Callable[[], int], _: argparse.Namespace) -> int:
    end_with_parent()
    return run()


def main(argv: Sequence[str] | None = None) -> int:
    """Check and time the GPU kernel and the engine; print a table and append a record."""
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
