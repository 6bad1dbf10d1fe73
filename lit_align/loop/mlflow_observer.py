"""A loop in MLflow: one parent run, a child an iteration, a grandchild a stage, the same ones after any resume."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import yaml

from lit_align.errors import Interrupted, LitAlignError
from lit_align.loop.mlflow_stage import log_stage
from lit_align.loop.mlflow_tree import RunTree
from lit_align.loop.observer import Observer, RunStatus
from lit_align.loop.plan import Node
from lit_align.tracking.connection import EXPERIMENT, store_at, ui_command
from lit_align.tracking.metrics_file import Point
from lit_align.tracking.run_file import RUN_ID_VARIABLE, UNSENT_FILE
from lit_align.tracking.runs import Run
from lit_align.tracking.voice import Voice
from lit_align.tracking.writer import Operation, Writer

_RECIPE = "recipe.yaml"
_RESULTS = "results.json"
_DOCUMENTS = (_RESULTS, "timings.json", "report.json", "report.html")
_PATIENCE_SECONDS = 15.0
_IMPATIENCE_SECONDS = 0.5
_LOOK_EVERY_SECONDS = 0.02


@final
class MLflowObserver(Observer):
    """Copies what the manifests tell to MLflow, from a background thread; a tracker that is down is one warning.

    A resumed loop continues its runs, logs no stage twice, and logs what an earlier process could not. A training stage
    logs into its run as it goes: its process is told the run's id.

    Args:
        tracking_uri: Server or database; default: MLFLOW_TRACKING_URI, else `<workdir>/mlflow.db`.
        experiment_name: The MLflow experiment.

    Raises:
        ConfigError: The tracking URI is one that MLflow no longer opens.
    """

    def __init__(self, tracking_uri: str | None = None, *, experiment_name: str = EXPERIMENT) -> None:
        self._tracking_uri = tracking_uri
        self._experiment_name = experiment_name
        store_at(Path(), tracking_uri=tracking_uri)
        self._running: _Running | None = None

    def view(self, workdir: Path) -> str | None:
        """The command that opens MLflow's pages for the loop's store, or the address of its server."""
        return ui_command(store_at(workdir, tracking_uri=self._tracking_uri).uri)

    def on_run_start(self, *, name: str, workdir: Path, nodes: Sequence[Node], resumed: bool) -> None:
        """Begins, or continues, the loop's run."""
        store = store_at(workdir, tracking_uri=self._tracking_uri, experiment_name=self._experiment_name)
        voice = Voice(
            uri=store.shown_uri,
            remedy="The run goes on. The same command logs what is missing once the server answers.",
            on_error="warn",
        )
        tree = RunTree(store=store, workdir=workdir, name=name)
        self._running = _Running(tree, uri=store.uri, workdir=workdir, voice=voice)
        self._running.do(lambda run: _log_recipe(run, workdir / _RECIPE))

    def on_stage_start(self, node: Node) -> Mapping[str, str]:
        """Opens the stage's run and tells its process which one it is, unless the tracker does not answer."""
        running = self._started()
        run_id = running.ask(lambda: running.tree.stage(node).run_id)
        return {} if run_id is None else {RUN_ID_VARIABLE: run_id, "MLFLOW_TRACKING_URI": running.uri}

    def on_stage_end(self, node: Node, manifest: Mapping[str, Any], *, cached: bool) -> None:
        """Logs what the manifest tells. A cached stage that was logged before is left alone."""
        running = self._started()

        def log(loop: Run) -> None:
            if cached and running.tree.is_finished(node):
                return
            run = running.tree.stage(node)
            log_stage(run, node.artifact.path, manifest)
            running.tree.end(node, run, "FINISHED")

        running.do(log)

    def on_stage_failed(self, node: Node, error: LitAlignError) -> None:
        """Marks the stage's run as failed, or as killed when a signal interrupted it."""
        running = self._started()

        def log(loop: Run) -> None:
            run = running.tree.stage(node)
            run.set_tags({"lit_align.error": str(error)})
            running.tree.end(node, run, "KILLED" if isinstance(error, Interrupted) else "FAILED")

        running.do(log)

    def on_run_end(self, *, status: RunStatus) -> None:
        """Logs results and report, ends the loop's run, and waits until all is sent."""
        running = self._started()

        def log(loop: Run) -> None:
            for name in _DOCUMENTS:
                if (running.workdir / name).is_file():
                    loop.log_file(running.workdir / name)
            loop.log_metrics(_result_points(running.workdir / _RESULTS))
            running.tree.end_all(status)

        running.do(log)
        running.close()

    def _started(self) -> "_Running":
        assert self._running is not None, "on_run_start comes first"
        return self._running


@final
class _Running:
    """The thread that writes, and what it writes to."""

    def __init__(self, tree: RunTree, *, uri: str, workdir: Path, voice: Voice) -> None:
        self.tree = tree
        self.uri = uri
        self.workdir = workdir
        self._voice = voice
        self._patience = _PATIENCE_SECONDS
        self._writer = Writer(
            tree.loop,
            unsent=workdir / UNSENT_FILE,
            on_silence=voice.note_silence,
            on_refusal=voice.note_refusal,
        )

    def do(self, operation: Operation) -> None:
        """Queues an operation."""
        self._voice.speak(self._writer.error)
        self._writer.submit(operation)

    def ask(self, question: Callable[[], str]) -> str | None:
        """Has a question answered in the thread; None when the tracker is silent, and then no long wait again."""
        answers: list[str] = []
        self.do(lambda run: answers.append(question()))
        end = time.monotonic() + self._patience
        while not answers and self._writer.error is None and time.monotonic() < end:
            time.sleep(_LOOK_EVERY_SECONDS)
        self._patience = _PATIENCE_SECONDS if answers else _IMPATIENCE_SECONDS
        return answers[0] if answers else None

    def close(self) -> None:
        """Sends what is left, for a while."""
        self._writer.close(_PATIENCE_SECONDS)
        self._voice.speak(self._writer.error)


def _log_recipe(run: Run, path: Path) -> None:
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        run.log_text(text, path.name)
        run.log_params(yaml.safe_load(text))


def _result_points(path: Path) -> list[Point]:
    """The main table as metrics of the loop's run: a step a stage, so that MLflow draws the way up."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    rows = content.get("rows", []) if isinstance(content, dict) else []  # a program may write anything
    found = ((name, step, metric["value"]) for step, row in enumerate(rows) for name, metric in row["metrics"].items())
    return [(f"result/{name}", step, value) for name, step, value in found if value is not None]
