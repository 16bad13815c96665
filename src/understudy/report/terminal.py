"""The evidence for the terminal: one table, the intervals, the verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from understudy.evaluation.results import (
    Abstention,
    Answered,
    Interval,
    Metrics,
    ModelMetrics,
    ModelSpeed,
    Seeds,
    Spread,
)
from understudy.evaluation.tradeoff import Tradeoff
from understudy.report import formats
from understudy.report.comparison import RunComparison, quality_table, size_table

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

NOT_MEASURED = "-"


def show_metrics(metrics: Metrics, console: Console, title: str) -> None:
    """Prints what `metrics.json` says, in words and figures that need neither colours nor a terminal.

    Args:
        metrics: What the evaluation found.
        console: Where to print. One that is no terminal gets plain text, `PLAIN_WIDTH` columns at the least.
        title: The line above the table, such as the run's name.
    """
    from rich.console import Group
    from rich.text import Text

    table = _table(metrics, intervals=width_of(console, PLAIN_WIDTH) >= WIDTH_WITH_INTERVALS)
    print_wide(Group(Text(title, style="bold"), table, _findings(metrics)), console, PLAIN_WIDTH, end="")


def show_comparison(found: RunComparison, console: Console) -> None:
    """Prints several runs beside each other.

    Args:
        found: What was compared.
        console: Where to print, as in `show_metrics`.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table

    tables = []
    for content in (quality_table(found), size_table(found)):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in content.headings:
            table.add_column(name, justify="left" if name == "run" else "right", overflow="fold")
        for row in content.rows:
            table.add_row(*row)
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
    from rich import box
    from rich.console import Group
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
    beaten = ", ".join(point.name for point in tradeoff.dominated()) or "no student"
    note = "* no other student is as accurate and as fast, or as small."
    if tradeoff.linear is not None:
        note += f" The linear control is faster and no less accurate than: {beaten}."
    print_wide(Group(Text(title, style="bold"), table, Text(note)), console, PLAIN_TRADEOFF_WIDTH)


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


def _table(metrics: Metrics, intervals: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    controls = {
        name: control
        for name, control in (
            ("no distillation", metrics.controls.no_distillation),
            ("linear", metrics.controls.linear),
        )
        if control is not None
    }
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("", overflow="fold")
    for name in ("teacher", "student", "student / teacher", *controls):
        table.add_column(name, justify="right", overflow="fold", style="bold" if name == "student" else "")
    teacher, student, retention = metrics.teacher, metrics.student, metrics.retention
    accuracy_ci95, f1_ci95 = (retention.accuracy_ci95, retention.f1_ci95) if intervals else (None, None)

    def row(name: str, write: Callable[[ModelMetrics], str], ratio: str) -> None:
        cells = (write(teacher), write(student), ratio, *map(write, controls.values()))
        table.add_row(name, *map(Text, cells))

    def speed_row(name: str, read: Callable[[ModelSpeed], float], write: Callable[[float], str]) -> None:
        slow = None if metrics.speed.teacher is None else read(metrics.speed.teacher)
        fast = read(metrics.speed.student)
        cells = (formats.known(slow, write), write(fast), _times(fast, slow), *(NOT_MEASURED for _ in controls))
        table.add_row(name, *map(Text, cells))

    row("accuracy", lambda model: formats.score(model.accuracy), _kept(retention.accuracy, accuracy_ci95))
    row("F1", lambda model: formats.score(model.f1), _kept(retention.f1, f1_ci95))
    row("AUC", lambda model: formats.score(model.auc), _share(student.auc, teacher.auc))
    row("ECE", lambda model: formats.score(model.ece), _times(student.ece, teacher.ece))
    fraction = formats.known(metrics.parameter_fraction, formats.percent)
    row("parameters", lambda model: formats.known(model.parameters, formats.count), fraction)
    row("size", lambda model: formats.known(model.bytes, formats.size), _share(student.bytes, teacher.bytes))
    speed_row("documents / s", lambda model: model.documents_per_second, formats.significant)
    speed_row("latency p50", lambda model: model.latency_ms.p50, formats.milliseconds)
    return table


def _findings(metrics: Metrics) -> Table:
    from rich.table import Table
    from rich.text import Text

    retention, gain, speed, verdict = metrics.retention, metrics.distillation_gain, metrics.speed, metrics.verdict
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")

    def line(name: str, text: str) -> None:
        grid.add_row(name, Text(text))

    line(
        "retention",
        f"accuracy {_kept(retention.accuracy, retention.accuracy_ci95)}, "
        f"F1 {_kept(retention.f1, retention.f1_ci95)} (95 % intervals)",
    )
    line(
        "distillation gain",
        "not measured: there is no control without distillation"
        if gain is None
        else f"{formats.points(gain.accuracy)} points of accuracy {formats.points_interval(gain.ci95)}, "
        f"{formats.p_value(gain.p_value)}",
    )
    if metrics.seeds is not None:
        line(f"{len(metrics.seeds.repeats)} seeds", _over_seeds(metrics.seeds))
    line("agreement", f"{formats.percent(metrics.agreement)} of the test texts get the same label")
    if metrics.abstention is not None:
        line("abstention", _abstention(metrics.abstention))
    slow, fast = speed.batch128.teacher_ms, speed.batch128.student_ms
    line(
        "speedup",
        f"unknown: the teacher's scores were given; the student takes {formats.milliseconds(fast)} for a batch of 128 "
        f"padded to {speed.max_length} tokens ({formats.conditions(speed)})"
        if speed.speedup is None or slow is None
        else f"{formats.times(speed.speedup)} on batches of 128 padded to {speed.max_length} tokens, teacher / student "
        f"{formats.milliseconds(slow, fast)} ({formats.conditions(speed)})",
    )
    line(
        "efficiency ratio",
        "unknown, as the teacher's size is"
        if metrics.efficiency_ratio is None
        else f"{formats.ratio(metrics.efficiency_ratio)} (accuracy retention / parameter fraction)",
    )
    line("", "")
    code = (verdict.code.replace("_", " ").upper(), "bold")
    grid.add_row(Text("verdict", style="bold"), Text.assemble(code, f", distillation {verdict.distillation}"))
    line("", verdict.text)
    return grid


def _over_seeds(seeds: Seeds) -> str:
    def accuracy(model: str, spread: Spread) -> str:
        ends = f"{formats.score(spread.min)} to {formats.score(spread.max)}"
        return f"{model} {formats.score(spread.mean)} (sd {formats.score(spread.sd)}, {ends})"

    parts = [f"accuracy of the {accuracy('student', seeds.accuracy)}"]
    if seeds.control_accuracy is not None:
        parts[0] += f", of the {accuracy('control', seeds.control_accuracy)}"
    if seeds.gain is not None:
        parts.append(f"gain {formats.gain(seeds.gain)}")
    parts.append(f"keeps {_kept(seeds.retention.mean, seeds.retention_ci95)} of the teacher's accuracy")
    return "; ".join(parts)


def _abstention(found: Abstention) -> str:
    target = f"{found.target_precision * 100:g} %"
    if found.threshold is None:
        return f"no threshold reaches {target} right answers on the validation texts"

    def share(answered: Answered, texts: str) -> str:
        right = formats.known(answered.precision, formats.percent)
        return f"{formats.percent(answered.coverage)} of the {texts} texts are answered, {right} of them rightly"

    return (
        f"with --threshold {found.threshold} {share(found.test, 'test')}; "
        f"{share(found.validation, 'validation')}, where it was chosen for {target}"
    )


def _kept(retention: float, interval: Interval | None) -> str:
    return " ".join([formats.percent(retention), *([formats.percent_interval(interval)] if interval else [])])


def _share(part: float | None, whole: float | None) -> str:
    return formats.percent(part / whole) if part is not None and whole else NOT_MEASURED


def _times(part: float, whole: float | None) -> str:
    return formats.times(part / whole) if whole else NOT_MEASURED
