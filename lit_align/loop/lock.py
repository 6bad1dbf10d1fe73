"""One runner a workdir: a file lock that the stages' processes inherit and hold as long as any of them lives."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lit_align.errors import ConfigError

LOCK = "lock"
_PATIENCE_SECONDS = 30.0  # where the system does not kill it, the warm parent first ends its imports


@contextmanager
def lock_workdir(workdir: Path, *, patience: float = _PATIENCE_SECONDS) -> Iterator[int]:
    """Holds the lock of `workdir` and yields its file descriptor, for stage processes to inherit.

    A killed runner's stages need a moment to die: where the holder is gone, waits up to `patience` seconds for them.

    Raises:
        ConfigError: Another runner, or stages that an earlier one left, work in this folder.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    handle = os.open(workdir / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(handle, workdir, patience)
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _acquire(handle: int, workdir: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while not _try_lock(handle):
        pid, host = _holder(handle)
        here = host == socket.gethostname()
        if not (here and _is_gone(pid)):
            place = f"process {pid}" if here else f"process {pid} on {host}"
            raise ConfigError(
                f"another runner works in {workdir}: {place}\nWait for it, end it, or use another --workdir."
            )
        if time.monotonic() > deadline:
            raise ConfigError(
                f"stages that a killed runner (process {pid}) left behind still work in {workdir}\n"
                f"Wait for them or end them; `fuser {workdir / LOCK}` names them."
            )
        time.sleep(0.05)


def _try_lock(handle: int) -> bool:
    try:
        import fcntl
    except ImportError as error:
        raise ConfigError("the loop needs Linux or macOS; on Windows run it in WSL") from error
    try:
        # flock belongs to the open file, so a child that inherits the descriptor holds the lock too.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(handle: int) -> tuple[int, str]:
    try:
        value = json.loads(os.pread(handle, 4096, 0))
        return int(value["pid"]), str(value["host"])
    except (ValueError, KeyError):
        return 0, socket.gethostname()  # the holder has just locked and not yet written who it is


def _is_gone(pid: int) -> bool:
    if pid == 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
