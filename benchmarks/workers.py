"""The other end of the protocol: systems as processes that wait, and alternation between them step by step."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.spec import Spec

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, kw_only=True)
class System:
    """Something to measure.

    Attributes:
        name: Of its line in tables.
        module: What its process runs, a module that speaks `benchmarks.gate`.
        spec: What it is told.
        repeats: Its measured steps; a slow one takes part in fewer rounds.
        python: The interpreter of its environment.
        variables: Environment variables of its process, besides those of all.
    """

    name: str
    module: str
    spec: Spec
    repeats: int
    python: str = sys.executable
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Measured:
    """What a system did, step by step; the first step warms it up and does not count.

    Attributes:
        facts: What it said when it was ready.
        imported: Resident bytes after imports.
        steps: What it said after every step: seconds, loss, memory, and more.
    """

    facts: dict[str, Any]
    imported: int
    steps: list[dict[str, float]] = field(default_factory=list)


class WorkerError(Exception):
    """A system ended before it was told to."""


class Worker:
    """A system's process.

    Args:
        system: What to start.
        log: Where its standard error goes.
    """

    def __init__(self, system: System, *, log: Path) -> None:
        self.system = system
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        Path(system.spec.scratch).mkdir(parents=True, exist_ok=True)
        with open(log, "w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                [system.python, "-m", system.module, system.spec.to_json()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env={**_environment(system.spec.threads), **system.variables},
            )
        self.measured: Measured | None = None

    def wait_until_ready(self) -> None:
        """Waits for everything before the first step."""
        answer = self._answer()
        self.measured = Measured(facts=answer["ready"], imported=answer["imported"])

    def step(self) -> dict[str, float]:
        """Lets one step through and waits for its end."""
        assert self.measured is not None
        self._say("go")
        self.measured.steps.append(self._answer())
        return self.measured.steps[-1]

    def stop(self) -> None:
        """Ends the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _say(self, command: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._failed() from error

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failed()
        return json.loads(line)

    def _failed(self) -> WorkerError:
        self._process.wait()
        last = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        return WorkerError(
            f"{self.system.name}: ended with status {self._process.returncode}; all it said is in {self._log}\n"
            + "\n".join(last)
        )


def _environment(threads: int) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH")))),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
    }


@contextmanager
def workers(systems: Sequence[System], *, logs: Path) -> Iterator[dict[str, Worker]]:
    """Processes of systems, ready for their first step; ended with the block."""
    started: dict[str, Worker] = {}
    try:
        for system in systems:
            started[system.name] = Worker(system, log=logs / f"{system.name.replace(' ', '_')}.log")
        for worker in started.values():
            worker.wait_until_ready()
        yield started
    finally:
        for worker in started.values():
            worker.stop()


def alternate(systems: Sequence[System], *, logs: Path, advance: Any) -> dict[str, Measured]:
    """Runs systems step by step, in turn; round 0 warms up.

    Args:
        systems: What to run.
        logs: A folder for their standard errors.
        advance: Called after every step.
    """
    with workers(systems, logs=logs) as ready:
        for number in range(max(system.repeats for system in systems) + 1):
            for system in systems:
                if number <= system.repeats:
                    ready[system.name].step()
                    advance()
        return {name: worker.measured for name, worker in ready.items() if worker.measured is not None}


def to_json(measured: Mapping[str, Measured]) -> dict[str, Any]:
    """As JSON, by the name of the system."""
    return {name: vars(value) for name, value in measured.items()}
