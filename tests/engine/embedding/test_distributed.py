"""Shards made by processes of a Dask cluster are those of this process, whatever happens to the cluster."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import anndata
import numpy as np
import pytest

from lexicell import errors
from lexicell.embedding import Advanced, Note, Options, make_plan
from lexicell.embedding.continuing import Arithmetic
from lexicell.embedding.events import Started
from lexicell.embedding.inputs import Inputs
from lexicell.embedding.local import run_local
from lexicell.embedding.shards import EmbedShards, ShardJob
from lexicell.store import EmbeddingSink, Layout, create_store

distributed = pytest.importorskip("distributed")

from lexicell.embedding import distributed as ours  # noqa: E402
from lexicell.embedding.distributed import run_distributed  # noqa: E402

pytestmark = pytest.mark.slow

CELLS, ROWS = 1400, 100


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """1,400 cells in a file, what embeds them, and the bytes of the 14 shards that threads make of them."""
    pytest.importorskip("scanpy")
    from lexicell.cli.demo import load_cells

    folder = tmp_path_factory.mktemp("atlas")
    cells = load_cells()
    both = anndata.concat([cells, cells[::-1]], index_unique="-")
    both.write_h5ad(folder / "cells.h5ad")
    inputs = Inputs((str(folder / "cells.h5ad"),))
    with inputs.open() as source:
        embedder = make_plan(source, Options(top_k=20)).embedder
        with opened(folder, "local") as store:
            job = ShardJob(inputs, EmbedShards(embedder, max_nnz=5_000), store.writer)
            run_local(job, source, store.pending, workers=1, commit=store.commit, listener=lambda event: None)
            yield inputs, embedder, content(store)


def opened(folder, name):
    layout = Layout(CELLS, 384, "float32", ROWS, ROWS // 2)
    return create_store(folder / f"{name}.zarr", EmbeddingSink(layout), {"of": "a test"}, mode="new")


def content(store):
    """All chunks by key."""
    root = Path(store.writer.location)
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "/c/" in str(path)
    }


@pytest.fixture(scope="module")
def cluster():
    """Two processes that most of the tests share."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0, silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=30)
        yield client
        client.run(exec, UNDO, {})


@pytest.fixture
def run(atlas, tmp_path, cluster):
    """Runs the atlas; `events`, `store` and `committed` tell what happened."""
    return Run(atlas, tmp_path, cluster.scheduler_address)


class Run:
    def __init__(self, atlas, folder, address):
        self.inputs, self.embedder, self.expected = atlas
        self.folder, self.address = folder, address
        self.events, self.committed, self.at_commit = [], [], None
        self.listener = self.events.append

    def __call__(self, workers=None, arithmetic=None, **job):
        with opened(self.folder, "dask") as store:
            self.store = store
            maker = EmbedShards(self.embedder, arithmetic, max_nnz=5_000)
            made = ShardJob(**{"inputs": self.inputs, "maker": maker, "writer": store.writer} | job)

            def commit(receipt):
                assert threading.current_thread() is threading.main_thread()
                store.commit(receipt)
                self.committed.append(receipt.shard)
                if self.at_commit is not None:
                    self.at_commit(len(self.committed))

            run_distributed(
                made, store.pending, address=self.address, workers=workers, commit=commit,
                listener=self.listener,
            )  # fmt: skip
            assert content(store) == self.expected
            assert sorted(self.committed) == list(range(CELLS // ROWS))
            return made

    def notes(self):
        return [event.text for event in self.events if isinstance(event, Note)]


def test_a_cluster_makes_the_bytes_that_threads_make_and_tells_its_progress(run, client):
    job = run(arithmetic=arithmetic(run))
    assert run.events[0] == Started(CELLS, 0, 14, 2)
    told = [event for event in run.events if isinstance(event, Advanced)]
    assert len(told) == 14
    assert (told[-1].done, told[-1].total) == (CELLS, CELLS)
    with run.inputs.open() as source:
        nnz = sum(source.read(*span).data.nbytes * 2 for span in source.spans(10**9))
    assert told[-1].decoded == nnz
    assert not run.notes()
    assert job.inputs is not None
    assert set(client.run(plugins).values()) == {()}  # nothing stays behind
    assert not client.run_on_scheduler(known_tasks)


def arithmetic(run):
    """What the first cells of the atlas become here."""
    with run.inputs.open() as source:
        few = source.read(0, 20)
    return Arithmetic(few, run.embedder.digest(few))


def plugins(dask_worker):
    return tuple(name for name in dask_worker.plugins if "lexicell" in name)


def known_tasks(dask_scheduler):
    return [key for key in dask_scheduler.tasks if "lexicell" in str(key)]


def test_own_processes_are_started_and_stopped(run):
    run.address = None
    run(workers=1)
    assert run.events[0] == Started(CELLS, 0, 14, 1)


def test_a_worker_that_is_killed_loses_nothing(run, client):
    pids = client.run(os.getpid)
    run.at_commit = lambda n: os.kill(min(pids.values()), signal.SIGKILL) if n == 2 else None
    client.run(exec, SLOW, {})
    run()


SLOW = """
import time
from lexicell.embedding.shards import ShardWorker
ShardWorker.real = real = ShardWorker.run
def slow(self, number, **how):
    time.sleep(0.2)
    return real(self, number, **how)
ShardWorker.run = slow
"""
UNDO = """
from lexicell.embedding import dask_worker
from lexicell.embedding.shards import ShardWorker
from importlib import metadata
ShardWorker.run = getattr(ShardWorker, "real", ShardWorker.run)
for module in (dask_worker, metadata):
    module.version = getattr(module, "real_version", module.version)
dask_worker.store_mark = getattr(dask_worker, "real_mark", dask_worker.store_mark)
"""


def test_a_shard_that_ends_its_workers_is_named(run, client, cluster, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    monkeypatch.setattr(cluster.scheduler, "WORKER_SATURATION", 1.0)
    client.run(exec, DEADLY, {})
    with pytest.raises(
        errors.PartialError,
        match=r"1.*shard 9.*\(cells 900.*1,000\)",
    ):
        run()
    assert run.committed
    assert 9 not in run.committed


DEADLY = """
import os
from lexicell.embedding.shards import ShardWorker
ShardWorker.real = real = ShardWorker.run
def deadly(self, number, **how):
    if number == 9:
        os._exit(1)
    return real(self, number, **how)
ShardWorker.run = deadly
"""


CLUSTER = """
import distributed
if __name__ == "__main__":
    cluster = distributed.LocalCluster(
        n_workers=0, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0, silence_logs=50
    )
    print(cluster.scheduler_address, flush=True)
    input()
    cluster.scale(1)
    input()
"""


def test_workers_may_come_late_and_a_scheduler_that_goes_away_takes_nothing_along(run, tmp_path):
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        run.address = process.stdout.readline().strip()

        def let_one_come(event):
            run.events.append(event)
            if isinstance(event, Note) and "waiting" in event.text:
                process.stdin.write("\n")
                process.stdin.flush()

        run.listener = let_one_come
        run.at_commit = lambda n: process.kill() if n == 3 else None
        with pytest.raises(errors.PartialError, match=rf"Dask.*{run.address}"):
            run()
    assert run.notes() == ["the cluster has no workers: waiting for some"]
    assert 3 <= len(run.committed) < 14
    written = content(run.store)
    done = [key for key in written if int(key.split("/c/")[1].split("/")[0]) in run.committed]
    assert len(done) == 4 * len(run.committed)
    assert {key: written[key] for key in done} == {key: run.expected[key] for key in done}


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "nonsense://x"])
def test_an_address_without_a_scheduler_is_told_before_anything_is_made(run, address, monkeypatch):
    monkeypatch.setattr(ours, "_CONNECT", 0.3)
    run.address = address
    with pytest.raises(errors.InputError, match=rf"Dask.*{address}"):
        run()
    assert not run.events


def test_a_bad_cell_is_named_as_threads_name_it_and_ends_the_run(run, client, tmp_path):
    cells = anndata.read_h5ad(run.inputs.paths[0])
    cells.X.data[cells.X.indptr[537]] = -3
    cells.write_h5ad(tmp_path / "bad.h5ad")
    inputs = Inputs((str(tmp_path / "bad.h5ad"),))
    with inputs.open() as source, opened(tmp_path, "threads") as store:
        job = ShardJob(inputs, EmbedShards(run.embedder), store.writer)
        with pytest.raises(errors.CountsError) as here:
            run_local(job, source, store.pending, workers=1, commit=store.commit, listener=lambda event: None)
    with pytest.raises(errors.CountsError) as there:
        run(inputs=inputs)
    assert str(there.value) == str(here.value)
    assert repr(cells.obs_names[537]) in str(there.value)
    assert 5 not in run.committed
    assert not client.run_on_scheduler(known_tasks)


OTHER = "\nm.real_version = m.version\nm.version = lambda _: '0.0.9'"
FAULTY = """
import threading
from lexicell.embedding.shards import ShardWorker
from lexicell.errors import CorruptDataError
ShardWorker.real = ShardWorker.run
def faulty(self, number, **how):
    if {raw}:
        raise PermissionError("not yours")
    raise CorruptDataError("x is torn") from ValueError(threading.Lock())
ShardWorker.run = faulty
"""


@pytest.mark.parametrize(("raw", "kind"), [(False, errors.CorruptDataError), (True, PermissionError)])
def test_what_fails_in_a_worker_is_raised_here_whatever_was_its_cause(run, client, raw, kind):
    client.run(exec, FAULTY.format(raw=raw), {})
    with pytest.raises(kind, match="^not yours$" if raw else "^x is torn$"):
        run()


PATCHES = {
    "version": f"from importlib import metadata as m{OTHER}",
    "late version": f"from lexicell.embedding import dask_worker as m{OTHER}",
    "output": "from lexicell.embedding import dask_worker as m\n"
    "m.real_mark = m.store_mark\nm.store_mark = lambda _: None",
}


@pytest.mark.parametrize("fault", ["version", "late version", "input", "other input", "output", "rounding"])
def test_a_worker_that_is_not_as_the_client_is_named(run, client, fault, tmp_path):
    job, says = {}, r"^worker tcp://\S+ on \S+ "
    if fault in PATCHES:
        client.run(exec, PATCHES[fault], {})
        says += {
            "version": rf"has lexicell 0\.0\.9, not lexicell {version('lexicell')}; install the same",
            "late version": rf"has lexicell 0\.0\.9, not {version('lexicell')}; install the same",
            "output": r"does not see the unfinished store \S+; the output must be at the same path",
        }[fault]
        if fault == "version":
            says = says.replace(r" on \S+", "")
    elif fault == "rounding":
        job["arithmetic"] = replace(arithmetic(run), expected="0" * 64)
        says += "rounds otherwise"
    elif fault == "input":
        job["inputs"] = Inputs((str(tmp_path / "gone.h5ad"),))
        says += r"can't open the input: .*gone\.h5ad"
    else:
        anndata.read_h5ad(run.inputs.paths[0])[:-1].write_h5ad(tmp_path / "less.h5ad")
        job["inputs"] = Inputs((str(tmp_path / "less.h5ad"),))
        says += r"finds other cells or genes in \S+ than there were; the inputs must be the same"
    with pytest.raises(errors.InputError, match=says):
        run(**job)
    assert not run.committed


def test_an_interrupt_leaves_the_cluster_free(run, client):
    client.run(exec, SLOW, {})

    def interrupt(n):
        if n == 2:
            raise KeyboardInterrupt

    run.at_commit = interrupt
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not client.run_on_scheduler(known_tasks)
    assert set(client.run(plugins).values()) == {()}
    assert len(run.committed) == 2
    client.run(exec, UNDO, {})
    run.at_commit = None
    run.committed.clear()
    run.folder /= "again"
    run.folder.mkdir()
    run()


def test_counts_in_memory_are_not_sent_to_processes(run):
    with pytest.raises(errors.InputError, match=r"counts in memory"):
        run(inputs=None)


def test_what_has_to_be_installed_is_said(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(errors.MissingExtraError, match=r'pip install "lexicell\[distributed\]"'):
        run()


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_cross_processes_as_they_are(name):
    kind = getattr(errors, name)
    again = pickle.loads(pickle.dumps(kind("what, where, what to do")))  # noqa: S301
    assert type(again) is kind
    assert str(again) == "what, where, what to do"
    assert again.exit_code == kind.exit_code


def test_a_job_is_about_as_large_as_its_table(run, tmp_path):
    with opened(tmp_path, "size") as store:
        job = ShardJob(run.inputs, EmbedShards(run.embedder), store.writer)
        table = run.embedder.folded.table
        table.derived["copy"] = np.zeros(10**7)
        try:
            assert len(pickle.dumps(job)) < table.vectors.nbytes + table.rank.nbytes + 100_000
        finally:
            del table.derived["copy"]
