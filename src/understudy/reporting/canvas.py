"""A page to draw on. It measures every text before it draws it, so that no text leaves its space."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.storage.files import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# All lengths are in points, on a 16:9 page. At 200 dots per inch the page has 1920 x 1080 pixels.
DPI = 200
WIDTH, HEIGHT = 691.2, 388.8
MARGIN = 16.0
FONT = "DejaVu Sans"
"""Comes with matplotlib, so the same metrics give the same picture on every machine."""

# The models have colours of Okabe and Ito's palette.
TEACHER, STUDENT, LINEAR = "#D55E00", "#0072B2", "#767676"
INK, FAINT, RULE, PANEL = "#1A1A1A", "#595959", "#D4D7DB", "#F5F6F8"

_SETTINGS = threading.RLock()


@dataclass(frozen=True)
class Font:
    """How letters look.

    Attributes:
        points: Their size.
        weight: `normal` or `bold`.
        colour: Their colour.
    """

    points: float
    weight: str = "normal"
    colour: str = INK

    def scaled(self, share: float) -> Font:
        return replace(self, points=self.points * share)


NOTE = Font(6.5, colour=FAINT)
"""Ticks, hints and the notes at the bottom."""


@contextmanager
def drawn_with(settings: dict[str, Any]) -> Iterator[None]:
    """Applies these settings on top of matplotlib's defaults, and ignores the user's configuration.

    Settings belong to the whole process, so only one thread at a time gets in.
    """
    import matplotlib.style

    with _SETTINGS, matplotlib.style.context(["default", settings]):
        yield


def write_png(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG, whole or not at all; the same figure gives the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    write_file(path, lambda temporary: canvas.print_png(temporary, metadata={"Software": None}))


@dataclass(frozen=True)
class TextBox:
    """The room for a paragraph.

    Attributes:
        width: In points.
        lines: How many there may be.
        centred: Whether the paragraph's y is its middle.
    """

    width: float
    lines: int
    centred: bool = False


class Canvas:
    """A figure whose only axes span it, in points from the lower left.

    It draws with its own settings and fonts, not with the user's matplotlib configuration.
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

    def width(self, text: str, font: Font) -> float:
        from matplotlib.font_manager import FontProperties

        properties = FontProperties(family=FONT, size=font.points, weight=font.weight)
        width: float = self.renderer.get_text_width_height_descent(text, properties, ismath=False)[0]
        return width * 72 / DPI

    def text(self, x: float, y: float, text: str, font: Font, **style: Any) -> None:
        """Draws one line, without TeX; `y` is its baseline unless `va` says otherwise."""
        look = {"fontsize": font.points, "weight": font.weight, "color": font.colour, "va": "baseline", **style}
        self.axes.text(x, y, text, family=FONT, parse_math=False, usetex=False, **look)

    def fit(self, text: str, font: Font, room: float) -> tuple[str, Font]:
        """Makes a text fit: first down to 70 % of its font's size, then shortened."""
        text = " ".join(text.split())
        for share in range(100, 65, -5):
            smaller = font.scaled(share / 100)
            if self.width(text, smaller) <= room:
                return text, smaller
        while text and self.width(f"{text}…", smaller) > room:
            text = text[:-1].rstrip()
        return f"{text}…", smaller

    def fitted(self, x: float, y: float, text: str, font: Font, room: float) -> None:
        self.text(x, y, *self.fit(text, font, room))

    def wrap(self, text: str, font: Font, room: float) -> list[str]:
        """Breaks lines at spaces, and breaks a word only if it is longer than a line."""
        lines = [""]
        for word in text.split():
            joined = f"{lines[-1]} {word}".lstrip()
            if self.width(joined, font) <= room:
                lines[-1] = joined
                continue
            if lines[-1]:
                lines.append("")
            for letter in word:
                if self.width(lines[-1] + letter, font) > room:
                    lines.append("")
                lines[-1] += letter
        return lines

    def paragraph(self, x: float, y: float, text: str, font: Font, block: TextBox) -> None:
        """Wraps a text.

        Args:
            x: The left edge.
            y: The height of the first line, or of the middle.
            text: A text of too many lines becomes smaller, then is cut.
            font: Its size is the largest that is used.
            block: The room for it.
        """
        room, lines = block.width, block.lines
        pitch = font.points * 1.35
        for smaller in map(font.scaled, (1, 0.9, 0.8)):
            wrapped = self.wrap(text, smaller, room)
            if len(wrapped) <= lines:
                break
        else:
            while self.width(f"{wrapped[lines - 1]}…", smaller) > room:
                wrapped[lines - 1] = wrapped[lines - 1][:-1].rstrip()
            wrapped = [*wrapped[: lines - 1], f"{wrapped[lines - 1]}…"]
        for number, line in enumerate(wrapped):
            above = (len(wrapped) - 1) / 2 if block.centred else 0
            self.text(x, y + (above - number) * pitch - 0.36 * smaller.points, line, smaller)

    def line(self, xs: tuple[float, float], ys: tuple[float, float], colour: str, width: float, **style: Any) -> None:
        style = {"linestyle": "-", "marker": "", "solid_capstyle": "butt", **style}
        self.axes.plot(xs, ys, color=colour, linewidth=width, **style)

    def box(self, x: float, y: float, width: float, height: float, colour: str, **style: Any) -> None:
        from matplotlib.patches import Rectangle

        style = {"linewidth": 0.0, **style}
        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor=colour, **style))
