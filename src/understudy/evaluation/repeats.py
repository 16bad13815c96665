"""Several seeds: how far the student's figures spread, and its gain over the control with the same seed.

One seed cannot separate the effect of distilling from a lucky initialisation. Predictions are class indices; those of
several seeds have the shape (seeds, texts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from understudy.evaluation.metrics import agreement, f1_score
from understudy.evaluation.results import Gain, Interval, SeedResult, Seeds, Spread
from understudy.evaluation.significance import Resampling, checked, gain, percentiles, ratio


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


def compare_seeds(predicted: SeedPredictions, labels: np.ndarray, classes: int, resampling: Resampling) -> Seeds:
    """Each seed's figures, their spread, and the figures over all seeds.

    Args:
        predicted: The predictions.
        labels: True class indices, shape (texts,).
        classes: Number of classes. F1 is binary (positive: index 1) for two, macro for more.
        resampling: The bootstrap's settings.

    Raises:
        ValueError: there are fewer than two seeds, the shapes disagree, or there is no text.
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
    accuracy = agreement(teacher, labels)

    def one(row: int) -> SeedResult:
        student, control = students[row], None if controls is None else controls[row]
        right = agreement(student, labels)
        return SeedResult(
            seed=predicted.seeds[row],
            accuracy=right,
            f1=f1_score(student, labels, classes),
            retention=float(ratio(right, accuracy, len(labels))),
            control_accuracy=None if control is None else agreement(control, labels),
            gain=None if control is None else gain(student, control, labels, resampling),
        )

    results = tuple(map(one, range(len(predicted.seeds))))
    by_control = [each.control_accuracy for each in results if each.control_accuracy is not None]
    return Seeds(
        repeats=results,
        accuracy=_spread([each.accuracy for each in results]),
        f1=_spread([each.f1 for each in results]),
        retention=_spread([each.retention for each in results]),
        retention_ci95=_retention_interval(teacher, students, labels, resampling),
        control_accuracy=_spread(by_control) if by_control else None,
        gain=None if controls is None else pooled_gain(students, controls, labels, resampling),
    )


def repeat_name(model: str, seed: int) -> str:
    """Name of a repeat of the student or a control: of its stage, and of its columns in `predictions.parquet`."""
    return f"{model}_seed_{seed}"


def pooled_gain(students: np.ndarray, controls: np.ndarray, labels: np.ndarray, resampling: Resampling) -> Gain:
    """Accuracy of the student minus that of the control with the same seed, averaged over the seeds.

    The interval resamples texts and, independently, seeds (Owen 2007, "The pigeonhole bootstrap", Annals of Applied
    Statistics 1). Of k seeds it draws k - 1, which makes the variance between seeds unbiased (Rao and Wu 1988, JASA
    83). Drawing k would understate it by a factor of (k - 1) / k. A few seeds still say little about all seeds. If the
    seeds differ more than the texts alone explain, the interval of two or three seeds is too narrow.

    The p-value is `sign_flip` of the number of students minus controls that get each text right. It is about these
    models on other texts, not about other seeds.

    Args:
        students: Shape (seeds, texts).
        controls: Shape (seeds, texts), in the same order.
        labels: True class indices, shape (texts,).
        resampling: The bootstrap's settings.

    Raises:
        ValueError: the shapes disagree, or there is no text.
    """
    labels, *rows = checked(labels, *students, *controls)
    if len(students) != len(controls):
        raise ValueError(f"Got {len(students)} students and {len(controls)} controls; expected the same number.")
    right = (np.stack(rows) == labels).astype(np.int64)
    difference = right[: len(students)] - right[len(students) :]
    means = _means_of_resamples(difference, resampling)
    weights = _seed_weights(len(students), resampling)
    return Gain(
        accuracy=float(difference.mean()),
        ci95=percentiles((means * weights).sum(axis=1)),
        p_value=sign_flip(difference.sum(axis=0)),
    )


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


def _retention_interval(
    teacher: np.ndarray, students: np.ndarray, labels: np.ndarray, resampling: Resampling
) -> Interval:
    """Interval of the students' mean accuracy / the teacher's, resampled as in `pooled_gain`."""
    means = _means_of_resamples(np.stack([teacher, *students]) == labels, resampling)
    weights = _seed_weights(len(students), resampling)
    return percentiles(ratio((means[:, 1:] * weights).sum(axis=1), means[:, 0], len(labels)))


def _means_of_resamples(values: np.ndarray, resampling: Resampling) -> np.ndarray:
    """Means over resampled texts, shape (resamples, rows), of values of shape (rows, texts)."""
    cells, counts = np.unique(values.T.astype(np.int64), axis=0, return_counts=True)
    means: np.ndarray = np.concatenate([drawn @ cells for drawn in resampling.draw(counts)]) / counts.sum()
    return means


def _seed_weights(seeds: int, resampling: Resampling) -> np.ndarray:
    """Weight of each seed in each resample, shape (resamples, seeds)."""
    draws = max(1, seeds - 1)
    # A random stream of its own, independent of the texts'.
    rng = np.random.default_rng([resampling.seed, 1])
    return rng.multinomial(draws, np.full(seeds, 1 / seeds), size=resampling.resamples) / draws


def _spread(values: Sequence[float]) -> Spread:
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)), min(values), max(values))
