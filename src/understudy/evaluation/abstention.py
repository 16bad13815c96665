"""Abstention: answering only where the top probability is high, so that the answers are right as often as they must be.

Chow 1970, "On optimum recognition error and reject tradeoff", IEEE Transactions on Information Theory 16; Geifman and
El-Yaniv 2017, "Selective Classification for Deep Neural Networks", arXiv 1705.08500.
"""

from __future__ import annotations

import math

import numpy as np

from understudy.evaluation.calibration import FEWEST_TEXTS
from understudy.evaluation.results import Abstention, Answered


def abstain(
    target: float,
    validation: np.ndarray,
    validation_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
) -> Abstention:
    """The threshold that the validation texts suggest, and what becomes of both sets with it.

    Args:
        target: Share of the answers that is to be right.
        validation: Probabilities, shape (texts, classes).
        validation_labels: Class numbers, shape (texts,).
        test: Like `validation`.
        test_labels: Like `validation_labels`.
    """
    threshold = choose_threshold(validation, validation_labels, target)
    return Abstention(
        target,
        threshold,
        answered(validation, validation_labels, threshold),
        answered(test, test_labels, threshold),
    )


def choose_threshold(probabilities: np.ndarray, labels: np.ndarray, target: float) -> float | None:
    """The smallest threshold with which at least a share `target` of the answered texts has the right label.

    A text is answered if its top probability is the threshold or more. So texts with the same top probability are
    answered all together or not at all, and all thresholds between two neighbouring top probabilities answer the same
    texts: of these the number with the fewest decimals is taken, which is easily passed on and which the last digits
    of another machine's probabilities do not cross. It is 0 where all texts may be answered. A threshold with which
    fewer than 50 texts are answered does not count, for that those are right may well be luck.

    Args:
        probabilities: Shape (texts, classes).
        labels: Class numbers, shape (texts,).
        target: From 0 to 1.

    Returns:
        The threshold; None if none reaches the target.
    """
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(-top, kind="stable")
    top, count = top[order], np.arange(1, len(top) + 1)
    precision = right[order].cumsum() / count
    below = np.append(top[1:], -np.inf)
    reached = np.flatnonzero((below < top) & (precision >= target) & (count >= FEWEST_TEXTS))
    if not len(reached):
        return None
    last = reached[-1]
    return 0.0 if last == len(top) - 1 else _shortest(float(below[last]), float(top[last]))


def answered(probabilities: np.ndarray, labels: np.ndarray, threshold: float | None) -> Answered:
    """How many texts are answered with a threshold, and how many of these rightly; None answers no text."""
    sure = probabilities.max(axis=1) >= (math.inf if threshold is None else threshold)
    if not sure.any():
        return Answered(None, 0.0)
    right = probabilities.argmax(axis=1) == labels
    return Answered(float(right[sure].mean()), float(sure.mean()))


def _shortest(low: float, high: float) -> float:
    """The number with the fewest decimals that is above `low` and not above `high`, two numbers from 0 to 1."""
    for decimals in range(1, 17):
        number = round(math.floor(high * 10**decimals) / 10**decimals, decimals)
        if low < number <= high:
            return number
    return high
