"""Makes a folder for a machine that has a GPU and no network: wheels, real cells, and the command to run.

``python -m bench.gpu.carry FOLDER [--python 3.12] [--there pyarrow ...] [--data DATA.h5ad ...]``

The machine is expected to have `THERE`; wheels of all else that the engine's steps need are fetched by pip,
in the versions of ``constraints.txt``. They stay zipped, a third as large; `bench.gpu` unpacks them in two
seconds. pyarrow and ONNX Runtime, which evaluates the lexicon's table, are most of it, so what reading
Parquet and running a graph does not need of them is taken out; name them with ``--there`` where the machine
has them. What the command line, downloads, building lexicons and plots need is left out. The lexicon is in
the checkout.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from bench.gpu import cells
from bench.gpu.steps import ROOT
from bench.gpu.wheels import FACTS, CarriedError
from bench.real_data import data_folder

__all__ = [
    "LIMIT", "NEEDED", "THERE", "check_size", "collect", "download_command", "lacking", "main", "normal",
    "pins", "slim",
]  # fmt: skip

#: Bytes of the folder, at most.
LIMIT = 60_000_000
#: What the machine has, with what these bring.
THERE = (
    "torch", "cupy", "numpy", "numba", "llvmlite", "scipy", "pandas", "h5py", "python-dateutil", "pytz",
    "six", "tzdata",
)  # fmt: skip
#: What the steps "engine" and "training" import beside these.
NEEDED = (
    "anndata", "annotated-types", "array-api-compat", "blake3", "donfig", "flatbuffers", "google-crc32c",
    "isal", "legacy-api-wrap", "msgspec", "natsort", "numcodecs", "onnxruntime", "packaging", "protobuf",
    "pyarrow", "pydantic", "pydantic-core", "pydantic-settings", "python-dotenv", "pyyaml", "safetensors",
    "scverse-misc", "session-info2", "typing-extensions", "typing-inspection", "zarr",
)  # fmt: skip
#: Files of a wheel that are left out, by its name.
_SLIMMED = {
    "pyarrow": (
        "*/include/*", "*/tests/*", "*/src/*", "*.pyx", "*.pxi", "*.pxd", "*flight*", "*/_substrait*",
        "*libarrow_s3*", "*_s3fs*", "*gcsfs*", "*azurefs*", "*hdfs*", "*_orc.*", "*_dataset_orc*", "*_tests*",
        "*libarrow_python.so", "*libarrow_python.so.*.*.*", "*gandiva*",
    ),
    # The lexicon's table is a graph of ONNX; Python's part of the runtime has all of it once more.
    "onnxruntime": (
        "*/libonnxruntime.so*", "*/transformers/*", "*/tools/*", "*/quantization/*", "*/datasets/*",
        "*/ThirdPartyNotices.txt",
    ),
}  # fmt: skip
_PLATFORMS = (
    *(f"manylinux_2_{n}_x86_64" for n in (34, 31, 28, 27, 26, 24, 17, 12, 5)),
    *(f"manylinux{year}_x86_64" for year in (2014, 2010, 1)),
)
_CELLS = 1_000
_WIDTH = 96  # columns of their vectors: all 384 are 15 MB for PBMC3k
_REAL = "expr/pbmc3k_raw_labelled.h5ad"


def pins(constraints: Path, python: str) -> dict[str, str]:
    """Versions by normalised name, for a Python on Linux.

    Parameters
    ----------
    constraints
        ``constraints.txt``.
    python
        "3.12", say.
    """
    from packaging.requirements import Requirement

    found = {}
    for line in constraints.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(_target(python)):
            found[normal(requirement.name)] = next(iter(requirement.specifier)).version
    return found


def _target(python: str, extra: str = "") -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "os_name": "posix",
        "extra": extra,
    }


def normal(name: str) -> str:
    """Write the name of a package as pip compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def download_command(wanted: Sequence[str], python: str, into: Path) -> list[str]:
    """What pip is asked: wheels alone, for the machine's Python, none that others need.

    Parameters
    ----------
    wanted
        ``NAME==VERSION``.
    python
        Of the machine.
    into
        Folder for the wheels.
    """
    platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
    return [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--python-version", python, "--implementation", "cp", *platforms,
        "--dest", str(into), *wanted,
    ]  # fmt: skip


def slim(wheel: Path) -> None:
    """Leave out files of a wheel that nothing here needs."""
    patterns = _SLIMMED.get(normal(wheel.name.partition("-")[0]))
    if not patterns:
        return
    small = wheel.with_suffix(".slim")
    with ZipFile(wheel) as held, ZipFile(small, "w", ZIP_DEFLATED, compresslevel=9) as kept:
        for item in held.infolist():
            if not any(fnmatch(item.filename, pattern) for pattern in patterns):
                kept.writestr(item, held.read(item), ZIP_DEFLATED, 9)
    small.replace(wheel)


def lacking(wheels: Iterable[Path], python: str, there: Iterable[str] = ()) -> list[str]:
    """Name what the wheels need and neither they nor the machine have.

    Parameters
    ----------
    wheels
        All that are carried.
    python
        Of the machine.
    there
        What it has beside `THERE`.
    """
    from packaging.requirements import Requirement

    wheels = list(wheels)
    have = {normal(name) for name in (*THERE, *there)}
    have |= {normal(wheel.name.partition("-")[0]) for wheel in wheels}
    found = set()
    for wheel in wheels:
        for line in _metadata(wheel):
            if line.startswith("Requires-Dist:"):
                needed = Requirement(line.partition(":")[2].strip())
                if needed.marker is None or needed.marker.evaluate(_target(python)):
                    found.add(normal(needed.name))
    return sorted(found - have)


def _metadata(wheel: Path) -> Iterator[str]:
    with ZipFile(wheel) as held:
        name = next(n for n in held.namelist() if n.endswith(".dist-info/METADATA"))
        yield from held.read(name).decode().splitlines()


def check_size(folder: Path, limit: int = LIMIT) -> int:
    """Add up what is in a folder.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    CarriedError
        They are more than `limit`; the largest files are named.
    """
    sizes = sorted(((f.stat().st_size, f.name) for f in folder.rglob("*") if f.is_file()), reverse=True)
    total = sum(size for size, _ in sizes)
    if total > limit:
        largest = ", ".join(f"{name} {size / 1e6:.1f} MB" for size, name in sizes[:4])
        msg = f"{total / 1e6:.1f} MB are more than {limit / 1e6:.0f} MB; the largest: {largest}"
        raise CarriedError(msg)
    return total


def collect(folder: Path, python: str, there: Sequence[str], data: Sequence[Path]) -> None:
    """Fill an empty folder.

    Parameters
    ----------
    folder
        Is made.
    python
        Of the machine.
    there
        What of `NEEDED` it has.
    data
        Files of real cells, of each the first thousand; none for what is at hand.

    Raises
    ------
    CarriedError
        The folder is not empty, the lexicon is not there, pip fails, or something is lacking.
    """
    if folder.exists() and any(folder.iterdir()):
        msg = f"{folder} is not empty"
        raise CarriedError(msg)
    if not (ROOT / "engine/lexicell/lexicon/data/human-go-minilm/table.bin").is_file():
        msg = "the lexicon, human-go-minilm, is not in this checkout, which is carried beside the folder"
        raise CarriedError(msg)
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    versions = pins(ROOT / "constraints.txt", python)
    names = [name for name in NEEDED if name not in there]
    done = subprocess.run(  # noqa: S603
        download_command([f"{name}=={versions[name]}" for name in names], python, wheels),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        msg = f"pip can't fetch the wheels: {' '.join(done.stderr.split())[-400:]}"
        raise CarriedError(msg)
    for wheel in list(wheels.glob("*.whl")):
        slim(wheel)
    if needed := lacking(wheels.glob("*.whl"), python, there):
        msg = f"the wheels need {', '.join(needed)}, which is neither carried nor there"
        raise CarriedError(msg)
    _write_own(wheels)
    _write_cells(folder / "cells.npz", data)
    facts = {
        "python": python,
        "there": [*THERE, *there],
        "wheels": {file.name: file.stat().st_size for file in sorted(wheels.iterdir())},
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _write_own(wheels: Path) -> None:
    """Write a wheel that tells the version of lexicell, whose code is in the checkout."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    with ZipFile(wheels / f"{name}-{version}-py3-none-any.whl", "w") as made:
        made.writestr(
            f"{name}-{version}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        )


def _write_cells(path: Path, data: Sequence[Path]) -> None:
    """Pack real cells: `data`, or PBMC3k where it is at hand, or the 700 cells that come with scanpy."""
    if data or (data_folder() / _REAL).is_file():
        cells.pack(path, list(data) or [data_folder() / _REAL], _CELLS, _WIDTH)
        return
    from lexicell.cli.demo import load_cells

    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pbmc68k_reduced.h5ad"
        load_cells().write_h5ad(file)
        cells.pack(path, [file], _CELLS, _WIDTH)


def main(argv: Sequence[str] | None = None) -> int:
    """Make a folder that `bench.gpu --carried` takes."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.carry", description=main.__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="is made; may not have anything in it")
    parser.add_argument("--python", default="3.12", help="of the machine (default %(default)s)")
    parser.add_argument(
        "--there", nargs="+", default=[], choices=NEEDED, metavar="NAME", help="what the machine has already"
    )
    parser.add_argument(
        "--data", nargs="+", type=Path, default=[], metavar="DATA.h5ad", help="real cells, a thousand of each"
    )
    given = parser.parse_args(argv)
    try:
        collect(given.folder, given.python, given.there, given.data)
        total = check_size(given.folder)
    except CarriedError as error:
        print(f"bench.gpu.carry: {error}", file=sys.stderr)
        return 1
    command = f"PYTHONPATH=engine:kernels python -m bench.gpu --carried {given.folder.name}"
    (given.folder / "README.txt").write_text(
        f"On a machine with an NVIDIA GPU, Python {given.python} and {', '.join(THERE[:8])}, in the "
        f"checkout, with this folder beside it:\n\n    {command}\n",
        encoding="utf-8",
    )
    print(f"{given.folder}: {total / 1e6:.1f} MB\n{command}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
