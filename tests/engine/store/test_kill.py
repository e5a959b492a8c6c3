"""SIGKILL at every named step of the protocol: what is resumed is what an undisturbed run makes."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

KILLED_AT = """
import os, signal, sys
from pathlib import Path
import zarr
from lexicell.store import steps as instants
from lexicell.store.journal import open_journal
from lexicell.store.verification import verify

# As nothing is imported after it, and Zarr's own thread starts when it is first used, forking is safe here.
os.fsync = lambda descriptor: None  # the system outlives the process
folder, whole = Path(sys.argv[1]), Path(sys.argv[1]) / "whole.zarr"


def run(out, mode):
    with open_journal(out, {"of": "test"}, total=2, mode=mode) as journal:
        for unit in range(journal.total):
            if unit not in journal.done:
                journal.store.put(f"a/c/{unit}", (b"chunk", bytes([unit])))
                instants.step("shard-encoded")
                journal.commit(unit, journal.store.take(), {})
        if not journal.complete:
            root = zarr.open_group(journal.store, mode="a", zarr_format=3)
            root.create_array("a", shape=(2,), chunks=(1,), dtype="u1")
            journal.finish()


def forked(act):
    child = os.fork()
    if not child:
        try:
            act()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def content(store):
    files = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
    return {key: p.read_bytes() for key, p in files.items()}


def passed():
    seen = []
    instants.step = seen.append
    run(whole, "new")
    (folder / "steps").write_text(" ".join(seen))


assert forked(passed) == 0
steps = (folder / "steps").read_text().split()
expected = content(whole)
for k in range(len(steps)):
    out = folder / f"{k}.zarr"

    def killed():
        left = [k]

        def step(name):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

        instants.step = step
        run(out, "new")

    def resumed():
        run(out, "resume")
        verify(out)

    assert forked(killed) == -signal.SIGKILL, k
    assert forked(resumed) == 0, k
    assert content(out) == expected, (k, steps[k])
print(" ".join(sorted(set(steps))))
print(len(steps))
"""


def test_a_process_that_is_killed_at_any_step_loses_nothing(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED_AT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    names, n = ended.stdout.splitlines()
    assert names.split() == [
        "complete-written", "data-fsynced", "data-renamed", "data-temp-written", "folder-fsynced",
        "renamed", "shard-encoded", "tables-written", "unit-committed", "unit-written",
    ]  # fmt: skip
    assert int(n) > 30
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [""] + [".zarr"] * (int(n) + 1)
