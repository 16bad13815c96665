"""Logistic regression of each class against the rest, on hard or soft labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class Targets:
    """How much each text belongs to each class.

    Attributes:
        belongs: Weights of shape (texts, classes).
    """

    belongs: np.ndarray

    @classmethod
    def hard(cls, labels: np.ndarray, classes: int, amounts: np.ndarray | None = None) -> Targets:
        """Each text belongs to one class.

        Args:
            labels: Class indices, shape (texts,).
            classes: Number of classes.
            amounts: Weight of each text, shape (texts,); 1 by default.
        """
        one_hot = labels[:, None] == np.arange(classes)
        return cls(one_hot * (1.0 if amounts is None else amounts[:, None]))

    def sides(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Weight of each text for one class and for the others, each of shape (texts,)."""
        inside, total = self.belongs[:, index], self.belongs.sum(axis=1)
        # Exactly 0 for a text that belongs to that class alone.
        return inside, np.where(inside == total, 0.0, total - inside)


def one_vs_rest(features: csr_array, binary: int, targets: Targets, c: float) -> tuple[np.ndarray, np.ndarray]:
    """Fits each class against the others; two classes have a single output, for the second.

    Args:
        features: Shape (texts, features).
        binary: Number of the first features that are binary; they are scaled by their naive Bayes log-count ratio.
        targets: What each text belongs to.
        c: Inverse strength of the L2 penalty.

    Returns:
        Weights of shape (outputs, features) and intercepts of shape (outputs,), float64.
    """
    classes = targets.belongs.shape[1]
    outputs = [1] if classes == 2 else range(classes)
    fitted = [_against_the_rest(features, binary, *targets.sides(index), c) for index in outputs]
    return np.stack([weights for weights, _ in fitted]), np.array([intercept for _, intercept in fitted])


def to_probabilities(scores: np.ndarray) -> np.ndarray:
    """Probabilities of shape (texts, classes) from scores of shape (texts, outputs)."""
    from scipy.special import expit, log_expit, softmax

    if scores.shape[1] == 1:
        return np.hstack([expit(-scores), expit(scores)])
    return np.asarray(softmax(log_expit(scores), axis=1))


def _against_the_rest(
    features: csr_array, binary: int, inside: np.ndarray, outside: np.ndarray, c: float
) -> tuple[np.ndarray, float]:
    """Weights of shape (features,) and intercept for one class; a text with weights on both sides is used twice."""
    from scipy.sparse import csr_array, vstack
    from sklearn.linear_model import LogisticRegression

    if not features.shape[1] or not inside.any() or not outside.any():
        return np.zeros(features.shape[1]), float(np.log((inside.sum() + 1) / (outside.sum() + 1)))
    ratio = np.ones(features.shape[1])
    if binary:
        ratio[:binary] = _log_count_ratio(1 + (inside @ features)[:binary], 1 + (outside @ features)[:binary])
    data = features.data * ratio[features.indices]
    scaled = csr_array((data, features.indices, features.indptr), shape=features.shape)
    # The dual solver is fast whatever C is. It visits texts in random order, so the seed is fixed.
    model = LogisticRegression(C=c, solver="liblinear", dual=True, tol=1e-3, max_iter=1000, random_state=0)
    if not (inside * outside).any():
        model.fit(scaled, inside > 0, sample_weight=inside + outside)
    else:
        yes, no = np.flatnonzero(inside), np.flatnonzero(outside)
        is_inside = np.arange(len(yes) + len(no)) < len(yes)
        amounts = np.concatenate([inside[yes], outside[no]])
        model.fit(vstack([scaled[yes], scaled[no]], format="csr"), is_inside, sample_weight=amounts)
    return model.coef_[0] * ratio, float(model.intercept_[0])


def _log_count_ratio(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(p / p.sum()) - np.log(q / q.sum()))
