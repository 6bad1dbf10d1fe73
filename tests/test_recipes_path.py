"""Recipes by path and by name."""

import pytest

from lit_align import recipes_path
from lit_align.errors import ConfigError
from lit_align.recipes_path import find_recipe, shipped_recipes


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of shipped recipes, and another working directory."""
    root = tmp_path / "shipped"
    for name in ("dpo.yaml", "quickstart/loop.yaml", "quickstart/sft.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("# x\n")
    monkeypatch.setattr(recipes_path, "recipes_root", lambda: root)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return root


def test_a_folder_with_a_loop_is_named_after_the_folder(shipped):
    assert list(shipped_recipes()) == ["dpo", "quickstart", "quickstart/sft"]


@pytest.mark.parametrize("name", ["dpo", "dpo.yaml", "recipes/dpo.yaml"])
def test_a_shipped_recipe_is_found_by_name_from_any_folder(name, shipped):
    assert find_recipe(name) == shipped / "dpo.yaml"


@pytest.mark.parametrize("name", ["quickstart", "recipes/quickstart", "recipes/quickstart/loop.yaml"])
def test_a_shipped_loop_is_found_by_its_folder(name, shipped):
    assert find_recipe(name) == shipped / "quickstart" / "loop.yaml"


def test_a_path_wins_unless_it_is_a_bare_shipped_name(shipped, tmp_path):
    own = tmp_path / "here" / "recipes"
    own.mkdir()
    (own / "dpo.yaml").write_text("# own\n")
    (tmp_path / "here" / "quickstart").mkdir()
    assert find_recipe("recipes/dpo.yaml").resolve() == own / "dpo.yaml"
    assert find_recipe("quickstart") == shipped / "quickstart" / "loop.yaml"
    assert find_recipe(own / "dpo.yaml") == own / "dpo.yaml"


def test_a_folder_with_a_loop_is_a_recipe(tmp_path):
    (tmp_path / "loop.yaml").write_text("# own\n")
    assert find_recipe(tmp_path) == tmp_path / "loop.yaml"


def test_an_unknown_recipe_is_answered_with_the_nearest_names(shipped):
    with pytest.raises(ConfigError, match=r"(?s)'quikstart'.*Nearest shipped recipes: quickstart"):
        find_recipe("quikstart")


def test_the_recipes_of_this_checkout_are_found():
    assert all(path.is_file() for path in shipped_recipes().values())
