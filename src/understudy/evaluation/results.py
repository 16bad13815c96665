"""What an evaluation found: `metrics.json` as frozen dataclasses, one field a key."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
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
        auc: Area under the ROC curve, one against the rest, macro; None where a class has no test text.
        ece: Expected calibration error, 15 equal-width bins of the top probability.
        parameters: Trainable parameters; non-zero coefficients of a linear model; None for a teacher whose scores
            were given.
        bytes: Size of the saved weights; likewise.
    """

    accuracy: float
    f1: float
    auc: float | None
    ece: float
    parameters: int | None
    bytes: int | None


@dataclass(frozen=True)
class Controls:
    """The baselines beside the student; None where the recipe left one out."""

    no_distillation: ModelMetrics | None = None
    linear: ModelMetrics | None = None


@dataclass(frozen=True)
class Retention:
    """Student / teacher, with paired bootstrap intervals over the test texts."""

    accuracy: float
    accuracy_ci95: Interval
    f1: float
    f1_ci95: Interval


@dataclass(frozen=True)
class Gain:
    """Student minus the control that had no teacher.

    Attributes:
        accuracy: Difference of the accuracies.
        ci95: Its paired bootstrap interval.
        p_value: McNemar's exact test, two-sided; over several seeds the sign-flip test, of which it is a case.
    """

    accuracy: float
    ci95: Interval
    p_value: float


@dataclass(frozen=True)
class SeedResult:
    """Student and control of one seed on the test set.

    Attributes:
        seed: Of both.
        accuracy: The student's.
        f1: The student's.
        retention: Its accuracy / the teacher's.
        control_accuracy: The control's; None where the recipe left it out.
        gain: Student minus control; None likewise.
    """

    seed: int
    accuracy: float
    f1: float
    retention: float
    control_accuracy: float | None
    gain: Gain | None


@dataclass(frozen=True)
class Spread:
    """A figure over the seeds; `sd` is the sample's, with one seed fewer in the denominator."""

    mean: float
    sd: float
    min: float
    max: float


@dataclass(frozen=True)
class Seeds:
    """What several seeds say; `understudy.evaluation.repeats` has the statistics.

    Attributes:
        repeats: Each seed's figures, the shipped student's first.
        accuracy: The students'.
        f1: The students'.
        retention: Their accuracies / the teacher's.
        retention_ci95: Bootstrap interval of the mean retention, over test texts and seeds.
        control_accuracy: The controls'; None where the recipe left them out.
        gain: Mean over the seeds of student minus control with the same seed; None likewise.
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
    """What becomes of texts when only the sure ones are answered.

    Attributes:
        precision: Share of the answered texts with the right label; None where no text is answered.
        coverage: Share of the texts that are answered.
    """

    precision: float | None
    coverage: float


@dataclass(frozen=True)
class Abstention:
    """A threshold on the student's top probability; `understudy.evaluation.abstention` chooses it.

    Attributes:
        target_precision: What the recipe asks for.
        threshold: Texts whose top probability is below it are not answered; None where no threshold reaches the target.
        validation: On the texts that it was chosen on.
        test: On the test texts.
    """

    target_precision: float
    threshold: float | None
    validation: Answered
    test: Answered


@dataclass(frozen=True)
class Verdict:
    """What the figures mean for somebody who would swap the models."""

    code: Literal["replace", "inconclusive", "keep_teacher"]
    distillation: Literal["helped", "unproven", "hurt"]
    text: str


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one text at a time."""

    p50: float
    p95: float


@dataclass(frozen=True)
class ModelSpeed:
    """One model on the test set's real lengths."""

    documents_per_second: float
    latency_ms: Latency


@dataclass(frozen=True)
class BatchTime:
    """Milliseconds for one batch of 128 texts padded to the maximum length."""

    teacher_ms: float | None
    student_ms: float


@dataclass(frozen=True)
class Speed:
    """Teacher and student side by side, measured in turn; what is the teacher's is None where its scores were given.

    Attributes:
        device: `cpu`, `cuda` and so on.
        threads: Threads that PyTorch used.
        dtype: Compute type.
        max_length: Tokens to which `batch128` is padded.
        batch128: The original's way of measuring.
        speedup: Teacher time / student time of `batch128`.
    """

    device: str
    threads: int
    dtype: str
    max_length: int
    batch128: BatchTime
    speedup: float | None
    teacher: ModelSpeed | None
    student: ModelSpeed


@dataclass(frozen=True)
class Metrics:
    """All of `metrics.json`. Everything outside `speed` and `seconds` is deterministic.

    `distillation_gain` is None when the control without a teacher was left out, `seeds` when there is only one;
    `parameter_fraction` and `efficiency_ratio` are where the teacher's scores were given, `abstention` where the recipe
    has no target precision.
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
    speed: Speed
    seconds: dict[str, float]
    seeds: Seeds | None = None
    abstention: Abstention | None = None

    _view: ClassVar[Callable[[Metrics], str] | None] = None

    @property
    def gain(self) -> Gain | None:
        """What distilling gained, over all seeds where there are several; None without the control."""
        return self.distillation_gain if self.seeds is None else self.seeds.gain

    def save(self, path: Path) -> None:
        write_json(path, {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)})

    @classmethod
    def show_in_notebooks(cls, view: Callable[[Metrics], str]) -> None:
        """Sets what a notebook shows of figures: the reporting room, which stands above this one, gives it."""
        cls._view = view

    def _repr_html_(self) -> str | None:
        view = type(self)._view
        return None if view is None else view(self)

    @classmethod
    def load(cls, path: Path) -> Metrics:
        """Reads `metrics.json`.

        Raises:
            RunDirectoryError: it is missing, or another schema than this version's.
        """
        missing = "the run is not finished. Start it again to resume."
        return read_record(cls, path, error=RunDirectoryError, missing=missing, remedy="Run it again.")
