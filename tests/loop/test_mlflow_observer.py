"""A loop in MLflow: the tree of runs, what each holds, and no run twice whatever happens in between."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import pytest
from dummy_stages import Fail, Join, Write

from lit_align.errors import ConfigError, DataError
from lit_align.loop import Artifact, Runner, Stage, StageContext, external
from lit_align.loop.mlflow_observer import MLflowObserver
from lit_align.loop.results import LoopResults, Metric, StageRow
from lit_align.loop.results_file import write_results
from lit_align.tracking.connection import Store, store_at
from lit_align.tracking.metrics_file import encode
from lit_align.tracking.runs import continue_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One database for all tests: making one costs seconds."""
    store = store_at(tmp_path_factory.mktemp("store"))
    store.connect()
    return store


@pytest.fixture(autouse=True)
def _no_tracking_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "LIT_ALIGN_RUN_ID", "LIT_ALIGN_PARENT_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def runs_of(store: Store, runner: Runner) -> dict[str, Any]:
    """The loop's runs by name."""
    client, experiment = store.connect()
    identity = json.loads((runner.workdir / "tracking.json").read_text())["loop"]
    found = client.search_runs([experiment], f"tags.`lit_align.loop` = '{identity}'")
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def add_three(runner: Runner, *, text: str = "a") -> Artifact:
    one = runner.add(Write(text=text), title="one", iteration=1)
    two = runner.add(Write(text="b"), title="two", iteration=2)
    return runner.add(Join(parts=(one, two)), title="both", iteration=2)


def parent_of(run: Any) -> str:
    return run.data.tags.get("mlflow.parentRunId", "")


def test_a_loop_is_a_tree_of_runs(store, make_runner):
    runner = make_runner(observer=MLflowObserver(store.uri), name="w2s", recipe="class_path: x\ninit_args: {beta: 0.1}")
    add_three(runner)
    row = StageRow(title="one", metrics={"strict": Metric(value=0.25)})
    runner.run(finish=lambda: write_results(LoopResults(title="x", rows=(row,)), runner.workdir / "results.json"))
    runs = runs_of(store, runner)
    assert runs.keys() == {"w2s", "iteration 1", "iteration 2", "one", "two", "both"}
    assert all(run.info.status == "FINISHED" for run in runs.values())
    assert parent_of(runs["w2s"]) == ""
    assert parent_of(runs["iteration 2"]) == runs["w2s"].info.run_id
    assert parent_of(runs["both"]) == parent_of(runs["two"]) == runs["iteration 2"].info.run_id
    assert runs["w2s"].data.params["init_args.beta"] == "0.1"
    assert runs["w2s"].data.metrics["result/strict"] == 0.25
    assert runs["one"].data.params["text"] == "a"
    assert runs["one"].data.metrics["result/share"] == 0.5
    tags = runs["both"].data.tags
    assert tags["lit_align.fingerprint"] == runner.nodes[2].artifact.fingerprint
    assert tags["lit_align.input.parts.0"].startswith("one (iteration 1) ")
    artifacts = {file.path for file in store.client().list_artifacts(runs["one"].info.run_id)}
    assert artifacts == {"manifest.json"}


def test_resumes_add_nothing_twice_and_log_what_is_new(store, make_runner):
    for text in ("a", "a", "c", "c"):
        runner = make_runner(observer=MLflowObserver(store.uri))
        both = add_three(runner, text=text)
        runner.run()
    client, experiment = store.connect()
    identity = json.loads((runner.workdir / "tracking.json").read_text())["loop"]
    found = client.search_runs([experiment], f"tags.`lit_align.loop` = '{identity}'")
    # The changed text makes two stages anew; the iterations, the loop and the third stage stay.
    assert len(found) == 3 + 3 + 2
    again = next(run for run in found if run.data.tags.get("lit_align.fingerprint") == both.fingerprint)
    assert len(client.get_metric_history(again.info.run_id, "result/seed")) == 1


def test_a_failed_stage_is_marked_and_its_run_is_used_again(store, make_runner):
    for _ in range(2):
        runner = make_runner(observer=MLflowObserver(store.uri))
        runner.add(Fail(how="data"), title="rows")
        with pytest.raises(DataError):
            runner.run()
        runs = runs_of(store, runner)
        assert {name: run.info.status for name, run in runs.items()} == {runner.name: "FAILED", "rows": "FAILED"}
        assert "no prompt" in runs["rows"].data.tags["lit_align.error"]


def test_a_tracker_that_is_down_is_one_warning_and_is_caught_up_with_later(store, make_runner, recwarn):
    observer = MLflowObserver("http://127.0.0.1:9")
    runner = make_runner(observer=observer)
    add_three(runner)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lit_align.loop.mlflow_observer._PATIENCE_SECONDS", 0.5)
        patch.setattr("lit_align.tracking.writer._CLOSING_PAUSE_SECONDS", 0.1)
        runner.run()
    assert len([warning for warning in recwarn if "MLflow" in str(warning.message)]) == 1
    again = make_runner(observer=MLflowObserver(store.uri))
    add_three(again)
    again.run()
    assert runs_of(store, again)["both"].data.metrics["result/seed"] > 0


@final
@dataclass(frozen=True, kw_only=True)
class FakeTraining(Stage):
    """Reads rows, writes rows, metrics and weights, and logs a metric live where a run is open."""

    version: ClassVar[int] = 1

    rows: Artifact
    api_key: str = "canary-8472"

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        run = continue_run(store_at(output).client(), os.environ["LIT_ALIGN_RUN_ID"])
        run.log_metrics([("train/loss", 0, 0.5)])
        lines = encode(0, {"train/loss": 0.5}) + encode(1, {"train/loss": 0.25})
        (output / "metrics.jsonl").write_text(lines)
        (output / "samples.jsonl").write_text('{"prompt": "p", "response": "<b>"}\n' * 30)
        (output / "model").mkdir()
        (output / "model" / "model.safetensors").write_bytes(b"weights")
        return {"loss": {"final": 0.25}}


def test_a_training_stage_logs_live_and_is_completed_from_its_own_file(store, make_runner, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    data = tmp_path / "train.jsonl"
    data.write_text('{"prompt": "p"}\n' * 7)
    runner = make_runner(observer=MLflowObserver(store.uri))
    runner.add(FakeTraining(rows=external(data)), title="fit")
    runner.run()
    run = runs_of(store, runner)["fit"]
    client = store.client()
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(0, 0.5), (1, 0.25)]
    assert run.data.params["api_key"] == "[redacted]"
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.tags[0].value) == ("train.jsonl/train.jsonl", "rows")
    assert dataset.dataset.digest == external(data).fingerprint[:36]
    assert json.loads(dataset.dataset.profile) == {"num_rows": 7}
    table = client.list_artifacts(run.info.run_id)
    assert {file.path for file in table} == {"manifest.json", "samples.json"}
    assert run.data.tags["lit_align.folder.model"].endswith("/model")


def test_a_tracking_uri_that_cannot_work_is_refused_at_once():
    with pytest.raises(ConfigError, match="file store"):
        MLflowObserver("file:./mlruns")
