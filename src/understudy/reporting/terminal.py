"""The evidence for the terminal: one table, the intervals, the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.evaluation.results import Metrics
from understudy.evaluation.tradeoff import Tradeoff
from understudy.reporting import formats
from understudy.reporting.comparison import RunComparison, quality_table, size_table
from understudy.reporting.figures import NOT_MEASURED, comparison, findings

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from understudy.exporting.gate import Comparison
    from understudy.inference.exported import ExportManifest

PLAIN_WIDTH = 100
"""Columns where there is no terminal to ask, at the least."""

PLAIN_TRADEOFF_WIDTH = 120
"""Likewise for a frontier, whose rows are longer."""

PLAIN_COMPARISON_WIDTH = 180
"""Likewise for several runs, whose intervals stand in the row."""

WIDTH_WITH_INTERVALS = 96
"""Below this the table leaves out the intervals, which the lines under it repeat."""


def show_metrics(metrics: Metrics, console: Console, title: str) -> None:
    """Prints what `metrics.json` says, in words and figures that need neither colours nor a terminal.

    Args:
        metrics: What the evaluation found.
        console: Where to print. One that is no terminal gets plain text, `PLAIN_WIDTH` columns at the least.
        title: The line above the table, such as the run's name.
    """
    from rich.console import Group
    from rich.text import Text

    table = metrics_table(metrics, intervals=width_of(console, PLAIN_WIDTH) >= WIDTH_WITH_INTERVALS)
    print_wide(Group(Text(title, style="bold"), table, findings_table(metrics)), console, PLAIN_WIDTH, end="")


def show_comparison(found: RunComparison, console: Console) -> None:
    """Prints several runs beside each other.

    Args:
        found: What was compared.
        console: Where to print, as in `show_metrics`.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    tables = []
    for content in (quality_table(found), size_table(found)):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in content.headings:
            table.add_column(name, justify="left" if name == "run" else "right", overflow="fold")
        for row in content.rows:
            table.add_row(*map(Text, row))
        tables.append(table)
    print_wide(Group(*tables), console, PLAIN_COMPARISON_WIDTH)


def width_of(console: Console, plain_width: int) -> int:
    """Columns of a terminal; elsewhere `plain_width` at the least."""
    return console.width if console.is_terminal else max(console.width, plain_width)


def print_wide(content: RenderableType, console: Console, plain_width: int, end: str = "\n") -> None:
    """Prints in as many columns as `width_of` says, so that a log or a pipe does not break the lines."""
    from rich.segment import Segments

    if not console.is_terminal:
        options = console.options.update(width=width_of(console, plain_width))
        content = Segments(console.render(content, options))
    console.print(content, end=end, crop=False)


def show_tradeoff(tradeoff: Tradeoff, console: Console, title: str) -> None:
    """Prints a frontier, the most accurate model first; `*` marks the students that no other beats in both.

    Args:
        tradeoff: What was measured.
        console: Where to print, as in `show_metrics`.
        title: The line above the table.
    """
    from rich.console import Group
    from rich.text import Text

    content = Group(Text(title, style="bold"), tradeoff_table(tradeoff), Text(tradeoff_note(tradeoff)))
    print_wide(content, console, PLAIN_TRADEOFF_WIDTH)


def tradeoff_table(tradeoff: Tradeoff) -> Table:
    """A row a model, the most accurate first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("", overflow="fold")
    for name in ("accuracy", "95 %", "size", "documents / s", "latency p50", "against linear"):
        table.add_column(name, justify="right", overflow="fold")
    fast, small = ({point.name for point in found} for found in (tradeoff.by_speed(), tradeoff.by_size()))
    for point in sorted(tradeoff.points, key=lambda point: -point.metrics.accuracy):
        is_student = point.role == "student"
        low, high = point.accuracy_ci95
        against = NOT_MEASURED
        if point is not tradeoff.linear and point.gain is not None and point.p_value is not None:
            against = f"{formats.points(point.gain)}, {formats.p_value(point.p_value)}"
        cells = (
            point.label,
            formats.score(point.metrics.accuracy),
            f"[{low:.4f}, {high:.4f}]",
            formats.known(point.metrics.bytes, formats.size) + (" *" if is_student and point.name in small else ""),
            formats.known(point.rate, formats.significant) + (" *" if is_student and point.name in fast else ""),
            formats.known(point.latency, formats.milliseconds),
            against,
        )
        table.add_row(*map(Text, cells), style="bold" if is_student else "")
    return table


def tradeoff_note(tradeoff: Tradeoff) -> str:
    """What the table's marks mean, and whom the linear control beats."""
    beaten = ", ".join(point.name for point in tradeoff.dominated()) or "no student"
    note = "* no other student is as accurate and as fast, or as small."
    if tradeoff.linear is not None:
        note += f" The linear control is faster and no less accurate than: {beaten}."
    return note


def show_export(manifest: ExportManifest, comparison: Comparison | None, console: Console, title: str) -> None:
    """Prints how an export compares with the model that it was made of.

    Args:
        manifest: What it is.
        comparison: Figures; None where there were no texts to compare on.
        console: Where to print.
        title: The line above.
    """
    from rich.text import Text

    def line(text: str, style: str = "") -> None:
        console.print(Text(text, style), soft_wrap=True)

    line(f"{title}: {manifest.precision}, {manifest.format}, {formats.size(manifest.bytes)}", "bold")
    if comparison is None:
        line("not compared with its model: there were no validation texts (--data)")
        return
    lines = (
        ("validation texts", f"{comparison.texts:,}"),
        ("label flips", formats.percent(comparison.flips)),
        (
            "accuracy",
            f"{formats.score(comparison.accuracy)}, its model's {formats.score(comparison.source_accuracy)}: "
            f"{formats.gain(comparison.change)}",
        ),
        (
            "calibration error",
            f"{formats.score(comparison.ece)}, its model's {formats.score(comparison.source_ece)}",
        ),
        (
            "alone or in a batch",
            f"{comparison.batch_flips} of {comparison.batch_texts} texts get another label among 31 others",
        ),
        (
            "documents / s",
            f"{formats.significant(comparison.documents_per_second)}, its model's in PyTorch, fp32 "
            f"{formats.significant(comparison.source_documents_per_second)}",
        ),
    )
    for name, text in lines:
        line(f"{name:<21}{text}")


def metrics_table(metrics: Metrics, intervals: bool) -> Table:
    """A row a figure, a column a model."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    header, *rows = comparison(metrics, intervals)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("", overflow="fold")
    for name in header[1:]:
        table.add_column(name, justify="right", overflow="fold", style="bold" if name == "student" else "")
    for name, *cells in rows:
        table.add_row(name, *map(Text, cells))
    return table


def findings_table(metrics: Metrics) -> Table:
    """What the figures mean, a line a finding, the verdict last."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in findings(metrics):
        grid.add_row(name, Text(text))
    grid.add_row("", Text(""))
    verdict = metrics.verdict
    code = (verdict.code.replace("_", " ").upper(), "bold")
    grid.add_row(Text("verdict", style="bold"), Text.assemble(code, f", distillation {verdict.distillation}"))
    grid.add_row("", Text(verdict.text))
    return grid
