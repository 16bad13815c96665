"""Drawing for a page: matplotlib's SVG, in colours that the page decides, for a light screen, a dark one and paper."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from understudy.report.canvas import FONT, drawn_with

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What matplotlib draws with, and what the page puts in its place: colours for a light screen, a dark one and paper.
INK, FAINT, RULE = "#010101", "#020202", "#030303"
COLOURS = {"teacher": "#040404", "student": "#050505", "no_distillation": "#060606", "linear": "#070707"}
_NAMES = {INK: "ink", FAINT: "faint", RULE: "rule", **{value: name for name, value in COLOURS.items()}}
_VARIABLES = {colour: f"var(--{name.replace('_', '-')})" for colour, name in _NAMES.items()}
_COLOUR = re.compile("|".join(_VARIABLES))

# Beginnings of names that matplotlib gives to parts of every figure, and that nothing refers to.
_SHARED = re.compile(r' id="(?:figure|axes|patch|text|line2d|matplotlib\.axis|xtick|ytick|legend|(?!C\d)[A-Z])\w*"')


@contextmanager
def drawing(width: float, height: float) -> Iterator[tuple[Axes, Any]]:
    """Axes on a page of these inches, and what turns the page into an `<svg>` element."""
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
    with drawn_with(settings), warnings.catch_warnings():
        # The page's own fonts write what matplotlib's cannot.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)

        def finish() -> str:
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
            return _for_the_page(buffer.getvalue())

        yield axes, finish


def _for_the_page(svg: str) -> str:
    """The element alone, in the page's colours, without names that several charts would share."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = _SHARED.sub("", svg)
    # Within styles alone: a class may be called like a colour.
    svg = re.sub(r' style="[^"]*"', lambda style: _COLOUR.sub(lambda colour: _VARIABLES[colour[0]], style[0]), svg)
    return svg.replace("<svg ", '<svg role="img" aria-hidden="true" ', 1)
