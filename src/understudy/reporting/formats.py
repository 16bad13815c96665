"""How every report writes its figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from understudy.evaluation.results import Gain, Interval, Speed

Number = TypeVar("Number", int, float)


def known(value: Number | None, write: Callable[[Number], str]) -> str:
    """A figure as `write` writes it, or a dash if it is unknown: None or NaN."""
    return "-" if value is None or math.isnan(value) else write(value)


def significant(value: float, digits: int = 3) -> str:
    """At least `digits` significant digits and all digits before the point: 0.0821, 41.2, 12,345."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{value:,.{decimals}f}"


def score(value: float | None) -> str:
    return known(value, lambda number: f"{number:.4f}")


def percent(fraction: float) -> str:
    """One decimal; two significant digits below 1 %, so that a tiny share does not look like 0."""
    if 0 < abs(fraction) < 0.00995:
        return f"{significant(fraction * 100, 2)} %"
    return f"{fraction * 100:,.1f} %" if abs(fraction) < 10 else f"{fraction * 100:,.0f} %"


def percent_interval(interval: Interval) -> str:
    return f"[{interval[0] * 100:.1f}, {interval[1] * 100:.1f}]"


def points(difference: float) -> str:
    """A difference of accuracies in percentage points, always with its sign."""
    return f"{round(difference * 100, 2) + 0.0:+.2f}"


def points_interval(interval: Interval) -> str:
    return f"[{points(interval[0])}, {points(interval[1])}]"


def p_value(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def gain(found: Gain) -> str:
    """A gain with its interval and p: +0.48 points [+0.18, +0.78], p = 0.002."""
    return f"{points(found.accuracy)} points {points_interval(found.ci95)}, {p_value(found.p_value)}"


def times(ratio: float, sign: str = "x") -> str:
    """A factor: 1.9x, and from 100 on without decimals.

    Below 1 it has two digits, because one decimal could hide a loss: 0.97x.
    """
    if 0.995 <= ratio < 99.95:
        return f"{ratio:.1f}{sign}"
    return f"{significant(ratio, 2)}{sign}"


def ratio(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def count(number: int) -> str:
    return _scaled(number, (("B", 10**9), ("M", 10**6), ("k", 10**3)), "")


def size(number: int) -> str:
    return _scaled(number, (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)), "B")


def milliseconds(*values: float) -> str:
    """Times in the same unit, 24.1 / 33.0 ms; from 1,000 ms on in seconds."""
    unit, factor = ("s", 1000) if max(values) >= 999.5 else ("ms", 1)
    return f"{' / '.join(significant(value / factor) for value in values)} {unit}"


def conditions(speed: Speed) -> str:
    """The settings of a speed measurement, as one phrase."""
    where = f"{speed.device}, {speed.threads} thread{'' if speed.threads == 1 else 's'}, {speed.dtype}"
    if speed.rounds is None:
        return where
    return f"{where}, {'one round' if speed.rounds == 1 else f'median of {speed.rounds} rounds'}"


def _scaled(number: int, units: Sequence[tuple[str, int]], rest: str) -> str:
    for unit, factor in units:
        if number >= factor * 0.9995:
            return f"{number / factor:.1f} {unit}"
    return f"{number} {rest}".rstrip()
