"""``lexicell genes evaluate`` and ``export``, as typed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lexicell.evaluation.controls import BAGS, CONTROLS


@pytest.fixture(scope="session")
def few(bundled, tmp_path_factory):
    """The first 4,000 genes of the bundled lexicon as one of their own: the same, and quick."""
    pytest.importorskip("onnx")
    from lexicell.lexicon import write_lexicon

    info = bundled.info
    genes = bundled.read_genes().slice(0, 4000).drop_columns(["row"])
    path = tmp_path_factory.mktemp("lexicons") / "few"
    return write_lexicon(
        path, genes, bundled.vectors(bundled.rows[:4000]), name="few", organism=info.organism,
        text=info.text, encoder=info.encoder,
    )  # fmt: skip


@pytest.fixture
def gmt(tmp_path, few):
    """Three sets of neighbours by NCBI id, and a small one."""
    ids = few.genes.column("ncbi_id").to_pylist()
    lines = [f"T{i}\tset {i}\t" + "\t".join(map(str, ids[1000 * i : 1000 * i + 30])) for i in range(3)]
    path = tmp_path / "near.gmt"
    path.write_text("\n".join([*lines, "TINY\tfew genes\t1\t2", ""]), encoding="utf-8")
    return path


def test_geometry_and_neighbours_need_no_sets(lexicell, few):
    ended = lexicell("genes", "evaluate", few.path, "--sets", "none", "--neighbours", "CD3E, HBB")
    assert ended.code == 0, ended.err
    assert "effective rank" in ended.out
    assert ended.out.splitlines()[-2].startswith("CD3E  CD3G")
    assert ended.out.splitlines()[-1].startswith("HBB   HBA1")
    assert "AUROC" not in ended.out


@pytest.mark.slow
def test_sets_are_predicted_compared_and_drawn(lexicell, few, gmt, tmp_path):
    pytest.importorskip("matplotlib")
    ended = lexicell(
        "genes", "evaluate", few.path, "--sets", gmt,
        "--out", tmp_path / "p.svg", "--seed", 1,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "membership of 3 sets, near" in ended.out
    assert "1 sets of fewer than 20 skipped: few genes (2)" in ended.err
    assert (tmp_path / "p.svg").stat().st_size > 1000
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_json_is_all_there_is_on_stdout_and_repeats_itself(lexicell, few, gmt):
    def told() -> dict:
        return json.loads(
            lexicell("genes", "evaluate", few.path, "--sets", gmt, "--json", "--repeats", 2).out
        )

    first = told()
    assert first == told()
    assert (first["genes"], first["dim"], first["repeats"]) == (4000, 384, 2)
    assert set(first["sets"]["near"]["auroc"]) == {
        "lexicon",
        *CONTROLS,
        *BAGS,
        "name in text",
    }
    assert first["sets"]["near"]["terms"]["T1"]["positives"] == 30
    assert first["geometry"]["lexicon"]["mean_cosine"] > 10 * abs(first["geometry"]["random"]["mean_cosine"])


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (["--neighbours", "CD3E,NOPE1"], "has no gene 'NOPE1'", 2),
        (["--sets", "none.gmt"], "none.gmt does not exist", 2),
        (["--out", "figure.jpeg"], "is not the name of a picture", 2),
        (["--repeats", "0"], "--repeats", 2),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(lexicell, few, options, says, code):
    ended = lexicell("genes", "evaluate", few.path, *options)
    assert (ended.code, ended.out) == (code, "")
    assert says in ended.complaint


@pytest.mark.slow
def test_a_table_whose_texts_name_the_sets_says_so(lexicell, few, tmp_path):
    names = ["DNA repair", "muscle contraction"]
    texts = few.read_genes(["text"]).column("text").to_pylist()
    ids = few.genes.column("ncbi_id").to_pylist()
    lines = []
    for name in names:
        members = [str(i) for i, text in zip(ids, texts, strict=True) if name.casefold() in text.casefold()]
        lines.append("\t".join([name, name, *members[:60]]))
    (tmp_path / "told.gmt").write_text("\n".join(lines), encoding="utf-8")
    ended = lexicell("genes", "evaluate", few.path, "--sets", tmp_path / "told.gmt")
    assert "a set's own name stands in the texts of 100% of its genes" in ended.err


def test_a_graph_is_exported_and_not_overwritten(lexicell, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    path = tmp_path / "cell.onnx"
    told = json.loads(lexicell("genes", "export", "human-go-minilm", path, "--json").out)
    assert told["bytes"] == path.stat().st_size
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    genes, weights = np.array([[5, 7]]), np.array([[1, 2]], np.float32)
    (z,) = session.run(None, {"genes": genes, "weights": weights})
    assert z.shape == (1, 384)
    assert np.linalg.norm(z) == pytest.approx(1, abs=1e-6)
    refused = lexicell("genes", "export", "human-go-minilm", path)
    assert (refused.code, refused.out) == (2, "")
    assert "overwrite" in refused.complaint
    again = lexicell("genes", "export", "human-go-minilm", path, "--overwrite", "--no-normalise")
    assert again.code == 0
    assert "genes int64 [n, k]" in again.out
