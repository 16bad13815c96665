"""The results of an evaluation: `metrics.json` as frozen dataclasses, one field per key."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from understudy.errors import RunDirectoryError
from understudy.storage.files import write_json
from understudy.storage.layout import SCHEMA_VERSION
from understudy.storage.records import read_record

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""


@dataclass(frozen=True)
class ModelMetrics:
    """One model on the test set.

    Attributes:
        accuracy: Share of texts with the right label.
        f1: Binary for two classes (positive: index 1), macro otherwise.
        macro_f1: Mean over all classes of their F1; None in figures of earlier versions.
        balanced_accuracy: Mean over the classes with test texts of their recall; None in figures of earlier versions.
        auc: Area under the ROC curve, one against the rest, macro; None if a class has no test text.
        ece: Expected calibration error, 15 equal-width bins of the top probability.
        parameters: Number of parameters; of a linear model, non-zero coefficients; None for a teacher whose scores were
            given.
        bytes: Size of the saved weights; None for a teacher whose scores were given.
    """

    accuracy: float
    f1: float
    macro_f1: float | None = field(default=None, kw_only=True)
    balanced_accuracy: float | None = field(default=None, kw_only=True)
    auc: float | None
    ece: float
    parameters: int | None
    bytes: int | None


@dataclass(frozen=True)
class Controls:
    """The baselines; None for one that the recipe leaves out."""

    no_distillation: ModelMetrics | None = None
    linear: ModelMetrics | None = None
    frozen: ModelMetrics | None = None


@dataclass(frozen=True)
class Retention:
    """Student / teacher on the same test texts: a score interval for accuracy, a bootstrap interval for F1."""

    accuracy: float
    accuracy_ci95: Interval
    f1: float
    f1_ci95: Interval


@dataclass(frozen=True)
class Gain:
    """Student minus the control without a teacher.

    Attributes:
        accuracy: Difference of the accuracies.
        ci95: Its 95 % interval. It leaves out 0 if and only if p is below 0.05.
        p_value: Two-sided p of McNemar's exact test; over several seeds see `understudy.evaluation.repeats`.
    """

    accuracy: float
    ci95: Interval
    p_value: float


@dataclass(frozen=True)
class SeedResult:
    """Student and control with one seed on the test set.

    Attributes:
        seed: The seed of both.
        accuracy: The student's accuracy.
        f1: The student's F1.
        retention: The student's accuracy / the teacher's.
        control_accuracy: The control's accuracy; None if the recipe leaves the control out.
        gain: Student minus control; None if the recipe leaves the control out.
    """

    seed: int
    accuracy: float
    f1: float
    retention: float
    control_accuracy: float | None
    gain: Gain | None


@dataclass(frozen=True)
class Spread:
    """A figure over the seeds; `sd` is the sample standard deviation (denominator: seeds - 1)."""

    mean: float
    sd: float
    min: float
    max: float


@dataclass(frozen=True)
class Seeds:
    """Figures over several seeds; `understudy.evaluation.repeats` has the statistics.

    Attributes:
        repeats: Each seed's figures, the shipped student's first.
        accuracy: The students' accuracy.
        f1: The students' F1.
        retention: The students' accuracy / the teacher's.
        retention_ci95: 95 % interval of the mean retention, over test texts and seeds.
        control_accuracy: The controls' accuracy; None if the recipe leaves them out.
        gain: Mean over the seeds of student minus control with the same seed; None if the recipe leaves the controls
            out.
    """

    repeats: tuple[SeedResult, ...]
    accuracy: Spread
    f1: Spread
    retention: Spread
    retention_ci95: Interval
    control_accuracy: Spread | None
    gain: Gain | None


@dataclass(frozen=True)
class Answered:
    """How many texts a threshold answers, and how many of the answers are right.

    Attributes:
        precision: Share of the answered texts with the right label; None if no text is answered.
        coverage: Share of the texts that are answered.
    """

    precision: float | None
    coverage: float


@dataclass(frozen=True)
class Abstention:
    """A threshold on the student's top probability; `understudy.evaluation.abstention` chooses it.

    Attributes:
        target_precision: Required precision, from the recipe.
        threshold: Texts whose top probability is below it are not answered; None if no threshold reaches the target.
        validation: On the validation texts, on which the threshold was chosen.
        test: On the test texts.
    """

    target_precision: float
    threshold: float | None
    validation: Answered
    test: Answered


VerdictCode = Literal["replace", "inconclusive", "keep_teacher"]
DistillationEffect = Literal["helped", "unproven", "hurt"]


@dataclass(frozen=True)
class Verdict:
    """What the figures say about replacing the teacher with the student.

    Attributes:
        code: Whether the student can replace the teacher.
        distillation: Whether distilling helped.
        text: The reasons, in a few sentences.
    """

    code: VerdictCode
    distillation: DistillationEffect
    text: str


@dataclass(frozen=True)
class Compared:
    """A model that could have been recommended.

    Attributes:
        validation_accuracy: Share of the validation texts with the right label.
        operations: Operations for one text of average length.
        parameters: Number of parameters; of a linear model, non-zero coefficients.
    """

    validation_accuracy: float
    operations: int
    parameters: int


@dataclass(frozen=True)
class Recommendation:
    """The model to ship, chosen on the validation texts.

    Attributes:
        model: `teacher`, `student`, `linear`, `frozen` or `static`.
        folder: Its folder, relative to the run directory.
        accuracy: Its accuracy on the test set, which was not used for the choice.
        reason: Why this one, in a few sentences.
        next_step: What to do now. `RUN` is the run directory, `RECIPE` its recipe or table.
        compared: All models that were compared.
    """

    model: str
    folder: str
    accuracy: float
    reason: str
    next_step: str = ""
    compared: dict[str, Compared] = field(default_factory=dict)


@dataclass(frozen=True)
class Latency:
    """Milliseconds for a single text."""

    p50: float
    p95: float


@dataclass(frozen=True)
class ModelSpeed:
    """One model's speed on test texts of their real lengths."""

    documents_per_second: float
    latency_ms: Latency


@dataclass(frozen=True)
class BatchTime:
    """Milliseconds for one batch of 128 texts padded to the maximum length.

    `teacher_ms` is None if the teacher's scores were given.
    """

    teacher_ms: float | None
    student_ms: float


@dataclass(frozen=True)
class Speed:
    """Speed of teacher and student, measured in turn. The teacher's figures are None if its scores were given.

    Attributes:
        device: `cpu`, `cuda` and so on.
        threads: Number of PyTorch threads.
        dtype: Compute type.
        max_length: Tokens to which `batch128` is padded.
        batch128: Time for a padded batch.
        speedup: Teacher time / student time of `batch128`.
        teacher: The teacher's speed.
        student: The student's speed.
        rounds: Counted rounds of `batch128`, after a warm-up round; None in figures of earlier versions.
    """

    device: str
    threads: int
    dtype: str
    max_length: int
    batch128: BatchTime
    speedup: float | None
    teacher: ModelSpeed | None
    student: ModelSpeed
    rounds: int | None = None


@dataclass(frozen=True)
class Metrics:
    """All of `metrics.json`. Everything outside `speed` and `seconds` is deterministic.

    Attributes:
        teacher: The teacher's figures.
        student: The student's figures.
        controls: The baselines' figures.
        retention: Student / teacher.
        parameter_fraction: The student's parameters / the teacher's; None if the teacher's scores were given.
        efficiency_ratio: Accuracy retention / parameter fraction; None if the teacher's scores were given.
        agreement: Share of test texts for which teacher and student predict the same label.
        distillation_gain: Student minus the control without a teacher; None if the recipe leaves that control out.
        verdict: What the figures say about replacing the teacher.
        recommendation: The model to ship; None in figures of earlier versions.
        speed: Speed of teacher and student.
        seconds: Seconds spent, by stage.
        seeds: Figures over several seeds; None with only one.
        abstention: The student's threshold; None if the recipe has no target precision.
        students: The figures of other students: `static`.
    """

    teacher: ModelMetrics
    student: ModelMetrics
    controls: Controls
    retention: Retention
    parameter_fraction: float | None
    efficiency_ratio: float | None
    agreement: float
    distillation_gain: Gain | None
    verdict: Verdict
    recommendation: Recommendation | None = field(default=None, kw_only=True)
    speed: Speed
    seconds: dict[str, float]
    seeds: Seeds | None = None
    abstention: Abstention | None = None
    students: dict[str, ModelMetrics] = field(default_factory=dict)

    _view: ClassVar[Callable[[Metrics], str] | None] = None

    @property
    def gain(self) -> Gain | None:
        """Gain from distilling, over all seeds if there are several; None if the recipe leaves the control out."""
        return self.distillation_gain if self.seeds is None else self.seeds.gain

    def save(self, path: Path) -> None:
        write_json(path, {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)})

    @classmethod
    def show_in_notebooks(cls, view: Callable[[Metrics], str]) -> None:
        """Sets how a notebook shows the figures. The reporting room calls this, because this room cannot import it."""
        cls._view = view

    def _repr_html_(self) -> str | None:
        view = type(self)._view
        return None if view is None else view(self)

    @classmethod
    def load(cls, path: Path) -> Metrics:
        """Reads `metrics.json`.

        Raises:
            RunDirectoryError: It is missing, or has another schema version.
        """
        missing = "the run is not finished. Run the same command again to resume."
        return read_record(cls, path, error=RunDirectoryError, missing=missing, remedy="Run it again.")
