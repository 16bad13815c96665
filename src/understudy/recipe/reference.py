"""Writes `docs/recipe.md` from the recipe's models: python -m understudy.recipe.reference > docs/recipe.md"""

from __future__ import annotations

from understudy.recipe.recipe import Recipe
from understudy.recipe.wording import Option, documentation, options, sections

EXAMPLE = """\
name = "reviews"

[data]
train = "reviews.csv"
test = "held-out.csv"
label = "stars"

[teacher]
model = "google-bert/bert-base-uncased"
epochs = 2

[student]
layers = 3
"""

_INTRODUCTION = f"""\
# The recipe

Every option of understudy. This page is made from the models in `src/understudy/recipe`
(`python -m understudy.recipe.reference`); change it there.

A recipe is a TOML file: the options at the top first, then one table a section. What is left out takes its default, and
an option that does not exist is refused.

```toml
{EXAMPLE}```

- `understudy run reviews.toml` runs it; `understudy check reviews.toml` looks for mistakes first. `understudy recipes`
  lists the recipes that ship with understudy, the presets, and `understudy run imdb` runs one. A preset's name wins
  over a file of that name; `./imdb` is the file.
- Every option is also a flag under its dotted name, and **flags beat the file**: `--teacher.epochs 3`. In a flag a list
  is written `a,b`, or as JSON where a name holds a comma: `'["a,b", "c"]'`. The word `none` unsets an option that may
  be left out: `--student.layers none --student.model distilbert/distilbert-base-uncased`.
- All mistakes are reported at once. `recipe.toml` in the run directory is the recipe with every default filled in.
"""


def reference() -> str:
    """The whole page."""
    every = options(Recipe)
    parts = [_INTRODUCTION, _section("At the top of the file", "Options of the run as a whole.", every, "")]
    for name, model in sections(Recipe).items():
        parts.append(_section(f"[{name}]", documentation(model), every, name))
    return "\n".join(parts)


def _section(title: str, text: str, every: list[Option], section: str) -> str:
    entries = [_entry(option) for option in every if option.section == section]
    return "\n".join([f"## {title}\n\n{text}\n", *entries])


def _entry(option: Option) -> str:
    default = "required" if option.required else f"default: {option.default_words}"
    return f"### `{option.name}`\n\n{option.help}\n\n- takes {option.takes}; {default}\n- flag: `{option.flag}`\n"


if __name__ == "__main__":
    print(reference(), end="")
