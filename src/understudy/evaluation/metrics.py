"""How good predictions are: accuracy, F1, AUC, calibration, and the figures of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from understudy.evaluation.intervals import exact_limits


@dataclass(frozen=True)
class Quality:
    """The quality figures of `ModelMetrics`.

    Attributes:
        accuracy: Share of texts with the right label.
        f1: Binary for two classes (positive: index 1), macro otherwise.
        auc: Area under the ROC curve, one against the rest, macro; None if a class has no test text.
        ece: Expected calibration error, 15 equal-width bins of the top probability.
        macro_f1: Mean over all classes of their F1.
        balanced_accuracy: Mean over the classes with test texts of their recall.
    """

    accuracy: float
    f1: float
    auc: float | None
    ece: float
    macro_f1: float
    balanced_accuracy: float


@dataclass(frozen=True)
class ClassQuality:
    """How good predictions are for one class.

    Attributes:
        name: The class.
        support: Texts with this label.
        precision: Share of the texts with this prediction that have this label; None if it is never predicted.
        recall: Share of the texts with this label that are predicted; None without such texts.
        recall_ci95: Exact 95 % interval of the recall (Clopper and Pearson 1934); None without such texts.
        f1: Harmonic mean of precision and recall; None if the class is neither predicted nor a label.
    """

    name: str
    support: int
    precision: float | None
    recall: float | None
    recall_ci95: tuple[float, float] | None
    f1: float | None


def quality(probabilities: np.ndarray, labels: np.ndarray) -> Quality:
    """All figures of one model. If classes are equally probable, the lowest index counts as predicted.

    Args:
        probabilities: Shape (texts, classes).
        labels: Shape (texts,), class indices.

    Raises:
        ValueError: The shapes disagree, there is no text, or a label is not a class.
    """
    probabilities, labels = _checked(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    return Quality(
        accuracy=agreement(predicted, labels),
        f1=f1_score(predicted, labels, probabilities.shape[1]),
        auc=_auc(probabilities, labels),
        ece=expected_calibration_error(probabilities, labels),
        macro_f1=macro_f1(predicted, labels, probabilities.shape[1]),
        balanced_accuracy=balanced_accuracy(predicted, labels),
    )


CALIBRATION_BINS = 15


@dataclass(frozen=True)
class CalibrationBins:
    """Texts grouped by top probability, in bins of equal width from 0 to 1; each array has the shape (bins,).

    Attributes:
        texts: Number of texts.
        confidence: Mean top probability; NaN in an empty bin.
        accuracy: Share of texts with the right label; NaN in an empty bin.
        error: Expected calibration error.
    """

    texts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


def calibration_bins(probabilities: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS) -> CalibrationBins:
    """How confident a model is, and how often it is right.

    A bin includes its upper edge, not its lower one (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
        probabilities: Shape (texts, classes).
        labels: Shape (texts,), class indices.
        bins: Number of bins between 0 and 1.

    Raises:
        ValueError: The shapes disagree, there is no text, or a label is not a class.
    """
    probabilities, labels = _checked(probabilities, labels)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(np.int64)

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(place, weights=weights, minlength=bins)

    texts = np.bincount(place, minlength=bins)
    shown = np.where(texts > 0, texts, np.nan)
    error = float(np.abs(total(confidence - right)).sum() / len(labels))
    return CalibrationBins(texts, total(confidence) / shown, total(right.astype(float)) / shown, error)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """Gap between the top probability and the accuracy, averaged over the texts of `calibration_bins`.

    Arguments and errors are those of `calibration_bins`.
    """
    return calibration_bins(probabilities, labels, bins).error


def agreement(predicted_a: np.ndarray, predicted_b: np.ndarray) -> float:
    """Share of texts for which two arrays of class indices, both of shape (texts,), are equal.

    Raises:
        ValueError: The shapes disagree, or there is no text.
    """
    predicted_a, predicted_b = np.asarray(predicted_a), np.asarray(predicted_b)
    if predicted_a.shape != predicted_b.shape or predicted_a.ndim != 1 or not predicted_a.size:
        raise ValueError(
            f"Got class indices of shapes {predicted_a.shape} and {predicted_b.shape}; "
            "expected one shape (texts,) with at least one text."
        )
    return float(np.mean(predicted_a == predicted_b))


def f1_score(predicted: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """F1: that of index 1 for two classes, otherwise the mean over all classes.

    A class that is neither predicted nor present counts as 0.

    Args:
        predicted: Shape (texts,), class indices.
        labels: Shape (texts,), class indices.
        classes: Number of classes of the task, including those that do not occur.
    """
    return _mean_f1(predicted, labels, [1] if classes == 2 else list(range(classes)))


def macro_f1(predicted: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Mean of the F1 of all classes; a class that is neither predicted nor present counts as 0.

    Arguments are those of `f1_score`.
    """
    return _mean_f1(predicted, labels, list(range(classes)))


def _mean_f1(predicted: np.ndarray, labels: np.ndarray, averaged: list[int]) -> float:
    from sklearn.metrics import f1_score as sklearn_f1

    return float(sklearn_f1(labels, predicted, labels=averaged, average="macro", zero_division=0))


def balanced_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean recall of the classes that have texts (Brodersen et al. 2010, "The Balanced Accuracy").

    Args:
        predicted: Shape (texts,), class indices.
        labels: Shape (texts,), class indices.
    """
    present = np.unique(labels)
    return float(np.mean([(predicted[labels == index] == index).mean() for index in present]))


def class_qualities(predicted: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> tuple[ClassQuality, ...]:
    """The figures of each class, in the order of `names`.

    Args:
        predicted: Shape (texts,), class indices.
        labels: Shape (texts,), class indices.
        names: The names of all classes.
    """
    return tuple(_class_quality(predicted == index, labels == index, name) for index, name in enumerate(names))


def _class_quality(claimed: np.ndarray, true: np.ndarray, name: str) -> ClassQuality:
    hits, predicted, support = int((claimed & true).sum()), int(claimed.sum()), int(true.sum())
    limits = exact_limits(np.asarray(hits), support) if support else None
    return ClassQuality(
        name=name,
        support=support,
        precision=hits / predicted if predicted else None,
        recall=hits / support if support else None,
        recall_ci95=None if limits is None else (float(limits[0]), float(limits[1])),
        f1=2 * hits / (predicted + support) if predicted + support else None,
    )


def _auc(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the ROC curve (Hand and Till 2001), one class against the rest, averaged over the classes."""
    from sklearn.metrics import roc_auc_score

    classes = probabilities.shape[1]
    if len(np.unique(labels)) < max(classes, 2):
        return None
    ranked = [1] if classes == 2 else range(classes)
    return float(np.mean([roc_auc_score(labels == index, probabilities[:, index]) for index in ranked]))


def _checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not labels.size:
        raise ValueError(
            f"Got probabilities of shape {probabilities.shape} and labels of shape {labels.shape}; "
            "expected (texts, classes) and (texts,) with at least one text."
        )
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(
            f"Got labels from {labels.min()} to {labels.max()}; expected 0 to {probabilities.shape[1] - 1}."
        )
    return probabilities, labels
