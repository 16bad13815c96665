"""The documentation says what the code does."""

from __future__ import annotations

from pathlib import Path

from understudy.recipe import Recipe
from understudy.reference import EXAMPLE, reference
from understudy.wording import options

ROOT = Path(__file__).parent.parent


def test_recipe_reference_is_current() -> None:
    written = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m understudy.reference > docs/recipe.md"


def test_recipe_reference_names_every_option_once() -> None:
    lines = reference().splitlines()
    for option in options(Recipe):
        assert lines.count(f"### `{option.name}`") == 1
        assert lines.count(f"- flag: `{option.flag}`") == 1
        assert option.help in lines


def test_the_references_example_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "reviews.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    recipe = Recipe.load(path)
    assert (recipe.name, recipe.teacher.epochs, recipe.student.layers) == ("reviews", 2, 3)
    assert f"```toml\n{EXAMPLE}```" in reference()
