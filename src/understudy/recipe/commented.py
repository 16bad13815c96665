"""A recipe as a TOML file that explains itself: every option has its help as a comment."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from understudy.recipe.files import toml_line
from understudy.recipe.recipe import Recipe
from understudy.recipe.wording import Option, documentation, options, sections

_WIDTH = 100


def commented(recipe: Recipe, heading: Sequence[str] = ()) -> str:
    """The recipe with all defaults; an optional value that is not set is a comment, too.

    `Recipe.load` reads it back to an equal recipe.

    Args:
        recipe: The recipe.
        heading: Lines of comment for the top of the file.
    """
    values = recipe.model_dump(mode="json")
    every = options(Recipe)
    blocks = ["\n".join(_comment(line) for line in heading)] if heading else []
    blocks += [_entry(option, values[option.name]) for option in every if not option.section]
    for section, model in sections(Recipe).items():
        blocks.append(f"{_comment(documentation(model))}\n[{section}]")
        own = [option for option in every if option.section == section]
        blocks += [_entry(option, values[section][option.name.rpartition(".")[2]]) for option in own]
    return "\n\n".join(blocks) + "\n"


def _entry(option: Option, value: object) -> str:
    name = option.name.rpartition(".")[2]
    line = f'# {name} = "none"' if value is None else toml_line(name, value)
    return f"{_comment(f'{option.help} Takes {option.takes}.')}\n{line}"


def _comment(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), _WIDTH, initial_indent="# ", subsequent_indent="# ")
