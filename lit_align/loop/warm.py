"""The warm parent: a process that imports everything once, touches no accelerator, and forks a child a stage.

Python's own `forkserver` drops a preload that fails without a word, imports the driver's main script again in every
child, and exists once a process; this one reports, knows nothing of the driver's script, and ends with its driver. It
reads JSON lines on standard input and answers on standard output:

    {"start": {"key", "spec", "log", "environment", "packages"}}     ->   {"ended": [key, returncode]}
    {"signal": [key, number]}   {"kill": key}

The first answer is `{"ready": seconds}`, or `{"failed": reason}` before it exits. End of input kills all children.
"""

import atexit
import gc
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, final

from lit_align.loop.process import die_with_parent, end_with
from lit_align.loop.worker import run_spec


def main(modules: Sequence[str]) -> int:
    """Imports `modules`, then serves requests until the driver ends."""
    # Libraries print while they are imported; only answers may reach the driver.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    die_with_parent(os.getppid())  # the end of input is not seen before all is imported
    begun = time.monotonic()
    if (failure := _preload(modules)) is not None:
        print(json.dumps({"failed": failure}), file=answers)
        return 1
    gc.freeze()  # what is shared with the children is not touched by their collector
    print(json.dumps({"ready": time.monotonic() - begun}), file=answers)
    _WarmParent(answers).serve()
    return 0


def _preload(modules: Sequence[str]) -> str | None:
    for name in modules:
        try:
            import_module(name)
        except Exception as error:  # whatever a module raises while imported is reported to the driver
            return f"{name}: {type(error).__name__}: {error}"
    if "torch" in sys.modules and _forks_have_lost_cuda():
        return "a module touches CUDA while it is imported, after which no forked process can use it"
    return None


def _forks_have_lost_cuda() -> bool:
    # Asked in a fork, which is what loses it: even the question whether there is a device is enough, and libraries ask.
    pid = os.fork()
    if pid == 0:
        in_bad_fork = getattr(sys.modules["torch"]._C, "_cuda_isInBadFork", bool)
        os._exit(int(in_bad_fork()))
    return os.waitpid(pid, 0)[1] != 0


@final
class _WarmParent:
    def __init__(self, answers: Any) -> None:  # a text stream
        self._answers = answers
        self._children: dict[int, int] = {}  # process id to key
        self._buffer = b""
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        self._descriptors = (self._woken, wake)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake)

    def serve(self) -> None:
        while True:
            ready, _, _ = select.select([0, self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._reap()
            if 0 in ready:
                data = os.read(0, 65_536)
                if not data:
                    return self._kill_all()
                *lines, self._buffer = (self._buffer + data).split(b"\n")
                for line in lines:
                    self._handle(json.loads(line))

    def _handle(self, message: dict[str, Any]) -> None:
        if "start" in message:
            self._fork(message["start"])
        elif "signal" in message:
            key, number = message["signal"]
            for pid in self._pids(key):
                os.kill(pid, number)
        else:
            for pid in self._pids(message["kill"]):
                _kill_group(pid)

    def _fork(self, request: dict[str, Any]) -> None:
        parent = os.getpid()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            self._become_child(request, parent)
        self._children[pid] = request["key"]

    def _become_child(self, request: dict[str, Any], parent: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.setsid()
            for descriptor in self._descriptors:
                os.close(descriptor)
            self._answers.close()
            code = _child(request, parent)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            # Not through the interpreter's teardown, where native libraries crash when the work is already done.
            os._exit(code)

    def _reap(self) -> None:
        for pid, key in list(self._children.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del self._children[pid]
                print(json.dumps({"ended": [key, os.waitstatus_to_exitcode(status)]}), file=self._answers)

    def _pids(self, key: int) -> list[int]:
        return [pid for pid, own in self._children.items() if own == key]

    def _kill_all(self) -> None:
        for pid in self._children:
            _kill_group(pid)


def _child(request: dict[str, Any], parent: int) -> int:
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(request["environment"])
    if not die_with_parent(parent):
        end_with(parent)
    code = run_spec(Path(request["spec"]), packages=request["packages"])
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _kill_group(pid: int) -> None:
    # The child leads its own group, unless it has not come to that line yet.
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
