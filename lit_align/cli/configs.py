"""The YAML files a command line names: shipped names resolved, duplicate keys refused, keys located by line."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from lit_align.errors import ConfigError
from lit_align.recipes_path import find_recipe

_OPTIONS = ("-c", "--config")
_MERGE = "tag:yaml.org,2002:merge"


def resolve_configs(argv: list[str]) -> list[str]:
    """`argv` with every `--config NAME` replaced by the path of that file or shipped recipe.

    Raises:
        ConfigError: Where there is no such file, it is not YAML, or a key stands in it twice (YAML would silently take
            the last); the message has `file:line`.
    """
    resolved = list(argv)
    for index, prefix, value in _config_values(argv):
        resolved[index] = prefix + _checked(value)
    return resolved


def config_files(argv: list[str]) -> list[Path]:
    """The files that `--config` names in a resolved `argv`, in the order in which they are read."""
    return [path for _, _, value in _config_values(argv) if (path := Path(value)).is_file()]


def has_inline_config(argv: list[str]) -> bool:
    """Whether a configuration is written on the command line itself, where nobody here looks into it."""
    return any(_is_inline(value) for _, _, value in _config_values(argv))


def read_yaml(path: Path) -> yaml.Node | None:
    """The document of a YAML file as nodes with line numbers; None where the file is empty.

    Raises:
        ConfigError: Where it is not YAML or a key stands in it twice.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"not valid YAML: {error.problem}\nin {path}:{mark.line + 1 if mark else 1}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid YAML: {error}\nin {path}") from error
    seen: set[tuple[str, ...]] = set()
    for keys, key_node, _ in walk(node):
        if keys in seen:
            raise ConfigError(f"key {'.'.join(keys)!r} stands twice\nin {path}:{key_node.start_mark.line + 1}")
        seen.add(keys)
    return node


def walk(
    node: yaml.Node | None, above: tuple[str, ...] = (), *, seen: set[int] | None = None
) -> Iterator[tuple[tuple[str, ...], yaml.Node, yaml.Node]]:
    """Every key under `node`, depth first: its path (list items by index), its own node and that of its value.

    What an alias repeats is visited once, and merge keys (`<<`) are left out.
    """
    seen = set() if seen is None else seen
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag != _MERGE:
                path = (*above, str(key.value))
                yield path, key, value
                yield from walk(value, path, seen=seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from walk(item, (*above, str(index)), seen=seen)


def locate(key: str, files: list[Path]) -> str | None:
    """`file:line` of the dotted `key` in the last of `files` that has it. `init_args` levels may be left out."""
    wanted = _significant(key.split("."))
    for file in reversed(files):
        for keys, node, _ in walk(read_yaml(file)):
            if _significant(keys)[-len(wanted) :] == wanted:
                return f"{file}:{node.start_mark.line + 1}"
    return None


def _config_values(argv: list[str]) -> Iterator[tuple[int, str, str]]:
    """The values of `--config` in `argv`: place, what stands before it in the same word, and the value."""
    takes_value = False
    for index, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if takes_value:
            yield index, "", word
        elif name in _OPTIONS and equals:
            yield index, name + equals, value
        takes_value = word in _OPTIONS and not takes_value


def _checked(value: str) -> str:
    if _is_inline(value):
        return value
    path = find_recipe(value)
    read_yaml(path)
    return str(path)


def _is_inline(value: str) -> bool:
    return "\n" in value or value.lstrip().startswith("{")


def _significant(keys: list[str] | tuple[str, ...]) -> list[str]:
    return [key for key in keys if key != "init_args"]
