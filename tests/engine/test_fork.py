"""What was used in a process can be used in its forked children, which wait for no thread pool of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.engine.counts.conftest import as_anndata, counts, write_zarr

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
]

#: Long enough for everything; what hangs would take for ever.
_LIMIT = 150

_SCRIPT = '''
"""Uses everything, then again in children that are made in one way; prints what came out."""

import faulthandler, hashlib, json, multiprocessing, os, sys, warnings
from functools import partial
from pathlib import Path

import anndata, numpy as np, pandas as pd, scipy.sparse as sp

import lexicell
from lexicell.embedding.run import Embedded

faulthandler.enable()
warnings.filterwarnings("ignore", ".*(fork|multi-threaded)")
folder, way = Path(sys.argv[1]), sys.argv[2]


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def cells():
    names = lexicell.Lexicon.open("human-go-minilm").genes.column("symbol").to_pylist()[:1500]
    # Enough for the kernel to use its threads.
    X = np.random.default_rng(0).poisson(2, (200, len(names))).astype("f4")
    return anndata.AnnData(sp.csr_matrix(X), var=pd.DataFrame(index=names))


def tl_embed(out):
    adata = cells()
    lexicell.tl.embed(adata)
    return digest(adata.obsm["X_lexicell"])


def embed_h5ad_to_zarr(out):
    lexicell.embed(folder / "cells.h5ad", out)
    return digest(lexicell.open_embedding(out).obsm["X_lexicell"])


def embed_zarr_to_h5ad(out):
    lexicell.embed(folder / "cells.zarr", out.with_suffix(".h5ad"))
    return digest(anndata.read_h5ad(out.with_suffix(".h5ad")).obsm["X_lexicell"])


def open_embedding(out):
    return digest(lexicell.open_embedding(folder / "embedded.zarr").obsm["X_lexicell"])


def verify_lexicon(out):
    lexicon = lexicell.Lexicon.open("human-go-minilm")
    lexicon.verify()
    return digest(lexicon.vectors(np.arange(50)))


def lexicon_of_the_parent(out):
    return digest(LEXICON.vectors(np.arange(50)))


def verify_store(out):
    from lexicell.store import verify
    return str(verify(folder / "embedded.zarr").problems)


def pack(out):
    lexicell.pack([folder / "cells.h5ad", folder / "cells.zarr"], out)
    return digest(anndata.read_zarr(out).X.toarray())


LEXICON = lexicell.Lexicon.open("human-go-minilm")
USES = {use.__name__: use for use in (
    tl_embed, embed_h5ad_to_zarr, embed_zarr_to_h5ad, open_embedding, verify_lexicon, lexicon_of_the_parent,
    verify_store, pack,
)}


def use(name, where):
    faulthandler.dump_traceback_later(25, exit=True)  # tells where it hangs
    found = USES[name](folder / f"{where}-{name}.zarr")
    faulthandler.cancel_dump_traceback_later()
    return found


def by_fork():
    for name in USES:
        ended, begun = os.pipe()
        if (child := os.fork()) == 0:
            os.write(begun, use(name, "fork").encode())
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == 0, f"{name}: the child ended with {status}"
        yield name, os.read(ended, 100).decode()


def by_pool():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        yield from zip(USES, pool.map(partial(use, where="pool"), USES, chunksize=1))


def by_loader():
    from torch.utils.data import DataLoader, Dataset

    class Used(Dataset):
        def __len__(self):
            return len(USES)

        def __getitem__(self, number):
            name = list(USES)[number]
            return name, use(name, "loader")

    loader = DataLoader(Used(), batch_size=None, num_workers=2, multiprocessing_context="fork")
    yield from loader


def by_dask():
    import dask, distributed

    with dask.config.set({"distributed.worker.multiprocessing-method": "fork"}):
        lexicell.embed(folder / "cells.h5ad", folder / "dask.zarr", scheduler="local", workers=2)
    yield "embed_h5ad_to_zarr", digest(lexicell.open_embedding(folder / "dask.zarr").obsm["X_lexicell"])


if __name__ == "__main__":
    cells().write_h5ad(folder / "cells.h5ad")
    cells().write_zarr(folder / "cells.zarr")
    lexicell.embed(folder / "cells.h5ad", folder / "embedded.zarr")
    expected = {name: use(name, "parent") for name in USES}
    kinds = {"fork": by_fork, "pool": by_pool, "loader": by_loader, "dask": by_dask}
    print(json.dumps([expected, [dict(kinds[kind]()) for kind in way.split("+")]]))
'''


@pytest.mark.parametrize("way", ["fork+pool", "loader", "dask"])
def test_what_was_used_before_a_fork_can_be_used_after_it(tmp_path: Path, way: str) -> None:
    pytest.importorskip({"loader": "torch", "dask": "distributed"}.get(way, "os"))
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    ended = subprocess.run(
        [sys.executable, script, tmp_path, way], capture_output=True, text=True, check=False, timeout=_LIMIT,
        env=os.environ | {"LEXICELL_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    expected, by_kind = json.loads(ended.stdout.splitlines()[-1])
    for results in by_kind:
        assert results == ({name: expected[name] for name in results} if way == "dask" else expected)
        assert results


_URL_SCRIPT = """
import faulthandler, os, sys
from lexicell.counts import open_counts
from lexicell.errors import InputError

os.environ["no_proxy"] = "*"
url = sys.argv[1]
source = open_counts(url)
source.read(0, 9)
for again in (lambda: source.read(0, 9), lambda: open_counts(url)):
    if (child := os.fork()) == 0:
        faulthandler.dump_traceback_later(20, exit=True)
        try:
            again()
        except InputError as error:
            os._exit(7 if url in str(error) or "forked" in str(error) else 1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_url_is_refused_after_a_fork_and_not_waited_for(tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    write_zarr(as_anndata(counts(61, 37)), tmp_path / "cells.zarr", 3)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/cells.zarr"
        ended = subprocess.run(
            [sys.executable, "-c", _URL_SCRIPT, url], capture_output=True, text=True, check=False, timeout=90
        )
        server.shutdown()
    assert ended.stdout.split() == ["7", "7"], ended.stderr[-3000:]
