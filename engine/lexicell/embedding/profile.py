"""Where the time of a run went: by worker and stage, and as a trace for chrome://tracing and Perfetto."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from lexicell._files import check_new_file, staged_path
from lexicell._trace import Worker, recording
from lexicell.errors import InputError, LexicellError
from lexicell.store import writing

__all__ = ["STAGES", "Profile", "profiled"]

#: What a worker does. "wait" is what is left of its time: it waits for others, for Python's lock, or has
#: nothing to do.
STAGES = ("read", "decode", "copy", "kernel", "write", "wait")
#: What only the main thread does, before the first cell and after the last one.
_ENDS = ("plan", "finish")


class Profile:
    """Records where time goes while `here` lasts; several runs may follow one another.

    Examples
    --------
    >>> profile = Profile()
    >>> run_to_store(plan, output, inputs, profile=profile)  # doctest: +SKIP
    >>> profile.stages()["decode"]  # doctest: +SKIP
    0.71
    """

    def __init__(self) -> None:
        self._main = Worker("main")
        self._crew: list[Worker] = []

    def here(self) -> AbstractContextManager[None]:
        """Record this thread, as worker "main", and the workers that it starts."""
        return recording(self._main, self._crew)

    @property
    def begun(self) -> bool:
        """Whether any worker was started."""
        return bool(self._crew)

    @property
    def seconds(self) -> float:
        """Wall time that was recorded."""
        return self._main.lived

    @property
    def lost(self) -> int:
        """Spans that the trace leaves out, since there were too many; sums are of all of them."""
        return sum(worker.lost for worker in self._all())

    def workers(self) -> dict[str, dict[str, float]]:
        """Seconds by stage of each worker, `STAGES` and for some "plan" and "finish"; "main" is the first.

        The stages of a worker add up to its time. "main" waits while others work.
        """
        return {worker.name: _stages(worker) for worker in self._all()}

    def stages(self) -> dict[str, float]:
        """Seconds by stage, summed over the workers; of "main" without its waiting."""
        total = dict.fromkeys((*STAGES, *_ENDS), 0.0)
        for name, stages in self.workers().items():
            for stage, seconds in stages.items():
                if (name, stage) != ("main", "wait"):
                    total[stage] += seconds
        return total

    def busy(self) -> dict[str, float]:
        """Seconds that the thread of each worker was on a CPU, without threads that a kernel starts."""
        return {worker.name: worker.busy for worker in self._all()}

    def facts(self) -> dict[str, Any]:
        """All of this as plain values."""
        return {
            "seconds": self.seconds,
            "stages": self.stages(),
            "workers": self.workers(),
            "on_cpu": self.busy(),
            "spans_left_out": self.lost,
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of a table: workers but main and their sum, by stage."""
        workers = {name: stages for name, stages in self.workers().items() if name != "main"}
        busy = self.busy()
        # Other processes open the input for themselves.
        shown = [*(stage for stage in _ENDS if any(stage in of for of in workers.values())), *STAGES]
        if len(workers) > 1:
            workers["all"] = {stage: sum(of.get(stage, 0.0) for of in workers.values()) for stage in shown}
            busy["all"] = sum(seconds for name, seconds in busy.items() if name in workers)
        rows = []
        for name, of in workers.items():
            lived = max(sum(of.values()), 1e-9)
            seconds = [*(of.get(stage, 0.0) for stage in shown), busy[name]]
            rows.append([name, *(f"{one:,.2f} s {one / lived:4.0%}" for one in seconds)])
        return ["worker", *shown, "on CPU"], rows

    def beside(self) -> str:
        """What main did, in words."""
        stages = self.workers()["main"]
        named = {stage: stages[stage] for stage in ("plan", *STAGES, "finish") if stages.get(stage)}
        return "main: " + ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in named.items())

    def write(self, path: str | Path, *, replace: bool = False) -> None:
        """Write the trace, in Chrome's Trace Event Format; `facts` are its ``otherData``.

        Each span is a complete event ("X") of the thread that its worker is; where a worker waits there is
        none. Parts of a stage have names of their own, such as "write: fsync".

        Raises
        ------
        OutputExistsError
            There is such a file, and it is not to be replaced.
        WriteError
            The disk refuses.
        """
        check_new_file(Path(path), overwrite=replace)
        with staged_path(Path(path), replace=replace) as staging, staging.open("w", encoding="utf-8") as file:
            # One event on a line, so that memory does not hold all of them as text.
            file.write('{"displayTimeUnit": "ms", "otherData": ')
            file.write(json.dumps(self.facts()))
            file.write(', "traceEvents": [\n')
            file.writelines(
                f"{',' if number else ''}{json.dumps(event)}\n" for number, event in enumerate(self._events())
            )
            file.write("]}\n")

    def _all(self) -> list[Worker]:
        """Main, and the workers of all runs, those of one name as one."""
        found: dict[str, Worker] = {}
        for worker in (self._main, *self._crew):
            known = found.setdefault(worker.name, Worker(worker.name))
            known.take(worker)
            known.lived += worker.lived
        return list(found.values())

    def _events(self) -> Iterator[dict[str, Any]]:
        """Metadata of the one process and of each worker's thread, and what they did, in microseconds."""
        workers = self._all()
        zero = min((worker.spans[0].began for worker in workers if worker.spans), default=0.0)
        yield _event("M", "process_name", 0, args={"name": "lexicell embed"})
        for number, worker in enumerate(workers, 1):
            yield _event("M", "thread_name", number, args={"name": worker.name})
            yield _event("M", "thread_sort_index", number, args={"sort_index": number})
            end = 0
            for stage, began, seconds in worker.spans:
                # Viewers drop what seems to overlap, be it by a rounding.
                start = max(end, round((began - zero) * 1e6))
                end = max(start, round((began + seconds - zero) * 1e6))
                yield _event("X", stage, number, cat=stage.partition(":")[0], ts=start, dur=end - start)
            if worker.lost:
                told = f"{worker.lost:,} more spans of {worker.name} are only in the sums (otherData)"
                yield _event("i", told, number, ts=end, s="t")


@contextmanager
def profiled(path: str | Path | None, *, replace: bool) -> Iterator[Profile | None]:
    """Record what is done in a block, and write the trace, also where the block raises after a run has begun.

    Parameters
    ----------
    path
        Of the trace, a ``.json``; None to record nothing.
    replace
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        `path` is no ``.json``.
    OutputExistsError
        It exists, and is not to be replaced.
    WriteError
        It can't be written; before the block where that can be known.
    """
    if path is None:
        yield None
        return
    _check(Path(path), replace=replace)
    profile = Profile()
    try:
        with profile.here():
            yield profile
    except BaseException:
        if profile.begun:
            with suppress(LexicellError):  # what ended the block is told
                profile.write(path, replace=replace)
        raise
    profile.write(path, replace=replace)


def _check(path: Path, *, replace: bool) -> None:
    """Raise what `profiled` does before anything is done."""
    if path.suffix != ".json":
        msg = f"{path}: a trace is a .json; give it this ending"
        raise InputError(msg)
    check_new_file(path, overwrite=replace)
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    with writing(path), TemporaryFile(dir=folder):
        pass


def _stages(worker: Worker) -> dict[str, float]:
    """Seconds of a worker by stage, its parts added up."""
    stages = dict.fromkeys(STAGES, 0.0)
    for name, seconds in worker.seconds.items():
        stage = name.partition(":")[0]
        stages[stage] = stages.get(stage, 0.0) + seconds
    return stages | {"wait": worker.idle}


def _event(kind: str, name: str, thread: int, **more: Any) -> dict[str, Any]:
    return {"ph": kind, "name": name, "pid": 1, "tid": thread, **more}
