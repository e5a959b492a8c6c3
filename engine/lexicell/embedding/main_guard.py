"""Whether processes of this machine, which import the script that is running, would start some themselves."""

from __future__ import annotations

import inspect
import sys
from types import FrameType

from lexicell.errors import InputError

__all__ = ["GUARD", "check_main_guard"]

#: What to do; ends a sentence.
GUARD = 'put what the script does under `if __name__ == "__main__":`'


def check_main_guard() -> None:
    """Refuse to start processes from a script that they would run again, since each of them imports it.

    In such a process, which only its own script has brought here, it ends: the one that started it tells why.

    Raises
    ------
    InputError
        The script that is running has no guard at all. One that has some may lack it in the right place,
        which shows when the processes start.
    """
    frame = _script()
    if frame is None:
        return
    if frame.f_globals["__name__"] == "__mp_main__":
        raise SystemExit(InputError.exit_code)
    main = sys.modules["__main__"]
    imported_again = hasattr(main, "__file__") and not _is_package_main(main) and not _forks()
    if imported_again and "__name__" not in frame.f_code.co_names:
        msg = f"{main.__file__}: processes of this machine (scheduler='local') import this script; {GUARD}"
        raise InputError(msg)


def _script() -> FrameType | None:
    """The frame of the script that is running, at its top level, where this thread was called from it."""
    frame = inspect.currentframe()
    while frame is not None:
        is_script = frame.f_globals.get("__name__") in ("__main__", "__mp_main__")
        if is_script and frame.f_code.co_name == "<module>":
            return frame
        frame = frame.f_back
    return None


def _forks() -> bool:
    """Whether Dask is told to fork, so that nothing is imported."""
    try:
        import dask
    except ModuleNotFoundError:  # which is told later
        return False
    return bool(dask.config.get("distributed.worker.multiprocessing-method", "spawn") == "fork")


def _is_package_main(main: object) -> bool:
    """Whether it runs as ``python -m PACKAGE``, which no process imports again."""
    spec = getattr(main, "__spec__", None)
    return spec is not None and f".{spec.name}".endswith(".__main__")
