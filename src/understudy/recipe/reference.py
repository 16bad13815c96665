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

All options of understudy. This page is generated from the models in `src/understudy/recipe`
(`python -m understudy.recipe.reference`); edit it there.

A recipe is a TOML file with one table per section; a few options come first, outside of any table. Options that you
leave out have their defaults, and unknown options are errors.

```toml
{EXAMPLE}```

- `understudy check reviews.toml` looks for mistakes, and `understudy run reviews.toml` runs the recipe.
- A table needs no recipe: `understudy run reviews.csv`. `understudy init reviews.csv` writes one for it, with comments.
- `understudy recipes` lists the presets, which ship with understudy; `understudy run imdb` runs one. If a file has the
  same name as a preset, `imdb` is the preset and `./imdb` the file.
- Every option is also a flag with its dotted name, and **flags override the file**: `--teacher.epochs 3`.
- A list in a flag is written `a,b`, or as JSON if a name contains a comma: `'["a,b", "c"]'`.
- The word `none` unsets an optional value:
  `--student.layers none --student.model distilbert/distilbert-base-uncased`.
- All mistakes are reported at once. `recipe.toml` in the run directory is the recipe with all defaults.
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
