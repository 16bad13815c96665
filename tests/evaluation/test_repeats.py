"""Statistics over seeds, against hand-counted values, brute force and SciPy."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test, t

from understudy.evaluation.repeats import (
    SeedPredictions,
    compare_seeds,
    pooled_gain,
    pooled_retention,
    repeat_name,
    sign_flip,
)
from understudy.evaluation.results import Spread
from understudy.evaluation.significance import accuracy_retention, gain

# Two seeds and ten texts of class 0. The students get 8 and 6 right, the controls 5 and 5, the teacher 9.
LABELS = np.zeros(10, dtype=int)
TEACHER = np.array([0] * 9 + [1])
STUDENTS = np.array([[0] * 8 + [1] * 2, [0] * 6 + [1] * 4])
CONTROLS = np.array([[0] * 5 + [1] * 5, [1] * 5 + [0] * 5])


def compared(controls: np.ndarray | None = CONTROLS) -> Any:
    predicted = SeedPredictions([4, 5], TEACHER, STUDENTS, controls)
    return compare_seeds(predicted, LABELS, 2)


def noisy(labels: np.ndarray, chances: list[float], seed: int) -> np.ndarray:
    """Binary predictions, shape (seeds, texts), from each seed's chance of being right."""
    drawn = np.random.default_rng(seed).random((len(chances), len(labels)))
    return np.where(drawn < np.array(chances)[:, None], labels, 1 - labels)


# All figures


def test_figures_of_hand_counted_predictions() -> None:
    found = compared()
    assert [(each.seed, each.accuracy, each.control_accuracy) for each in found.repeats] == [
        (4, 0.8, 0.5),
        (5, 0.6, 0.5),
    ]
    assert [each.retention for each in found.repeats] == pytest.approx([8 / 9, 6 / 9])
    assert found.accuracy == Spread(pytest.approx(0.7), pytest.approx(0.1 * math.sqrt(2)), 0.6, 0.8)
    assert found.retention.mean == pytest.approx(0.7 / 0.9)
    assert found.control_accuracy == Spread(0.5, 0.0, 0.5, 0.5)
    assert found.gain.accuracy == pytest.approx(0.2)
    assert [each.gain.accuracy for each in found.repeats] == pytest.approx([0.3, 0.1])
    # Seed 4 wins texts 5 to 7 and loses none; seed 5 wins 0 to 4 and loses 6 to 9.
    assert [each.gain.p_value for each in found.repeats] == pytest.approx(
        [binomtest(3, 3).pvalue, binomtest(5, 9).pvalue]
    )
    # No text makes p smaller than the sign-flip test's, and the seeds differ too.
    assert found.gain.p_value >= brute_force(np.array([1, 1, 1, 1, 1, 1, 0, 0, -1, -1]))


def test_f1_is_that_of_each_seed() -> None:
    labels = np.array([1, 1, 1, 0, 0])
    students = np.array([[1, 1, 0, 0, 1], [1, 1, 1, 0, 0]])  # F1 2/3 and 1
    found = compare_seeds(SeedPredictions([0, 1], labels, students, None), labels, 2)
    assert [each.f1 for each in found.repeats] == pytest.approx([2 / 3, 1])
    assert found.f1.mean == pytest.approx(5 / 6)


def test_without_controls_there_is_no_gain() -> None:
    found = compared(None)
    assert found.gain is None and found.control_accuracy is None
    assert all(each.gain is None and each.control_accuracy is None for each in found.repeats)
    assert found.accuracy == compared().accuracy
    assert found.retention_ci95 == compared().retention_ci95


def test_the_figures_are_deterministic() -> None:
    assert compared() == compared()


def test_a_teacher_that_is_never_right_gives_finite_figures() -> None:
    found = compare_seeds(SeedPredictions([0, 1], 1 - LABELS, STUDENTS, None), LABELS, 2)
    assert np.isfinite([found.retention.mean, *found.retention_ci95]).all()


@pytest.mark.parametrize(
    ("seeds", "students", "controls"),
    [
        ([0], STUDENTS[:1], None),
        ([0, 1], STUDENTS[:1], None),
        ([0, 1], STUDENTS, CONTROLS[:1]),
        ([0, 1], STUDENTS[:, :9], None),
        ([0, 1], STUDENTS, CONTROLS[:, :9]),
    ],
)
def test_what_does_not_fit_is_refused(seeds: Any, students: Any, controls: Any) -> None:
    with pytest.raises(ValueError, match=r"expected two seeds or more, and predictions of shape \("):
        compare_seeds(SeedPredictions(seeds, TEACHER, students, controls), LABELS, 2)


def test_a_pooled_gain_of_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="2 students and 1 controls"):
        pooled_gain(STUDENTS, CONTROLS[:1], LABELS)


def test_names_of_repeats() -> None:
    assert repeat_name("student", 7) == "student_seed_7"


# The pooled gain


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=10, deadline=None)
def test_one_seed_gives_the_figures_of_one_student(right: list[tuple[bool, bool, bool]]) -> None:
    teacher, student, control = np.array(right, dtype=int).T
    labels = np.ones(len(right), dtype=int)
    pooled, single = pooled_gain(student[None], control[None], labels), gain(student, control, labels)
    assert pooled.accuracy == single.accuracy
    assert pooled.ci95 == pytest.approx(single.ci95, abs=1e-9)
    assert pooled.p_value == pytest.approx(single.p_value, rel=1e-9)
    expected = accuracy_retention(teacher, student, labels)[1]
    assert pooled_retention(teacher, student[None], labels) == pytest.approx(expected, abs=1e-9)


def test_equal_models_have_no_gain() -> None:
    found = pooled_gain(STUDENTS, STUDENTS, LABELS)
    assert (found.accuracy, found.p_value) == (0.0, 1.0)
    assert found.ci95[0] < 0 < found.ci95[1]


@given(st.integers(0, 10_000), st.sampled_from([2, 3, 5]), st.floats(-0.15, 0.15))
@settings(max_examples=5, deadline=None)
def test_p_and_interval_agree_over_seeds(seed: int, seeds: int, advantage: float) -> None:
    labels = np.arange(150) % 2
    students, controls = (
        noisy(labels, [chance] * seeds, seed + own) for own, chance in ((0, 0.8 + advantage), (1, 0.8))
    )
    found, back = pooled_gain(students, controls, labels), pooled_gain(controls, students, labels)
    assert (found.p_value < 0.05) == (not found.ci95[0] <= 0 <= found.ci95[1])
    assert back.accuracy == pytest.approx(-found.accuracy)
    assert back.p_value == pytest.approx(found.p_value)
    assert back.ci95 == pytest.approx((-found.ci95[1], -found.ci95[0]))


def test_seeds_that_agree_have_the_interval_of_the_texts() -> None:
    labels = np.zeros(200, dtype=int)
    student, control = noisy(labels, [0.9], 1), noisy(labels, [0.8], 2)
    pooled = pooled_gain(np.repeat(student, 3, axis=0), np.repeat(control, 3, axis=0), labels)
    assert pooled.ci95 == pytest.approx(gain(student[0], control[0], labels).ci95)


def test_twelve_texts_that_are_all_right_prove_little_over_seeds_too() -> None:
    labels = np.zeros(12, dtype=int)
    low, high = pooled_retention(labels, np.zeros((3, 12), dtype=int), labels)
    assert low < 0.75 and high > 1.3


def test_seeds_that_differ_widen_the_interval_as_the_t_interval_says() -> None:
    """Each seed is right on all texts or on none, so only the seeds vary, by a known amount."""
    labels = np.zeros(5000, dtype=int)
    students = np.repeat([[0], [1], [0], [1], [0], [1], [0], [1], [0], [1]], 5000, axis=1)
    low, high = pooled_gain(students, np.ones((10, 5000), dtype=int), labels).ci95
    half = t.isf(0.025, 9) * math.sqrt(np.var([0, 1] * 5, ddof=1) / 10)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.001)


def test_seeds_that_differ_widen_the_interval() -> None:
    labels = np.arange(2000) % 2
    controls = noisy(labels, [0.8] * 3, 2)
    alike, different = (noisy(labels, chances, 1) for chances in ([0.85] * 3, [0.75, 0.85, 0.95]))
    narrow, wide = (pooled_gain(side, controls, labels).ci95 for side in (alike, different))
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


# The sign-flip test


def brute_force(differences: np.ndarray) -> float:
    seen = abs(differences.sum())
    flips = itertools.product((-1, 1), repeat=len(differences))
    return float(np.mean([abs((np.array(signs) * differences).sum()) >= seen for signs in flips]))


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=11))
@settings(max_examples=80, deadline=None)
def test_sign_flips_against_all_of_them(differences: list[int]) -> None:
    found = sign_flip(np.array(differences))
    assert found == pytest.approx(brute_force(np.array(differences)), rel=1e-12)
    assert found == sign_flip(-np.array(differences))


def test_sign_flips_against_scipy() -> None:
    differences = np.array([3, -1, 2, 2, -3, 1, 1, 0, 2, 3, -1, 1, 2])
    expected = permutation_test(
        (differences, np.zeros_like(differences)), lambda a, b: (a - b).sum(), permutation_type="samples"
    )
    assert sign_flip(differences) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(
    ("won", "lost"), [(0, 0), (1, 0), (6, 1), (3, 3), (400, 600), (2300, 2700), (100, 1900), (0, 900)]
)
def test_with_differences_of_one_it_is_mcnemars_test(won: int, lost: int) -> None:
    differences = np.array([1] * won + [-1] * lost + [0] * 5)
    expected = binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert sign_flip(differences) == pytest.approx(expected, rel=1e-9)


def test_differences_of_one_size_are_mcnemars_too() -> None:
    assert sign_flip(np.array([3] * 40 + [-3] * 10)) == pytest.approx(binomtest(10, 50).pvalue)


def test_a_tail_is_exact() -> None:
    """All differences have one sign, so only that assignment and its mirror are as extreme."""
    assert sign_flip(np.array([1] * 300 + [2] * 200 + [3] * 100)) == pytest.approx(2.0 * 0.5**600, rel=1e-9)


def test_a_tail_is_exact_with_differences_of_both_signs() -> None:
    """500 differences of 2 and one of -1."""
    # The sum is 999. As extreme: all 2s with the same sign, the 1 with either sign.
    assert sign_flip(np.array([2] * 500 + [-1])) == pytest.approx(2 * 2 * 0.5**501, rel=1e-9)


def test_a_large_test_set_has_a_p_value() -> None:
    rng = np.random.default_rng(0)
    differences = rng.binomial(10, 0.3, 25_000) - rng.binomial(10, 0.3, 25_000)
    assert 0 < sign_flip(differences) <= 1


def test_under_the_null_p_is_uniform_at_most() -> None:
    rng = np.random.default_rng(0)
    values = [sign_flip(rng.integers(0, 4, 60) * rng.choice([-1, 1], 60)) for _ in range(1000)]
    assert np.mean(np.array(values) < 0.05) < 0.065
    assert np.mean(np.array(values) < 0.5) == pytest.approx(0.5, abs=0.06)
