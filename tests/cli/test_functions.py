"""Parsers from plain functions, and the messages of the mistakes one makes with them."""

from pathlib import Path
from typing import Literal

import pytest

from lit_align.cli.functions import function_parser, run_function
from lit_align.errors import ConfigError

CALLS = []


def sample(
    file: Path,
    /,
    *,
    model: str,
    num_samples: int = 1,
    temperature: float = 1.0,
    kind: Literal["sft", "rating"] = "sft",
    names: list[str] | None = None,
    weights: dict[str, float] | None = None,
    max_length: int | None = None,
    json: bool = False,
    resume: bool = True,
) -> int:
    """Samples responses.

    One row a prompt.

    Args:
        file: The prompts.
        model: Folder of the model.
        json: Print JSON.
    """
    CALLS.append({name: value for name, value in locals().items()})
    return 0


@pytest.fixture(autouse=True)
def forget():
    CALLS.clear()


def call(*argv: str) -> dict:
    assert run_function(sample, list(argv), prog="lit-align sample") == 0
    return CALLS[-1]


def message(*argv: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        run_function(sample, list(argv), prog="lit-align sample")
    assert CALLS == []
    return str(caught.value).splitlines()


def test_positional_arguments_flags_and_options_reach_the_function():
    values = call("rows.jsonl", "--model", "m", "--json", "--no_resume", "--temperature", "1e-1", "--max_length=5")
    assert values["file"] == Path("rows.jsonl")
    assert (values["model"], values["json"], values["resume"]) == ("m", True, False)
    assert (values["temperature"], values["max_length"], values["num_samples"]) == (0.1, 5, 1)


def test_options_may_stand_before_a_positional_argument():
    assert call("--json", "--model=m", "rows.jsonl")["file"] == Path("rows.jsonl")


def test_lists_and_dictionaries_are_given_whole_or_item_by_item():
    values = call("f", "--model=m", "--names", "[a, b]", "--names+=c", "--weights.x=2", "--weights.y=3")
    assert values["names"] == ["a", "b", "c"]
    assert values["weights"] == {"x": 2.0, "y": 3.0}


def test_a_config_file_gives_options_and_later_options_win(tmp_path):
    (tmp_path / "c.yaml").write_text("file: rows.jsonl\nmodel: m\nnum_samples: 3\njson: true\n")
    values = call("--config", str(tmp_path / "c.yaml"), "--num_samples=4")
    assert values["file"] == Path("rows.jsonl")
    assert (values["num_samples"], values["json"]) == (4, True)


def test_the_exit_code_of_the_function_is_returned():
    def fails() -> int:
        """Fails."""
        return 3

    def works() -> None:
        """Works."""

    assert run_function(fails, [], prog="x") == 3
    assert run_function(works, [], prog="x") == 0


def test_help_comes_from_the_docstring():
    text = function_parser(sample, prog="lit-align sample").format_help()
    assert "Samples responses." in text
    assert "One row a prompt." in text
    assert "Folder of the model. (required, type: str)" in text
    assert "FILE" in text
    assert "<class" not in text


@pytest.mark.parametrize(
    ("argv", "cause", "suggestion"),
    [
        (["f"], "missing --model", None),
        (["--model=m"], "missing FILE", None),
        (["f", "--modle", "m"], "unknown option '--modle'", "--model"),
        (["f", "--model=m", "--num-samples=2"], "unknown option '--num-samples'", "--num_samples"),
        (["f", "--model=m", "--temp=2"], "unknown option '--temp'", "--temperature"),
        (["f", "--model=m", "--zzz"], "unknown option '--zzz'", None),
        (["f", "g", "--model=m"], "unexpected argument 'g'", None),
        (["f", "--model"], "--model needs a value", None),
        (["f", "--model=m", "--json=true"], "--json takes no value, got 'true'", None),
        (["f", "--model=m", "--num_samples=three"], "--num_samples: expected int, got 'three'", None),
        (["f", "--model=m", "--max_length=x"], "--max_length: expected int or null, got 'x'", None),
        (["f", "--model=m", "--kind=sff"], "--kind: expected one of sft, rating, got 'sff'", "sft"),
    ],
)
def test_a_mistake_is_named_first_then_the_nearest_option_then_the_help(argv, cause, suggestion):
    lines = message(*argv)
    assert lines[0] == cause
    assert len(lines) == (3 if suggestion else 2)
    assert suggestion is None or lines[1].startswith(f"Did you mean: {suggestion}")
    assert lines[-1] == "See: lit-align sample --help"


@pytest.mark.parametrize(
    ("text", "cause", "line"),
    [
        ("model: m\nfile: f\nnum_smaples: 3\n", "unknown key 'num_smaples'", 3),
        ("model: m\nnum_samples: three\n", "--num_samples: expected int, got 'three'", 2),
    ],
)
def test_a_mistake_in_a_config_file_is_named_with_its_line(text, cause, line, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert message("f", "--config", str(path))[:2] == [cause, f"in {path}:{line}"]
