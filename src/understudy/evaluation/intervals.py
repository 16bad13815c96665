"""Intervals that cover with few texts too, from counts of right and wrong answers.

- One accuracy: the exact binomial interval (Clopper and Pearson 1934, Biometrika 26).
- Two models on the same texts: score intervals with the continuity correction of half a text. They are Tango's for the
  difference of the accuracies (1998, Statistics in Medicine 17) and Nam and Blackwelder's for their ratio (2002,
  Statistics in Medicine 21).

"Equal accuracies" is the exception: McNemar's exact test decides whether the interval contains it. So interval and
p-value never contradict each other. `benchmarks/coverage.py` measures how often the intervals contain the truth.

Tables may hold arrays of counts; all limits are then arrays of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ALPHA = 0.05
"""Chance that a 95 % interval misses the truth; also the bound on p below which a difference is significant."""

_HALVINGS = 45
_SMALLEST = 1e-9
"""Ratios below this one count as 0."""

Limits = tuple[np.ndarray, np.ndarray]
"""Lower and upper limits."""


@dataclass(frozen=True)
class PairedCounts:
    """How many texts two models get right.

    Attributes:
        both: Texts that both models get right.
        first: Texts that only the first model gets right.
        second: Texts that only the second model gets right.
        neither: Texts that both models get wrong.
    """

    both: np.ndarray
    first: np.ndarray
    second: np.ndarray
    neither: np.ndarray

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray) -> PairedCounts:
        """Counts right answers.

        Args:
            first: Whether the first model is right, booleans of shape (..., texts).
            second: The same for the second model.
        """
        pairs = (first & second, first & ~second, ~first & second, ~first & ~second)
        return cls(*(pair.sum(axis=-1).astype(np.float64) for pair in pairs))

    @property
    def texts(self) -> np.ndarray:
        return np.asarray(self.both + self.first + self.second + self.neither)


def exact_limits(right: np.ndarray, texts: int, alpha: float = ALPHA) -> Limits:
    """Clopper and Pearson's limits of a share, from quantiles of the beta distribution.

    Args:
        right: Number of right answers.
        texts: Number of texts, at least 1.
        alpha: One minus the confidence.
    """
    from scipy.stats import beta

    right = np.asarray(right)
    low = np.where(right > 0, beta.ppf(alpha / 2, np.maximum(right, 1), texts - right + 1), 0.0)
    high = np.where(right < texts, beta.isf(alpha / 2, right + 1, np.maximum(texts - right, 1)), 1.0)
    return low, high


def mcnemar_p(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two-sided p of McNemar's exact test, from the texts that only one of two models gets right."""
    from scipy.stats import binom

    return np.asarray(np.minimum(1.0, 2 * binom.cdf(np.minimum(first, second), np.asarray(first) + second, 0.5)))


def difference_limits(table: PairedCounts, alpha: float = ALPHA) -> Limits:
    """Limits of the first model's accuracy minus the second's.

    Args:
        table: The counts.
        alpha: One minus the confidence.
    """
    return _with_equality(score_difference(table, alpha), table, 0.0, alpha)


def ratio_limits(table: PairedCounts, alpha: float = ALPHA) -> Limits:
    """Limits of the first model's accuracy / the second's, from 0 to the number of texts plus 1.

    Nothing is known about a larger ratio: it cannot be told from a second model that is never right.

    Args:
        table: The counts.
        alpha: One minus the confidence.
    """
    return _with_equality(_score_ratio(table, alpha), table, 1.0, alpha)


def score_difference(table: PairedCounts, alpha: float = ALPHA) -> Limits:
    """The differences that the score test alone does not reject; arguments are those of `difference_limits`."""
    z, pair = _quantile(alpha), _both_ways(table)
    estimate = (pair.first - pair.second) / pair.texts

    def inside(value: np.ndarray) -> np.ndarray:
        return _excess(pair, pair.texts, np.ones_like(value), value, z) <= 0

    low = _search(inside, estimate, -np.ones_like(estimate))
    return low[0], -low[1]


def _score_ratio(table: PairedCounts, alpha: float) -> Limits:
    z, pair = _quantile(alpha), _both_ways(table)
    # Texts that both models get wrong say nothing about a ratio.
    texts, largest = pair.both + pair.first + pair.second, table.texts + 1
    first, second = pair.both + pair.first, pair.both + pair.second
    estimate = np.where(second > 0, first / np.maximum(second, 1), largest)
    smallest = np.stack([np.full_like(largest, _SMALLEST), 1 / largest])

    def inside(value: np.ndarray) -> np.ndarray:
        return _excess(pair, texts, value, value - 1, z) <= 0

    low = _search(inside, np.maximum(estimate, smallest), smallest)
    return np.where(low[0] <= _SMALLEST, 0.0, low[0]), 1 / low[1]


def _excess(table: PairedCounts, texts: np.ndarray, weight: np.ndarray, offset: np.ndarray, z: float) -> np.ndarray:
    """How far the first model exceeds what chance explains if weight * P(first) - P(second) = offset.

    P(first) and P(second) are the chances that only that model is right. The score test's variance takes their most
    likely values under the hypothesis. These solve a quadratic equation.
    """
    first, second = table.first, table.second
    rest = texts - first - second
    square = weight * (1 + weight) * texts
    linear = -(first * (weight + 2 * weight * offset + offset) + second * weight * (1 + offset))
    linear -= rest * (1 + weight) * offset
    constant = first * offset * (1 + offset)
    root = np.sqrt(np.maximum(linear**2 - 4 * square * constant, 0))
    # The larger root, in the form that does not subtract almost equal numbers.
    solved = np.where(
        linear > 0, -2 * constant / np.maximum(linear + root, 1e-300), (root - linear) / np.maximum(2 * square, 1e-300)
    )
    by_first = np.clip(solved, np.maximum(0, offset / weight), (1 + offset) / (1 + weight))
    by_second = np.maximum(weight * by_first - offset, 0)
    variance = texts * np.maximum(weight**2 * by_first + by_second - offset**2, 0)
    half_a_text = np.maximum(weight, 1) / 2  # the same, whichever model comes first
    return np.asarray(weight * first - second - texts * offset - half_a_text - z * np.sqrt(variance))


def _both_ways(table: PairedCounts) -> PairedCounts:
    """The table and the one with swapped models, so that one search finds the lower limits of both."""
    both, first, second, neither = table.both, table.first, table.second, table.neither
    return PairedCounts(
        *(np.stack(pair) for pair in ((both, both), (first, second), (second, first), (neither, neither)))
    )


def _search(inside: Callable[[np.ndarray], np.ndarray], near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """The last value inside on the way from `near` to `far`, by bisection."""
    near = np.where(inside(far), far, near)
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        within = inside(middle)
        near, far = np.where(within, middle, near), np.where(within, far, middle)
    return near


def _with_equality(limits: Limits, table: PairedCounts, equal: float, alpha: float) -> Limits:
    """The limits, widened to the value of equal accuracies unless McNemar's exact test rejects it."""
    low, high = limits
    kept = mcnemar_p(table.first, table.second) >= alpha
    return np.where(kept, np.minimum(low, equal), low), np.where(kept, np.maximum(high, equal), high)


def _quantile(alpha: float) -> float:
    from scipy.special import ndtri

    return float(-ndtri(alpha / 2))
