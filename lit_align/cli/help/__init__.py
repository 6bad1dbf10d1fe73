"""The help texts that need no parser: that of the program, and the stored ones of the Lightning commands."""

from pathlib import Path

from lit_align.cli.table import COMMANDS, GROUPS, Command, subcommands

_FOLDER = Path(__file__).parent
_FOOTER = """
lit-align COMMAND --help shows a command's options. --version shows the version. --debug shows tracebacks.
Exit codes: 0 done, 1 a bug, 2 configuration, 3 data, 4 resources, 5 remote service, 6 non-finite training,
75 interrupted (the same command continues).
"""


def program_help() -> str:
    """The help of `lit-align` itself."""
    groups = "\n".join(f"{title}:\n{_lines(commands)}" for title, commands in GROUPS.items())
    return f"usage: lit-align COMMAND [OPTIONS]\n\nAlign language models with Lightning.\n\n{groups}{_FOOTER}"


def group_help(word: str) -> str:
    """The help of the commands of two words that begin with `word`."""
    return f"usage: lit-align {word} COMMAND [OPTIONS]\n\n{_lines(subcommands(word))}"


def help_file(name: str) -> Path:
    """Where the help of the Lightning command `name` is stored."""
    return _FOLDER / f"{name}.txt"


def stored_help(name: str) -> str:
    """The help of the Lightning command `name`, as its real parser wrote it."""
    return help_file(name).read_text(encoding="utf-8")


def lightning_commands() -> list[str]:
    """The names of the commands whose help is stored."""
    return [name for name, command in COMMANDS.items() if command.is_lightning]


def _lines(commands: list[Command] | tuple[Command, ...]) -> str:
    return "".join(f"  {command.name:<12}{command.summary}\n" for command in commands)
