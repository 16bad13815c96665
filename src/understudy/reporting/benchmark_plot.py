"""A benchmark as a chart: documents per second and the latency of one text, a row per model and runtime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.reporting import formats
from understudy.reporting.canvas import (
    HEIGHT,
    LINEAR,
    MARGIN,
    NOTE,
    RULE,
    STUDENT,
    TEACHER,
    WIDTH,
    Canvas,
    Font,
    TextBox,
    write_png,
)
from understudy.reporting.figures import benchmark_conditions
from understudy.timing.figures import Benchmark, Measurement, Side

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TOP, _BOTTOM = HEIGHT - 92.0, MARGIN + 42.0
_LARGEST, _PITCH = 7.5, 20.0
"""Points of the letters and between two rows; with many rows both are smaller."""
_MODEL_ROOM, _WAY_ROOM, _GAP = 118.0, 150.0, 12.0


@dataclass(frozen=True)
class _Scale:
    """A logarithmic axis; its ends and steps are 1, 2 or 5 times a power of ten."""

    steps: tuple[float, ...]
    left: float
    room: float

    @classmethod
    def around(cls, values: Sequence[float], left: float, room: float) -> _Scale:
        """Starts below the smallest value, so that its bar has a length."""
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
        """All steps, or only powers of ten if there are many steps."""
        tens = [step for step in self.steps if math.isclose(math.log10(step) % 1, 0, abs_tol=1e-6)]
        return tens if len(tens) > 2 else list(self.steps)


@dataclass(frozen=True)
class _Row:
    """A measurement and its height on the page; `first` is whether it is its model's first."""

    measurement: Measurement
    way: str
    y: float
    first: bool


@dataclass(frozen=True)
class _Rows:
    """All rows from the top, and the font of their texts."""

    rows: tuple[_Row, ...]
    font: Font


@dataclass(frozen=True)
class _Plot:
    """One of the two plots: its heading, its hint and its place."""

    heading: str
    hint: str
    left: float
    width: float


def draw_benchmark(benchmark: Benchmark, path: Path, title: str) -> None:
    """Writes the chart as a PNG of 1920 x 1080 pixels; the same figures give the same bytes.

    Args:
        benchmark: What was measured.
        path: The PNG, which is written whole or not at all.
        title: The line at the top, such as the run's name.
    """
    write_png(benchmark_figure(benchmark, title), path)


def benchmark_figure(benchmark: Benchmark, title: str) -> Figure:
    """The chart as a figure; it has no window and changes no global state."""
    page = Canvas()
    page.fitted(MARGIN, HEIGHT - 28, title, Font(15, "bold"), WIDTH - 2 * MARGIN)
    page.fitted(MARGIN, HEIGHT - 46, _finding(benchmark), Font(8.5), WIDTH - 2 * MARGIN)
    table = _rows(benchmark)
    left = _labels(page, table)
    room = WIDTH - MARGIN - left
    width = 0.56 * room
    _rates(page, table, _Plot("Documents per second", "more is better", left, width - _GAP))
    latency = _Plot("One text at a time, p50 / p99 (ms)", "less is better", left + width, room - width)
    _latencies(page, table, latency)
    note = (
        f"{benchmark_conditions(benchmark)}. Both axes are logarithmic. Padded (pale): batches of 128, all padded to "
        f"{benchmark.max_length} tokens, without tokenising."
    )
    page.paragraph(MARGIN, MARGIN + 7, note, NOTE, TextBox(WIDTH - 2 * MARGIN, lines=2))
    return page.figure


def _finding(benchmark: Benchmark) -> str:
    best = benchmark.fastest_student
    text = f"The student is fastest in {best.side.way}: {formats.significant(best.documents_per_second)} documents/s"
    if best.speedup is None:
        return f"{text}. The teacher's speed is unknown: only its scores were given."
    return f"{text}, {formats.times(best.speedup, '×')} the teacher's padded batches in PyTorch fp32."


def _rows(benchmark: Benchmark) -> _Rows:
    """The rows from the top, grouped by model."""
    labels = [each.side.label for each in benchmark.measurements]
    firsts = [place == 0 or labels[place - 1] != label for place, label in enumerate(labels)]
    pitch = min(_PITCH, (_TOP - _BOTTOM) / (len(labels) + 0.5 * (sum(firsts) - 1)))
    rows: list[_Row] = []
    y = _TOP + pitch / 2
    for measurement, way, first in zip(benchmark.measurements, benchmark.ways(), firsts, strict=True):
        y -= 1.5 * pitch if first and rows else pitch
        rows.append(_Row(measurement, way, y, first))
    return _Rows(tuple(rows), Font(min(_LARGEST, 0.7 * pitch)))


def _labels(page: Canvas, table: _Rows) -> float:
    """Writes what each row is; returns where the charts may start."""
    start = MARGIN
    columns = (
        (_MODEL_ROOM, [row.measurement.side.label if row.first else "" for row in table.rows], "bold"),
        (_WAY_ROOM, [row.way for row in table.rows], "normal"),
    )
    for room, texts, weight in columns:
        font = Font(table.font.points, weight)
        fitted = [page.fit(text, font, room) if text else ("", font) for text in texts]
        for row, (text, smaller) in zip(table.rows, fitted, strict=True):
            page.text(start, row.y - 0.36 * smaller.points, text, smaller)
        start += max(page.width(text, smaller) for text, smaller in fitted) + _GAP
    return start


def _rates(page: Canvas, table: _Rows, plot: _Plot) -> None:
    rates = [row.measurement.documents_per_second for row in table.rows]
    scale = _draw(page, table, plot, [formats.significant(rate) for rate in rates], rates)
    height = 0.85 * table.font.points
    for row, rate in zip(table.rows, rates, strict=True):
        side, length, bottom = row.measurement.side, scale.place(rate) - plot.left, row.y - height / 2
        page.box(plot.left, bottom, length, height, _colour(side), alpha=0.4 if side.padded else 1.0)
        if _face(side) != _colour(side):
            page.box(plot.left + 0.9, bottom + 0.9, max(0.0, length - 1.8), height - 1.8, _face(side))


def _latencies(page: Canvas, table: _Rows, plot: _Plot) -> None:
    found = [row.measurement.latency_ms for row in table.rows]
    texts = ["-" if each is None else formats.milliseconds(each.p50, each.p99) for each in found]
    values = [value for each in found if each is not None for value in (each.p50, each.p99)]
    if not values:
        return
    scale = _draw(page, table, plot, texts, values)
    tall = 0.3 * table.font.points
    look = {"marker": "o", "markersize": 0.6 * table.font.points, "markeredgewidth": 1.2, "zorder": 3}
    for row, each in zip(table.rows, found, strict=True):
        if each is None:
            continue
        colour, face = _colour(row.measurement.side), _face(row.measurement.side)
        page.line((scale.place(each.p50), scale.place(each.p99)), (row.y, row.y), colour, 1.1, zorder=2)
        for value in (each.p95, each.p99):
            page.line((scale.place(value),) * 2, (row.y - tall, row.y + tall), colour, 1.0, zorder=2)
        page.line((scale.place(each.p50),) * 2, (row.y, row.y), colour, 0, markerfacecolor=face, **look)


def _draw(page: Canvas, table: _Rows, plot: _Plot, texts: Sequence[str], values: Sequence[float]) -> _Scale:
    """Draws a plot without its marks: the heading, a column of figures at the right, and the ticks.

    Args:
        page: To draw on.
        table: The rows.
        plot: What to draw, and where.
        texts: The figure of each row.
        values: All values that the axis must hold.
    """
    right, font = plot.left + plot.width, Font(7.5, "bold")
    page.fitted(plot.left, _TOP + 16, plot.heading, font, plot.width - page.width(plot.hint, NOTE) - 6)
    page.text(right, _TOP + 16, plot.hint, NOTE, ha="right")
    for row, text in zip(table.rows, texts, strict=True):
        page.text(right, row.y - 0.36 * table.font.points, text, table.font, ha="right")
    column = max(page.width(text, table.font) for text in texts) + 10
    scale = _Scale.around(values, plot.left, plot.width - column)
    bottom = table.rows[-1].y - 0.8 * table.font.points
    free = -math.inf
    for tick in scale.ticks():
        x, text = scale.place(tick), formats.significant(tick, 1)
        half = page.width(text, NOTE) / 2
        page.line((x, x), (bottom - 3, _TOP + 6), RULE, 0.6, zorder=0.5)
        if x - half > free:
            page.text(x, bottom - 12, text, NOTE, ha="center")
            free = x + half + 4
    return scale


def _colour(side: Side) -> str:
    if side.runtime == "ngrams" and side.role == "control":
        return LINEAR
    return TEACHER if side.role == "teacher" else STUDENT


def _face(side: Side) -> str:
    """White, for a hollow mark, if the side is the control with the student's architecture."""
    hollow = side.role == "control" and side.runtime != "ngrams"
    return "white" if hollow else _colour(side)
