"""The runner: what is built and what is not, who may work, what an observer is told."""

import os
import signal
import subprocess
import sys

import pytest
from dummy_stages import Fail, Join, Numbers, Recorder, Write

from lit_align.errors import ConfigError, DataError, LitAlignError
from lit_align.loop.lock import lock_workdir


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
    recorder = Recorder()
    runner = make_runner(tmp_path / "nowhere", observer=recorder)
    (tmp_path / "input.txt").write_text("x")
    runner.external(tmp_path / "input.txt")
    add_three(runner)
    assert runner.describe().count("will run: new") == 3
    assert not (tmp_path / "nowhere").exists()
    assert recorder.calls == []


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


@pytest.mark.parametrize("trouble", [None, OSError("no space")])
def test_a_failing_stage_is_reported_before_its_error_goes_on(make_runner, capsys, trouble):
    built = []

    def stopped():
        built.append(runner.results(one)["length"])
        if trouble is not None:
            raise trouble

    runner = make_runner()
    one = runner.add(Write(text="a"), title="one")
    runner.add(Fail(how="data", after=one), title="two")
    with pytest.raises(DataError, match="no prompt"):
        runner.run(stopped=stopped, finish=lambda: built.append("finished"))
    assert built == [1]
    assert ("could not be reported: OSError: no space" in capsys.readouterr().err) == (trouble is not None)


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


def test_a_run_killed_before_the_last_rename_needs_only_that(make_runner):
    runner = make_runner()
    one, *_ = add_three(runner)
    runner.run()
    inode = (one.path / "out.txt").stat().st_ino
    os.rename(one.path, f"{one.path}.tmp")
    recorder = Recorder()
    again = make_runner(observer=recorder)
    add_three(again)
    assert again.describe().splitlines()[0].endswith("cached")
    again.run()
    assert (one.path / "out.txt").stat().st_ino == inode
    assert ("end", "one", {"length": 1, "share": 0.5}, True) in recorder.calls
