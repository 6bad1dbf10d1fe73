"""The quickstart end to end: in a tiny size whatever happens to it, in its own size what it claims (slow)."""

import contextlib
import io
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_align.cli.functions import run_function
from lit_align.commands.report import report
from lit_align.commands.run import run
from lit_align.loop import GateError, Observer, Runner
from lit_align.loop.recipe import load_recipe

TINY = Path(__file__).with_name("quickstart_tiny.yaml")
STAGES = [
    ("teacher", None),
    *((title, 1) for title in ("naive student", "student", "DPO", "champion", "ceiling")),
    *((title, 2) for title in ("student", "DPO", "champion", "ceiling")),
]


def command(recipe, workdir, *words):
    return [sys.executable, "-m", "lit_align", "run", str(recipe), "--workdir", str(workdir), *words]


def results_of(workdir):
    return json.loads((workdir / "results.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a tiny run that nothing interrupted, and what it printed."""
    workdir = tmp_path_factory.mktemp("quickstart") / "run"
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run_function(run, [str(TINY), "--workdir", str(workdir)], prog="lit-align run") == 0
    return workdir, out.getvalue()


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished workdir, to be changed."""
    return Path(shutil.copytree(finished[0], tmp_path / "run", symlinks=True))


def make_runner(workdir, *, observer=None, **init_args):
    """A runner of the tiny recipe in this process, for runs that have next to nothing to build."""
    recipe = load_recipe(TINY, init_args=init_args)
    runner = Runner(workdir, name="quickstart", observer=observer, preload=(), parallel=2, threads=1)
    recipe.program.build(runner)
    return recipe.program, runner


def test_results_hold_every_stage_with_numbers_intervals_and_n(finished):
    results = results_of(finished[0])
    assert results["is_complete"]
    rows = {(row["title"], row["iteration"]): row for row in results["rows"]}
    assert list(rows) == STAGES
    for row in rows.values():
        for name in ("strict", "constraints", "sampled"):
            metric = row["metrics"][name]
            assert 0 <= metric["low"] <= metric["value"] <= metric["high"] <= 1
            assert metric["n"] > 0
    for key in [stage for stage in STAGES if stage[0] not in ("teacher", "ceiling")]:
        weak, student, ceiling = (
            rows[place]["metrics"]["strict"]["value"] for place in (STAGES[0], key, ("ceiling", key[1]))
        )
        gap = rows[key]["metrics"]["gap"]
        w, s, c = (f"{100 * value:.1f}" for value in (weak, student, ceiling))
        assert gap["detail"] == f"({s} - {w}) / ({c} - {w})"
        expected = (student - weak) / (ceiling - weak) if ceiling > weak else None
        assert gap["value"] == (None if expected is None else pytest.approx(expected))
    with_data = [key for key, row in rows.items() if "data" in row["metrics"]]
    assert with_data == [("naive student", 1), ("student", 1), ("student", 2)]
    assert sum(row["is_champion"] for row in rows.values()) >= 1


def test_results_hold_the_reward_models_the_data_and_the_gates(finished):
    results = results_of(finished[0])
    tables = {table["title"]: table["rows"] for table in results["tables"]}
    data = [row["data"] for row in tables["Correctness of generated data"]]
    assert data == ["teacher's data", "selected data", "champion's data", "selected data"]
    assert [row["iteration"]["value"] for row in tables["Reward model"]] == [1, 2]
    assert all(row["ratings"]["value"] > 0 for row in tables["Reward model"])
    assert len(tables["Reward model by attribute"]) == 10
    assert [row["stage"] for row in tables["Preferences"]] == [f"pairs for DPO (iteration {i})" for i in (1, 2)]
    for row in tables["Data"]:
        dropped = sum(int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", row["dropped"]))
        assert row["read"]["value"] == row["kept"]["value"] + dropped
    gates = [(gate["title"], gate["iteration"], gate["passed"]) for gate in results["gates"]]
    assert gates == [(title, i, True) for i in (1, 2) for title in ("reward model gate", "champion")]


def test_results_hold_no_times_and_no_paths(finished):
    text = (finished[0] / "results.json").read_text()
    assert "seconds" not in text
    assert not re.search(r"\d\d:\d\d", text)
    assert not re.search(r'"[^"]*/(tmp|home|store|runs)', text)
    timings = json.loads((finished[0] / "timings.json").read_text())
    assert timings["seconds"] == pytest.approx(sum(stage["seconds"] for stage in timings["stages"]), abs=0.01)
    assert len(timings["stages"]) == len(make_runner(finished[0])[1].nodes)


def test_the_report_shows_every_stage_and_can_be_written_again(finished, tmp_path, capsys):
    workdir, printed = finished
    page = (workdir / "report.html").read_text()
    for section in ("Stages", "Plots", "Tables", "Gates", "Samples", "Training", "Lineage", "Configuration"):
        assert f"<h2>{section}</h2>" in page
    for title, iteration in STAGES:
        shown = title if iteration is None else f"{title} (iteration {iteration})"
        assert page.count(f"<h4>{shown}</h4>") == 12  # a response to every sample prompt
    assert "reward model (iteration 1): loss" in page
    assert "num_test_prompts: 60" in page
    assert str(workdir) not in page
    report(workdir, output=tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == page
    for title, _ in STAGES:
        assert title in printed
    assert re.search(r"report: +\S*report\.html\n", printed)
    assert "MLflow" not in printed


def test_a_killed_run_ends_with_the_same_results(finished, copied):
    expected = (copied / "results.json").read_bytes()
    _, runner = make_runner(copied)
    student = next(node for node in runner.nodes if (node.title, node.iteration) == ("student", 2))
    later = [node for node in runner.nodes if node.number >= student.number]
    for node in later:
        shutil.rmtree(node.artifact.path)
    for name in ("results.json", "timings.json", "report.json", "report.html"):
        (copied / name).unlink()
    driver = subprocess.Popen(command(TINY, copied), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun = student.artifact.path.with_name(student.artifact.path.name + ".tmp") / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (begun.exists() or student.artifact.path.exists()) and time.monotonic() < deadline:
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL
    assert not all(node.artifact.path.exists() for node in later)
    done = subprocess.run(command(TINY, copied), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert (copied / "results.json").read_bytes() == expected


def test_a_gate_that_stops_the_loop_leaves_a_report_of_what_there_is(copied, capsys):
    program, runner = make_runner(copied, min_pair_accuracy=1.01)
    with pytest.raises(GateError, match=r"pair_accuracy is .*, must be at least 1\.01"):
        runner.run(finish=lambda: program.finish(runner), stopped=lambda: program.stopped(runner))
    results = results_of(copied)
    assert not results["is_complete"]
    assert [(gate["title"], gate["passed"]) for gate in results["gates"]] == [("reward model gate", False)]
    assert [row["title"] for row in results["rows"]] == ["teacher", "naive student", "ceiling", "ceiling"]
    page = (copied / "report.html").read_text()
    assert "The run is not finished" in page
    assert "stopped the loop: pair_accuracy is" in page
    out = capsys.readouterr().out
    assert "Gate: reward model gate, iteration 1: stopped; pair_accuracy is" in out
    report(copied)
    assert "stopped" in capsys.readouterr().out


def test_the_last_lines_say_where_the_report_is_and_how_to_see_the_run(copied, monkeypatch, capsys):
    class Watching(Observer):
        def view(self, workdir):
            return f"mlflow ui --backend-store-uri sqlite:///{workdir.name}.db"

    monkeypatch.chdir(copied.parent)
    program, runner = make_runner(copied, observer=Watching())
    before = (copied / "results.json").read_bytes()
    assert runner.run(finish=lambda: program.finish(runner)) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "report:  run/report.html",
        "MLflow:  mlflow ui --backend-store-uri sqlite:///run.db",
    ]
    assert (copied / "results.json").read_bytes() == before


@pytest.fixture(scope="module")
def full_runs(tmp_path_factory):
    """The workdirs of the quickstart as it is shipped, under three seeds."""
    folder = tmp_path_factory.mktemp("claims")
    for seed in range(3):
        words = ["--tracking_uri", "none", "--init_args.seed", str(seed)]
        subprocess.run(command("quickstart", folder / str(seed), *words), check=True)
    return [folder / str(seed) for seed in range(3)]


def claims_of(workdir):
    """What the quickstart claims of one seed: each value with the least that its mean over seeds must reach."""
    results = results_of(workdir)
    rows = {(row["title"], row["iteration"]): row["metrics"] for row in results["rows"]}
    tables = {table["title"]: table["rows"] for table in results["tables"]}
    reward = tables["Reward model"][0]
    data = {row["data"]: row["correct"]["value"] for row in tables["Correctness of generated data"]}

    def gain(name, after, before):
        return rows[after][name]["value"] - rows[before][name]["value"]

    rpo, dpo, student = ("RPO round 1", 1), ("DPO", 1), ("student", 1)
    last, first = ("champion", 2), ("champion", 1)
    return {
        "student over teacher": (gain("strict", student, ("teacher", None)), 0.10),
        "pair accuracy": (reward["pair_accuracy"]["value"], 0.90),
        "best of 8 over random": (reward["best_of_n"]["value"] - reward["random"]["value"], 0.20),
        "DPO over student": (gain("strict", dpo, student), 0.10),
        "RPO over DPO": (gain("strict", rpo, dpo), 0.0),
        "RPO over DPO at T=1": (gain("sampled", rpo, dpo), 0.05),
        "second champion over first": (gain("strict", last, first), 0.0),
        "second champion over first at T=1": (gain("sampled", last, first), 0.05),
        "data, iteration 2 by iteration 1": (data["champion's data"] / data["teacher's data"], 2.0),
        "performance gap recovered": (rows[last]["gap"]["value"], 0.60),
    }


@pytest.mark.slow
def test_quickstart_claims(full_runs):
    seeds = [claims_of(workdir) for workdir in full_runs]
    holds = {}
    for name, (_, least) in seeds[0].items():
        values = [claims[name][0] for claims in seeds]
        mean, error = statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5
        holds[name] = mean + 2 * error >= least
        shown = ", ".join(f"{value:.3f}" for value in values)
        print(f"{name}: {mean:.3f} +- {error:.3f} ({shown}), at least {least:.2f}: {holds[name]}")
    # One of the two is enough.
    rpo = [holds.pop("RPO over DPO"), holds.pop("RPO over DPO at T=1")]
    assert any(rpo)
    assert all(holds.values()), holds


@pytest.mark.slow
def test_a_broken_reward_model_is_stopped_by_its_gate(full_runs, tmp_path):
    workdir = shutil.copytree(full_runs[0], tmp_path / "run", symlinks=True)
    words = ["--tracking_uri", "none", "--init_args.seed", "0", "--init_args.break_reward_model", "true"]
    done = subprocess.run(command("quickstart", workdir, *words), capture_output=True, text=True, check=False)
    assert done.returncode == GateError.exit_code
    assert "reward model gate (iteration 1): pair_accuracy is" in done.stderr
    results = results_of(workdir)
    assert [(gate["title"], gate["passed"]) for gate in results["gates"]] == [("reward model gate", False)]
    assert ("student", 1) not in [(row["title"], row["iteration"]) for row in results["rows"]]
