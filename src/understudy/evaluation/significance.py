"""How sure the figures are: bootstrap intervals and McNemar's test.

Intervals are percentile intervals of the bootstrap over test texts (Efron 1979, "Bootstrap Methods: Another Look at
the Jackknife"), paired: a resample takes a text with everybody's prediction for it. All that matters of a text is the
cell (label, prediction, prediction) it stands in, so a resample is a multinomial draw over the cells that occur.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from understudy.evaluation.metrics import agreement, f1_score
from understudy.evaluation.results import Gain, Interval, Retention

_COUNTS_AT_ONCE = 2_000_000
"""Cell counts held in memory at a time, whatever the number of resamples."""


def retention(
    teacher_predicted: np.ndarray,
    student_predicted: np.ndarray,
    labels: np.ndarray,
    classes: int,
    resamples: int,
    seed: int,
) -> Retention:
    """Student / teacher for accuracy and F1, with paired bootstrap intervals.

    Where the teacher's figure is 0, on the test set or in a resample, one text's share is added to both figures:
    a student that is as bad keeps 1, a better one keeps more, and no ratio is infinite.

    Args:
        teacher_predicted: Shape (texts,), class indices.
        student_predicted: Shape (texts,), class indices.
        labels: Shape (texts,), class indices.
        classes: Number of classes; F1 is binary (positive: index 1) for two, macro otherwise.
        resamples: Number of bootstrap resamples.
        seed: Equal seeds give equal intervals.

    Raises:
        ValueError: the shapes disagree, there is no text or resample, or an index is no class.
    """
    labels, teacher, student = checked(resamples, labels, teacher_predicted, student_predicted)
    both = np.stack([labels, teacher, student])
    if both.min() < 0 or both.max() >= classes:
        raise ValueError(f"Got class indices from {both.min()} to {both.max()}; expected 0 to {classes - 1}.")
    cells, counts = np.unique((labels * classes + teacher) * classes + student, return_counts=True)
    label, teacher_cell, student_cell = cells // classes**2, cells // classes % classes, cells % classes

    accuracies, f1s = [], []
    for drawn in resampled(counts, resamples, seed):
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


def gain(
    student_predicted: np.ndarray, control_predicted: np.ndarray, labels: np.ndarray, resamples: int, seed: int
) -> Gain:
    """Accuracy of the student minus that of the control, with a paired bootstrap interval and McNemar's p.

    Args:
        student_predicted: Shape (texts,), class indices.
        control_predicted: Shape (texts,), class indices.
        labels: Shape (texts,), class indices.
        resamples: Number of bootstrap resamples.
        seed: Equal seeds give equal intervals.

    Raises:
        ValueError: the shapes disagree, or there is no text or resample.
    """
    labels, student, control = checked(resamples, labels, student_predicted, control_predicted)
    difference = (student == labels).astype(np.int64) - (control == labels)
    outcomes, counts = np.unique(difference, return_counts=True)
    means = [drawn @ outcomes / len(labels) for drawn in resampled(counts, resamples, seed)]
    return Gain(
        accuracy=float(difference.mean()),
        ci95=percentiles(np.concatenate(means)),
        p_value=mcnemar(int((difference == 1).sum()), int((difference == -1).sum())),
    )


def accuracy_interval(predicted: np.ndarray, labels: np.ndarray, resamples: int, seed: int) -> Interval:
    """Bootstrap interval of one model's accuracy.

    Args:
        predicted: Shape (texts,), class indices.
        labels: Shape (texts,), class indices.
        resamples: Number of bootstrap resamples.
        seed: Equal seeds give equal intervals.

    Raises:
        ValueError: the shapes disagree, or there is no text or resample.
    """
    labels, predicted = checked(resamples, labels, predicted)
    right = int((predicted == labels).sum())
    drawn = np.random.default_rng(seed).binomial(len(labels), right / len(labels), size=resamples)
    return percentiles(drawn / len(labels))


def mcnemar(only_first_right: int, only_second_right: int) -> float:
    """Two-sided p of the exact test that two models err equally often (McNemar 1947).

    Texts on which both are right, or both wrong, carry no information; without any others p is 1.

    Args:
        only_first_right: Texts that the first model gets right and the second wrong.
        only_second_right: The other way round.
    """
    from scipy.stats import binomtest

    discordant = only_first_right + only_second_right
    return float(binomtest(only_first_right, discordant, 0.5).pvalue) if discordant else 1.0


def resampled(counts: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yields counts of the cells in resamples of as many texts, shape (some resamples, cells)."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _COUNTS_AT_ONCE // len(counts))
    for start in range(0, resamples, at_once):
        yield rng.multinomial(counts.sum(), counts / counts.sum(), size=min(at_once, resamples - start))


def _figures(
    counts: np.ndarray, predicted: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and F1 of every resample, both of shape (resamples,), from counts of shape (resamples, cells)."""
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
    """Student / teacher; where the teacher has 0, after adding one text's share to both."""
    share = np.where(np.asarray(teacher) == 0, 1 / texts, 0.0)
    return np.asarray((student + share) / (teacher + share))


def percentiles(values: np.ndarray) -> Interval:
    """The 95 % interval of a figure's resamples."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def checked(resamples: int, *columns: np.ndarray) -> list[np.ndarray]:
    """The columns as whole numbers, all of one shape (texts,); see the callers' errors."""
    arrays = [np.asarray(column).astype(np.int64) for column in columns]
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) != 1 or len(shapes[0]) != 1 or not shapes[0][0]:
        raise ValueError(f"Got class indices of shapes {shapes}; expected one shape (texts,) with at least one text.")
    if resamples < 1:
        raise ValueError(f"Got {resamples} resamples; expected at least 1.")
    return arrays
