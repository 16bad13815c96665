import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from understudy.evaluation.metrics import (
    agreement,
    balanced_accuracy,
    class_qualities,
    expected_calibration_error,
    f1_score,
    macro_f1,
    quality,
)


def two_classes(*positive: float) -> np.ndarray:
    return np.array([[1 - p, p] for p in positive])


def test_quality_of_hand_counted_binary_predictions():
    found = quality(two_classes(0.9, 0.6, 0.3, 0.2), np.array([1, 0, 1, 0]))

    assert found.accuracy == 0.5
    assert found.f1 == pytest.approx(0.5)  # precision 1/2, recall 1/2
    assert found.auc == 0.75  # of the four pairs (positive, negative) only (0.3, 0.6) is the wrong way round
    # top probabilities 0.9 right, 0.6 wrong, 0.7 wrong, 0.8 right, each in a bin of its own
    assert found.ece == pytest.approx((0.1 + 0.6 + 0.7 + 0.2) / 4)


def test_binary_f1_is_about_index_1():
    predicted, labels = np.array([1, 0, 0, 0]), np.array([1, 1, 0, 0])

    assert f1_score(predicted, labels, 2) == pytest.approx(2 / 3)  # precision 1, recall 1/2; of index 0 it is 0.8


def test_macro_f1_counts_every_class_of_the_task():
    predicted, labels = np.array([0, 0, 1]), np.array([0, 1, 1])

    assert f1_score(predicted, labels, 3) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_f1_of_an_absent_class_is_zero_without_a_warning(recwarn):
    assert f1_score(np.zeros(3, int), np.zeros(3, int), 2) == 0.0
    assert not recwarn.list


def test_auc_of_three_classes_is_the_mean_of_one_against_the_rest():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.6, 0.1, 0.3], [0.1, 0.2, 0.7]])
    # class 0: 0.8 beats the others' 0.5, 0.6, 0.1; class 1: 0.4 beats all; class 2: 0.3 and 0.7 beat both 0.1
    assert quality(probabilities, np.array([0, 1, 2, 2])).auc == 1.0
    # class 0: 0.8 and 0.6 beat 0.5 and 0.1; class 1: 0.2 beats two of three; class 2: 0.1 ties with one of three
    assert quality(probabilities, np.array([0, 2, 0, 1])).auc == pytest.approx((1 + 2 / 3 + 1 / 6) / 3)


def test_equal_probabilities_give_an_auc_of_a_half_and_the_lowest_index():
    found = quality(two_classes(0.5, 0.5, 0.5, 0.5), np.array([0, 1, 0, 0]))

    assert found.auc == 0.5
    assert found.accuracy == 0.75


def test_auc_is_none_where_a_class_has_no_text():
    assert quality(two_classes(0.9, 0.8), np.array([1, 1])).auc is None
    assert quality(np.full((2, 3), 1 / 3), np.array([0, 1])).auc is None


def test_one_text():
    found = quality(two_classes(0.75), np.array([1]))

    assert (found.accuracy, found.f1, found.auc, found.ece) == (1.0, 1.0, None, 0.25)


def test_ece_averages_within_a_bin_before_it_takes_the_gap():
    # All four top probabilities are in (10/15, 11/15]: mean confidence 0.7, accuracy 0.75.
    probabilities = two_classes(0.68, 0.72, 0.69, 0.71)

    assert expected_calibration_error(probabilities, np.array([1, 1, 1, 0])) == pytest.approx(0.05)


def test_ece_puts_an_edge_into_the_bin_below_it():
    # With two bins 0.5 belongs to the lower one and 0.9 to the upper: gaps 0.5 (right) and 0.9 (wrong). In one bin
    # they would cancel to 0.4 / 2.
    probabilities = np.array([[0.5, 0.5], [0.1, 0.9]])

    assert expected_calibration_error(probabilities, np.array([0, 0]), bins=2) == pytest.approx((0.5 + 0.9) / 2)


def test_certainty_falls_into_the_last_bin():
    assert expected_calibration_error(two_classes(1.0, 1.0, 0.0, 0.0), np.array([1, 0, 0, 0])) == 0.25


def test_agreement_is_the_share_of_equal_labels():
    assert agreement(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1])) == 0.75


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_a_perfect_model_of_many_classes(data):
    classes = data.draw(st.sampled_from([2, 3, 77]))
    labels = np.array([*range(classes), *data.draw(st.lists(st.integers(0, classes - 1), max_size=20))])
    sure = np.eye(classes)[labels]

    found = quality(sure, labels)

    assert (found.accuracy, found.f1, found.auc, found.ece) == (1.0, 1.0, 1.0, 0.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
@settings(deadline=None)
def test_ece_is_between_the_overall_gap_and_one(rows):
    probabilities, labels = two_classes(*(p for p, _ in rows)), np.array([label for _, label in rows])
    overall = abs(probabilities.max(axis=1).mean() - agreement(probabilities.argmax(axis=1), labels))

    assert overall - 1e-9 <= expected_calibration_error(probabilities, labels) <= 1


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (np.zeros((0, 2)), np.zeros(0, int)),
        (np.full((3, 2), 0.5), np.zeros(2, int)),
        (np.full(3, 0.5), np.zeros(3, int)),
        (np.full((2, 2), 0.5), np.array([0, 2])),
        (np.full((2, 2), 0.5), np.array([0, -100])),
    ],
)
def test_shapes_and_labels_that_do_not_fit_are_refused(probabilities, labels):
    with pytest.raises(ValueError, match=r"Got .*expected"):
        quality(probabilities, labels)


def test_agreement_refuses_unequal_lengths_and_no_texts():
    with pytest.raises(ValueError, match=r"\(1,\) and \(2,\)"):
        agreement(np.array([1]), np.array([1, 1]))
    with pytest.raises(ValueError, match="at least one text"):
        agreement(np.array([]), np.array([]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_the_figures_of_all_classes_are_those_of_scikit_learn(pairs):
    from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support
    from sklearn.metrics import f1_score as sklearn_f1

    labels, predicted = np.array(pairs).T
    names = ["a", "b", "c", "d"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about classes that are only predicted
        assert balanced_accuracy(predicted, labels) == pytest.approx(balanced_accuracy_score(labels, predicted))
        expected = precision_recall_fscore_support(labels, predicted, labels=range(4), zero_division=np.nan)
    macro = sklearn_f1(labels, predicted, labels=range(4), average="macro", zero_division=0)
    assert macro_f1(predicted, labels, 4) == pytest.approx(macro)
    for each, precision, recall, f1, support in zip(class_qualities(predicted, labels, names), *expected, strict=True):
        found = [np.nan if value is None else value for value in (each.precision, each.recall, each.f1)]
        assert found == pytest.approx([precision, recall, f1], nan_ok=True)
        assert each.support == support


def test_the_interval_of_a_recall_is_exact():
    predicted, labels = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    first, second, third = class_qualities(predicted, labels, ["a", "b", "c"])
    low, high = binomtest(1, 2).proportion_ci(method="exact")
    assert second.recall_ci95 == pytest.approx((low, high))
    assert (first.name, first.support, first.precision, first.recall) == ("a", 2, pytest.approx(2 / 3), 1.0)
    assert (third.support, third.precision, third.recall, third.recall_ci95, third.f1) == (0, None, None, None, None)


def test_quality_has_macro_f1_and_balanced_accuracy():
    found = quality(two_classes(0.9, 0.9, 0.9, 0.1), np.array([1, 1, 0, 0]))
    assert found.balanced_accuracy == 0.75
    assert found.f1 == pytest.approx(0.8)
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
