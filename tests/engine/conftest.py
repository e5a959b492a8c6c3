"""A service of text embeddings on this machine, and a place for vectors that is no user's."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import blake3
import numpy as np
import pytest

from lexicell.counts import open_counts
from lexicell.embedding import AlignOptions, align_cells
from lexicell.embedding.selected import SelectedCells
from lexicell.lexicon import subset_lexicon
from lexicell_kernels import Weight

_NUMBERS = itertools.count()

KEY = "test-key-4f9a1c77d2e8b6"


class EmbeddingServer(ThreadingHTTPServer):
    """Speaks OpenAI's protocol; `script` holds what it does to the next requests instead."""

    daemon_threads = True
    dim = 8

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: deque[Callable[[_Handler, dict[str, Any]], None]] = deque()
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.delay = 0.0
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def texts(self) -> list[str]:
        """Every text that was ever sent."""
        return [text for asked in self.asked for text in asked["input"]]

    def vector(self, text: str, dim: int | None = None) -> list[float]:
        """A vector of any length; not the letters, so that a mix-up shows."""
        seed = int.from_bytes(blake3.blake3(text.encode()).digest()[:8])
        return (3 * np.random.default_rng(seed).standard_normal(dim or self.dim)).tolist()

    def unit(self, texts: Sequence[str], dim: int | None = None) -> np.ndarray:
        """What an encoder should make of it."""
        vectors = np.array([self.vector(text, dim) for text in texts])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: EmbeddingServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.asked.append(asked)
            server.headers.append({**self.headers, ":path": self.path})
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            act = server.script.popleft() if server.script else None
        try:
            time.sleep(server.delay)
            if act is not None:
                act(self, asked)
            else:
                self.vectors(asked)
        finally:
            with server.lock:
                server.at_once -= 1

    def vectors(self, asked: Mapping[str, Any], **changed: Any) -> None:
        """Answer as OpenAI does, but in another order."""
        data = [
            {"object": "embedding", "index": i, "embedding": self.server.vector(t, asked.get("dimensions"))}
            for i, t in enumerate(asked["input"])
        ]
        content = {"object": "list", "data": data[::-1], "model": asked["model"], **changed}
        self.say(200, content)

    def say(self, status: int, content: Any, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "text/html; charset=utf-8" if isinstance(content, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def embedding_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    """A service that the environment names, with a key."""
    server = EmbeddingServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def vector_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty cache of vectors for each test; exported encoders stay shared."""
    # `mktemp` looks through all folders of the run for a number that is free.
    folder = tmp_path_factory.getbasetemp() / "vectors" / str(next(_NUMBERS))
    folder.mkdir(parents=True)
    monkeypatch.setattr("lexicell.lexicon.encoders.vector_cache.vector_folder", lambda: folder)
    return folder


@pytest.fixture(scope="session")
def scanpys(_blood):
    """700 x 765 real counts that come with scanpy; shared, so never written to."""
    return _blood


@pytest.fixture(scope="session")
def few(bundled, _blood, tmp_path_factory):
    """The bundled lexicon of 2,700 genes, of scanpy's cells too: words of all take long."""
    symbols = bundled.genes.column("symbol").to_pylist()
    genes = ["CD3D", "CD3E", "INS", *symbols[::11], *_blood.var_names]
    return subset_lexicon("human-go-minilm", tmp_path_factory.mktemp("few") / "few", genes=genes)


# Cells to learn from: PBMC3k, selected once, and few that are quick to train on


@pytest.fixture(scope="session")
def blood(pbmc3k):
    """Selected cells (128 genes), their labels ("" for none), and the lexicon's vectors, centred."""
    with open_counts(pbmc3k) as source:
        aligned = align_cells(source, AlignOptions())
        cells = aligned.select(128)
    labels = np.array([x if isinstance(x, str) else "" for x in _labels(pbmc3k)], object)
    vectors = aligned.lexicon.vectors(aligned.lexicon.rows).astype(np.float32)
    return cells, labels, vectors - vectors.mean(axis=0)


def _labels(adata):
    columns = [c for c in adata.obs if 3 < adata.obs[c].nunique() < 30]
    return adata.obs[columns[0]].astype(object)


@pytest.fixture(scope="session")
def groups():
    """240 cells x 60 genes in three groups, each with ten genes of its own; 40 cells have no label.

    Made up, so that training takes a fraction of a second.
    """
    rng = np.random.default_rng(7)
    group = np.arange(240) % 3
    rate = np.full((3, 60), 0.5)
    for g in range(3):
        rate[g, 10 * g : 10 * g + 10] = 6
    dense = rng.poisson(rate[group])
    cell, gene = np.nonzero(dense)
    cells = SelectedCells(
        gene.astype(np.uint16),
        dense[cell, gene].astype(np.uint8),
        np.concatenate([[0], np.cumsum((dense > 0).sum(1))]),
        dense.sum(1).astype(np.float32) + 100,
        70,
        "made up",
        None,
        Weight.COUNT,
    )
    labels = np.array(["x", "y", "z"], object)[group]
    labels[200:] = ""
    vectors = rng.standard_normal((70, 12)).astype(np.float32)
    return cells, labels, vectors
