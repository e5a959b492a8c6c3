"""Servers on this machine, of text embeddings and of files, and a place for vectors that is no user's."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import blake3
import numpy as np
import pytest

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
        self.ratelimits: Mapping[str, str] = {}
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
        self.say(200, content, **self.server.ratelimits)

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
    folder = tmp_path_factory.mktemp("vectors")
    monkeypatch.setattr("lexicell.lexicon.encoders.vector_cache.vector_folder", lambda: folder)
    return folder


NCBI = Path(__file__).parent / "ncbi"


@dataclass
class Asked:
    """A request for a file, and how it was answered."""

    path: str
    headers: dict[str, str]
    status: int = 0


@dataclass
class FileServer:
    """Files by path, what was asked for, and what goes wrong next.

    `faults` are taken one a request: a number drops the connection after so many bytes of the body, a
    (status, headers[, body]) is answered instead of the file.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    modified: str = "Tue, 06 Jan 2026 23:30:00 GMT"
    dates: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    conditions: bool = True
    validators: tuple[str, ...] = ("ETag", "Last-Modified")
    faults: deque[int | tuple[Any, ...]] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    stall: threading.Event = field(default_factory=threading.Event)
    stall_after: int | None = None

    def statuses(self) -> list[int]:
        return [asked.status for asked in self.asked]


def _files_of(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def send(self, status: int, headers: dict[str, str], body: bytes = b"", cut: Any = None) -> None:
            self.asked.status = status
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if server.stall_after is not None:
                self.wfile.write(body[: server.stall_after])
                self.wfile.flush()
                server.stall.wait(20)
                cut = 0
            self.wfile.write(body if cut is None else body[:cut])
            if cut is not None:
                self.close_connection = True

        def do_GET(self) -> None:
            self.asked = Asked(self.path, dict(self.headers))
            server.asked.append(self.asked)
            fault = server.faults.popleft() if server.faults else None
            if isinstance(fault, tuple):
                self.send(*fault)
                return
            body = server.files.get(self.path)
            if body is None:
                self.send(404, {})
                return
            tag = blake3.blake3(body).hexdigest()[:16]
            date = server.dates.get(self.path, server.modified)
            both = {"ETag": f'"{tag}"', "Last-Modified": date}
            held = {name: value for name, value in both.items() if name in server.validators}
            ask = self.headers.get
            if server.conditions and held and (
                ask("If-None-Match") == held.get("ETag", "")
                if ask("If-None-Match")
                else ask("If-Modified-Since") == held.get("Last-Modified", "")
            ):  # fmt: skip
                self.send(304, held)
                return
            start = int(ask("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
            same = ask("If-Range") in held.values() or not server.conditions
            if not (server.ranges and start and same):
                self.send(200, held, body, fault)
            elif start >= len(body):
                self.send(416, {"Content-Range": f"bytes */{len(body)}"})
            else:
                held["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                self.send(206, held, body[start:], fault)

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """An empty file server with Range, ETag and 304, reached without a proxy; misbehaves when told to."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = FileServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), _files_of(state)) as http:
        http.daemon_threads = True
        http.handle_error = lambda *args: None  # type: ignore[method-assign]  # clients hang up on purpose
        state.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            state.stall.set()
            http.shutdown()
            thread.join()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits of downloads, which take no time."""
    waited: list[float] = []
    monkeypatch.setattr("lexicell._download.time", SimpleNamespace(sleep=waited.append, time=time.time))
    return waited


@pytest.fixture
def ncbi(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> FileServer:
    """A server with small dumps in NCBI's format, which `fetch_genes` uses, and a fresh cache."""
    for name in ("Homo_sapiens", "Mus_musculus"):
        dump = (NCBI / f"{name}.gene_info").read_bytes()
        server.files[f"/gene/DATA/GENE_INFO/Mammalia/{name}.gene_info.gz"] = gzip.compress(dump, mtime=0)
    for name in ("gene_summary", "gene_orthologs"):
        server.files[f"/gene/DATA/{name}.gz"] = gzip.compress((NCBI / name).read_bytes(), mtime=0)
    monkeypatch.setenv("LEXICELL_NCBI_URL", f"{server.url}/gene/DATA")
    monkeypatch.setenv("LEXICELL_CACHE", str(tmp_path / "cache"))
    return server
