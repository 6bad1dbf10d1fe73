"""`python docs/assets/cli_page.py [--write]`: the page of the command line from the help texts of the program."""

import os
import sys
from importlib import import_module
from pathlib import Path

from lit_align.cli.functions import function_parser
from lit_align.cli.help import lightning_help, program_help
from lit_align.cli.table import COMMANDS, Command
from lit_align.files import atomic_write

PAGE = Path(__file__).resolve().parent.parent / "cli.md"
_INTRODUCTION = """# Command line

<!-- Written by docs/assets/cli_page.py from the help texts of the program; a test compares the two. -->

`lit-align COMMAND --help` shows what stands here. `--debug`, anywhere, shows the traceback of an error.

Options of `fit`, `validate`, `test` and `predict` are parsed by
[LightningCLI](https://lightning.ai/docs/pytorch/stable/cli/lightning_cli.html): `--model DPO` and
`--data PreferenceData` name classes, by their short names or by a class path of your own; `--model.help DPO` lists a
class's options; several `--config` files are merged key by key, and later options win. A shipped recipe can be named
instead of given by path (`--config dpo`). The other commands take `--config FILE` with their own options too. A key
that stands twice in a file is an error, and so is every key that no option takes.
"""


def page() -> str:
    """The page as Markdown."""
    os.environ["COLUMNS"] = "110"  # argparse wraps at the width of the terminal
    sections = [_section("lit-align", program_help())]
    sections += [_section(f"lit-align {name}", _help(command)) for name, command in COMMANDS.items()]
    return "\n".join([_INTRODUCTION, *sections])


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text.rstrip()}\n```\n"


def _help(command: Command) -> str:
    if command.is_lightning:
        return lightning_help(command.name, ["--help"]) or ""
    module, _, function = command.target.partition(":")
    return function_parser(getattr(import_module(module), function), prog=f"lit-align {command.name}").format_help()


def main(argv: list[str]) -> int:
    """Writes the page with `--write`; without, returns 1 if it differs from the program."""
    if "--write" in argv:
        with atomic_write(PAGE) as file:
            file.write(page())
        return 0
    return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
