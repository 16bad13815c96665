"""Timing models on one machine: they take turns, so that a change in the machine's load affects all of them."""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeVar

import numpy as np

from understudy.runtime.progress import duration

log = logging.getLogger(__name__)

Name = TypeVar("Name", bound=Hashable)

_BLOCK = 10
_LONG_SECONDS = 10.0


@dataclass(frozen=True)
class Contender:
    """A model that is ready to answer.

    Attributes:
        documents: How many texts `bulk` answers.
        bulk: Answers them all.
        single: Answers one text; None if only `bulk` is timed.
    """

    documents: int
    bulk: Callable[[], object]
    single: Callable[[str], object] | None = None


@dataclass(frozen=True)
class Readings:
    """The counted times of one contender, in seconds. The warm-up is not in them.

    Attributes:
        documents: Texts per reading of `bulk`.
        bulk: One reading per round.
        single: One reading per text and round; empty if only `bulk` was timed.
    """

    documents: int
    bulk: tuple[float, ...]
    single: tuple[float, ...] = ()

    @property
    def rounds(self) -> int:
        """Counted rounds, which are fewer than requested if the time limit ended them."""
        return len(self.bulk)

    @property
    def texts(self) -> int:
        """Texts answered one at a time in each round."""
        return len(self.single) // self.rounds

    @property
    def seconds(self) -> float:
        """Median of `bulk`."""
        return statistics.median(self.bulk)

    @property
    def documents_per_second(self) -> float:
        """Texts per second in bulk, from the median."""
        return self.documents / self.seconds

    @property
    def each_round(self) -> tuple[float, ...]:
        """Texts per second in bulk, one value per round."""
        return tuple(self.documents / seconds for seconds in self.bulk)

    def latency_ms(self, *ranks: float) -> tuple[float, ...]:
        """Percentiles of `single` in milliseconds.

        Args:
            *ranks: Which percentiles, from 0 to 100.
        """
        return tuple(float(value) * 1000 for value in np.percentile(self.single, ranks))

    @property
    def _total(self) -> float:
        return sum(self.bulk) + sum(self.single)


def take_turns(
    contenders: Mapping[Name, Contender], texts: Sequence[str], rounds: int, enough_seconds: float = math.inf
) -> dict[Name, Readings]:
    """Times all contenders alternately, after a warm-up round that does not count.

    In each round every contender answers its texts in bulk, one contender after the other. Then every contender answers
    the first ten of `texts`, one at a time, then the next ten, and so on. The warm-up is a whole round with the same
    texts, because runtimes compile kernels for new lengths.

    Args:
        contenders: At least one, by name.
        texts: The texts to be answered one at a time.
        rounds: How many rounds count at most, from 1.
        enough_seconds: No further round starts once the timed seconds exceed this limit. The warm-up's seconds belong
            to them. One round always counts.

    Returns:
        The readings of each contender, in the order of `contenders`.
    """
    # No progress bar: the thread that redraws it would compete with the models.
    warm_up = sum(each._total for each in _round(contenders, texts).values())
    left = min(rounds * warm_up, max(warm_up, enough_seconds))
    level = logging.INFO if left > _LONG_SECONDS else logging.DEBUG
    log.log(level, "timing: the warm-up took %s; up to %s left", duration(warm_up), duration(left))
    counted: list[dict[Name, Readings]] = []
    spent = warm_up
    while len(counted) < rounds and (not counted or spent <= enough_seconds):
        counted.append(_round(contenders, texts))
        spent += sum(each._total for each in counted[-1].values())
        log.log(level, "timing: round %d of %d", len(counted), rounds)
    if len(counted) < rounds:
        limit = duration(enough_seconds)
        log.info("timing: stopped after %d of %d rounds; the limit is %s", len(counted), rounds, limit)
    return {name: _joined([each[name] for each in counted]) for name in contenders}


def seconds_of(task: Callable[[], object]) -> float:
    """How long a task takes."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def _round(contenders: Mapping[Name, Contender], texts: Sequence[str]) -> dict[Name, Readings]:
    bulk = {name: seconds_of(contender.bulk) for name, contender in contenders.items()}
    single: dict[Name, list[float]] = {name: [] for name in contenders}
    for start in range(0, len(texts), _BLOCK):
        block = texts[start : start + _BLOCK]
        for name, contender in contenders.items():
            if contender.single is None:
                continue
            # Not timed: the previous contender leaves its data in the caches, and its runtime's threads may still spin.
            contender.single(block[0])
            single[name] += [seconds_of(partial(contender.single, text)) for text in block]
    return {
        name: Readings(contender.documents, (bulk[name],), tuple(single[name]))
        for name, contender in contenders.items()
    }


def _joined(rounds: Sequence[Readings]) -> Readings:
    return Readings(
        rounds[0].documents,
        tuple(chain.from_iterable(each.bulk for each in rounds)),
        tuple(chain.from_iterable(each.single for each in rounds)),
    )
