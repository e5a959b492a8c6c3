"""Where the real data sets are, for benchmarks and tests: the only place that knows."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["data_folder"]


def data_folder() -> Path:
    """The folder with ``expr/``, ``gene_text/`` and ``tables/``, which may not exist.

    ``$LEXICELL_DATA``, or ``shared/data`` beside the repository.
    """
    return Path(os.environ.get("LEXICELL_DATA") or Path(__file__).parents[2] / "shared" / "data")
