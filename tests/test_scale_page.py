"""The commands at the top of docs/scale.md, on two small files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anndata
import pytest

if TYPE_CHECKING:
    from anndata import AnnData

pytestmark = pytest.mark.slow


def test_the_commands_in_short_make_an_atlas_and_its_embedding(
    repository: Path, tmp_path: Path, cells: AnnData
) -> None:
    page = (repository / "docs" / "scale.md").read_text(encoding="utf-8")
    block = re.findall(r"```\n(.*?)```", page, flags=re.DOTALL)[0]
    lines = [line.partition("#")[0].strip() for line in block.splitlines()]
    assert [line.split()[1] for line in lines] == ["pack", "embed", "embed", "verify"]
    (tmp_path / "atlas").mkdir()
    for name, part in (("a", cells[:70]), ("b", cells[70:])):
        part.copy().write_h5ad(tmp_path / "atlas" / f"{name}.h5ad")
    program = f'lexicell() {{ "{sys.executable}" -m lexicell "$@"; }}\nset -e\n' + "\n".join(lines)
    subprocess.run(["bash", "-c", program], cwd=tmp_path, check=True, env=os.environ)
    written = anndata.read_zarr(tmp_path / "out.zarr")
    assert written.obs_names.tolist() == cells.obs_names.tolist()
    assert written.obsm["X_lexicell"].dtype == "float16"
