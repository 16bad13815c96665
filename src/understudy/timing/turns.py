"""Timing many models on one machine: they take turns, so that a drift of the machine meets all of them."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from understudy.runtime.progress import duration
from understudy.timing.figures import Cost, Measurement, Percentiles, Side
from understudy.timing.speed import seconds_of

log = logging.getLogger(__name__)

_BLOCK = 10
_MILLION = 1_000_000


@dataclass(frozen=True)
class Contender:
    """A side, ready to answer.

    Attributes:
        side: What it is.
        documents: How many texts `bulk` answers.
        bulk: Answers them.
        single: Answers one text; None where only `bulk` is to be timed.
    """

    side: Side
    documents: int
    bulk: Callable[[], object]
    single: Callable[[str], object] | None


@dataclass
class _Readings:
    """Seconds of one contender: a value a round, and a value a text and round."""

    bulk: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)


def take_turns(contenders: Sequence[Contender], texts: Sequence[str], rounds: int) -> list[Measurement]:
    """Times all contenders alternately, after a round that warms up and does not count.

    In a round each answers its texts in bulk, one contender after the other; then each answers ten of `texts`, one at a
    time, then each the next ten, and so on. The warm-up goes through the same texts, so that a runtime has compiled
    what it compiles for every length before anything counts.

    Args:
        contenders: At least one. Speedups are against the first teacher among them that is `padded`.
        texts: For one at a time.
        rounds: From 1.

    Returns:
        One measurement a contender, in their order.
    """
    log.info(
        "benchmark: %d sides, a round of warm-up and %d that count, %d texts one at a time",
        *(len(contenders), rounds, len(texts)),
    )
    # No progress bar: the thread that redraws one would compute beside what is timed.
    start = time.monotonic()
    _round(contenders, texts)
    warm_up = time.monotonic() - start
    log.info("benchmark: warmed up in %s; about %s left", duration(warm_up), duration(rounds * warm_up))
    readings = [_Readings() for _ in contenders]
    for number in range(rounds):
        for kept, new in zip(readings, _round(contenders, texts), strict=True):
            kept.bulk += new.bulk
            kept.single += new.single
        log.info("benchmark: round %d of %d", number + 1, rounds)
    each = list(zip(contenders, readings, strict=True))
    slow = (
        _rate(contender, statistics.median(found.bulk))
        for contender, found in each
        if contender.side.role == "teacher" and contender.side.padded
    )
    reference = next(slow, None)
    return [_measurement(contender, found, reference) for contender, found in each]


def _round(contenders: Sequence[Contender], texts: Sequence[str]) -> list[_Readings]:
    readings = [_Readings([seconds_of(contender.bulk)]) for contender in contenders]
    for start in range(0, len(texts), _BLOCK):
        block = texts[start : start + _BLOCK]
        for contender, found in zip(contenders, readings, strict=True):
            if contender.single is None:
                continue
            # Once without the clock: the contender before has left its own data in the caches, and threads of its
            # runtime may still be waiting for work with full force.
            contender.single(block[0])
            found.single += [seconds_of(partial(contender.single, text)) for text in block]
    return readings


def _rate(contender: Contender, seconds: float) -> float:
    return contender.documents / seconds


def _measurement(contender: Contender, readings: _Readings, reference: float | None) -> Measurement:
    side, rate = contender.side, _rate(contender, statistics.median(readings.bulk))
    latency = None
    if readings.single:
        p50, p95, p99 = (round(float(value), 3) for value in np.percentile(readings.single, [50, 95, 99]) * 1000)
        latency = Percentiles(p50, p95, p99)
    hours = _MILLION / rate / 3600
    return Measurement(
        side=side,
        documents_per_second=round(rate, 2),
        each_round=tuple(round(_rate(contender, seconds), 2) for seconds in readings.bulk),
        speedup=None if reference is None else round(rate / reference, 3),
        latency_ms=latency,
        million_texts=Cost(round(hours, 4), round(hours * side.threads, 4) if side.device == "cpu" else None),
    )
