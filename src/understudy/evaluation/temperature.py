"""Temperature scaling: brings a model's confidence into line with its accuracy and changes no predicted label."""

from __future__ import annotations

import numpy as np

FEWEST_TEXTS = 50
"""Choosing a temperature or a threshold needs this many validation texts; with fewer, single texts would decide."""

_RANGE = (-4.0, 4.0)  # of the temperature's logarithm
_END = 0.01


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T under which softmax(logits / T) gives the labels the highest likelihood.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599, section 4.2. The search covers T from
    0.018 to 55. The negative log-likelihood has one minimum in 1 / T. If all predictions are right, or all are wrong,
    the minimum is at an end of that range.

    Args:
        logits: Shape (texts, classes).
        labels: Class indices, shape (texts,).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)[rows, labels].mean())

    found = minimize_scalar(loss, bounds=_RANGE, method="bounded", options={"xatol": 1e-6})
    # If all predictions are right, the loss is 0 long before the end, and the search stops too early.
    best = min((*_RANGE, float(found.x)), key=loss)
    return float(np.exp(best))


def at_an_end(temperature: float) -> bool:
    """Whether a fitted temperature is within 1 % of an end of the search range: the best one is then outside it."""
    return bool(min(abs(np.log(temperature) - end) for end in _RANGE) < _END)
