"""The part of the audit that checks the splits as a run uses them: their classes, their size and their words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from understudy.data.findings import Finding, counted, enumerated
from understudy.data.labels import find_classes, normalise_splits
from understudy.data.words import folded, words

if TYPE_CHECKING:
    from understudy.data.tables import Table

TINY_VALIDATION = 50  # with fewer texts nothing is calibrated
_READ = 2000  # training texts whose words are counted


def check_splits(
    tables: Mapping[str, Table], used: Mapping[str, Sequence[int]], classes: Sequence[str] | None
) -> Iterator[Finding]:
    """Warns about a split without some classes, few validation texts, and texts that share almost no words.

    Args:
        tables: By split, in which the labels are valid.
        used: The rows that each split uses, from 0.
        classes: Class names that the user gave (`data.labels`).
    """
    labels = normalise_splits(tables, classes)
    found = find_classes(tables, labels, classes)
    names = {
        split: {found.names[found.numbers[label]] for row in rows if (label := labels[split][row]) is not None}
        for split, rows in used.items()
    }
    for split in names.keys() - {"train"}:
        missing = [name for name in found.names if name in names["train"] - names[split]]
        if split == "test" and len(names[split]) == 1 and missing:
            message = (
                f"test: all {counted(len(used[split]), 'text')} have the label {min(names[split])!r}. Accuracy says "
                "nothing about the other classes. Add test texts of every class."
            )
            yield Finding("warning", "one_class_test", message, count=len(used[split]))
        elif missing:
            message = (
                f"{split}: no text of {counted(len(missing), 'class', 'classes')} that train has "
                f"({enumerated(missing)}). Its scores say nothing about them. Add texts of every class."
            )
            yield Finding("warning", "missing_classes", message, count=len(missing))
    size = len(used.get("validation", ()))
    if 0 < size < TINY_VALIDATION:
        message = (
            f"validation has {counted(size, 'text')}, fewer than {TINY_VALIDATION}. Nothing is calibrated, and early "
            "stopping is uncertain. Add training texts, or set --data.validation."
        )
        yield Finding("warning", "tiny_validation", message, count=size)
    yield from _few_features(tables["train"], used["train"])


def _few_features(table: Table, rows: Sequence[int]) -> Iterator[Finding]:
    read = [set(words(folded(table.texts[row]))) for row in islice(rows, _READ)]
    counts = Counter(word for found in read for word in found)
    without = sum(all(counts[word] < 2 for word in found) for found in read)
    if len(read) > 1 and 2 * without > len(read):
        message = (
            f"train: {without:,} of {counted(len(read), 'text')} share no word with another text. The linear control "
            "has almost no features, so a comparison with it says little. Check --data.text."
        )
        yield Finding("warning", "few_features", message, count=without)
