"""Runs of several shards: whoever makes them, the store is the same; what fails leaves what is done."""

from __future__ import annotations

import threading
from pathlib import Path

import anndata
import numpy as np
import pytest
from tests.torture.campaign import content

import lexicell
from lexicell.embedding import Advanced, Committed, Note, Started, pipeline
from lexicell.errors import CountsError, InputError, OutputExistsError, PartialError, WriteError

LABEL = ("bulk_labels",)


@pytest.fixture(scope="module")
def whole(many_file, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out.zarr"
    lexicell.embed(many_file, out, top_k=40, obs_columns=LABEL)
    return out


def failing(monkeypatch, error: BaseException, calls: int) -> None:
    """Let the kernel raise after so many blocks; before them it is called for the probe."""
    embed_rows, lock, seen = pipeline.embed_rows, threading.Lock(), -1

    def embed(*args, **options):
        nonlocal seen
        with lock:
            seen += 1
            if seen > calls:
                raise error
        return embed_rows(*args, **options)

    monkeypatch.setattr(pipeline, "embed_rows", embed)


def test_a_store_of_several_shards_holds_what_the_same_cells_in_memory_get(many, whole):
    written = anndata.read_zarr(whole)
    some = many.copy()
    lexicell.tl.embed(some, top_k=40)
    np.testing.assert_array_equal(written.obsm["X_lexicell"], some.obsm["X_lexicell"])
    for name in ("lexicell_n_genes", "lexicell_coverage", "lexicell_n_tied"):
        np.testing.assert_array_equal(written.obs[name], some.obs[name])
    assert written.obs_names.tolist() == many.obs_names.tolist()
    assert written.obs["bulk_labels"].tolist() == many.obs["bulk_labels"].tolist()


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_the_number_of_workers_does_not_show(many_file, whole, tmp_path, workers):
    lexicell.embed(many_file, tmp_path / "out.zarr", top_k=40, obs_columns=LABEL, workers=workers)
    assert content(tmp_path / "out.zarr") == content(whole)


def test_progress_adds_up(many_file, tmp_path):
    told: list[object] = []
    lexicell.embed(many_file, tmp_path / "out.zarr", top_k=40, workers=2, listener=told.append)
    assert [event for event in told if isinstance(event, Started)] == [Started(14_000, 0, 4, 2)]
    advanced = [event for event in told if isinstance(event, Advanced)]
    assert [event.done for event in advanced] == sorted(event.done for event in advanced)
    assert (advanced[-1].done, advanced[-1].total) == (14_000, 14_000)
    assert advanced[-1].decoded > 14_000 * 100
    committed = [event for event in told if isinstance(event, Committed)]
    assert [(event.done, event.total) for event in committed] == [(i, 4) for i in range(1, 5)]
    assert {event.shard for event in committed} == {0, 1, 2, 3}


def test_a_full_disk_keeps_what_is_done_and_a_resumed_run_gives_the_same_bytes(
    many_file, whole, tmp_path, monkeypatch
):
    from lexicell.store import ShardWriter

    write, out, told = ShardWriter.write, tmp_path / "out.zarr", []

    def full(self, number, shard, *more):
        if number == 2:
            raise WriteError("No space left on device")
        return write(self, number, shard, *more)

    with monkeypatch.context() as patched:
        patched.setattr(ShardWriter, "write", full)
        with pytest.raises(PartialError, match=r"No space left.*2 of 4.*--resume"):
            lexicell.embed(many_file, out, top_k=40, obs_columns=LABEL, workers=1)
    assert not out.exists()
    with pytest.raises(OutputExistsError, match=r"2 of 4.*--resume.*--overwrite"):
        lexicell.embed(many_file, out, top_k=40, obs_columns=LABEL)
    done = lexicell.embed(many_file, out, top_k=40, obs_columns=LABEL, resume=True, listener=told.append)
    assert done.resumed_cells == 2 * 4096
    assert [event for event in told if isinstance(event, Started)] == [Started(14_000, 8192, 2, 2)]
    assert content(out) == content(whole)
    reference = anndata.read_zarr(whole)
    assert done.coverage == pytest.approx(float(reference.obs["lexicell_coverage"].mean()), rel=1e-6)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"top_k": 41}, "top_k"),
        ({"weight": "rank"}, "weight"),
        ({"dtype": "f16"}, "dtype"),
        ({"obs_columns": ()}, "obs_columns"),
        ({"mask_genes": ("name-only",)}, "mask"),
        ({"recipe": "genept-w", "top_k": None}, "recipe"),
    ],
)
def test_a_run_is_not_continued_as_another(many_file, tmp_path, monkeypatch, changed, field):
    options = {"top_k": 40, "obs_columns": LABEL}
    half(many_file, tmp_path / "out.zarr", monkeypatch, **options)
    with pytest.raises(InputError, match=field):
        lexicell.embed(many_file, tmp_path / "out.zarr", **{**options, **changed}, resume=True)


def half(data, out: Path, monkeypatch, **options) -> None:
    """Leave a run of which one shard is done."""
    with monkeypatch.context() as patched:
        failing(patched, MemoryError("no more"), 1)
        with pytest.raises(MemoryError):
            lexicell.embed(data, out, workers=1, **options)
    assert Path(f"{out}.partial").is_dir()


def test_a_run_is_not_continued_with_another_input(many, tmp_path, monkeypatch):
    data, out = tmp_path / "data.h5ad", tmp_path / "out.zarr"
    many.write_h5ad(data)
    half(data, out, monkeypatch, top_k=40)
    changed = many.copy()
    changed.X.data[9_000_00] += 1
    changed.write_h5ad(data)
    with pytest.raises(InputError, match=r"input\.state"):
        lexicell.embed(data, out, top_k=40, resume=True)


def test_a_bad_count_ends_the_run_with_its_name_and_leaves_nothing_of_a_first_shard(many, tmp_path):
    bad = many.copy()
    bad.X.data[bad.X.indptr[13_000]] = -1
    bad.write_h5ad(tmp_path / "bad.h5ad")
    with pytest.raises(CountsError, match=r"'cell13000' \(row 13000\).*-1.0"):
        lexicell.embed(tmp_path / "bad.h5ad", tmp_path / "out.zarr", values="counts", workers=8)


def test_an_interrupt_ends_all_threads_and_keeps_what_is_done(many_file, whole, tmp_path):
    out, told = tmp_path / "out.zarr", []

    def listener(event: object) -> None:
        told.append(event)
        if isinstance(event, Committed) and event.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lexicell.embed(many_file, out, top_k=40, obs_columns=LABEL, workers=2, listener=listener)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lexicell-shard")]
    assert "2 of 4 shards are kept" in [event.text for event in told if isinstance(event, Note)][-1]
    lexicell.embed(many_file, out, top_k=40, obs_columns=LABEL, resume=True)
    assert content(out) == content(whole)


def test_what_is_in_memory_leaves_nothing_when_it_fails(many, tmp_path):
    def listener(event: object) -> None:
        if isinstance(event, Committed):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lexicell.embed(many, tmp_path / "out.zarr", top_k=40, listener=listener)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="in memory"):
        lexicell.embed(many, tmp_path / "out.zarr", top_k=40, resume=True)


def test_resuming_a_finished_run_changes_nothing(many_file, whole, tmp_path):
    out = tmp_path / "out.zarr"
    for _ in range(2):
        done = lexicell.embed(many_file, out, top_k=40, obs_columns=LABEL, resume=True)
    assert done.resumed_cells == 14_000
    assert content(out) == content(whole)


def test_one_of_resume_and_overwrite(many_file, tmp_path):
    with pytest.raises(InputError, match="give one of them"):
        lexicell.embed(many_file, tmp_path / "out.zarr", resume=True, overwrite=True)
    with pytest.raises(InputError, match="only a run to a"):
        lexicell.embed(many_file, tmp_path / "out.h5ad", resume=True)
