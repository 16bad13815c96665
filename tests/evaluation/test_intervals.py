"""Intervals against published values, root finding, exact coverage and their own laws."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, multinomial, norm

from understudy.evaluation.intervals import (
    Limits,
    PairedCounts,
    difference_limits,
    exact_limits,
    mcnemar_p,
    ratio_limits,
    score_difference,
)

COUNTS = st.tuples(*[st.integers(0, 40)] * 4).filter(lambda counts: sum(counts) > 0)
BOTH = pytest.mark.parametrize("limits", [difference_limits, ratio_limits])


def table(both: float, first: float, second: float, neither: float) -> PairedCounts:
    return PairedCounts(*(np.array(float(count)) for count in (both, first, second, neither)))


def ends(limits: Limits) -> tuple[float, float]:
    return float(limits[0]), float(limits[1])


@pytest.mark.parametrize(("right", "texts"), [(0, 1), (1, 1), (12, 12), (0, 30), (5, 9), (24_999, 25_000)])
def test_exact_limits_are_scipys(right: int, texts: int) -> None:
    expected = binomtest(right, texts).proportion_ci(method="exact")
    assert ends(exact_limits(np.array(right), texts)) == pytest.approx((expected.low, expected.high))


def score(counts: tuple[int, int, int, int], weight: float, offset: float) -> float:
    """The corrected score statistic, its variance from a numerical maximum of the likelihood."""
    both, first, second, neither = counts
    texts = sum(counts)

    def surprise(chance: float) -> float:
        other = weight * chance - offset
        chances = np.clip([chance, other, 1 - chance - other], 1e-15, 1)
        return -float(np.dot([first, second, both + neither], np.log(chances)))

    bounds = max(0, offset / weight), (1 + offset) / (1 + weight)
    chance = minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    variance = texts * (weight**2 * chance + weight * chance - offset - offset**2)
    return float((weight * first - second - texts * offset - max(weight, 1) / 2) / np.sqrt(variance))


@pytest.mark.parametrize("counts", [(40, 9, 3, 8), (5, 6, 1, 2), (300, 2, 20, 10), (0, 7, 4, 9)])
def test_limits_are_where_the_score_test_stops_rejecting(counts: tuple[int, int, int, int]) -> None:
    low, _ = score_difference(table(*counts))
    assert score(counts, 1, float(low)) == pytest.approx(norm.isf(0.025), rel=1e-4)
    both, first, second, _ = counts
    low, high = ends(ratio_limits(table(*counts)))
    if low != 1.0:  # the value that McNemar's test decides
        assert score((both, first, second, 0), low, low - 1) == pytest.approx(norm.isf(0.025), rel=1e-4)
    if high not in (1.0, sum(counts) + 1.0):
        swapped = score((both, second, first, 0), 1 / high, 1 / high - 1)
        assert swapped == pytest.approx(norm.isf(0.025), rel=1e-4)


def test_many_texts_give_tangos_interval_without_the_correction() -> None:
    """Tango 1998 and the simple normal interval agree for many texts."""
    low, high = ends(difference_limits(table(70_000, 9_000, 8_000, 13_000)))
    half = 1.96 * np.sqrt((0.17 - 0.01**2) / 100_000)
    assert (low, high) == pytest.approx((0.01 - half, 0.01 + half), abs=2e-5)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((12, 0, 0, 0), (0.65, 0.75), (1.3, 1.5)),  # all right
        ((1, 0, 0, 0), (0.01, 0.1), (2, 2)),
        ((0, 0, 0, 5), (0, 0), (6, 6)),  # none right: nothing is known
        ((0, 0, 5, 0), (0, 0), (1, 1)),  # five texts cannot prove that the first model is worse
        ((0, 0, 50, 0), (0, 0), (0.05, 0.2)),
        ((0, 50, 0, 0), (5, 20), (51, 51)),
    ],
)
def test_the_edges_of_the_ratio(
    counts: tuple[int, int, int, int], low: tuple[float, float], high: tuple[float, float]
) -> None:
    found = ends(ratio_limits(table(*counts)))
    assert low[0] <= found[0] <= low[1] and high[0] <= found[1] <= high[1]


@BOTH
@given(COUNTS)
@settings(max_examples=30, deadline=None)
def test_more_confidence_gives_a_wider_interval(
    limits: Callable[..., Limits], counts: tuple[int, int, int, int]
) -> None:
    wider = [ends(limits(table(*counts), alpha)) for alpha in (0.3, 0.1, 0.05, 0.01)]
    assert np.isfinite(wider).all()
    for inner, outer in pairwise(wider):
        assert outer[0] <= inner[0] + 1e-12 and inner[1] <= outer[1] + 1e-12


@BOTH
@given(COUNTS)
@settings(max_examples=30, deadline=None)
def test_a_text_that_only_the_first_model_gets_right_moves_the_interval_up(
    limits: Callable[..., Limits], counts: tuple[int, int, int, int]
) -> None:
    both, first, second, neither = counts
    if second:
        before, after = (ends(limits(table(both, first + more, second - more, neither))) for more in (0, 1))
        assert before[0] <= after[0] + 1e-9 and before[1] <= after[1] + 1e-9


@given(COUNTS)
@settings(max_examples=30, deadline=None)
def test_swapping_the_models_negates_the_difference_and_inverts_the_ratio(counts: tuple[int, int, int, int]) -> None:
    both, first, second, neither = counts
    there, back = table(both, first, second, neither), table(both, second, first, neither)
    assert ends(difference_limits(there)) == pytest.approx([-end for end in reversed(ends(difference_limits(back)))])
    low, other_high = ends(ratio_limits(there))[0], ends(ratio_limits(back))[1]
    if other_high <= sum(counts):  # not cut off
        assert low == pytest.approx(1 / other_high)


@given(COUNTS)
@settings(max_examples=60, deadline=None)
def test_p_and_intervals_agree(counts: tuple[int, int, int, int]) -> None:
    p = float(mcnemar_p(np.array(counts[1]), np.array(counts[2])))
    for limits, equal in ((difference_limits, 0.0), (ratio_limits, 1.0)):
        low, high = ends(limits(table(*counts)))
        assert (p < 0.05) == (not low <= equal <= high)


def test_mcnemars_test_is_stricter_than_the_score_test() -> None:
    """Otherwise p could be below 0.05 with 0 in the interval: for every number of texts that only one gets right."""
    only_one = np.arange(6, 30_001)
    fewer = binom.ppf(0.025, only_one, 0.5)  # of them, the most that the worse model may get right
    fewer -= mcnemar_p(fewer, only_one - fewer) >= 0.05
    assert (mcnemar_p(fewer, only_one - fewer) < 0.05).all()
    assert ((only_one - 2 * fewer - 0.5) / np.sqrt(only_one) > norm.isf(0.025)).all()


@pytest.mark.parametrize("texts", [1, 12, 40])
@pytest.mark.parametrize(("both", "first", "second"), [(0.9, 0.03, 0.03), (0.6, 0.1, 0.2), (0.97, 0, 0.03), (1, 0, 0)])
def test_the_truth_is_covered_by_counting_all_outcomes(texts: int, both: float, first: float, second: float) -> None:
    every = np.stack(np.meshgrid(*[np.arange(texts + 1)] * 3), axis=-1).reshape(-1, 3)
    every = every[every.sum(axis=1) <= texts]
    every = np.column_stack([every, texts - every.sum(axis=1)])
    chances = multinomial.pmf(every, texts, [both, first, second, max(0.0, 1 - both - first - second)])
    possible = chances > 1e-12
    counts, chances = PairedCounts(*every[possible].T.astype(float)), chances[possible]
    for limits, truth in ((difference_limits, first - second), (ratio_limits, (both + first) / (both + second))):
        low, high = limits(counts)
        assert ((low > truth + 1e-9) @ chances) <= 0.027
        assert ((low <= truth + 1e-9) & (high >= truth - 1e-9)) @ chances >= 0.945


def test_tables_are_counted() -> None:
    first = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], dtype=bool)
    second = np.array([1, 0, 1, 0], dtype=bool)
    found = PairedCounts.of(first, second)
    assert [found.both.tolist(), found.first.tolist(), found.second.tolist(), found.neither.tolist()] == [
        [1, 2],
        [1, 2],
        [1, 0],
        [1, 0],
    ]
    assert found.texts.tolist() == [4, 4]
