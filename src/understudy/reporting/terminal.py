"""The evidence in the terminal: tables, findings and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.evaluation.results import Metrics
from understudy.evaluation.tradeoff import Point, Tradeoff
from understudy.reporting import formats
from understudy.reporting.comparison import RunComparison, runs_quality_table, size_table
from understudy.reporting.figures import NOT_MEASURED, beaten_by_linear, comparison, findings, recommended

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from understudy.exporting.gate import Comparison
    from understudy.inference.exported import ExportManifest

PLAIN_WIDTH = 100
"""The least number of columns without a terminal."""

PLAIN_TRADEOFF_WIDTH = 140
"""The same for a frontier, which has longer rows."""

PLAIN_COMPARISON_WIDTH = 180
"""The same for a comparison, whose rows have intervals."""

WIDTH_WITH_INTERVALS = 96
"""A narrower table has no intervals; the lines below it have them."""


def show_metrics(metrics: Metrics, console: Console, title: str) -> None:
    """Prints the figures of `metrics.json` and what they mean.

    Args:
        metrics: What the evaluation measured.
        console: Where to print. Without a terminal the text is plain, with at least `PLAIN_WIDTH` columns.
        title: The line above the table, such as the run's name.
    """
    from rich.console import Group
    from rich.text import Text

    table = metrics_table(metrics, intervals=width_of(console, PLAIN_WIDTH) >= WIDTH_WITH_INTERVALS)
    print_wide(Group(Text(title, style="bold"), table, findings_table(metrics)), console, PLAIN_WIDTH, end="")


def show_comparison(found: RunComparison, console: Console) -> None:
    """Prints a comparison of runs.

    Args:
        found: The comparison.
        console: Where to print, as in `show_metrics`.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    tables = []
    for content in (runs_quality_table(found), size_table(found)):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in content.headings:
            table.add_column(name, justify="left" if name == "run" else "right", overflow="fold")
        for row in content.rows:
            table.add_row(*map(Text, row))
        tables.append(table)
    print_wide(Group(*tables), console, PLAIN_COMPARISON_WIDTH)


def width_of(console: Console, plain_width: int) -> int:
    """Columns of the terminal; without one, at least `plain_width`."""
    return console.width if console.is_terminal else max(console.width, plain_width)


def print_wide(content: RenderableType, console: Console, plain_width: int, end: str = "\n") -> None:
    """Prints in `width_of` columns, so that lines in a log or a pipe stay whole."""
    from rich.segment import Segments

    if not console.is_terminal:
        options = console.options.update(width=width_of(console, plain_width))
        content = Segments(console.render(content, options))
    console.print(content, end=end, crop=False)


def show_tradeoff(tradeoff: Tradeoff, console: Console, title: str) -> None:
    """Prints a frontier, the most accurate model first.

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
    """One row per model, the most accurate on the test texts first; `*` marks the undominated students."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("", overflow="fold")
    for name in ("accuracy", "95 %", "validation", "size", "documents / s", "latency p50", "against linear"):
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
            formats.known(point.validation_accuracy, formats.score),
            formats.known(point.metrics.bytes, formats.size) + (" *" if is_student and point.name in small else ""),
            formats.known(point.rate, formats.significant) + (" *" if is_student and point.name in fast else ""),
            formats.known(point.latency, formats.milliseconds),
            against,
        )
        table.add_row(*map(Text, cells), style="bold" if is_student else "")
    return table


def tradeoff_note(tradeoff: Tradeoff) -> str:
    """What the table's marks and columns mean, and which students the linear control beats."""
    lines = [
        "* No other student is better in both accuracy and this figure.",
        "Choose by validation: the best of several test accuracies is too high an estimate.",
        beaten_by_linear(tradeoff),
    ]
    return " ".join(line for line in lines if line is not None)


def shipped(point: Point) -> str:
    """The student to ship, with the accuracy that chose it and the accuracy on the test texts."""
    low, high = point.accuracy_ci95
    validated = formats.known(point.validation_accuracy, formats.score)
    tested = f"{formats.score(point.metrics.accuracy)} [{low:.4f}, {high:.4f}]"
    return f"{point.name} (chosen by validation accuracy {validated}; test {tested})"


def show_export(manifest: ExportManifest, comparison: Comparison | None, console: Console, title: str) -> None:
    """Prints how an export compares with its model.

    Args:
        manifest: The export's manifest.
        comparison: The figures; None without texts to compare on.
        console: Where to print.
        title: The line above.
    """
    from rich.text import Text

    def line(text: str, style: str = "") -> None:
        console.print(Text(text, style), soft_wrap=True)

    line(f"{title}: {manifest.precision}, {manifest.format}, {formats.size(manifest.bytes)}", "bold")
    if comparison is None:
        line("not compared with its model: there are no validation texts. Name some with --data.")
        return
    lines = (
        ("validation texts", _of_comparison(comparison)),
        ("label flips", f"{formats.percent(comparison.flips)} {formats.percent_interval(comparison.flips_ci95)}"),
        (
            "accuracy",
            f"{formats.score(comparison.accuracy)}, model {formats.score(comparison.source_accuracy)}: "
            f"{formats.gain(comparison.change)}",
        ),
        (
            "calibration error",
            f"{formats.score(comparison.ece)}, model {formats.score(comparison.source_ece)}",
        ),
        (
            "alone or in a batch",
            f"{comparison.batch_flips} of {comparison.batch_texts} texts get a different label in a batch of 32",
        ),
        (
            "documents / s",
            f"{formats.significant(comparison.documents_per_second)}, model in PyTorch fp32 "
            f"{formats.significant(comparison.source_documents_per_second)}",
        ),
    )
    for name, text in lines:
        line(f"{name:<21}{text}")


def _of_comparison(comparison: Comparison) -> str:
    """How many texts an export was compared on, and what they decided."""
    if not comparison.judged:
        return f"{comparison.texts:,}, too few to judge the export"
    others = f"; operators in float were chosen on {comparison.searched:,} others" if comparison.searched else ""
    return f"{comparison.texts:,}{others}"


def metrics_table(metrics: Metrics, intervals: bool) -> Table:
    """One row per figure, one column per model."""
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
    """What the figures mean: one line per finding, then the verdict, the recommendation and the next step."""
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid(padding=(0, 2))
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    for name, text in findings(metrics):
        lines.add_row(name, Text(text))
    lines.add_row("", Text(""))
    verdict = metrics.verdict
    code = (verdict.code.replace("_", " ").upper(), "bold")
    lines.add_row(Text("verdict", style="bold"), Text.assemble(code, f", distillation {verdict.distillation}"))
    lines.add_row("", Text(verdict.text))
    found = recommended(metrics)
    if found is not None:
        reason, next_step = found
        lines.add_row("", Text(""))
        lines.add_row(Text("recommendation", style="bold"), Text(reason))
        lines.add_row(Text("next step", style="bold"), Text(next_step))
    return lines
