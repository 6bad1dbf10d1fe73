"""Prompt texts with slots, from the files in `templates/` or from files of the user."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import final

from lit_align.errors import ConfigError

_SLOT = re.compile(r"\{([a-z_]+)(:fenced)?\}")
_BETWEEN = re.compile(r"\n---\n")


@final
@dataclass(frozen=True, kw_only=True)
class Template:
    """A text with slots: `{topic}` stands for a value, `{document:fenced}` for one between tags that it cannot close.

    Values are put in once and never read again, so braces in them mean nothing. All other braces stay as they are.

    Args:
        name: What it is called.
        text: The text. Alternatives stand between lines of three hyphens.
    """

    name: str
    text: str

    @property
    def id(self) -> str:
        """Names the text, by the first 12 hexadecimal digits of its sha256."""
        return sha256(self.text.encode()).hexdigest()[:12]

    @property
    def slots(self) -> frozenset[str]:
        """The names of all slots."""
        return frozenset(match[1] for match in _SLOT.finditer(self.text))

    @property
    def alternatives(self) -> tuple[str, ...]:
        """The texts of which one is filled; the text itself where it is the only one."""
        return tuple(_BETWEEN.split(self.text.strip()))

    def fill(self, values: Mapping[str, str | int], *, rank: float = 0.0) -> str:
        """The text with its values; what is not in it is not used.

        >>> Template(name="ask", text="About {topic}: {x:1}").fill({"topic": "{num}", "num": 3})
        'About {num}: {x:1}'

        Args:
            values: By slot.
            rank: From 0 to 1; which of the alternatives is taken.

        Raises:
            ConfigError: A slot has no value.
        """
        if missing := self.slots - values.keys():
            known = ", ".join(sorted(values)) or "none"
            raise ConfigError(f"template {self.name}: nothing fills {_named(missing)}\nThere are: {known}")
        texts = self.alternatives
        return _SLOT.sub(lambda match: _value(match, values), texts[int(rank * len(texts))])


@final
@dataclass(frozen=True, kw_only=True)
class Templates:
    """The shipped templates, some of them replaced.

    Args:
        files: Files of the user, by the name of the template that each replaces.

    Raises:
        ConfigError: There is no template of such a name.
    """

    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.files:
            if name not in (names := template_names()):
                near = get_close_matches(name, names, n=1)
                hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names)}."
                raise ConfigError(f"templates: there is no template {name!r} to replace\n{hint}")

    def __getitem__(self, name: str) -> Template:
        """A template, the user's where there is one."""
        return replacement(self.files[name], name) if name in self.files else shipped(name)


def shipped(name: str) -> Template:
    """A template of this package."""
    file = resources.files("lit_align.synthesis").joinpath("templates", f"{name}.txt")
    return Template(name=name, text=file.read_text(encoding="utf-8"))


def template_names() -> list[str]:
    """The names of all shipped templates."""
    folder = resources.files("lit_align.synthesis").joinpath("templates")
    return sorted(file.name.removesuffix(".txt") for file in folder.iterdir() if file.name.endswith(".txt"))


def replacement(path: str, name: str) -> Template:
    """A user's file in place of a shipped template.

    Raises:
        ConfigError: It cannot be read, or its slots are not those of the shipped one.
    """
    try:
        made = Template(name=name, text=Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the template {name} cannot be read: {error}") from error
    expected = shipped(name).slots
    for what, slots in (("lacks", expected - made.slots), ("has no use for", made.slots - expected)):
        if slots:
            raise ConfigError(f"{path}: the template {name} {what} {_named(slots)}\nIts slots: {_named(expected)}")
    return made


def fenced(text: str, *, name: str) -> str:
    """A text between tags that carry its own hash, so that nothing in it can end it.

    >>> fenced("Hi", name="document").splitlines()
    ['<document-3639efcd>', 'Hi', '</document-3639efcd>']
    """
    tag = f"{name}-{sha256(text.encode()).hexdigest()[:8]}"
    return f"<{tag}>\n{text}\n</{tag}>"


def _value(match: re.Match[str], values: Mapping[str, str | int]) -> str:
    value = str(values[match[1]])
    return fenced(value, name=match[1]) if match[2] else value


def _named(slots: Collection[str]) -> str:
    return ", ".join(f"{{{slot}}}" for slot in sorted(slots))
