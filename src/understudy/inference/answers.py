"""Labels from probabilities; a text without a probable enough class gets none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from understudy.errors import UserError


def labels_of(probabilities: np.ndarray, classes: Sequence[str], threshold: float = 0.0) -> list[str | None]:
    """The most probable class of each text; None where its probability is below the threshold.

    Args:
        probabilities: Shape (texts, classes).
        classes: Their names.
        threshold: From 0 to 1; with 0 every text gets a label.
    """
    top = probabilities.argmax(axis=-1)
    sure = probabilities[np.arange(len(top)), top] >= threshold
    return [classes[index] if answer else None for index, answer in zip(top, sure, strict=True)]


def check_threshold(threshold: float) -> None:
    """Checks that a threshold is a probability.

    Raises:
        UserError: The threshold is not between 0 and 1.
    """
    if not 0 <= threshold <= 1:
        raise UserError(
            f"threshold = {threshold}: expected a probability from 0 to 1. For a run with evaluation.target_precision, "
            "metrics.json has a threshold under `abstention`."
        )
