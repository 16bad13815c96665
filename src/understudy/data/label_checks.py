"""The part of the audit that checks labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from understudy.data.findings import Finding, Row, counted, enumerated, examples, excerpt
from understudy.data.labels import (
    Classes,
    Label,
    find_classes,
    has_names,
    kind,
    looks_fractional,
    looks_numeric,
    normalise_splits,
)
from understudy.data.spelling import alike, speller
from understudy.errors import DataError

if TYPE_CHECKING:
    from understudy.data.tables import Table

Labels = Mapping[str, Sequence[Label | None]]
Names = Mapping[str, Sequence[str | None]]
Show = Callable[[object], str]

FEW = 10
IMBALANCE = 10
_ID_COLUMN_ROWS = 50
_BALANCE_CLASSES = 10


def check_labels(
    tables: Mapping[str, Table], classes: Sequence[str] | None, apart: Sequence[int] | None = None
) -> Iterator[Finding]:
    """All findings about labels; checks that need valid labels are skipped if some labels are invalid.

    Args:
        tables: By split.
        classes: Class names that the user gave (`data.labels`).
        apart: The rows of "train" that are set apart as test texts.
    """
    yield from _missing(tables)
    unusable = [*_unsupported(tables), *_continuous(tables, classes)]
    yield from unusable
    if unusable:
        return
    try:
        labels = normalise_splits(tables, classes)
    except DataError as error:  # some booleans are class names, some are not
        yield Finding("error", "ambiguous_labels", str(error))
        return
    unusable = [*_mixed(tables, labels, classes), *_different_names(tables, classes), *_too_many(tables, labels)]
    yield from unusable
    if unusable:
        return
    try:
        found = find_classes(tables, labels, classes)
    except DataError as error:  # some integers are class names, some are not
        yield Finding("error", "ambiguous_labels", str(error))
        return
    if apart is not None:
        tables = {**tables, "test": tables["train"]}
        labels = {**labels, **_set_apart(labels["train"], apart)}
    yield from _of_classes(tables, labels, found)


def _set_apart(labels: Sequence[Label | None], apart: Sequence[int]) -> dict[str, list[Label | None]]:
    """The labels of both splits by row of the whole table; None for a row of the other split."""
    rows = set(apart)
    return {
        "train": [None if row in rows else label for row, label in enumerate(labels)],
        "test": [label if row in rows else None for row, label in enumerate(labels)],
    }


def _of_classes(tables: Mapping[str, Table], labels: Labels, found: Classes) -> Iterator[Finding]:
    """The findings about labels whose classes are known."""
    show = speller([*found.names, *chain.from_iterable(labels.values())])
    yield from _similar(tables, labels, found)
    yield from _unknown(tables, labels, found, show)
    yield from _one_class(tables, labels, found)
    # Only class names from here on; `_unknown` reports the other labels.
    names: dict[str, list[str | None]] = {
        split: [
            found.names[found.numbers[label]] if label is not None and label in found.numbers else None
            for label in values
        ]
        for split, values in labels.items()
    }
    trained = Counter(name for name in names["train"] if name is not None)
    if trained:
        yield from _unseen(tables, names, trained, show)
        yield from _without_texts(names, found, show)
        yield from _imbalance(trained, show)
        yield from _few(tables, names, trained, show)
    yield from _balance(names, show)


def _missing(tables: Mapping[str, Table]) -> Iterator[Finding]:
    for split, table in tables.items():
        if table.labels is None and len(table):
            message = (
                f"{split} ({table.source}) has no labels: expected a label in every row. "
                "Choose the column with --data.label, or use a labelled source."
            )
            yield Finding("error", "missing_labels", message, (), len(table))
            continue
        rows = [row for row, label in enumerate(table.labels or []) if kind(label) == "missing"]
        if rows:
            message = (
                f"{split} ({table.source}): {counted(len(rows), 'label')} of {len(table):,} missing; expected one in "
                "every row. Fill them in or remove these rows."
            )
            yield Finding("error", "missing_labels", message, _examples(tables, split, rows), len(rows))


def _unsupported(tables: Mapping[str, Table]) -> Iterator[Finding]:
    for split, table in tables.items():
        labels = table.labels or []
        rows = [row for row, label in enumerate(labels) if kind(label) == "unsupported"]
        if rows:
            types = enumerated(sorted({type(labels[row]).__name__ for row in rows}))
            advice = (
                "Multi-label classification (several classes per text) is not supported: keep one class per text, or "
                "make one data set per class."
                if any(isinstance(labels[row], Collection) and not isinstance(labels[row], bytes) for row in rows)
                else "Convert the column to strings or integers, or choose another one with --data.label."
            )
            message = (
                f"{split} ({table.source}): {counted(len(rows), 'label')} of type {types}, such as "
                f"{excerpt(repr(labels[rows[0]]))}; expected one string or integer per text. {advice}"
            )
            yield Finding("error", "unsupported_labels", message, _examples(tables, split, rows), len(rows))


def _continuous(tables: Mapping[str, Table], classes: Sequence[str] | None) -> Iterator[Finding]:
    strings = {
        label for table in tables.values() for label in table.labels or [] if isinstance(label, str) and label.strip()
    }
    # One class that happens to be called "0.5" is not a regression target: all strings must be numbers.
    numeric = all(looks_numeric(string) for string in strings) and not strings <= set(classes or ())
    for split, table in tables.items():
        labels = table.labels or []
        rows = [
            row
            for row, label in enumerate(labels)
            if kind(label) == "fraction" or (numeric and isinstance(label, str) and looks_fractional(label))
        ]
        if rows:
            values = enumerated(list(dict.fromkeys(labels[row] for row in rows)), most=3)
            message = (
                f"{split} ({table.source}): {counted(len(rows), 'label')} of {len(table):,} with a fraction "
                f"({values}), as in a regression target; expected one class per text, a string or an integer. Choose "
                "another column with --data.label, or turn ranges of the value into classes."
            )
            yield Finding("error", "continuous_labels", message, _examples(tables, split, rows), len(rows))


def _mixed(tables: Mapping[str, Table], labels: Labels, classes: Sequence[str] | None) -> Iterator[Finding]:
    labels = {split: values for split, values in labels.items() if not has_names(tables[split], classes)}
    types = {split: {type(label) for label in values if label is not None} for split, values in labels.items()}
    if len(set().union(*types.values())) < 2:
        return
    words = {str: "strings", int: "integers"}
    described = ", ".join(
        f"{split} has {' and '.join(sorted(words[each] for each in found))}" for split, found in types.items() if found
    )
    of_each: dict[type, list[tuple[str, int]]] = defaultdict(list)
    for split, values in labels.items():
        for row, label in enumerate(values):
            if label is not None:
                of_each[type(label)].append((split, row))
    rarer = min(of_each.values(), key=len)
    message = (
        f"Labels are strings in some rows and integers in others: {described}; expected one type in all splits. "
        "Use one type everywhere, for example class names."
    )
    yield Finding("error", "mixed_labels", message, examples(tables, rarer), len(rarer))


def _different_names(tables: Mapping[str, Table], classes: Sequence[str] | None) -> Iterator[Finding]:
    named = {split: table.classes for split, table in tables.items() if table.classes}
    if classes is None:
        # The same names in another order are no problem: every source's integers are read as its own names.
        differ = len({frozenset(names) for names in named.values()}) > 1
    else:
        # Other names for the same integers are fine if all sources number their classes in one way.
        renamed = [split for split in named if not has_names(tables[split], classes)]
        differ = bool(renamed) and len({tuple(names) for names in named.values()}) > 1
        named["data.labels"] = list(classes)
    if differ:
        described = "; ".join(f"{split}: {enumerated(names, most=10)}" for split, names in named.items())
        message = (
            f"The splits have different classes ({described}), so one integer would mean two classes; expected the "
            "same names everywhere. Rename the classes of one source, or correct data.labels."
        )
        yield Finding("error", "different_class_names", message)


def _too_many(tables: Mapping[str, Table], labels: Labels) -> Iterator[Finding]:
    trained = [label for label in labels["train"] if label is not None]
    distinct = list(dict.fromkeys(trained))
    if len(trained) >= _ID_COLUMN_ROWS and 2 * len(distinct) > len(trained):
        message = (
            f"train ({tables['train'].source}): {len(distinct):,} different labels in {len(trained):,} rows "
            f"({enumerated(distinct, most=3)}), as in a column of ids or free text; expected a few classes with many "
            "texts each. Choose another column with --data.label."
        )
        yield Finding("error", "too_many_classes", message, count=len(trained))


def _similar(tables: Mapping[str, Table], labels: Labels, found: Classes) -> Iterator[Finding]:
    places: dict[str, dict[str, list[tuple[str, int]]]] = defaultdict(lambda: defaultdict(list))
    for name in found.names:
        _ = places[alike(name)][name]
    keys: dict[str, str] = {}
    for split, values in labels.items():
        for row, label in enumerate(values):
            if isinstance(label, str):
                if label not in keys:
                    keys[label] = alike(label)
                places[keys[label]][label].append((split, row))
    order = list(tables)
    for spellings in places.values():
        if len(spellings) > 1:
            usual = max(spellings, key=lambda spelling: (spelling in found.names, len(spellings[spelling])))
            odd = [place for spelling, found_at in spellings.items() if spelling != usual for place in found_at]
            odd.sort(key=lambda place: (order.index(place[0]), place[1]))
            show = speller(spellings)
            message = (
                f"The labels {enumerated(sorted(spellings), show=show)} differ only by case, spaces, invisible "
                "characters or the way that Unicode writes a letter. They count as different classes. If they are "
                f"one class, write {show(usual)} everywhere."
            )
            yield Finding("warning", "similar_labels", message, examples(tables, odd), len(odd))


def _unknown(tables: Mapping[str, Table], labels: Labels, found: Classes, show: Show) -> Iterator[Finding]:
    for split, values in labels.items():
        rows = [row for row, label in enumerate(values) if label is not None and label not in found.numbers]
        if rows:
            wrong = enumerated(dict.fromkeys(values[row] for row in rows), show=show)
            message = (
                f"{split} ({tables[split].source}): {counted(len(rows), 'label')} ({wrong}) not among the classes; "
                f"expected one of {enumerated(found.names, most=10, show=show)}, or an integer from 0 to "
                f"{len(found.names) - 1}. Correct these rows, or name all classes in data.labels."
            )
            yield Finding("error", "unknown_label", message, _examples(tables, split, rows), len(rows))


def _one_class(tables: Mapping[str, Table], labels: Labels, found: Classes) -> Iterator[Finding]:
    trained = [label for label in labels["train"] if label is not None]
    if len(set(trained)) == 1 and trained[0] in found.numbers:
        name = found.names[found.numbers[trained[0]]]
        message = (
            f"train ({tables['train'].source}): all {counted(len(trained), 'label')} are {name!r}; "
            "expected at least two classes. Check that --data.label names the right column and that the source is "
            "complete."
        )
        yield Finding("error", "one_class", message, count=len(trained))


def _unseen(tables: Mapping[str, Table], names: Names, trained: Counter[str], show: Show) -> Iterator[Finding]:
    for split, values in names.items():
        rows = [row for row, name in enumerate(values) if name is not None and name not in trained]
        if rows:
            unseen = sorted({name for name in values if name is not None and name not in trained})
            message = (
                f"{split} ({tables[split].source}): {counted(len(rows), 'text')} labelled "
                f"{enumerated(unseen, show=show)}, which no training text has (train has "
                f"{enumerated(sorted(trained), show=show)}). Add training texts of these classes, or remove these rows."
            )
            yield Finding("error", "unseen_test_class", message, _examples(tables, split, rows), len(rows))


def _without_texts(names: Names, found: Classes, show: Show) -> Iterator[Finding]:
    # `_unseen` already reports a class that only another split has.
    used = set(chain.from_iterable(names.values()))
    absent = [name for name in found.names if name not in used]
    if absent:
        message = (
            f"{counted(len(absent), 'class', 'classes')} without any text: {enumerated(absent, show=show)}. The models "
            "have an output for each, but will almost never predict it. Add texts, or remove the name from data.labels."
        )
        yield Finding("warning", "class_without_texts", message)


def _imbalance(trained: Counter[str], show: Show) -> Iterator[Finding]:
    ranked = trained.most_common()
    (largest, most), (smallest, least) = ranked[0], ranked[-1]
    if most >= IMBALANCE * least:
        message = (
            f"train: the largest class {show(largest)} has {most:,} texts and the smallest "
            f"{show(smallest)} {least:,} ({most / least:.0f} to 1). Accuracy says little about the smallest "
            "class: look at F1, and consider --teacher.class_weights balanced."
        )
        yield Finding("warning", "imbalance", message)


def _few(tables: Mapping[str, Table], names: Names, trained: Counter[str], show: Show) -> Iterator[Finding]:
    few = {name: count for name, count in trained.items() if count < FEW}
    if few:
        rows = [row for row, name in enumerate(names["train"]) if name in few]
        described = ", ".join(
            f"{show(name)} {count}" for name, count in sorted(few.items(), key=lambda item: item[1])[:5]
        )
        more = f" and {len(few) - 5:,} more" if len(few) > 5 else ""
        message = (
            f"train: too few texts to learn a class from: {described}{more}. Expected at least {FEW} per class: add "
            "texts, or merge the class with another."
        )
        yield Finding("warning", "few_per_class", message, _examples(tables, "train", rows), len(rows))


def _balance(names: Names, show: Show) -> Iterator[Finding]:
    for split, values in names.items():
        ranked = Counter(name for name in values if name is not None).most_common()
        if not ranked:
            continue
        total = sum(count for _, count in ranked)
        shown = [f"{show(name)} {count:,} ({count / total:.1%})" for name, count in ranked]
        if len(shown) > _BALANCE_CLASSES:
            shown = [*shown[:3], "...", *shown[-3:]]
        message = f"{split}: {counted(total, 'text')}, {counted(len(ranked), 'distinct label')}: {', '.join(shown)}."
        yield Finding("note", "balance", message, count=total)


def _examples(tables: Mapping[str, Table], split: str, rows: Sequence[int]) -> tuple[Row, ...]:
    return examples(tables, ((split, row) for row in rows))
