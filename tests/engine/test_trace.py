"""Stages count once, for the worker that they are of, and cost no memory without bounds."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from lexicell import _trace
from lexicell._trace import Crew, Span, Worker, detail, recording, stage


class Clock:
    """Seconds that pass when a test says so."""

    at = 100.0

    def __call__(self) -> float:
        return self.at

    def passes(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_trace, "now", clock)
    return clock


def test_a_stage_within_a_stage_counts_for_the_inner_one_only(clock):
    worker = Worker("w")
    with recording(worker):
        with stage("decode"):
            clock.passes(1)
            with stage("read"):
                clock.passes(10)
            clock.passes(2)
            with stage("read"):
                clock.passes(20)
        clock.passes(5)
    assert worker.seconds == {"read": 30, "decode": 3}
    assert (worker.lived, worker.idle) == (38, 5)


def test_the_spans_of_what_is_done_at_a_time_follow_one_another(clock):
    worker = Worker("w")
    with recording(worker):
        for _ in range(2):
            with stage("decode"):
                for _ in range(3):
                    with stage("read"):
                        clock.passes(2)
                    clock.passes(1)
    assert worker.spans == [
        Span("read", 100, 6), Span("decode", 106, 3), Span("read", 109, 6), Span("decode", 115, 3)
    ]  # fmt: skip


def test_a_detail_is_named_after_its_stage_and_is_nothing_without_one(clock):
    worker = Worker("w")
    with recording(worker):
        with stage("write"):
            clock.passes(1)
            with detail("fsync"):
                clock.passes(4)
        with detail("fsync"):
            clock.passes(8)
    assert worker.seconds == {"write: fsync": 4, "write": 1}


def test_begin_and_end_of_a_run_stay_whole_whatever_is_done_in_them(clock):
    worker = Worker("w")
    with recording(worker), stage("plan"), stage("decode"), stage("read"), detail("seek"):
        clock.passes(1)
    assert {name.partition(":")[0] for name in worker.seconds} == {"plan"}
    assert worker.seconds["plan: seek"] == 1


def test_what_fails_ends_its_stages(clock):
    worker = Worker("w")
    with recording(worker):
        with suppress(KeyError), stage("decode"), stage("read"):
            clock.passes(1)
            raise KeyError
        with stage("write"):
            clock.passes(2)
    assert worker.seconds == {"read": 1, "decode": 0, "write": 2}


def test_a_thread_records_for_itself_only(clock):
    worker, found = Worker("w"), []

    def elsewhere() -> None:
        with stage("read"):
            clock.passes(1)
        with crew.member("other"), stage("read"):
            clock.passes(3)
        found.append(stage("read") is stage("decode"))

    kept: list[Worker] = []
    with recording(worker, kept), Crew() as crew:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert not worker.seconds
    assert [(of.name, of.seconds) for of in kept] == [("other", {"read": 3})]
    assert found == [True]  # nothing is made where nobody records


def test_one_that_has_nothing_left_to_do_waits_for_the_last_of_its_crew(clock):
    kept: list[Worker] = []
    with recording(Worker("main"), kept), Crew() as crew:
        with crew.member("first"), stage("kernel"):
            clock.passes(1)
        with crew.member("last"), stage("kernel"):
            clock.passes(4)
    assert {of.name: (of.lived, of.idle) for of in kept} == {"first": (5, 4), "last": (5, 1)}


def test_a_member_may_come_and_go_and_work_elsewhere(clock):
    kept: list[Worker] = []
    with recording(Worker("main"), kept), Crew() as crew:
        for _ in range(3):
            with crew.member("w"), stage("read"):
                clock.passes(1)
        away = Worker("w")
        with recording(away), stage("read"):
            clock.passes(2)
        crew.take(away)
    (found,) = kept
    assert (found.seconds, len(found.spans), found.lived) == ({"read": 5}, 4, 5)


def test_a_crew_that_nobody_records_keeps_nothing():
    with Crew() as crew, crew.member("w"), stage("read"):
        assert stage("read") is stage("write")
    assert not crew.recorded


def test_beyond_a_number_of_spans_only_sums_go_on(clock, monkeypatch):
    monkeypatch.setattr(_trace, "MOST_SPANS", 3)
    worker, other = Worker("w"), Worker("w")
    for of in (worker, other):
        with recording(of):
            for _ in range(5):
                with stage("read"):
                    clock.passes(1)
    assert (len(worker.spans), worker.lost, worker.seconds) == (3, 2, {"read": 5})
    worker.take(other)
    assert (len(worker.spans), worker.lost, worker.seconds) == (3, 7, {"read": 10})


def test_recording_again_what_is_recorded_counts_its_time_once(clock):
    worker = Worker("w")
    with recording(worker), recording(worker):
        clock.passes(1)
    assert worker.lived == 1
