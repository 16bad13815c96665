"""Accuracy against speed and size: which models are worth having, and which one to ship."""

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
    """One model among many.

    Attributes:
        name: `teacher`, a student's as the recipe writes it, or a control's.
        role: What it is.
        folder: Where it is, relative to the run directory.
        metrics: On the test set.
        accuracy_ci95: Bootstrap interval of its accuracy.
        speed: On this machine; None for a teacher whose scores were given.
        gain: Its accuracy minus the linear control's; None without that control.
        p_value: McNemar's exact test of that difference.
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
        """Its name for people; a control may be called like a student."""
        return f"{self.name.replace('_', ' ')} (control)" if self.role == "control" else self.name

    # NaN compares as no better and no worse: what of a teacher nobody knows decides nothing.

    @property
    def rate(self) -> float:
        """Documents per second; NaN where unknown."""
        return math.nan if self.speed is None else self.speed.documents_per_second

    @property
    def latency(self) -> float:
        """Milliseconds for one text, p50; NaN where unknown."""
        return math.nan if self.speed is None else self.speed.latency_ms.p50

    @property
    def size(self) -> float:
        """Bytes on disk; NaN where unknown."""
        return math.nan if self.metrics.bytes is None else float(self.metrics.bytes)


@dataclass(frozen=True)
class Tradeoff:
    """The teacher, its students and the controls.

    Attributes:
        points: All of them.
        texts: Test texts behind the figures.
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
        """The students that no other student beats in accuracy and speed at once, fastest first."""
        return self._frontier({point.name: point.rate for point in self.students})

    def by_size(self) -> list[Point]:
        """The students that no other student beats in accuracy and size at once, smallest first."""
        return self._frontier({point.name: -point.size for point in self.students})

    def dominated(self) -> list[Point]:
        """The students for which the linear control is at least as accurate and faster."""
        linear = self.linear
        if linear is None:
            return []
        return [
            point
            for point in self.students
            if point.metrics.accuracy <= linear.metrics.accuracy and point.rate < linear.rate
        ]

    def choose(self, at_least: float | None, at_most_ms: float | None) -> Point | None:
        """The student to ship; None where none will do.

        Args:
            at_least: Accuracy that it must reach: of those that do, the fastest.
            at_most_ms: Milliseconds for one text, p50, that it may take: of those that do, and without `at_least`, the
                most accurate.
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
        """Why `choose` found none."""
        accurate = max(self.students, key=lambda point: point.metrics.accuracy)
        quick = min(self.students, key=lambda point: point.latency)
        wanted = [
            *([] if at_least is None else [f"an accuracy of {at_least:g} or more"]),
            *([] if at_most_ms is None else [f"{at_most_ms:g} ms a text or less"]),
        ]
        return (
            f"No student has {' and '.join(wanted)}. The most accurate, {accurate.name}, has "
            f"{accurate.metrics.accuracy:.4f} at {accurate.latency:g} ms; the quickest, {quick.name}, "
            f"{quick.metrics.accuracy:.4f} at {quick.latency:g} ms. Ask for less, or try other students "
            "with --frontier.students."
        )

    def to_json(self) -> dict[str, object]:
        """What `frontier.json` holds."""
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
            RunDirectoryError: it is no such file, or another schema than this version's.
        """
        found = read_record(_File, path, error=RunDirectoryError, remedy="Measure the frontier again.")
        return cls(tuple(map(_point, found.models.values())), found.texts)

    def _frontier(self, merit: dict[str, float]) -> list[Point]:
        best: list[Point] = []
        for point in sorted(self.students, key=lambda point: (-merit[point.name], -point.metrics.accuracy)):
            if not best or point.metrics.accuracy > best[-1].metrics.accuracy:
                best.append(point)
        return best


@dataclass(frozen=True)
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
    """The names of the students on the frontier, by what they are compared in."""

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
