from __future__ import annotations

import numpy as np
import pytest

from understudy.errors import UserError
from understudy.inference.answers import check_threshold, labels_of

PROBABILITIES = np.array([[0.2, 0.8], [0.5, 0.5], [0.75, 0.25]])


def test_texts_below_the_threshold_get_no_label() -> None:
    assert labels_of(PROBABILITIES, ["a", "b"]) == ["b", "a", "a"]
    assert labels_of(PROBABILITIES, ["a", "b"], 0.75) == ["b", None, "a"]
    assert labels_of(PROBABILITIES, ["a", "b"], 0.76) == ["b", None, None]
    assert labels_of(PROBABILITIES, ["a", "b"], 1.0) == [None] * 3
    assert labels_of(np.empty((0, 2)), ["a", "b"], 0.5) == []


@pytest.mark.parametrize("threshold", [-0.1, 1.01, float("nan")])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(UserError, match="expected a probability from 0 to 1"):
        check_threshold(threshold)
