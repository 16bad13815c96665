"""Chooses validation texts among the training texts, so that equal and nearly equal texts stay together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from understudy.data.findings import counted
from understudy.data.near_duplicates import Shingler, near_duplicate_groups
from understudy.data.words import text_key

log = logging.getLogger(__name__)


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
    by_row = stratified_share(labels, share, seed)
    if not by_row.any():
        return by_row
    for kind, groups in _groupings(texts, shingler or Shingler()):
        chosen = stratified_share(labels, share, seed, groups)
        if _suffices(chosen, by_row, labels):
            together = len(texts) - len(np.unique(groups))
            log.info(
                "validation: %s of %s; %s asked for%s",
                counted(int(chosen.sum()), "text"),
                f"{len(texts):,}",
                f"{round(share * len(texts)):,}",
                f"; {kind} texts stay on one side" if together else "",
            )
            return chosen
    log.warning(
        "validation: %s of %s; they could not be kept apart from equal training texts, because too few texts differ",
        counted(int(by_row.sum()), "text"),
        f"{len(texts):,}",
    )
    return by_row


def stratified_share(labels: np.ndarray, share: float, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Chooses a share of the rows, stratified by class; each class keeps at least one row that is not chosen.

    Args:
        labels: Class numbers, shape (rows,).
        share: Between 0 and 1.
        seed: Seed of the choice.
        groups: Group numbers from 0, shape (rows,); all rows of a group are chosen, or none. By default every row is
            a group. The choice is the same if every row has a number of its own.

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
    sizes = np.minimum(sizes, counts - 1)
    random = np.random.default_rng(seed)
    order = [random.permutation(np.flatnonzero(numbers == index)) for index in range(len(classes))]
    if groups is not None and len(np.unique(groups)) < len(groups):
        return _whole_groups(order, numbers, sizes, groups)
    chosen = np.zeros(len(labels), dtype=bool)
    for rows, size in zip(order, sizes, strict=True):
        chosen[rows[:size]] = True
    return chosen


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
