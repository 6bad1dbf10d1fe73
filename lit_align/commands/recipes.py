"""`lit-align recipes`: the shipped recipes, by the name under which a command takes them."""

from pathlib import Path

from lit_align.recipes_path import find_recipe, shipped_recipes


def recipes(name: str | None = None, /) -> None:
    """Lists the shipped recipes with the first line of each, or prints one of them.

    Args:
        name: The recipe to print.
    """
    if name is not None:
        print(find_recipe(name).read_text(encoding="utf-8"), end="")
        return
    shipped = shipped_recipes()
    width = max(map(len, shipped), default=0)
    for recipe, path in shipped.items():
        print(f"{recipe:<{width}}  {_headline(path)}")


def _headline(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip() if first.startswith("#") else ""
