"""What a call asks for: a recipe, or data with the settings of `quickstart`; data may be in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from understudy.data.frames import is_data, write_source
from understudy.data.sources import is_source
from understudy.errors import UserError
from understudy.recipe.arguments import as_arguments, reworded
from understudy.recipe.files import packaged_files
from understudy.recipe.recipe import Recipe
from understudy.run.settings import Settings, SettingsArguments

_BASE = "quickstart"
_SOURCES = ("train", "test", "validation", "unlabelled")
_COLUMNS = ("text", "label")
_PARTS = {"train": "the training data", "test": "the test data", "validation": "the validation data"}
_IN_MEMORY = "data"  # the name of a run whose training data has none


class DataArguments(TypedDict, total=False):
    """Options of the recipe's `data` section as keyword arguments; sources may be in memory."""

    train: Any
    test: Any
    validation: Any
    unlabelled: Any
    text: str
    label: str


class Arguments(SettingsArguments, DataArguments, total=False):
    """The keyword arguments of the public functions that run a recipe."""


@dataclass(frozen=True)
class Request:
    """A recipe, and the data that it names but that is still in memory.

    Attributes:
        recipe: What to do.
        in_memory: Data by the name of its option in the recipe's `data` section.
        by_arguments: Whether Python arguments name the data, or its columns.
    """

    recipe: Recipe
    in_memory: Mapping[str, Any] = field(default_factory=dict)
    by_arguments: bool = False

    @contextmanager
    def written_to(self, folder: Path) -> Iterator[Recipe]:
        """Writes the data to parquet files and yields the recipe that names them.

        Files that were written are removed again if the block fails. The same data has the same file name, so a run
        that is repeated finds its own data. Errors that leave the block have the words of the call.

        Args:
            folder: Where the files go.
        """
        with self._written(folder) as recipe, reworded(lambda message: self.worded(message, recipe)):
            yield recipe

    def worded(self, message: str, written: Recipe) -> str:
        """A message in the words of the call: data instead of the file that holds it, arguments instead of flags.

        Args:
            message: Names files and flags.
            written: The recipe that `written_to` yields.
        """
        for name, data in self.in_memory.items():
            described = f"{_PARTS.get(name, 'the unlabelled data')} ({_described(data)})"
            message = re.sub(f"(^)?{re.escape(getattr(written.data, name))}", partial(_in_place, described), message)
        return as_arguments(message) if self.by_arguments else message

    @contextmanager
    def _written(self, folder: Path) -> Iterator[Recipe]:
        if not self.in_memory:
            yield self.recipe
            return
        before = set(folder.glob("*"))
        folders = [place for place in (folder, *folder.parents) if not place.exists()]
        try:
            files = {name: str(write_source(data, folder, name)) for name, data in self.in_memory.items()}
            yield self.recipe.model_copy(update={"data": self.recipe.data.model_copy(update=files)})
        except BaseException:
            for path in set(folder.glob("*")) - before:
                path.unlink(missing_ok=True)
            for place in folders:
                if place.is_dir() and not any(place.iterdir()):
                    place.rmdir()
            raise


def asked(given: Any, arguments: Mapping[str, Any]) -> Request:
    """What a public function was given.

    Args:
        given: A recipe, a preset's name, the path of a TOML file, or training data. That is a data file, the name of
            a Hub data set, or data in memory (see `understudy.data.frames.as_arrow`).
        arguments: The data arguments.

    Raises:
        UserError: There is training data, but no test data.
        TypeError: Training data was given twice, or `given` is something else.
        RecipeError: There is no such recipe.
    """
    sources = {name: arguments[name] for name in _SOURCES if arguments.get(name) is not None}
    columns = {name: arguments[name] for name in _COLUMNS if arguments.get(name) is not None}
    if isinstance(given, Recipe):
        recipe = given
    elif _is_training_data(given):
        if "train" in sources:
            raise TypeError("got training data twice, as the first argument and as train; give one or the other")
        if "test" not in sources:
            raise UserError(f"Got training data ({_described(given)}) but no test data. Pass it as test=...")
        sources = {"train": given, **sources}
        recipe = Recipe.load(_BASE, name=_name(given))
    else:
        recipe = Recipe.load(given)
    in_memory = {name: data for name, data in sources.items() if is_data(data)}
    named = {name: os.fspath(data) if isinstance(data, os.PathLike) else data for name, data in sources.items()}
    options = columns | {name: value for name, value in named.items() if name not in in_memory}
    options |= dict.fromkeys(in_memory, "in memory")
    if not options:
        return Request(recipe)
    changed = recipe.model_dump(exclude_none=True)
    changed["data"] |= options
    return Request(Recipe.from_mapping(changed), in_memory, by_arguments=True)


def settings_of(settings: Settings | None, arguments: Mapping[str, Any]) -> Settings:
    """The settings of a public function, which takes them whole or as keyword arguments.

    Raises:
        TypeError: Both were given, or an argument is unknown.
    """
    own = {name: value for name, value in arguments.items() if name in SettingsArguments.__annotations__}
    refuse_unknown(arguments, [*DataArguments.__annotations__, *SettingsArguments.__annotations__])
    if settings is None:
        return Settings(**own)
    if own:
        raise TypeError(f"got settings and {', '.join(own)}; give one or the other")
    return settings


def refuse_unknown(arguments: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuses arguments that would be ignored.

    Raises:
        TypeError: An argument is not among the known ones.
    """
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise TypeError(f"unexpected argument {', '.join(unknown)}; expected some of {', '.join(known)}")


def _is_training_data(given: Any) -> bool:
    if is_data(given):
        return True
    if not isinstance(given, str | os.PathLike):
        raise TypeError(f"got {given!r}; pass a recipe, a preset's name, a file, or data such as a data frame")
    return given not in packaged_files() and is_source(os.fspath(given))


def _name(given: Any) -> str:
    if is_data(given):
        return _IN_MEMORY
    stem = Path(os.fspath(given)).name.partition(".")[0].partition(":")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or _IN_MEMORY


def _in_place(described: str, found: re.Match[str]) -> str:
    return described if found[1] is None else described[0].upper() + described[1:]


def _described(given: Any) -> str:
    return type(given).__name__ if is_data(given) else str(given)
