"""A run that is killed or interrupted at any moment continues and ends as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_align.loop.lock import lock_workdir

DRIVER = Path(__file__).with_name("drive.py")


def start(workdir, *, pause, **options):
    return subprocess.Popen([sys.executable, str(DRIVER), str(workdir), str(pause)], **options)


def outcome(workdir):
    """What must not depend on interruptions: all manifests, with the hashes of all files, but for times and code."""
    found = {"results.json": (workdir / "results.json").read_text()}
    for folder in sorted((workdir / "store").iterdir()):
        manifest = json.loads((folder / "manifest.json").read_text())
        for name in ("timings", "code", "settings"):
            manifest.pop(name)
        found[folder.name] = manifest
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert start(workdir, pause=0, stdout=subprocess.DEVNULL).wait(timeout=60) == 0
    return outcome(workdir)


def wait_until(condition, *, seconds=20.0):
    """The first true value of `condition`; false when the time is over."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value


def stage_processes(workdir):
    """Processes, other than this one, that hold the workdir's lock open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [os.readlink(link) for link in (process / "fd").iterdir()]
        except OSError:
            continue
        if str(workdir / "lock") in links and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_driver_killed_at_random_moments_continues_to_the_same_end(tmp_path, expected, seed):
    workdir, random_moments = tmp_path / "run", random.Random(seed)
    kills = 0
    while kills < 3:
        driver = start(workdir, pause=0.04, stdout=subprocess.DEVNULL)
        try:
            assert driver.wait(timeout=random_moments.uniform(0.2, 1.2)) == 0
            break
        except subprocess.TimeoutExpired:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            kills += 1
    assert kills > 0
    assert start(workdir, pause=0, stdout=subprocess.DEVNULL).wait(timeout=60) == 0
    assert outcome(workdir) == expected
    assert not list((workdir / "store").glob("*.tmp"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_stages_die_with_their_driver(tmp_path):
    workdir = tmp_path / "run"
    driver = start(workdir, pause=5, stdout=subprocess.DEVNULL)
    assert wait_until(lambda: len(stage_processes(workdir)) == 4)  # driver, warm parent, two stages
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert wait_until(lambda: stage_processes(workdir) == [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_driver_says_how_to_continue_and_leaves_no_process(tmp_path, expected, number):
    workdir = tmp_path / "run"
    driver = start(workdir, pause=1, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert wait_until(lambda: list((workdir / "store").glob("count-*.tmp/out.txt")))
    driver.send_signal(number)
    _, stderr = driver.communicate(timeout=20)
    assert driver.returncode == 1  # this driver does not turn errors into exit codes as the command line does
    assert "Interrupted: interrupted\nThe same command continues where it stopped." in stderr
    assert start(workdir, pause=0, stdout=subprocess.DEVNULL).wait(timeout=60) == 0
    assert outcome(workdir) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the parent ends after its imports")
def test_the_lock_is_free_at_once_when_a_driver_is_killed_during_the_imports(tmp_path):
    (tmp_path / "slow_module.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    code = "from dummy_stages import Count\nfrom lit_align.loop import Runner\n"
    code += f"runner = Runner({str(tmp_path / 'run')!r}, preload=('slow_module',))\n"
    code += "runner.add(Count(num_lines=1), title='count')\nrunner.run()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(DRIVER.parent), str(tmp_path)])}
    driver = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    log = tmp_path / "run" / "preload.log"
    assert wait_until(lambda: log.exists() and "importing" in log.read_text())
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    with lock_workdir(tmp_path / "run", patience=5.0):
        pass


def test_a_launched_stage_ends_with_its_driver(tmp_path):
    code = "import sys\nfrom dummy_stages import Count\nfrom lit_align.loop import Runner\n"
    code += f"runner = Runner({str(tmp_path / 'run')!r}, preload=())\n"
    code += "runner.add(Count(num_lines=1000, pause=0.1), title='count', num_devices=2)\nrunner.run()"
    environment = {**os.environ, "PYTHONPATH": str(DRIVER.parent)}
    driver = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    pids = wait_until(
        lambda: [p.read_text() for p in (tmp_path / "run").glob("store/count-*.tmp/pid") if p.stat().st_size]
    )
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert wait_until(lambda: not is_running(int(pids[0])))


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.is_file() and status.read_text().rpartition(")")[2].split()[0] == "Z")
