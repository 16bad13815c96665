"""A benchmark drawn: documents per second and the latency of one text, a row a model and runtime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.reporting import formats
from understudy.reporting.canvas import HEIGHT, WIDTH, Canvas
from understudy.reporting.dashboard import FAINT, LINEAR, MARGIN, RULE, STUDENT, TEACHER
from understudy.reporting.figures import benchmark_conditions
from understudy.storage.files import write_file
from understudy.timing.figures import Benchmark, Measurement, Side

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TOP, _BOTTOM = HEIGHT - 92.0, MARGIN + 42.0
_LARGEST, _PITCH = 7.5, 20.0
"""Points of the texts and between the rows; with many rows both are smaller."""
_MODEL_ROOM, _WAY_ROOM, _GAP = 118.0, 150.0, 12.0


@dataclass(frozen=True)
class _Scale:
    """A logarithmic axis, whose ends and steps are 1, 2 or 5 times a power of ten."""

    steps: tuple[float, ...]
    left: float
    room: float

    @classmethod
    def around(cls, values: Sequence[float], left: float, room: float) -> _Scale:
        """Below the smallest value there is room, so that its bar has a length."""
        low, high = 0.7 * min(values), max(values)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = [factor * 10.0**power for power, factor in product(powers, (1.0, 2.0, 5.0))]
        first = max(place for place, step in enumerate(steps) if step <= low)
        last = min(place for place, step in enumerate(steps) if step >= high)
        return cls(tuple(steps[first : last + 1]), left, room)

    def place(self, value: float) -> float:
        low, high = self.steps[0], self.steps[-1]
        return self.left + self.room * math.log(value / low) / math.log(high / low)

    def ticks(self) -> list[float]:
        """Powers of ten alone where there are many steps."""
        tens = [step for step in self.steps if math.isclose(math.log10(step) % 1, 0, abs_tol=1e-6)]
        return tens if len(tens) > 2 else list(self.steps)


@dataclass(frozen=True)
class _Row:
    """A measurement, and where it stands."""

    measurement: Measurement
    way: str
    y: float
    first: bool


def draw_benchmark(benchmark: Benchmark, path: Path, title: str) -> None:
    """Writes the chart as a PNG of 1920 x 1080 pixels; the same figures give the same bytes.

    Args:
        benchmark: What was measured.
        path: Where the PNG goes; it appears whole or not at all.
        title: The line at the top, such as the run's name.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(benchmark_figure(benchmark, title))
    write_file(path, lambda temporary: canvas.print_png(temporary, metadata={"Software": None}))


def benchmark_figure(benchmark: Benchmark, title: str) -> Figure:
    """The chart before it is a file; it belongs to no window and to no global state."""
    page = Canvas()
    page.fitted(MARGIN, HEIGHT - 28, title, 15, WIDTH - 2 * MARGIN, weight="bold")
    page.fitted(MARGIN, HEIGHT - 46, _finding(benchmark), 8.5, WIDTH - 2 * MARGIN)
    rows, points = _rows(benchmark)
    left = _labels(page, rows, points)
    room = WIDTH - MARGIN - left
    width = 0.56 * room
    _rates(page, rows, points, left, width - _GAP)
    _latencies(page, rows, points, left + width, room - width)
    note = (
        f"{benchmark_conditions(benchmark)}. Both axes are logarithmic. Padded (pale): batches of 128, all padded to "
        f"{benchmark.max_length} tokens, without tokenising."
    )
    page.paragraph(MARGIN, MARGIN + 7, note, 6.5, WIDTH - 2 * MARGIN, lines=2, centred=False, color=FAINT)
    return page.figure


def _finding(benchmark: Benchmark) -> str:
    best = benchmark.fastest_student
    text = f"The student is fastest in {best.side.way}: {formats.significant(best.documents_per_second)} documents/s"
    if best.speedup is None:
        return f"{text}; the teacher's speed is unknown, for its scores were given."
    return f"{text}, {formats.times(best.speedup, '×')} the teacher's padded batches in PyTorch fp32."


def _rows(benchmark: Benchmark) -> tuple[list[_Row], float]:
    """The rows from above, those of a model together, and the points of their texts."""
    labels = [each.side.label for each in benchmark.measurements]
    firsts = [place == 0 or labels[place - 1] != label for place, label in enumerate(labels)]
    pitch = min(_PITCH, (_TOP - _BOTTOM) / (len(labels) + 0.5 * (sum(firsts) - 1)))
    rows: list[_Row] = []
    y = _TOP + pitch / 2
    for measurement, way, first in zip(benchmark.measurements, benchmark.ways(), firsts, strict=True):
        y -= 1.5 * pitch if first and rows else pitch
        rows.append(_Row(measurement, way, y, first))
    return rows, min(_LARGEST, 0.7 * pitch)


def _labels(page: Canvas, rows: Sequence[_Row], points: float) -> float:
    """Writes what the rows are; returns where marks may begin."""
    start = MARGIN
    columns = (
        (_MODEL_ROOM, [row.measurement.side.label if row.first else "" for row in rows], "bold"),
        (_WAY_ROOM, [row.way for row in rows], "normal"),
    )
    for room, texts, weight in columns:
        fitted = [page.fit(text, points, room, weight) if text else ("", points) for text in texts]
        for row, (text, size) in zip(rows, fitted, strict=True):
            page.text(start, row.y - 0.36 * size, text, size, weight=weight)
        start += max(page.width(text, size, weight) for text, size in fitted) + _GAP
    return start


def _rates(page: Canvas, rows: Sequence[_Row], points: float, left: float, width: float) -> None:
    rates = [row.measurement.documents_per_second for row in rows]
    texts = [formats.significant(rate) for rate in rates]
    heading = ("Documents per second", "more is better")
    scale = _panel(page, rows, texts, points, left, width, rates, heading)
    for row, rate in zip(rows, rates, strict=True):
        side, length, height = row.measurement.side, scale.place(rate) - left, 0.85 * points
        page.box(left, row.y - height / 2, length, height, _colour(side), alpha=0.4 if side.padded else 1.0)
        if _face(side) != _colour(side):
            page.box(left + 0.9, row.y - height / 2 + 0.9, max(0.0, length - 1.8), height - 1.8, _face(side))


def _latencies(page: Canvas, rows: Sequence[_Row], points: float, left: float, width: float) -> None:
    found = [row.measurement.latency_ms for row in rows]
    texts = ["-" if each is None else formats.milliseconds(each.p50, each.p99) for each in found]
    values = [value for each in found if each is not None for value in (each.p50, each.p99)]
    if not values:
        return
    heading = ("One text at a time, p50 / p99 (ms)", "less is better")
    scale = _panel(page, rows, texts, points, left, width, values, heading)
    for row, each in zip(rows, found, strict=True):
        if each is None:
            continue
        colour, tall = _colour(row.measurement.side), 0.3 * points
        page.line((scale.place(each.p50), scale.place(each.p99)), (row.y, row.y), colour, 1.1, zorder=2)
        for value in (each.p95, each.p99):
            page.line((scale.place(value),) * 2, (row.y - tall, row.y + tall), colour, 1.0, zorder=2)
        look = {"marker": "o", "markersize": 0.6 * points, "markeredgewidth": 1.2, "zorder": 3}
        face = _face(row.measurement.side)
        page.line((scale.place(each.p50),) * 2, (row.y, row.y), colour, 0, markerfacecolor=face, **look)


def _panel(
    page: Canvas,
    rows: Sequence[_Row],
    texts: Sequence[str],
    points: float,
    left: float,
    width: float,
    values: Sequence[float],
    heading: tuple[str, str],
) -> _Scale:
    """Draws heading, figures in a column of their own at the right, and the axis' ticks."""
    page.fitted(left, _TOP + 16, heading[0], 7.5, width - page.width(heading[1], 6.5) - 6, weight="bold")
    page.text(left + width, _TOP + 16, heading[1], 6.5, color=FAINT, ha="right")
    for row, text in zip(rows, texts, strict=True):
        page.text(left + width, row.y - 0.36 * points, text, points, ha="right")
    column = max(page.width(text, points) for text in texts) + 10
    scale = _Scale.around(values, left, width - column)
    bottom = rows[-1].y - 0.8 * points
    free = -math.inf
    for tick in scale.ticks():
        x, text = scale.place(tick), formats.significant(tick, 1)
        half = page.width(text, 6.5) / 2
        page.line((x, x), (bottom - 3, _TOP + 6), RULE, 0.6, zorder=0.5)
        if x - half > free:
            page.text(x, bottom - 12, text, 6.5, color=FAINT, ha="center")
            free = x + half + 4
    return scale


def _colour(side: Side) -> str:
    if side.runtime == "ngrams" and side.role == "control":
        return LINEAR
    return TEACHER if side.role == "teacher" else STUDENT


def _face(side: Side) -> str:
    """White, so that the mark is hollow, for the control that is like the student."""
    hollow = side.role == "control" and side.runtime != "ngrams"
    return "white" if hollow else _colour(side)
