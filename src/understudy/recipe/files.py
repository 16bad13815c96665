"""Recipe files: finds, reads, merges and writes them; `recipe.py` defines what they mean."""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from understudy.errors import RecipeError
from understudy.recipe.wording import suggestion


def packaged_files() -> dict[str, Any]:
    """The recipes that ship with understudy, by name."""
    folder = resources.files("understudy.recipe") / "presets"
    files = {file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")}
    return dict(sorted(files.items()))


def read_options(source: str | Path) -> dict[str, Any]:
    """The options of a preset or a TOML file, not yet validated.

    Raises:
        RecipeError: The file or preset does not exist, or the file is not TOML.
    """
    packaged = packaged_files()
    file = packaged.get(source) if isinstance(source, str) else None
    path = file or Path(source)
    if not path.is_file():
        raise RecipeError(_no_recipe(source, list(packaged)))
    try:
        # Editors on Windows add a byte order mark, which TOML does not allow.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{source} is not UTF-8 text (byte {error.start}): expected a TOML file. Save it again as UTF-8."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source} is not valid TOML: {error}. Correct it there; strings need quotes.") from None
    except OSError as error:
        raise RecipeError(f"{source} cannot be read: {error.strerror}. Give a readable TOML file.") from None


def _no_recipe(source: str | Path, names: list[str]) -> str:
    path = Path(source)
    if path.is_dir():
        inside = path / "recipe.toml"
        hint = f"Give {inside}." if inside.is_file() else "Give a file."
        return f"{source} is a folder: expected a TOML file or a preset. {hint}"
    return (
        f"No recipe '{source}': there is no such file, and the presets are {', '.join(names)}"
        f"{suggestion(str(source), names) or '.'}"
    )


def merged(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """`base` with the options of `overrides` added or replaced, table by table."""
    result = dict(base)
    for key, value in overrides.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if nested else value
    return result


def toml_line(key: str, value: Any) -> str:
    """One option as a line of a TOML file."""
    # JSON and TOML write strings, numbers, booleans and lists of them alike, except for the delete character.
    return f"{key} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")
