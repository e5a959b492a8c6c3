"""``lexicell verify`` and ``lexicell gc``: what they find, what they leave alone, how they end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lexicell.cli import main
from lexicell.errors import CorruptDataError, InputError, PartialError
from lexicell.store import EmbeddingSink, Freed, create_store, gc, verify


@pytest.fixture
def lexicell(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in args])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return run


def files(folder: Path) -> dict[str, int]:
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}


def test_a_sound_store_is_counted(whole):
    told: list[tuple[int, int]] = []
    found = verify(whole, tick=lambda done, total: told.append((done, total)))
    expected = {key: size for key, size in files(whole).items() if key != ".lexicell/COMPLETE"}
    assert (found.objects, found.bytes, found.shards) == (len(expected), sum(expected.values()), 4)
    assert found.problems == found.extra == ()
    assert told == [(i + 1, len(expected)) for i in range(len(expected))]


def test_a_store_that_does_not_fit_together_is_seen_though_each_object_is_as_written(made, tmp_path):
    """Such a thing would be this package's own fault."""
    from lexicell.counts import open_counts
    from lexicell.store import QUALITY, write_obs

    out = tmp_path / "out.zarr"
    few = made.cells[:119].copy()
    with made.open(out) as store, open_counts(few) as source:
        made.commit(store, range(4))
        store.finish(lambda root: write_obs(root, source, ("bulk_labels",), present=QUALITY), made.uns)
    with pytest.raises(CorruptDataError, match=r"obs/_index/zarr\.json \(119.*120\)"):
        verify(out)


def test_an_unfinished_store_ends_with_3(made, tmp_path, lexicell):
    made.begin(tmp_path / "out.zarr", (0, 2, 3))
    with pytest.raises(PartialError, match=r"3 of 4.*--resume"):
        verify(tmp_path / "out.zarr")
    code, out, err = lexicell("verify", tmp_path / "out.zarr")
    assert (code, out) == (3, "")
    assert "3 of 4 shards are done" in err


def test_verify_on_the_command_line(whole, tmp_path, lexicell):
    store = shutil.copytree(whole, tmp_path / "out.zarr")
    n = verify(store).objects
    code, out, err = lexicell("verify", store)
    assert (code, err) == (0, "")
    assert f"{n} objects of 4 shards are as written" in out
    code, out, err = lexicell("verify", "--json", store)
    told = json.loads(out)
    assert (code, told["objects"], told["problems"]) == (0, n, [])
    assert told["gigabytes_per_second"] > 0
    (store / "mine").touch()
    assert "1 objects are not the store's, and do it no harm: mine" in lexicell("verify", store)[2]

    (store / "zarr.json").unlink()
    code, out, err = lexicell("verify", store)
    assert (code, out) == (4, "")
    assert "not as written, 1 of" in err
    code, out, err = lexicell("verify", "--json", store)
    assert (code, json.loads(out)["problems"]) == (4, [{"key": "zarr.json", "what": "missing"}])

    code, out, err = lexicell("verify", tmp_path / "absent.zarr")
    assert (code, out) == (2, "")
    assert "does not exist" in err


def littered(made, out: Path) -> int:
    """An unfinished run with two shards committed, and 4 objects that were not."""
    made.begin(out)
    work = out.with_name(f"{out.name}.partial")
    for key in (
        "obsm/X_lexicell/c/3/0",
        "obs/lexicell_n_genes/c/3",
        ".lexicell/tmp/x.1-ab",
        ".lexicell/tmp/y.1-ab",
    ):
        (work / key).parent.mkdir(parents=True, exist_ok=True)
        (work / key).write_bytes(b"12345")
    return 4


def test_gc_removes_what_was_not_committed_and_the_run_goes_on(made, whole, tmp_path, content):
    out = tmp_path / "out.zarr"
    n = littered(made, out)
    before = files(tmp_path)
    assert gc(out) == Freed(n, 5 * n)
    assert before.keys() - files(tmp_path).keys() == {
        f"out.zarr.partial/{key}"
        for key in (
            "obsm/X_lexicell/c/3/0",
            "obs/lexicell_n_genes/c/3",
            ".lexicell/tmp/x.1-ab",
            ".lexicell/tmp/y.1-ab",
        )
    }
    assert gc(out) == Freed(0, 0)
    made.write(out, "resume")
    assert content(out) == content(whole)


def test_gc_removes_a_whole_run_when_it_is_told_to(made, tmp_path):
    out = tmp_path / "out.zarr"
    littered(made, out)
    sizes = files(tmp_path)
    freed = gc(out, everything=True)
    assert freed.objects == len(sizes)
    assert list(tmp_path.iterdir()) == []


def test_gc_does_not_touch_a_finished_store(whole, tmp_path):
    store = shutil.copytree(whole, tmp_path / "out.zarr")
    before = files(tmp_path)
    assert gc(store) == gc(store, everything=True) == Freed(0, 0)
    assert files(tmp_path) == before


def test_gc_does_not_touch_a_store_that_is_finished_but_for_its_name(made, whole, tmp_path, content):
    out = tmp_path / "out.zarr"
    shutil.copytree(whole, tmp_path / "out.zarr.partial")
    assert gc(out) == Freed(0, 0)
    with pytest.raises(InputError, match="--resume"):
        gc(out, everything=True)
    with made.open(out, "resume") as store:
        assert store.complete
    assert content(out) == content(whole)


def test_gc_leaves_a_living_run_alone(made, tmp_path):
    out = tmp_path / "out.zarr"
    with made.open(out) as store:
        made.commit(store, (0,))
        for everything in (False, True):
            with pytest.raises(InputError, match="by process"):
                gc(out, everything=everything)
        made.commit(store, (1,))


def test_gc_removes_what_other_versions_left_but_never_the_only_copy(whole, tmp_path, lexicell):
    out = tmp_path / "out.zarr"
    for name in (
        ".out.zarr.0123abcd.partial",
        ".out.zarr.89abcdef.old",
        ".out.zarr.toolong12.old",
        ".other.zarr.0123abcd.old",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("12345")
    assert gc(out) == Freed(1, 5, kept=(str(tmp_path / ".out.zarr.89abcdef.old"),))
    code, _, err = lexicell("gc", out)
    assert code == 0
    assert ".out.zarr.89abcdef.old is kept: it is the store that was being replaced" in err
    shutil.copytree(whole, out)
    assert gc(out) == Freed(1, 5)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".other.zarr.0123abcd.old",
        ".out.zarr.toolong12.old",
        "out.zarr",
    ]


def test_gc_on_the_command_line(made, tmp_path, lexicell):
    littered(made, tmp_path / "out.zarr")
    code, out, err = lexicell("gc", tmp_path / "out.zarr")
    assert (code, err) == (0, "")
    assert "4 objects removed" in out
    code, out, _ = lexicell("gc", "--all", "--json", tmp_path / "out.zarr")
    assert code == 0
    assert json.loads(out)["objects"] > 8
    assert list(tmp_path.iterdir()) == []
    assert lexicell("gc", tmp_path / "out.zarr")[0] == 0


def test_an_embedding_of_one_shard_is_a_store_too(made, tmp_path):
    layout = replace(made.layout, shard_rows=4096, chunk_rows=128)
    one = replace(made, layout=layout)
    one.write(tmp_path / "out.zarr")
    assert verify(tmp_path / "out.zarr").shards == 1
    with create_store(tmp_path / "out.zarr", EmbeddingSink(layout), made.identity, mode="resume") as store:
        assert store.complete
