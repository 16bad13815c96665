"""Several seeds: how far the student's figures spread, and its gain over the control with the same seed.

One seed cannot separate the effect of distilling from a lucky initialisation. Predictions are class indices; those of
several seeds have the shape (seeds, texts).

The intervals cover other texts and other seeds. Each combines two parts as independent errors (square root of the sum
of squares):

- texts: the mean distance from each seed's estimate to its own limit;
- seeds: the t interval of the mean over the seeds (Student 1908, Biometrika 6).

Part of the difference between seeds comes from the texts and counts twice, so the intervals are rather too wide than
too narrow. With two seeds the t interval is very wide unless they agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from understudy.evaluation import intervals
from understudy.evaluation.metrics import agreement, f1_score
from understudy.evaluation.results import Gain, Interval, SeedResult, Seeds, Spread
from understudy.evaluation.significance import accuracy_retention, checked, gain, ratio

_LARGEST_Z = 37.0
"""Beyond this normal quantile, a p-value is 0 in double precision."""


@dataclass(frozen=True)
class SeedPredictions:
    """Predictions of the teacher, and of student and control with each seed.

    Attributes:
        seeds: Two or more.
        teacher: Shape (texts,).
        students: Shape (seeds, texts), in the order of `seeds`.
        controls: The control without a teacher, in the same shape; None if it was left out.
    """

    seeds: Sequence[int]
    teacher: np.ndarray
    students: np.ndarray
    controls: np.ndarray | None


def compare_seeds(predicted: SeedPredictions, labels: np.ndarray, classes: int) -> Seeds:
    """Each seed's figures, their spread, and the figures over all seeds.

    Args:
        predicted: The predictions.
        labels: True class indices, shape (texts,).
        classes: Number of classes. F1 is binary (positive: index 1) for two, macro for more.

    Raises:
        ValueError: There are fewer than two seeds, the shapes disagree, or there is no text.
    """
    labels, teacher = checked(labels, predicted.teacher)
    students, controls = predicted.students, predicted.controls
    expected = (len(predicted.seeds), len(labels))
    shapes = [np.shape(each) for each in (students, controls) if each is not None]
    if len(predicted.seeds) < 2 or set(shapes) != {expected}:
        raise ValueError(
            f"Got {len(predicted.seeds)} seeds and predictions of shapes {shapes}; expected two seeds or more, and "
            f"predictions of shape {expected}."
        )

    def one(row: int) -> SeedResult:
        student, control = students[row], None if controls is None else controls[row]
        return SeedResult(
            seed=predicted.seeds[row],
            accuracy=agreement(student, labels),
            f1=f1_score(student, labels, classes),
            retention=accuracy_retention(teacher, student, labels)[0],
            control_accuracy=None if control is None else agreement(control, labels),
            gain=None if control is None else gain(student, control, labels),
        )

    results = tuple(map(one, range(len(predicted.seeds))))
    by_control = [each.control_accuracy for each in results if each.control_accuracy is not None]
    return Seeds(
        repeats=results,
        accuracy=_spread([each.accuracy for each in results]),
        f1=_spread([each.f1 for each in results]),
        retention=_spread([each.retention for each in results]),
        retention_ci95=pooled_retention(teacher, students, labels),
        control_accuracy=_spread(by_control) if by_control else None,
        gain=None if controls is None else pooled_gain(students, controls, labels),
    )


def repeat_name(model: str, seed: int) -> str:
    """Name of a repeat of the student or a control: of its stage, and of its columns in `predictions.parquet`."""
    return f"{model}_seed_{seed}"


def pooled_gain(students: np.ndarray, controls: np.ndarray, labels: np.ndarray) -> Gain:
    """Accuracy of the student minus that of the control with the same seed, averaged over the seeds.

    The interval is about other texts and other seeds (see the module). It leaves out 0 if and only if p is below 0.05.
    p is the larger of two: that of the same combination of texts and seeds, and `sign_flip` of the number of students
    minus controls that get each text right. The second is exact, but only about these models on other texts. With one
    seed it is McNemar's exact test.

    Args:
        students: Shape (seeds, texts).
        controls: Shape (seeds, texts), in the same order.
        labels: True class indices, shape (texts,).

    Raises:
        ValueError: The shapes disagree, or there is no text.
    """
    labels, *rows = checked(labels, *students, *controls)
    if len(students) != len(controls):
        raise ValueError(f"Got {len(students)} students and {len(controls)} controls; expected the same number.")
    right = np.stack(rows) == labels
    ours, theirs = right[: len(students)], right[len(students) :]
    table = intervals.PairedCounts.of(ours, theirs)
    difference = ours.astype(np.int64) - theirs

    def limits(alpha: float) -> Interval:
        ends = intervals.score_difference(table, alpha)
        return _combined(difference.mean(axis=1), ends, alpha)

    exact = sign_flip(difference.sum(axis=0))
    low, high = limits(intervals.ALPHA)
    if exact >= intervals.ALPHA:
        low, high = min(low, 0.0), max(high, 0.0)
    return Gain(
        accuracy=float(difference.mean()),
        ci95=(max(low, -1.0), min(high, 1.0)),
        p_value=max(exact, _p_value(limits)),
    )


def pooled_retention(teacher: np.ndarray, students: np.ndarray, labels: np.ndarray) -> Interval:
    """Interval of the students' mean accuracy / the teacher's, about other texts and other seeds (see the module).

    Args:
        teacher: Shape (texts,).
        students: Shape (seeds, texts).
        labels: True class indices, shape (texts,).

    Raises:
        ValueError: The shapes disagree, or there is no text.
    """
    labels, teacher, *rows = checked(labels, teacher, *students)
    right, by_teacher = np.stack(rows) == labels, teacher == labels
    accuracy = float(by_teacher.mean())
    kept = ratio(right.mean(axis=1), accuracy, len(labels))
    lows, highs = intervals.ratio_limits(intervals.PairedCounts.of(right, by_teacher))
    low, high = _combined(kept, (np.minimum(lows, kept), np.maximum(highs, kept)), intervals.ALPHA)
    return max(low, 0.0), high


def _combined(estimates: np.ndarray, limits: intervals.Limits, alpha: float) -> Interval:
    """Interval of the mean estimate.

    Args:
        estimates: The seeds' figures, shape (seeds,).
        limits: Each seed's limits over texts.
        alpha: One minus the confidence.
    """
    from scipy.stats import t

    seeds = len(estimates)
    by_seeds = 0.0
    if seeds > 1:
        by_seeds = float(t.isf(alpha / 2, seeds - 1)) * float(estimates.std(ddof=1) / np.sqrt(seeds))
    mean, (low, high) = float(estimates.mean()), limits
    return (
        mean - float(np.hypot((estimates - low).mean(), by_seeds)),
        mean + float(np.hypot((high - estimates).mean(), by_seeds)),
    )


def _p_value(limits: Callable[[float], Interval]) -> float:
    """The largest alpha for which the interval contains 0, by bisection over the normal quantile."""
    from scipy.special import ndtr

    inside, outside = _LARGEST_Z, 0.0
    for _ in range(35):
        middle = (inside + outside) / 2
        low, high = limits(2 * float(ndtr(-middle)))
        inside, outside = (middle, outside) if low <= 0 <= high else (inside, middle)
    return 2 * float(ndtr(-inside))


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided p of the exact randomisation test that each text's difference has either sign with equal chance.

    Fisher 1935, "The Design of Experiments", section 21: the share of all 2^n assignments of signs whose sum is at
    least as far from 0 as the observed one. Each absolute difference contributes one binomial variable to the sum, so
    the sum's distribution is their convolution. Nothing is drawn or approximated. Only positive numbers are added, so
    small p-values are as precise as large ones. For differences of -1, 0 and 1 it is McNemar's exact test.

    Args:
        differences: Integers of shape (texts,): how many more students than controls get the text right, over all
            seeds.
    """
    from scipy.stats import binom

    sizes = np.abs(differences)
    groups = [(size, int(count)) for size, count in enumerate(np.bincount(sizes)) if size and count]
    if not groups:
        return 1.0
    # The variable is the sum of the positive differences. Sums from here up are as extreme; so are their mirrors.
    extreme = int(sizes.sum() + abs(differences.sum())) // 2
    # The largest group needs no convolution, because its tail is known.
    *others, (size, count) = sorted(groups, key=lambda group: group[1])
    chances = np.ones(1)
    for other, members in others:
        chances = _add_binomial(chances, other, binom.pmf(np.arange(members + 1), members, 0.5))
    needed = -((np.arange(len(chances)) - extreme) // size)
    return min(1.0, 2 * float(chances @ binom.sf(needed - 1, count, 0.5)))


def _add_binomial(chances: np.ndarray, size: int, binomial: np.ndarray) -> np.ndarray:
    """Chances of x + size * b from those of x and b; each remainder modulo `size` is a convolution of its own."""
    total = np.zeros(len(chances) + size * (len(binomial) - 1))
    for remainder in range(min(size, len(chances))):
        total[remainder::size] = np.convolve(chances[remainder::size], binomial)
    return total


def _spread(values: Sequence[float]) -> Spread:
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)), min(values), max(values))
