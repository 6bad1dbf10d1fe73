"""The stages' processes: beside each other, in their own environment, and what is said when they fail."""

import json
import os
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from dummy_stages import Count, Evaluate, Fail, Join, Process, Recorder, Train, Write

from lit_align.errors import ConfigError, DataError, Interrupted, LitAlignError, ResourceError
from lit_align.loop.executor import PRELOAD


def test_independent_stages_run_at_the_same_time(make_runner):
    runner = make_runner(parallel=3)
    artifacts = [runner.add(Write(text=text, seconds=0.4), title=text) for text in "abc"]
    runner.run()
    times = [runner.manifest(artifact)["timings"] for artifact in artifacts]
    assert max(t["started"] for t in times) < min(t["finished"] for t in times)


def test_no_more_stages_run_at_the_same_time_than_allowed(make_runner):
    runner = make_runner(parallel=1)
    artifacts = [runner.add(Write(text=text, seconds=0.1), title=text) for text in "abc"]
    runner.run()
    times = sorted((m["timings"]["started"], m["timings"]["finished"]) for m in map(runner.manifest, artifacts))
    assert all(end <= start for (_, end), (start, _) in pairwise(times))


def test_every_stage_has_its_own_process_environment_and_random_numbers(make_runner, monkeypatch):
    monkeypatch.setenv("OF_THE_DRIVER", "here")
    runner = make_runner(observer=Recorder(), threads=3)
    one, two = (runner.add(Process(name=name), title=name) for name in ("one", "two"))
    runner.run()
    results = [runner.results(artifact) for artifact in (one, two)]
    assert len({os.getpid(), results[0]["pid"], results[1]["pid"]}) == 3
    assert results[0]["seed"] != results[1]["seed"]
    assert results[0]["threads"] == 3
    environment = json.loads((two.path / "environment.json").read_text())
    assert environment["LIT_ALIGN_PARENT_RUN_ID"] == "run of two"
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["OF_THE_DRIVER"] == "here"
    assert "run of two" not in (two.path / "manifest.json").read_text()


def test_modules_are_preloaded_once(make_runner):
    runner = make_runner(preload=("wave",))
    process = runner.add(Process(), title="process")
    runner.run()
    assert runner.results(process)["heavy"] == ["wave"]


def test_a_preload_that_fails_is_told(make_runner):
    runner = make_runner(preload=("no_such_module",))
    runner.add(Write(text="a"), title="one")
    with pytest.raises(ConfigError, match="no_such_module: ModuleNotFoundError"):
        runner.run()


def test_the_output_of_a_stage_goes_to_its_log_and_on_demand_to_the_terminal(make_runner, capsys):
    runner = make_runner(verbose=True)
    one = runner.add(Write(text="a"), title="one", iteration=1)
    runner.run()
    assert (one.path / "log.txt").read_text() == "writing a\n"
    out = capsys.readouterr().out
    assert "[one (iteration 1)] writing a" in out
    assert "[1/1] one (iteration 1) ... done in" in out
    assert "length=1" in out


@pytest.mark.parametrize(
    ("how", "kind", "code", "message"),
    [
        ("data", DataError, 3, "two: rows.jsonl:3: no prompt"),
        ("bug", LitAlignError, 1, "two: RuntimeError: an unexpected thing"),
        ("nan", LitAlignError, 1, "two: TypeError: .* must return"),
        ("exit", LitAlignError, 1, "two: SystemExit: 9"),
        ("SIGKILL", ResourceError, 4, "two was killed"),
        ("SIGSEGV", LitAlignError, 1, "two crashed .SIGSEGV."),
        ("SIGTERM", Interrupted, 75, "two was interrupted"),
    ],
)
def test_a_failed_stage_ends_the_run_with_its_cause_and_code(make_runner, how, kind, code, message):
    recorder = Recorder()
    runner = make_runner(observer=recorder)
    one = runner.add(Write(text="a"), title="one")
    two = runner.add(Fail(how=how, after=one), title="two")
    three = runner.add(Join(parts=(two,)), title="three")
    with pytest.raises(kind, match=message) as raised:
        runner.run(finish=lambda: pytest.fail("must not finish"))
    assert raised.value.exit_code == code
    assert len(str(raised.value).splitlines()) <= 6
    assert f"log: {runner.store.root}" in str(raised.value)
    assert runner.store.status(one).state == "built"
    assert runner.store.status(three).state == "absent"
    assert recorder.calls[-2:] == [("failed", "two", kind.__name__), ("over", "KILLED" if code == 75 else "FAILED")]


def test_the_log_of_a_bug_is_shown(make_runner, capsys):
    runner = make_runner()
    runner.add(Fail(how="bug"), title="one")
    with pytest.raises(LitAlignError):
        runner.run()
    assert "[one] RuntimeError: an unexpected thing" in capsys.readouterr().out


def test_stages_beside_a_failed_one_end_by_themselves_and_nothing_new_starts(make_runner):
    runner = make_runner(parallel=2)
    runner.add(Fail(how="data"), title="fails")
    beside = runner.add(Write(text="a", seconds=0.3), title="beside")
    later = runner.add(Write(text="b"), title="later")
    with pytest.raises(DataError):
        runner.run()
    assert runner.store.status(beside).state == "built"
    assert runner.store.status(later).state == "absent"


def test_a_killed_stage_continues_where_it_was(make_runner):
    runner = make_runner()
    count = runner.add(Count(num_lines=50, pause=0.02), title="count")
    thread = threading.Thread(target=_kill_when_it_writes, args=(Path(f"{count.path}.tmp/out.txt"),))
    thread.start()
    with pytest.raises(ResourceError):
        runner.run()
    thread.join()
    again = make_runner()
    again.add(Count(num_lines=50), title="count")
    assert "will run: continues after an interruption" in again.describe()
    again.run()
    assert (count.path / "out.txt").read_text() == "".join(f"{n}\n" for n in range(50))
    starts = [line for line in (count.path / "log.txt").read_text().splitlines() if line.startswith("starts")]
    assert starts[0] == "starts at 0"
    assert int(starts[1].split()[-1]) > 0
    assert again.manifest(count)["timings"]["resumed"]


def _kill_when_it_writes(path):
    deadline = time.monotonic() + 20
    while (not path.exists() or path.stat().st_size < 10) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(int(path.with_name("pid").read_text()), signal.SIGKILL)


def test_stages_on_several_devices_go_through_the_launcher(make_runner, tmp_path):
    log = tmp_path / "launched.txt"
    launcher = f"sh -c 'echo {{devices}} >> {log}; exec \"$@\"' launcher {{python}} {{worker}}"
    runner = make_runner(launcher=launcher, preload=("wave",))
    one = runner.add(Process(name="one"), title="one")
    two = runner.add(Process(name="two"), title="two", num_devices=2)
    joined = runner.add(Evaluate(model=two, scores=(1.0,)), title="evaluate", num_devices=4)
    assert runner.run() == 0
    assert log.read_text() == "2\n4\n"
    assert runner.results(one)["heavy"] == ["wave"]
    assert runner.results(two)["heavy"] == []
    assert runner.results(joined)["accuracy"] == 1.0


def test_a_launched_stage_that_fails_or_cannot_start_is_told(make_runner):
    runner = make_runner()
    runner.add(Fail(how="data"), title="one", num_devices=2)
    with pytest.raises(DataError, match="one: rows"):
        runner.run()
    runner = make_runner(launcher="no-such-program {worker}")
    runner.add(Fail(how="data"), title="one", num_devices=2)
    with pytest.raises(ConfigError, match="cannot start no-such-program"):
        runner.run()
    with pytest.raises(ConfigError, match="needs the word"):
        make_runner(launcher="torchrun")
    with pytest.raises(ConfigError, match="unknown placeholder"):
        make_runner(launcher="torchrun --nproc {gpus} {worker}")


@pytest.mark.slow
def test_the_real_preload_is_complete_and_its_forks_train_in_threads(make_runner):
    runner = make_runner(preload=PRELOAD, threads=2)
    trained = runner.add(Train(), title="train")
    runner.run()
    results = runner.results(trained)
    assert (results["steps"], results["threads"]) == (2, 2)
    late = [name for name in results["late"] if name.startswith(("torch.", "lit_align", "transformers", "mlflow"))]
    assert len(late) <= 2
