"""The recipe: every option of understudy, declared once.

The command line's flags and help, the TOML files, `docs/recipe.md` and the validation of all three derive from the
models below. An option is a typed field; its docstring is its help.
"""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from understudy.errors import RecipeError

PositiveInt = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Control = Literal["no_distillation", "linear"]

# Validation messages that pydantic words for programmers, in the words of a recipe.
_MESSAGES = {"extra_forbidden": "no such option", "missing": "this option is required"}


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DataOptions(_Options):
    """Where the texts come from.

    A source is a Hub dataset (`stanfordnlp/imdb:train`), a file (csv, tsv, jsonl, parquet, each also compressed), a
    glob of them, the official IMDb distribution (`aclImdb_v1.tar.gz:train` or its unpacked folder), or `reviews:train`
    and `reviews:test`, the reviews that ship with understudy.
    """

    train: str
    """Source of the labelled training texts."""
    test: str
    """Source of the labelled test texts; used for the final figures only."""
    validation: float | int | str = Field(default=0.1)
    """A source of its own, or a share (0.1) or a number (1000) of the training texts, stratified by class and fixed by
    `seed`."""
    text: str = "text"
    """Column that holds the text."""
    label: str = "label"
    """Column that holds the label: strings or integers."""
    labels: list[str] | None = None
    """Names of the classes. Integer labels take them in this order; string labels must be among them. Without it the
    names come from the dataset itself, or are the distinct values, sorted."""
    max_length: Annotated[int, Field(ge=4, le=8192)] = 256
    """Tokens after which a text is cut, special tokens included."""

    @field_validator("validation", mode="before")
    @classmethod
    def _number_from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            for number in (int, float):
                try:
                    return number(value)
                except ValueError:
                    continue
        return value

    @field_validator("validation")
    @classmethod
    def _share_or_count(cls, value: float | int | str) -> float | int | str:
        share = isinstance(value, float) and not 0 < value < 1
        count = isinstance(value, int) and value < 1
        if share or count:
            raise ValueError("expected a share between 0 and 1 (0.1), a number of texts (1000) or a source")
        return value

    @field_validator("labels")
    @classmethod
    def _distinct(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and (len(value) < 2 or len(set(value)) < len(value)):
            raise ValueError("expected at least two different names")
        return value


class TrainingOptions(_Options):
    """What fine-tuning the teacher and distilling the student have in common."""

    epochs: PositiveInt = 1
    """Passes over the training texts."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    """Peak learning rate of AdamW."""
    batch_size: PositiveInt = 16
    """Texts per optimiser step and device."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up."""
    warmup: Rate = 0.1
    """Share of the steps over which the learning rate rises from zero."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    """AdamW's decoupled weight decay; biases and layer norms are left out."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """The gradient's norm is clipped to this."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weights each class's cross-entropy by the inverse of its frequency in the training texts."""
    early_stopping: Annotated[int, Field(ge=0)] = 0
    """Stop after this many epochs without a better validation accuracy and keep the best; 0: train all epochs and keep
    the last."""
    checkpoint_steps: PositiveInt = 200
    """Steps between checkpoints, from which an interrupted run goes on. With early stopping, one an epoch instead."""
    precision: Precision = "auto"
    """Compute type. `auto`: bf16 where the hardware has it, else fp16 on CUDA, else fp32. Weights stay fp32."""
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    """Attention kernel. `auto`: eager for bf16 on a CPU, where it is the faster, else sdpa."""
    attention_dropout: Rate | None = None
    """Dropout on the attention weights; by default what the model's own config says. 0 saves about a third of a
    training step on a CPU."""


class TeacherOptions(TrainingOptions):
    """The large model that is learned from."""

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Encoder to fine-tune, or a classifier with the same classes, which is then taken as it is: a local folder or a
    name on the Hub."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""


class StudentOptions(_Options):
    """The small model that learns. Give `model` or `layers`."""

    model: str | None = None
    """Checkpoint to start from: a local folder or a name on the Hub."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""
    layers: PositiveInt | None = None
    """Start from this many of the teacher's layers, spread evenly from the first (6 to 3: layers 0, 2 and 4), with its
    embeddings and head."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed of the student's initialisation, batches and dropout; by default the recipe's `seed`."""

    @model_validator(mode="after")
    def _one_origin(self) -> StudentOptions:
        if (self.model is None) == (self.layers is None):
            raise ValueError("expected exactly one of student.model and student.layers")
        if self.revision is not None and self.model is None:
            raise ValueError("student.revision belongs to student.model, which is not given")
        return self


class DistillationOptions(TrainingOptions):
    """How the student learns from the teacher's soft labels."""

    objective: Literal["kl", "mse"] = "kl"
    """Soft loss: Kullback-Leibler divergence of the tempered distributions (Hinton et al. 2015, arXiv 1503.02531), or
    mean squared error of the logits (Kim et al. 2021, arXiv 2105.08919)."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    """Softens both distributions in the KL loss, which is scaled by its square."""
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of the soft loss; the cross-entropy with the given label weighs 1 - alpha."""


class EvaluationOptions(_Options):
    """The evidence."""

    controls: list[Control] = ["no_distillation", "linear"]
    """Baselines beside the student: the same student trained without the teacher, and a linear model on NB-weighted
    n-grams. `none` leaves them out, and the verdict says so."""
    required_retention: Annotated[float, Field(gt=0, le=1)] = 0.97
    """Share of the teacher's accuracy that the student must keep, with its whole interval, to be called a replacement;
    DistilBERT was published as keeping 97 % (Sanh et al. 2019, arXiv 1910.01108)."""
    resamples: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """Bootstrap resamples behind each interval."""
    precision: Precision = "fp32"
    """Compute type of the test predictions."""
    speed_texts: Annotated[int, Field(ge=1)] = 256
    """Test texts on which documents per second are measured."""

    texts: bool = False
    """Whether `predictions.parquet` holds the test texts themselves."""

    @field_validator("controls", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        if value in ("none", ["none"]):
            return []
        return value.split(",") if isinstance(value, str) else value

    @field_validator("controls")
    @classmethod
    def _once(cls, value: list[Control]) -> list[Control]:
        return sorted(set(value), reverse=True)


class Recipe(_Options):
    """All that a run depends on.

    Raises:
        RecipeError: from `load` and `from_mapping`, naming every wrong option at once.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "run"
    """Names the run; its default folder is `runs/<name>`."""
    description: str = ""
    """One line for `understudy recipes` and the report."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the split, the initialisation, the batches, dropout and the bootstrap."""
    data: DataOptions
    teacher: TeacherOptions = TeacherOptions()
    student: StudentOptions
    distillation: DistillationOptions = DistillationOptions()
    evaluation: EvaluationOptions = EvaluationOptions()

    @classmethod
    def load(cls, source: str | Path = "quickstart", **overrides: Any) -> Recipe:
        """Reads a preset by name or a TOML file.

        Args:
            source: A preset's name (see `presets`) or the path of a TOML file.
            **overrides: Options that beat the file, nested like it: `data={"train": "reviews.csv"}`.
        """
        return cls.from_mapping(_merged(_read(source), overrides), origin=str(source))

    @classmethod
    def from_mapping(cls, options: dict[str, Any], origin: str = "the recipe") -> Recipe:
        """Validates nested options; all errors are reported in one `RecipeError`."""
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            raise RecipeError(_explain(error, origin)) from None

    @property
    def student_seed(self) -> int:
        return self.seed if self.student.seed is None else self.student.seed

    def to_toml(self) -> str:
        """The whole recipe with all defaults filled in, as TOML that `load` reads back to an equal recipe."""
        options = self.model_dump(mode="json", exclude_none=True)
        top = [_toml_line(key, value) for key, value in options.items() if not isinstance(value, dict)]
        sections = [
            "\n".join([f"[{name}]", *(_toml_line(key, value) for key, value in section.items())])
            for name, section in options.items()
            if isinstance(section, dict)
        ]
        return "\n\n".join(["\n".join(top), *sections]) + "\n"

    def differences(self, other: Recipe) -> dict[str, tuple[Any, Any]]:
        """Dotted names of the options that differ, each with the value here and in `other`."""
        mine, theirs = _flat(self.model_dump()), _flat(other.model_dump())
        return {key: (mine.get(key), theirs.get(key)) for key in mine if mine.get(key) != theirs.get(key)}


def presets() -> dict[str, Recipe]:
    """The recipes that ship with understudy, by name."""
    folder = resources.files("understudy") / "recipes"
    names = sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {name: Recipe.load(name) for name in names}


def _read(source: str | Path) -> dict[str, Any]:
    packaged = resources.files("understudy") / "recipes" / f"{source}.toml"
    path = packaged if isinstance(source, str) and packaged.is_file() else Path(source)
    if not path.is_file():
        known = ", ".join(
            sorted(Path(entry.name).stem for entry in (resources.files("understudy") / "recipes").iterdir())
        )
        raise RecipeError(f"No recipe '{source}': expected the path of a TOML file or one of the presets: {known}.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{source} is not valid TOML: {error}. Mend that line, or start from a preset.") from None


def _merged(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in overrides.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if nested else value
    return result


def _flat(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in options.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _toml_line(key: str, value: Any) -> str:
    # JSON's spelling of strings, numbers, booleans and lists of them is also TOML's.
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"


def _explain(error: ValidationError, origin: str) -> str:
    problems: dict[str, str] = {}
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"] if isinstance(part, str) and part in _known_parts())
        if problem["type"] == "extra_forbidden":
            place = ".".join(str(part) for part in problem["loc"])
            text = _MESSAGES["extra_forbidden"] + _suggestion(place)
        else:
            text = _MESSAGES.get(problem["type"], problem["msg"].removeprefix("Value error, "))
            if problem["type"] != "missing" and not isinstance(problem["input"], dict):
                text += f" (got {problem['input']!r})"
        problems.setdefault(place, text)
    lines = "\n".join(f"  {place or 'recipe'}: {text}" for place, text in problems.items())
    return f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {origin}:\n{lines}"


def _option_names() -> list[str]:
    names = []
    for name, field in Recipe.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            names += [f"{name}.{option}" for option in section.model_fields]
        else:
            names.append(name)
    return names


def _known_parts() -> set[str]:
    return {part for name in _option_names() for part in name.split(".")}


def _suggestion(place: str) -> str:
    import difflib

    close = difflib.get_close_matches(place, _option_names(), n=1)
    return f"; did you mean {close[0]}?" if close else "; docs/recipe.md lists them all"
