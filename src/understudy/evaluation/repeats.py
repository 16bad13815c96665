"""What several seeds say: how far the student's figures spread, and its gain over the control with the same seed.

One seed cannot tell what distilling gave from what a lucky initialisation did. Predictions are class indices, and those
of several seeds have the shape (seeds, texts).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from understudy.evaluation.metrics import agreement, f1_score
from understudy.evaluation.results import Gain, Interval, SeedResult, Seeds, Spread
from understudy.evaluation.significance import checked, gain, percentiles, ratio, resampled


def compare_seeds(
    seeds: Sequence[int],
    teacher: np.ndarray,
    students: np.ndarray,
    controls: np.ndarray | None,
    labels: np.ndarray,
    classes: int,
    resamples: int,
    bootstrap_seed: int,
) -> Seeds:
    """Each seed's figures, their spread, and what they say together.

    Args:
        seeds: Two or more.
        teacher: Shape (texts,).
        students: Shape (seeds, texts), in the order of `seeds`.
        controls: Likewise, of the control without a teacher; None where it was left out.
        labels: Shape (texts,), the right classes.
        classes: Number of classes; F1 is binary (positive: index 1) for two, macro otherwise.
        resamples: Number of bootstrap resamples.
        bootstrap_seed: Equal seeds give equal intervals.

    Raises:
        ValueError: there are fewer than two seeds, the shapes disagree, or there is no text or resample.
    """
    labels, teacher = checked(resamples, labels, teacher)
    expected = (len(seeds), len(labels))
    shapes = [np.shape(each) for each in (students, controls) if each is not None]
    if len(seeds) < 2 or set(shapes) != {expected}:
        raise ValueError(
            f"Got {len(seeds)} seeds and predictions of shapes {shapes}; expected two seeds or more, and predictions "
            f"of shape {expected}."
        )
    accuracy = agreement(teacher, labels)

    def one(place: int) -> SeedResult:
        student, control = students[place], None if controls is None else controls[place]
        right = agreement(student, labels)
        return SeedResult(
            seed=seeds[place],
            accuracy=right,
            f1=f1_score(student, labels, classes),
            retention=float(ratio(right, accuracy, len(labels))),
            control_accuracy=None if control is None else agreement(control, labels),
            gain=None if control is None else gain(student, control, labels, resamples, bootstrap_seed),
        )

    repeats = tuple(map(one, range(len(seeds))))
    by_control = [each.control_accuracy for each in repeats if each.control_accuracy is not None]
    return Seeds(
        repeats=repeats,
        accuracy=_spread([each.accuracy for each in repeats]),
        f1=_spread([each.f1 for each in repeats]),
        retention=_spread([each.retention for each in repeats]),
        retention_ci95=_retention_interval(teacher, students, labels, resamples, bootstrap_seed),
        control_accuracy=_spread(by_control) if by_control else None,
        gain=None if controls is None else pooled_gain(students, controls, labels, resamples, bootstrap_seed),
    )


def repeat_name(model: str, seed: int) -> str:
    """What a repeat of the student or of a control is called: its stage, and its columns in `predictions.parquet`."""
    return f"{model}_seed_{seed}"


def pooled_gain(
    students: np.ndarray, controls: np.ndarray, labels: np.ndarray, resamples: int, bootstrap_seed: int
) -> Gain:
    """Accuracy of the student minus that of the control with the same seed, the mean over the seeds.

    The interval resamples texts and seeds, each independently of the other (Owen 2007, "The pigeonhole bootstrap",
    Annals of Applied Statistics 1). Of k seeds it draws k - 1, for then the variance between seeds comes out unbiased
    (Rao and Wu 1988, JASA 83); k draws would understate it by a factor of (k - 1) / k. What no resampling mends is that
    a few seeds know little about all seeds: where the seeds differ more than the texts alone explain, the interval of
    two or three is too narrow.

    The p-value is that of `sign_flip` on what the models of all seeds get right of each text. It is about these models
    and other texts, not about other seeds.

    Args:
        students: Shape (seeds, texts).
        controls: Likewise, in the same order.
        labels: Shape (texts,).
        resamples: Number of bootstrap resamples.
        bootstrap_seed: Equal seeds give equal intervals.

    Raises:
        ValueError: the shapes disagree, or there is no text or resample.
    """
    labels, *rows = checked(resamples, labels, *students, *controls)
    if len(students) != len(controls):
        raise ValueError(f"Got {len(students)} students and {len(controls)} controls; expected as many.")
    right = (np.stack(rows) == labels).astype(np.int64)
    difference = right[: len(students)] - right[len(students) :]
    means = _means_of_resamples(difference, resamples, bootstrap_seed)
    weights = _seed_weights(len(students), resamples, bootstrap_seed)
    return Gain(
        accuracy=float(difference.mean()),
        ci95=percentiles((means * weights).sum(axis=1)),
        p_value=sign_flip(difference.sum(axis=0)),
    )


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided p of the exact randomisation test that each text's difference might as well have the other sign.

    Fisher 1935, "The Design of Experiments", section 21: the share of all 2^n assignments of signs whose sum is as far
    from 0 as the one seen. The sum is made of one binomial variable for each absolute difference, so its distribution
    is their convolution; nothing is drawn or approximated, and as only positive numbers are added, small p-values are
    as precise as large ones. For differences of -1, 0 and 1 it is McNemar's exact test.

    Args:
        differences: Whole numbers of shape (texts,): of the models of all seeds, how many more students than controls
            get the text right.
    """
    from scipy.stats import binom

    sizes = np.abs(differences)
    groups = [(size, int(count)) for size, count in enumerate(np.bincount(sizes)) if size and count]
    if not groups:
        return 1.0
    # With the sum of the positive ones as the variable, what is as extreme lies from here up, and mirrored, down.
    extreme = int(sizes.sum() + abs(differences.sum())) // 2
    # The largest group needs no convolution: its tail is known.
    *others, (size, count) = sorted(groups, key=lambda group: group[1])
    chances = np.ones(1)
    for other, members in others:
        chances = _add_binomial(chances, other, binom.pmf(np.arange(members + 1), members, 0.5))
    needed = -((np.arange(len(chances)) - extreme) // size)
    return min(1.0, 2 * float(chances @ binom.sf(needed - 1, count, 0.5)))


def _add_binomial(chances: np.ndarray, size: int, binomial: np.ndarray) -> np.ndarray:
    """Chances of x + size * b from those of x and b; steps of `size` lead from x to values of one remainder only."""
    total = np.zeros(len(chances) + size * (len(binomial) - 1))
    for remainder in range(min(size, len(chances))):
        total[remainder::size] = np.convolve(chances[remainder::size], binomial)
    return total


def _retention_interval(
    teacher: np.ndarray, students: np.ndarray, labels: np.ndarray, resamples: int, bootstrap_seed: int
) -> Interval:
    """Of the students' mean accuracy over the teacher's, as in `pooled_gain`."""
    means = _means_of_resamples(np.stack([teacher, *students]) == labels, resamples, bootstrap_seed)
    weights = _seed_weights(len(students), resamples, bootstrap_seed)
    return percentiles(ratio((means[:, 1:] * weights).sum(axis=1), means[:, 0], len(labels)))


def _means_of_resamples(values: np.ndarray, resamples: int, bootstrap_seed: int) -> np.ndarray:
    """Means over resampled texts, shape (resamples, rows), of values of shape (rows, texts)."""
    cells, counts = np.unique(values.T.astype(np.int64), axis=0, return_counts=True)
    return np.concatenate([drawn @ cells for drawn in resampled(counts, resamples, bootstrap_seed)]) / counts.sum()


def _seed_weights(seeds: int, resamples: int, bootstrap_seed: int) -> np.ndarray:
    """How much each seed counts in each resample, shape (resamples, seeds)."""
    draws = max(1, seeds - 1)
    # Not the stream that the texts are drawn from.
    rng = np.random.default_rng([bootstrap_seed, 1])
    return rng.multinomial(draws, np.full(seeds, 1 / seeds), size=resamples) / draws


def _spread(values: Sequence[float]) -> Spread:
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)), min(values), max(values))
