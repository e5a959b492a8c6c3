"""Runs cases in processes of their own and ends those that hang or fill the memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any

from tests.fuzz.cases import MEMORY, Cases

from lexicell.containers import h5watch

__all__ = ["run_cases", "work"]

#: Seconds after which a case counts as a hang, and between looks at the memory of its process.
PATIENCE, _LOOK = 60.0, 0.05
#: Seconds after which our watcher is to say that HDF5 does not come back.
_WATCHER = 8


def run_cases(numbers: Sequence[int], inputs: Path) -> Iterator[dict[str, Any]]:
    """Run cases in order, each result as `Cases.run` tells it; what ends the process ends one case."""
    left = list(numbers)
    while left:
        with tempfile.TemporaryDirectory(prefix="lexicell-fuzz-") as folder:
            command = [sys.executable, "-m", "tests.fuzz", "--work", folder, "--inputs", str(inputs)]
            process = subprocess.Popen(
                [*command, json.dumps(left)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            try:
                for result in _watched(process, left):
                    left.remove(result["case"])
                    yield result
            finally:
                process.kill()
                process.communicate()


def _watched(process: subprocess.Popen[str], left: list[int]) -> Iterator[dict[str, Any]]:
    """Yield results until the process ends, the last for the case that it was killed for."""
    lines: SimpleQueue[str] = SimpleQueue()
    Thread(target=_pass_on, args=(process.stdout, lines), daemon=True).start()
    case: dict[str, Any] | None = None
    rest, since, said = len(left), 0.0, ""
    while rest:
        try:
            line = lines.get(timeout=_LOOK)
        except Empty:
            if case is not None and time.monotonic() - since > PATIENCE:
                yield case | {"end": "hang", "fault": f"nothing for {PATIENCE:.0f} s"}
                return
            if case is not None and _memory(process.pid) > MEMORY + (2 << 30):
                yield case | {"end": "memory", "fault": "more than 4 GiB"}
                return
            continue
        if case is not None and "HDF5 has not come back" in line:
            yield case | {"end": "told that HDF5 hangs", "fault": None}
            return
        if not line:
            if case is None:
                raise RuntimeError(said)
            yield case | {"end": "ended", "fault": f"the process ended ({process.wait()}): {said[-500:]}"}
            return
        if not line.startswith('{"case"'):
            said += line
            continue
        result, since = json.loads(line), time.monotonic()
        case = None if "end" in result else result
        if case is None:
            rest -= 1
            yield result


def _pass_on(lines: IO[str], to: SimpleQueue[str]) -> None:
    for line in lines:
        to.put(line)
    to.put("")


def _memory(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (FileNotFoundError, IndexError):
        return 0


def work(inputs: Path, folder: Path, numbers: Sequence[int]) -> None:
    """Run cases in this process, a line of JSON before each and one after."""
    h5watch._PATIENCE = _WATCHER
    cases = Cases(inputs, folder / "work")
    for number in numbers:
        _tell(cases.run(number, _tell))


def _tell(result: dict[str, Any]) -> None:
    print(json.dumps(result, default=str), flush=True)
