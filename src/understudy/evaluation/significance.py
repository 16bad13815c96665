"""How certain the figures are: bootstrap intervals and McNemar's test.

Intervals are percentile intervals of the paired bootstrap over test texts (Efron 1979, "Bootstrap Methods: Another Look
at the Jackknife"). A resample that draws a text takes every model's prediction for it. Only a text's combination of
label and predictions matters. Texts with the same combination form a cell, and a resample is a multinomial draw over
the cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from understudy.evaluation.metrics import agreement, f1_score
from understudy.evaluation.results import Gain, Interval, Retention

_COUNTS_AT_ONCE = 2_000_000
"""Cell counts held in memory at a time, for any number of resamples."""


@dataclass(frozen=True)
class Resampling:
    """The bootstrap's settings.

    Attributes:
        resamples: Number of resamples, at least 1.
        seed: Equal seeds give equal intervals.

    Raises:
        ValueError: `resamples` is less than 1.
    """

    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ValueError(f"Got {self.resamples} resamples; expected at least 1.")

    def draw(self, counts: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the cells' counts in resamples of the same number of texts, each of shape (some resamples, cells).

        Args:
            counts: Texts per cell, shape (cells,).
        """
        rng = np.random.default_rng(self.seed)
        at_once = max(1, _COUNTS_AT_ONCE // len(counts))
        for start in range(0, self.resamples, at_once):
            size = min(at_once, self.resamples - start)
            yield rng.multinomial(counts.sum(), counts / counts.sum(), size=size)


def retention(
    teacher: np.ndarray, student: np.ndarray, labels: np.ndarray, classes: int, resampling: Resampling
) -> Retention:
    """Student / teacher for accuracy and F1, with paired bootstrap intervals.

    If the teacher's figure is 0, on the test set or in a resample, one text's share is added to both figures. Then an
    equally bad student keeps 1, a better one keeps more, and no ratio is infinite.

    Args:
        teacher: Predicted class indices, shape (texts,).
        student: Predicted class indices, shape (texts,).
        labels: True class indices, shape (texts,).
        classes: Number of classes. F1 is binary (positive: index 1) for two, macro for more.
        resampling: The bootstrap's settings.

    Raises:
        ValueError: the shapes disagree, there is no text, or an index is not a class.
    """
    labels, teacher, student = checked(labels, teacher, student)
    every = np.stack([labels, teacher, student])
    if every.min() < 0 or every.max() >= classes:
        raise ValueError(f"Got class indices from {every.min()} to {every.max()}; expected 0 to {classes - 1}.")
    cells, counts = np.unique((labels * classes + teacher) * classes + student, return_counts=True)
    label, teacher_cell, student_cell = cells // classes**2, cells // classes % classes, cells % classes

    accuracies, f1s = [], []
    for drawn in resampling.draw(counts):
        by_teacher, by_student = (_figures(drawn, side, label, classes) for side in (teacher_cell, student_cell))
        accuracies.append(ratio(by_student[0], by_teacher[0], len(labels)))
        f1s.append(ratio(by_student[1], by_teacher[1], len(labels)))
    accuracy = ratio(agreement(student, labels), agreement(teacher, labels), len(labels))
    f1 = ratio(f1_score(student, labels, classes), f1_score(teacher, labels, classes), len(labels))
    return Retention(
        accuracy=float(accuracy),
        accuracy_ci95=percentiles(np.concatenate(accuracies)),
        f1=float(f1),
        f1_ci95=percentiles(np.concatenate(f1s)),
    )


def gain(student: np.ndarray, control: np.ndarray, labels: np.ndarray, resampling: Resampling) -> Gain:
    """Accuracy of the student minus that of the control, with a paired bootstrap interval and McNemar's p.

    Args:
        student: Predicted class indices, shape (texts,).
        control: Predicted class indices, shape (texts,).
        labels: True class indices, shape (texts,).
        resampling: The bootstrap's settings.

    Raises:
        ValueError: the shapes disagree, or there is no text.
    """
    labels, student, control = checked(labels, student, control)
    difference = (student == labels).astype(np.int64) - (control == labels)
    outcomes, counts = np.unique(difference, return_counts=True)
    means = [drawn @ outcomes / len(labels) for drawn in resampling.draw(counts)]
    return Gain(
        accuracy=float(difference.mean()),
        ci95=percentiles(np.concatenate(means)),
        p_value=mcnemar(int((difference == 1).sum()), int((difference == -1).sum())),
    )


def accuracy_interval(predicted: np.ndarray, labels: np.ndarray, resampling: Resampling) -> Interval:
    """Bootstrap interval of one model's accuracy.

    Args:
        predicted: Predicted class indices, shape (texts,).
        labels: True class indices, shape (texts,).
        resampling: The bootstrap's settings.

    Raises:
        ValueError: the shapes disagree, or there is no text.
    """
    labels, predicted = checked(labels, predicted)
    right = int((predicted == labels).sum())
    rng = np.random.default_rng(resampling.seed)
    drawn = rng.binomial(len(labels), right / len(labels), size=resampling.resamples)
    return percentiles(drawn / len(labels))


def mcnemar(only_first_right: int, only_second_right: int) -> float:
    """Two-sided p of the exact test that two models make errors equally often (McNemar 1947).

    Texts that both models get right, or both get wrong, do not count; if there are no others, p is 1.

    Args:
        only_first_right: Number of texts that only the first model gets right.
        only_second_right: Number of texts that only the second model gets right.
    """
    from scipy.stats import binomtest

    discordant = only_first_right + only_second_right
    return float(binomtest(only_first_right, discordant, 0.5).pvalue) if discordant else 1.0


def _figures(
    counts: np.ndarray, predicted: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and F1 of each resample, both of shape (resamples,), from counts of shape (resamples, cells)."""
    right = counts * (predicted == labels)
    hits, claimed, present = (
        _by_class(amounts, of, classes) for amounts, of in ((right, labels), (counts, predicted), (counts, labels))
    )
    f1 = 2 * hits / np.maximum(claimed + present, 1)
    return right.sum(axis=1) / counts.sum(axis=1), f1[1] if classes == 2 else f1.mean(axis=0)


def _by_class(counts: np.ndarray, of: np.ndarray, classes: int) -> np.ndarray:
    """Sums the cells of each class: from (resamples, cells) to (classes, resamples)."""
    from scipy.sparse import csr_array

    cells = np.arange(len(of))
    belongs = csr_array((np.ones_like(of), (of, cells)), shape=(classes, len(of)))
    return np.asarray(belongs @ np.ascontiguousarray(counts.T))


def ratio(student: np.ndarray | float, teacher: np.ndarray | float, texts: int) -> np.ndarray:
    """Student / teacher; where the teacher has 0, one text's share is first added to both."""
    share = np.where(np.asarray(teacher) == 0, 1 / texts, 0.0)
    return np.asarray((student + share) / (teacher + share))


def percentiles(values: np.ndarray) -> Interval:
    """The 95 % interval of a figure's resamples."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def checked(*columns: np.ndarray) -> list[np.ndarray]:
    """The columns as integers, all of the same shape (texts,).

    Raises:
        ValueError: the shapes disagree, or there is no text.
    """
    arrays = [np.asarray(column).astype(np.int64) for column in columns]
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) != 1 or len(shapes[0]) != 1 or not shapes[0][0]:
        raise ValueError(f"Got class indices of shapes {shapes}; expected one shape (texts,) with at least one text.")
    return arrays
