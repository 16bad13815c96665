"""The dashboard: the verdict above the quality, size and speed of teacher and student, on one slide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from understudy.evaluation.recommendation import MODELS
from understudy.evaluation.results import Interval, Metrics, ModelMetrics, ModelSpeed
from understudy.reporting import formats
from understudy.reporting.canvas import (
    HEIGHT,
    LINEAR,
    MARGIN,
    NOTE,
    PANEL,
    RULE,
    STUDENT,
    TEACHER,
    WIDTH,
    Canvas,
    Font,
    TextBox,
    drawn_with,
    write_png,
)
from understudy.reporting.panels import Group, Marks, Panel, PanelRow
from understudy.storage.files import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The verdict has the colour of the model to use.
VERDICT_COLOURS = {"replace": STUDENT, "inconclusive": "#4D4D4D", "keep_teacher": TEACHER}

_UNKNOWN = "teacher unknown: only its scores were given"

TICK_STEPS = (0.05, 0.1, 0.25, 0.5)
SMALLEST_SPAN = 0.1
"""The quality axis spans at least ten points, so that a small difference looks small."""


def draw_dashboard(metrics: Metrics, path: Path, title: str) -> None:
    """Writes the dashboard as a PNG of 1920 x 1080 pixels and as an SVG; the same metrics give the same bytes.

    Args:
        metrics: What the evaluation measured.
        path: The PNG; the SVG goes next to it. Each file is written whole or not at all.
        title: The line at the top, such as the run's name.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    figure = dashboard_figure(metrics, title)
    write_png(figure, path)
    # Letters as paths look the same everywhere; the salt makes the ids the same every time.
    with drawn_with({"svg.fonttype": "path", "svg.hashsalt": "understudy"}):
        svg: Any = FigureCanvasSVG(figure)
        write_file(path.with_suffix(".svg"), lambda temporary: svg.print_svg(temporary, metadata={"Date": None}))


def dashboard_figure(metrics: Metrics, title: str) -> Figure:
    """The dashboard as a figure; it has no window and changes no global state."""
    page = Canvas()
    _header(page, metrics, title)
    _quality(Panel(page, 0, "QUALITY"), metrics)
    _size(Panel(page, 1, "SIZE"), metrics)
    _speed(Panel(page, 2, "SPEED AND EFFICIENCY"), metrics)
    return page.figure


def _header(page: Canvas, metrics: Metrics, title: str) -> None:
    verdict, small = metrics.verdict, Font(7.5)
    page.fitted(MARGIN, HEIGHT - 28, title, Font(15, "bold"), WIDTH - 2 * MARGIN)
    word, below = verdict.code.replace("_", " ").upper(), f"distillation: {verdict.distillation}"
    on_colour = Font(10, "bold", "white")
    badge = max(page.width(word, on_colour) + 16, page.width(below, small))
    page.box(MARGIN, HEIGHT - 61, badge, 19, VERDICT_COLOURS[verdict.code])
    page.text(MARGIN + badge / 2, HEIGHT - 55.3, word, on_colour, ha="center")
    page.text(MARGIN + badge / 2, HEIGHT - 73, below, small, ha="center")
    left = MARGIN + badge + 12
    block = TextBox(WIDTH - MARGIN - left, lines=4, centred=True)
    found = metrics.recommendation
    page.paragraph(left, HEIGHT - (58 if found is None else 55), verdict.text, Font(8.5), block)
    if found is not None:
        ship = f"Ship {MODELS.get(found.model, found.model)} (test accuracy {formats.score(found.accuracy)})"
        page.fitted(left, HEIGHT - 86, f"{ship}. {found.next_step}", Font(7.5, "bold"), block.width)


def _quality(panel: Panel, metrics: Metrics) -> None:
    retention, gain, seeds = metrics.retention, metrics.gain, metrics.seeds
    over = "distillation" if seeds is None else f"distillation, {len(seeds.repeats)} seeds"
    panel.key_figure(
        formats.percent(retention.accuracy),
        (
            f"accuracy retention, 95 % interval {formats.percent_interval(retention.accuracy_ci95)}",
            f"F1 retention {formats.percent(retention.f1)} {formats.percent_interval(retention.f1_ci95)}",
            "distillation gain: not measured" if gain is None else f"{over}: {formats.gain(gain)}",
        ),
    )
    groups = (
        Group("Accuracy", _scores(metrics, "accuracy", retention.accuracy_ci95)),
        Group("F1", _scores(metrics, "f1", retention.f1_ci95)),
    )
    marks = panel.rows(groups, reserve=15)
    ends = [end for _, row in marks.rows for end in (row.value, *(row.interval or ()), *row.seeds)]
    axis = _Axis(*_zoom(ends), marks)
    axis.draw(panel.page)
    for y, row in marks.rows:
        if row.marker == "s":
            below = y - (len(groups[0].rows) - 1) * (marks.rows[0][0] - marks.rows[1][0])
            x = axis.place(row.value)
            panel.page.line((x, x), (below - 5, y), TEACHER, 0.9, linestyle=(0, (3, 2)), zorder=1)
        axis.mark(panel.page, y, row)
    panel.note(
        ("The axis starts at 0. " if axis.low == 0 else "Zoomed axis: it does not start at 0. ")
        + "Dashed: the teacher. Line through the student: 95 % interval of its retention."
        + ("" if seeds is None else " Small dots: single seeds.")
    )


def _scores(metrics: Metrics, name: Literal["accuracy", "f1"], retention: Interval) -> tuple[PanelRow, ...]:
    """A row per model, with the retention's interval turned into scores."""
    repeats = () if metrics.seeds is None or name == "f1" else metrics.seeds.repeats
    controls = tuple(each.control_accuracy for each in repeats if each.control_accuracy is not None)

    def row(label: str, model: ModelMetrics, colour: str, **look: Any) -> PanelRow:
        value: float = getattr(model, name)
        return PanelRow(label, colour, value, formats.score(value), **look)

    teacher = row("Teacher", metrics.teacher, TEACHER, marker="s")
    kept = (min(1.0, retention[0] * teacher.value), min(1.0, retention[1] * teacher.value))
    students = tuple(each.accuracy for each in repeats)
    rows = [teacher, row("Student", metrics.student, STUDENT, interval=kept, seeds=students)]
    if metrics.controls.no_distillation is not None:
        rows.append(row("No distillation", metrics.controls.no_distillation, STUDENT, hollow=True, seeds=controls))
    if metrics.controls.linear is not None:
        rows.append(row("Linear", metrics.controls.linear, LINEAR, marker="D"))
    if metrics.controls.frozen is not None:
        rows.append(row("Frozen encoder", metrics.controls.frozen, LINEAR, marker="^"))
    return tuple(rows)


@dataclass(frozen=True)
class _Axis:
    """An axis for scores.

    Attributes:
        low: The score at its left end.
        high: The score at its right end.
        step: Between two ticks.
        marks: The space that it spans.
    """

    low: float
    high: float
    step: float
    marks: Marks

    def place(self, value: float) -> float:
        return self.marks.left + self.marks.room * (value - self.low) / (self.high - self.low)

    def draw(self, page: Canvas) -> None:
        """Draws the ticks."""
        heights = [y for y, _ in self.marks.rows]
        for number in range(round((self.high - self.low) / self.step) + 1):
            tick = self.low + number * self.step
            x = self.place(tick)
            page.line((x, x), (min(heights) - 8, heights[0] + 6), RULE, 0.6, zorder=0.5)
            page.text(x, min(heights) - 17, f"{tick:.2f}", NOTE, ha="center")

    def mark(self, page: Canvas, y: float, row: PanelRow) -> None:
        """Draws a row's dot, its interval and its seeds."""
        if row.interval is not None:
            ends = self.place(row.interval[0]), self.place(row.interval[1])
            page.line(ends, (y, y), row.colour, 1.3, zorder=2)
            for end in ends:
                page.line((end, end), (y - 3.5, y + 3.5), row.colour, 1.0, zorder=2)
        for value in row.seeds:
            x = self.place(value)
            page.line((x, x), (y - 6, y - 6), row.colour, 0, marker="o", markersize=1.8, zorder=3)
        face = PANEL if row.hollow else row.colour
        look = {"markerfacecolor": face, "markersize": 5, "markeredgewidth": 1.3, "zorder": 3}
        page.line((self.place(row.value),) * 2, (y, y), row.colour, 0, marker=row.marker, **look)


def _size(panel: Panel, metrics: Metrics) -> None:
    teacher, student, linear = metrics.teacher, metrics.student, metrics.controls.linear
    if metrics.parameter_fraction is None:
        figure = formats.known(student.parameters, formats.count)
        captions: tuple[str, ...] = ("parameters of the student", _UNKNOWN)
    else:
        on_disk = formats.percent(student.bytes / teacher.bytes) if student.bytes and teacher.bytes else "-"
        figure = formats.percent(metrics.parameter_fraction)
        captions = ("of the teacher's parameters", f"{on_disk} of its size on disk")
    panel.key_figure(figure, captions)
    models = [("Teacher", TEACHER, teacher), ("Student", STUDENT, student)]
    if linear is not None:
        models.append(("Linear", LINEAR, linear))
    parameters = tuple(
        PanelRow(name, colour, model.parameters, formats.count(model.parameters))
        for name, colour, model in models
        if model.parameters is not None
    )
    weights = tuple(
        PanelRow(name, colour, model.bytes, formats.size(model.bytes))
        for name, colour, model in models
        if model.bytes is not None
    )
    panel.bars((Group("Parameters", parameters), Group("Weights on disk", weights)))
    panel.note("Bars start at 0." + (" Linear: its non-zero coefficients." if linear is not None else ""))


def _speed(panel: Panel, metrics: Metrics) -> None:
    speed = metrics.speed
    if speed.speedup is None or metrics.efficiency_ratio is None:
        figure = formats.significant(speed.student.documents_per_second)
        captions: tuple[str, ...] = ("documents per second by the student", _UNKNOWN)
    else:
        figure = formats.times(speed.speedup, "×")
        captions = (
            "the teacher's speed on batches of 128",
            f"efficiency ratio {formats.ratio(metrics.efficiency_ratio)} =",
            "accuracy retention / parameter fraction",
        )
    panel.key_figure(figure, captions)
    sides = (("Teacher", TEACHER, speed.teacher), ("Student", STUDENT, speed.student))
    models = [(name, colour, side) for name, colour, side in sides if side is not None]
    batches = (("Teacher", TEACHER, speed.batch128.teacher_ms), ("Student", STUDENT, speed.batch128.student_ms))

    def rate(name: str, colour: str, model: ModelSpeed) -> PanelRow:
        return PanelRow(name, colour, model.documents_per_second, formats.significant(model.documents_per_second))

    def latency(name: str, colour: str, model: ModelSpeed) -> PanelRow:
        p50, p95 = model.latency_ms.p50, model.latency_ms.p95
        return PanelRow(name, colour, p50, formats.milliseconds(p50, p95), interval=(p50, p95))

    batch = tuple(
        PanelRow(name, colour, value, formats.milliseconds(value))
        for name, colour, value in batches
        if value is not None
    )
    groups = (
        Group("Documents per second", tuple(rate(*model) for model in models), "more is better"),
        Group("Latency of one text, p50 / p95", tuple(latency(*model) for model in models), "less is better"),
        Group("Batch of 128", batch, "less is better"),
    )
    panel.bars(groups)
    conditions = formats.conditions(speed)
    panel.note(f"{conditions}; batches padded to {speed.max_length} tokens, all others at real lengths")


def _zoom(values: Sequence[float]) -> tuple[float, float, float]:
    """Both ends of an axis for scores and the step between its ticks, for at most five ticks.

    The ends are whole steps.
    """
    low, high = max(0.0, min(values)), min(1.0, max(values))
    for step in TICK_STEPS:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= 4:
            break
    while (last - first) * step < SMALLEST_SPAN - 1e-9:
        above = first == 0 or (last * step < 1 and last * step - high < low - first * step)
        first, last = (first, last + 1) if above else (first - 1, last)
    return first * step, last * step, step
