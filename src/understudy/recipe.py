"""The recipe: every option of understudy, declared once.

The command line's flags and help, the TOML files, `docs/recipe.md` and the validation of all three derive from the
models below. An option is a typed field; its docstring is its help.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from understudy.errors import RecipeError
from understudy.markup import preformatted
from understudy.recipe_files import merged, packaged_files, read_options, toml_line
from understudy.wording import Takes, accepts, explain

PositiveInt = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
LARGEST_SEED = 2**32 - 1
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Control = Literal["no_distillation", "linear"]
_STUDENT = re.compile(r"([1-9]\d{0,3}|static)(/[1-9]\d{0,6})?|linear")
LayerChoice = Literal["spread", "first", "last"] | list[int]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        """`none` unsets what may be unset, for flags over a file; true and false are no numbers."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if value == "none" and accepts(annotation, NoneType):
            return None
        if isinstance(value, bool) and not accepts(annotation, bool):
            raise ValueError("true and false are no numbers")
        return value


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
    validation: Annotated[
        float | int | str,
        Takes("a share between 0 and 1, a number of texts from 1, or a source", "SHARE|COUNT|SOURCE"),
    ] = 0.1
    """A source of its own, or a share (0.1) or a number (1000) of the training texts, stratified by class and fixed by
    `seed`."""
    text: str = "text"
    """Column that holds the text."""
    label: str = "label"
    """Column that holds the label: strings or integers."""
    labels: Annotated[list[str] | None, Takes("two or more different names", "NAME,NAME,...")] = None
    """Names of the classes. Integer labels take them in this order; string labels must be among them. Without it the
    names come from the dataset itself, or are the distinct values, sorted."""
    unlabelled: str | None = None
    """Source of texts without labels, which the teacher labels and the student learns from as well. It is streamed, so
    it may be far larger than the labelled one; its texts that also stand in `train`, `validation` or `test` are left
    out."""
    labelled: Annotated[
        float | int | None, Takes("a share between 0 and 1, or a number of texts from 2", "SHARE|COUNT")
    ] = None
    """Keep the labels of only this share (0.04) or number (1000) of the training texts, stratified by class and fixed
    by `seed`; the others join the unlabelled ones. What has a label is then split into training and validation. By
    default all keep theirs."""
    max_length: Annotated[int, Field(ge=4, le=8192)] = 256
    """Tokens after which a text is cut, special tokens included."""

    @field_validator("validation", "labelled", mode="before")
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
            raise ValueError("neither a share nor a number")
        return value

    @field_validator("labelled")
    @classmethod
    def _some(cls, value: float | int | None) -> float | int | None:
        share = isinstance(value, float) and not 0 < value < 1
        count = isinstance(value, int) and value < 2
        if share or count:
            raise ValueError("neither a share nor a number of texts")
        return value

    @field_validator("labels", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return value if value == "none" else _listed(value)

    @field_validator("labels")
    @classmethod
    def _distinct(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and (len(value) < 2 or len(set(value)) < len(value)):
            raise ValueError("too few, or twice the same")
        return value


class TrainingOptions(_Options):
    """What fine-tuning the teacher and distilling the student have in common."""

    epochs: PositiveInt = 1
    """Passes over the training texts."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    """Peak learning rate of AdamW."""
    batch_size: PositiveInt = 16
    """Texts per optimiser step and device, on average: batches are filled up to a number of tokens, so that one of
    short texts holds more of them than one of long texts, and every text counts alike."""
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
    attention: Literal["auto", "eager", "sdpa", "per_text"] = "auto"
    """Attention kernel. `auto`: on a CPU understudy's own `per_text`, which computes one text at a time, where the
    model takes it, else eager for training in bf16; everywhere else sdpa, PyTorch's fused one."""
    attention_dropout: Rate | None = None
    """Dropout on the attention weights; by default what the model's own config says."""
    freeze_embeddings: bool = False
    """Leave the word embeddings as they are. They are half of a small encoder's weights; on a few thousand texts
    training is a fifth faster without them."""
    calibrate: bool = True
    """Divide the finished model's logits by the temperature that suits the validation texts best (Guo et al. 2017,
    arXiv 1706.04599), within its weights. No label changes. Fewer than 50 validation texts are too few for it."""


class _TeacherModel(_Options):
    model: Annotated[
        str | list[str], Takes("a model, or several, of which one may be linear", "MODEL|MODEL,MODEL,...")
    ] = "sentence-transformers/all-MiniLM-L6-v2"
    """Encoder to fine-tune, or a classifier with the same classes, which is then taken as it is: a local folder or a
    name on the Hub. Several make a committee, whose soft label is the mean of its members' calibrated
    log-probabilities; a model that is named twice is trained twice, with seeds of its own, and `linear` is the
    NB-weighted n-gram model."""
    revision: str | None = None
    """Branch, tag or commit on the Hub; for a single model."""
    scores: str | None = None
    """File, or glob of files, with the teacher's probabilities, made elsewhere: a row for each text of train,
    unlabelled and test, with its `id` or text, and a column for each class (`<class>`, or `probability_<class>` as
    `predict` writes it). Nothing of a teacher is then trained or run; `teacher.model` only lends its layers to the
    student."""

    @field_validator("model", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        items = _listed(value)
        return items[0] if isinstance(items, list) and len(items) == 1 else items

    @field_validator("model")
    @classmethod
    def _encoder_among_them(cls, value: str | list[str]) -> str | list[str]:
        names = [value] if isinstance(value, str) else value
        if names.count("linear") > 1 or not [name for name in names if name not in ("linear", "")]:
            raise ValueError("no encoder, or linear twice")
        return value

    @property
    def members(self) -> list[str]:
        """The models' names; one, unless the teacher is a committee."""
        return [self.model] if isinstance(self.model, str) else self.model

    @model_validator(mode="after")
    def _revision_of_one(self) -> _TeacherModel:
        if self.revision is not None and len(self.members) > 1:
            raise ValueError(
                f"teacher.revision is {self.revision!r}, but teacher.model names {len(self.members)} models; a "
                "revision belongs to one"
            )
        return self

    @model_validator(mode="after")
    def _scores_beside_one(self) -> _TeacherModel:
        if self.scores is not None and len(self.members) > 1:
            raise ValueError(
                f"teacher.scores is {self.scores!r}, but teacher.model names {len(self.members)} models; expected the "
                "one encoder whose layers a student takes, for no teacher is trained. Name one, or leave the scores out"
            )
        return self


# Bases come in this order so that a section's own options stand before those of the training.
class TeacherOptions(TrainingOptions, _TeacherModel):
    """The large model that is learned from."""


class StudentOptions(_Options):
    """The small model that learns. Give `model` or `layers`."""

    model: str | None = None
    """Checkpoint to start from: a local folder or a name on the Hub."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""
    layers: PositiveInt | None = None
    """Start from this many of the teacher's layers, with its embeddings and head."""
    from_layers: Annotated[
        LayerChoice,
        Takes("spread, first, last, or the numbers of the layers, from 0", "spread|first|last|N,N,..."),
    ] = "spread"
    """Which of the teacher's layers: `spread` takes every n/k-th from the first (6 to 3: layers 0, 2 and 4; Sanh et al.
    2019, arXiv 1910.01108), `first` the lowest, `last` the highest; or name them, as many as `student.layers`."""
    vocabulary: PositiveInt | None = None
    """Keep at most this many tokens, those that the training and transfer texts use most, in tokenizer and embedding
    (in MiniLM-L6 the embedding is half of the model). By default all are kept."""
    seed: Seed | None = None
    """Seed of the student's initialisation, batches and dropout; by default the recipe's `seed`."""

    @field_validator("from_layers", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        items = _listed(value)
        if not isinstance(items, list):
            return value
        if any(isinstance(item, bool) for item in items):
            raise ValueError("true and false are no numbers")
        decimals = isinstance(value, str) and all(str(item).isdecimal() for item in items)
        return [int(item) for item in items] if decimals else value

    @field_validator("from_layers")
    @classmethod
    def _ascending(cls, value: str | list[int]) -> str | list[int]:
        if isinstance(value, list) and (not value or value[0] < 0 or value != sorted(set(value))):
            raise ValueError("not ascending numbers from 0")
        return value

    @model_validator(mode="after")
    def _one_origin(self) -> StudentOptions:
        if self.model is None and self.layers is None:
            raise ValueError("expected one of student.model and student.layers, got neither")
        if self.model is not None and self.layers is not None:
            raise ValueError(
                f"expected one of student.model and student.layers, got both ({self.model!r} and {self.layers}). "
                "Leave one out; --student.layers none drops the file's"
            )
        if self.revision is not None and self.model is None:
            raise ValueError(f"student.revision is {self.revision!r}, but belongs to student.model, which is not given")
        if self.from_layers != "spread" and self.layers is None:
            raise ValueError(
                f"student.from_layers is {self.from_layers!r}, but belongs to student.layers, which is not given"
            )
        if isinstance(self.from_layers, list) and len(self.from_layers) != self.layers:
            raise ValueError(
                f"student.from_layers names {len(self.from_layers)} layers, but student.layers is {self.layers}. "
                "Give as many"
            )
        return self


class _SoftLoss(_Options):
    objective: Literal["kl", "mse"] = "kl"
    """Soft loss: Kullback-Leibler divergence of the tempered distributions (Hinton et al. 2015, arXiv 1503.02531), or
    mean squared error of the logits (Kim et al. 2021, arXiv 2105.08919)."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    """Softens both distributions in the KL loss, which is scaled by its square."""
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of the soft loss; the cross-entropy with the given label weighs 1 - alpha."""


class DistillationOptions(TrainingOptions, _SoftLoss):
    """How the student learns from the teacher's soft labels."""


class EvaluationOptions(_Options):
    """The evidence."""

    controls: Annotated[
        list[Control], Takes("some of no_distillation, linear, or none for no control", "CONTROL,CONTROL|none")
    ] = ["no_distillation", "linear"]
    """Baselines beside the student: the same student trained without the teacher, and a linear model on NB-weighted
    n-grams. `none` leaves them out, and the verdict says so."""
    required_retention: Annotated[float, Field(gt=0, le=1)] = 0.97
    """Share of the teacher's accuracy that the student must keep, with its whole interval, to be called a replacement;
    DistilBERT was published as keeping 97 % (Sanh et al. 2019, arXiv 1910.01108)."""
    target_precision: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the student's answers that is to be right. A threshold on its top probability is then chosen on the
    validation texts, and `metrics.json` says how many texts it leaves without an answer; `understudy predict` takes it
    as --threshold."""
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
        return [] if value in ("none", ["none"]) else _listed(value)

    @field_validator("controls")
    @classmethod
    def _once(cls, value: list[Control]) -> list[Control]:
        return sorted(set(value), reverse=True)


class FrontierOptions(_Options):
    """The students that `understudy frontier` compares."""

    students: Annotated[
        list[str] | None,
        Takes("different ones of LAYERS, LAYERS/VOCABULARY, static, static/VOCABULARY and linear", "STUDENT,..."),
    ] = None
    """`3` has three of the teacher's layers, `3/8000` and at most 8,000 tokens besides; `static` is a bag of embeddings
    without any layer, `linear` an n-gram model. By default all of the teacher's layers, a half, a third and one of
    them, a half with 8,000 tokens, `static` and `linear`."""

    @field_validator("students", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return value if value is None else _listed(value)

    @field_validator("students")
    @classmethod
    def _known(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and (not value or len(set(value)) < len(value) or not all(map(_STUDENT.fullmatch, value))):
            raise ValueError("not such students")
        return value


class ReportOptions(_Options):
    """The page for whoever has to be convinced."""

    texts: bool = True
    """Whether `report/report.html` shows the test texts on which teacher and student disagree. `false` leaves all texts
    out, for private data."""


class Recipe(_Options):
    """All that a run depends on.

    Raises:
        RecipeError: from `load` and `from_mapping`, naming every wrong option at once.
    """

    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
        Takes("letters, digits, '.', '_' and '-', a letter or digit first", "TEXT"),
    ] = "run"
    """Names the run; its default folder is `runs/<name>`."""
    description: str = ""
    """One line for `understudy recipes` and the report."""
    seed: Seed = 0
    """Seed of the split, the initialisation, the batches, dropout and the bootstrap."""
    seeds: PositiveInt = 1
    """Train student and control with this many seeds: the student's seed and the ones after it. The first student is
    the one to ship; the others show how much is owed to the seed."""
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
                f"seeds is {seeds}, counted from {first}, but the largest seed is {LARGEST_SEED}. Give fewer, or a "
                "smaller student.seed"
            )
        return value

    @classmethod
    def load(cls, source: str | Path = "quickstart", **overrides: Any) -> Recipe:
        """Reads a preset by name or a TOML file.

        Args:
            source: A preset's name (see `presets`) or the path of a TOML file. A preset's name wins; a file that is
                called like one is given as a `Path` or with its folder, `./imdb`.
            **overrides: Options that beat the file, nested like it: `data={"train": "reviews.csv"}`.
        """
        origin = f"recipe '{source}'" + (" with the options given" if overrides else "")
        return cls.from_mapping(merged(read_options(source), overrides), origin)

    @classmethod
    def from_mapping(cls, options: dict[str, Any], origin: str = "the recipe") -> Recipe:
        """Validates nested options; all errors are reported in one `RecipeError`."""
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            raise RecipeError(explain(error, cls, origin)) from None

    @property
    def student_seed(self) -> int:
        return self.seed if self.student.seed is None else self.student.seed

    @property
    def student_seeds(self) -> list[int]:
        """The shipped student's seed, then those of its repeats."""
        return list(range(self.student_seed, self.student_seed + self.seeds))

    def with_student_seed(self, seed: int) -> Recipe:
        """The recipe of a repeat: the same but for the student's seed."""
        return self.model_copy(update={"student": self.student.model_copy(update={"seed": seed})})

    def to_toml(self) -> str:
        """The whole recipe with all defaults filled in, as TOML that `load` reads back to an equal recipe."""
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
        """Dotted names of the options that differ, each with the value here and in `other`."""
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


def _listed(value: Any) -> Any:
    """A list from a flag: `a,b`, or JSON where a name holds a comma."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value  # no list, which the validation then says
    return [item.strip() for item in value.split(",")]
