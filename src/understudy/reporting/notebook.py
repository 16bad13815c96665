"""Results in notebooks: the terminal's tables as HTML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from understudy.evaluation.results import Metrics
from understudy.evaluation.tradeoff import Tradeoff
from understudy.reporting.terminal import findings_table, metrics_table, tradeoff_note, tradeoff_table
from understudy.runtime import markup
from understudy.runtime.markup import Cell

if TYPE_CHECKING:
    from rich.table import Table


def metrics_html(metrics: Metrics) -> str:
    """The figures of all models, then what they mean, and at the end the verdict."""
    return _html(metrics_table(metrics, intervals=True)) + _html(findings_table(metrics))


Metrics.show_in_notebooks(metrics_html)


def run_html(directory: Path, metrics: Metrics, dashboard: Path) -> str:
    """A finished run: figures, verdict, and the dashboard if it exists."""
    shown = markup.title(str(directory)) + metrics_html(metrics)
    return shown + (markup.picture(dashboard, f"dashboard of {directory}") if dashboard.is_file() else "")


def frontier_html(directory: Path, tradeoff: Tradeoff, plot: Path) -> str:
    """The frontier's models, and their plot if it exists."""
    note = markup.table([[Cell(tradeoff_note(tradeoff))]])
    shown = markup.title(str(directory)) + _html(tradeoff_table(tradeoff)) + note
    return shown + (markup.picture(plot, f"frontier of {directory}") if plot.is_file() else "")


def _html(table: Table) -> str:
    columns = list(zip(*(column.cells for column in table.columns), strict=True))
    rows = [
        [
            Cell(
                str(cell),
                bold="bold" in (str(style) for style in (column.style, row.style, getattr(cell, "style", ""))),
                right=column.justify == "right",
            )
            for cell, column in zip(cells, table.columns, strict=True)
        ]
        for cells, row in zip(columns, table.rows, strict=True)
        if any(map(str, cells))
    ]
    head = [Cell(str(column.header), right=column.justify == "right") for column in table.columns]
    return markup.table(rows, head if table.show_header else ())
