"""Temperature scaling: probabilities that mean what they say, without another answer."""

from __future__ import annotations

import numpy as np

FEWEST_TEXTS = 50
"""On fewer validation texts than these no temperature and no threshold is chosen: they would follow single texts."""

_RANGE = (-4.0, 4.0)  # of the logarithm
_END = 0.01


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T for which softmax(logits / T) is most likely to have given the labels.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599, section 4.2. The negative
    log-likelihood has one minimum in 1 / T; where all texts are answered rightly or all wrongly it lies at an end of
    what is searched, T from 0.018 to 55.

    Args:
        logits: Shape (texts, classes).
        labels: Class numbers, shape (texts,).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)[rows, labels].mean())

    found = minimize_scalar(loss, bounds=_RANGE, method="bounded", options={"xatol": 1e-6})
    # Where all texts are answered rightly the loss vanishes long before the end, and the search stops anywhere.
    best = min((*_RANGE, float(found.x)), key=loss)
    return float(np.exp(best))


def at_an_end(temperature: float) -> bool:
    """Whether a fitted temperature is within 1 % of an end of what is searched, so that the best one lies beyond."""
    return bool(min(abs(np.log(temperature) - end) for end in _RANGE) < _END)
