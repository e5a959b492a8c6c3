"""Nothing that works on this machine alone writes into the user's home or looks up a host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

#: Notes the names that are looked up and the addresses that are written to, and refuses both; this machine
#: itself may be talked to, since Dask's processes do.
RECORDER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void note(const char* what) {
  FILE* file = fopen(getenv("LOOKUPS"), "a");
  if (file) fprintf(file, "%s\n", what), fclose(file);
}
int getaddrinfo(const char* node, const char* service, const struct addrinfo* hints,
                struct addrinfo** found) {
  static int (*real)(const char*, const char*, const struct addrinfo*, struct addrinfo**);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  if (!node || !strcmp(node, "localhost") || !strncmp(node, "127.", 4) || !strcmp(node, "::1"))
    return real(node, service, hints, found);
  note(node);
  return EAI_FAIL;
}
struct hostent* gethostbyname(const char* name) {
  note(name);
  h_errno = HOST_NOT_FOUND;
  return 0;
}
int connect(int fd, const struct sockaddr* to, socklen_t size) {
  static int (*real)(int, const struct sockaddr*, socklen_t);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "connect");
  char text[64] = "";
  const void* host = to->sa_family == AF_INET ? (const void*)&((const struct sockaddr_in*)to)->sin_addr
                                              : (const void*)&((const struct sockaddr_in6*)to)->sin6_addr;
  if (to->sa_family == AF_INET || to->sa_family == AF_INET6)
    inet_ntop(to->sa_family, host, text, sizeof text);
  if (!*text || !strncmp(text, "127.", 4) || !strcmp(text, "::1")) return real(fd, to, size);
  note(text);
  errno = ENETUNREACH;
  return -1;
}
"""

#: Runs verbs one after another in a process, and tells after each how it ended and what is new in its home.
DRIVER = """
import contextlib, io, json, os, sys
from pathlib import Path

if sys.argv[1] == "runtime first":
    import onnxruntime
    raise SystemExit
from lexicell.cli import main

def seen():
    lookups = Path(os.environ["LOOKUPS"])
    files = [str(p.relative_to(Path.home())) for p in Path.home().rglob("*") if not p.is_dir()]
    return set(files), lookups.read_text().splitlines() if lookups.exists() else []

told = {}
before = seen()
for line in json.loads(sys.argv[1]):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            main(line)
    except SystemExit as end:
        after = seen()
        told[" ".join(line)] = {
            "code": end.code,
            "said": said.getvalue(),
            "written": sorted(after[0] - before[0]),
            "asked": after[1][len(before[1]):],
        }
        before = after
Path(sys.argv[2]).write_text(json.dumps(told))
os._exit(0)
"""

LABEL = ("--label", "bulk_labels")
FEW = ("--scenario", "few-shot", "--n", "2", "--draws", "1", "--methods", "paper")
#: Lines of one process each; later ones use what earlier ones wrote.
PROCESSES = [
    [["doctor"], ["genes", "info"], ["demo", "--out", "demo"]],
    [
        ["genes", "align", "demo/demo.h5ad"],
        ["embed", "demo/demo.h5ad", "a.zarr"],
        ["embed", "demo/demo.h5ad", "b.h5ad"],
        ["embed", "demo/demo.h5ad", "c.zarr", "--dry-run"],
        ["embed", "demo/demo.h5ad", "d.zarr", "--scheduler", "local", "--workers", "1"],
        ["pack", "demo/demo.h5ad", "p.zarr"],
        ["verify", "a.zarr"],
        ["gc", "a.zarr"],
    ],
    [
        ["train", "demo/demo.h5ad", "map", *LABEL],
        ["annotate", "demo/demo.h5ad", "--reference", "demo/demo.h5ad", *LABEL],
        ["evaluate", "demo/demo.h5ad", *LABEL, *FEW],
    ],
]
LINES = [" ".join(line) for lines in PROCESSES for line in lines]
#: Matplotlib keeps a list of the machine's fonts; lexicell has a cache of its own.
EXPECTED = (".cache/matplotlib/", ".config/matplotlib/", ".cache/lexicell/", ".cache/fontconfig/")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a process with an empty home, whose look-ups are noted."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("look-ups are recorded on Linux, with a C compiler")
    folder = tmp_path_factory.mktemp("offline")
    (folder / "recorder.c").write_text(RECORDER)
    library = folder / "recorder.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "recorder.c", "-ldl"], check=True)
    (folder / "home").mkdir()
    # A user's environment: where a variable says that a CI runs it, ONNX Runtime reports nothing anyway.
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(folder / "home"),
        "LD_PRELOAD": str(library),
        "LOOKUPS": str(folder / "lookups"),
        "MPLBACKEND": "agg",
    }


def run(world: dict[str, str], *arguments: str) -> None:
    folder = Path(world["HOME"]).parent
    ended = subprocess.run(
        [sys.executable, "-c", DRIVER, *arguments],
        check=False,
        cwd=folder,
        env=world,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def told(world: dict[str, str]) -> dict[str, Any]:
    """How each command ended, what it wrote into the home and which hosts it asked for."""
    pytest.importorskip("scanpy")
    report = Path(world["HOME"]).parent / "told.json"
    every: dict[str, Any] = {}
    for lines in PROCESSES:
        run(world, json.dumps(lines), str(report))
        every |= json.loads(report.read_bytes())
    return every


@pytest.mark.parametrize("line", LINES)
def test_a_verb_writes_nothing_into_the_home_and_asks_for_no_host(told: dict[str, Any], line: str) -> None:
    assert told[line]["code"] == 0, told[line]["said"]
    assert told[line]["asked"] == []
    assert [path for path in told[line]["written"] if not path.startswith(EXPECTED)] == []


def test_a_runtime_that_reports_would_be_seen(world: dict[str, str]) -> None:
    import onnxruntime

    version = tuple(map(int, onnxruntime.__version__.split(".")[:2]))
    if version < (1, 31):
        pytest.skip("this ONNX Runtime reports nothing on Linux")
    run(world, "runtime first")
    assert list(Path(world["HOME"]).rglob("onnxruntime.db"))


@pytest.mark.parametrize(
    ("given", "after"), [(None, "1"), ("", "1"), ("1", "1"), ("true", "true"), ("0", "0")]
)
def test_what_the_user_says_of_reports_stays(given: str | None, after: str) -> None:
    world = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    if given is not None:
        world["ORT_DISABLE_TELEMETRY"] = given
    look = "import lexicell, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    told = subprocess.run([sys.executable, "-c", look], env=world, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == after
