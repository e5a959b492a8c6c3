"""What is committed stays, what is not is done again, and a store has its name when it is complete."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
from blake3 import blake3

from lexicell.errors import CorruptDataError, InputError, OutputExistsError, PartialError, WriteError
from lexicell.store import PASSING, begun, gc, open_embedding, steps, verify
from lexicell.store.journal import open_journal
from lexicell.store.objects import LocalObjects
from lexicell.store.units import FORMAT, seal, unseal


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def receipt(store: Path, number: int) -> Path:
    return store / ".lexicell" / "units" / f"{number:06}.json"


def test_a_store_has_its_name_only_when_it_is_complete(made, whole, tmp_path, content):
    out = tmp_path / "out.zarr"
    with made.open(out) as store:
        assert store.pending == [0, 1, 2, 3]
        made.commit(store, (2, 0, 3, 1))
        assert names(tmp_path) == ["out.zarr.partial"]
        assert not (tmp_path / "out.zarr.partial" / "zarr.json").exists()
        made.finish(store)
        assert store.complete
    assert names(tmp_path) == ["out.zarr"]
    assert content(out) == content(whole)
    assert names(out / ".lexicell") == ["COMPLETE", "run.json", "units"]
    assert names(out / ".lexicell" / "units") == [f"{number:06}.json" for number in range(4)]


def test_a_receipt_tells_what_a_shard_is(whole):
    told = json.loads(receipt(whole, 2).read_bytes())
    assert told["unit"] == 2
    assert {key for key, _, _ in told["objects"]} == {
        "obsm/X_lexicell/c/2/0",
        *(f"obs/lexicell_{name}/c/2" for name in ("coverage", "n_genes", "n_tied")),
    }
    assert told["facts"].keys() == {"n_empty", "coverage"}
    assert all((whole / key).stat().st_size == size for key, size, _ in told["objects"])


def test_nothing_is_left_of_a_run_that_committed_nothing(made, tmp_path):
    with made.open(tmp_path / "deep" / "out.zarr") as store:
        store.writer.write(0, made.shard(0))
    assert names(tmp_path / "deep") == []


def test_nothing_is_left_where_nothing_is_to_be_kept(made, tmp_path):
    from lexicell.store import EmbeddingSink, create_store

    with create_store(tmp_path / "out.zarr", EmbeddingSink(made.layout), {}, mode="new", keep=False) as store:
        made.commit(store, (0, 1))
    assert names(tmp_path) == []


def test_a_run_goes_on_where_another_ended(made, whole, tmp_path, content):
    out = tmp_path / "out.zarr"
    made.begin(out, (1, 3))
    with made.open(out, "resume") as store:
        assert store.pending == [0, 2]
        assert store.facts.keys() == {1, 3}
        made.commit(store, (2,))
    with made.open(out, "resume") as store:
        assert store.pending == [0]
        made.commit(store, store.pending)
        made.finish(store)
    assert content(out) == content(whole)


def test_facts_of_a_shard_are_kept(made, tmp_path):
    out = tmp_path / "out.zarr"
    with made.open(out) as store:
        receipt = store.writer.write(1, made.shard(1))
        store.commit(receipt)
    with made.open(out, "resume") as store:
        assert store.facts == {1: receipt.facts}


def test_a_run_to_nothing_begins_with_resume_too(made, whole, tmp_path, content):
    made.write(tmp_path / "out.zarr", "resume")
    assert content(tmp_path / "out.zarr") == content(whole)


def test_a_new_run_does_not_take_the_place_of_an_unfinished_one(made, tmp_path):
    out = tmp_path / "out.zarr"
    made.begin(out, (0, 1, 2))
    with pytest.raises(OutputExistsError, match=r"3 of 4.*--resume.*--overwrite"):
        made.write(out)
    with made.open(out, "resume") as store:
        assert store.pending == [3]


def test_a_new_run_takes_the_place_of_one_that_had_done_nothing(made, whole, tmp_path, content):
    work = tmp_path / "out.zarr.partial" / ".lexicell"
    work.mkdir(parents=True)
    (work / "run.json").write_bytes(seal({"format": FORMAT, "total": 9, "identity": {}}))
    (tmp_path / "out.zarr.partial" / "junk").touch()
    made.write(tmp_path / "out.zarr")
    assert content(tmp_path / "out.zarr") == content(whole)


def test_overwriting_begins_again_and_replaces_the_old_store_at_the_end(made, whole, tmp_path, content):
    out = tmp_path / "out.zarr"
    shutil.copytree(whole, out)
    (out / "mine").touch()
    with made.open(out, "overwrite") as store:
        made.commit(store, range(4))
        assert (out / "mine").exists()
        made.finish(store)
    assert names(tmp_path) == ["out.zarr"]
    assert content(out) == content(whole)


def test_an_overwriting_run_goes_on_although_the_old_store_is_there(made, whole, tmp_path, content):
    out = tmp_path / "out.zarr"
    shutil.copytree(whole, out)
    (out / "mine").touch()
    with made.open(out, "overwrite", lexicon="b2") as store:
        made.commit(store, (0,))
    with made.open(out, "resume", lexicon="b2") as store:
        assert store.pending == [1, 2, 3]
        made.commit(store, store.pending)
        made.finish(store)
    assert not (out / "mine").exists()
    assert unseal((out / ".lexicell" / "run.json").read_bytes())["identity"]["lexicon"] == "b2"


def test_an_interrupt_between_the_two_names_keeps_the_old_store(made, whole, tmp_path, monkeypatch):
    out = tmp_path / "out.zarr"
    shutil.copytree(whole, out)
    (out / "mine").touch()
    rename = Path.rename

    def interrupted(self, target):
        if self.name == "out.zarr.partial":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.write(out, "overwrite")
    assert (out / "mine").exists()
    made.write(out, "resume")
    assert not (out / "mine").exists()
    assert names(tmp_path) == ["out.zarr"]


def test_a_store_that_appears_meanwhile_is_not_replaced(made, tmp_path):
    out = tmp_path / "out.zarr"
    with made.open(out) as store:
        made.commit(store, range(4))
        out.mkdir()
        (out / "mine").touch()
        with pytest.raises(OutputExistsError, match="has appeared meanwhile"):
            made.finish(store)
    assert names(out) == ["mine"]
    shutil.rmtree(out)
    made.write(out, "resume")
    assert names(tmp_path) == ["out.zarr"]


def test_resuming_a_complete_store_has_nothing_to_do(made, whole, tmp_path, content):
    out = tmp_path / "out.zarr"
    shutil.copytree(whole, out)
    (out / ".lexicell" / "lock").touch()  # a process that was killed before it could remove it
    with made.open(out, "resume") as store:
        assert store.complete
        assert store.pending == []
        assert store.facts.keys() == {0, 1, 2, 3}
    assert content(out) == content(whole)
    assert names(tmp_path) == ["out.zarr"]
    with (
        pytest.raises(InputError, match=r"'a1'.*'b2'"),
        made.open(out, "resume", lexicon="b2"),
    ):
        pass
    (out / ".lexicell" / "COMPLETE").unlink()
    with pytest.raises(CorruptDataError, match="COMPLETE"), made.open(out, "resume"):
        pass


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"lexicon": "b2"}, r"other lexicon \('a1' before, 'b2' now\): give the same"),
        ({"recipe": {"top_k": 41}}, r"other recipe\.top_k \(40 before, 41 now\)"),
        ({"recipe": {}}, r"other recipe\.top_k \(40 before, nothing now\)"),
        ({"lexicon": "b2", "more": 1}, r"lexicon \('a1' .*; more \(nothing before, 1 now\)"),
        ({"lexicon": "x" * 300}, r"'x{76}\.\.\. now\)"),
    ],
)
def test_a_run_goes_on_only_as_itself(made, tmp_path, changed, told):
    out = tmp_path / "out.zarr"
    made.begin(out)
    with pytest.raises(InputError, match=told), made.open(out, "resume", **changed):
        pass
    with made.open(out, "resume") as store:
        assert store.pending == [2, 3]


def test_another_layout_is_another_run(made, tmp_path):
    from dataclasses import replace

    made.begin(tmp_path / "out.zarr")
    other = replace(made, layout=replace(made.layout, chunk_rows=16))
    with pytest.raises(InputError, match=r"layout\.chunk_rows \(8.*16"):
        other.write(tmp_path / "out.zarr", "resume")


@pytest.mark.parametrize("damage", ["torn", "empty", "flipped", "another's", "gone"])
def test_a_damaged_receipt_costs_its_shard_only(made, whole, tmp_path, content, damage):
    out = tmp_path / "out.zarr"
    made.begin(out, (0, 1, 2))
    path = receipt(tmp_path / "out.zarr.partial", 1)
    full = path.read_bytes()
    cuts = [full[:size] for size in range(0, len(full), 7)]
    flips = [full[:at] + bytes([full[at] ^ 1]) + full[at + 1 :] for at in range(0, len(full), 7)]
    other = receipt(tmp_path / "out.zarr.partial", 0).read_bytes()
    for left in {"torn": cuts, "empty": [b""], "flipped": flips, "another's": [other], "gone": [None]}[
        damage
    ]:
        path.unlink(missing_ok=True)
        if left is not None:
            path.write_bytes(left)
        assert begun(out).pending
        with pytest.raises(PartialError, match="2 of 4"):
            verify(out)
    with made.open(out, "resume") as store:
        assert store.facts.keys() == {0, 2}
        assert not path.exists()
        made.commit(store, store.pending)
        made.finish(store)
    assert content(out) == content(whole)


@pytest.mark.parametrize("damage", ["deleted", "shorter"])
def test_a_committed_shard_that_is_gone_is_made_again(made, whole, tmp_path, content, damage):
    out = tmp_path / "out.zarr"
    made.begin(out, (0, 1, 2))
    shard = tmp_path / "out.zarr.partial" / "obsm" / "X_lexicell" / "c" / "1" / "0"
    if damage == "deleted":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-1])
    with made.open(out, "resume") as store:
        assert store.pending == [1, 3]
        made.commit(store, store.pending)
        made.finish(store)
    assert content(out) == content(whole)


def test_what_was_written_and_not_committed_is_made_again(made, whole, tmp_path, content, monkeypatch):
    out = tmp_path / "out.zarr"

    class Killed(BaseException):
        pass

    def kill(name):
        if name == "data-fsynced":
            raise Killed

    with made.open(out) as store:
        made.commit(store, (0,))
        store.writer.write(2, made.shard(2))  # on disk, and never committed
        with monkeypatch.context() as patched:
            patched.setattr(steps, "step", kill)
            with pytest.raises(Killed):
                store.writer.write(1, made.shard(1))
    work = tmp_path / "out.zarr.partial"
    with made.open(out, "resume") as store:
        assert store.pending == [1, 2, 3]
        assert names(work / "obsm" / "X_lexicell" / "c") == ["0"]
        assert names(work / ".lexicell" / "tmp") == []
    made.write(out, "resume")
    assert content(out) == content(whole)


def test_a_run_that_ends_while_it_tidies_up_makes_no_unit_again(tmp_path, content, monkeypatch):
    """What a store is put together of goes when that is complete, and not before."""
    real = LocalObjects.delete

    class Killed(BaseException):
        pass

    def run(out):
        with open_journal(out, {}, total=2, mode="new") as journal:
            for unit in range(2):
                journal.store.put(f"{PASSING}/{unit}", (b"part",))
                journal.commit(unit, journal.store.take(), {"unit": unit})
            journal.store.put("whole", (b"parts",))
            journal.finish()

    run(tmp_path / "whole")
    assert names(tmp_path / "whole" / ".lexicell") == ["COMPLETE", "run.json", "units"]
    for n in range(2):
        out, deleted = tmp_path / f"out{n}", []

        def delete(objects, key, n=n, deleted=deleted):
            if len(deleted) == n:
                raise Killed
            deleted.append(key)
            real(objects, key)

        with monkeypatch.context() as patched:
            patched.setattr(LocalObjects, "delete", delete)
            with pytest.raises(Killed):
                run(out)
        with open_journal(out, {}, total=2, mode="resume") as journal:
            assert journal.complete
            assert journal.done == {0: {"unit": 0}, 1: {"unit": 1}}
        assert content(out) == content(tmp_path / "whole")


def as_of_the_format_before(store: Path) -> None:
    """Give a store a ledger in place of receipts, as runs of format 1 wrote it."""
    shutil.rmtree(store / ".lexicell" / "units")
    (store / ".lexicell" / "ledger.jsonl").write_text("{}\n")
    for name in ("run.json", "COMPLETE"):
        if (path := store / ".lexicell" / name).exists():
            content = unseal(path.read_bytes())
            content["format"] = 1
            if name == "COMPLETE":
                content["objects"] = [of for of in content["objects"] if "/units/" not in of[0]]
            path.write_bytes(seal(content))


def test_a_run_of_another_format_is_neither_continued_nor_lost(made, whole, tmp_path, content):
    out = tmp_path / "out.zarr"
    made.begin(out, (0, 1))
    work = tmp_path / "out.zarr.partial"
    as_of_the_format_before(work)
    before = content(work)
    for mode in ("new", "resume"):
        with pytest.raises(InputError, match=r"format 1, not 2.*--overwrite") as refused:
            made.write(out, mode)
        assert "\n" not in str(refused.value)
    for act in (gc, verify, partial(open_embedding, allow_partial=True)):
        with pytest.raises(InputError, match="format 1, not 2"):
            act(out)
    assert {key: data for key, data in content(work).items() if key != ".lexicell/lock"} == {
        key: data for key, data in before.items() if key != ".lexicell/lock"
    }
    made.write(out, "overwrite")
    assert content(out) == content(whole)


def test_a_store_of_the_format_before_is_read_and_verified(made, whole, tmp_path):
    out = tmp_path / "out.zarr"
    shutil.copytree(whole, out)
    as_of_the_format_before(out)
    changed = {key: w for key in (".lexicell/run.json",) for w in [(out / key).read_bytes()]}
    manifest = unseal((out / ".lexicell" / "COMPLETE").read_bytes())
    manifest["objects"] = [
        [key, len(changed[key]), blake3(changed[key]).hexdigest()] if key in changed else [key, size, hashed]
        for key, size, hashed in manifest["objects"]
    ]
    (out / ".lexicell" / "COMPLETE").write_bytes(seal(manifest))
    assert verify(out).extra == (".lexicell/ledger.jsonl",)
    assert open_embedding(out).shape == open_embedding(whole).shape
    with pytest.raises(InputError, match="nothing to go on with"):
        made.write(out, "resume")


def test_what_no_run_wrote_does_not_get_into_the_store(made, whole, tmp_path, content):
    out = tmp_path / "out.zarr"
    made.begin(out)
    work = tmp_path / "out.zarr.partial"
    (work / "obs" / "old").mkdir()
    (work / "obs" / "old" / "zarr.json").write_text("{}")
    (work / "obsm" / "X_lexicell" / "c" / "77").mkdir()
    (work / "obsm" / "X_lexicell" / "c" / "77" / "0").write_text("x")
    made.write(out, "resume")
    assert content(out) == content(whole)


def test_what_a_process_that_was_taken_for_dead_still_writes_does_not_get_into_the_store(
    made, whole, tmp_path, content
):
    out = tmp_path / "out.zarr"
    with made.open(out) as store:
        made.commit(store, range(4))
        (tmp_path / "out.zarr.partial" / "obsm" / "X_lexicell" / "c" / "9").mkdir()
        (tmp_path / "out.zarr.partial" / "obsm" / "X_lexicell" / "c" / "9" / "0").write_text("x")
        made.finish(store)
    assert content(out) == content(whole)


def test_units_are_committed_once_and_completely(tmp_path):
    with open_journal(tmp_path / "out.zarr", {}, total=2, mode="new") as journal:
        journal.store.put("a", (b"x",))
        written = journal.store.take()
        assert [of.key for of in written] == ["a"]
        assert journal.store.take() == ()
        journal.commit(0, written, {})
        for unit in (0, 2, -1):
            with pytest.raises(ValueError, match="can't be committed"):
                journal.commit(unit, (), {})
        with pytest.raises(ValueError, match="1 of 2 units"):
            journal.finish()


def test_a_folder_that_happens_to_be_in_the_way_is_not_used(made, tmp_path):
    (tmp_path / "out.zarr.partial").mkdir()
    (tmp_path / "out.zarr.partial" / "precious").touch()
    for mode in ("new", "resume", "overwrite"):
        with pytest.raises(OutputExistsError, match="no unfinished run"):
            made.write(tmp_path / "out.zarr", mode)
    assert names(tmp_path / "out.zarr.partial") == ["precious"]


def test_a_parent_that_is_a_file_is_one_sentence(made, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"file/out\.zarr\.partial.*\(Not a directory\)"):
        made.write(tmp_path / "file" / "out.zarr")


WRITER = textwrap.dedent("""
    import sys, time
    from lexicell.store.journal import open_journal
    with open_journal(sys.argv[1], {}, total=2, mode="new") as journal:
        journal.store.put("a", (b"x",))
        journal.commit(0, journal.store.take(), {})
        print("ready", flush=True)
        time.sleep(60)
""")


@pytest.mark.slow
def test_two_processes_never_write_at_once_and_a_killed_one_is_no_obstacle(tmp_path):
    out = tmp_path / "out.zarr"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(out)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for mode in ("resume", "overwrite"):
            with (
                pytest.raises(InputError, match=rf"{other.pid}"),
                open_journal(out, {}, total=2, mode=mode),
            ):
                pass
        other.kill()
    with open_journal(out, {}, total=2, mode="resume") as journal:
        assert journal.done.keys() == {0}
        with (
            pytest.raises(InputError, match="is being written"),
            open_journal(out, {}, total=2, mode="resume"),
        ):
            pass


def test_an_error_in_the_middle_of_a_receipt_does_not_cost_the_next_ones(tmp_path, monkeypatch):
    out = tmp_path / "out.zarr"

    def full(name):
        if name == "data-temp-written":
            raise OSError(28, "No space left on device")

    with open_journal(out, {}, total=3, mode="new") as journal:
        journal.commit(0, (), {})
        with monkeypatch.context() as patched:
            patched.setattr(steps, "step", full)
            with pytest.raises(WriteError, match="No space left"):
                journal.commit(1, (), {})
        assert journal.done.keys() == {0}
        journal.commit(2, (), {})
    with open_journal(out, {}, total=3, mode="resume") as journal:
        assert journal.done.keys() == {0, 2}


def test_sealed_content_is_read_back_or_not_at_all():
    content = {"a": [1, 2.5, None, "ü \n\r"], "b": {"blake3": '","blake3":"'}}
    data = seal(content)
    assert unseal(data) == content
    assert unseal(None) is None
    assert unseal(b"") is None
    assert unseal(b"[1]") is None
    for i in range(len(data)):
        assert unseal(data[:i]) is None
        assert unseal(data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]) is None


def test_a_receipt_that_another_run_left_is_none(made, whole, tmp_path):
    """A process that was taken for dead may wake up when another run has the place."""
    out = tmp_path / "out.zarr"
    made.begin(out, (0, 1))
    unfinished = Path(f"{out}.partial")
    foreign = receipt(unfinished, 1).read_bytes()
    with made.open(out, "overwrite", recipe={"top_k": 8}) as store:
        made.commit(store, (0,))
    receipt(unfinished, 1).write_bytes(foreign)
    for name, _, _ in json.loads(foreign)["objects"]:
        (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
        (unfinished / name).write_bytes((whole / name).read_bytes())
    with made.open(out, "resume", recipe={"top_k": 8}) as store:
        assert store.pending == [1, 2, 3]


def test_a_run_that_is_complete_but_for_its_name_is_not_begun_anew(tmp_path):
    out = tmp_path / "out.zarr"
    with open_journal(out, {"of": "parts"}, total=2, mode="new") as journal:
        for unit in range(2):
            journal.store.put(f"{PASSING}/{unit}", (b"part",))
            journal.commit(unit, journal.store.take(), {})
        out.mkdir()
        (out / "file").touch()
        with pytest.raises(OutputExistsError):
            journal.finish()
    shutil.rmtree(out)
    found = begun(out)
    assert found is not None
    assert not found.pending
    other = open_journal(out, {"of": "other parts"}, total=2, mode="new")
    with pytest.raises(OutputExistsError), other:
        pass
    with open_journal(out, {"of": "parts"}, total=2, mode="resume") as journal:
        assert journal.complete
    assert out.is_dir()
