"""The background writer: order kept, outages survived, nothing lost, nobody held up."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from lit_align.tracking import read_metrics
from lit_align.tracking import writer as writer_module
from lit_align.tracking.runs import Run
from lit_align.tracking.writer import Writer

OUTAGE = MlflowException("connection refused")


class Store:
    """An MLflow client that answers as told."""

    def __init__(self) -> None:
        self.outages = 0
        self.received: list[tuple[str, int, float]] = []

    def log_batch(self, run_id: str, metrics: list[Any]) -> None:
        self._answer()
        self.received += [(metric.key, metric.step, metric.value) for metric in metrics]

    def open_run(self) -> Run:
        self._answer()
        return Run(client=self, run_id="0")  # type: ignore[arg-type]  # stands in for the client

    def _answer(self) -> None:
        if self.outages:
            self.outages -= 1
            raise OUTAGE


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_GATHER_SECONDS", 0.01)
    monkeypatch.setattr(writer_module, "_CLOSING_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(writer_module, "_FIRST_PAUSE_SECONDS", 0.01)


def make(store: Store, folder: Path, troubles: list[str]) -> Writer:
    return Writer(
        store.open_run,
        unsent=folder / "unsent.jsonl",
        on_silence=lambda error: troubles.append(f"silent: {error}"),
        on_refusal=lambda error: troubles.append(f"refused: {error}"),
    )


def test_metrics_and_operations_arrive_in_order_through_outages(tmp_path: Path) -> None:
    store, troubles = Store(), []
    store.outages = 3
    writer = make(store, tmp_path, troubles)
    for step in range(50):
        writer.log_metrics([("loss", step, step / 7), ("lr", step, 1e-3)])
        if step % 10 == 0:
            writer.submit(lambda run, step=step: store.received.append(("mark", step, 0.0)))
            store.outages += 1
    assert writer.close(timeout=10.0) == 0
    steps = [step for name, step, _ in store.received if name == "loss"]
    assert steps == list(range(50))
    marks = [i for i, (name, *_) in enumerate(store.received) if name == "mark"]
    assert [store.received[i - 2][1] for i in marks] == [0, 10, 20, 30, 40]
    assert set(troubles) == {f"silent: {OUTAGE}"}
    assert not (tmp_path / "unsent.jsonl").exists()


def test_what_a_dead_store_never_took_is_kept_in_a_file(tmp_path: Path) -> None:
    store, troubles = Store(), []
    store.outages = 10**9
    writer = make(store, tmp_path, troubles)
    for step in range(5):
        writer.log_metrics([("loss", step, step / 7)])
    start = time.monotonic()
    assert writer.close(timeout=0.2) == 5
    assert time.monotonic() - start < 2
    assert read_metrics(tmp_path / "unsent.jsonl") == [("loss", step, step / 7) for step in range(5)]


def test_an_overflow_goes_to_the_file_and_training_is_not_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_MOST_POINTS", 100)
    store = Store()
    store.outages = 10**9
    writer = make(store, tmp_path, [])
    for step in range(1000):
        writer.log_metrics([("loss", step, 0.0)])
    writer.close(timeout=0.1)
    assert sorted(step for _, step, _ in read_metrics(tmp_path / "unsent.jsonl")) == list(range(1000))


def test_a_refused_operation_is_dropped_and_refused_metrics_are_kept(tmp_path: Path) -> None:
    store, troubles = Store(), []
    writer = make(store, tmp_path, troubles)

    def refuse(*args: object, **kwargs: object) -> None:
        raise MlflowException("bad name", error_code=INVALID_PARAMETER_VALUE)

    writer.submit(refuse)
    writer.flush(5.0)
    store.log_batch = refuse  # type: ignore[method-assign]  # the store turns unwilling
    writer.log_metrics([("loss", 0, 1.0)])
    assert writer.close(timeout=5.0) == 1
    assert troubles == ["refused: bad name"] * 2
    assert read_metrics(tmp_path / "unsent.jsonl") == [("loss", 0, 1.0)]


def test_logging_takes_microseconds_while_the_store_hangs(tmp_path: Path) -> None:
    hanging = threading.Event()
    writer = Writer(
        lambda: hanging.wait(10) and None,  # type: ignore[arg-type, return-value]  # a black hole
        unsent=tmp_path / "unsent.jsonl",
        on_silence=lambda error: None,
        on_refusal=lambda error: None,
    )
    start = time.perf_counter()
    for step in range(1000):
        writer.log_metrics([("loss", step, 0.0)])
    assert time.perf_counter() - start < 0.5
    hanging.set()


def test_a_request_whose_answer_was_lost_does_not_store_points_twice(tmp_path: Path) -> None:
    store, troubles = Store(), []
    requests: list[list[tuple[str, int]]] = []

    def log_batch(run_id: str, metrics: list[Any]) -> None:
        requests.append([(metric.key, metric.timestamp) for metric in metrics])
        if len(requests) == 1:
            raise MlflowException("read timed out")

    store.log_batch = log_batch  # type: ignore[method-assign]
    writer = make(store, tmp_path, troubles)
    writer.log_metrics([("loss", 0, 1.0)])
    writer.flush(5.0)
    writer.close(timeout=5.0)
    assert len(requests) == 2
    assert requests[0] == requests[1]  # MLflow stores equal points, times included, once
