"""What docs/report.md tells a person to type is typed here, with the demo's cells."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def test_the_commands_make_pages(repository, tmp_path, cells):
    pytest.importorskip("umap")
    pytest.importorskip("jinja2")
    page = (repository / "docs" / "report.md").read_text(encoding="utf-8")
    cells.obs["cell_type"] = cells.obs["bulk_labels"].astype(str).str.slice(0, 3)
    cells.write_h5ad(tmp_path / "pbmc3k.h5ad")
    lines = re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)[0].splitlines()
    assert [line.split()[1] for line in lines] == ["embed", "report", "report"]
    for line in lines:
        words = [sys.executable, "-m", *shlex.split(line)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for name in ("pbmc3k.html", "asked.html"):
        assert (tmp_path / name).read_text(encoding="utf-8").count("<section") >= 4
