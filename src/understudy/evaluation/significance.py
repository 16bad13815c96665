"""How certain the figures are, from labels and predictions.

The intervals of accuracies, of their difference and of their ratio are those of `understudy.evaluation.intervals`.

F1 has no such method. Its interval is the percentile interval of the paired bootstrap over test texts (Efron 1979,
"Bootstrap Methods: Another Look at the Jackknife"). A resample that draws a text takes every model's prediction for it.
Only a text's combination of label and predictions matters. Texts with the same combination form a cell, and a resample
is a multinomial draw over the cells. With fewer than `FEW_TEXTS` texts this interval is too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from understudy.evaluation import intervals
from understudy.evaluation.metrics import agreement, f1_score
from understudy.evaluation.results import Gain, Interval, Retention

FEW_TEXTS = 200
"""With fewer test texts, a bootstrap interval contains the truth less often than it says."""

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
    """Student / teacher: a score interval for accuracy, a paired bootstrap interval for F1.

    If the teacher's figure is 0, on the test set or in a resample, one text's share is added to both figures. Then an
    equally bad student keeps 1, a better one keeps more, and no ratio is infinite.

    Args:
        teacher: Predicted class indices, shape (texts,).
        student: Predicted class indices, shape (texts,).
        labels: True class indices, shape (texts,).
        classes: Number of classes. F1 is binary (positive: index 1) for two, macro for more.
        resampling: The bootstrap's settings.

    Raises:
        ValueError: The shapes disagree, there is no text, or an index is not a class.
    """
    labels, teacher, student = checked(labels, teacher, student)
    every = np.stack([labels, teacher, student])
    if every.min() < 0 or every.max() >= classes:
        raise ValueError(f"Got class indices from {every.min()} to {every.max()}; expected 0 to {classes - 1}.")
    cells, counts = np.unique((labels * classes + teacher) * classes + student, return_counts=True)
    label, teacher_cell, student_cell = cells // classes**2, cells // classes % classes, cells % classes

    f1s = []
    for drawn in resampling.draw(counts):
        by_teacher, by_student = (_f1(drawn, side, label, classes) for side in (teacher_cell, student_cell))
        f1s.append(ratio(by_student, by_teacher, len(labels)))
    f1 = ratio(f1_score(student, labels, classes), f1_score(teacher, labels, classes), len(labels))
    accuracy, accuracy_ci95 = accuracy_retention(teacher, student, labels)
    return Retention(
        accuracy=accuracy, accuracy_ci95=accuracy_ci95, f1=float(f1), f1_ci95=percentiles(np.concatenate(f1s))
    )


def accuracy_retention(teacher: np.ndarray, student: np.ndarray, labels: np.ndarray) -> tuple[float, Interval]:
    """The student's accuracy / the teacher's, and its interval.

    Args:
        teacher: Predicted class indices, shape (texts,).
        student: Predicted class indices, shape (texts,).
        labels: True class indices, shape (texts,).

    Raises:
        ValueError: The shapes disagree, or there is no text.
    """
    labels, teacher, student = checked(labels, teacher, student)
    kept = float(ratio(agreement(student, labels), agreement(teacher, labels), len(labels)))
    low, high = intervals.ratio_limits(intervals.PairedCounts.of(student == labels, teacher == labels))
    return kept, (min(float(low), kept), max(float(high), kept))


def gain(student: np.ndarray, control: np.ndarray, labels: np.ndarray) -> Gain:
    """Accuracy of the student minus that of the control, with a paired score interval and McNemar's exact p.

    The interval leaves out 0 if and only if p is below 0.05.

    Args:
        student: Predicted class indices, shape (texts,).
        control: Predicted class indices, shape (texts,).
        labels: True class indices, shape (texts,).

    Raises:
        ValueError: The shapes disagree, or there is no text.
    """
    labels, student, control = checked(labels, student, control)
    table = intervals.PairedCounts.of(student == labels, control == labels)
    low, high = intervals.difference_limits(table)
    return Gain(
        accuracy=float((table.first - table.second) / len(labels)),
        ci95=(float(low), float(high)),
        p_value=float(intervals.mcnemar_p(table.first, table.second)),
    )


def accuracy_interval(predicted: np.ndarray, labels: np.ndarray) -> Interval:
    """Exact binomial interval of one model's accuracy (Clopper and Pearson 1934).

    Args:
        predicted: Predicted class indices, shape (texts,).
        labels: True class indices, shape (texts,).

    Raises:
        ValueError: The shapes disagree, or there is no text.
    """
    labels, predicted = checked(labels, predicted)
    low, high = intervals.exact_limits((predicted == labels).sum(), len(labels))
    return float(low), float(high)


def mcnemar(only_first_right: int, only_second_right: int) -> float:
    """Two-sided p of the exact test that two models make errors equally often (McNemar 1947).

    Texts that both models get right, or both get wrong, do not count; if there are no others, p is 1.

    Args:
        only_first_right: Number of texts that only the first model gets right.
        only_second_right: Number of texts that only the second model gets right.
    """
    return float(intervals.mcnemar_p(np.asarray(only_first_right), np.asarray(only_second_right)))


def _f1(counts: np.ndarray, predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """F1 of each resample, shape (resamples,), from counts of shape (resamples, cells)."""
    right = counts * (predicted == labels)
    hits, claimed, present = (
        _by_class(amounts, of, classes) for amounts, of in ((right, labels), (counts, predicted), (counts, labels))
    )
    f1 = 2 * hits / np.maximum(claimed + present, 1)
    return np.asarray(f1[1] if classes == 2 else f1.mean(axis=0))


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
        ValueError: The shapes disagree, or there is no text.
    """
    arrays = [np.asarray(column).astype(np.int64) for column in columns]
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) != 1 or len(shapes[0]) != 1 or not shapes[0][0]:
        raise ValueError(f"Got class indices of shapes {shapes}; expected one shape (texts,) with at least one text.")
    return arrays
