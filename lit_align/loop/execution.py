"""One run of a plan: starts what is ready, puts finished stages in place, and stops in order when something fails."""

import os
import queue
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from lit_align.errors import Interrupted, LitAlignError
from lit_align.files import write_json
from lit_align.loop.display import Display, tail
from lit_align.loop.executor import Ended, Events, Executor, Job, Ready
from lit_align.loop.failure import stage_error
from lit_align.loop.manifest import LOG, SPEC
from lit_align.loop.observer import Observer
from lit_align.loop.plan import Node
from lit_align.loop.spec import encode_stage, packages_of
from lit_align.loop.store import Store, building_folder

_LOOK_EVERY_SECONDS = 0.2
_LOG_LINES = 20


@dataclass(frozen=True, kw_only=True)
class Executors:
    """Where stages run: `local` on one device or none, `command` on several."""

    local: Executor | None
    command: Executor
    events: Events

    def of(self, node: Node) -> Executor:
        """The executor of a stage."""
        executor = self.command if node.num_devices > 1 else self.local
        assert executor is not None  # there is one where a stage needs it
        return executor

    def close(self) -> None:
        """Kills what runs and releases everything."""
        for executor in (self.local, self.command):
            if executor is not None:
                executor.close()


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a plan is run; nothing here changes what comes out.

    Args:
        parallel: Stages at once.
        threads: CPU threads of each.
        verify: Compare the hashes of cached files.
        grace_seconds: How long an interrupted stage may take to save its state.
        code: Versions of the code, for the manifests.
    """

    parallel: int
    threads: int
    verify: bool
    grace_seconds: float
    code: Mapping[str, Any]


@final
class Execution:
    """Runs the nodes of a plan, each when what it waits for is done."""

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        store: Store,
        executors: Executors,
        observer: Observer,
        display: Display,
        options: Options,
    ) -> None:
        self._pending = list(nodes)
        self._store = store
        self._executors = executors
        self._observer = observer
        self._display = display
        self._options = options
        self._running: dict[int, Node] = {}
        self._done: set[Node] = set()
        self._num_built = 0
        self._failure: LitAlignError | None = None

    def run(self) -> int:
        """Runs to the end and returns the number of stages that were built.

        Raises:
            LitAlignError: The first stage's failure; stages that ran beside it have ended by themselves.
            Interrupted: By Ctrl-C or SIGTERM; the stages were asked to stop and have ended.
        """
        try:
            self._start_ready()
            while self._running:
                self._wait()
                self._start_ready()
        except (KeyboardInterrupt, Interrupted) as error:
            self._stop()
            raise Interrupted("interrupted\nThe same command continues where it stopped.") from error
        if self._failure is not None:
            raise self._failure
        return self._num_built

    def _start_ready(self) -> None:
        # In the order of the plan, so one pass also reaches what cached stages make ready.
        for node in list(self._pending):
            if self._failure is not None:
                return
            if not self._done.issuperset(node.waits_for):
                continue
            status = self._store.status(node.artifact, full=self._options.verify)
            if status.is_cached:
                self._use_cached(node, rename=status.state == "sealed")
            elif len(self._running) < self._options.parallel:
                if status.state == "damaged":
                    self._display.print(f"{node.label}: built again, because {status.fault}")
                self._start(node, resumed=status.state == "interrupted")

    def _use_cached(self, node: Node, *, rename: bool) -> None:
        manifest = self._store.commit(node.artifact) if rename else self._store.manifest(node.artifact)
        self._pending.remove(node)
        self._done.add(node)
        self._display.cached(node)
        self._observer.on_stage_end(node, manifest, cached=True)

    def _start(self, node: Node, *, resumed: bool) -> None:
        self._pending.remove(node)
        added = self._observer.on_stage_start(node)
        folder = self._store.begin(node.artifact, resumable=node.stage.resumable)
        stage = encode_stage(node.stage, store=self._store.root)
        spec = {
            "stage": stage,
            "fingerprint": node.artifact.fingerprint,
            "title": node.title,
            "iteration": node.iteration,
            "threads": self._options.threads,
            "resumed": resumed and node.stage.resumable,
            "code": dict(self._options.code),
        }
        write_json(folder / SPEC, spec)
        job = Job(
            key=node.number,
            spec=folder / SPEC,
            log=folder / LOG,
            environment={**stage_environment(self._options.threads), **added},
            packages=packages_of(stage),
            num_devices=node.num_devices,
        )
        self._running[node.number] = node
        self._display.started(node, folder)
        self._executors.of(node).start(job)

    def _wait(self) -> None:
        try:
            event = self._executors.events.get(timeout=_LOOK_EVERY_SECONDS)
        except queue.Empty:
            self._display.tick()
            return
        if isinstance(event, Ended):
            self._end(event)
        elif isinstance(event, Ready):
            self._display.ready(event.seconds)
        else:
            for node in self._running.values():
                self._observer.on_stage_failed(node, event)
            raise event

    def _end(self, event: Ended) -> None:
        node = self._running.pop(event.key)
        self._display.tick()
        if event.returncode == 0 and self._store.status(node.artifact).state == "sealed":
            manifest = self._store.commit(node.artifact)
            self._done.add(node)
            self._num_built += 1
            self._display.done(node, manifest)
            self._observer.on_stage_end(node, manifest, cached=False)
            return
        folder = building_folder(node.artifact)
        error = stage_error(node, returncode=event.returncode, folder=folder)
        self._display.ended(node, "interrupted after" if isinstance(error, Interrupted) else "failed after")
        if type(error) is LitAlignError:  # the cause is only in the log
            for line in tail(folder / LOG, lines=_LOG_LINES):
                self._display.print(f"[{node.label}] {line}")
        self._observer.on_stage_failed(node, error)
        self._failure = self._failure or error

    def _stop(self) -> None:
        deadline = time.monotonic() + self._options.grace_seconds
        self._display.print(f"stopping {len(self._running)} stages; again to stop at once")
        try:
            for key, node in self._running.items():
                self._executors.of(node).terminate(key)
            while self._running and time.monotonic() < deadline:
                self._wait()
        except (KeyboardInterrupt, Interrupted):
            pass
        for key, node in self._running.items():
            self._executors.of(node).kill(key)
            self._observer.on_stage_failed(node, Interrupted("killed"))


def stage_environment(threads: int) -> dict[str, str]:
    """The whole environment of a stage's process: the driver's, its import path, its threads, a fixed hash seed."""
    environment = dict(os.environ)
    added = [path or os.getcwd() for path in sys.path if not path.startswith((sys.prefix, sys.base_prefix))]
    environment["PYTHONPATH"] = os.pathsep.join(added)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = str(threads)
    # The order of sets of strings must not differ between a run and its continuation.
    environment.setdefault("PYTHONHASHSEED", "0")
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Without it torch.cuda.is_available() in the parent would take CUDA from all its forks.
    environment.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    environment["PYTHONUNBUFFERED"] = "1"
    return environment
