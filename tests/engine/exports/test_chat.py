"""Chats against loops over dense matrices."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.engine.exports.cases import NAMES, hostile, merged

from lexicell.embedding.events import ignore
from lexicell.errors import InputError
from lexicell.exports import export


def sentences(dense, top):
    from lexicell.lexicon import Lexicon

    symbols = Lexicon.open("human-go-minilm").genes.column("symbol").to_pylist()
    row_of = {symbol.upper(): at for at, symbol in enumerate(symbols)}
    x, words = merged(dense, NAMES, str.upper)  # a name with a number is no gene of its own
    for counts in x:
        some = [j for j, word in enumerate(words) if counts[j] and word in row_of]
        here = [(-counts[j], row_of[words[j]], words[j]) for j in some]
        yield [word for *_, word in sorted(here)[:top]]


@pytest.mark.parametrize("layout", ["json", "jsonl"])
def test_a_question_lists_the_genes_and_its_answer(tmp_path, small_shards, layout):
    adata, dense = hostile()
    export("chat", adata, tmp_path / "o", label="cell_type", top=3, layout=layout, listener=ignore)
    text = (tmp_path / f"o/chat.{layout}").read_text("utf-8")
    asked = json.loads(text) if layout == "json" else [json.loads(line) for line in text.splitlines()]
    labelled = [at for at in range(150) if at != 7]
    assert [one["cell_id"] for one in asked] == [adata.obs_names[at] for at in labelled]
    expected = list(sentences(dense, 3))
    for at, one in zip(labelled, asked, strict=True):
        assert [said["role"] for said in one["messages"]] == ["system", "user", "assistant"]
        user, answer = one["messages"][1]["content"], one["messages"][2]["content"]
        assert "{gene_names}: " + " ".join(expected[at]) + "\n" in user
        assert user.endswith("{cell_types}: 'B \"naïve\"', 'T cell', \"it's NK\".")
        assert answer == adata.obs["cell_type"].iloc[at]


def test_the_order_of_answers_is_a_cells_own(tmp_path):
    adata, _ = hostile()
    moved = adata[np.random.default_rng(0).permutation(150)].copy()
    asked = {}
    for name, cells, seed in (("a", adata, 1), ("b", moved, 1), ("c", adata, 2)):
        export("chat", cells, tmp_path / name, label="cell_type", shuffle_candidates=seed, listener=ignore)
        asked[name] = {one["cell_id"]: one for one in json.loads((tmp_path / name / "chat.json").read_text())}
    assert asked["a"] == asked["b"] != asked["c"]
    ends = [one["messages"][1]["content"].rpartition("}: ")[2] for one in asked["a"].values()]
    assert len(set(ends)) == 6
    assert min(ends.count(end) for end in set(ends)) > 10


def test_a_template_is_filled_in_and_its_braces_stay(tmp_path):
    adata, dense = hostile()
    path = tmp_path / "template.json"
    path.write_text(json.dumps({"user": '{a} $n_genes "$genes" $5', "assistant": "is $label"}))
    export("chat", adata, tmp_path / "o", label="donor", template=path, top=2, listener=ignore)
    first = json.loads((tmp_path / "o/chat.json").read_text())[0]["messages"]
    words = next(sentences(dense, 2))
    assert [said["content"] for said in first] == [f'{{a}} 2 "{" ".join(words)}" $5', "is d10"]
    bad = {
        "[]": "a template is a JSON",
        "{": "no JSON",
        '{"user": "x", "assistant": "$label"}': r"no \$genes",
        '{"user": "$genes", "assistant": "y", "tool": "z"}': "a template is a JSON",
    }
    for content, says in bad.items():
        path.write_text(content)
        with pytest.raises(InputError, match=says):
            export("chat", adata, tmp_path / "p", label="donor", template=path, listener=ignore)


def test_a_label_that_is_not_there_lists_what_is(tmp_path):
    adata, _ = hostile()
    with pytest.raises(InputError, match=r"'kind'.*cell_type, donor, age"):
        export("chat", adata, tmp_path / "o", label="kind", listener=ignore)
