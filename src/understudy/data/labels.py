"""Turns labels into class names and numbers.

`data.audit` uses the parts to find invalid labels; `number_labels` is for data that passed the audit. Wherever integers
meet named classes, `match_integers` is the rule.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

from understudy.data.findings import enumerated
from understudy.data.spelling import speller
from understudy.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from understudy.data.tables import Table

# The class number of a text without a label; PyTorch's cross-entropy ignores it.
NO_LABEL = -100

Label = str | int
Kind = Literal["missing", "integer", "string", "fraction", "unsupported"]

# No leading zeros: "007" and "7" are two names. At most 18 digits: longer ones are identifiers.
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        names: Class names, in the order of the class numbers.
        numbers: The class number of each name, and of each integer that occurs, except labels that are not a class.
    """

    names: list[str]
    numbers: dict[Label, int]


def kind(value: Any) -> Kind:
    """The kind of a label: NaN and blank strings are `missing`, 1.0 and True are `integer`."""
    if isinstance(value, str):
        return "string" if value.strip() else "missing"
    if value is None or (isinstance(value, Real) and value != value):
        return "missing"
    if isinstance(value, Integral) or (isinstance(value, Real) and float(value).is_integer()):
        return "integer"
    return "fraction" if isinstance(value, Real) else "unsupported"


def looks_fractional(string: str) -> bool:
    """Whether a string is a number with a fraction, such as "0.5"."""
    return looks_numeric(string) and not float(string).is_integer()


def looks_numeric(string: str) -> bool:
    """Whether a string is a decimal number; "nan" and "inf" are words."""
    return _NUMBER.fullmatch(string.strip()) is not None


def match_integers(integers: Collection[int], names: Sequence[str]) -> dict[int, int]:
    """Matches integer labels with named classes: by name if every integer is a name, by index if none is.

    An integer is a name if a class is called by its digits: 1 is "1", or "1.0" if no class is called "1".

    Args:
        integers: All integer labels of the data.
        names: Class names, in the order of the class numbers.

    Returns:
        The class number of each integer, without the integers that are neither a name nor an index.

    Raises:
        DataError: Some integers are class names, and some are not.
    """
    numbers = {int(name.partition(".")[0]): number for number, name in enumerate(names) if _INTEGER.fullmatch(name)}
    numbers |= {int(name): number for number, name in enumerate(names) if _INTEGER.fullmatch(name) and "." not in name}
    named = {integer: numbers[integer] for integer in integers if integer in numbers}
    if named and len(named) < len(set(integers)):
        raise _partly_named(sorted(named), sorted(set(integers) - named.keys()), names)
    return named or {integer: integer for integer in integers if 0 <= integer < len(names)}


def normalise(labels: Sequence[Any], classes: Sequence[str] | None = None) -> list[Label | None]:
    """Converts labels to strings or integers; a missing label becomes None.

    Strings become integers if all of them look like integers ("0", "1", "1.0"). If all of them are among `classes`,
    they are names and stay strings. Booleans become integers, or names if `classes` has names such as "True" and
    "False". A mixture of strings and integers stays mixed.

    Args:
        labels: The labels of all splits together, because one split alone may look like integers by chance.
        classes: The names of the classes, if they are known.

    Raises:
        DataError: A label is neither a string nor a whole number, or only some booleans are class names.
    """
    kinds = [kind(label) for label in labels]
    for label, its_kind in zip(labels, kinds, strict=True):
        if its_kind in ("fraction", "unsupported"):
            raise DataError(
                f"Got the label {label!r} ({type(label).__name__}): expected a string or an integer. "
                "Convert the label column, or choose another one."
            )
    strings = {label for label, its_kind in zip(labels, kinds, strict=True) if its_kind == "string"}
    are_numbers = all(_INTEGER.fullmatch(string.strip()) for string in strings) and not strings <= set(classes or ())
    converted: dict[str, Label] = {
        string: int(string.strip().partition(".")[0]) if are_numbers else string for string in strings
    }
    booleans = _read_booleans({label for label in labels if isinstance(label, bool)}, classes or ())
    return [
        None
        if its_kind == "missing"
        else converted[label]
        if its_kind == "string"
        else booleans[label]
        if isinstance(label, bool)
        else int(label)
        for label, its_kind in zip(labels, kinds, strict=True)
    ]


def _read_booleans(values: Collection[bool], names: Sequence[str]) -> dict[bool, Label]:
    """Booleans as class names, where classes are called True and False in some spelling, else as integers."""
    for spell in (str.title, str.lower, str.upper):
        spelled: dict[bool, Label] = {value: spell(str(value)) for value in values}
        named = [text for text in spelled.values() if text in names]
        if named and len(named) < len(spelled):
            raise _partly_named(named, [text for text in spelled.values() if text not in named], names)
        if named:
            return spelled
    return {value: int(value) for value in values}


def _partly_named(named: Sequence[object], others: Sequence[object], names: Sequence[str]) -> DataError:
    return DataError(
        f"Some labels are class names ({enumerated(named)}), and others are not ({enumerated(others)}). The classes "
        f"are {enumerated(names, most=10)}. Use class names for all labels, or an index for each."
    )


def normalise_splits(
    tables: Mapping[str, Table], classes: Sequence[str] | None = None
) -> dict[str, list[Label | None]]:
    """`normalise` over all splits together; the labels of a table without labels are all None.

    A source that names its integers gives names; see `has_names`.
    """
    named = named_classes(tables, classes)
    raw = {split: table.labels or [None] * len(table) for split, table in tables.items()}
    together = iter(normalise([label for labels in raw.values() for label in labels], named))
    found = {split: [next(together) for _ in labels] for split, labels in raw.items()}
    for split, table in tables.items():
        own = table.classes or []
        if has_names(table, classes):
            found[split] = [
                own[label] if isinstance(label, int) and 0 <= label < len(own) else label for label in found[split]
            ]
    return found


def named_classes(tables: Mapping[str, Table], classes: Sequence[str] | None) -> Sequence[str] | None:
    """The names of the classes if they are known: those that the user gave, else those of the first source with any."""
    return classes or next((table.classes for table in tables.values() if table.classes), None)


def has_names(table: Table, classes: Sequence[str] | None) -> bool:
    """Whether a source's own names, not its integers, tell the classes.

    If none of its names is among the `classes` that the user or a model gave, those are other names for its integers.
    """
    return bool(table.classes) and (classes is None or not set(classes).isdisjoint(table.classes or ()))


def find_classes(
    tables: Mapping[str, Table], labels: Mapping[str, Sequence[Label | None]], classes: Sequence[str] | None = None
) -> Classes:
    """Finds the names and numbers of the classes.

    The names are `classes`, else those of the data set, else the distinct labels: strings in lexicographic order,
    integers in numeric order. If names are given, strings must be among them; see `match_integers` for integers.

    Args:
        tables: The splits, which may have class names of their own.
        labels: The result of `normalise_splits`.
        classes: Class names that the user gave (`data.labels`).

    Raises:
        DataError: Some labels are strings and some are integers, or only some integers are class names.
    """
    distinct = {
        label
        for split, values in labels.items()
        if not has_names(tables[split], classes)
        for label in values
        if label is not None
    }
    strings = sorted(label for label in distinct if isinstance(label, str))
    integers = sorted(label for label in distinct if isinstance(label, int))
    if strings and integers:
        raise DataError(
            f"Got strings ({strings[0]!r}) and integers ({integers[0]}) as labels: expected one type. "
            "Use the same type in all splits."
        )
    given = named_classes(tables, classes)
    if given is None:
        ordered: list[Label] = [*strings, *integers]
        return Classes([str(label) for label in ordered], {label: number for number, label in enumerate(ordered)})
    numbers: dict[Label, int] = {name: number for number, name in enumerate(given)}
    for integer, number in match_integers(integers, given).items():
        numbers[integer] = number
    return Classes(list(given), numbers)


def number_labels(
    tables: Mapping[str, Table], classes: Sequence[str] | None = None
) -> tuple[list[str], dict[str, NDArray[np.int64]]]:
    """The class names, and the class numbers of each split, shape (rows,).

    Args:
        tables: Labelled tables by split, in which the audit found no error.
        classes: Class names that the user gave (`data.labels`).

    Raises:
        DataError: A label is missing, not among the names, or neither a string nor an integer; or only some integers
            are class names.
    """
    import numpy as np

    labels = normalise_splits(tables, classes)
    found = find_classes(tables, labels, classes)
    for split, values in labels.items():
        for row, label in enumerate(values, start=1):
            if label is None:
                raise DataError(
                    f"{split} row {row} has no label: expected one in every row. Fill it in or remove the row."
                )
            if label not in found.numbers:
                spelled = speller([label, *found.names])
                expected = [name if spelled(name) == repr(name) else spelled(name) for name in found.names]
                raise DataError(
                    f"{split} row {row} has the label {spelled(label)}: expected one of {', '.join(expected)}, or an "
                    f"integer from 0 to {len(found.names) - 1}. Correct the row, or name its class in --data.labels."
                )
    numbered = {
        split: np.array([found.numbers[label] for label in values if label is not None], dtype=np.int64)
        for split, values in labels.items()
    }
    return found.names, numbered
