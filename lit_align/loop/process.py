"""Ties a process's life to another's: stages must not outlive the driver that started them."""

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_SECONDS = 1.0


def die_with_parent(parent: int) -> bool:
    """Has this process killed as soon as its parent process `parent` ends, however that ends; false where it cannot."""
    if sys.platform != "linux":
        return False
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the call
        os.kill(os.getpid(), signal.SIGKILL)
    return True


def end_with(pid: int) -> None:
    """Kills this process within seconds of the end of process `pid` on the same machine, by looking for it."""
    threading.Thread(target=_watch, args=(pid,), name="end-with-driver", daemon=True).start()


def _watch(pid: int) -> None:
    while _is_alive(pid):
        time.sleep(_LOOK_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
