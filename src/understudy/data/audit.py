"""The data audit: checks the data before anything is trained.

`audit` finds errors (the run would fail), warnings (the results may mislead) and notes (good to know).
`understudy check` shows all of them; `understudy run` stops at errors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, islice
from math import sqrt
from typing import TYPE_CHECKING, Any

from understudy.data.findings import EXAMPLES, Audit, Finding, Row, counted, examples
from understudy.data.label_checks import check_labels
from understudy.data.labels import find_classes, kind, normalise_splits
from understudy.data.near_duplicates import THRESHOLD, Shingler, near_duplicates
from understudy.data.spelling import speller
from understudy.data.split_checks import check_splits
from understudy.data.words import text_key
from understudy.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from understudy.data.tables import Table

# The rows of each distinct, non-empty text, by split and `text_key`.
Rows = Mapping[str, Mapping[str, list[int]]]

__all__ = ["Audit", "Finding", "Row", "audit", "has_errors", "truncation"]

TINY_TEST = 500
_MOSTLY = 0.5  # share of copies among the test texts from which the test set counts as the training set
_ORDER = ("train", "validation", "test")
_LEVELS = ("error", "warning", "note")


def audit(
    tables: Mapping[str, Table],
    classes: list[str] | None = None,
    parts: Mapping[str, Sequence[int]] | None = None,
    shingler: Shingler | None = None,
) -> Audit:
    """Checks each split alone and all splits together.

    Near duplicates across splits are texts whose sets of five-word runs have a Jaccard similarity of at least 0.7
    (A. Broder, "On the resemblance and containment of documents", 1997). See `data.near_duplicates`.

    Args:
        tables: "train", and "test" and "validation" if they have sources of their own.
        classes: Class names that the user gave (`data.labels`).
        parts: The rows that each split uses, from 0. A split without a table of its own uses rows of "train". By
            default every split uses all rows of its table.
        shingler: Reads the texts; one that has read some of them saves time.

    Returns:
        Every finding; only `Audit.raise_errors` raises.
    """
    tables = {split: tables[split] for split in _ORDER if split in tables}
    apart = parts["test"] if parts is not None and "test" not in tables else None
    tested = len((parts or tables).get("test", ()))
    findings = [*_check_sizes(tables, tested), *check_labels(tables, classes, apart)]
    valid = not any(finding.level == "error" for finding in findings)
    if parts is not None:
        tables = {split: tables.get(split, tables["train"]) for split in _ORDER if split in parts}
    used = {split: range(len(table)) if parts is None else parts[split] for split, table in tables.items()}
    if valid:
        findings += check_splits(tables, used, classes)
    rows, empty = _rows(tables, used)
    leaks = list(_leaks(tables, rows, shingler or Shingler()))
    findings += [*empty, *_duplicates(tables, rows), *_conflicts(tables, rows, classes)]
    findings += [leak.finding for leak in leaks]
    seen = {key for leak in leaks if leak.later == "test" for key in leak.keys}
    copies = sum(len(rows["test"][key]) for key in seen)
    share = copies / len(used["test"]) if copies else 0.0
    if share >= _MOSTLY:
        message = (
            f"{counted(copies, 'test text')} of {len(used['test']):,} ({share:.0%}) equal, or nearly equal, a text "
            "that the models learn from or are tuned on. The test scores show what the models remember, not what they "
            "can do. Use other test texts."
        )
        findings.append(Finding("warning", "test_is_train", message, count=copies))
    return Audit(tuple(sorted(findings, key=lambda finding: _LEVELS.index(finding.level))), share)


def has_errors(tables: Mapping[str, Table], classes: list[str] | None = None) -> bool:
    """Whether sizes or labels have an error, so that no corpus can be built; texts are not read."""
    tables = {split: tables[split] for split in _ORDER if split in tables}
    return any(finding.level == "error" for finding in (*_check_sizes(tables, 0), *check_labels(tables, classes)))


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


def _check_sizes(tables: Mapping[str, Table], size: int) -> Iterator[Finding]:
    """Checks the sizes of the tables and of the test set."""
    for split, table in tables.items():
        if not len(table):
            message = f"{split} ({table.source}) has no rows: expected labelled texts. Check the source and its split."
            yield Finding("error", "empty_set", message)
    if 0 < size < TINY_TEST:
        message = (
            f"test has {counted(size, 'text')}, fewer than {TINY_TEST}. Its accuracy is uncertain by up to "
            f"±{100 * 1.96 * sqrt(0.25 / size):.1f} points (95 %), so small differences cannot be proven. Add test "
            "texts if you can."
        )
        yield Finding("warning", "tiny_test", message, count=size)


def _rows(tables: Mapping[str, Table], used: Mapping[str, Sequence[int]]) -> tuple[Rows, list[Finding]]:
    """The rows of each distinct text, and what is to say of empty texts."""
    rows: dict[str, dict[str, list[int]]] = {split: defaultdict(list) for split in tables}
    findings = []
    for split, table in tables.items():
        for row in used[split]:
            rows[split][text_key(table.texts[row])].append(int(row))
        empty = rows[split].pop("", [])
        if empty:
            message = (
                f"{split}: {counted(len(empty), 'text')} of {len(used[split]):,} empty or only white space. Remove "
                "these rows, or check --data.text."
            )
            places = ((split, row) for row in empty)
            findings.append(Finding("warning", "empty_texts", message, examples(tables, places), len(empty)))
    return rows, findings


@dataclass(frozen=True)
class _Leak:
    """Texts of a later split that an earlier one has too; `keys` are those of the later split."""

    finding: Finding
    later: str
    keys: list[str]


def _leaks(tables: Mapping[str, Table], rows: Rows, shingler: Shingler) -> Iterator[_Leak]:
    shingles = {split: {key: shingler(key) for key in its_rows} for split, its_rows in rows.items()}
    for earlier, later in combinations(tables, 2):
        leaked = [key for key in rows[later] if key in rows[earlier]]
        if leaked:
            message = (
                f"{len(leaked):,} of {counted(len(rows[later]), 'distinct text')} in {later} also found in {earlier}, "
                f"word for word: {_leak_advice(earlier, later)}"
            )
            places = _places(rows, (((later, key), (earlier, key)) for key in leaked))
            finding = Finding("warning", "leaked_texts", message, examples(tables, places), len(leaked))
            yield _Leak(finding, later, leaked)

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
            shown = examples(tables, _places(rows, matches))
            finding = Finding("warning", "near_leaked_texts", message, shown, len(near))
            yield _Leak(finding, later, [fresh[text] for text in near])


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
        show = speller(chain.from_iterable(labels.values()))
        one = " and ".join(f"{show(labels[split][row])} in {split} row {row + 1}" for split, row in conflicts[0])
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
