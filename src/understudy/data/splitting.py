"""Chooses validation and test texts among the training texts; equal and nearly equal texts stay together."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from understudy.data.findings import counted
from understudy.data.near_duplicates import Shingler, near_duplicate_groups
from understudy.data.words import text_key

log = logging.getLogger(__name__)

FEWEST = 20
"""Texts from which a test set can be set apart."""

_SHARE = 0.2
_MOST = 2000
_PER_CLASS = 2


def choose_validation(
    texts: Sequence[str], labels: np.ndarray, share: float, seed: int, shingler: Shingler | None = None
) -> np.ndarray:
    """Chooses a share of the rows, stratified by class; equal and nearly equal texts are on one side.

    Without such texts the choice is that of `stratified_share`. If too few groups exist for the share, only equal
    texts stay together. If that is not possible either, rows are chosen one by one; the audit then reports the leak.

    Args:
        texts: The training texts.
        labels: Class numbers, shape (rows,).
        share: Between 0 and 1.
        seed: Seed of the choice.
        shingler: Reads the texts; it remembers them for the audit.

    Returns:
        Booleans of shape (rows,), true for validation texts.
    """
    return _choose("validation", texts, labels, partial(stratified_share, labels, share, seed), shingler)


def choose_test(
    texts: Sequence[str], labels: np.ndarray, share: float, seed: int, shingler: Shingler | None = None
) -> np.ndarray:
    """Chooses test texts as `choose_validation` chooses validation texts, but at least two of each class.

    A class with fewer than six texts gives a third of them, so that some are left for training and validation.
    """
    chosen = partial(stratified_share, labels, share, seed, least=_PER_CLASS)
    return _choose("test", texts, labels, chosen, shingler)


def test_size(labels: Iterable[object]) -> int:
    """How many texts `data.test = "auto"` sets apart: a fifth, but at most 2,000, and at least two of each class.

    The verdict needs this many. It asks whether the student keeps 97 % of the teacher's accuracy. Take a teacher with
    an accuracy of 0.9, and a student that keeps 99 % of it and differs on 8 % of the texts in being right. With 2,000
    texts `intervals.ratio_limits` gives 0.976 to 1.004, 1.4 points to each side. So a student that keeps 98.5 % or
    more can be proven good. With 1,000 texts the lower limit is 0.970, with 500 it is 0.961. Twice as many texts,
    4,000, would narrow the interval by 0.4 points only.

    Args:
        labels: The labels of all texts, numbered or not.
    """
    counts = np.array(list(Counter(map(repr, labels)).values()), dtype=int)
    return int(max(min(_MOST, round(_SHARE * counts.sum())), _least(counts, _PER_CLASS).sum()))


def _choose(
    split: str,
    texts: Sequence[str],
    labels: np.ndarray,
    choice: Callable[..., np.ndarray],
    shingler: Shingler | None,
) -> np.ndarray:
    """Makes a choice with the largest groups that it allows.

    Args:
        split: Its name, for the log.
        texts: The training texts.
        labels: Class numbers, shape (rows,).
        choice: Takes `groups`; see `stratified_share`.
        shingler: Reads the texts.
    """
    by_row = choice()
    if not by_row.any():
        return by_row
    for kind, groups in _groupings(texts, shingler or Shingler()):
        chosen = choice(groups=groups)
        if _suffices(chosen, by_row, labels):
            together = len(texts) - len(np.unique(groups))
            found, asked = int(chosen.sum()), int(by_row.sum())
            log.info(
                "%s: %s of %s%s%s",
                split,
                counted(found, "text"),
                f"{len(texts):,}",
                f"; {asked:,} asked for" if found != asked else "",
                f"; {kind} texts stay on one side" if together else "",
            )
            return chosen
    log.warning(
        "%s: %s of %s; they could not be kept apart from equal training texts, because too few texts differ",
        split,
        counted(int(by_row.sum()), "text"),
        f"{len(texts):,}",
    )
    return by_row


def stratified_share(
    labels: np.ndarray, share: float, seed: int, groups: np.ndarray | None = None, *, least: int = 0
) -> np.ndarray:
    """Chooses a share of the rows, stratified by class; each class keeps at least one row that is not chosen.

    Args:
        labels: Class numbers, shape (rows,).
        share: Between 0 and 1.
        seed: Seed of the choice.
        groups: Group numbers from 0, shape (rows,); all rows of a group are chosen, or none. By default every row is
            a group. The choice is the same if every row has a number of its own.
        least: Rows that each class gives at least, but never more than a third of its rows.

    Returns:
        Booleans of shape (rows,); round(share * rows) of them are true, or fewer if classes are tiny. With groups,
        as near to that number as the groups allow.
    """
    classes, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    wanted = counts * share
    sizes = np.floor(wanted).astype(int)
    # Rounding down leaves some rows over; the classes with the largest remainders get one each.
    for index in np.argsort(sizes - wanted, kind="stable")[: round(float(wanted.sum())) - int(sizes.sum())]:
        sizes[index] += 1
    sizes = np.minimum(np.maximum(sizes, _least(counts, least)), counts - 1)
    random = np.random.default_rng(seed)
    order = [random.permutation(np.flatnonzero(numbers == index)) for index in range(len(classes))]
    if groups is not None and len(np.unique(groups)) < len(groups):
        return _whole_groups(order, numbers, sizes, groups)
    chosen = np.zeros(len(labels), dtype=bool)
    for rows, size in zip(order, sizes, strict=True):
        chosen[rows[:size]] = True
    return chosen


def _least(counts: np.ndarray, least: int) -> np.ndarray:
    """Rows that each class gives at least, shape (classes,)."""
    return np.asarray(np.minimum(least, counts // 3))


def _whole_groups(order: list[np.ndarray], numbers: np.ndarray, sizes: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Takes groups in the order of their rows while they fit; then those that bring a class nearer to its size.

    Args:
        order: The rows of each class.
        numbers: The class of each row, from 0, shape (rows,).
        sizes: Rows wanted of each class, shape (classes,).
        groups: The group of each row, shape (rows,).
    """
    chosen, seen = np.zeros(len(numbers), dtype=bool), np.zeros(int(groups.max()) + 1, dtype=bool)
    by_group = np.argsort(groups, kind="stable")
    bounds = np.searchsorted(groups[by_group], np.arange(len(seen) + 1))
    left, counts = sizes.copy(), np.bincount(numbers, minlength=len(sizes))
    too_large: list[tuple[np.ndarray, np.ndarray]] = []
    for index, rows in enumerate(order):
        for row in rows:
            if left[index] == 0:
                break
            group = groups[row]
            if seen[group]:
                continue
            seen[group] = True
            members = by_group[bounds[group] : bounds[group + 1]]
            amounts = np.bincount(numbers[members], minlength=len(sizes))
            if (amounts <= left).all():
                chosen[members] = True
                left -= amounts
            else:
                too_large.append((members, amounts))
    for members, amounts in sorted(too_large, key=lambda group: len(group[0])):
        nearer = np.abs(left - amounts).sum() < np.abs(left).sum()
        none_yet = ((amounts > 0) & (sizes > 0) & (left == sizes)).any() and (2 * amounts <= counts).all()
        if (nearer or none_yet) and (counts - (sizes - left) - amounts >= 1)[amounts > 0].all():
            chosen[members] = True
            left -= amounts
    return chosen


def _groupings(texts: Sequence[str], shingler: Shingler) -> Iterator[tuple[str, np.ndarray]]:
    """The group of each text, shape (texts,): equal and nearly equal texts together, then equal ones only."""
    keys: dict[str, int] = {}
    # A text without any characters is not a copy of another one.
    equal = np.array([keys.setdefault(text_key(text) or f"\0{row}", len(keys)) for row, text in enumerate(texts)])
    near = near_duplicate_groups([shingler(key) for key in keys])
    yield "equal and nearly equal", near[equal]
    yield "equal", equal


def _suffices(chosen: np.ndarray, by_row: np.ndarray, labels: np.ndarray) -> bool:
    """Whether at least half as many rows are chosen, and the same classes."""
    enough = 2 * int(chosen.sum()) >= int(by_row.sum())
    return enough and set(labels[by_row].tolist()) <= set(labels[chosen].tolist())
