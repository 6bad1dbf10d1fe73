"""Dotted options of mappings: all of them count, with the types one means."""

import pytest

from lit_align.cli.functions import function_parser


def program(*, init_args: dict[str, object] | None = None, steps: int = 1) -> None:
    """Takes a mapping.

    Args:
        init_args: A mapping.
        steps: A number.
    """


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--init_args.a.b", "1", "--init_args.a.c", "2"], {"a": {"b": 1, "c": 2}}),
        (["--init_args.a.b.c=1e-3", "--init_args.a.b.d=text"], {"a": {"b": {"c": 1e-3, "d": "text"}}}),
        (["--init_args.a={b: 1}", "--init_args.a.c", "-2"], {"a": {"b": 1, "c": -2}}),
        (["--init_args", '{"a": {"b": 1}}', "--init_args.c=true"], {"a": {"b": 1}, "c": True}),
        (["--init_args.a.path", "../x: y", "--init_args.a.none=null"], {"a": {"path": "../x: y", "none": None}}),
        (["--init_args.a.day", "2024-01-01", "--init_args.a.bad", "'x"], {"a": {"day": "2024-01-01", "bad": "'x"}}),
    ],
)
def test_every_dotted_option_of_a_mapping_counts(argv, expected):
    assert function_parser(program, prog="x").parse_argv(["--steps", "2", *argv]).init_args == expected


@pytest.mark.parametrize("argv", [["--init_args.a.b"], ["--steps.a", "1"]])
def test_what_is_no_mapping_or_has_no_value_is_refused(argv):
    from lit_align.errors import ConfigError

    with pytest.raises(ConfigError, match=r"--(init_args|steps)"):
        function_parser(program, prog="x").parse_argv(argv)
