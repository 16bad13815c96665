"""A benchmark for the terminal: one row a model and runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.evaluation.benchmark import Benchmark, Measurement
from understudy.progress import duration
from understudy.report import formats
from understudy.report.figures import NOT_MEASURED
from understudy.report.terminal import print_wide

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 150
"""Columns where there is no terminal to ask, at the least."""

_COLUMNS = ("size", "documents / s", "ratio", "p50", "p95", "p99", "1M texts", "core hours")


def show_benchmark(benchmark: Benchmark, console: Console, title: str) -> None:
    """Prints a benchmark; the student's fastest row is in bold type.

    Args:
        benchmark: What was measured.
        console: Where to print. One that is no terminal gets plain text, `PLAIN_WIDTH` columns at the least.
        title: The line above the table.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("", overflow="fold")
    table.add_column("runtime", overflow="fold")
    for name in _COLUMNS:
        table.add_column(name, justify="right", overflow="fold")
    before = None
    for measurement, way in zip(benchmark.measurements, benchmark.ways(), strict=True):
        label = measurement.side.label
        if before not in (None, label):
            table.add_section()
        cells = ("" if label == before else label, way, *_cells(measurement))
        table.add_row(*map(Text, cells), style="bold" if measurement is benchmark.fastest_student else "")
        before = label
    print_wide(Group(Text(title, style="bold"), table, *map(Text, _notes(benchmark))), console, PLAIN_WIDTH)


def conditions(benchmark: Benchmark) -> str:
    """What was measured with, as one phrase."""
    threads = f"{benchmark.threads} thread{'' if benchmark.threads == 1 else 's'}"
    where = threads if benchmark.device == "cpu" else f"PyTorch on {benchmark.device}, the rest on {threads}"
    times = "once" if benchmark.rounds == 1 else f"median of {benchmark.rounds} rounds"
    return (
        f"{benchmark.machine['processor']}, {where}; {benchmark.texts:,} test texts in bulk ({times}) and "
        f"{benchmark.latency_texts:,} one at a time"
    )


def _cells(measurement: Measurement) -> list[str]:
    latency, cost = measurement.latency_ms, measurement.million_texts
    times = [NOT_MEASURED] * 3
    if latency is not None:
        times = [formats.milliseconds(value) for value in (latency.p50, latency.p95, latency.p99)]
    return [
        formats.size(measurement.side.bytes),
        formats.significant(measurement.documents_per_second),
        formats.known(measurement.speedup, formats.times),
        *times,
        duration(cost.hours * 3600),
        formats.known(cost.core_hours, lambda hours: formats.significant(hours, 2)),
    ]


def _notes(benchmark: Benchmark) -> list[str]:
    padded = f"padded: batches of 128, all padded to {benchmark.max_length} tokens, without tokenising"
    lines = [
        conditions(benchmark) + ".",
        f"{padded}; ratio: documents / s against the teacher's padded row."
        if benchmark.reference is not None
        else f"{padded}; no ratio, for the teacher's scores were given.",
    ]
    lines += [f"left out: {each.name}, {each.runtime}: {each.reason}" for each in benchmark.skipped]
    return lines
