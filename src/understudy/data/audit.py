"""The data audit: checks the data before anything is trained.

`audit` finds errors (the run would fail), warnings (the results may mislead) and notes (good to know).
`understudy check` shows all of them; `understudy run` stops at errors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations, islice
from math import sqrt
from typing import TYPE_CHECKING, Any

from understudy.data.findings import EXAMPLES, Audit, Finding, Row, counted, examples
from understudy.data.label_checks import check_labels
from understudy.data.labels import find_classes, kind, normalise_splits
from understudy.data.near_duplicates import THRESHOLD, Shingler, near_duplicates
from understudy.data.words import text_key
from understudy.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from understudy.data.tables import Table

# The rows of each distinct, non-empty text, by split and `text_key`.
Rows = Mapping[str, Mapping[str, list[int]]]

__all__ = ["Audit", "Finding", "Row", "audit", "truncation"]

TINY_TEST = 500
_ORDER = ("train", "validation", "test")
_LEVELS = ("error", "warning", "note")


def audit(tables: Mapping[str, Table], classes: list[str] | None = None) -> Audit:
    """Checks each split alone and all splits together.

    Near duplicates across splits are texts whose sets of five-word runs have a Jaccard similarity of at least 0.7
    (A. Broder, "On the resemblance and containment of documents", 1997). See `data.near_duplicates`.

    Args:
        tables: "train" and "test", and optionally "validation".
        classes: Class names that the user gave (`data.labels`).

    Returns:
        Every finding; only `Audit.raise_errors` raises.
    """
    tables = {split: tables[split] for split in _ORDER if split in tables}
    findings = [*_check_sizes(tables), *check_labels(tables, classes), *_check_texts(tables, classes)]
    return Audit(tuple(sorted(findings, key=lambda finding: _LEVELS.index(finding.level))))


def truncation(split: str, lengths: NDArray[np.integer[Any]], max_length: int) -> Finding:
    """Reports how much of the texts `data.max_length` cuts off.

    Args:
        split: Name of the split.
        lengths: Tokens of each uncut text, special tokens included, shape (texts,).
        max_length: Tokens that are kept.
    """
    over = lengths[lengths > max_length]
    if not len(over):
        return Finding("note", "truncated_texts", f"{split}: no text is longer than {max_length} tokens.")
    lost = int(over.sum()) - len(over) * max_length
    message = (
        f"{split}: {counted(len(over), 'text')} of {len(lengths):,} ({len(over) / len(lengths):.1%}) cut after "
        f"{max_length} tokens, which drops {lost / int(lengths.sum()):.1%} of all tokens. The longest text has "
        f"{int(over.max()):,} tokens. A larger --data.max_length keeps more but takes longer."
    )
    return Finding("note", "truncated_texts", message, count=len(over))


def _check_sizes(tables: Mapping[str, Table]) -> Iterator[Finding]:
    for split, table in tables.items():
        if not len(table):
            message = f"{split} ({table.source}) has no rows: expected labelled texts. Check the source and its split."
            yield Finding("error", "empty_set", message)
    size = len(tables["test"])
    if 0 < size < TINY_TEST:
        message = (
            f"test has {counted(size, 'text')}, fewer than {TINY_TEST}. Its accuracy is uncertain by up to "
            f"±{100 * 1.96 * sqrt(0.25 / size):.1f} points (95 %), so small differences cannot be proven. Add test "
            "texts if you can."
        )
        yield Finding("warning", "tiny_test", message, count=size)


def _check_texts(tables: Mapping[str, Table], classes: Sequence[str] | None) -> Iterator[Finding]:
    keys = {split: [text_key(text) for text in table.texts] for split, table in tables.items()}
    for split, its_keys in keys.items():
        empty = [(split, row) for row, key in enumerate(its_keys) if not key]
        if empty:
            message = (
                f"{split}: {counted(len(empty), 'text')} of {len(its_keys):,} empty or only white space. Remove these "
                "rows, or check --data.text."
            )
            yield Finding("warning", "empty_texts", message, examples(tables, empty), len(empty))

    rows: dict[str, dict[str, list[int]]] = {split: defaultdict(list) for split in keys}
    for split, its_keys in keys.items():
        for row, key in enumerate(its_keys):
            if key:
                rows[split][key].append(row)

    yield from _duplicates(tables, rows)
    yield from _conflicts(tables, rows, classes)
    yield from _leaks(tables, rows)


def _leaks(tables: Mapping[str, Table], rows: Rows) -> Iterator[Finding]:
    shingler = Shingler()
    shingles = {split: {key: shingler(key) for key in its_rows} for split, its_rows in rows.items()}
    for earlier, later in combinations(tables, 2):
        leaked = [key for key in rows[later] if key in rows[earlier]]
        if leaked:
            message = (
                f"{len(leaked):,} of {counted(len(rows[later]), 'distinct text')} in {later} also found in {earlier}, "
                f"word for word: {_leak_advice(earlier, later)}"
            )
            places = _places(rows, (((later, key), (earlier, key)) for key in leaked))
            yield Finding("warning", "leaked_texts", message, examples(tables, places), len(leaked))

        fresh = [key for key in rows[later] if key not in rows[earlier]]
        known = list(rows[earlier])
        near = near_duplicates([shingles[later][key] for key in fresh], [shingles[earlier][key] for key in known])
        if near:
            message = (
                f"{len(near):,} of {counted(len(rows[later]), 'distinct text')} in {later} nearly identical to one in "
                f"{earlier} (Jaccard similarity of their five-word runs {THRESHOLD} or more): "
                f"{_leak_advice(earlier, later)}"
            )
            matches = (((later, fresh[text]), (earlier, known[other])) for text, other in sorted(near.items()))
            yield Finding("warning", "near_leaked_texts", message, examples(tables, _places(rows, matches)), len(near))


def _duplicates(tables: Mapping[str, Table], rows: Rows) -> Iterator[Finding]:
    for split, its_rows in rows.items():
        repeated = [found for found in its_rows.values() if len(found) > 1]
        if repeated:
            again = sum(len(found) - 1 for found in repeated)
            places = ((split, row) for found in repeated for row in found)
            message = (
                f"{split}: {counted(len(repeated), 'text')} more than once, which adds "
                f"{counted(again, 'redundant row')}."
            )
            yield Finding("note", "duplicates", message, examples(tables, places), len(repeated))


def _conflicts(tables: Mapping[str, Table], rows: Rows, classes: Sequence[str] | None) -> Iterator[Finding]:
    usable = {"missing", "string", "integer"}
    if any(kind(label) not in usable for table in tables.values() for label in table.labels or []):
        return
    try:
        labels = normalise_splits(tables, classes)
        numbers = find_classes(tables, labels, classes).numbers
    except DataError:  # `check_labels` reports it
        return
    conflicts: list[list[tuple[str, int]]] = []
    for key in dict.fromkeys(chain.from_iterable(rows.values())):
        first_of: dict[object, tuple[str, int]] = {}
        for split, its_rows in rows.items():
            for row in its_rows.get(key, ()):
                label = labels[split][row]
                if label is not None:
                    first_of.setdefault(numbers.get(label, label), (split, row))
        if len(first_of) > 1:
            conflicts.append(list(first_of.values()))
    if conflicts:
        one = " and ".join(f"{labels[split][row]!r} in {split} row {row + 1}" for split, row in conflicts[0])
        message = (
            f"{counted(len(conflicts), 'text')} with more than one label, such as {one}. Expected one label per text: "
            "correct the labels, or remove the texts that people disagree on."
        )
        places = chain.from_iterable(conflicts)
        yield Finding("warning", "conflicting_labels", message, examples(tables, places), len(conflicts))


def _places(rows: Rows, matches: Iterable[tuple[tuple[str, str], ...]]) -> Iterator[tuple[str, int]]:
    """The first row of each matching text, given as split and key; whole matches only, limited by `EXAMPLES`."""
    for match in islice(matches, EXAMPLES // 2):
        for split, key in match:
            yield split, rows[split][key][0]


def _leak_advice(earlier: str, later: str) -> str:
    return f"{later} scores will be inflated; remove these texts from {earlier}."
