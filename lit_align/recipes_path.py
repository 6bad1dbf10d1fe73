"""Where the shipped recipes lie, in a checkout and in an installed wheel, and how one is named."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from lit_align.errors import ConfigError

_LOOP = "loop"  # a folder with a `loop.yaml` is a recipe named after the folder
_SUFFIXES = (".yaml", ".yml")


def recipes_root() -> Path:
    """The folder of the shipped recipes: `recipes/` of a checkout, `lit_align/recipes/` of an installed wheel."""
    package = Path(__file__).resolve().parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def shipped_recipes() -> dict[str, Path]:
    """Every shipped recipe by name: its path under the root without suffix; a folder's `loop.yaml` by the folder."""
    root = recipes_root()
    return {_name(path.relative_to(root)): path for path in sorted(root.rglob("*.yaml"))}


def find_recipe(recipe: str | Path) -> Path:
    """The file of a recipe given by path or by shipped name.

    A bare word is a shipped name first (a folder of that name in the working directory does not hide it); anything
    else is a path first. A leading `recipes/` may stay, so commands from the documentation work from any folder.

    Raises:
        ConfigError: Where there is neither; the message has the nearest shipped names.
    """
    text, path, shipped = str(recipe), Path(recipe), shipped_recipes()
    if path.name == text and text in shipped:
        return shipped[text]
    for candidate in _files(path):
        if candidate.is_file():
            return candidate
    name = _name(Path(text.removeprefix("recipes/")))
    if name in shipped:
        return shipped[name]
    raise ConfigError(_unknown(text, name, list(shipped)))


def _files(path: Path) -> Iterator[Path]:
    yield path
    yield path / f"{_LOOP}.yaml"


def _name(path: Path) -> str:
    path = path.with_suffix("") if path.suffix in _SUFFIXES else path
    return (path.parent if path.name == _LOOP and path.parent != Path(".") else path).as_posix()


def _unknown(text: str, name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=3)
    tail = f"Nearest shipped recipes: {', '.join(near)}." if near else f"Shipped recipes: {', '.join(names)}."
    return f"no such file or shipped recipe: {text!r}\n{tail}\nAll: lit-align recipes"
