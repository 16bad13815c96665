from __future__ import annotations

import math

import numpy as np
import pytest

from understudy.evaluation.abstention import abstain, answered, choose_threshold
from understudy.evaluation.results import Abstention, Answered


def two_classes(*tops: float) -> np.ndarray:
    """Texts with these probabilities, all at least 0.5, for class 0."""
    top = np.array(tops)
    return np.stack([top, 1 - top], axis=1)


@pytest.fixture
def point_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the validation texts were all texts: the share of right answers need only reach the target."""

    def reached(below: np.ndarray, count: np.ndarray, target: float) -> np.ndarray:
        return np.where((below + 1) / count >= target, 0.0, 1.0)

    monkeypatch.setattr("scipy.stats.binom.sf", reached)


def lower_limit(right: int, texts: int, chance: float) -> float:
    """Clopper and Pearson's, found by halving: the smallest precision with which so many are not improbable."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        tail = sum(math.comb(texts, k) * middle**k * (1 - middle) ** (texts - k) for k in range(right, texts + 1))
        low, high = (middle, high) if tail <= chance else (low, middle)
    return low


def brute_force(probabilities: np.ndarray, labels: np.ndarray, target: float) -> set[int] | None:
    """The answered texts, found by trying every threshold in ascending order; for 129 to 256 texts."""
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    for threshold in sorted({0.0, *top.tolist()}):
        chosen = [row for row in range(len(top)) if top[row] >= threshold]
        if lower_limit(int(right[chosen].sum()), len(chosen), 0.05 / 8) >= target:
            return set(chosen)
    return None


@pytest.mark.parametrize("target", [0.3, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("decimals", [1, 2, 12])
@pytest.mark.parametrize("classes", [2, 4])
def test_it_answers_the_texts_that_brute_force_finds(classes: int, decimals: int, target: float) -> None:
    """With few decimals, many texts have the same top probability."""
    found = []
    for seed in range(3):
        random = np.random.default_rng(seed)
        probabilities = random.dirichlet(np.full(classes, 0.3), 200).round(decimals)
        labels = np.where(
            random.random(200) < probabilities.max(axis=1) * 1.1 - 0.1,
            probabilities.argmax(axis=1),
            random.integers(0, classes, 200),
        )
        threshold = choose_threshold(probabilities, labels, target)
        expected = brute_force(probabilities, labels, target)
        found.append(threshold)
        if threshold is None:
            assert expected is None
        else:
            assert set(np.flatnonzero(probabilities.max(axis=1) >= threshold).tolist()) == expected
            precision = answered(probabilities, labels, threshold).precision
            assert precision is not None and precision >= target
    assert target > 0.8 or any(threshold is not None for threshold in found)


def test_a_hand_computed_case(point_estimate: None) -> None:
    """By descending confidence: right, right, wrong, right, wrong; shares 1, 1, 2/3, 3/4, 3/5."""
    probabilities, labels = two_classes(0.97, 0.91, 0.82, 0.74, 0.55), np.array([0, 0, 1, 0, 1])
    assert choose_threshold(probabilities, labels, 0.99) == 0.9
    assert choose_threshold(probabilities, labels, 0.75) == 0.7
    assert choose_threshold(probabilities, labels, 0.7) == 0.7
    assert choose_threshold(probabilities, labels, 0.6) == 0.0


def test_of_equal_thresholds_the_one_with_the_fewest_decimals_is_taken(point_estimate: None) -> None:
    labels = np.array([0, 1])
    assert choose_threshold(two_classes(0.98765, 0.98712), labels, 1.0) == 0.9876
    assert choose_threshold(two_classes(1.0, 0.98), labels, 1.0) == 1.0
    assert choose_threshold(two_classes(1.0, 0.5), labels, 1.0) == 1.0
    assert choose_threshold(two_classes(0.7, 0.69), labels, 1.0) == 0.7
    low, high = 0.7, np.nextafter(0.7, 1)
    assert choose_threshold(two_classes(high, low), labels, 1.0) == high


def test_texts_with_the_same_probability_go_together(point_estimate: None) -> None:
    probabilities = two_classes(0.95, 0.8, 0.8, 0.8)
    assert choose_threshold(probabilities, np.array([0, 0, 0, 1]), 1.0) == 0.9
    assert choose_threshold(probabilities, np.array([0, 0, 0, 1]), 0.75) == 0.0
    assert choose_threshold(probabilities, np.array([1, 0, 0, 0]), 1.0) is None


@pytest.mark.parametrize(("sure", "expected"), [(46, None), (47, 0.9)])
def test_so_many_answers_must_all_be_right(sure: int, expected: float | None) -> None:
    """Of 100 texts: 0.9 to the power of 47 is the first below 0.05 / 7."""
    probabilities = two_classes(*[0.9] * sure, *[0.6] * (100 - sure))
    assert choose_threshold(probabilities, np.array([0] * sure + [1] * (100 - sure)), 0.9) == expected


def test_the_target_on_the_validation_texts_is_not_enough() -> None:
    """490 of 500 are right: that is 98 %, but another 500 texts could have fewer."""
    probabilities, labels = two_classes(*[0.9] * 500), np.array([0] * 490 + [1] * 10)
    assert choose_threshold(probabilities, labels, 0.98) is None
    assert choose_threshold(probabilities, labels, 0.95) == 0.0


def test_a_precision_just_below_the_target_is_seldom_accepted() -> None:
    """Top probabilities that say nothing are the worst case. Taking the share alone accepts nine of ten."""
    random, accepted = np.random.default_rng(0), 0
    for _ in range(200):
        probabilities = two_classes(*(0.5 + 0.5 * random.random(500)))
        labels = (random.random(500) >= 0.899).astype(np.int64)
        accepted += choose_threshold(probabilities, labels, 0.9) is not None
    assert accepted <= 12


def test_what_is_answered_on_both_sets() -> None:
    validation, validation_labels = two_classes(*[0.9] * 60, *[0.6] * 40), np.array([0] * 60 + [1] * 40)
    test, test_labels = two_classes(0.95, 0.9, 0.89, 0.4), np.array([0, 1, 0, 0])
    found = abstain(0.9, validation, validation_labels, test, test_labels)
    assert found == Abstention(0.9, 0.9, Answered(1.0, 0.6), Answered(0.5, 0.5))


def test_no_threshold_answers_nothing() -> None:
    wrong = two_classes(*[0.9] * 60)
    found = abstain(0.5, wrong, np.ones(60, dtype=np.int64), wrong, np.zeros(60, dtype=np.int64))
    assert found == Abstention(0.5, None, Answered(None, 0.0), Answered(None, 0.0))
    assert answered(two_classes(0.6), np.array([0]), 0.7) == Answered(None, 0.0)
