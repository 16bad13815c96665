"""Calibration bins, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.evaluation.metrics import CALIBRATION_BINS, calibration_bins, expected_calibration_error


def binary(*positive: float) -> np.ndarray:
    return np.array([[1 - share, share] for share in positive])


def test_counts_confidence_and_accuracy_of_each_bin() -> None:
    found = calibration_bins(binary(0.9, 0.8, 0.3, 0.55), np.array([1, 0, 0, 1]), bins=5)
    assert found.texts.tolist() == [0, 0, 1, 2, 1]  # 0.55; 0.7 and 0.8, which is an upper edge; 0.9
    assert found.confidence[2:] == pytest.approx([0.55, 0.75, 0.9])
    assert found.accuracy[2:] == pytest.approx([1.0, 0.5, 1.0])
    assert np.isnan(found.confidence[:2]).all() and np.isnan(found.accuracy[:2]).all()
    assert found.error == pytest.approx((0.45 + 2 * 0.25 + 0.1) / 4)


def test_there_are_fifteen_bins() -> None:
    found = calibration_bins(binary(0.9), np.array([1]))
    assert len(found.texts) == len(found.confidence) == len(found.accuracy) == CALIBRATION_BINS == 15
    assert found.texts.tolist() == [0] * 13 + [1, 0]


def test_probabilities_of_zero_are_in_the_first_bin() -> None:
    """As where every class has been answered with 0."""
    assert calibration_bins(np.zeros((2, 3)), np.array([0, 1]), bins=4).texts.tolist() == [2, 0, 0, 0]


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=40), st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_bins_against_a_plain_loop(rows: list[tuple[float, int]], bins: int) -> None:
    probabilities, labels = binary(*(share for share, _ in rows)), np.array([label for _, label in rows])
    error, found = 0.0, calibration_bins(probabilities, labels, bins)
    for number in range(bins):
        inside = [
            (max(row), float(row.argmax() == label))
            for row, label in zip(probabilities, labels, strict=True)
            if number / bins < max(row) <= (number + 1) / bins
        ]
        if abs(found.texts[number] - len(inside)):  # an edge that rounding moves
            return
        if inside:
            confidence, right = np.mean(inside, axis=0)
            assert (found.confidence[number], found.accuracy[number]) == pytest.approx((confidence, right))
            error += len(inside) / len(labels) * abs(confidence - right)
    assert expected_calibration_error(probabilities, labels, bins) == pytest.approx(error)
