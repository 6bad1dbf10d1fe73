"""The runner: takes the stages a program adds, in order, and builds what is not built yet."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, final

from lit_align.errors import ConfigError, Interrupted
from lit_align.files import atomic_write
from lit_align.loop.display import Display, make_display, seconds
from lit_align.loop.execution import Execution, Executors, Options, stage_environment
from lit_align.loop.executor import LAUNCHER, PRELOAD, CommandExecutor, Events, WarmExecutor, launcher_words
from lit_align.loop.failure import telling
from lit_align.loop.inputs import HashCache, external
from lit_align.loop.lock import lock_workdir
from lit_align.loop.manifest import provenance
from lit_align.loop.observer import Observer, RunStatus
from lit_align.loop.plan import Node, describe_plan, label
from lit_align.loop.stage import Artifact, Stage, inputs
from lit_align.loop.store import Store

RECIPE = "recipe.yaml"
_ORPHAN_DAYS = 7.0


@final
class Runner:
    """Builds a program's stages in a workdir, and nothing twice.

    Args:
        workdir: Holds the store, the lock and whatever the program writes in the end.
        name: The run's name; default: the folder's.
        recipe: What is run, as YAML; kept in `recipe.yaml` of the workdir.
        observer: Is told what happens.
        parallel: Stages at once; default: the number of CPUs, or 1 where there is a GPU.
        threads: CPU threads of each stage; default: the CPUs divided by `parallel`.
        launcher: Command for stages on several devices; see `CommandExecutor`.
        preload: Modules that the parent of all stages imports once, besides those in which the stages are defined.
        verify: Compare the hashes of all cached files with their manifests, not the sizes only.
        verbose: Show what the stages print.
        grace_seconds: How long interrupted stages may take to save their state.
    """

    def __init__(
        self,
        workdir: str | Path,
        *,
        name: str | None = None,
        recipe: str | None = None,
        observer: Observer | None = None,
        parallel: int | None = None,
        threads: int | None = None,
        launcher: str = LAUNCHER,
        preload: Sequence[str] = PRELOAD,
        verify: bool = False,
        verbose: bool = False,
        grace_seconds: float = 30.0,
    ) -> None:
        self.workdir = Path(os.path.abspath(Path(workdir).expanduser()))
        self.name = name or self.workdir.name
        self.store = Store(self.workdir)
        self.parallel = _positive("parallel", parallel, default=1 if _has_gpu() else _num_cpus())
        self.threads = _positive("threads", threads, default=max(1, _num_cpus() // self.parallel))
        launcher_words(launcher)
        self._launcher = launcher
        self._recipe = recipe
        self.observer = observer or Observer()
        self._preload = tuple(preload)
        self._verify = verify
        self._verbose = verbose
        self._grace_seconds = grace_seconds
        self._hashes = HashCache(self.workdir / "hashes.json")
        self._nodes: list[Node] = []

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The stages in the order in which they were added."""
        return tuple(self._nodes)

    def external(self, source: str | Path, *, title: str | None = None, revision: str | None = None) -> Artifact:
        """An input from outside, by content; see `lit_align.loop.external`. Hashes of unchanged files are kept."""
        return external(source, title=title, revision=revision, hashes=self._hashes)

    def add(self, stage: Stage, *, title: str, iteration: int | None = None, num_devices: int = 1) -> Artifact:
        """Adds a stage to the plan and returns what will come of it; nothing is run yet.

        Raises:
            ValueError: The title is taken in this iteration, or an input's stage was not added before.
        """
        if any((node.title, node.iteration) == (title, iteration) for node in self._nodes):
            raise ValueError(f"two stages are titled {title!r} in iteration {iteration}")
        if type(stage).__module__ == "__main__":
            raise ConfigError(f"{type(stage).__name__} must be defined in a module that its process can import")
        artifact = self.store.artifact(stage, title=label(title, iteration))
        node = Node(
            number=len(self._nodes) + 1,
            title=title,
            iteration=iteration,
            stage=stage,
            artifact=artifact,
            waits_for=tuple(self._parents(stage, artifact)),
            num_devices=num_devices,
        )
        self._nodes.append(node)
        return artifact

    def describe(self) -> str:
        """The plan, a line a stage: cached or to run, and why. Nothing is run or written."""
        return describe_plan(self._nodes, store=self.store, full=self._verify)

    def run(
        self, *, finish: Callable[[], int | None] = lambda: None, stopped: Callable[[], None] = lambda: None
    ) -> int:
        """Builds what is not built, then calls `finish` and returns its exit code (None counts as 0).

        Raises:
            LitAlignError: A stage failed, with its exit code, or a gate stopped the run (`GateError`); after `stopped`.
            Interrupted: By Ctrl-C or SIGTERM; the same call continues.
        """
        status: RunStatus = "FAILED"
        with lock_workdir(self.workdir) as lock, _sigterm_interrupts():
            if self._recipe is not None:
                with atomic_write(self.workdir / RECIPE) as file:
                    file.write(self._recipe)
            resumed = any(self.store.status(node.artifact).state != "absent" for node in self._nodes)
            self.observer.on_run_start(name=self.name, workdir=self.workdir, nodes=self.nodes, resumed=resumed)
            try:
                with telling(stopped):
                    self._build(lock)
                code = finish() or 0
                status = "FAILED" if code else "FINISHED"
            except (KeyboardInterrupt, Interrupted):
                status = "KILLED"
                raise
            finally:
                self.observer.on_run_end(status=status)
        return code

    def manifest(self, artifact: Artifact) -> dict[str, Any]:
        """The manifest of a built artifact."""
        return self.store.manifest(artifact)

    def results(self, artifact: Artifact) -> dict[str, Any]:
        """What the stage of a built artifact returned."""
        return self.store.manifest(artifact)["results"]

    def folder(self, artifact: Artifact) -> Path:
        """The folder with an artifact's content, gates and champions followed."""
        return self.store.folder(artifact)

    def _build(self, lock: int) -> None:
        begun = time.monotonic()
        self._hashes.save()
        artifacts = [node.artifact for node in self._nodes]
        with make_display(total=len(self._nodes), verbose=self._verbose) as display:
            for folder in self.store.remove_orphans(keep=artifacts, days=_ORPHAN_DAYS):
                display.print(f"removed {folder.name}: begun, never finished, untouched for {_ORPHAN_DAYS:.0f} days")
            executors = self._executors(lock)
            try:
                num_built = self._execution(executors, display).run()
            finally:
                executors.close()
            num_cached = len(self._nodes) - num_built
            display.print(f"{num_built} stages built, {num_cached} cached, in {seconds(time.monotonic() - begun)}")

    def _execution(self, executors: Executors, display: Display) -> Execution:
        options = Options(
            parallel=self.parallel,
            threads=self.threads,
            verify=self._verify,
            grace_seconds=self._grace_seconds,
            code=provenance(),
        )
        return Execution(
            self._nodes,
            store=self.store,
            executors=executors,
            observer=self.observer,
            display=display,
            options=options,
        )

    def _executors(self, lock: int) -> Executors:
        events = Events()
        todo = [node for node in self._nodes if not self.store.status(node.artifact).is_cached]
        local = [node for node in todo if node.num_devices == 1]
        command = CommandExecutor(events, launcher=self._launcher, descriptors=[lock])
        if not local and not self._verify:  # a wrong hash would make one run
            return Executors(local=None, command=command, events=events)
        modules = dict.fromkeys([*self._preload, *(type(node.stage).__module__ for node in local)])
        warm = WarmExecutor(
            events,
            modules=list(modules),
            environment=stage_environment(self.threads),
            log=self.workdir / "preload.log",
            descriptors=[lock],
        )
        return Executors(local=warm, command=command, events=events)

    def _parents(self, stage: Stage, artifact: Artifact) -> Iterator[Node]:
        by_fingerprint = {node.artifact.fingerprint: node for node in self._nodes}
        for field, parent in inputs(stage):
            if parent.fingerprint in by_fingerprint:
                yield by_fingerprint[parent.fingerprint]
            elif parent.path.parent == self.store.root:
                raise ValueError(f"{field} of {type(stage).__name__}: add the stage of {parent.title!r} first")
        if artifact.fingerprint in by_fingerprint:  # the same stage under another title
            yield by_fingerprint[artifact.fingerprint]


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    # Only the main thread may set a handler, and one that is set already stays.
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted("stopped by SIGTERM\nThe same command continues where it stopped.")


def _positive(name: str, value: int | None, *, default: int) -> int:
    if value is not None and value < 1:
        raise ConfigError(f"{name} must be at least 1, got {value}")
    return default if value is None else value


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_gpu() -> bool:
    # Without torch, which takes seconds to import: the driver never needs it.
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd"))
