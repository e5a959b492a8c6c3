"""Whatever ends a run, it goes on, and the atlas has the bytes of one that nothing disturbed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lexicell.errors import InputError, OutputExistsError, PartialError, WriteError
from lexicell.store import steps as steps_module
from lexicell.store.verification import verify

Pack = Callable[..., list[str]]
Content = Callable[[Path], dict[str, bytes]]


class Killed(BaseException):
    """What ends a run in the middle."""


class Steps:
    """Counts the steps of writing, and ends the run at one of them."""

    def __init__(self) -> None:
        self.passed = 0
        self.last: int | None = None
        self.error: BaseException = Killed()
        self.only = ""

    def __call__(self, name: str) -> None:
        self.passed += 1
        if self.last is not None and self.passed >= self.last and name in (self.only or name):
            self.last = None
            raise self.error

    def end_at(self, step: int | None) -> None:
        self.passed, self.last, self.error, self.only = 0, step, Killed(), ""

    def fill_the_disk_at(self, step: int) -> None:
        """Refuse the first write of data from a step on: which step that is, depends on the threads."""
        self.passed, self.last, self.only = 0, step, "data-temp-written"
        self.error = OSError(28, "No space left on device")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    found = Steps()
    monkeypatch.setattr(steps_module, "step", found)
    return found


@pytest.fixture
def whole(inputs: list[Path], packed: Pack, tmp_path: Path, content: Content) -> dict[str, bytes]:
    packed(inputs, tmp_path / "whole.zarr")
    return content(tmp_path / "whole.zarr")


def test_a_run_that_ends_at_any_step_goes_on_to_the_same_bytes(
    inputs: list[Path], packed: Pack, tmp_path: Path, content: Content, steps: Steps, whole: dict[str, bytes]
) -> None:
    total = steps.passed
    rng = np.random.default_rng(5)
    for first in [*rng.integers(1, total, 4).tolist(), total - 1, total]:
        target = tmp_path / f"ended-at-{first}.zarr"
        steps.end_at(first)
        with pytest.raises(Killed):
            packed(inputs, target, workers=2)
        steps.end_at(int(rng.integers(1, total)))
        try:
            packed(inputs, target, mode="resume", workers=1)
        except Killed:
            steps.end_at(None)
            packed(inputs, target, mode="resume", workers=3)
        assert content(target) == whole
        assert verify(target).problems == ()
        assert [path.name for path in tmp_path.glob(f"{target.name}*")] == [target.name]


@pytest.mark.slow
def test_killed_twice_it_is_the_same(
    inputs: list[Path], packed: Pack, tmp_path: Path, content: Content, whole: dict[str, bytes]
) -> None:
    target = tmp_path / "out.zarr"
    child = textwrap.dedent("""
        import json, os, signal, sys
        import numpy as np
        paths, target, mode, last = json.loads(sys.argv[1])
        from lexicell._say import silent
        from lexicell.packing import plan_pack, run, shard
        from lexicell.store import steps
        from lexicell.counts.concat import ConcatSource
        shard.CHUNK, shard.SHARD, run.MAX_NNZ = 1 << 9, 1 << 12, 3000
        names = []
        def step(name):
            names.append(name)
            if len(names) == last:
                os.kill(os.getpid(), signal.SIGKILL)
        steps.step = step
        with ConcatSource(paths) as source:
            order = np.argsort(source.var.index.to_numpy(str), kind="stable")
            plan = plan_pack(source, paths, order, {"lexicon": "names"}, tell=silent)
            run.run_pack(plan, target, mode=mode, tick=silent, tell=silent)
    """)
    for mode, last in (("new", 60), ("resume", 45)):
        given = json.dumps([[str(path) for path in inputs], str(target), mode, last])
        ended = subprocess.run([sys.executable, "-c", child, given], check=False)
        assert ended.returncode == -signal.SIGKILL
    assert not target.exists()
    with pytest.raises(OutputExistsError, match="unfinished run"):
        packed(inputs, target)
    packed(inputs, target, mode="resume")
    assert content(target) == whole


def test_a_lost_shard_before_others_is_made_again(
    inputs: list[Path], packed: Pack, tmp_path: Path, content: Content, steps: Steps, whole: dict[str, bytes]
) -> None:
    steps.end_at(int(steps.passed * 0.6))
    with pytest.raises(Killed):
        packed(inputs, tmp_path / "out.zarr", workers=1)
    (tmp_path / "out.zarr.partial" / "X" / "indices" / "c" / "1").unlink()
    steps.end_at(None)
    packed(inputs, tmp_path / "out.zarr", mode="resume")
    assert content(tmp_path / "out.zarr") == whole


def test_a_full_disk_keeps_what_is_done_and_says_so(
    inputs: list[Path], packed: Pack, tmp_path: Path, content: Content, steps: Steps, whole: dict[str, bytes]
) -> None:
    steps.fill_the_disk_at(80)
    with pytest.raises(PartialError, match=r"No space left.*--resume"):
        packed(inputs, tmp_path / "out.zarr")
    steps.fill_the_disk_at(1)
    with pytest.raises(WriteError, match="No space left"):
        packed(inputs, tmp_path / "none.zarr")
    assert not list(tmp_path.glob("none.zarr*"))
    steps.end_at(None)
    packed(inputs, tmp_path / "out.zarr", mode="resume")
    assert content(tmp_path / "out.zarr") == whole


def test_another_job_does_not_go_on(
    inputs: list[Path], parts: Any, packed: Pack, tmp_path: Path, steps: Steps, whole: dict[str, bytes]
) -> None:
    target = tmp_path / "out.zarr"
    steps.end_at(80)
    with pytest.raises(Killed):
        packed(inputs, target)
    steps.end_at(None)
    with pytest.raises(InputError, match="obs_columns"):
        packed(inputs, target, mode="resume", obs_columns=["bulk_labels"])
    parts[0][:60].copy().write_h5ad(inputs[0])
    with pytest.raises(InputError, match=r"input\.state"):
        packed(inputs, target, mode="resume")


def test_a_complete_atlas_is_left_as_it_is(
    inputs: list[Path], packed: Pack, tmp_path: Path, content: Content, steps: Steps
) -> None:
    packed(inputs, tmp_path / "out.zarr")
    before = content(tmp_path / "out.zarr")
    steps.end_at(1)
    packed(inputs, tmp_path / "out.zarr", mode="resume")
    assert content(tmp_path / "out.zarr") == before


def test_a_run_that_became_wider_goes_on_as_wide_as_it_was(
    parts: Any,
    packed: Pack,
    tmp_path: Path,
    steps: Steps,
    content: Content,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lexicell.counts.values.SAMPLE_CELLS", 6)
    matrix = parts[0].X.tolil()
    matrix[20, 9] = 70_000
    parts[0].X = matrix.tocsr()
    parts[0].write_h5ad(tmp_path / "in.h5ad")
    packed(tmp_path / "in.h5ad", tmp_path / "whole.zarr", workers=1)
    steps.end_at(steps.passed - 10)
    with pytest.raises(Killed):
        packed(tmp_path / "in.h5ad", tmp_path / "out.zarr", workers=1)
    steps.end_at(None)
    said = packed(tmp_path / "in.h5ad", tmp_path / "out.zarr", mode="resume")
    assert not any("does not fit" in text for text in said)
    assert content(tmp_path / "out.zarr") == content(tmp_path / "whole.zarr")
