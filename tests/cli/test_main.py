"""The front of the command line: fast answers, exit codes, messages."""

import json
import subprocess
import sys
import types

import pytest

from lit_align.cli import main as front
from lit_align.cli.main import main
from lit_align.cli.table import COMMANDS
from lit_align.errors import DataError, Interrupted

HEAVY = {"torch", "lightning", "transformers", "mlflow", "datasets", "peft", "numpy", "pandas"}


def imported_by(argv: list[str], *, code: int) -> set[str]:
    """The heavy packages in memory after `lit-align` ran `argv`, with this exit code, in a process of its own."""
    script = (
        "import json, sys\nfrom lit_align.cli.main import main\n"
        f"try: code = main({argv!r})\nexcept SystemExit as error: code = error.code\n"
        "print(json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    returned, modules = json.loads(result.stdout.splitlines()[-1])
    assert returned == code, result.stderr
    return HEAVY & set(modules)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Puts a function in the place of `lit-align recipes`."""

    def replace(function) -> None:
        module = types.SimpleNamespace(recipes=function)
        monkeypatch.setattr(front, "import_module", lambda name: module)

    return replace


@pytest.mark.parametrize(
    "argv", [["--help"], ["--version"], ["fit", "--help"], ["fit", "--model.help=DPO"]], ids=" ".join
)
def test_help_and_version_import_nothing_heavy(argv):
    assert imported_by(argv, code=0) == set()


@pytest.mark.parametrize("argv", [["trian"], ["recipes", "--nmae"], ["fit", "--trainer.max_step=3"]], ids=" ".join)
def test_mistakes_import_nothing_heavy(argv):
    assert imported_by(argv, code=2) == set()


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not command.is_lightning])
def test_help_of_a_plain_command_imports_nothing_heavy(name):
    assert imported_by([*name.split(), "--help"], code=0) == set()


def test_every_command_stands_in_the_help_of_the_program(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert max(map(len, text.splitlines())) <= 110


def test_no_command_shows_the_help_and_fails(capsys):
    assert main([]) == 2
    assert "usage: lit-align" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "nearest"),
    [(["scor"], "score"), (["data", "chek"], "data check"), (["vaildate"], "validate"), (["data-check"], "data check")],
)
def test_a_mistyped_command_is_answered_with_the_nearest(argv, nearest, capsys):
    assert main(argv) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: unknown command")
    assert nearest in lines[1]


def test_half_a_command_shows_its_family(capsys):
    assert main(["data", "--help"]) == 0
    assert "data check" in capsys.readouterr().out


def test_the_code_of_an_error_is_the_code_of_the_program(command, capsys):
    def fails() -> None:
        raise DataError("no such row\nrows.jsonl:7\nmend it")

    command(fails)
    assert main(["recipes"]) == 3
    assert capsys.readouterr().err == "error: no such row\nrows.jsonl:7\nmend it\n"


def test_debug_shows_the_traceback_wherever_it_stands(command, capsys):
    def fails() -> None:
        raise DataError("no such row")

    command(fails)
    assert main(["recipes", "--debug"]) == main(["--debug", "recipes"]) == 3
    assert capsys.readouterr().err.count("Traceback") == 2


def test_an_unexpected_exception_is_called_a_bug(command, capsys):
    def fails() -> None:
        raise KeyError("oops")

    command(fails)
    assert main(["recipes"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: KeyError: 'oops'\n")
    assert "bug" in message
    assert "--debug" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted("stopped")], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_command_exits_with_75(error, command):
    def stops() -> None:
        raise error

    command(stops)
    assert main(["recipes"]) == 75


@pytest.mark.parametrize(("value", "code"), [(None, 0), (0, 0), (3, 3), ("message", 1)])
def test_the_way_a_parser_leaves_becomes_an_exit_code(value, code, command):
    def leaves() -> None:
        raise SystemExit(value)

    command(leaves)
    assert main(["recipes"]) == code


def test_sigterm_stops_a_plain_command_with_75(tmp_path):
    script = (
        "import sys, time, types\nfrom lit_align.cli import main as front\n"
        "def wait() -> None:\n    'Waits.'\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "front.import_module = lambda name: types.SimpleNamespace(recipes=wait)\n"
        "sys.exit(front.main(['recipes']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert "stopped by SIGTERM" in process.communicate(timeout=20)[1]
    assert process.returncode == 75


def test_a_closed_pipe_is_no_error():
    code = "import sys; from lit_align.cli.main import main; sys.stdin.readline(); sys.exit(main(['--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    process.stdin.write("\n")
    process.stdin.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=20) == 141
