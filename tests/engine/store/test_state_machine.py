"""Any order of writing, crashing, tearing, resuming, verifying and cleaning, against a simple model."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lexicell.errors import InputError, OutputExistsError, PartialError
from lexicell.store import ShardedStore, gc, open_embedding, verify


class Crash(BaseException):
    """Leaves a block as a process does that is killed: nothing is tidied up."""


@pytest.fixture
def machine(made, whole, content, monkeypatch):
    """The machine, over an embedding of four shards."""

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.folder = Path(tempfile.mkdtemp(prefix="lexicell-machine-"))
            self.out = self.folder / "out.zarr"
            self.work = self.folder / "out.zarr.partial"
            self.block = ExitStack()
            self.store: ShardedStore | None = None
            self.journaled: set[int] = set()  # shards that are committed, and there
            self.finished = False

        def teardown(self) -> None:
            if self.store is not None:
                self.crash()
            shutil.rmtree(self.folder)

        def receipt(self, number: int) -> Path:
            return self.work / ".lexicell" / "units" / f"{number:06}.json"

        def entered(self, mode: str) -> None:
            self.block = ExitStack()
            self.store = self.block.enter_context(made.open(self.out, mode))

        @initialize()
        def begin(self) -> None:
            self.entered("new")

        @precondition(lambda self: self.store is None and not self.finished)
        @rule()
        def resume(self) -> None:
            self.entered("resume")
            assert self.store is not None
            assert self.store.facts.keys() == self.journaled
            assert self.store.pending == [i for i in range(4) if i not in self.journaled]

        @precondition(lambda self: self.store is None and self.journaled)
        @rule()
        def resume_as_another(self) -> None:
            with (
                pytest.raises(InputError, match="other lexicon"),
                made.open(self.out, "resume", lexicon="b2"),
            ):
                pass

        @precondition(lambda self: self.store is None and self.journaled and not self.finished)
        @rule()
        def begin_anew_is_refused(self) -> None:
            with pytest.raises(OutputExistsError, match=f"{len(self.journaled)} of 4"):
                made.write(self.out)

        @precondition(lambda self: self.store is None and not self.finished)
        @rule()
        def overwrite(self) -> None:
            self.entered("overwrite")
            self.journaled = set()

        @precondition(lambda self: self.store is not None and self.store.pending)
        @rule(data=st.data(), twice=st.booleans())
        def write(self, data: st.DataObject, twice: bool) -> None:
            assert self.store is not None
            number = data.draw(st.sampled_from(self.store.pending))
            for _ in range(1 + twice):
                receipt = self.store.writer.write(number, made.shard(number))
            self.store.commit(receipt)
            self.journaled.add(number)

        @precondition(lambda self: self.store is not None)
        @rule(number=st.integers(0, 3), part=st.sampled_from(["data", "temporary"]))
        def write_and_never_commit(self, number: int, part: str) -> None:
            """A worker that dies between two steps."""
            if part == "data" and self.store is not None and number in self.store.pending:
                self.store.writer.write(number, made.shard(number))
            else:
                (self.work / ".lexicell" / "tmp" / f"obs!x!c!{number}.9-ab").write_bytes(b"half")

        @precondition(lambda self: self.store is not None)
        @rule()
        def crash(self) -> None:
            """End without what a block does when it is left; the system gives back the lock."""
            assert self.store is not None
            journal = self.store._journal
            journal._place.lock.release()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(journal._place, "discard", lambda: None)
                self.block.close()
            self.store = None

        @precondition(lambda self: self.store is not None)
        @rule()
        def leave(self) -> None:
            """End as an error does that the process survives."""
            with pytest.raises(KeyError), self.block:
                raise KeyError
            self.store = None
            if not self.journaled:
                assert not self.work.exists()

        @precondition(lambda self: self.store is None and self.journaled and not self.finished)
        @rule(data=st.data(), share=st.floats(0, 1, exclude_max=True))
        def tear(self, data: st.DataObject, share: float) -> None:
            """A receipt is not whole."""
            number = data.draw(st.sampled_from(sorted(self.journaled)))
            full = self.receipt(number).read_bytes()
            self.receipt(number).write_bytes(full[: int(share * len(full))])
            self.journaled.remove(number)

        @precondition(lambda self: self.store is None and self.journaled and not self.finished)
        @rule(data=st.data())
        def lose_an_object(self, data: st.DataObject) -> None:
            number = data.draw(st.sampled_from(sorted(self.journaled)))
            (self.work / "obsm" / "X_lexicell" / "c" / str(number) / "0").unlink()
            self.journaled.remove(number)

        @precondition(lambda self: self.store is None)
        @rule()
        def clean(self) -> None:
            gc(self.out)
            assert not list(self.folder.glob("out.zarr.partial/.lexicell/tmp/*"))

        @precondition(lambda self: self.store is not None and not self.store.pending and not self.finished)
        @rule(dies=st.booleans())
        def finish(self, dies: bool) -> None:
            assert self.store is not None
            if dies:  # before it got its name
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(
                        self.store._journal._place, "publish", lambda replace: (_ for _ in ()).throw(Crash)
                    )
                    with pytest.raises(Crash):
                        made.finish(self.store)
                self.crash()
                with made.open(self.out, "resume") as store:
                    assert store.complete
            else:
                made.finish(self.store)
                self.block.close()
                self.store = None
            self.finished = True

        @precondition(lambda self: self.finished)
        @rule()
        def resume_what_is_finished(self) -> None:
            with made.open(self.out, "resume") as store:
                assert store.complete
                assert store.pending == []

        @invariant()
        def it_is_there_completely_or_not_at_all(self) -> None:
            if self.finished:
                assert content(self.out) == content(whole)
                assert not self.work.exists()
                assert verify(self.out).extra == ()
                return
            assert not self.out.exists()
            if self.journaled:
                with pytest.raises(PartialError, match=f"{len(self.journaled)} of 4"):
                    verify(self.out)
                if self.store is not None:
                    some = open_embedding(self.out, allow_partial=True)
                    assert some.obs["lexicell_present"].sum() == sum(
                        stop - start for start, stop in map(made.layout.rows, self.journaled)
                    )

    return Machine


def test_no_order_of_events_loses_or_changes_anything(machine):
    run = machine.TestCase()
    run.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
    run.runTest()
