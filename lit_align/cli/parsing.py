"""The jsonargparse parsers of the commands, and their errors in a few lines: cause, place, nearest valid option."""

import argparse
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path

import jsonargparse

from lit_align.errors import ConfigError

_UNRECOGNIZED = re.compile(r"unrecognized arguments: (.*)", re.DOTALL)
_MISSING = re.compile(r"the following arguments are required: (.*)")
_NOT_ACCEPTED = re.compile(r"Option '([^']+)' is not accepted")
_KEY = re.compile(r'Parser key "([^"]+)":\s*')
_CLASS = re.compile(r"<class '(?:\w+\.)*(\w+)'>")


class Parser(jsonargparse.ArgumentParser):
    """A parser whose errors are `ConfigError`s and whose help writes types as one reads them."""

    def __init__(self, *args, **kwargs) -> None:  # noqa: ANN002, ANN003  # jsonargparse's own signature
        kwargs.setdefault("exit_on_error", False)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def format_help(self) -> str:
        """The help, with `str` for `<class 'str'>`."""
        return _plain(super().format_help())

    def parse_argv(self, argv: list[str]) -> jsonargparse.Namespace:
        """Parses the command line `argv`.

        Raises:
            ConfigError: Where it does not fit, in at most six lines.
        """
        try:
            return self.parse_args(argv)
        except argparse.ArgumentError as error:
            options = [option for action in self._actions for option in action.option_strings]
            raise parse_error(str(error), options=options, argv=argv, prog=self.prog) from error


def parse_error(message: str, *, options: Collection[str], argv: Iterable[str], prog: str) -> ConfigError:
    """A `ConfigError` from jsonargparse's `message`: its cause, the place in a config file, the nearest of `options`."""
    lines = _cause(message, options, prog)
    key = _offending_key(message)
    place = locate(key, config_files(argv)) if key else None
    if place:
        lines.insert(1, f"in {place}")
    return ConfigError("\n".join([*lines, f"See: {prog} --help"]))


def nearest(name: str, names: Iterable[str]) -> str:
    """The line that suggests the nearest of `names`; empty where none is near."""
    near = get_close_matches(name.replace("-", "_"), {n.lstrip("-"): None for n in names}, n=3, cutoff=0.6)
    dashes = "--" if any(n.startswith("--") for n in names) else ""
    return f"Did you mean: {', '.join(dashes + n for n in near)}?" if near else ""


def config_files(argv: Iterable[str]) -> list[Path]:
    """The files that `--config` names in `argv`, the last first: it is the one that wins."""
    words = list(argv)
    named = [b for a, b in zip(words, words[1:], strict=False) if a in ("--config", "-c")]
    named += [word.partition("=")[2] for word in words if word.startswith("--config=")]
    return [path for path in map(Path, reversed(named)) if path.is_file()]


def locate(key: str, files: Iterable[Path]) -> str | None:
    """`file:line` of the dotted `key` (or of its last part, where nested keys are reported alone) in YAML files."""
    last = key.rpartition(".")[2]
    pattern = re.compile(rf"^[\s\-{{,]*['\"]?{re.escape(last)}['\"]?\s*:", re.MULTILINE)
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if pattern.search(line):
                return f"{file}:{number}"
    return None


def _cause(message: str, options: Collection[str], prog: str) -> list[str]:
    if match := _UNRECOGNIZED.search(message):
        word = match[1].split()[0].partition("=")[0]
        if not word.startswith("-"):
            return [f"{prog}: unexpected argument {word!r}"]
        return [f"{prog}: unknown option {word!r}", nearest(word.lstrip("-"), options)]
    if match := _MISSING.search(message):
        named = {option.lstrip("-"): option for option in options}
        missing = [named.get(name, name.upper()) for name in match[1].split(", ")]
        return [f"{prog}: missing {', '.join(missing)}"]
    if match := _NOT_ACCEPTED.search(message):
        return [f"{prog}: unknown key {match[1]!r}", nearest(match[1], options)]
    return [f"{prog}: {_plain(_KEY.sub(_as_option, message, count=1))}"]


def _offending_key(message: str) -> str | None:
    if match := _NOT_ACCEPTED.search(message) or _KEY.search(message):
        return match[1]
    return None


def _as_option(match: re.Match[str]) -> str:
    return f"--{match[1]}: "


def _plain(text: str) -> str:
    return _CLASS.sub(r"\1", text).replace("typing.", "")
