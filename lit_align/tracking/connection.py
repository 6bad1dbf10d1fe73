"""Reaching an MLflow store: which one, without noise, without telemetry, and without waiting for minutes."""

import logging
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from lit_align.errors import ConfigError
from lit_align.tracking.secrets import redact_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
EXPERIMENT = "lit-align"

_SQLITE = "sqlite:///"
# A user's own values win. MLflow would wait 120 s a request and repeat it 7 times; callers here repeat by themselves.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a stage, into the output of the loop
}
_background_threads: set[int] = set()


@final
@dataclass(frozen=True, kw_only=True)
class Store:
    """An experiment in an MLflow store.

    Args:
        uri: The tracking URI.
        artifact_location: Where a new experiment keeps its files; None lets the server decide.
        experiment_name: The experiment, made when it is missing.
    """

    uri: str
    artifact_location: str | None
    experiment_name: str = EXPERIMENT

    @property
    def shown_uri(self) -> str:
        """The URI without secrets."""
        return redact_text(self.uri)

    def client(self) -> "MlflowClient":
        """A client. Makes the database when it is missing; a server is not asked anything yet."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        _silence()
        from mlflow import MlflowClient

        with _database_lock(self.uri):
            return MlflowClient(self.uri)

    def connect(self) -> "tuple[MlflowClient, str]":
        """A client and the experiment's id. Makes the experiment when it is missing.

        Raises:
            mlflow.exceptions.MlflowException: The store cannot be reached or refuses.
        """
        client = self.client()
        with _database_lock(self.uri):
            experiment = client.get_experiment_by_name(self.experiment_name)
            if experiment is None:
                return client, client.create_experiment(self.experiment_name, artifact_location=self.artifact_location)
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        return client, experiment.experiment_id


def store_at(save_dir: str | Path, *, tracking_uri: str | None = None, experiment_name: str = EXPERIMENT) -> Store:
    """The store named by `tracking_uri`, else by the variable MLFLOW_TRACKING_URI, else a database in `save_dir`.

    Raises:
        ConfigError: The URI names MLflow's old file store, which MLflow 3 no longer opens.
    """
    folder = Path(save_dir).resolve()
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{folder / DATABASE}"
    if uri.startswith("file:") or ("://" not in uri and not uri.startswith(("databricks", "uc:"))):
        raise ConfigError(
            f"the tracking URI {redact_text(uri)} names MLflow's file store, which MLflow 3 does not open\n"
            f"Use {_SQLITE}<path of a database> or the address of a server; old runs in the folder stay untouched."
        )
    if uri.startswith(_SQLITE):
        folder = Path(uri.removeprefix(_SQLITE)).resolve().parent
        return Store(uri=uri, artifact_location=(folder / ARTIFACTS).as_uri(), experiment_name=experiment_name)
    return Store(uri=uri, artifact_location=None, experiment_name=experiment_name)


def ui_command(uri: str) -> str:
    """What a user types or opens to see the runs behind a tracking URI.

    >>> ui_command("sqlite:////tmp/runs/mlflow.db").partition("mlflow")[2]
    ' ui --backend-store-uri sqlite:////tmp/runs/mlflow.db'
    """
    if uri.startswith(("http://", "https://")):
        return redact_text(uri)
    return f"{shlex.quote(_program())} ui --backend-store-uri {shlex.quote(redact_text(uri))}"


def _program() -> str:
    """`mlflow`, with the folder of this environment where the shell would not find it."""
    beside = Path(sys.executable).with_name("mlflow")
    if shutil.which("mlflow") or not beside.is_file():
        return "mlflow"
    here = os.path.relpath(beside)
    return str(beside) if here.startswith(os.pardir) else here


@contextmanager
def quiet_thread() -> Iterator[None]:
    """Keeps the HTTP layer's own retry warnings of this thread out of the terminal; the caller says it once, itself."""
    _background_threads.add(threading.get_ident())
    try:
        yield
    finally:
        _background_threads.discard(threading.get_ident())


def _silence() -> None:
    # Dozens of lines of migrations at the first use of a database.
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logger = logging.getLogger("urllib3.connectionpool")
    if _is_wanted not in logger.filters:
        logger.addFilter(_is_wanted)


def _is_wanted(record: logging.LogRecord) -> bool:
    return record.thread not in _background_threads


@contextmanager
def _database_lock(uri: str) -> Iterator[None]:
    """Lets one process at a time make a database: two migrations at once break it."""
    if not uri.startswith(_SQLITE):
        yield
        return
    from filelock import FileLock

    database = Path(uri.removeprefix(_SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(database.with_name(f"{database.name}.lock")):
        yield
