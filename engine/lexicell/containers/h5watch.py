"""A small process that says when HDF5 does not come back, and ends ours on Ctrl-C then.

In a damaged file HDF5 can run in circles, and h5py holds Python's lock meanwhile: no thread runs and no
signal is handled, so only another process can notice. Opening files in a probe with a time limit would cost
each start 0.2 s, and end slow reads that are healthy.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from contextlib import suppress

__all__ = ["Watched"]

#: Seconds between signs of life, and how many have to fail to appear before something is said.
_TICK, _PATIENCE = 1.0, 20
#: It gets lines: "+FILE" that one is open, "-" that one is closed, nothing as a sign of life, "." at the end.
_WATCHER = """
import os, select, signal, sys
parent, tick, patience = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
quiet, n_open, file, asked = 0, 0, "", []
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
while os.getppid() == parent:
    if select.select([0], [], [], tick)[0]:
        said = os.read(0, 1 << 16).decode("utf-8", "replace")
        if not said:
            break
        quiet = 0
        asked.clear()
        for line in said.splitlines():
            if line == ".":
                sys.exit()
            n_open += {"+": 1, "-": -1}.get(line[:1], 0)
            file = line[1:] if line[:1] == "+" else file
    elif n_open:
        quiet += 1
        if quiet == patience:
            sys.stderr.write(
                f"{file}: HDF5 has not come back for {patience * tick:.0f} s; the file may be damaged, or "
                "the disk slow: wait, or end it with Ctrl-C\\n"
            )
            sys.stderr.flush()
        if asked and quiet >= patience:
            os.kill(parent, signal.SIGKILL)
"""


class Watched:
    """While this object is open, so is an HDF5 file, and a watcher sees whether HDF5 comes back from it.

    Parameters
    ----------
    label
        The file, for the message.
    """

    def __init__(self, label: str) -> None:
        self._pid = os.getpid()
        if self._pid not in _PIPES:  # nor has one that this was forked from any use here
            _start(self._pid)
        _tell(self._pid, "+" + label.replace("\n", " ")[:1000])

    def close(self) -> None:
        """Tell that the file is closed."""
        _tell(self._pid, "-")


#: What the watcher of a process reads from; None where there is none.
_PIPES: dict[int, int | None] = {}


def _tell(pid: int, line: str) -> bool:
    """Tell the watcher of this process something; False where there is none, or this is another one."""
    pipe = _PIPES[pid]
    if pipe is None or pid != os.getpid():
        return False
    with suppress(BlockingIOError):  # it is stopped, and so are we
        try:
            os.write(pipe, f"{line}\n".encode("utf-8", "replace"))
        except BrokenPipeError:
            return False
    return True


def _start(pid: int) -> None:
    """Start a watcher of this process, which ends with it, where that is possible."""
    _PIPES[pid] = None
    if not hasattr(os, "posix_spawn") or not sys.executable or getattr(sys, "frozen", False):
        return
    command = [sys.executable, "-I", "-S", "-c", _WATCHER, str(pid), str(_TICK), str(_PATIENCE)]
    try:
        its, ours = os.pipe()
        # Ctrl-C reaches it too, but not before it knows what to do.
        actions = [(os.POSIX_SPAWN_DUP2, its, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
        os.posix_spawn(sys.executable, command, os.environ, file_actions=actions, setsigmask=[signal.SIGINT])
        os.close(its)
    except OSError:  # it is no reason not to read
        return
    os.set_blocking(ours, False)
    _PIPES[pid] = ours

    def live() -> None:
        while _tell(pid, ""):  # until the daemon thread ends with the process
            time.sleep(_TICK)

    atexit.register(_tell, pid, ".")  # from then on no thread lives
    threading.Thread(target=live, name="lexicell-sign-of-life", daemon=True).start()
