"""Accuracy against speed and size: which models are worth considering, and which one to ship."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from understudy.errors import RunDirectoryError
from understudy.evaluation.results import Interval, ModelMetrics, ModelSpeed
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
    """

    name: str
    role: Role
    folder: str
    metrics: ModelMetrics
    accuracy_ci95: Interval
    speed: ModelSpeed | None
    gain: float | None
    p_value: float | None

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

    Attributes:
        points: All models.
        texts: Number of test texts.
    """

    points: tuple[Point, ...]
    texts: int

    @property
    def students(self) -> list[Point]:
        return [point for point in self.points if point.role == "student"]

    @property
    def linear(self) -> Point | None:
        """The linear control."""
        return next((point for point in self.points if point.role == "control" and point.name == "linear"), None)

    def by_speed(self) -> list[Point]:
        """The students that no other student beats in both accuracy and speed, fastest first."""
        return self._undominated({point.name: point.rate for point in self.students})

    def by_size(self) -> list[Point]:
        """The students that no other student beats in both accuracy and size, smallest first."""
        return self._undominated({point.name: -point.size for point in self.students})

    def dominated(self) -> list[Point]:
        """The students that the linear control matches or beats in accuracy and beats in speed."""
        linear = self.linear
        if linear is None:
            return []
        return [
            point
            for point in self.students
            if point.metrics.accuracy <= linear.metrics.accuracy and point.rate < linear.rate
        ]

    def choose(self, at_least: float | None, at_most_ms: float | None) -> Point | None:
        """The student to ship; None if no student meets the limits.

        With `at_least`, it is the fastest student that meets the limits; otherwise the most accurate one.

        Args:
            at_least: Required accuracy.
            at_most_ms: Allowed milliseconds for one text, p50.
        """
        fit = [
            point
            for point in self.students
            if (at_least is None or point.metrics.accuracy >= at_least)
            and (at_most_ms is None or point.latency <= at_most_ms)
        ]
        if at_least is None:
            return max(fit, key=lambda point: (point.metrics.accuracy, point.rate), default=None)
        return max(fit, key=lambda point: (point.rate, point.metrics.accuracy), default=None)

    def shortfall(self, at_least: float | None, at_most_ms: float | None) -> str:
        """The message for when `choose` finds no student."""
        accurate = max(self.students, key=lambda point: point.metrics.accuracy)
        quick = min(self.students, key=lambda point: point.latency)
        wanted = [
            *([] if at_least is None else [f"reaches an accuracy of {at_least:g}"]),
            *([] if at_most_ms is None else [f"answers within {at_most_ms:g} ms per text"]),
        ]
        return (
            f"No student {' and '.join(wanted)}. The most accurate, {accurate.name}, reaches "
            f"{accurate.metrics.accuracy:.4f} at {accurate.latency:g} ms. The fastest, {quick.name}, reaches "
            f"{quick.metrics.accuracy:.4f} at {quick.latency:g} ms. Relax the limits, or try other students "
            "with --frontier.students."
        )

    def to_json(self) -> dict[str, object]:
        """The content of `frontier.json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "texts": self.texts,
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
        return cls(tuple(map(_point, found.models.values())), found.texts)

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


def _plain(point: Point) -> dict[str, object]:
    content = dataclasses.asdict(point)
    return {**content.pop("metrics"), **content}


def _point(row: _Row) -> Point:
    metrics = ModelMetrics(**{field.name: getattr(row, field.name) for field in dataclasses.fields(ModelMetrics)})
    return Point(row.name, row.role, row.folder, metrics, row.accuracy_ci95, row.speed, row.gain, row.p_value)
