from bench import record
from bench.measure import Case, GateError, Taken, measure
from bench.scenario import Scenario


def row(what):
    return Scenario(
        "mine", "g", what, "synthetic", "10", "128", "256", "f32", "f16", "memory", "cpu", "all", "-"
    )


def slow(seconds):
    taken = iter(seconds)
    return lambda: Taken(next(taken), 2 * seconds[0])


STAMP = record.Stamp("0a0b0c0d", "f" * 40, False, {"cpu": "a CPU", "cpus": 2, "system": "Linux"})


def test_cases_run_in_turn_and_the_first_round_does_not_count():
    order = []
    cases = [
        Case(
            row(name),
            name,
            10,
            run=lambda name=name: order.append(name),
            before=lambda: order.append("before"),
        )
        for name in "ab"
    ]
    found = measure(cases, 2)
    assert order == ["before", "a", "before", "b"] * 3
    assert [len(one.seconds) for one in found] == [2, 2]


def test_a_ratio_is_the_median_of_quotients_within_a_round():
    head = Case(row("lexicell"), "ours", 10, run=slow([9, 1, 2, 100]))
    peer = Case(row("peer"), "theirs", 5, run=slow([9, 3, 5, 500]), peer=True)
    first, second = record.make(measure([head, peer], 3), STAMP, 0.5)
    assert first["against"] is None
    assert second["against"] == head.scenario.id
    assert second["ratio"] == 6.0  # quotients of seconds a unit: 6, 5 and 10
    assert first["rate"] == 5.0
    assert first["seconds"] == [1, 2, 100]
    assert second["rate_iqr"][0] < second["rate"] < second["rate_iqr"][1]


def test_a_case_that_takes_long_has_fewer_rounds_and_its_ratio_those_of_the_same_rounds():
    ran = []
    head = Case(row("lexicell"), "ours", 10, run=slow([9, 1, 2, 100]))
    peer = Case(row("peer"), "theirs", 5, run=slow([9, 3, 5]), peer=True, rounds=2)
    once = Case(row("once"), "theirs", 5, run=slow([7]), peer=True, rounds=1, before=lambda: ran.append(1))
    measured = measure([head, peer, once], 3)
    assert [one.seconds for one in measured] == [[1, 2, 100], [3, 5], [7]]
    assert ran == [1]  # without a round that warms up
    _, second, third = record.make(measured, STAMP, 0.5)
    assert second["ratio"] == 5.5  # quotients of seconds a unit: 6 and 5
    assert (third["ratio"], third["rate_iqr"]) == (14, [third["rate"]] * 2)


def test_a_wrong_result_gets_no_time_and_the_others_go_on():
    def wrong():
        raise GateError("off by 0.1")

    ran = []
    cases = [
        Case(row("lexicell"), "ours", 1, run=lambda: ran.append("ours"), gate=wrong),
        Case(row("peer"), "theirs", 1, run=lambda: ran.append("theirs"), gate=lambda: {"max_error": 0.0}),
    ]
    found = measure(cases, 1)
    first, second = record.make(found, STAMP, 0.0)
    assert ran == ["theirs", "theirs"]
    assert found[0].wrong
    assert "off by 0.1" in first["empty"]
    assert first["rate"] is None
    assert second["ratio"] is None  # nothing to be held against
    assert second["gate"] == {"max_error": 0.0}


def test_a_row_that_cannot_run_says_why_and_keeps_its_place():
    cases = [
        Case(row("lexicell"), "ours", 1, run=lambda: None, facts=lambda: {"peak_mb": 3}),
        Case(row("peer"), "theirs", empty="needs Python 3.12"),
    ]
    first, second = record.make(measure(cases, 1), STAMP, 0.0)
    assert first["facts"] == {"peak_mb": 3}
    assert (second["empty"], second["seconds"], second["ratio"]) == ("needs Python 3.12", [], None)
