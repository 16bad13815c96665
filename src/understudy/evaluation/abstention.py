"""Abstention: answering only the texts with a high top probability, so that enough of the answers are right.

Chow 1970, "On optimum recognition error and reject tradeoff", IEEE Transactions on Information Theory 16; Geifman and
El-Yaniv 2017, "Selective Classification for Deep Neural Networks", arXiv 1705.08500.
"""

from __future__ import annotations

import math

import numpy as np

from understudy.evaluation.results import Abstention, Answered

CONFIDENCE = 0.95
"""With this probability a threshold's precision is the target or more."""


def abstain(
    target: float,
    validation: np.ndarray,
    validation_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
) -> Abstention:
    """Chooses a threshold on the validation texts and applies it to both sets.

    Args:
        target: Required share of right answers, from 0 to 1.
        validation: Probabilities, shape (texts, classes).
        validation_labels: Class indices, shape (texts,).
        test: Probabilities, shape (texts, classes).
        test_labels: Class indices, shape (texts,).
    """
    threshold = choose_threshold(validation, validation_labels, target)
    return Abstention(
        target,
        threshold,
        answered(validation, validation_labels, threshold),
        answered(test, test_labels, threshold),
    )


def choose_threshold(probabilities: np.ndarray, labels: np.ndarray, target: float) -> float | None:
    """The smallest threshold whose answers are surely right often enough, as far as the validation texts tell.

    A text is answered if its top probability is at or above the threshold. The exact lower confidence limit of the
    share of right answers must reach the target. It is one-sided. As in Geifman and El-Yaniv 2017, the chance of error,
    5 %, is divided by the binary logarithm of the number of texts, because one of many thresholds is chosen.

    All thresholds between two neighbouring top probabilities answer the same texts. Of these, the one with the fewest
    decimals is taken: it is easy to pass on, and the last digits of another machine's probabilities do not cross it. It
    is 0 if all texts may be answered.

    Args:
        probabilities: Shape (texts, classes).
        labels: Class indices, shape (texts,).
        target: From 0 to 1.

    Returns:
        The threshold, or None if no threshold reaches the target.
    """
    from scipy.stats import binom

    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(-top, kind="stable")
    top, count = top[order], np.arange(1, len(top) + 1)
    # The limit reaches the target if and only if so many right answers are this improbable with a precision of target.
    chance = binom.sf(right[order].cumsum() - 1, count, target)
    allowed = (1 - CONFIDENCE) / max(1, math.ceil(math.log2(max(1, len(top)))))
    below = np.append(top[1:], -np.inf)
    reached = np.flatnonzero((below < top) & (chance <= allowed))
    if not len(reached):
        return None
    last = reached[-1]
    return 0.0 if last == len(top) - 1 else _shortest(float(below[last]), float(top[last]))


def answered(probabilities: np.ndarray, labels: np.ndarray, threshold: float | None) -> Answered:
    """The share of texts that a threshold answers, and the share of right answers; None answers no text."""
    sure = probabilities.max(axis=1) >= (math.inf if threshold is None else threshold)
    if not sure.any():
        return Answered(None, 0.0)
    right = probabilities.argmax(axis=1) == labels
    return Answered(float(right[sure].mean()), float(sure.mean()))


def _shortest(low: float, high: float) -> float:
    """The number with the fewest decimals in (low, high], for ends from 0 to 1."""
    for decimals in range(1, 17):
        number: float = round(math.floor(high * 10**decimals) / 10**decimals, decimals)
        if low < number <= high:
            return number
    return high
