"""Generation spread over a Ray cluster, by any generator."""

import importlib.util
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, final

from lit_align.errors import ConfigError, ResourceError
from lit_align.generation import Failure, Generator, Request, Sample, Sampling

_TASKS_PER_WORKER = 2  # so that a worker does not wait for its next requests
_LONGEST = 300


@final
@dataclass(frozen=True, kw_only=True)
class RayGenerator(Generator):
    """Workers on a Ray cluster, each with a copy of another generator; responses come back as tasks finish.

    A worker that dies is replaced and its task repeated. A request that makes a task fail is found by halving the task,
    and only it counts as failed.

    Args:
        inner: What each worker runs.
        num_workers: Number of workers.
        cpus: CPU cores of a worker.
        gpus: GPUs of a worker.
        address: Of a cluster, such as auto; a local one is started unless given.
        requests_per_task: Requests that go to a worker together; what is under way when a run stops is asked for again.
        attempts: How often a task may lose its worker.

    Raises:
        ConfigError: Ray is not installed.
    """

    inner: Generator
    num_workers: int = field(default=1, metadata={"fingerprint": False})
    cpus: float = field(default=1.0, metadata={"fingerprint": False})
    gpus: float = field(default=0.0, metadata={"fingerprint": False})
    address: str | None = field(default=None, metadata={"fingerprint": False})
    requests_per_task: int = field(default=64, metadata={"fingerprint": False})
    attempts: int = field(default=3, metadata={"fingerprint": False})

    def __post_init__(self) -> None:
        """Refuses what cannot work."""
        if importlib.util.find_spec("ray") is None:
            raise ConfigError("Ray is not installed\npip install 'lit-align[ray]'")
        for name in ("num_workers", "requests_per_task", "attempts"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def where(self) -> str:
        return f"by {self.num_workers} Ray workers"

    @property
    def versions_decide(self) -> bool:
        return self.inner.versions_decide

    def describe(self, sampling: Sampling) -> dict[str, Any]:
        return self.inner.describe(sampling)

    def refusal(self, request: Request, *, sampling: Sampling) -> str | None:
        return self.inner.refusal(request, sampling=sampling)

    def generate(
        self,
        requests: Sequence[Request],
        *,
        sampling: Sampling,
        on_result: Callable[[Sample], None],
        on_failure: Callable[[Failure], None],
        done: Collection[tuple[str, int]] = (),
    ) -> None:
        # The same tasks whatever is done: a generator whose batches decide the last bits gets the same ones again.
        tasks = [_Task(requests=part, done=_done(part, done)) for part in _parts(requests, self.requests_per_task)]
        open_tasks = deque(task for task in tasks if task.missing(sampling))
        if not open_tasks:
            return
        with self._cluster(), _Pool(self, sampling) as pool:
            for outcome in pool.outcomes(open_tasks):
                if isinstance(outcome, Sample):
                    on_result(outcome)
                else:
                    on_failure(outcome)

    def status(self) -> str:
        return ""

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        """A connection to the cluster, ended afterwards if it was made here."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if self.address is None:
            # Ray's switch for a node that listens on the loopback address only, whatever the system.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        import ray

        if ray.is_initialized():
            yield
            return
        here = {"num_cpus": ceil(self.num_workers * self.cpus), "include_dashboard": False}
        before = signal.getsignal(signal.SIGTERM)
        ray.init(
            address=self.address,
            log_to_driver=False,
            **(here if self.address is None else {}),
        )
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray takes it; whoever called may have had a use for it
        try:
            if self.address is None and ray.cluster_resources().get("GPU", 0) < self.gpus * self.num_workers:
                raise ResourceError(f"{self.num_workers} workers of {self.gpus:g} GPUs need more than this machine has")
            yield
        finally:
            ray.shutdown()


@final
@dataclass(frozen=True, kw_only=True)
class _Task:
    """Requests that one worker answers together."""

    requests: Sequence[Request]
    done: frozenset[tuple[str, int]]
    lost: int = 0

    def missing(self, sampling: Sampling) -> list[tuple[str, int]]:
        """Keys and indices that are asked for."""
        keys = ((request.key, index) for request in self.requests for index in range(sampling.num_samples))
        return [key for key in keys if key not in self.done]

    def halves(self) -> "list[_Task]":
        """Two tasks in place of this one."""
        middle = len(self.requests) // 2
        return [
            _Task(requests=part, done=_done(part, self.done))
            for part in (self.requests[:middle], self.requests[middle:])
        ]


@final
class _Worker:
    """Runs in a process of its own, with a generator of its own."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    def answer(self, task: _Task, sampling: Sampling) -> list[Sample | Failure]:
        outcomes: list[Sample | Failure] = []
        self._generator.generate(
            task.requests, sampling=sampling, on_result=outcomes.append, on_failure=outcomes.append, done=task.done
        )
        return outcomes


@final
class _Pool:
    """The workers and what each is at; use it in a `with` statement."""

    def __init__(self, options: RayGenerator, sampling: Sampling) -> None:
        self._options, self._sampling = options, sampling
        self._running: dict[Any, tuple[_Task, int]] = {}

    def __enter__(self) -> "_Pool":
        self._workers = [self._start() for _ in range(self._options.num_workers)]
        return self

    def __exit__(self, *exception: object) -> None:
        import ray

        for worker in self._workers:
            ray.kill(worker)

    def outcomes(self, tasks: deque[_Task]) -> Iterator[Sample | Failure]:
        """What came of the tasks, as they finish."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        while tasks or self._running:
            self._fill(tasks)
            (finished,), _ = ray.wait(list(self._running))
            task, worker = self._running.pop(finished)
            try:
                yield from ray.get(finished)
            except RayTaskError as error:
                if isinstance(error.cause, ConfigError):  # no request is to blame
                    raise ConfigError(str(error.cause)) from error
                yield from self._narrow(task, f"{type(error.cause).__name__}: {error.cause}", tasks)
            except RayError as error:
                yield from self._replace(task, worker, str(error), tasks)

    def _start(self) -> Any:
        import ray

        options = {"num_cpus": self._options.cpus, "num_gpus": self._options.gpus}
        # A copy without what it has loaded here.
        return ray.remote(_Worker).options(**options).remote(replace(self._options.inner))  # pyright: ignore[reportArgumentType] - generators are dataclasses

    def _fill(self, tasks: deque[_Task]) -> None:
        busy = [worker for _, worker in self._running.values()]
        for worker in [*range(len(self._workers))] * _TASKS_PER_WORKER:
            if tasks and busy.count(worker) < _TASKS_PER_WORKER:
                task = tasks.popleft()
                self._running[self._workers[worker].answer.remote(task, self._sampling)] = (task, worker)
                busy.append(worker)

    def _narrow(self, task: _Task, reason: str, tasks: deque[_Task]) -> list[Sample | Failure]:
        """Puts a task that raised back in halves; a single request is given up."""
        if len(task.requests) > 1:
            tasks.extendleft(half for half in task.halves() if half.missing(self._sampling))
            return []
        missing = task.missing(self._sampling)
        line = " ".join(reason.split())[:_LONGEST]
        return [Failure(key=key, index=index, reason=line) for key, index in missing]

    def _replace(self, task: _Task, worker: int, reason: str, tasks: deque[_Task]) -> list[Sample | Failure]:
        """Puts a task whose worker was lost back, with a new worker."""
        others = [other for other, (_, at) in self._running.items() if at == worker]
        self._workers[worker] = self._start()
        for other in others:  # they were lost with it, but it was not they that were running
            tasks.appendleft(self._running.pop(other)[0])
        if task.lost + 1 < self._options.attempts:
            tasks.appendleft(replace(task, lost=task.lost + 1))
            return []
        return self._narrow(task, reason, tasks)


def _parts(requests: Sequence[Request], size: int) -> Iterator[Sequence[Request]]:
    return (requests[start : start + size] for start in range(0, len(requests), size))


def _done(requests: Sequence[Request], done: Collection[tuple[str, int]]) -> frozenset[tuple[str, int]]:
    keys = {request.key for request in requests}
    return frozenset(pair for pair in done if pair[0] in keys)
