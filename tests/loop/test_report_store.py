"""Reports of runs that wrote none: an unfinished loop, a single fit, a folder that is no run."""

from pathlib import Path

import pytest
from dummy_stages import Numbers

from lit_align.commands.report import report
from lit_align.errors import ConfigError
from lit_align.loop import GateError
from lit_align.loop.collect import origins, training, verdicts
from lit_align.loop.report_store import in_order, unfinished
from lit_align.loop.store import Store
from lit_align.loop.training_curves import thin, training_plots
from lit_align.tracking.metrics_file import encode


def test_a_loop_that_a_gate_stopped_is_reported_from_its_store(make_runner, capsys):
    runner = make_runner()
    Numbers(broken=True).build(runner)
    with pytest.raises(GateError):
        runner.run()
    report(runner.workdir)
    page = (runner.workdir / "report.html").read_text()
    assert "The run is not finished" in page
    assert "accuracy is 0.5, must be at least 0.9" in page
    assert "stopped" in capsys.readouterr().out


def test_lineage_follows_gates_to_what_they_let_through(make_runner):
    runner = make_runner()
    program = Numbers(num_chains=1)
    program.build(runner)
    runner.run()
    built = in_order(Store(runner.workdir))
    found = {origin.title: origin for origin in origins(built)}
    assert found["last"].parents == {"parts.0": found["join"].fingerprint}
    assert [(gate.title, gate.passed) for gate in verdicts(built)] == [("gate", True)]
    assert verdicts(built)[0].required == "accuracy at least 0.5"
    assert not unfinished(runner.workdir).is_complete
    assert training(built) == ()


def test_a_fit_is_reported_by_its_curves(tmp_path: Path, capsys):
    lines = [encode(step, {"train/loss": 1.0 / (step + 1), "epoch": 0}) for step in range(400)]
    lines.append(encode(399, {"validation/loss": 0.5}))
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    (tmp_path / "config.yaml").write_text("model: {api_key: canary-8472, beta: 0.1}")
    report(tmp_path, output=tmp_path / "out" / "r.html")
    page = (tmp_path / "out" / "r.html").read_text()
    assert "beta: 0.1" in page
    assert "canary" not in page
    assert "validation" in page
    assert str(tmp_path / "out" / "r.html") in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_a_run_is_an_error_with_the_remedy(tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match=r"(?s)\n.*Name the folder|Name the folder"):
        report(tmp_path / name)


def test_curves_keep_their_ends_and_their_peaks():
    points = [(step, 100.0 if step == 777 else step / 1000) for step in range(2000)]
    thinned = thin(points, num_points=50)
    assert len(thinned) == 50
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])
    assert (777, 100.0) in thinned


def test_training_plots_put_train_and_validation_together(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        encode(0, {"train/loss": 2.0, "train/accuracy": 0.5})
        + encode(1, {"validation/loss": 1.0, "train/loss": float("nan")})
    )
    loss, accuracy = training_plots(path, title="DPO")
    assert [curve.title for curve in loss.curves] == ["train", "validation"]
    assert (loss.title, loss.curves[0].y) == ("DPO: loss", (2.0,))
    assert [plot.title for plot in training_plots(path, names=("accuracy",))] == ["accuracy"]
    assert accuracy.curves[0].x == (0,)
