import math

import pytest
from bench import compare, record
from tests.bench import sample_runs as sample

SCIPY, ALL_GENES = "scipy X @ E, 1 thread", "lexicell, all genes"
OTHER = sample.EPYC | {"cpu": "Intel Xeon", "cpus": 8}


@pytest.fixture
def compared(tmp_path, capsys):
    """Compares two runs of which the second is changed; gives the exit code and what was printed."""

    def run(a="0000000a", b="0000000b", *, groups=None, **second):
        path = tmp_path / "records.jsonl"
        path.unlink(missing_ok=True)
        record.append(sample.run_of([sample.kernel()], "0000000a", commit="aaaa" + "0" * 36), path)
        second = {"commit": "bbbb" + "0" * 36, "day": 23} | second
        record.append(sample.run_of(groups or [sample.kernel()], "0000000b", **second), path)
        code = compare.main([a, b, "--records", str(path)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_nothing_moves_within_noise(compared):
    code, said = compared()
    assert code == 0
    assert "0 of 7 ratios moved beyond noise, 0 for the worse" in said


@pytest.mark.parametrize(
    ("label", "slower", "code", "told"),
    [
        (SCIPY, 1 / 1.4, 1, "WORSE  kernel synthetic: scipy"),
        (SCIPY, 1.4, 0, "better kernel synthetic: scipy"),
        (ALL_GENES, 1.4, 1, "WORSE  kernel synthetic: lexicell, all genes"),
        (ALL_GENES, 1 / 1.4, 0, "better kernel synthetic: lexicell, all genes"),
    ],
)
def test_a_peer_that_catches_up_or_a_row_of_ours_that_costs_more_is_a_regression(
    compared, label, slower, code, told
):
    ended, said = compared(slower={label: slower}.items())
    assert ended == code
    assert told in said
    assert f"1 of 7 ratios moved beyond noise, {code} for the worse" in said


def _row(ratio, quartiles, rounds=5):
    return {
        "ratio": ratio, "ratio_iqr": quartiles, "seconds": [1.0] * rounds, "against": "x", "peer": True,
    }  # fmt: skip


def test_noise_is_three_standard_errors_of_the_medians_and_ten_percent_at_least():
    quiet, loud = _row(10, [10, 10]), _row(10, [9, 11], rounds=9)
    error = 1.2533 * math.log(11 / 9) / 1.349 / 3
    assert compare.noise(quiet, quiet, "ratio") == math.log(1.1)
    assert compare.noise(quiet, loud, "ratio") == pytest.approx(3 * error)
    assert compare.noise(loud, loud, "ratio") == pytest.approx(3 * math.sqrt(2) * error)


@pytest.mark.parametrize(("ratio", "verdict"), [(9.1, None), (9.09, True), (10.9, None), (11.01, False)])
def test_ten_percent_decide_where_nothing_scatters(ratio, verdict):
    assert compare.worse(_row(10, [10, 10]), _row(ratio, [ratio, ratio])) is verdict


def test_rates_are_told_but_decide_nothing(compared):
    everything = {case.label: 3.0 for case, *_ in sample.kernel()}
    code, said = compared(slower=everything.items())
    assert code == 0
    assert "for information: kernel synthetic: scipy X @ E, 1 thread: rate" in said


def test_of_different_machines_only_ratios_are_compared(compared):
    everything = {case.label: 3.0 for case, *_ in sample.kernel()}
    code, said = compared(machine=OTHER, slower=(everything | {SCIPY: 1.0}).items())
    assert code == 1
    assert "DIFFERENT MACHINES: only ratios are compared." in said
    assert "for information" not in said


def test_what_is_in_one_only_or_lost_its_number_is_listed(compared):
    kernel = sample.kernel()
    case = kernel[2][0]
    gone = sample.missing("kernel", "synthetic", case.label, "not timed, since its result is wrong")
    code, said = compared(groups=[[*kernel[:2], gone, *kernel[4:]], sample.ranking()])
    assert code == 0
    assert "no number in B: kernel synthetic: scipy X @ E, 1 thread: not timed" in said
    assert "only in A: kernel synthetic torch_CSR_@_dense,_all_threads" in said
    assert "only in B: ranking sentences lexicell" in said


def test_ratios_against_different_rows_are_not_compared(compared):
    first, second, *others = sample.kernel()
    code, said = compared(groups=[[second, first, *others]])
    assert code == 0
    assert "held against another row: kernel synthetic: scipy" in said


def test_runs_commits_and_files_name_records(compared, tmp_path):
    code, said = compared("aaaa", "bbbb0", dirty=True)
    assert code == 0
    assert "A: run 0000000a, aaaa0000, 22 November 2026, AMD EPYC" in said
    assert "B: run 0000000b, bbbb0000 with changes, 23 November 2026" in said
    record.append(sample.run_of([sample.kernel()], "0000000c"), tmp_path / "other.jsonl")
    code, said = compared("aaaa", str(tmp_path / "other.jsonl"))
    assert code == 0
    assert "B: run 0000000c" in said


@pytest.mark.parametrize("words", [("0000000a", "dead"), ("bbb", "0000000b")])
def test_an_unknown_run_is_told_what_there_is(compared, words):
    code, said = compared(*words)
    assert code == 2
    assert "is no run, commit or file; there are 0000000a (aaaa0000, 22 November 2026), 0000000b" in said
    assert said.count("\n") == 1


def test_the_beginning_of_several_commits_is_refused(compared):
    code, said = compared("aaaa", "0000000b", commit="aaaa" + "1" * 36)
    assert code == 2
    assert "aaaa is the beginning of several commits" in said


def test_a_file_that_holds_no_records_is_refused(compared, tmp_path):
    for text, told in (
        ("no json\n", "is not JSON Lines"),
        ('{"format": 1}\n', "holds no records of format 2"),
    ):
        (tmp_path / "bad.jsonl").write_text(text)
        code, said = compared(str(tmp_path / "bad.jsonl"))
        assert code == 2
        assert told in said
