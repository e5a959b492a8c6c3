"""``python -m tests.distribution [--dist dist]``: build wheel and sdist, and use them as a newcomer would.

The wheel is made from the sdist, and installed alone into an empty environment. There the README's commands
are typed: one that needs an extra has to say which; it is installed, and the command is typed again.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from tests.test_readme import blocks, commands, write_my_cells

REPOSITORY = Path(__file__).parents[2]
CONSTRAINTS = REPOSITORY / "constraints.txt"
LARGEST_WHEEL = 25_000_000
#: Typed by the tests of the README, which have a server that stands for NCBI's.
FROM_NCBI = ("human.parquet", "my-lexicon")


def main() -> int:
    """Build, look inside, install, type."""
    parser = argparse.ArgumentParser(prog="python -m tests.distribution", description=main.__doc__)
    parser.add_argument("--dist", type=Path, default=REPOSITORY / "dist", help="where wheel and sdist go")
    given = parser.parse_args()
    shutil.rmtree(given.dist, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", str(given.dist), str(REPOSITORY))
    (wheel,), (sdist,) = given.dist.glob("*.whl"), given.dist.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist))
    look_inside(wheel, sdist)
    with tempfile.TemporaryDirectory() as folder:
        Newcomer(Path(folder), wheel).use()
    return 0


def run(*command: str) -> None:
    """Run a command that has to succeed, and show what it says if it does not."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")


def look_inside(wheel: Path, sdist: Path) -> None:
    """Refuse a wheel that is large, lacks a file or holds one too many, and an sdist without its tests."""
    listed = subprocess.run(
        ["git", "ls-files", "engine", "kernels"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    tracked = {name.split("/", 1)[1] for name in listed}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    if packed != tracked:
        sys.exit(f"the wheel lacks {sorted(tracked - packed)} and has {sorted(packed - tracked)} too many")
    size = wheel.stat().st_size
    if size > LARGEST_WHEEL:
        sys.exit(f"the wheel has {size:,} bytes, more than {LARGEST_WHEEL:,}")
    with tarfile.open(sdist) as archive:
        top = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    missing = {
        "Makefile",
        "constraints.txt",
        "docs",
        "tests",
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
    } - top
    if missing:
        sys.exit(f"the sdist lacks {sorted(missing)}")
    print(f"{wheel.name}: {size / 1e6:.1f} MB, {len(packed)} files")
    print(f"{sdist.name}: {sdist.stat().st_size / 1e6:.1f} MB")


class Newcomer:
    """Somebody with an empty environment, an empty home, cells of their own, and the wheel."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.wheel = wheel
        self.work, self.home, environment = (folder / name for name in ("work", "home", "environment"))
        self.work.mkdir()
        self.home.mkdir()
        venv.create(environment, with_pip=True)
        self.python = environment / "bin" / "python"
        self.extras: list[str] = []

    def use(self) -> None:
        """Install, import with warnings as errors, and type what the README says."""
        self.install()
        self.must_succeed("-W", "error", "-c", "import lexicell")
        self.must_succeed("-m", "lexicell", "--version")
        self.bring_cells()
        lines = [line for line in commands() if not line.startswith("make ")]
        lines = [line for line in lines if not any(name in line for name in FROM_NCBI)]
        for line in lines:
            program, *words = shlex.split(line)
            if program != ".venv/bin/lexicell":
                sys.exit(f"the README says {line!r}, which is no command of lexicell")
            if not self.must_succeed("-m", "lexicell", *words):
                sys.exit(f"{line} printed nothing")
        self.must_succeed("-c", blocks("python")[0])
        print(
            f"{len(lines)} commands of the README typed; extras that they asked for: {', '.join(self.extras)}"
        )

    def install(self) -> None:
        """Bring the wheel, with the extras that were asked for so far."""
        target = f"{self.wheel}[{','.join(self.extras)}]" if self.extras else str(self.wheel)
        options = ["--quiet", "--no-compile", "--disable-pip-version-check", "-c", str(CONSTRAINTS)]
        command = ["-m", "pip", "install", *options, target]
        done = subprocess.run([str(self.python), *command], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{target} cannot be installed:\n{done.stderr}")

    def must_succeed(self, *words: str) -> str:
        """Run Python, with any extra that it asks for by the line that brings it; returns what it prints."""
        for _ in range(4):
            done = self.typed(*words)
            if not done.returncode:
                return done.stdout
            asked = re.search(r'pip install "lexicell\[([a-z0-9]+)\]"', done.stderr)
            if "Traceback" in done.stderr and words[0] != "-c":
                break
            if not asked or asked[1] in self.extras:
                break
            self.extras.append(asked[1])
            self.install()
        sys.exit(f"python {shlex.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")

    def typed(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Python with nothing of the repository on its path."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "LEXICELL", "XDG"))
        }
        return subprocess.run(
            [str(self.python), *words],
            cwd=self.work,
            env=kept | {"HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=False,
        )

    def bring_cells(self) -> None:
        """Write real cells of this environment's scanpy as the newcomer's."""
        from lexicell.cli.demo import load_cells

        write_my_cells(load_cells()[:120].copy(), self.work)


if __name__ == "__main__":
    sys.exit(main())
