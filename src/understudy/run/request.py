"""What a call asks for: a recipe, or a table with the default settings; data may be in memory."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from understudy.data.decoding import COMPRESSIONS
from understudy.data.files import FORMATS
from understudy.data.frames import is_data, write_source
from understudy.data.sources import is_source
from understudy.errors import RecipeError, UserError
from understudy.recipe.arguments import as_arguments, reworded
from understudy.recipe.files import merged, packaged_files
from understudy.recipe.recipe import Recipe
from understudy.recipe.wording import suggestion
from understudy.run.settings import Settings, SettingsArguments

# The student of a table's run, unless another is asked for. Its other options are the defaults.
_STUDENT = {"layers": 3}
_SOURCES = ("train", "test", "validation", "unlabelled")
_COLUMNS = ("text", "label")
_PARTS = {"train": "the training data", "test": "the test data", "validation": "the validation data"}
_IN_MEMORY = "data"  # the name of a run whose training data has none
_DATA_IN_MEMORY = "data in memory"
_PLACEHOLDER = "in memory"  # what a recipe has for data that is not written yet


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

    @property
    def names_only_its_table(self) -> bool:
        """Whether the description is the table's name, which what is found in it may follow."""
        return self.recipe.description in (table_name(self.recipe.data.train), _DATA_IN_MEMORY)

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
            a Hub data set, or data in memory (see `understudy.data.frames.as_arrow`). None is `quickstart`, or the
            training data in `arguments`.
        arguments: The data arguments.

    Raises:
        UserError: A preset would be trained on other data than it is tested on.
        TypeError: Training data was given twice, or `given` is something else.
        RecipeError: There is no such recipe.
    """
    sources = {name: arguments[name] for name in _SOURCES if arguments.get(name) is not None}
    columns = {name: arguments[name] for name in _COLUMNS if arguments.get(name) is not None}
    if is_data(given):
        if "train" in sources:
            raise TypeError("got training data twice, as the first argument and as train; give one or the other")
        given, sources = None, {"train": given, **sources}
    elif not (given is None or isinstance(given, Recipe | str | os.PathLike)):
        raise TypeError(f"got {given!r}; pass a recipe, a preset's name, a file, or data such as a data frame")
    in_memory = {name: data for name, data in sources.items() if is_data(data)}
    named = {name: os.fspath(data) if isinstance(data, os.PathLike) else data for name, data in sources.items()}
    options = columns | {name: value for name, value in named.items() if name not in in_memory}
    options |= dict.fromkeys(in_memory, _PLACEHOLDER)
    if not isinstance(given, Recipe):
        with reworded(as_arguments if options else str):
            recipe = named_recipe(given, {"data": options} if options else {})
        return Request(recipe, in_memory, by_arguments=bool(options))
    if not options:
        return Request(given)
    changed = given.model_dump(exclude_none=True)
    changed["data"] |= options
    return Request(Recipe.from_mapping(changed), in_memory, by_arguments=True)


def named_recipe(name: str | os.PathLike[str] | None, options: dict[str, Any]) -> Recipe:
    """The recipe that a name and options make.

    Args:
        name: A preset, the path of a TOML file, or a table: a data file or a Hub dataset. Without a name, the training
            data among the options is the table; without both, the recipe is the preset `quickstart`.
        options: Options that override it, by section and name.

    Raises:
        RecipeError: There is no such recipe or table, or options are invalid.
        UserError: Training data was given twice, or a preset would be tested on other data than it is trained on.
    """
    given = options.get("data", {})
    if name is None:
        return _of_table(options) if "train" in given else Recipe.load(**options)
    if not _is_table(name):
        if isinstance(name, str) and name in packaged_files():
            _refuse_mixture(name, given)
        return Recipe.load(name if isinstance(name, str) else Path(name), **options)
    if "train" in given:
        raise UserError(f"Got training data twice: {name} and {given['train']}. Give one of them.")
    return _of_table(merged({"data": {"train": os.fspath(name)}}, options))


def _of_table(options: dict[str, Any]) -> Recipe:
    """The recipe of a table. All its options are defaults, apart from those given and the ones named here."""
    train = str(options["data"]["train"])
    in_memory = train == _PLACEHOLDER
    base: dict[str, Any] = {
        "name": _IN_MEMORY if in_memory else _name(train),
        "description": _DATA_IN_MEMORY if in_memory else table_name(train),
    }
    if not {"model", "layers"} & options.get("student", {}).keys():
        base["student"] = _STUDENT
    return Recipe.from_mapping(merged(base, options), "the options given")


def _is_table(name: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a table, not of a recipe; a preset comes first, then a path, then a Hub dataset.

    Raises:
        RecipeError: There is no such recipe or table, or the file is neither.
    """
    presets, path = list(packaged_files()), os.fspath(name)
    if isinstance(name, str) and name in presets:
        return False
    suffix = Path(path).suffix.lower()
    if os.path.isfile(path) and suffix in ("", ".toml"):
        return False
    if is_source(path):
        return True
    if os.path.isdir(path) or suffix == ".toml":
        return False
    if os.path.isfile(path):
        raise RecipeError(
            f"{path} ends in {suffix}: expected a recipe (.toml) or a table ({', '.join(sorted(FORMATS))}, also "
            "compressed). Convert or rename it."
        )
    there = [each for each in os.listdir() if Path(each).suffix.lower() in {".toml", *FORMATS, *COMPRESSIONS}]
    raise RecipeError(
        f"No recipe or table '{path}': there is no such file, and the presets are {', '.join(presets)}"
        f"{suggestion(path, [*presets, *there]) or '. Hub datasets are written owner/name.'}"
    )


def _refuse_mixture(preset: str, given: Mapping[str, Any]) -> None:
    """Refuses to train a preset on other data, and to take its test, validation or unlabelled texts for that data's."""
    if "train" not in given:
        return
    own = tomllib.loads(packaged_files()[preset].read_text(encoding="utf-8"))["data"]
    kept = [name for name in _SOURCES if isinstance(own.get(name), str) and name not in given]
    if kept:
        train = "distill(data)" if given["train"] == _PLACEHOLDER else f"understudy run {given['train']}"
        missing = ", ".join(f"--data.{name}" for name in kept)
        raise UserError(
            f"The preset {preset} has its own {' and '.join(kept)} texts, which do not belong to your training texts. "
            f"Run your table without the preset: {train}. Or give {missing}, too."
        )


def table_name(source: str) -> str:
    """How a description names a table: a file without its folder, a Hub dataset as it is."""
    return Path(source).name if Path(source).suffix.lower() in {*FORMATS, *COMPRESSIONS} else source


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


def _name(source: str) -> str:
    stem = Path(source).name.partition(".")[0].partition(":")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or _IN_MEMORY


def _in_place(described: str, found: re.Match[str]) -> str:
    return described if found[1] is None else described[0].upper() + described[1:]


def _described(given: Any) -> str:
    return type(given).__name__ if is_data(given) else str(given)
