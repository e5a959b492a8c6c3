"""``lexicell genes build``, as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lexicell.cli import main
from lexicell.lexicon import Lexicon

GENES = """symbol	name	summary
INS	insulin	Insulin lowers the sugar in the blood.
GCG	glucagon	Glucagon raises the sugar in the blood.
XYZ1	nothing known
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "genes.tsv"
    path.write_text(GENES.replace("known\n", "known\t\n"))
    return path


def test_a_lexicon_is_built_through_a_service(lexicell, table, tmp_path, embedding_server):
    ended = lexicell(
        "genes", "build", table, tmp_path / "lex", "--encoder", "openai:m", "--dimensions", 6, "--text",
        "{symbol} is {name}[: {summary}]", "--drop", "name-only", "--organism", "rat", "--source", "me",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "openai:m (api pooling" in ended.out
    lexicon = Lexicon.open(tmp_path / "lex")
    assert (lexicon.info.organism, lexicon.info.text.source, lexicon.dim) == ("rat", "me", 6)
    assert lexicon.info.text.recipe == "{symbol} is {name}[: {summary}]"
    assert "INS is insulin: Insulin lowers the sugar in the blood." in embedding_server.texts


@pytest.mark.parametrize("as_json", [True, False])
def test_a_dry_run_tells_the_cost_and_writes_nothing(lexicell, table, tmp_path, monkeypatch, as_json):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    ended = lexicell(
        "genes", "build", table, tmp_path / "lex", "--encoder", "openai:text-embedding-3-large", "--dry-run",
        "--price", "1000000", *["--json"] * as_json,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["genes.tsv"]
    if as_json:
        told = json.loads(ended.out)
        assert told["cost"] == told["tokens"]
        assert (told["genes"], told["to_encode"], told["cached"], told["dim"]) == (3, 3, 0, 3072)
        assert told["flags"] == {"name-only": 1}
    else:
        assert "encoded before      0\n" in ended.out
        assert "1e+06 USD per million tokens" in ended.out
        assert "1 name-only" in ended.out


def test_a_price_that_is_not_known_is_said(lexicell, table, tmp_path, embedding_server):
    ended = lexicell("genes", "build", table, tmp_path / "lex", "--encoder", "openai:m", "--dry-run")
    assert "price unknown; give it with --price" in ended.out
    assert embedding_server.asked == []


def test_repeating_a_build_sends_nothing(lexicell, table, tmp_path, embedding_server):
    for name in ("a", "b"):
        assert lexicell("genes", "build", table, tmp_path / name, "--encoder", "openai:m").code == 0
    assert len(embedding_server.asked) == 1
    ended = lexicell("genes", "build", table, tmp_path / "c", "--encoder", "openai:m", "--no-cache")
    assert ended.code == 0
    assert len(embedding_server.asked) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--encoder", "openai:text-embedding-ada-002", "--dimensions", "100"], "cannot shorten"),
        (["--encoder", "openai:"], "needs the name of a model"),
        (["--encoder", "openai:m", "--pooling", "cls"], "its own pooling"),
        (["--encoder", "openai:m", "--drop", "dull"], "no flag 'dull'"),
        (["--encoder", "openai:m", "--text", "summary", "--text-column", "name"], "give one of the two"),
        (["--price", "-1"], "price"),
        (["--price", "inf", "--encoder", "openai:m", "--dry-run"], "not inf"),
    ],
)
def test_bad_options_are_one_sentence(lexicell, table, tmp_path, embedding_server, options, said):
    ended = lexicell("genes", "build", table, tmp_path / "lex", *options)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.complaint
    assert embedding_server.asked == []
    assert not (tmp_path / "lex").exists()


def test_not_even_a_traceback_shows_the_key(table, tmp_path, embedding_server, capsys):
    def echo(handler, asked):
        said = f"{handler.headers['Authorization']} {handler.headers['Host']}"
        handler.say(400, {"error": {"message": said}})

    embedding_server.script.extend([echo] * 9)
    code = (
        "import sys\nfrom lexicell.cli import main\n"
        f"main(['--debug', 'genes', 'build', {str(table)!r}, {str(tmp_path / 'lex')!r}, "
        "'--encoder', 'openai:m', '--no-cache'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Traceback" in ended.stderr
    assert "400" in ended.stderr
    for secret in ("test-key", "4f9a1c77", "127.0.0.1"):
        assert secret not in ended.stderr + ended.stdout


def test_an_interrupted_build_says_what_is_kept(table, tmp_path, embedding_server, monkeypatch, capsys):
    from lexicell.lexicon.encoders import openai

    monkeypatch.setattr(openai, "_TEXTS_PER_REQUEST", 1)
    encode = openai.OpenAIEncoder.encode

    def interrupted(self, texts, on_batch=None):
        def take(positions, vectors):
            on_batch(positions, vectors)
            raise KeyboardInterrupt

        return encode(self, texts, take)

    monkeypatch.setattr(openai.OpenAIEncoder, "encode", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["genes", "build", str(table), str(tmp_path / "lex"), "--encoder", "openai:m"])
    assert ended.value.code == 130
    assert "new vectors are kept" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["genes.tsv"]
