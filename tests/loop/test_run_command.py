"""`lit-align run`: recipes, overrides, exit codes, and the forms that scripts rely on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_align.cli.functions import function_parser, run_function
from lit_align.commands.run import run
from lit_align.errors import ConfigError
from lit_align.loop import GateError
from lit_align.loop.recipe import load_recipe

RECIPE = """\
class_path: dummy_stages.Numbers
init_args:
  num_chains: 1
tracking_uri: none
parallel: 2
threads: 1
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "letters.yaml"
    path.write_text(RECIPE)
    return path


def call(*words):
    return run_function(run, [str(word) for word in words], prog="lit-align run")


def test_a_recipe_runs_in_its_own_workdir_and_again_is_cached(recipe, capsys):
    assert call(recipe) == 0
    workdir = recipe.parent / "runs" / "letters"
    before = (workdir / "results.json").read_bytes()
    capsys.readouterr()
    assert call(recipe) == 0
    assert "0 stages built, 6 cached" in capsys.readouterr().out
    assert (workdir / "results.json").read_bytes() == before


def test_a_dry_run_prints_the_plan_and_writes_nothing(recipe, capsys):
    assert call(recipe, "--dry_run", "--workdir", "elsewhere", "--tracking_uri", "http://127.0.0.1:9") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("[1/6] head 0 (iteration 1)  count-")
    assert sorted(os.listdir(recipe.parent)) == ["letters.yaml"]


def test_arguments_of_the_program_can_be_overridden(recipe, capsys):
    call(recipe, "--dry_run", "--init_args.num_chains", "4", "--init_args.pause=1e-3")
    assert "[12/12] last" in capsys.readouterr().out
    loaded = load_recipe(recipe, init_args={"num_chains": 4, "pause": 1e-3})
    assert (loaded.program.num_chains, loaded.program.pause) == (4, 1e-3)


def test_the_recipe_is_kept_with_overrides_and_runs_again_as_it_is(recipe, capsys):
    call(recipe, "--init_args.num_chains", "2", "--workdir", "run")
    kept = recipe.parent / "run" / "recipe.yaml"
    assert load_recipe(kept).program.__dict__ == load_recipe(recipe, init_args={"num_chains": 2}).program.__dict__
    capsys.readouterr()
    call(kept, "--workdir", "run", "--dry_run")
    assert "8 cached, 0 to run" in capsys.readouterr().out


def test_a_gate_ends_the_command_with_its_code_and_message(recipe):
    with pytest.raises(GateError, match=r"gate: accuracy is 0\.5, must be at least 0.9") as raised:
        call(recipe, "--init_args.broken", "true")
    assert raised.value.exit_code == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "class_path: dummy_stages.Numbers\ninit_args:\n  num_chain: 1\n",
            "'num_chain'.*yaml:3.*Did you mean num_chains",
        ),
        ("class_path: dummy_stages.Numbers\nparalel: 1\n", "'paralel'.*yaml:2.*Did you mean parallel"),
        ("class_path: dummy_stages.Numbers\ninit_args:\n  num_chains: many\n", "num_chains: Expected.*many.*yaml:3"),
        ("class_path: dummy_stages.Numbers\nparallel: many\n", "parallel: .*many.*yaml:2"),
        ("class_path: dummy_stages.Number\n", "no attribute 'Number'.*yaml:1"),
        ("class_path: no_such_module.Number\n", "No module named 'no_such_module'.*yaml:1"),
        ("class_path: dummy_stages.Write\n", "not correspond to a subclass of Program"),
        ("init_args: {}\n", "no class_path"),
        ("- a\n", "not a recipe"),
        ("parallel: 1\nparallel: 2\n", "'parallel' stands twice.*yaml:2"),
        ("parallel: [\n", "not valid YAML.*yaml:2"),
    ],
)
def test_mistakes_in_a_recipe_are_named_by_line(recipe, text, message):
    recipe.write_text(text)
    with pytest.raises(ConfigError, match=f"(?s){message}") as raised:
        call(recipe)
    assert len(str(raised.value).splitlines()) <= 6


def test_an_unknown_override_is_refused(recipe):
    with pytest.raises(ConfigError, match=r"(?s)'num_chian'.*Did you mean num_chains"):
        call(recipe, "--init_args.num_chian", "4")


def test_every_option_has_help_and_the_documented_forms_parse():
    parser = function_parser(run, prog="lit-align run")
    assert all(action.help for action in parser._actions)
    assert parser.parse_argv(["quickstart", "--workdir", "w", "--dry_run"]).dry_run is True


def test_the_command_line_interrupted_by_sigterm_exits_with_75(tmp_path):
    path = tmp_path / "letters.yaml"
    path.write_text(RECIPE.replace("num_chains: 1", "num_chains: 1\n  pause: 5.0"))
    command = [sys.executable, "-m", "lit_align", "run", str(path), "--workdir", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob("run/store/*.tmp/pid")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 75
    assert "interrupted\nThe same command continues" in stderr


def test_results_of_the_program_are_read_back(recipe):
    call(recipe, "--workdir", "run")
    assert json.loads((recipe.parent / "run" / "results.json").read_text())["text"] == "0\n1\n2\n3\n"
