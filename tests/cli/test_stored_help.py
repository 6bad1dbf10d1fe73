"""What the front and the documentation store is what the real parsers say."""

import subprocess
import sys
from pathlib import Path

import pytest

from lit_align.cli.help import FOLDER, lightning_commands, lightning_help

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "assets" / "cli_page.py"


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="argparse of other Python versions lays help out differently"
)
def test_stored_help_and_schema_are_those_of_the_real_parsers():
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "lit_align.cli.help"], capture_output=True, text=True
    )
    assert result.returncode == 0, f"{result.stdout}{result.stderr}\nwrite them: python -m lit_align.cli.help --write"


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="argparse of other Python versions lays help out differently"
)
def test_the_page_of_the_command_line_is_the_help_of_the_program():
    result = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)
    assert result.returncode == 0, f"{result.stderr}\nwrite it: python docs/assets/cli_page.py --write"


@pytest.mark.parametrize("name", lightning_commands())
def test_every_lightning_command_has_its_help(name):
    assert (lightning_help(name, ["--help"]) or "").startswith(f"usage: lit-align {name} ")


@pytest.mark.parametrize(
    "argv", [["--model.help=DPO"], ["--model.help", "lit_align.DPO"], ["--x", "--model.help", "DPO"]]
)
def test_the_help_of_a_class_is_stored(argv):
    assert "--model.beta BETA" in (lightning_help("fit", argv) or "")


@pytest.mark.parametrize(
    "argv", [[], ["--model=DPO"], ["--model.help=Unknown"], ["--model.policy.help=X"], ["--model.help"]]
)
def test_other_help_is_left_to_the_real_parser(argv):
    assert lightning_help("fit", argv) is None


def test_stored_texts_hold_nothing_of_one_machine():
    for path in FOLDER.glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("0x", "/home/", "/root/", "/tmp/", "<class ", "__main__")), path.name
