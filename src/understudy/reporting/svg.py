"""SVG from matplotlib whose colours the page chooses: for light screens, dark screens and paper."""

from __future__ import annotations

import io
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from understudy.reporting.canvas import FONT, drawn_with

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# Colours that matplotlib draws with. The page replaces them with CSS variables.
INK, FAINT, RULE = "#010101", "#020202", "#030303"
COLOURS = {
    "teacher": "#040404",
    "student": "#050505",
    "no_distillation": "#060606",
    "linear": "#070707",
    "frozen": "#080808",
    "static": "#090909",
}
_NAMES = {INK: "ink", FAINT: "faint", RULE: "rule", **{value: name for name, value in COLOURS.items()}}
_VARIABLES = {colour: f"var(--{name.replace('_', '-')})" for colour, name in _NAMES.items()}
_COLOUR = re.compile("|".join(_VARIABLES))

# Ids that matplotlib gives to parts of every figure and that nothing refers to.
_SHARED = re.compile(r' id="(?:figure|axes|patch|text|line2d|matplotlib\.axis|xtick|ytick|legend|(?!C\d)[A-Z])\w*"')

_TITLE = "title: "
"""The prefix of ids that hold a tooltip."""


@contextmanager
def drawing(width: float, height: float) -> Iterator[tuple[Axes, Any]]:
    """Yields axes on a page of this size in inches, and a function that returns the page as an `<svg>` element."""
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "understudy",
        "font.family": FONT,
        "font.size": 9,
        "text.parse_math": False,
        "text.usetex": False,
        "text.color": INK,
        "axes.edgecolor": RULE,
        "axes.labelcolor": INK,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with drawn_with(settings), _any_letter():
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)

        def finish() -> str:
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
            return _for_the_page(buffer.getvalue())

        yield axes, finish


def text_width(text: str, points: float) -> float:
    """Width of a line in inches, in matplotlib's font.

    A letter that this font lacks counts as wider than it is in the page's font.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    with _any_letter():
        font = FontProperties(family=FONT, size=points)
        width: float = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return width / 72


def shortened(text: str, points: float, room: float) -> str:
    """The text on one line of at most `room` inches.

    A longer text keeps its beginning and its end, because names often differ there.
    """
    text = " ".join(text.split())
    if text_width(text, points) <= room:
        return text

    def cut(letters: int) -> str:
        return f"{text[: (letters + 1) // 2]}…{text[len(text) - letters // 2 :]}"

    return cut(max(0, bisect_right(range(len(text)), room, key=lambda letters: text_width(cut(letters), points)) - 1))


def name_ticks(axis: Axis, names: Sequence[str], points: float, room: float, rotation: float = 0) -> None:
    """Writes a name at every whole number of an axis.

    Args:
        axis: The x-axis or the y-axis.
        names: The first is for 0.
        points: Size of the letters.
        room: Inches per name.
        rotation: Degrees; a rotated name ends at its number.
    """
    look: dict[str, Any] = {"ha": "right", "rotation_mode": "anchor", "rotation": rotation} if rotation else {}
    look |= {"va": "center"} if rotation == 90 else {}
    axis.set_ticks(range(len(names)), [shortened(name, points, room) for name in names], fontsize=points, **look)
    for label, name in zip(axis.get_ticklabels(), names, strict=True):
        if "…" in label.get_text():
            explain(label, name)


def explain(part: Artist, words: str) -> None:
    """Sets the tooltip of a part."""
    part.set_gid(_TITLE + words)


@contextmanager
def _any_letter() -> Iterator[None]:
    """Ignores missing letters, because the page has other fonts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s)Glyph .* missing from font")
        yield


def _for_the_page(svg: str) -> str:
    """Keeps the element, with the page's colours, fewer bytes, and no ids that several charts would share."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(rf"<g id=([\"']){_TITLE}(.*?)\1>", r"<g><title>\2</title>", _SHARED.sub("", svg), flags=re.DOTALL)
    svg = re.sub(r"<path [^>]*>", lambda path: re.sub(r"\s+", " ", re.sub(r"(\.\d\d)\d+", r"\1", path[0])), svg)
    svg = re.sub(r">\s+<", "><", svg)
    # Only within styles, because a class name may look like a colour.
    svg = re.sub(r' style="[^"]*"', lambda style: _COLOUR.sub(lambda colour: _VARIABLES[colour[0]], style[0]), svg)
    return svg.replace("<svg ", '<svg role="img" aria-hidden="true" ', 1)
