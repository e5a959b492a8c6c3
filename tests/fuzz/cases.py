"""A case: an input is chosen, copied, damaged and used as its users do, and what came of it is told."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from tests.fuzz.edits import edit
from tests.fuzz.inputs import CHECKED, INPUTS

import lexicell
from lexicell.counts import Scratch, open_counts
from lexicell.errors import LexicellError

__all__ = ["MEMORY", "Cases"]

#: Bytes that a case may add to the process.
MEMORY = 2 << 30


def _silent(_: object) -> None:
    """Take events and say nothing."""


class Cases:
    """Runs cases by their number.

    Parameters
    ----------
    inputs
        What `write_inputs` wrote.
    work
        Folder for damaged copies and outputs.
    """

    def __init__(self, inputs: Path, work: Path) -> None:
        self._inputs, self._work = inputs, work
        self._cells = anndata.read_h5ad(inputs / "gzip.h5ad")
        #: What is read of each input when it is whole.
        self._whole = {name: self._use(name, inputs / name) for name in INPUTS}
        for name in ("gzip.h5ad", "tenx3.h5", "packed.zarr", "v2dense.zarr"):  # compiles before time is taken
            for choice in (0, 1):
                self._use(name, inputs / name, choice)

    def run(self, number: int, begin: Callable[[dict[str, Any]], None] = lambda _: None) -> dict[str, Any]:
        """Run one case.

        Parameters
        ----------
        number
            Which.
        begin
            Is told the number, the input and the edit before the input is used.

        Returns
        -------
        Its number, input and edits, how it ended ("same", "other", or the class of the error) and, where that
        must not be, ``fault``.
        """
        rng = np.random.default_rng(number)
        name = INPUTS[int(rng.integers(len(INPUTS)))]
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir()
        path, source = self._work / name, self._inputs / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, path)
        told, only_bytes = edit(rng, path)
        result: dict[str, Any] = {"case": number, "input": name, "edit": told}
        begin(result)
        result["fault"] = None
        before, started = _resident(reset=True), time.perf_counter()
        try:
            found = self._use(name, path, int(rng.integers(6)))
        except LexicellError as error:
            result |= {"end": type(error).__name__, "said": str(error)[:300]}
            if "\n" in str(error):
                result["fault"] = "more than a sentence"
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-4:]
            places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in at]
            result |= {
                "end": type(error).__name__,
                "said": str(error)[:200],
                "fault": f"untyped, at {places}",
            }
        else:
            result["end"] = "same" if _same(found, self._whole[name]) else "other"
            if result["end"] == "other" and only_bytes and name in CHECKED:
                result["fault"] = "silently other values, past a checksum"
        peak = _resident(reset=False) - before
        result |= {"seconds": round(time.perf_counter() - started, 2), "mib": peak >> 20}
        if peak > MEMORY:
            result["fault"] = f"{peak / 2**30:.1f} GiB"
        return result

    def end_of(self, name: str, path: Path) -> str:
        """How reading a damaged copy of an input ends: "same", "other", or the class of the error."""
        try:
            found = self._use(name, path)
        except LexicellError as error:
            return type(error).__name__
        return "same" if _same(found, self._whole[name]) else "other"

    def _use(self, name: str, path: Path, choice: int = 2) -> list[Any]:
        """Use an input; with `choice` 0 or 1 cells are also packed or embedded."""
        if name in ("lexicon", "projection"):
            cells = self._cells.copy()
            if name == "lexicon":
                lexicon = lexicell.Lexicon.open(path)
                lexicon.read_notes()
                lexicell.tl.embed(cells, lexicon=lexicon)
            else:
                lexicell.tl.embed(cells, projection=str(path), lexicon=str(self._inputs / "lexicon"))
            return [cells.obsm["X_lexicell"]]
        if name == "store.zarr":
            store = lexicell.open_embedding(path)
            columns = {column: store.obs[column].astype(str).tolist() for column in store.obs}
            return [np.asarray(store.obsm["X_lexicell"]), store.obs_names.tolist(), columns]
        found = _read(path)
        if choice < 2:
            verb: Callable[..., object] = lexicell.embed if choice else lexicell.pack
            options = {"min_coverage": 0.0} if choice else {}
            output = self._work / "out.zarr"
            shutil.rmtree(output, ignore_errors=True)
            verb(str(path), output, workers=1, listener=_silent, **options)
            if choice:
                lexicell.open_embedding(output)
            shutil.rmtree(output, ignore_errors=True)
        return found


def _read(path: Path) -> list[Any]:
    """All that is read of cells: names, tables, columns, values as they are stored by cells."""
    with open_counts(path) as source:
        if source.n_cells > 10**6:
            return [source.n_cells]
        names = source.names(0, source.n_cells).tolist()
        obs = source.read_obs(list(source.obs_columns), 0, source.n_cells)
        scratch, values = Scratch(), []
        for start, stop in source.spans(3000):
            block = source.read(start, stop, scratch)
            values.append((block.data.copy(), block.indices.copy(), np.diff(block.indptr)))
        list(source.peek(100))
        columns = {column: obs[column].astype(str).tolist() for column in obs}
        return [names, source.var.index.tolist(), columns, *map(np.concatenate, zip(*values, strict=True))]


def _same(found: list[Any], whole: list[Any]) -> bool:
    return len(found) == len(whole) and all(
        np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
        for one, other in zip(found, whole, strict=True)
    )


def _resident(*, reset: bool) -> int:
    """Bytes of memory: now, and from now on, or the most since that was asked."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
