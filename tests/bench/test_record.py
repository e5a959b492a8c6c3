import json
import subprocess

import pytest
from bench import __main__ as runner
from bench import record


def test_records_are_appended_and_those_of_older_formats_passed_over(tmp_path):
    path = tmp_path / "new" / "records.jsonl"
    assert record.load(path) == []
    old, new = {"bench": "kernel", "format": 1}, {"format": record.FORMAT, "run": "b", "scenario": {}}
    record.append([old], path)
    record.append([new, new | {"run": "a"}, new], path)
    assert [one["run"] for one in record.load(path)] == ["b", "a", "b"]
    assert {run: len(of) for run, of in record.runs(record.load(path)).items()} == {"b": 2, "a": 1}


def test_seconds_are_comparable_on_one_kind_of_machine_only():
    one = {"machine": {"cpu": "EPYC", "cpus": 2, "system": "Linux", "load_before": 0.1}}
    assert record.same_machine(one, {"machine": one["machine"] | {"load_before": 2.0}})
    assert not record.same_machine(one, {"machine": one["machine"] | {"cpus": 16}})


def test_a_stamp_tells_commit_and_whether_the_tree_differs(tmp_path, monkeypatch):
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org"]
    (tmp_path / "bench" / "results").mkdir(parents=True)
    (tmp_path / "code.py").write_text("1\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(record, "_ROOT", tmp_path)
    clean = record.Stamp.now()
    assert len(clean.commit) == 40
    assert not clean.dirty
    (tmp_path / "bench" / "results" / "records.jsonl").write_text("{}\n")  # what a run itself writes
    assert not record.Stamp.now().dirty
    (tmp_path / "code.py").write_text("2\n")
    assert record.Stamp.now().dirty
    assert record.Stamp.now().run != clean.run


def test_without_git_the_commit_is_unknown_and_the_tree_not_called_clean(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "_ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert (record.Stamp.now().commit, record.Stamp.now().dirty) == (None, True)


@pytest.mark.slow
def test_a_run_leaves_records_without_a_path_or_a_name_of_this_machine(tmp_path, capsys):
    out = tmp_path / "records.jsonl"
    assert runner.main(["ranking", "--only", "sentences", "--tiny", "--records", str(out)]) == 0
    found = record.load(out)
    assert found
    assert {one["scenario"]["suite"] for one in found} == {"ranking"}
    assert len({one["run"] for one in found}) == 1
    said = json.dumps([one["machine"] for one in found])
    assert str(tmp_path) not in out.read_text()
    assert "/" not in said.replace("\\/", "")
    assert "ranking: sentences" in capsys.readouterr().out


def test_an_unknown_suite_is_an_error_of_usage(capsys):
    with pytest.raises(SystemExit) as ended:
        runner.main(["run", "nothing"])
    assert ended.value.code == 2
    assert "no suite 'nothing'" in capsys.readouterr().err


def test_the_list_has_every_scenario_once(capsys):
    assert runner.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(set(lines)) > 10


@pytest.mark.slow
def test_suites_run_in_processes_of_their_own_and_share_a_run(tmp_path):
    out = tmp_path / "records.jsonl"
    words = ["ranking", "lexicon", "--only", "sentences", "fold", "--tiny", "--records", str(out)]
    assert runner.main(words) == 0
    found = record.load(out)
    assert {one["scenario"]["suite"] for one in found} == {"ranking", "lexicon"}
    assert len({one["run"] for one in found}) == 1
