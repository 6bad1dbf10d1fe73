"""The MLflow logger against a real database, dead servers, resumed runs and secrets."""

import copy
import json
import pickle
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from mlflow.entities import Run as MlflowRun

from lit_align.errors import ConfigError, ServiceError
from lit_align.tracking import JsonlLogger, MLflowLogger, log_table, read_metrics
from lit_align.tracking.backfill import backfill
from lit_align.tracking.connection import Store

REAL_VALUES = {"reward@a": 1.0, "reward#a": 2.0, "train/loss": 0.1, "nan": float("nan"), "inf": float("inf")}


class Raise(Callback):
    """Ends a fit with the given exception."""

    def __init__(self, error: BaseException, step: int = 2) -> None:
        self.error, self.step = error, step

    def on_train_batch_start(self, trainer: Trainer, *args: object) -> None:
        if trainer.global_step == self.step:
            raise self.error


class LoggingModel(BoringModel):
    def training_step(self, batch: object, batch_idx: int) -> dict[str, object]:
        output = super().training_step(batch, batch_idx)
        self.log("train/loss", output["loss"])
        return output


def run_of(store: Store, logger: MLflowLogger) -> MlflowRun:
    run_id = logger.run_id
    logger.finalize()
    assert run_id
    return store.connect()[0].get_run(run_id)


def fit(
    folder: Path, logger: MLflowLogger, *callbacks: Callback, ckpt_path: Path | None = None, steps: int = 4
) -> None:
    trainer = Trainer(
        max_steps=steps, logger=[JsonlLogger(folder), logger], callbacks=list(callbacks), log_every_n_steps=1,
        accelerator="cpu", limit_val_batches=0, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(LoggingModel(), ckpt_path=ckpt_path)


def test_metrics_keep_apart_whatever_their_names_and_values(store: Store, tmp_path: Path) -> None:
    logger = MLflowLogger(tmp_path, tracking_uri=store.uri)
    logger.log_metrics(REAL_VALUES, step=3)
    metrics = run_of(store, logger).data.metrics
    assert metrics["reward_x40_a"] == 1.0
    assert metrics["reward_x23_a"] == 2.0
    assert metrics["train/loss"] == 0.1
    assert metrics["nan"] != metrics["nan"]
    assert metrics["inf"] > 1e308


def test_parameters_are_dotted_shortened_and_free_of_secrets(store: Store, tmp_path: Path) -> None:
    logger = MLflowLogger(tmp_path, tracking_uri=store.uri)
    logger.log_hyperparams({"model": {"beta": 0.1, "api_key": "canary-8472"}, "prompt": "x" * 10_000, "num_tokens": 5})
    run = run_of(store, logger)
    assert run.data.params["model.beta"] == "0.1"
    assert run.data.params["num_tokens"] == "5"
    assert len(run.data.params["prompt"]) == 500
    assert "truncated, 10000 characters, sha256 " in run.data.params["prompt"]
    assert b"canary" not in Path(store.uri.removeprefix("sqlite:///")).read_bytes()


def test_a_changed_parameter_becomes_a_tag_and_stops_nothing(store: Store, tmp_path: Path) -> None:
    logger = MLflowLogger(tmp_path, tracking_uri=store.uri)
    logger.log_hyperparams({"lr": 1e-3, "beta": 0.1})
    run = run_of(store, logger)
    for lr in (1e-4, 1e-5):
        again = MLflowLogger(tmp_path, tracking_uri=store.uri, run_id=run.info.run_id)
        again.log_hyperparams({"lr": lr, "beta": 0.1, "eta": 1})
        again.finalize()
    data = store.connect()[0].get_run(run.info.run_id).data
    assert (data.params["lr"], data.params["beta"], data.params["eta"]) == ("0.001", "0.1", "1")
    assert {key: value for key, value in data.tags.items() if "changed" in key} == {"lit_align.changed.lr": "1e-05"}


def test_runs_nest_and_continue_by_environment(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = MLflowLogger(tmp_path / "p", tracking_uri=store.uri, run_name="the parent")
    monkeypatch.setenv("LIT_ALIGN_PARENT_RUN_ID", run_of(store, parent).info.run_id)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    child = run_of(store, MLflowLogger(tmp_path / "c", tags={"colour": "red", "hf_token": "canary"}))
    assert child.data.tags["mlflow.parentRunId"] == run_of(store, parent).info.run_id
    assert (child.data.tags["colour"], child.data.tags["hf_token"]) == ("red", "[redacted]")
    monkeypatch.setenv("LIT_ALIGN_RUN_ID", child.info.run_id)
    assert run_of(store, MLflowLogger(tmp_path / "d")).info.run_id == child.info.run_id


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_the_status_tells_how_the_run_ended(
    store: Store, tmp_path: Path, error: BaseException | None, status: str
) -> None:
    logger = MLflowLogger(tmp_path, tracking_uri=store.uri)
    if error is None:
        fit(tmp_path, logger)
    else:
        with pytest.raises((ValueError, SystemExit)):
            fit(tmp_path, logger, Raise(error))
    assert store.connect()[0].get_run(logger._choice._run.run_id).info.status == status


@pytest.mark.parametrize("status", ["FINISHED", "FAILED"])
def test_a_run_that_nobody_finalized_is_ended_at_exit(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    logger = MLflowLogger(tmp_path, tracking_uri=store.uri)
    logger.log_metrics({"a": 1.0})
    if status == "FAILED":
        monkeypatch.setattr(sys, "last_value", RuntimeError("too early"), raising=False)
    logger._at_exit()
    assert store.connect()[0].get_run(logger._choice._run.run_id).info.status == status


@pytest.mark.slow
def test_an_error_outside_the_trainer_leaves_a_failed_run(store: Store, tmp_path: Path) -> None:
    script = (
        "from lit_align.tracking import MLflowLogger\n"
        f"logger = MLflowLogger({str(tmp_path)!r}, tracking_uri={store.uri!r})\n"
        "logger.log_metrics({'a': 1.0})\nraise RuntimeError('too early')"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 1
    run_id = json.loads((tmp_path / "mlflow-run.json").read_text())["run_id"]
    assert store.connect()[0].get_run(run_id).info.status == "FAILED"


def test_a_resumed_fit_continues_its_run_without_duplicates(store: Store, tmp_path: Path) -> None:
    first = MLflowLogger(tmp_path, tracking_uri=store.uri)
    with pytest.raises(ValueError, match="no"):
        fit(tmp_path, first, ModelCheckpoint(every_n_train_steps=2, filename="two"), Raise(ValueError("no"), step=3))
    second = MLflowLogger(tmp_path, tracking_uri=store.uri)
    fit(tmp_path, second, ckpt_path=tmp_path / "checkpoints" / "two.ckpt", steps=6)
    run = second._choice._run
    assert first._choice._run.run_id == run.run_id
    assert [m.step for m in run.client.get_metric_history(run.run_id, "epoch")] == [0, 1, 2, 3, 4, 5]
    third = MLflowLogger(tmp_path, tracking_uri=store.uri)
    fit(tmp_path, third)
    assert third._choice._run.run_id != run.run_id


def test_backfill_completes_a_run_once(store: Store, tmp_path: Path) -> None:
    logger = MLflowLogger(tmp_path, tracking_uri=store.uri)
    logger.log_metrics({"a": 0.25}, step=0)
    run = run_of(store, logger)
    local = JsonlLogger(tmp_path)
    for step in range(3):
        local.log_metrics({"a": 0.25 + step}, step=step)
    (tmp_path / "config.yaml").write_text("lr: 0.1\npassword: canary-8472\n")
    for _ in range(2):
        assert backfill(tmp_path / "metrics.jsonl", tracking_uri=store.uri) == run.info.run_id
    client = store.connect()[0]
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "a")] == [
        (0, 0.25),
        (1, 1.25),
        (2, 2.25),
    ]
    assert client.get_run(run.info.run_id).data.params == {"lr": "0.1", "password": "[redacted]"}


class Answers500(BaseHTTPRequestHandler):
    code, body = 500, b"{}"

    def do_GET(self) -> None:
        self.send_response(self.code)
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        """Keeps quiet."""


class LoginPage(Answers500):
    code, body = 200, b"<html>please log in</html>"


@pytest.fixture(params=["closed port", "error 500", "login page", "black hole"])
def dead_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of something that is no working MLflow server."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    if request.param in {"closed port", "black hole"}:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            if request.param == "black hole":
                server.listen()
            yield f"http://user:canary-8472@127.0.0.1:{server.getsockname()[1]}"
    else:
        with ThreadingHTTPServer(("127.0.0.1", 0), Answers500 if request.param == "error 500" else LoginPage) as http:
            threading.Thread(target=http.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{http.server_port}"
            http.shutdown()


def test_a_dead_server_is_warned_of_once_and_the_run_is_complete_locally(
    store: Store, tmp_path: Path, dead_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lit_align.tracking.mlflow_logger._PATIENCE_SECONDS", 1.0)
    start = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(tmp_path, MLflowLogger(tmp_path, tracking_uri=dead_server))
    assert time.monotonic() - start < 8
    messages = [str(w.message) for w in caught if "MLflow" in str(w.message)]
    assert len(messages) == 1
    assert "does not answer" in messages[0]
    assert "canary" not in messages[0]
    points = read_metrics(tmp_path / "mlflow-unsent.jsonl")
    assert points == read_metrics(tmp_path / "metrics.jsonl")
    assert [step for name, step, _ in points if name == "train/loss"] == [0, 1, 2, 3]
    run_id = backfill(tmp_path / "mlflow-unsent.jsonl", tracking_uri=store.uri)
    assert len(store.connect()[0].get_metric_history(run_id, "train/loss")) == 4


def test_a_strict_logger_raises_on_a_dead_server(tmp_path: Path) -> None:
    logger = MLflowLogger(tmp_path, tracking_uri="http://127.0.0.1:9", on_error="raise")
    with pytest.raises(ServiceError, match=r"MLflow at http://127\.0\.0\.1:9 does not answer"):
        logger.log_metrics({"a": 1.0})


def test_the_client_is_usable_in_hooks_and_its_errors_are_warnings(store: Store, tmp_path: Path) -> None:
    logger = MLflowLogger(tmp_path, tracking_uri=store.uri)
    logger.experiment.set_tag(logger.run_id, "mood", "good")
    with pytest.warns(UserWarning, match="refused to log something"):
        assert logger.experiment.get_run("no-such-run") is None
    logger.submit(lambda run: log_table(run, [{"prompt": "p", "score": float("nan")}], name="samples"))
    run = run_of(store, logger)
    assert run.data.tags["mood"] == "good"
    assert '"path": "samples.json"' in run.data.tags["mlflow.loggedArtifacts"]


def test_backfill_of_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        backfill(tmp_path / "metrics.jsonl")


def test_the_old_file_store_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for uri in ("file:./mlruns", "./mlruns", "mlruns"):
        with pytest.raises(ConfigError, match=r"file store.*\nUse sqlite:///"):
            MLflowLogger(tmp_path, tracking_uri=uri)


def test_a_logger_can_be_copied_and_pickled(store: Store, tmp_path: Path) -> None:
    logger = MLflowLogger(tmp_path, tracking_uri=store.uri)
    logger.log_metrics({"a": 1.0})
    assert copy.deepcopy(pickle.loads(pickle.dumps(logger))).save_dir == str(tmp_path)
    logger.finalize()


def test_the_default_store_is_a_database_in_the_folder(tmp_path: Path) -> None:
    store = MLflowLogger(tmp_path)._choice.store
    assert store.uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert store.artifact_location == f"file://{tmp_path}/mlartifacts"
