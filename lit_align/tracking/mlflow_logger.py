"""A Lightning logger over MLflow that never waits for the server and never stops training."""

import atexit
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, final

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from lit_align.errors import Interrupted
from lit_align.tracking.artifacts import log_folder
from lit_align.tracking.connection import EXPERIMENT, store_at
from lit_align.tracking.metrics_file import as_number
from lit_align.tracking.run_file import UNSENT_FILE, RunChoice
from lit_align.tracking.runs import Status
from lit_align.tracking.trainer_state import FitStart, fit_start
from lit_align.tracking.voice import Voice
from lit_align.tracking.writer import Operation, Writer

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PATIENCE_SECONDS = 10.0


@final
class MLflowLogger(Logger):
    """Logs to one MLflow run from a background thread; put a `JsonlLogger` before it for the local copy.

    A server that is down, slow or dies is warned of once. Metrics that could not be sent by the end are kept in
    `<save_dir>/mlflow-unsent.jsonl`; `lit_align.tracking.backfill` sends them later. A fit that resumes from a
    checkpoint in the same `save_dir` continues its run. Secrets are taken out of parameters, tags and configs.

    Args:
        save_dir: Local folder; holds the database `mlflow.db` where no tracking URI is given.
        experiment_name: The MLflow experiment, made when it is missing.
        run_name: Shown name of the run; MLflow makes one up otherwise.
        tracking_uri: Server or database; default: the variable MLFLOW_TRACKING_URI as it is when logging begins, else
            `sqlite:///<save_dir>/mlflow.db` with its artifacts beside it.
        run_id: A run to continue; default: the variable LIT_ALIGN_RUN_ID.
        parent_run_id: The run to nest under; default: the variable LIT_ALIGN_PARENT_RUN_ID.
        tags: Tags of the run.
        log_model: Whether to upload the best checkpoint at the end; its path is noted as a tag in any case.
        on_error: `warn` never raises; `raise` raises `ServiceError` when the server does not answer.
    """

    def __init__(
        self,
        save_dir: str | Path = ".",
        *,
        experiment_name: str = EXPERIMENT,
        run_name: str | None = None,
        tracking_uri: str | None = None,
        run_id: str | None = None,
        parent_run_id: str | None = None,
        tags: dict[str, str] | None = None,
        log_model: bool = False,
        on_error: Literal["warn", "raise"] = "warn",
    ) -> None:
        super().__init__()
        self._folder = Path(save_dir)
        self._choice = RunChoice(
            folder=self._folder,
            store=store_at(save_dir, tracking_uri=tracking_uri, experiment_name=experiment_name),
            run_name=run_name,
            run_id=run_id,
            parent_run_id=parent_run_id,
            tags=dict(tags or {}),
        )
        self._log_model = log_model
        self._writer: Writer | None = None
        self._waiting: list[Operation] = []
        self._fit_start: FitStart | None = None
        self._best_checkpoint = ""
        self._voice = Voice(
            uri=self._choice.store.shown_uri,
            remedy=f"Training goes on. What is still unsent at the end is kept in {self._folder / UNSENT_FILE}.\n"
            f"Send it later: python -m lit_align.tracking.backfill {self._folder / UNSENT_FILE}",
            on_error=on_error,
        )

    @property
    def name(self) -> str:
        """Empty: files lie directly in `save_dir`."""
        return ""

    @property
    def version(self) -> str:
        """Empty: files lie directly in `save_dir`; the run's id is `run_id`."""
        return ""

    @property
    def save_dir(self) -> str:
        """The local folder, whatever the tracking URI."""
        return str(self._folder)

    @property
    def run_id(self) -> str | None:
        """The run's id; begins the run and waits up to 10 s. None when the server is silent, and on other ranks."""
        if rank_zero_only.rank != 0:
            return None
        run = self._begin().wait_for_run(_PATIENCE_SECONDS)
        return run.run_id if run else None

    @property
    @rank_zero_experiment
    def experiment(self) -> "MlflowClient":
        """MLflow's client, connected at its first use; its failures are warnings unless `on_error` is `raise`."""
        return cast("MlflowClient", _GuardedClient(self))

    def submit(self, operation: Operation) -> None:
        """Has the background thread call `operation(run)`, say `lambda run: log_table(run, rows, name="samples")`."""
        if rank_zero_only.rank != 0:
            return
        self._speak()
        if self._writer is None and not self._choice.is_made:
            self._waiting.append(operation)
        else:
            self._begin().submit(operation)

    def _call_client(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self._speak()
        run = self._begin().wait_for_run(_PATIENCE_SECONDS)
        try:
            return None if run is None else getattr(run.client, name)(*args, **kwargs)
        except Exception as error:
            self._voice.note_refusal(error)
        self._speak()
        return None

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Any, *args: Any, **kwargs: Any) -> None:
        """Logs a config tree as parameters; a value that changed on resuming becomes a tag."""
        tree = dict(params) if isinstance(params, Mapping) else vars(params)
        self.submit(lambda run: run.log_params(tree))

    @rank_zero_only
    def log_config(self, text: str, params: Mapping[str, Any], *, file: str = "config.yaml") -> None:
        """Logs a config as an artifact, whole, and as parameters."""
        self.submit(lambda run: run.log_text(text, file))
        self.log_hyperparams(params)

    @rank_zero_only
    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        """Called by the Trainer at the start of each run: notes whether it is a fit."""
        self._fit_start = fit_start(model)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Queues metrics; the thread sends them about once a second."""
        self._speak()
        self._begin().log_metrics([(name, step or 0, as_number(name, value)) for name, value in metrics.items()])

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Remembers the best checkpoint; it is logged at the end."""
        self._best_checkpoint = checkpoint_callback.best_model_path

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Sends what is left and ends the run: FINISHED, FAILED, or KILLED when a signal stopped it."""
        if self._writer is None and not self._waiting:
            return
        if self._best_checkpoint:
            path, self._best_checkpoint = self._best_checkpoint, ""
            self.submit(lambda run: log_folder(run, path, name="checkpoint", upload=self._log_model))
        ending = _ending(status)
        self._begin().submit(lambda run: run.set_status(ending))
        self._close()

    def __getstate__(self) -> dict[str, Any]:
        """A thread does not travel to another process."""
        return self.__dict__ | {"_writer": None, "_fit_start": None}

    def _begin(self) -> Writer:
        """Starts the thread. Not before the first metric, as only then it is certain whether a fit resumes."""
        if self._writer is None:
            resumed = self._fit_start is not None and self._fit_start.resumed
            self._fit_start = None
            self._writer = Writer(
                lambda: self._choice.open(resumed=resumed),
                unsent=self._folder / UNSENT_FILE,
                on_silence=self._voice.note_silence,
                on_refusal=self._voice.note_refusal,
            )
            atexit.register(self._at_exit)
            for operation in self._waiting:
                self._writer.submit(operation)
            self._waiting.clear()
            if self._voice.raises:
                self._writer.wait_for_run(3 * _PATIENCE_SECONDS)
                self._speak()
        return self._writer

    def _close(self) -> None:
        if self._writer is None:
            return
        self._writer.close(_PATIENCE_SECONDS)
        try:
            self._speak()
        finally:
            self._writer = None
            atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        """Ends a run that nobody finalized, because an error came before the Trainer or no Trainer was used."""
        if self._writer is not None:
            # Set by the interpreter when an exception ended the program.
            ending: Status = "FAILED" if hasattr(sys, "last_value") else "FINISHED"
            self._writer.submit(lambda run: run.set_status(ending))
            self._voice.raises = False  # there is nobody left to catch it
            self._close()

    def _speak(self) -> None:
        self._voice.speak(self._writer.error if self._writer else None)


@final
class _GuardedClient:
    """Passes every method on to MLflow's client once it is connected, and turns its errors into warnings."""

    def __init__(self, logger: MLflowLogger) -> None:
        self._logger = logger

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._logger._call_client(name, *args, **kwargs)

        return call


def _ending(status: str) -> Status:
    """The run's status; Lightning finalizes inside the `except` block, so the cause is the exception being handled."""
    if isinstance(sys.exception(), KeyboardInterrupt | SIGTERMException | Interrupted):
        return "KILLED"
    return "FINISHED" if status in {"success", "finished"} else "FAILED"
