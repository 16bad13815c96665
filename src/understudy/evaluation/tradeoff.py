"""Accuracy against speed and size: which models are worth considering, and which one to ship."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from understudy.data.findings import counted
from understudy.errors import DataError, RunDirectoryError
from understudy.evaluation.results import Interval, ModelMetrics, ModelSpeed
from understudy.evaluation.temperature import FEWEST_TEXTS
from understudy.storage.files import write_json
from understudy.storage.layout import SCHEMA_VERSION
from understudy.storage.records import read_record

Role = Literal["teacher", "student", "control"]


@dataclass(frozen=True)
class Point:
    """One of the compared models.

    Attributes:
        name: `teacher`, the student's name in the recipe, or the control's name.
        role: Teacher, student or control.
        folder: Its folder, relative to the run directory.
        metrics: Figures on the test set.
        accuracy_ci95: 95 % interval of the accuracy.
        speed: Speed on this machine; None for a teacher whose scores were given.
        gain: Its accuracy minus the linear control's; None without that control.
        p_value: McNemar's exact p of that difference; None without that control.
        validation_accuracy: Accuracy on the validation texts, by which a student is chosen; None if unknown.
    """

    name: str
    role: Role
    folder: str
    metrics: ModelMetrics
    accuracy_ci95: Interval
    speed: ModelSpeed | None
    gain: float | None
    p_value: float | None
    validation_accuracy: float | None = None

    @property
    def label(self) -> str:
        """The displayed name; it marks controls, because a control and a student can have the same name."""
        return f"{self.name.replace('_', ' ')} (control)" if self.role == "control" else self.name

    # NaN is neither smaller nor larger than any number, so an unknown figure of a teacher changes no choice.

    @property
    def rate(self) -> float:
        """Documents per second; NaN if unknown."""
        return math.nan if self.speed is None else self.speed.documents_per_second

    @property
    def latency(self) -> float:
        """Milliseconds for one text, p50; NaN if unknown."""
        return math.nan if self.speed is None else self.speed.latency_ms.p50

    @property
    def size(self) -> float:
        """Bytes on disk; NaN if unknown."""
        return math.nan if self.metrics.bytes is None else float(self.metrics.bytes)


@dataclass(frozen=True)
class Tradeoff:
    """The teacher, its students and the controls.

    `by_speed`, `by_size` and `dominated` describe the test figures. They choose nothing: only `choose` and
    `most_accurate` do, and they read validation accuracies. So the chosen student's test figures are unbiased.

    Attributes:
        points: All models.
        texts: Number of test texts.
        validation_texts: Number of validation texts; None in a file of an earlier version.
    """

    points: tuple[Point, ...]
    texts: int
    validation_texts: int | None = None

    @property
    def students(self) -> list[Point]:
        return [point for point in self.points if point.role == "student"]

    @property
    def linear(self) -> Point | None:
        """The linear control."""
        return next((point for point in self.points if point.role == "control" and point.name == "linear"), None)

    def by_speed(self) -> list[Point]:
        """The students that no other student beats in both test accuracy and speed, fastest first."""
        return self._undominated({point.name: point.rate for point in self.students})

    def by_size(self) -> list[Point]:
        """The students that no other student beats in both test accuracy and size, smallest first."""
        return self._undominated({point.name: -point.size for point in self.students})

    def dominated(self) -> list[Point]:
        """The students that the linear control matches or beats in test accuracy and beats in speed.

        This is a statement about the test texts, and each point's `p_value` says how certain it is. It is not a choice:
        `choose` also considers these students.
        """
        linear = self.linear
        if linear is None:
            return []
        return [
            point
            for point in self.students
            if point.metrics.accuracy <= linear.metrics.accuracy and point.rate < linear.rate
        ]

    @property
    def most_accurate(self) -> Point | None:
        """The student with the highest validation accuracy; None if it is unknown, or of fewer than 50 texts."""
        if not self._validated or (self.validation_texts or 0) < FEWEST_TEXTS:
            return None
        return max(self.students, key=lambda point: (_validated(point), point.rate))

    def choose(self, at_least: float | None, at_most_ms: float | None) -> Point | None:
        """The student to ship, by validation accuracy and latency; None if no student meets the limits.

        With `at_least`, it is the fastest student that meets the limits; otherwise the most accurate one.

        Args:
            at_least: Required accuracy on the validation texts.
            at_most_ms: Allowed milliseconds for one text, p50.

        Raises:
            DataError: There are fewer than 50 validation texts.
            RunDirectoryError: The figures are of an earlier version and have no validation accuracies.
        """
        if self.validation_texts is None or not self._validated:
            raise RunDirectoryError(
                "This frontier has no validation accuracies, so no student can be chosen. Measure the frontier again."
            )
        check_choice(self.validation_texts)
        fit = [
            point
            for point in self.students
            if (at_least is None or _validated(point) >= at_least)
            and (at_most_ms is None or point.latency <= at_most_ms)
        ]
        if at_least is None:
            return max(fit, key=lambda point: (_validated(point), point.rate), default=None)
        return max(fit, key=lambda point: (point.rate, _validated(point)), default=None)

    def shortfall(self, at_least: float | None, at_most_ms: float | None) -> str:
        """The message for when `choose` finds no student."""
        accurate = max(self.students, key=_validated)
        quick = min(self.students, key=lambda point: point.latency)
        wanted = [
            *([] if at_least is None else [f"reaches an accuracy of {at_least:g} on the validation texts"]),
            *([] if at_most_ms is None else [f"answers within {at_most_ms:g} ms per text"]),
        ]
        return (
            f"No student {' and '.join(wanted)}. The most accurate, {accurate.name}, reaches "
            f"{_validated(accurate):.4f} at {accurate.latency:g} ms. The fastest, {quick.name}, reaches "
            f"{_validated(quick):.4f} at {quick.latency:g} ms. Relax the limits, or try other students "
            "with --frontier.students."
        )

    def to_json(self) -> dict[str, object]:
        """The content of `frontier.json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "texts": self.texts,
            "validation_texts": self.validation_texts,
            "models": {f"{point.role}:{point.name}": _plain(point) for point in self.points},
            "frontier": {
                "documents_per_second": [point.name for point in self.by_speed()],
                "bytes": [point.name for point in self.by_size()],
            },
            "dominated_by_linear": [point.name for point in self.dominated()],
        }

    def save(self, path: Path) -> None:
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Tradeoff:
        """Reads what `save` wrote.

        Raises:
            RunDirectoryError: The file is missing, damaged or has another schema version.
        """
        found = read_record(_File, path, error=RunDirectoryError, remedy="Measure the frontier again.")
        return cls(tuple(map(_point, found.models.values())), found.texts, found.validation_texts)

    @property
    def _validated(self) -> bool:
        """Whether the validation accuracy of every student is known."""
        return all(point.validation_accuracy is not None for point in self.students)

    def _undominated(self, merit: dict[str, float]) -> list[Point]:
        best: list[Point] = []
        for point in sorted(self.students, key=lambda point: (-merit[point.name], -point.metrics.accuracy)):
            if not best or point.metrics.accuracy > best[-1].metrics.accuracy:
                best.append(point)
        return best


@dataclass(frozen=True, kw_only=True)
class _Row(ModelMetrics):
    """A point as `frontier.json` has it: the metrics stand among its other keys."""

    name: str
    role: Role
    folder: str
    accuracy_ci95: Interval
    speed: ModelSpeed | None
    gain: float | None
    p_value: float | None
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class _Best:
    """The names of the undominated students, by what they are compared in."""

    documents_per_second: list[str]
    bytes: list[str]


@dataclass(frozen=True)
class _File:
    """What `frontier.json` holds; `frontier` and `dominated_by_linear` follow from the models."""

    texts: int
    models: dict[str, _Row]
    frontier: _Best
    dominated_by_linear: list[str]
    validation_texts: int | None = None


def check_choice(texts: int) -> None:
    """Refuses to choose a student on too few validation texts, where single texts would decide.

    Args:
        texts: Number of validation texts.

    Raises:
        DataError: There are fewer than 50.
    """
    if texts < FEWEST_TEXTS:
        raise DataError(
            f"{counted(texts, 'validation text')} cannot tell which student to ship; expected at least {FEWEST_TEXTS}. "
            "Give more with --data.validation, or leave out --at-least and --at-most-ms."
        )


def _validated(point: Point) -> float:
    return math.nan if point.validation_accuracy is None else point.validation_accuracy


def _plain(point: Point) -> dict[str, object]:
    content = dataclasses.asdict(point)
    return {**content.pop("metrics"), **content}


def _point(row: _Row) -> Point:
    metrics = ModelMetrics(**{field.name: getattr(row, field.name) for field in dataclasses.fields(ModelMetrics)})
    return Point(
        row.name,
        row.role,
        row.folder,
        metrics,
        row.accuracy_ci95,
        row.speed,
        row.gain,
        row.p_value,
        row.validation_accuracy,
    )
