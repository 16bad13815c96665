from __future__ import annotations

import numpy as np
import pytest

from understudy.evaluation.temperature import at_an_end, fit_temperature
from understudy.inference.logits import softmax


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_a_temperature_is_found_again(temperature: float, classes: int) -> None:
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(50_000, classes))
    labels = (softmax(logits).cumsum(axis=1) < random.random((len(logits), 1))).sum(axis=1)
    assert fit_temperature(temperature * logits, labels) == pytest.approx(temperature, rel=0.05)


def test_two_thirds_right_at_one_confidence_is_a_hand_computed_case() -> None:
    """Three texts with the same logits (t, 0), two of them of class 0: softmax(t / T) = 2/3, so t / T = ln 2."""
    assert fit_temperature(np.array([[3.0, 0.0]] * 3), np.array([0, 0, 1])) == pytest.approx(3 / np.log(2), rel=1e-3)


@pytest.mark.parametrize("label", [0, 1])
def test_always_right_or_always_wrong_stays_finite(label: int) -> None:
    found = fit_temperature(np.array([[3.0, 0.0]] * 4), np.array([label] * 4))
    assert 0.01 < found < 60


@pytest.mark.parametrize(
    ("temperature", "expected"), [(np.exp(-4), True), (np.exp(4), True), (0.02, False), (1, False)]
)
def test_the_ends_of_the_search_range(temperature: float, expected: bool) -> None:
    assert at_an_end(temperature) is expected


@pytest.mark.parametrize("labels", [[0] * 4, [1] * 4, [0, 1] * 2])
def test_uninformative_texts_lead_to_an_end(labels: list[int]) -> None:
    assert at_an_end(fit_temperature(np.array([[3.0, 0.0]] * 4), np.array(labels)))
