"""The recipe's options as flags, and the recipe that they make."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from understudy.recipe.recipe import Recipe


class RecipeFlags:
    """The recipe's options as flags under their dotted names, in a group for each section."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict

        from understudy.recipe.recipe import Recipe
        from understudy.recipe.wording import options

        self._options = {option.name: option for option in options(Recipe)}
        self._top = parser.add_argument_group(
            "recipe options", "These flags and all below override the recipe. `none` unsets an optional value."
        )
        # Lists are left as they were typed: the recipe reads them.
        config = SettingsConfigDict(enable_decoding=False)
        settings = type("RecipeFlags", (BaseSettings, Recipe), {"__doc__": None, "model_config": config})
        self._source: Any = CliSettingsSource(
            settings, root_parser=parser, add_argument_method=self._add, cli_use_class_docs_for_groups=True
        )

    def _add(self, group: Any, flag: str, *, dest: str, **how: Any) -> None:
        option = self._options.get(dest)
        if option is None:  # a whole table as JSON
            return
        action = {"action": how["action"]} if "action" in how else {}
        default = "required, here or in the recipe" if option.required else f"default: {option.default_words}"
        limits = f"{option.takes}; " if option.metavar.removesuffix("|auto") in ("INTEGER", "NUMBER") else ""
        (group if option.section else self._top).add_argument(
            flag,
            dest=dest,
            default=argparse.SUPPRESS,
            metavar=option.metavar,
            help=f"{option.help} [{limits}{default}]".replace("%", "%%"),
            **action,
        )

    def given(self, options: argparse.Namespace) -> dict[str, Any]:
        """Only what the user gave, nested."""
        found: dict[str, Any] = self._source(parsed_args=options)()
        return found


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that names the recipe."""
    parser.usage = f"{parser.prog} [RECIPE] [--section.option VALUE ...] [flags]"
    parser.add_argument(
        "recipe",
        nargs="?",
        default="quickstart",
        metavar="RECIPE",
        help="a preset's name (see understudy recipes) or a TOML file. Write ./imdb for a file named like a preset "
        "(default: quickstart)",
    )


def add_recipe_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for every option of the recipe."""
    parser.set_defaults(recipe_flags=RecipeFlags(parser))


def chosen_recipe(options: argparse.Namespace) -> Recipe:
    """The recipe that a command was given, with what its flags changed.

    Raises:
        RecipeError: There is no such recipe, or an option is wrong.
    """
    from understudy.recipe.recipe import Recipe

    return Recipe.load(options.recipe, **options.recipe_flags.given(options))
