import json
import sys

import numpy as np
import pytest
from bench import endtoend, kernel


@pytest.fixture(scope="module")
def work():
    return kernel.workload(300)


def test_all_cases_run_and_the_record_is_appended_without_paths(work, tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "workload", lambda *_: work)
    out = tmp_path / "kernel.jsonl"
    out.write_text("{}\n")
    assert kernel.main(["--repeats", "1", "--json", str(out)]) == 0
    before, record = (json.loads(line) for line in out.read_text().splitlines())
    assert before == {}
    assert record["rows"][kernel.HEADLINE]["ratio"] == 1
    assert any(not row["ours"] for row in record["rows"].values())
    assert "/" not in json.dumps(record["machine"])


def test_a_wrong_kernel_gets_no_time(work, monkeypatch):
    def wrong(block, table, *, k):
        rows = kernel.reference.embed_rows(block, table, k=k)
        rows.vectors[3, 5] += 0.01
        return rows

    monkeypatch.setattr(kernel, "embed_rows", wrong)
    with pytest.raises(AssertionError, match="off by"):
        kernel.quality(work, rows=10)


def test_the_argpartition_peer_computes_what_we_do_where_nothing_is_tied(work):
    block, table = work.blocks["float32 + int32"][0], work.tables["float32"]
    distinct = block.data + np.arange(len(block.data), dtype=np.float32) % 5_000 / 8_192
    block = kernel.CsrBlock(distinct, block.indices, block.indptr, block.n_columns)
    ours = kernel.embed_rows(block, table, k=kernel.K)
    assert ours.n_tied.max() <= 1
    listed = kernel.cases(kernel.Workload({**work.blocks, "float32 + int32": [block]}, work.tables))
    peer = next(c for c in listed if c.name.startswith("dense argpartition"))
    assert np.abs(np.concatenate(peer.run()) - ours.vectors).max() < 1e-5


def test_the_scipy_peer_computes_what_we_do_without_top_k(work):
    block, table = work.blocks["float32 + int32"][0], work.tables["float32"]
    ours = kernel.embed_rows(block, table, k=None).vectors
    for name in ("scipy X @ E, all genes, 2", "scipy X @ E, described genes, 1"):
        peer = next(c for c in kernel.cases(work) if c.name.startswith(name))
        z = np.concatenate(peer.run())
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        assert np.abs(z - ours).max() < 1e-4


def test_peak_memory_is_that_of_the_command():
    small = endtoend.peak_of([sys.executable, "-c", "pass"])
    large = endtoend.peak_of([sys.executable, "-c", "b = bytearray(400_000_000); b[::4096] = b[::4096]"])
    assert large["exit_code"] == 0
    assert large["peak_mb"] > 400
    assert large["peak_mb"] > small["peak_mb"]
