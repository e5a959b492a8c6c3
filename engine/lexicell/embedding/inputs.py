"""Where counts lie and where vectors go, in words that another process understands too."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lexicell.counts import CountSource, expand_inputs, open_counts, open_many
from lexicell.errors import InputError
from lexicell.store import check_folder, check_output

__all__ = ["DTYPES", "Inputs", "Mode", "Output", "inputs_of", "open_data", "run_mode"]

DTYPES: dict[str, str] = {"f32": "float32", "f16": "float16"}
#: Whether a run begins, replaces what is there, or goes on.
Mode = Literal["new", "overwrite", "resume"]


@dataclass(frozen=True)
class Inputs:
    """Where counts lie, so that another process can open them too.

    Attributes
    ----------
    paths
        Files, folders or URLs; their rows follow one another.
    layer, use_raw, modality, follow_links
        See `lexicell.counts.open_counts`.
    """

    paths: tuple[str, ...]
    layer: str | None = None
    use_raw: bool = False
    modality: str | None = None
    follow_links: bool = False

    def open(self) -> CountSource:
        """Open them as one source."""
        return open_many(
            self.paths,
            layer=self.layer,
            use_raw=self.use_raw,
            modality=self.modality,
            follow_links=self.follow_links,
        )


def inputs_of(
    data: Any, layer: str | None, modality: str | None, *, use_raw: bool, follow_links: bool = False
) -> Inputs | None:
    """Inputs of a path, a pattern or several; None for an AnnData, which only this process has."""
    if not isinstance(data, str | os.PathLike | Sequence):
        return None
    named = [data] if isinstance(data, str | os.PathLike) else data
    return Inputs(tuple(expand_inputs(named)), layer, use_raw, modality, follow_links)


def open_data(
    data: Any,
    layer: str | None = None,
    modality: str | None = None,
    *,
    use_raw: bool = False,
    follow_links: bool = False,
) -> CountSource:
    """Open counts, of an AnnData or from files, whose cells follow one another; see `lexicell.embed`."""
    inputs = inputs_of(data, layer, modality, use_raw=use_raw, follow_links=follow_links)
    if inputs is not None:
        return inputs.open()
    return open_counts(data, layer=layer, use_raw=use_raw, modality=modality)


@dataclass(frozen=True, slots=True)
class Output:
    """Where vectors go, and how.

    Attributes
    ----------
    path
        A ``.zarr``, here or at a URL, or an ``.h5ad``.
    dtype
        ``"f32"`` or ``"f16"``.
    obs_columns
        Columns of ``obs`` that a ``.zarr`` gets.
    mode
        What to do with what is there.
    """

    path: Path | str
    dtype: str = "f32"
    obs_columns: tuple[str, ...] = ()
    mode: Mode = "new"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            msg = f"dtype is one of {', '.join(DTYPES)}, not {self.dtype!r}"
            raise InputError(msg)

    def check(self, data: Any, *, copied: bool = True) -> None:
        """Raise what `lexicell.store.check_output` does; `data` is where the counts are from."""
        if self.mode == "resume" and self.is_h5ad:
            msg = f"{self.path}: only a run to a .zarr can be continued; give --overwrite, or a .zarr"
            raise InputError(msg)
        self._check(data, partial(check_output, copied=copied))

    def check_folder(self, data: Any) -> None:
        """Raise what `lexicell.store.check_folder` does, of a folder that is no ``.zarr``."""
        self._check(data, check_folder)

    def _check(self, data: Any, check: Callable[..., Any]) -> None:
        if self.mode == "resume" and not isinstance(data, Inputs):
            msg = f"{self.path}: what is in memory can't be recognised, so no run is continued with it"
            raise InputError(msg)
        overwrite, resume = self.mode == "overwrite", self.mode == "resume"
        for source in data.paths if isinstance(data, Inputs) else (data,):
            check(self.path, overwrite=overwrite, resume=resume, data=source)

    @property
    def is_h5ad(self) -> bool:
        """Whether it is one file, which is written in order and can't be continued."""
        return str(self.path).endswith(".h5ad")


def run_mode(*, overwrite: bool, resume: bool) -> Mode:
    """Mode of a run; InputError where both are asked for."""
    if overwrite and resume:
        msg = "a run goes on (--resume) or starts over (--overwrite); give one of them"
        raise InputError(msg)
    return "overwrite" if overwrite else "resume" if resume else "new"
