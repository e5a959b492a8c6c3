"""What is written is what Zarr would write, and what anyone reads back."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import anndata
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import Crc32cCodec
from zarr.storage import MemoryStore

from lexicell.errors import CorruptDataError, InputError, OutputExistsError, PartialError
from lexicell.store import QUALITY, EmbeddingSink, Layout, Shard, ShardWriter, check_output, open_embedding
from lexicell.store.objects import open_objects
from lexicell.store.writer import WriterStore


def check(written, made) -> None:
    np.testing.assert_array_equal(written.obsm["X_lexicell"], made.all.vectors)
    assert written.obsm["X_lexicell"].dtype == made.layout.dtype
    for name in ("n_genes", "coverage", "n_tied"):
        np.testing.assert_array_equal(written.obs[f"lexicell_{name}"], getattr(made.all, name))
    assert written.obs_names.tolist() == made.cells.obs_names.tolist()
    assert written.obs["bulk_labels"].tolist() == made.cells.obs["bulk_labels"].tolist()
    assert written.uns["lexicell"] == made.uns


def test_anndata_and_open_embedding_read_what_was_written(whole, made):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The 'future.infer_string'")  # upstream
        check(anndata.read_zarr(whole), made)
    check(open_embedding(whole), made)


@pytest.mark.parametrize(
    "pipeline", ["zarr.core.codec_pipeline.BatchedCodecPipeline", "zarrs.ZarrsCodecPipeline"]
)
def test_zarr_and_zarrs_read_every_row(whole, made, pipeline):
    if pipeline.startswith("zarrs"):
        pytest.importorskip("zarrs")
    with zarr.config.set({"codec_pipeline.path": pipeline}):
        array = zarr.open_array(whole / "obsm" / "X_lexicell", mode="r")
        np.testing.assert_array_equal(array[:], made.all.vectors)
        for start in (0, 30, 100, 119):
            np.testing.assert_array_equal(array[start : start + 3], made.all.vectors[start : start + 3])
        column = zarr.open_array(whole / "obs" / "lexicell_coverage", mode="r")
        np.testing.assert_array_equal(column[:], made.all.coverage)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("n", [1, 63, 64, 100, 129])
def test_a_shard_has_the_bytes_that_zarr_would_give_it(tmp_path, dtype, n):
    layout = Layout(n, 5, dtype, 64, 16)
    rows = np.random.default_rng(n).standard_normal((n, 5)).astype(dtype)
    memory = MemoryStore()
    array = zarr.create_array(
        memory, shape=rows.shape, shards=(64, 5), chunks=(16, 5), dtype=dtype, compressors=[Crc32cCodec()],
        config={"write_empty_chunks": True}, fill_value=0,
    )  # fmt: skip
    array[:] = rows
    writer = ShardWriter(str(tmp_path / "work"), EmbeddingSink(layout))
    few = np.zeros(n, np.int32)
    for number in range(layout.n_shards):
        start, stop = layout.rows(number)
        writer.write(
            number,
            Shard(rows[start:stop], few[start:stop], few[start:stop].astype(np.float32), few[start:stop]),
        )
        ours = (tmp_path / "work" / "obsm" / "X_lexicell" / "c" / str(number) / "0").read_bytes()
        theirs = memory._store_dict[f"c/{number}/0"].to_bytes()
        used = -(-(stop - start) // 16)
        assert ours[: used * (16 * 5 * rows.itemsize + 4)] == theirs[: used * (16 * 5 * rows.itemsize + 4)]
        if used == 4:
            assert ours == theirs
        index = np.frombuffer(ours[-(4 * 16 + 4) : -4], "<u8").reshape(4, 2)
        assert (index[used:] == 2**64 - 1).all()  # what a chunk that is not there has


def test_chunks_of_zeros_are_written(whole, made):
    index = zarr.open_array(whole / "obsm" / "X_lexicell", mode="r").metadata.codecs[0]
    shard = (whole / "obsm" / "X_lexicell" / "c" / "1" / "0").read_bytes()
    offsets = np.frombuffer(shard[-(4 * 16 + 4) : -4], "<u8").reshape(4, 2)
    assert index.chunk_shape == (8, 16)
    assert (offsets[:, 1] == 8 * 16 * 2 + 4).all()
    assert not np.frombuffer(shard[260 : 260 + 256], np.uint8).any()


def test_writing_a_shard_never_reads_one(made, tmp_path, monkeypatch):
    read: list[str] = []
    get = WriterStore.get

    async def counted(self, key, prototype, byte_range=None):
        read.append(key)
        return await get(self, key, prototype, byte_range)

    monkeypatch.setattr(WriterStore, "get", counted)
    opened: list[str] = []
    monkeypatch.setattr("lexicell.store.objects.LocalObjects.get", lambda self, key: opened.append(key))
    with made.open(tmp_path / "out.zarr") as store:
        read.clear()
        opened.clear()
        for number in (3, 3, 0, 0):
            store.writer.write(number, made.shard(number))
        assert read == opened == []
        store.commit(store.writer.write(3, made.shard(3)))


def test_layouts_are_cut_by_shape_alone():
    of = Layout.of
    assert (of(2_700, 384, "float32").shard_rows, of(2_700, 384, "float32").n_shards) == (4096, 1)
    assert (of(1_000_000, 256, "float16").shard_rows, of(1_000_000, 256, "float16").n_shards) == (8192, 123)
    assert (of(100_000_000, 256, "float16").shard_rows, of(100_000_000, 256, "float16").n_shards) == (
        65536,
        1526,
    )
    assert of(100_000_000, 256, "float16").chunk_rows == 8192  # 4 MiB
    assert of(120, 384, "float32").chunk_rows == 128  # not much more than there is


@given(st.integers(1, 2**33), st.integers(1, 9000), st.sampled_from(["float16", "float32"]))
def test_shards_cover_all_rows_once(n_cells, dim, dtype):
    layout = Layout.of(n_cells, dim, dtype)
    assert layout.shard_rows % layout.chunk_rows == 0
    assert 4096 <= layout.shard_rows <= 65536
    assert layout.shard_rows == 4096 or layout.n_shards >= 64
    assert layout.shard_rows == 65536 or 2 * layout.shard_rows * 64 > n_cells
    assert layout.chunk_rows * dim * np.dtype(dtype).itemsize <= 4 << 20
    ends = [layout.rows(number) for number in (0, 1, layout.n_shards - 1) if number < layout.n_shards]
    assert ends[0][0] == 0
    assert ends[-1][1] == n_cells
    assert ends[-1][0] < n_cells
    with pytest.raises(ValueError, match="no shard"):
        layout.rows(layout.n_shards)


def test_a_writer_can_be_sent_to_another_process(made, tmp_path, content):
    with made.open(tmp_path / "out.zarr") as store:
        far = pickle.loads(pickle.dumps(store.writer))  # noqa: S301
        for number in store.pending:
            receipt = pickle.loads(pickle.dumps(far.write(number, made.shard(number))))  # noqa: S301
            store.commit(receipt)
        made.finish(store)
    check(anndata.read_zarr(tmp_path / "out.zarr"), made)


def test_a_shard_of_another_shape_or_type_is_refused(made, tmp_path):
    writer = ShardWriter(str(tmp_path), EmbeddingSink(made.layout))
    good = made.shard(0)
    for bad in (
        made.shard(3),
        Shard(good.vectors.astype(np.float32), good.n_genes, good.coverage, good.n_tied),
        Shard(good.vectors[:, :3], good.n_genes, good.coverage, good.n_tied),
        Shard(good.vectors, good.n_genes[1:], good.coverage, good.n_tied),
        Shard(good.vectors, good.n_genes, good.coverage.astype(np.float64), good.n_tied),
    ):
        with pytest.raises(ValueError, match="shard 0 is"):
            writer.write(0, bad)
    assert list(tmp_path.iterdir()) == []


def test_receipts_tell_what_the_report_of_a_run_needs(made, tmp_path):
    shard = made.shard(0)
    shard = Shard(shard.vectors, shard.n_genes * (np.arange(32) > 2), shard.coverage, shard.n_tied)
    receipt = ShardWriter(str(tmp_path), EmbeddingSink(made.layout)).write(0, shard)
    assert receipt.facts == {"n_empty": 3, "coverage": pytest.approx(float(shard.coverage.sum()))}
    assert sum(of.size for of in receipt.objects) == sum(
        p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()
    )


def test_an_unfinished_embedding_is_refused_or_says_which_rows_it_has(made, tmp_path):
    out = tmp_path / "out.zarr"
    made.begin(out, (1, 3))
    with pytest.raises(PartialError, match=r"2 of 4.*--resume"):
        open_embedding(out)
    some = open_embedding(out, allow_partial=True)
    present = some.obs["lexicell_present"].to_numpy()
    np.testing.assert_array_equal(np.flatnonzero(present), [*range(32, 64), *range(96, 120)])
    np.testing.assert_array_equal(some.obsm["X_lexicell"][present], made.all.vectors[present])
    assert not some.obsm["X_lexicell"][~present].any()
    np.testing.assert_array_equal(some.obs["lexicell_n_genes"][present], made.all.n_genes[present])
    assert some.obs_names[7] == "7"
    assert some.uns["lexicell"]["recipe"] == {"top_k": 40}


def test_a_damaged_shard_of_an_unfinished_embedding_is_not_read(made, tmp_path):
    made.begin(tmp_path / "out.zarr", (1, 3))
    shard = tmp_path / "out.zarr.partial" / "obsm" / "X_lexicell" / "c" / "3" / "0"
    data = bytearray(shard.read_bytes())
    data[20] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorruptDataError, match=r"obsm/X_lexicell/c/3/0.*\(changed\)"):
        open_embedding(tmp_path / "out.zarr", allow_partial=True)
    shard.unlink()
    assert open_embedding(tmp_path / "out.zarr", allow_partial=True).obs["lexicell_present"].sum() == 32


def test_a_finished_embedding_is_read_as_such_when_an_unfinished_one_would_do(whole, made):
    check(open_embedding(whole, allow_partial=True), made)


@pytest.mark.parametrize("name", ["out", "out.h5", "s3://bucket/out.h5ad", "out.zarr.zip"])
def test_an_output_has_one_of_two_endings(tmp_path, name):
    with pytest.raises(InputError, match=r"\.zarr.*URL.*\.h5ad"):
        check_output(name if "://" in name else tmp_path / name, overwrite=True)


@pytest.mark.parametrize(
    ("output", "data", "lost"),
    [
        ("s3://b/in.zarr", "s3://b/in.zarr/", True),
        ("s3://b/in.zarr", "s3://b/in.zarr/raw.zarr", True),
        ("s3://b/in.zarr/out.zarr", "s3://b/in.zarr", True),
        ("s3://b/in.zarr", "s3://b/in.zarr2", False),
        ("s3://b/in.zarr", "in.zarr", False),
    ],
)
def test_an_input_at_a_url_is_not_replaced_either(monkeypatch, output, data, lost):
    monkeypatch.setattr("lexicell.store.embedding.check_target", lambda place, mode: None)
    monkeypatch.setattr("lexicell.store.embedding.place_of", lambda target: None)
    if lost:
        with pytest.raises(InputError, match="is the input"):
            check_output(output, overwrite=True, data=data)
    else:
        assert check_output(output, overwrite=True, data=data) == output


def test_an_output_is_checked_before_anything_is_read(made, whole, tmp_path):
    out = tmp_path / "out.zarr"
    assert check_output(out, overwrite=False) == out
    made.begin(out)
    with pytest.raises(OutputExistsError, match=r"2 of 4.*--resume"):
        check_output(out, overwrite=False)
    check_output(out, overwrite=False, resume=True)
    check_output(out, overwrite=True)
    with pytest.raises(OutputExistsError, match=r"exists; .*overwrite"):
        check_output(whole, overwrite=False)
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "precious").touch()
    for resume in (False, True):
        with pytest.raises(OutputExistsError, match="not replaced"):
            check_output(tmp_path / "mine.zarr", overwrite=not resume, resume=resume)


def test_who_writes_many_shards_makes_only_folders_that_change_durable_again(made, tmp_path, monkeypatch):
    synced = []
    with made.open(tmp_path / "out.zarr") as store:
        root, objects = Path(store.writer.location), open_objects(store.writer.location)
        monkeypatch.setattr(
            "lexicell.store.objects.fsync",
            lambda path: synced.append(path.relative_to(root).as_posix()),
        )
        store.writer.write(0, made.shard(0), objects)
        assert {"obs", "obsm", "obsm/X_lexicell"} <= set(synced)
        synced.clear()
        store.writer.write(1, made.shard(1), objects)
        columns = [f"obs/{name}/c" for name in QUALITY]
        assert sorted(synced) == sorted([*columns, "obsm/X_lexicell/c", "obsm/X_lexicell/c/1"])
