"""Progress reports: a bar with the time left on a terminal and in a notebook, and occasional log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_PICTURES = 0.5


@contextmanager
def progress(
    description: str, total: int | None, unit: str = "texts", already: int = 0
) -> Iterator[Callable[[int], None]]:
    """Shows the progress in percent and the speed.

    Args:
        description: Name of the work.
        total: Number of units to do; None if unknown.
        unit: Name of the units.
        already: Number of units that are already done; they do not count for the speed.

    Yields:
        A function to call with the number of further units that are done.
    """
    if sys.stderr.isatty():
        with _bar(description, total, unit, already) as advance:
            yield advance
    elif _in_notebook():
        with _notebook_bar(description, total, unit, already) as advance:
            yield advance
    else:
        yield _lines(description, total, unit, already)


@contextmanager
def _bar(description: str, total: int | None, unit: str, already: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(*_columns(unit), console=Console(stderr=True)) as bar:
        yield _advancing(bar, description, total, unit, already)


@contextmanager
def _notebook_bar(description: str, total: int | None, unit: str, already: int) -> Iterator[Callable[[int], None]]:
    """The same bar as a cell's output that is updated; rich's own notebook bar needs ipywidgets."""
    from IPython.display import display
    from rich.progress import Progress

    bar = Progress(*_columns(unit), auto_refresh=False)
    advance_bar = _advancing(bar, description, total, unit, already)
    shown, drawn = display(bar, display_id=True), time.monotonic()

    def advance(amount: int) -> None:
        nonlocal drawn
        advance_bar(amount)
        if time.monotonic() - drawn >= _SECONDS_BETWEEN_PICTURES:
            drawn = time.monotonic()
            shown.update(bar)

    try:
        yield advance
    finally:
        shown.update(bar)


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter


def _columns(unit: str) -> tuple[ProgressColumn, ...]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


def _advancing(bar: Progress, description: str, total: int | None, unit: str, already: int) -> Callable[[int], None]:
    task = bar.add_task(description, total=total, completed=already, rate="")

    def advance(amount: int) -> None:
        bar.advance(task, amount)
        speed = bar.tasks[0].speed
        if speed is not None:
            bar.update(task, rate=_rate(speed, unit))

    return advance


def _lines(description: str, total: int | None, unit: str, already: int) -> Callable[[int], None]:
    start = last = time.monotonic()
    done = already

    def advance(amount: int) -> None:
        nonlocal last, done
        done += amount
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES and done > already:
            last = now
            speed = (done - already) / (now - start)
            if total is None:
                log.info("%s: %d %s, %s", description, done, unit, _rate(speed, unit))
                return
            percent = 100 * done // max(total, 1)
            left = duration(max(0, total - done) / speed)
            rate = _rate(speed, unit)
            log.info("%s: %d of %d %s (%d %%), %s, about %s left", description, done, total, unit, percent, rate, left)

    return advance


def _rate(speed: float, unit: str) -> str:
    return f"{speed:,.0f} {unit}/s" if speed >= 10 else f"{speed:.2g} {unit}/s"


def duration(seconds: float) -> str:
    """Seconds in readable form: `45 s`, `12 min`, `1 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
