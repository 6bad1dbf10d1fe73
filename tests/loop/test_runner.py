"""The runner: order, caching, processes, failures."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from dummy_stages import Count, Evaluate, Fail, Join, Numbers, Process, Train, Write

from lit_align.errors import ConfigError, DataError, Interrupted, LitAlignError, ResourceError
from lit_align.loop import Observer
from lit_align.loop.executor import PRELOAD
from lit_align.loop.lock import lock_workdir


class Recorder(Observer):
    """Writes down what it is told."""

    def __init__(self):
        self.calls = []

    def on_run_start(self, *, name, workdir, nodes, resumed):
        self.calls.append(("run", name, len(nodes), resumed))

    def on_stage_start(self, node):
        self.calls.append(("start", node.label))
        return {"LIT_ALIGN_PARENT_RUN_ID": f"run of {node.title}"}

    def on_stage_end(self, node, manifest, *, cached):
        self.calls.append(("end", node.label, manifest["results"], cached))

    def on_stage_failed(self, node, error):
        self.calls.append(("failed", node.label, type(error).__name__))

    def on_run_end(self, *, status):
        self.calls.append(("over", status))


def tree(folder):
    """Every file below a folder, with its bytes."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def add_three(runner, *, text="a"):
    one = runner.add(Write(text=text), title="one")
    two = runner.add(Write(text="b"), title="two")
    return one, two, runner.add(Join(parts=(one, two)), title="both", iteration=2)


def test_stages_run_in_order_and_results_are_read_back(make_runner):
    runner = make_runner()
    *_, both = add_three(runner)
    assert runner.run() == 0
    assert runner.results(both)["text"] == "a+b"
    manifest = runner.manifest(both)
    assert [entry["title"] for entry in manifest["inputs"]] == ["one", "two"]
    assert (manifest["title"], manifest["iteration"], manifest["version"]) == ("both", 2, 1)
    assert manifest["code"]["python"].count(".") == 2


def test_what_is_built_is_not_built_again(make_runner):
    runner = make_runner()
    add_three(runner)
    runner.run()
    before = tree(runner.store.root)
    again = make_runner()
    add_three(again)
    assert again.run() == 0
    assert tree(again.store.root) == before


def test_only_what_a_change_reaches_is_built(make_runner, capsys):
    first = make_runner()
    add_three(first)
    first.run()
    second = make_runner()
    add_three(second, text="A")
    plan = second.describe().splitlines()
    assert plan[0].endswith("will run: changed, text a -> A")
    assert plan[1].endswith("cached")
    assert plan[2].endswith("will run: changed, input parts.0")
    assert plan[3].startswith("1 cached, 2 to run")
    capsys.readouterr()
    second.run()
    assert "2 stages built, 1 cached" in capsys.readouterr().out


def test_a_description_writes_nothing(make_runner, tmp_path):
    runner = make_runner(tmp_path / "nowhere", observer=Recorder())
    (tmp_path / "input.txt").write_text("x")
    runner.external(tmp_path / "input.txt")
    add_three(runner)
    assert runner.describe().count("will run: new") == 3
    assert not (tmp_path / "nowhere").exists()
    assert runner._observer.calls == []


def test_a_damaged_artifact_is_built_again_and_said_so(make_runner, capsys):
    runner = make_runner()
    one, *_ = add_three(runner)
    runner.run()
    (one.path / "out.txt").write_text("")
    again = make_runner()
    add_three(again)
    assert "damaged, out.txt has 0 bytes" in again.describe()
    again.run()
    assert "one: built again, because out.txt has 0 bytes, the manifest says 1" in capsys.readouterr().out
    assert (one.path / "out.txt").read_text() == "a"


def test_hashes_are_compared_on_demand(make_runner):
    runner = make_runner()
    one, *_ = add_three(runner)
    runner.run()
    (one.path / "out.txt").write_text("x")
    for verify, text in ((False, "x"), (True, "a")):
        again = make_runner(verify=verify)
        add_three(again)
        again.run()
        assert (one.path / "out.txt").read_text() == text


def test_the_same_stage_under_two_titles_runs_once(make_runner):
    recorder = Recorder()
    runner = make_runner(observer=recorder)
    assert runner.add(Write(text="a"), title="one").path == runner.add(Write(text="a"), title="two").path
    assert runner.describe().splitlines()[1].endswith("same as [1] one")
    runner.run()
    assert [call for call in recorder.calls if call[0] == "end"] == [
        ("end", "one", {"length": 1, "share": 0.5}, False),
        ("end", "two", {"length": 1, "share": 0.5}, True),
    ]


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


def test_a_second_runner_is_refused_by_the_pid_of_the_first(make_runner, tmp_path):
    code = "import sys, time\nfrom pathlib import Path\nfrom lit_align.loop.lock import lock_workdir\n"
    code += f"with lock_workdir(Path({str(tmp_path / 'run')!r})):\n    print('locked', flush=True)\n    time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        runner = make_runner()
        runner.add(Write(text="a"), title="one")
        with pytest.raises(ConfigError, match=f"process {holder.pid}"):
            runner.run()
    finally:
        holder.kill()
        holder.wait()
    assert runner.run() == 0


def test_the_lock_outlives_a_runner_whose_stages_still_run(tmp_path):
    code = "import subprocess, sys\nfrom pathlib import Path\nfrom lit_align.loop.lock import lock_workdir\n"
    code += f"with lock_workdir(Path({str(tmp_path)!r})) as lock:\n"
    code += "    child = subprocess.Popen(['sleep', '60'], pass_fds=[lock], stdout=subprocess.DEVNULL)\n"
    code += "    print(child.pid, flush=True)\n    import os; os._exit(9)"
    pid = int(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False).stdout)
    try:
        with pytest.raises(ConfigError, match="killed runner"), lock_workdir(tmp_path, patience=0.2):
            pass
    finally:
        os.kill(pid, signal.SIGKILL)
    with lock_workdir(tmp_path):
        pass


def test_an_observer_is_told_everything_in_order(make_runner):
    recorder = Recorder()
    runner = make_runner(observer=recorder, name="letters", parallel=1)
    add_three(runner)
    runner.run()
    assert recorder.calls == [
        ("run", "letters", 3, False),
        ("start", "one"),
        ("end", "one", {"length": 1, "share": 0.5}, False),
        ("start", "two"),
        ("end", "two", {"length": 1, "share": 0.5}, False),
        ("start", "both (iteration 2)"),
        ("end", "both (iteration 2)", recorder.calls[6][2], False),
        ("over", "FINISHED"),
    ]
    recorder.calls.clear()
    runner.run(finish=lambda: 3)
    assert recorder.calls[0] == ("run", "letters", 3, True)
    assert [call[-1] for call in recorder.calls[1:-1]] == [True, True, True]
    assert recorder.calls[-1] == ("over", "FAILED")


def test_programs_cannot_use_what_they_did_not_add(make_runner, tmp_path):
    runner, other = make_runner(), make_runner()
    foreign = other.add(Write(text="a"), title="one")
    with pytest.raises(ValueError, match="add the stage of 'one' first"):
        runner.add(Join(parts=(foreign,)), title="both")
    runner.add(Write(text="b"), title="two")
    with pytest.raises(ValueError, match="two stages are titled 'two'"):
        runner.add(Write(text="c"), title="two")


def test_an_external_file_that_changes_reaches_what_depends_on_it(make_runner, tmp_path):
    source = tmp_path / "input"
    source.mkdir()
    texts = []
    for text in ("first", "second", "second"):
        (source / "out.txt").write_text(text)
        runner = make_runner()
        joined = runner.add(Join(parts=(runner.external(source),)), title="join")
        runner.run()
        texts.append(runner.results(joined)["text"])
    assert texts == ["first", "second", "second"]
    assert len(list(runner.store.root.glob("join-*"))) == 2


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


def test_counts_of_stages_and_threads_are_positive(make_runner):
    with pytest.raises(ConfigError, match="parallel must be at least 1, got 0"):
        make_runner(parallel=0)
    assert make_runner(threads=None, parallel=10_000).threads == 1


def test_the_driver_stays_light():
    code = "import sys, lit_align.loop, lit_align.loop.recipe\n"
    code += "print([m for m in ('torch', 'lightning', 'transformers', 'numpy', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_gate_stops_the_run(make_runner):
    runner = make_runner()
    program = Numbers(num_chains=1, broken=True)
    program.build(runner)
    with pytest.raises(LitAlignError) as raised:
        runner.run(finish=lambda: program.finish(runner))
    assert (type(raised.value).__name__, raised.value.exit_code) == ("GateError", 7)
    assert "gate: accuracy is 0.5, must be at least 0.9" in str(raised.value)
    assert not (runner.workdir / "results.json").exists()


@pytest.mark.slow
def test_the_real_preload_is_complete_and_its_forks_train_in_threads(make_runner):
    runner = make_runner(preload=PRELOAD, threads=2)
    trained = runner.add(Train(), title="train")
    runner.run()
    results = runner.results(trained)
    assert (results["steps"], results["threads"]) == (2, 2)
    late = [name for name in results["late"] if name.startswith(("torch.", "lit_align", "transformers", "mlflow"))]
    assert len(late) <= 2
