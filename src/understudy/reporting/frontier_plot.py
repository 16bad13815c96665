"""The frontier as a chart: accuracy against documents per second and megabytes, and what the linear control beats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.evaluation.tradeoff import Point, Tradeoff
from understudy.reporting import formats
from understudy.reporting.canvas import (
    DPI,
    FAINT,
    FONT,
    HEIGHT,
    INK,
    LINEAR,
    RULE,
    STUDENT,
    TEACHER,
    WIDTH,
    Canvas,
    Font,
    TextBox,
    write_png,
)
from understudy.reporting.figures import beaten_by_linear

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Reading = Callable[[Point], float]

_SHADE = "#ECEEF1"
_LABEL = Font(7.0)
_LABEL_HEIGHT = 9.5
_TOP, _BOTTOM, _SIDE, _BETWEEN = 78.0, 62.0, 44.0, 30.0
_SMALLEST_SPAN = 0.02
"""The accuracy axis spans at least this much."""


def draw_frontier(tradeoff: Tradeoff, path: Path, title: str) -> None:
    """Writes the plot as a PNG of 1920 x 1080 pixels; the same figures give the same bytes.

    Args:
        tradeoff: What was measured.
        path: The PNG, which is written whole or not at all.
        title: The line at the top, such as the run's name.
    """
    write_png(frontier_figure(tradeoff, title), path)


def frontier_figure(tradeoff: Tradeoff, title: str) -> Figure:
    """The plot as a figure; it has no window and changes no global state."""
    page = Canvas()
    room = WIDTH - 2 * _SIDE
    page.fitted(_SIDE, HEIGHT - 26, title, Font(15, "bold"), room)
    best, *beaten = _findings(tradeoff)
    page.fitted(_SIDE, HEIGHT - 43, best, Font(8.5), room)
    for line in beaten:
        page.paragraph(_SIDE, HEIGHT - 52, line, Font(8.5), TextBox(room, lines=2))
    width = (WIDTH - 2 * _SIDE - _BETWEEN) / 2
    low, high = _span([end for point in tradeoff.points for end in point.accuracy_ci95])
    panels: tuple[tuple[str, Reading, list[Point], bool], ...] = (
        ("Documents per second (more is better)", lambda point: point.rate, tradeoff.by_speed(), True),
        ("Megabytes on disk (less is better)", lambda point: point.size / 1e6, tradeoff.by_size(), False),
    )
    for column, (name, read, frontier, more_is_better) in enumerate(panels):
        left = _SIDE + column * (width + _BETWEEN)
        size = (width / WIDTH, 1 - (_TOP + _BOTTOM) / HEIGHT)
        axes = page.figure.add_axes((left / WIDTH, _BOTTOM / HEIGHT, *size), facecolor="white")
        axes.set(xscale="log", ylim=(low, high))
        placed = [point for point in tradeoff.points if not math.isnan(read(point))]
        _scale(axes, [read(point) for point in placed])
        _frame(axes, name, labelled=column == 0)
        if tradeoff.linear is not None:
            _shade(axes, read(tradeoff.linear), tradeoff.linear.metrics.accuracy, low, more_is_better)
        _steps(axes, [(read(point), point.metrics.accuracy) for point in frontier], more_is_better)
        for point in tradeoff.points:
            if point in placed:
                _mark(axes, point, read)
            else:
                _level(axes, point)
        _names(page, axes, placed, read, 0.45 * width)
    below = []
    if tradeoff.linear is not None:
        below.append("Shaded: not more accurate than the linear control, and slower (left) or larger (right).")
    if any(point.speed is None for point in tradeoff.points):
        below.append("Dashed: the teacher; its speed and size are unknown.")
    notes = [
        "Line: the students that no other student beats in both figures. Bars: 95 % intervals of the accuracy. "
        f"{tradeoff.texts:,} test texts.",
        *([" ".join(below)] if below else []),
    ]
    for number, note in enumerate(reversed(notes)):
        page.text(_SIDE, 14 + 8.2 * number, *page.fit(note, Font(7, colour=FAINT), room))
    return page.figure


def _findings(tradeoff: Tradeoff) -> list[str]:
    """What the plot shows: the best student, and the students that the linear control beats."""
    best = max(tradeoff.students, key=lambda point: (point.metrics.accuracy, point.rate))
    teacher = next(point for point in tradeoff.points if point.role == "teacher")
    lines = [
        f"Most accurate student: {best.name} with {formats.score(best.metrics.accuracy)} at "
        f"{formats.significant(best.rate)} documents/s and {formats.known(best.metrics.bytes, formats.size)}; teacher "
        f"{formats.score(teacher.metrics.accuracy)}"
        + (f" at {formats.significant(teacher.rate)}." if teacher.speed is not None else ", speed unknown.")
    ]
    beaten = beaten_by_linear(tradeoff)
    return lines if beaten is None else [*lines, beaten]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = max(high - low, _SMALLEST_SPAN)
    return max(0.0, low - 0.08 * room), min(1.0, high + 0.08 * room)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Makes the axis logarithmic, with room for labels at both ends and plain numbers at its ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = math.log10(min(values)), math.log10(max(values))
    room = max(high - low, 0.5)
    axes.set_xlim(10 ** (low - 0.16 * room), 10 ** (high + 0.16 * room))
    subs = (1.0,) if room > 1.5 else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formats.significant(value, 1)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _frame(axes: Axes, name: str, labelled: bool) -> None:
    axes.set_xlabel(name, fontsize=8, family=FONT, color=INK)
    if labelled:
        axes.set_ylabel("Accuracy", fontsize=8, family=FONT, color=INK)
    axes.grid(True, color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7, colors=FAINT, which="both")
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_fontfamily(FONT)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)


def _shade(axes: Axes, value: float, accuracy: float, low: float, more_is_better: bool) -> None:
    from matplotlib.patches import Rectangle

    start, end = axes.get_xlim()
    left, right = (start, value) if more_is_better else (value, end)
    axes.add_patch(Rectangle((left, low), right - left, accuracy - low, facecolor=_SHADE, edgecolor="none", zorder=0))


def _steps(axes: Axes, points: list[tuple[float, float]], more_is_better: bool) -> None:
    """Draws the frontier as a staircase: between two students the next one that is good enough counts."""
    xs, ys = zip(*sorted(points), strict=True)
    axes.step(xs, ys, where="pre" if more_is_better else "post", color=STUDENT, linewidth=1.0, alpha=0.6, zorder=1)


def _mark(axes: Axes, point: Point, read: Reading) -> None:
    colour, marker = {"teacher": (TEACHER, "s"), "student": (STUDENT, "o")}.get(point.role, (LINEAR, "D"))
    hollow = point.role == "control" and point.name != "linear"
    if hollow:
        colour, marker = STUDENT, "o"
    x, y = read(point), point.metrics.accuracy
    axes.plot((x, x), point.accuracy_ci95, color=colour, linewidth=1.0, zorder=2)
    face = "white" if hollow else colour
    axes.plot(x, y, marker, color=colour, markerfacecolor=face, markersize=5, markeredgewidth=1.2, zorder=3)


def _level(axes: Axes, point: Point) -> None:
    """Draws a model whose accuracy alone is known."""
    axes.axhline(point.metrics.accuracy, color=TEACHER, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)


def _names(page: Canvas, axes: Axes, points: Sequence[Point], read: Reading, room: float) -> None:
    """Writes each name next to its mark, on the side with more room, and moves it up if it covers another."""
    to_pixels, to_data = axes.transData, axes.transData.inverted()
    pitch, gap = _LABEL_HEIGHT * DPI / 72, 6 * DPI / 72
    placed = []
    middle = sum(to_pixels.transform((limit, 0))[0] for limit in axes.get_xlim()) / 2
    for point in points:
        x, y = to_pixels.transform((read(point), point.metrics.accuracy))
        placed.append((float(y), float(x), point))
    for on_the_right in (False, True):
        below = -math.inf
        for y, x, point in sorted((each for each in placed if (each[1] > middle) == on_the_right), key=lambda e: e[:2]):
            height = max(y, below + pitch)
            below = height
            left, up = to_data.transform((x - gap if on_the_right else x + gap, height))
            label, font = page.fit(point.label, _LABEL, room)
            axes.text(
                left,
                up,
                label,
                fontsize=font.points,
                family=FONT,
                color=INK,
                ha="right" if on_the_right else "left",
                va="center",
                parse_math=False,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.6},
                zorder=4,
            )
