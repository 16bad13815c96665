"""The dashboard: quality, size and speed of teacher and student on one slide, under the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.evaluation.results import Interval, Metrics, ModelMetrics, ModelSpeed
from understudy.reporting import formats
from understudy.reporting.canvas import HEIGHT, INK, WIDTH, Canvas, drawn_with
from understudy.storage.files import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN, GAP, PADDING = 16.0, 10.0, 11.0
CARD_WIDTH = (WIDTH - 2 * MARGIN - 2 * GAP) / 3
CARD_TOP = HEIGHT - 92.0
INNER_WIDTH = CARD_WIDTH - 2 * PADDING

# Okabe and Ito's palette. The verdict has the colour of the model that goes on stage.
TEACHER, STUDENT, LINEAR = "#D55E00", "#0072B2", "#767676"
VERDICT_COLOURS = {"replace": STUDENT, "inconclusive": "#4D4D4D", "keep_teacher": TEACHER}
FAINT, RULE, CARD = "#595959", "#D4D7DB", "#F5F6F8"

_UNKNOWN = "the teacher's are unknown: its scores were given"

TICK_STEPS = (0.05, 0.1, 0.25, 0.5)
SMALLEST_SPAN = 0.1
"""The quality axis shows at least ten points, so that a difference of a tenth of a point looks like one."""


@dataclass(frozen=True)
class _Row:
    """One mark: a dot with an interval, or a bar with a whisker from its end."""

    label: str
    colour: str
    value: float
    text: str
    interval: Interval | None = None
    marker: str = "o"
    hollow: bool = False
    seeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Group:
    heading: str
    rows: tuple[_Row, ...]
    hint: str = ""


def draw_dashboard(metrics: Metrics, path: Path, title: str) -> None:
    """Writes the dashboard as a PNG of 1920 x 1080 pixels and as an SVG; the same metrics give the same bytes.

    Args:
        metrics: What the evaluation found.
        path: Where the PNG goes, and beside it the SVG; each appears whole or not at all.
        title: The line at the top, such as the run's name.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    figure = dashboard_figure(metrics, title)
    canvas: Any = FigureCanvasAgg(figure)
    write_file(path, lambda temporary: canvas.print_png(temporary, metadata={"Software": None}))
    # Text as paths looks the same everywhere, and names made from a salt are the same every time.
    with drawn_with({"svg.fonttype": "path", "svg.hashsalt": "understudy"}):
        svg: Any = FigureCanvasSVG(figure)
        write_file(path.with_suffix(".svg"), lambda temporary: svg.print_svg(temporary, metadata={"Date": None}))


def dashboard_figure(metrics: Metrics, title: str) -> Figure:
    """The dashboard before it is a file; it belongs to no window and to no global state."""
    page = Canvas()
    _header(page, metrics, title)
    _quality(page, metrics, _card(page, 0, "QUALITY"))
    _size(page, metrics, _card(page, 1, "SIZE"))
    _speed(page, metrics, _card(page, 2, "SPEED AND EFFICIENCY"))
    return page.figure


def _header(page: Canvas, metrics: Metrics, title: str) -> None:
    verdict = metrics.verdict
    page.fitted(MARGIN, HEIGHT - 28, title, 15, WIDTH - 2 * MARGIN, weight="bold")
    word, below = verdict.code.replace("_", " ").upper(), f"distillation: {verdict.distillation}"
    badge = max(page.width(word, 10, "bold") + 16, page.width(below, 7.5))
    page.box(MARGIN, HEIGHT - 61, badge, 19, VERDICT_COLOURS[verdict.code])
    page.text(MARGIN + badge / 2, HEIGHT - 55.3, word, 10, weight="bold", color="white", ha="center")
    page.text(MARGIN + badge / 2, HEIGHT - 73, below, 7.5, color=INK, ha="center")
    left = MARGIN + badge + 12
    page.paragraph(left, HEIGHT - 58, verdict.text, 8.5, WIDTH - MARGIN - left, lines=4, centred=True, color=INK)


def _card(page: Canvas, column: int, name: str) -> float:
    """Draws an empty card; returns the left edge of what goes in."""
    left = MARGIN + column * (CARD_WIDTH + GAP)
    page.box(left, MARGIN - 2, CARD_WIDTH, CARD_TOP - MARGIN + 2, CARD, zorder=0)
    page.text(left + PADDING, CARD_TOP - 16, name, 7.5, weight="bold", color=FAINT)
    return left + PADDING


def _key_figure(page: Canvas, left: float, figure: str, captions: Sequence[str]) -> None:
    page.fitted(left, CARD_TOP - 43, figure, 22, INNER_WIDTH, weight="bold")
    for number, caption in enumerate(captions):
        page.fitted(left, CARD_TOP - 57 - number * 10.5, caption, 7.2, INNER_WIDTH)


def _quality(page: Canvas, metrics: Metrics, left: float) -> None:
    retention, gain, seeds = metrics.retention, metrics.gain, metrics.seeds
    over = "distillation" if seeds is None else f"distillation, {len(seeds.repeats)} seeds"
    _key_figure(
        page,
        left,
        formats.percent(retention.accuracy),
        (
            f"accuracy retention, 95 % interval {formats.percent_interval(retention.accuracy_ci95)}",
            f"F1 retention {formats.percent(retention.f1)} {formats.percent_interval(retention.f1_ci95)}",
            "distillation gain: not measured" if gain is None else f"{over}: {formats.gain(gain)}",
        ),
    )

    of_seeds = () if seeds is None else seeds.repeats
    by_seed = {
        "Student": tuple(each.accuracy for each in of_seeds),
        "No distillation": tuple(each.control_accuracy for each in of_seeds if each.control_accuracy is not None),
    }

    def rows(name: str, interval: Interval) -> tuple[_Row, ...]:
        def row(label: str, model: ModelMetrics, colour: str, **look: Any) -> _Row:
            value = getattr(model, name)
            dots = by_seed.get(label, ()) if name == "accuracy" else ()
            return _Row(label, colour, value, formats.score(value), seeds=dots, **look)

        whole = getattr(metrics.teacher, name)
        kept = (min(1.0, interval[0] * whole), min(1.0, interval[1] * whole))
        found = [row("Teacher", metrics.teacher, TEACHER, marker="s")]
        found.append(row("Student", metrics.student, STUDENT, interval=kept))
        if metrics.controls.no_distillation is not None:
            found.append(row("No distillation", metrics.controls.no_distillation, STUDENT, hollow=True))
        if metrics.controls.linear is not None:
            found.append(row("Linear", metrics.controls.linear, LINEAR, marker="D"))
        return tuple(found)

    groups = (
        _Group("Accuracy", rows("accuracy", retention.accuracy_ci95)),
        _Group("F1", rows("f1", retention.f1_ci95)),
    )
    low, high, step = _zoom(
        [end for group in groups for row in group.rows for end in (row.value, *(row.interval or ()), *row.seeds)]
    )
    start, room, lines = _rows(page, left, groups, reserve=15)
    bottom = min(y for y, _ in lines)

    def place(value: float) -> float:
        return start + room * (value - low) / (high - low)

    for number in range(round((high - low) / step) + 1):
        tick = low + number * step
        page.line((place(tick),) * 2, (bottom - 8, lines[0][0] + 6), RULE, 0.6, zorder=0.5)
        page.text(place(tick), bottom - 17, f"{tick:.2f}", 6.5, color=FAINT, ha="center")
    for y, row in lines:
        if row.marker == "s":
            below = y - (len(groups[0].rows) - 1) * (lines[0][0] - lines[1][0])
            page.line((place(row.value),) * 2, (below - 5, y), TEACHER, 0.9, linestyle=(0, (3, 2)), zorder=1)
        if row.interval is not None:
            ends = place(row.interval[0]), place(row.interval[1])
            page.line(ends, (y, y), row.colour, 1.3, zorder=2)
            for end in ends:
                page.line((end, end), (y - 3.5, y + 3.5), row.colour, 1.0, zorder=2)
        for value in row.seeds:
            page.line((place(value),) * 2, (y - 6, y - 6), row.colour, 0, marker="o", markersize=1.8, zorder=3)
        face = CARD if row.hollow else row.colour
        look = {"markerfacecolor": face, "markersize": 5, "markeredgewidth": 1.3, "zorder": 3}
        page.line((place(row.value),) * 2, (y, y), row.colour, 0, marker=row.marker, **look)
    _note(
        page,
        left,
        ("The axis starts at 0. " if low == 0 else "Zoomed axis: it does not start at 0. ")
        + "Dashed: the teacher. Line through the student: 95 % interval of its retention."
        + (" Small dots: each seed." if of_seeds else ""),
    )


def _size(page: Canvas, metrics: Metrics, left: float) -> None:
    teacher, student, linear = metrics.teacher, metrics.student, metrics.controls.linear
    if metrics.parameter_fraction is None:
        figure = formats.known(student.parameters, formats.count)
        captions: tuple[str, ...] = ("parameters of the student", _UNKNOWN)
    else:
        on_disk = formats.percent(student.bytes / teacher.bytes) if student.bytes and teacher.bytes else "-"
        figure = formats.percent(metrics.parameter_fraction)
        captions = ("of the teacher's parameters", f"{on_disk} of its size on disk")
    _key_figure(page, left, figure, captions)
    models = [("Teacher", TEACHER, teacher), ("Student", STUDENT, student)]
    if linear is not None:
        models.append(("Linear", LINEAR, linear))
    groups = (
        _Group(
            "Parameters",
            tuple(
                _Row(name, colour, m.parameters, formats.count(m.parameters))
                for name, colour, m in models
                if m.parameters is not None
            ),
        ),
        _Group(
            "Weights on disk",
            tuple(
                _Row(name, colour, m.bytes, formats.size(m.bytes)) for name, colour, m in models if m.bytes is not None
            ),
        ),
    )
    _bars(page, left, groups)
    _note(page, left, "Bars start at 0." + (" Linear: its non-zero coefficients." if linear is not None else ""))


def _speed(page: Canvas, metrics: Metrics, left: float) -> None:
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
    _key_figure(page, left, figure, captions)
    sides = (("Teacher", TEACHER, speed.teacher), ("Student", STUDENT, speed.student))
    models = [(name, colour, side) for name, colour, side in sides if side is not None]
    batches = (("Teacher", TEACHER, speed.batch128.teacher_ms), ("Student", STUDENT, speed.batch128.student_ms))

    def latency(name: str, colour: str, model: ModelSpeed) -> _Row:
        p50, p95 = model.latency_ms.p50, model.latency_ms.p95
        return _Row(name, colour, p50, formats.milliseconds(p50, p95), interval=(p50, p95))

    groups = (
        _Group(
            "Documents per second",
            tuple(
                _Row(name, colour, m.documents_per_second, formats.significant(m.documents_per_second))
                for name, colour, m in models
            ),
            hint="more is better",
        ),
        _Group("Latency of one text, p50 / p95", tuple(latency(*model) for model in models), hint="less is better"),
        _Group(
            "Batch of 128",
            tuple(
                _Row(name, colour, value, formats.milliseconds(value))
                for name, colour, value in batches
                if value is not None
            ),
            hint="less is better",
        ),
    )
    _bars(page, left, groups)
    _note(
        page,
        left,
        f"{formats.conditions(speed)}; batches padded to {speed.max_length} tokens, the rest at real lengths",
    )


def _rows(
    page: Canvas, left: float, groups: Sequence[_Group], reserve: float = 0.0
) -> tuple[float, float, list[tuple[float, _Row]]]:
    """Writes headings, labels and values; returns where marks start, their room, and every row with its height.

    Values stand in a column of their own, so that no mark can run into a figure.
    """
    top, bottom = CARD_TOP - 91, MARGIN + 24 + reserve
    pitch = (top - bottom) / (sum(len(group.rows) + 1 for group in groups) + 0.5 * (len(groups) - 1))
    every = [row for group in groups for row in group.rows]
    labels = max(page.width(row.label, 7.5) for row in every) + 9
    values = max(page.width(row.text, 7.5) for row in every) + 9
    lines = []
    y = top - 5
    for group in groups:
        page.text(left, y - 2.5, group.heading, 7.5, weight="bold")
        page.text(left + INNER_WIDTH, y - 2.5, group.hint, 6.5, color=FAINT, ha="right")
        for row in group.rows:
            y -= pitch
            page.text(left, y - 2.7, row.label, 7.5)
            page.text(left + INNER_WIDTH, y - 2.7, row.text, 7.5, ha="right")
            lines.append((y, row))
        y -= 1.5 * pitch
    return left + labels, INNER_WIDTH - labels - values, lines


def _bars(page: Canvas, left: float, groups: Sequence[_Group]) -> None:
    """Bars from zero, each group on a scale of its own that ends at its longest."""
    start, room, lines = _rows(page, left, groups)
    scales = []
    for group in groups:
        longest = max(end for row in group.rows for end in (row.value, *(row.interval or ())))
        scales += [room / (longest or 1.0)] * len(group.rows)
    for (y, row), scale in zip(lines, scales, strict=True):
        page.box(start, y - 3.5, row.value * scale, 7, row.colour, linewidth=0.8)
        if row.interval is not None:
            end = start + row.interval[1] * scale
            page.line((start + row.interval[0] * scale, end), (y, y), row.colour, 1.0)
            page.line((end, end), (y - 2.5, y + 2.5), row.colour, 1.0)


def _note(page: Canvas, left: float, text: str) -> None:
    page.paragraph(left, MARGIN + 15, text, 6.5, INNER_WIDTH, lines=2, centred=False, color=FAINT)


def _zoom(values: Sequence[float]) -> tuple[float, float, float]:
    """Both ends of an axis for scores, and the step of its ticks: whole steps, at most five of them."""
    low, high = max(0.0, min(values)), min(1.0, max(values))
    for step in TICK_STEPS:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= 4:
            break
    while (last - first) * step < SMALLEST_SPAN - 1e-9:
        above = first == 0 or (last * step < 1 and last * step - high < low - first * step)
        first, last = (first, last + 1) if above else (first - 1, last)
    return first * step, last * step, step
