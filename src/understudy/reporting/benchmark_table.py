"""A benchmark in the terminal: one row per model and runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.reporting import formats
from understudy.reporting.figures import NOT_MEASURED, benchmark_notes
from understudy.reporting.terminal import print_wide
from understudy.runtime.progress import duration
from understudy.timing.figures import Benchmark, Measurement

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 150
"""The least number of columns without a terminal."""

_COLUMNS = ("size", "documents / s", "ratio", "p50", "p95", "p99", "1M texts", "core hours")


def show_benchmark(benchmark: Benchmark, console: Console, title: str) -> None:
    """Prints a benchmark; the student's fastest row is bold.

    Args:
        benchmark: What was measured.
        console: Where to print. Without a terminal the text is plain, with at least `PLAIN_WIDTH` columns.
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
    print_wide(Group(Text(title, style="bold"), table, *map(Text, benchmark_notes(benchmark))), console, PLAIN_WIDTH)


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
