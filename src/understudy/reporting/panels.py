"""A panel of the dashboard: its frame, key figure, rows of marks, bars and note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from understudy.evaluation.results import Interval
from understudy.reporting.canvas import FAINT, HEIGHT, MARGIN, NOTE, PANEL, WIDTH, Canvas, Font, TextBox

GAP, PADDING = 10.0, 11.0
PANEL_WIDTH = (WIDTH - 2 * MARGIN - 2 * GAP) / 3
PANEL_TOP = HEIGHT - 92.0
INNER_WIDTH = PANEL_WIDTH - 2 * PADDING

_LABEL, _HEADING = Font(7.5), Font(7.5, "bold")


@dataclass(frozen=True)
class PanelRow:
    """One model's mark: a dot with an interval, or a bar whose whisker starts at its end.

    Attributes:
        label: The model.
        colour: Of the mark.
        value: Where the dot is, or how long the bar is.
        text: The value in words.
        interval: Both ends of the interval or whisker.
        marker: The dot's shape, as matplotlib names it.
        hollow: Whether the dot is hollow.
        seeds: Values of single seeds, shown as small dots.
    """

    label: str
    colour: str
    value: float
    text: str
    interval: Interval | None = None
    marker: str = "o"
    hollow: bool = False
    seeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Group:
    """Rows of one figure, with a heading at the left and a hint at the right."""

    heading: str
    rows: tuple[PanelRow, ...]
    hint: str = ""


@dataclass(frozen=True)
class Marks:
    """Space for the marks of some rows.

    Attributes:
        left: Where the marks start.
        room: How wide the widest may be.
        rows: Every row and its height on the page, from the top.
    """

    left: float
    room: float
    rows: list[tuple[float, PanelRow]]


class Panel:
    """One of the dashboard's three panels."""

    def __init__(self, page: Canvas, column: int, name: str) -> None:
        edge = MARGIN + column * (PANEL_WIDTH + GAP)
        self.page, self.left = page, edge + PADDING
        page.box(edge, MARGIN - 2, PANEL_WIDTH, PANEL_TOP - MARGIN + 2, PANEL, zorder=0)
        page.text(self.left, PANEL_TOP - 16, name, Font(7.5, "bold", FAINT))

    def key_figure(self, figure: str, captions: Sequence[str]) -> None:
        self.page.fitted(self.left, PANEL_TOP - 43, figure, Font(22, "bold"), INNER_WIDTH)
        for number, caption in enumerate(captions):
            self.page.fitted(self.left, PANEL_TOP - 57 - number * 10.5, caption, Font(7.2), INNER_WIDTH)

    def rows(self, groups: Sequence[Group], reserve: float = 0.0) -> Marks:
        """Writes headings, labels and values, and leaves the space between them to the marks.

        The values have their own column, so no mark can touch a value.

        Args:
            groups: From the top.
            reserve: Height to leave free below them.
        """
        page, right = self.page, self.left + INNER_WIDTH
        top, bottom = PANEL_TOP - 91, MARGIN + 24 + reserve
        pitch = (top - bottom) / (sum(len(group.rows) + 1 for group in groups) + 0.5 * (len(groups) - 1))
        every = [row for group in groups for row in group.rows]
        labels = max(page.width(row.label, _LABEL) for row in every) + 9
        values = max(page.width(row.text, _LABEL) for row in every) + 9
        placed = []
        y = top - 5
        for group in groups:
            page.text(self.left, y - 2.5, group.heading, _HEADING)
            page.text(right, y - 2.5, group.hint, NOTE, ha="right")
            for row in group.rows:
                y -= pitch
                page.text(self.left, y - 2.7, row.label, _LABEL)
                page.text(right, y - 2.7, row.text, _LABEL, ha="right")
                placed.append((y, row))
            y -= 1.5 * pitch
        return Marks(self.left + labels, INNER_WIDTH - labels - values, placed)

    def bars(self, groups: Sequence[Group]) -> None:
        """Draws bars from zero; each group has its own scale, which ends at its longest bar."""
        marks = self.rows(groups)
        scales: list[float] = []
        for group in groups:
            longest = max(end for row in group.rows for end in (row.value, *(row.interval or ())))
            scales += [marks.room / (longest or 1.0)] * len(group.rows)
        for (y, row), scale in zip(marks.rows, scales, strict=True):
            self.page.box(marks.left, y - 3.5, row.value * scale, 7, row.colour, linewidth=0.8)
            if row.interval is not None:
                end = marks.left + row.interval[1] * scale
                self.page.line((marks.left + row.interval[0] * scale, end), (y, y), row.colour, 1.0)
                self.page.line((end, end), (y - 2.5, y + 2.5), row.colour, 1.0)

    def note(self, text: str) -> None:
        self.page.paragraph(self.left, MARGIN + 15, text, NOTE, TextBox(INNER_WIDTH, lines=2))
