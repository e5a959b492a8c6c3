"""Wheels carried to a machine without a network: a wheel is a zip file, so no pip is needed there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from zipfile import ZipFile

__all__ = ["FACTS", "CarriedError", "unpack"]

#: What is in a carried folder, as JSON.
FACTS = "carried.json"


class CarriedError(Exception):
    """A carried folder can't be used; the text says why."""


def unpack(folder: Path, into: Path) -> Path:
    """Unpack all wheels.

    Parameters
    ----------
    folder
        From `bench.gpu.carry`.
    into
        An empty folder.

    Returns
    -------
    Path
        For ``PYTHONPATH``; goes before what is installed, so that versions fit each other.

    Raises
    ------
    CarriedError
        It is no such folder, or it was made for another Python.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{folder} is no folder from `python -m bench.gpu.carry`: it has no {FACTS}"
        raise CarriedError(msg) from error
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if facts["python"] != here:
        msg = f"{folder} is for Python {facts['python']}, and this is {here}: make it with --python {here}"
        raise CarriedError(msg)
    for wheel in sorted((folder / "wheels").glob("*.whl")):
        with ZipFile(wheel) as held:
            held.extractall(into)  # made by ourselves
    return into
