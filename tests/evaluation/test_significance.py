import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from understudy.evaluation import significance
from understudy.evaluation.metrics import f1_score
from understudy.evaluation.significance import Resampling, accuracy_interval, gain, mcnemar, retention


def noisy(labels: np.ndarray, classes: int, error: float, seed: int) -> np.ndarray:
    """Predictions that are wrong on a share of the texts."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(labels)) < error, rng.integers(0, classes, len(labels)), labels)


def test_retention_of_hand_counted_predictions():
    labels = np.array([1, 1, 1, 0, 0])
    teacher = np.array([1, 1, 1, 0, 1])  # accuracy 4/5, precision 3/4, recall 1: F1 6/7
    student = np.array([1, 1, 0, 0, 1])  # accuracy 3/5, precision 2/3, recall 2/3: F1 2/3

    found = retention(teacher, student, labels, 2, Resampling(200, seed=0))

    assert found.accuracy == pytest.approx(0.75)
    assert found.f1 == pytest.approx((2 / 3) / (6 / 7))


@pytest.mark.parametrize("classes", [2, 5])
def test_the_interval_of_f1_is_that_of_a_plain_resampling_loop(classes):
    rng = np.random.default_rng(7)
    labels = rng.integers(0, classes, 200)
    teacher, student = noisy(labels, classes, 0.2, 1), noisy(labels, classes, 0.4, 2)
    found = retention(teacher, student, labels, classes, Resampling(20_000, seed=3))

    f1s = []
    for _ in range(1500):
        drawn = rng.integers(0, len(labels), len(labels))
        f1s.append(
            reference_f1(student[drawn], labels[drawn], classes) / reference_f1(teacher[drawn], labels[drawn], classes)
        )

    assert found.f1_ci95 == pytest.approx(np.percentile(f1s, [2.5, 97.5]), abs=0.01)


def reference_f1(predicted: np.ndarray, labels: np.ndarray, classes: int) -> float:
    scores = []
    for index in [1] if classes == 2 else range(classes):
        hits = ((predicted == index) & (labels == index)).sum()
        scores.append(2 * hits / max(1, (predicted == index).sum() + (labels == index).sum()))
    return float(np.mean(scores))


@given(st.sampled_from([2, 3, 77]), st.integers(1, 40), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_f1_from_cells_is_f1_from_texts(classes, texts, seed):
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, classes, texts), rng.integers(0, classes, texts)

    f1 = significance._f1(np.ones((1, texts), dtype=np.int64), predicted, labels, classes)

    assert f1[0] == pytest.approx(f1_score(predicted, labels, classes))


def test_a_student_that_copies_its_teacher_keeps_everything():
    labels = np.arange(100) % 2
    teacher = noisy(labels, 2, 0.5, 0)

    found = retention(teacher, teacher, labels, 2, Resampling(500, seed=0))

    assert (found.accuracy, found.f1, found.f1_ci95) == (1.0, 1.0, (1.0, 1.0))
    low, high = found.accuracy_ci95
    assert 0.9 < low < 1 < high < 1.1  # other texts could tell them apart


def test_with_a_perfect_teacher_the_retention_is_the_students_accuracy():
    labels = np.arange(400) % 2
    student = np.where(np.arange(400) < 100, 1 - labels, labels)

    found = retention(labels, student, labels, 2, Resampling(20_000, seed=0))

    assert found.accuracy == 0.75
    deviation = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found.accuracy_ci95 == pytest.approx((0.75 - deviation, 0.75 + deviation), abs=0.006)


def test_a_teacher_that_is_never_right_gives_finite_figures():
    labels = np.zeros(4, dtype=int)
    wrong, half = np.ones(4, dtype=int), np.array([0, 0, 1, 1])

    assert retention(wrong, wrong, labels, 2, Resampling(50, seed=0)).accuracy == 1.0
    better = retention(wrong, half, labels, 2, Resampling(50, seed=0))
    assert better.accuracy == 3.0  # (2/4 + 1/4) / (0 + 1/4)
    assert better.f1 == 1.0  # neither predicts the positive class: 0 / 0
    assert all(math.isfinite(end) for end in (*better.accuracy_ci95, *better.f1_ci95))


@given(st.integers(1, 6), st.integers(0, 10_000), st.sampled_from([2, 3]))
@settings(max_examples=50, deadline=None)
def test_tiny_test_sets_never_give_a_figure_that_is_not_finite(texts, seed, classes):
    rng = np.random.default_rng(seed)
    teacher, student, labels = rng.integers(0, classes, (3, texts))

    found = retention(teacher, student, labels, classes, Resampling(50, seed=seed))

    assert np.isfinite([found.accuracy, *found.accuracy_ci95, found.f1, *found.f1_ci95]).all()
    assert found.accuracy_ci95[0] <= found.accuracy_ci95[1]


def test_one_text():
    one = np.array([1])

    low, high = retention(one, one, one, 2, Resampling(10, seed=0)).accuracy_ci95
    assert low < 0.06 and high == 2.0
    found = gain(one, 1 - one, one)
    assert (found.accuracy, found.p_value) == (1.0, 1.0)
    assert found.ci95[0] < -0.7 and found.ci95[1] == 1.0
    assert accuracy_interval(one, one) == pytest.approx((0.025, 1.0))


def test_twelve_texts_that_are_all_right_prove_little():
    """The percentile bootstrap gave [1, 1] here, and the verdict was REPLACE."""
    labels = np.arange(12) % 2
    low, high = retention(labels, labels, labels, 2, Resampling(100)).accuracy_ci95
    assert low < 0.75 and high > 1.3
    assert accuracy_interval(labels, labels)[0] == pytest.approx(0.025 ** (1 / 12))


def test_seventy_seven_classes_with_some_missing():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 70, 3000)
    teacher, student = noisy(labels, 77, 0.1, 1), noisy(labels, 77, 0.15, 2)

    found = retention(teacher, student, labels, 77, Resampling(1000, seed=0))

    assert found.f1 == pytest.approx(f1_score(student, labels, 77) / f1_score(teacher, labels, 77))
    assert found.f1_ci95[0] < found.f1 < found.f1_ci95[1]
    assert found.f1_ci95[1] - found.f1_ci95[0] < 0.1


def test_the_seed_decides_and_the_chunks_do_not(monkeypatch):
    labels = np.arange(60) % 3
    sides = noisy(labels, 3, 0.3, 1), noisy(labels, 3, 0.3, 2), labels
    first = retention(*sides, 3, Resampling(100, seed=5))

    assert retention(*sides, 3, Resampling(100, seed=6)) != first
    monkeypatch.setattr(significance, "_COUNTS_AT_ONCE", 1)
    assert retention(*sides, 3, Resampling(100, seed=5)) == first


def test_swapping_the_sides_turns_the_gain_round():
    labels = np.arange(50) % 2
    student, control = noisy(labels, 2, 0.2, 1), noisy(labels, 2, 0.6, 2)
    there, back = (gain(*sides, labels) for sides in ((student, control), (control, student)))

    assert there.accuracy == -back.accuracy > 0
    assert there.p_value == back.p_value
    assert there.ci95 == pytest.approx((-back.ci95[1], -back.ci95[0]), abs=1e-12)


def test_gain_of_hand_counted_predictions():
    labels = np.zeros(10, dtype=int)
    student = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    control = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 1])

    found = gain(student, control, labels)

    assert found.accuracy == pytest.approx(0.3)  # 8 right against 5
    assert found.p_value == pytest.approx(0.375)  # 4 against 1: 2 * (C(5,0) + C(5,1)) / 2^5
    assert found.ci95[0] < 0 < 0.3 < found.ci95[1]


def test_equal_models_have_no_gain():
    labels = np.arange(20) % 2

    found = gain(labels, labels, labels)
    assert (found.accuracy, found.p_value) == (0.0, 1.0)
    assert -0.25 < found.ci95[0] == -found.ci95[1] < 0  # 20 texts cannot rule out a small gain


def test_accuracy_interval_is_the_binomial_one():
    labels = np.zeros(2500, dtype=int)
    predicted = (np.arange(2500) < 250).astype(int)

    expected = binomtest(2250, 2500).proportion_ci()
    assert accuracy_interval(predicted, labels) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (3, 3, 1.0), (6, 1, 2 * (1 + 7) / 128), (0, 10, 2 / 1024)],
)
def test_mcnemar_against_sums_of_binomials(first, second, p):
    assert mcnemar(first, second) == pytest.approx(p)
    assert mcnemar(second, first) == pytest.approx(p)


def test_what_does_not_fit_is_refused():
    two, three = np.array([0, 1]), np.array([0, 1, 1])

    with pytest.raises(ValueError, match=r"\(3,\)"):
        retention(two, three, two, 2, Resampling(10, seed=0))
    with pytest.raises(ValueError, match="expected 0 to 1"):
        retention(two, two + 1, two, 2, Resampling(10, seed=0))
    with pytest.raises(ValueError, match="at least 1"):
        Resampling(0)
    with pytest.raises(ValueError, match="at least one text"):
        accuracy_interval(two[:0], two[:0])
