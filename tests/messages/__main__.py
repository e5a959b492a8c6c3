"""Writes the file of messages anew; look at its difference before it is committed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .wording import GOLDEN, say

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(say(Path(folder)), encoding="utf-8")
