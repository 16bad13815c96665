"""A page to draw on, whose texts are measured before they are set, so that none leaves the room it has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Everything is laid out in points on a page of 16:9; at 200 dots per inch it is 1920 x 1080 pixels.
DPI = 200
WIDTH, HEIGHT = 691.2, 388.8
INK = "#1A1A1A"
FONT = "DejaVu Sans"
"""Comes with matplotlib, so that the same metrics give the same picture everywhere."""

_SETTINGS = threading.RLock()


@contextmanager
def drawn_with(settings: dict[str, Any]) -> Iterator[None]:
    """Matplotlib's defaults and these settings, not the user's; they belong to the process, so one at a time."""
    import matplotlib.style

    with _SETTINGS, matplotlib.style.context(["default", settings]):
        yield


class Canvas:
    """A figure with one axes that spans it, in points from the lower left.

    What it draws goes by its own settings and fonts, not by the user's matplotlib configuration.
    """

    def __init__(self) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=DPI, facecolor="white")
        self.figure.set_layout_engine("none")
        canvas: Any = FigureCanvasAgg(self.figure)
        self.renderer = canvas.get_renderer()
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
        self.axes.set_axis_off()

    def width(self, text: str, points: float, weight: str = "normal") -> float:
        from matplotlib.font_manager import FontProperties

        font = FontProperties(family=FONT, size=points, weight=weight)
        width: float = self.renderer.get_text_width_height_descent(text, font, ismath=False)[0]
        return width * 72 / DPI

    def text(self, x: float, y: float, text: str, points: float, *, weight: str = "normal", **style: Any) -> None:
        """One line, not read as TeX; `y` is its baseline unless `va` says otherwise."""
        style = {"color": INK, "va": "baseline", **style}
        self.axes.text(x, y, text, fontsize=points, family=FONT, weight=weight, parse_math=False, usetex=False, **style)

    def fit(self, text: str, points: float, room: float, weight: str = "normal") -> tuple[str, float]:
        """The text and the size at which it fits: down to 70 % of `points`, then shortened."""
        text = " ".join(text.split())
        for smaller in (points * share / 100 for share in range(100, 65, -5)):
            if self.width(text, smaller, weight) <= room:
                return text, smaller
        while text and self.width(f"{text}…", smaller, weight) > room:
            text = text[:-1].rstrip()
        return f"{text}…", smaller

    def fitted(self, x: float, y: float, text: str, points: float, room: float, weight: str = "normal") -> None:
        self.text(x, y, *self.fit(text, points, room, weight), weight=weight)

    def wrap(self, text: str, points: float, room: float) -> list[str]:
        """Breaks at spaces, and inside a word only where the word alone is too long for a line."""
        lines = [""]
        for word in text.split():
            joined = f"{lines[-1]} {word}".lstrip()
            if self.width(joined, points) <= room:
                lines[-1] = joined
                continue
            if lines[-1]:
                lines.append("")
            for letter in word:
                if self.width(lines[-1] + letter, points) > room:
                    lines.append("")
                lines[-1] += letter
        return lines

    def paragraph(
        self, x: float, y: float, text: str, points: float, room: float, lines: int, centred: bool, color: str
    ) -> None:
        """Wrapped lines around the height `y`, or from there down; smaller, then cut, if more than `lines`."""
        pitch = points * 1.35
        for smaller in (points, points * 0.9, points * 0.8):
            wrapped = self.wrap(text, smaller, room)
            if len(wrapped) <= lines:
                break
        else:
            while self.width(f"{wrapped[lines - 1]}…", smaller) > room:
                wrapped[lines - 1] = wrapped[lines - 1][:-1].rstrip()
            wrapped = [*wrapped[: lines - 1], f"{wrapped[lines - 1]}…"]
        for number, line in enumerate(wrapped):
            above = (len(wrapped) - 1) / 2 if centred else 0
            self.text(x, y + (above - number) * pitch - 0.36 * smaller, line, smaller, color=color)

    def line(self, xs: tuple[float, float], ys: tuple[float, float], color: str, width: float, **style: Any) -> None:
        style = {"linestyle": "-", "marker": "", "solid_capstyle": "butt", **style}
        self.axes.plot(xs, ys, color=color, linewidth=width, **style)

    def box(self, x: float, y: float, width: float, height: float, color: str, **style: Any) -> None:
        from matplotlib.patches import Rectangle

        style = {"linewidth": 0.0, **style}
        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color, edgecolor=color, **style))
