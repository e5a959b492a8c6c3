"""``python -m tests.fuzz [N] [--first 0]``: damage inputs N times and list what must not be."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.campaign import run_cases, work
from tests.fuzz.inputs import write_inputs

__all__ = ["main"]


def main() -> int:
    """Run cases in some processes at once; the exit code is 1 where one of them is a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=main.__doc__)
    parser.add_argument("cases", help="how many; or, with --work, which")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        work(given.inputs, given.work, json.loads(given.cases))
        return 0
    started, ends, faults = time.perf_counter(), Counter[str](), 0
    numbers = range(given.first, given.first + int(given.cases))
    with tempfile.TemporaryDirectory() as folder:
        inputs = write_inputs(Path(folder) / "inputs")

        def run(part: int) -> None:
            nonlocal faults
            for result in run_cases(numbers[part :: given.processes], inputs):
                ends[result["end"]] += 1
                if result["fault"] is not None:
                    faults += 1
                    print(json.dumps(result), flush=True)

        with ThreadPoolExecutor(given.processes) as pool:
            list(pool.map(run, range(given.processes)))
    print(f"{len(numbers):,} cases in {time.perf_counter() - started:.0f} s, {faults:,} faults: {dict(ends)}")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
