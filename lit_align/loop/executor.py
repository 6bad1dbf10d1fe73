"""Executors: where a stage's process comes from, a fork of the warm parent or a launcher's command."""

import contextlib
import json
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from lit_align.errors import ConfigError, LitAlignError, ResourceError

LAUNCHER = "{python} {worker}"
_CLOSE_SECONDS = 2.0
PRELOAD = ("lit_align.loop.preload",)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A stage to be run.

    Args:
        key: The node's number, returned when it ends.
        spec: The stage's spec; its folder is where the stage is built.
        log: The file that gets its standard output and error.
        environment: The whole environment of the process.
        packages: Packages, besides lit_align's own, whose classes may be run.
        num_devices: For the launcher's `{devices}`.
    """

    key: int
    spec: Path
    log: Path
    environment: Mapping[str, str]
    packages: Collection[str]
    num_devices: int = 1


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A stage's process is over: its exit code, or minus the signal that ended it."""

    key: int
    returncode: int


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The warm parent has imported everything, in so many seconds."""

    seconds: float


Events = queue.Queue[Ended | Ready | LitAlignError]


class Executor(ABC):
    """Starts stages and puts an `Ended` into `events` for each, or an error when no stage can be run at all."""

    @abstractmethod
    def start(self, job: Job) -> None:
        """Starts a stage's process."""

    @abstractmethod
    def terminate(self, key: int) -> None:
        """Asks a stage to stop (SIGTERM)."""

    @abstractmethod
    def kill(self, key: int) -> None:
        """Kills a stage with the processes it has started."""

    @abstractmethod
    def close(self) -> None:
        """Releases everything; running stages are killed."""


@final
class WarmExecutor(Executor):
    """Forks stages from a warm parent that has imported `modules`; the parent starts importing at once.

    Args:
        events: Gets what ends.
        modules: What to import before the first fork.
        environment: The environment in which they are imported.
        log: Gets what the imports print.
        descriptors: File descriptors every stage inherits.
    """

    def __init__(
        self,
        events: Events,
        *,
        modules: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        descriptors: Sequence[int] = (),
    ) -> None:
        self._events = events
        self._log = log
        with open(log, "wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lit_align.loop.warm", *modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=dict(environment),
                pass_fds=descriptors,
            )
        threading.Thread(target=self._listen, name="warm-parent", daemon=True).start()

    def start(self, job: Job) -> None:
        request = {"key": job.key, "spec": str(job.spec), "log": str(job.log)}
        self._send({"start": {**request, "environment": dict(job.environment), "packages": sorted(job.packages)}})

    def terminate(self, key: int) -> None:
        self._send({"signal": [key, signal.SIGTERM]})

    def kill(self, key: int) -> None:
        self._send({"kill": key})

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # ends the parent and its children
        try:
            self._process.wait(timeout=_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # it is still importing
            self._process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `_listen` reports its end
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        is_ready = False
        for line in self._process.stdout:
            answer = json.loads(line)
            if "ready" in answer:
                is_ready = True
                self._events.put(Ready(seconds=answer["ready"]))
            if "failed" in answer:
                cause = f"cannot prepare the stages' processes: {answer['failed']}"
                self._events.put(ConfigError(f"{cause}\nlog: {self._log}"))
                return
            if "ended" in answer:
                key, returncode = answer["ended"]
                self._events.put(Ended(key=key, returncode=returncode))
        code = self._process.wait()
        if not is_ready or code != 0:
            cause = _how_it_ended(code)
            self._events.put(ResourceError(f"the process that all stages are forked from {cause}\nlog: {self._log}"))


@final
class CommandExecutor(Executor):
    """Runs stages through a command such as `torchrun --nproc_per_node {devices} {worker}` or `srun {python} {worker}`.

    Args:
        events: Gets what ends.
        launcher: The command; `{worker}` stands for `-m lit_align.loop.worker SPEC ...`, `{python}` for the
            interpreter, `{devices}` for the stage's number of devices.
        descriptors: File descriptors every stage inherits.
    """

    def __init__(self, events: Events, *, launcher: str = LAUNCHER, descriptors: Sequence[int] = ()) -> None:
        self._events = events
        self._words = launcher_words(launcher)
        self._descriptors = descriptors
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, job: Job) -> None:
        command = self._command(job)
        with open(job.log, "ab") as log:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=dict(job.environment),
                    pass_fds=self._descriptors,
                    start_new_session=True,
                )
            except OSError as error:
                cause = f"cannot start {command[0]}: {error.strerror}"
                raise ConfigError(f"{cause}\nlauncher: {shlex.join(command)}") from error
        self._processes[job.key] = process
        threading.Thread(target=self._wait, args=(job.key, process), daemon=True).start()

    def terminate(self, key: int) -> None:
        self._processes[key].terminate()

    def kill(self, key: int) -> None:
        process = self._processes[key]
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        for key in list(self._processes):
            self.kill(key)

    def _command(self, job: Job) -> list[str]:
        worker = ["-m", "lit_align.loop.worker", str(job.spec), "--driver", f"{socket.gethostname()}:{os.getpid()}"]
        worker += [word for package in sorted(job.packages) for word in ("--package", package)]
        values = {"python": sys.executable, "devices": str(job.num_devices)}
        return [part for word in self._words for part in (worker if word == "{worker}" else [word.format(**values)])]

    def _wait(self, key: int, process: "subprocess.Popen[bytes]") -> None:
        code = process.wait()
        # A shell or launcher reports a signal as 128 plus its number.
        self._events.put(Ended(key=key, returncode=128 - code if code > 128 else code))


def launcher_words(launcher: str) -> list[str]:
    """The words of a launcher command.

    Raises:
        ConfigError: It has no word `{worker}`, or an unknown placeholder.
    """
    words = shlex.split(launcher)
    if "{worker}" not in words:
        raise ConfigError(f"the launcher needs the word {{worker}}: {launcher!r}\nFor example: torchrun {{worker}}")
    try:
        [word.format(python="", devices="", worker="") for word in words]
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(f"unknown placeholder in the launcher {launcher!r}: {error}") from error
    return words


def _how_it_ended(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
