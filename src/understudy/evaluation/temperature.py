"""Temperature scaling: brings a model's confidence into line with its accuracy and changes no predicted label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST_TEXTS = 50
"""Choosing a temperature needs this many validation texts; with fewer, single texts would decide."""

PRIOR_TEXTS = 20
"""Weight of the prior for a temperature of 1, in texts.

A text tells I = var(z) about log T, the variance of its logits under the model's own probabilities. A normal prior on
log T with the standard deviation s therefore weighs as much as 1 / (I s^2) texts. Binary classifiers that are right
nine times in ten have an I of about 0.2, and s = 0.5 puts two thirds of all temperatures between 0.6 and 1.6.
"""

_RANGE = (-4.0, 4.0)  # of the temperature's logarithm
_FOLDS = 10


@dataclass(frozen=True)
class ChosenTemperature:
    """A temperature, and whether texts that it was not fitted to speak for it.

    Attributes:
        temperature: What to divide the logits by; 1 if they should stay.
        nll_before: Mean negative log-likelihood of the labels without a temperature; None if it was not computed.
        nll_after: The same with temperatures that were fitted on the other folds.
        left: Why the logits should stay; None if the temperature helps.
    """

    temperature: float
    nll_before: float | None
    nll_after: float | None
    left: str | None

    def __str__(self) -> str:
        said = f"temperature {self.temperature:.3f}" if self.left is None else f"not calibrated: {self.left}"
        if self.nll_before is None:
            return said
        return f"{said}; held-out loss {self.nll_before:.4f} before and {self.nll_after:.4f} after"


def too_few_texts(texts: int) -> str | None:
    """Why this many validation texts are not enough for a temperature; None if they are."""
    if texts < FEWEST_TEXTS:
        return f"only {texts} validation texts; calibration needs {FEWEST_TEXTS}"
    return None


def choose_temperature(logits: np.ndarray, labels: np.ndarray) -> ChosenTemperature:
    """Fits a temperature, and keeps 1 unless temperatures from the other folds help each fold.

    The held-out log-likelihood must rise by more than one standard error. The error is that of a model whose
    probabilities are right, so a few texts that are all answered correctly do not count as proof. The standard error
    of the differences themselves would be close to 0 there.

    Args:
        logits: Shape (texts, classes).
        labels: Class indices, shape (texts,).
    """
    from scipy.special import log_softmax

    few = too_few_texts(len(labels))
    if few is not None:
        return ChosenTemperature(1.0, None, None, few)
    logits = logits.astype(np.float64)
    before = log_softmax(logits, axis=1)
    after = _held_out(logits, labels)
    rows, change = np.arange(len(labels)), after - before
    chances = np.exp(before)
    variance = (chances * change**2).sum(axis=1) - (chances * change).sum(axis=1) ** 2
    helps = change[rows, labels].sum() > np.sqrt(max(0.0, variance.sum()))
    return ChosenTemperature(
        fit_temperature(logits, labels) if helps else 1.0,
        -float(before[rows, labels].mean()),
        -float(after[rows, labels].mean()),
        None if helps else "the validation texts do not prove that a temperature helps",
    )


def fit_temperature(logits: np.ndarray, labels: np.ndarray, prior_texts: float = PRIOR_TEXTS) -> float:
    """The temperature T under which softmax(logits / T) gives the labels the highest likelihood, shrunk towards 1.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599, section 4.2. The prior adds texts
    whose labels the model draws from its own probabilities (a catalytic prior, Huang et al. 2020, PNAS 117). At the
    optimum, the mean logit of the labels equals the mean logit that softmax(logits / T) expects. That mean falls with
    T, so there is one solution. The search covers T from 0.018 to 55 and returns an end if the solution is outside.

    Args:
        logits: Shape (texts, classes).
        labels: Class indices, shape (texts,).
        prior_texts: The prior's weight; 0 gives the maximum of the likelihood.
    """
    from scipy.optimize import brentq
    from scipy.special import softmax

    logits = logits.astype(np.float64)

    def expected(log_temperature: float) -> float:
        return float((softmax(logits / np.exp(log_temperature), axis=1) * logits).sum(axis=1).mean())

    own = prior_texts / (len(labels) + prior_texts)
    wanted = (1 - own) * float(logits[np.arange(len(labels)), labels].mean()) + own * expected(0.0)
    low, high = _RANGE
    if expected(low) <= wanted:
        return float(np.exp(low))
    if expected(high) >= wanted:
        return float(np.exp(high))
    return float(np.exp(brentq(lambda at: expected(at) - wanted, low, high, xtol=1e-6)))


def _held_out(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Every text's log-probabilities with the temperature that the other folds give."""
    from scipy.special import log_softmax

    fold = np.random.default_rng(0).permutation(len(labels)) % _FOLDS
    found = np.empty_like(logits)
    for each in range(_FOLDS):
        held = fold == each
        found[held] = log_softmax(logits[held] / fit_temperature(logits[~held], labels[~held]), axis=1)
    return found
