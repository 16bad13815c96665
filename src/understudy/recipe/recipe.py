"""The recipe: every option of understudy, declared once.

The flags, their help, the TOML files, `docs/recipe.md` and all validation come from the models in this folder. An
option is a typed field; its docstring is its help.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from understudy.errors import RecipeError
from understudy.recipe.base import LARGEST_SEED, Options, PositiveInt, Seed
from understudy.recipe.data import DataOptions
from understudy.recipe.evidence import EvaluationOptions, FrontierOptions, ReportOptions
from understudy.recipe.files import merged, packaged_files, read_options, toml_line
from understudy.recipe.training import DistillationOptions, StudentOptions, TeacherOptions
from understudy.recipe.wording import Takes, explain
from understudy.runtime.markup import preformatted


class Recipe(Options):
    """All options of a run.

    Raises:
        RecipeError: From `load` and `from_mapping`; it lists every invalid option.
    """

    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
        Takes("letters, digits, '.', '_' and '-', a letter or digit first", "TEXT"),
    ] = "run"
    """Name of the run; its default folder is `runs/<name>`."""
    description: str = ""
    """One line for `understudy recipes` and the report."""
    seed: Seed = 0
    """Seed for the validation split, initialisation, batches, dropout and bootstrap."""
    seeds: PositiveInt = 1
    """Number of seeds with which student and control are trained: the student's seed and the ones after it. The first
    student is the one to ship; the others show how much the scores vary with the seed."""
    data: DataOptions
    teacher: TeacherOptions = TeacherOptions()
    student: StudentOptions
    distillation: DistillationOptions = DistillationOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    frontier: FrontierOptions = FrontierOptions()
    report: ReportOptions = ReportOptions()

    @field_validator("student")
    @classmethod
    def _seeds_that_exist(cls, value: StudentOptions, info: ValidationInfo) -> StudentOptions:
        seed, seeds = info.data.get("seed"), info.data.get("seeds")
        first = seed if value.seed is None else value.seed
        if first is not None and seeds is not None and first + seeds - 1 > LARGEST_SEED:
            raise ValueError(
                f"seeds is {seeds}, counted from {first}, but the largest seed is {LARGEST_SEED}. Choose fewer seeds, "
                "or a smaller student.seed"
            )
        return value

    @classmethod
    def load(cls, source: str | Path = "quickstart", **overrides: Any) -> Recipe:
        """Reads a preset or a TOML file.

        Args:
            source: A preset's name (see `presets`) or the path of a TOML file. A preset comes first; for a file with a
                preset's name give a `Path`, or its folder too: `./imdb`.
            **overrides: Options that override the file, nested like it: `data={"train": "reviews.csv"}`.

        Raises:
            RecipeError: The file or preset does not exist, or options are invalid; it lists all of them.
        """
        origin = f"recipe '{source}'" + (" with the options given" if overrides else "")
        return cls.from_mapping(merged(read_options(source), overrides), origin)

    @classmethod
    def from_mapping(cls, options: dict[str, Any], origin: str = "the recipe") -> Recipe:
        """Validates nested options.

        Args:
            options: Options by section and name, like a TOML file.
            origin: Where they come from, for the message.

        Raises:
            RecipeError: Options are invalid; it lists all of them.
        """
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            raise RecipeError(explain(error, cls, origin)) from None

    @property
    def student_seed(self) -> int:
        return self.seed if self.student.seed is None else self.student.seed

    @property
    def student_seeds(self) -> list[int]:
        """The seed of the student to ship, then those of its repeats."""
        return list(range(self.student_seed, self.student_seed + self.seeds))

    def with_student_seed(self, seed: int) -> Recipe:
        """The recipe of a repeat: the same except for the student's seed."""
        return self.model_copy(update={"student": self.student.model_copy(update={"seed": seed})})

    def to_toml(self) -> str:
        """The recipe with all defaults as TOML; `load` reads it back to an equal recipe."""
        options = self.model_dump(mode="json", exclude_none=True)
        top = [toml_line(key, value) for key, value in options.items() if not isinstance(value, dict)]
        sections = [
            "\n".join([f"[{name}]", *(toml_line(key, value) for key, value in section.items())])
            for name, section in options.items()
            if isinstance(section, dict) and section
        ]
        return "\n\n".join(["\n".join(top), *sections]) + "\n"

    def flat(self) -> dict[str, Any]:
        """Every option by its dotted name."""
        return _flat(self.model_dump())

    def _repr_html_(self) -> str:
        return preformatted(self.to_toml())

    def differences(self, other: Recipe) -> dict[str, tuple[Any, Any]]:
        """The options that differ, by dotted name, each with its value here and in `other`."""
        mine, theirs = self.flat(), other.flat()
        return {key: (mine.get(key), theirs.get(key)) for key in mine if mine.get(key) != theirs.get(key)}


def presets() -> dict[str, Recipe]:
    """The recipes that ship with understudy, by name."""
    return {name: Recipe.load(name) for name in packaged_files()}


def _flat(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in options.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
