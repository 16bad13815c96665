"""Turns labels into class names and numbers.

`data.audit` uses the parts to find invalid labels; `number_labels` is for data that passed the audit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

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
        numbers: The class number of each label that occurs, except labels that are not a class.
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


def normalise(labels: Sequence[Any], classes: Sequence[str] | None = None) -> list[Label | None]:
    """Converts labels to strings or integers; a missing label becomes None.

    Strings become integers if all of them look like integers ("0", "1", "1.0"). If all of them are among `classes`,
    they are names and stay strings. A mixture of strings and integers stays mixed.

    Args:
        labels: The labels of all splits together, because one split alone may look like integers by chance.
        classes: Class names that the user gave (`data.labels`).

    Raises:
        DataError: a label is neither a string nor a whole number.
    """
    kinds = [kind(label) for label in labels]
    for label, its_kind in zip(labels, kinds, strict=True):
        if its_kind in ("fraction", "unsupported"):
            raise DataError(
                f"Got the label {label!r} ({type(label).__name__}): expected a string or an integer. "
                "Choose another column with --data.label."
            )
    strings = {label for label, its_kind in zip(labels, kinds, strict=True) if its_kind == "string"}
    are_numbers = all(_INTEGER.fullmatch(string.strip()) for string in strings) and not strings <= set(classes or ())
    converted: dict[str, Label] = {
        string: int(string.strip().partition(".")[0]) if are_numbers else string for string in strings
    }
    return [
        None if its_kind == "missing" else converted[label] if its_kind == "string" else int(label)
        for label, its_kind in zip(labels, kinds, strict=True)
    ]


def normalise_splits(
    tables: Mapping[str, Table], classes: Sequence[str] | None = None
) -> dict[str, list[Label | None]]:
    """`normalise` over all splits together; the labels of a table without labels are all None."""
    raw = {split: table.labels or [None] * len(table) for split, table in tables.items()}
    together = iter(normalise([label for labels in raw.values() for label in labels], classes))
    return {split: [next(together) for _ in labels] for split, labels in raw.items()}


def find_classes(
    tables: Mapping[str, Table], labels: Iterable[Label | None], classes: Sequence[str] | None = None
) -> Classes:
    """Finds the names and numbers of the classes.

    The names are `classes`, else those of the data set, else the distinct labels: strings in lexicographic order,
    integers in numeric order. If names are given, integers are their indices, and strings must be among them.

    Args:
        tables: The splits, which may have class names of their own.
        labels: Normalised labels of all splits.
        classes: Class names that the user gave (`data.labels`).

    Raises:
        DataError: some labels are strings and some are integers.
    """
    distinct = {label for label in labels if label is not None}
    strings = sorted(label for label in distinct if isinstance(label, str))
    integers = sorted(label for label in distinct if isinstance(label, int))
    if strings and integers:
        raise DataError(
            f"Got strings ({strings[0]!r}) and integers ({integers[0]}) as labels: expected one type. "
            "Use the same type in all splits."
        )
    given = classes or next((table.classes for table in tables.values() if table.classes), None)
    if given is None:
        ordered: list[Label] = [*strings, *integers]
        return Classes([str(label) for label in ordered], {label: number for number, label in enumerate(ordered)})
    numbers: dict[Label, int] = {label: label for label in integers if 0 <= label < len(given)}
    numbers.update({name: given.index(name) for name in strings if name in given})
    return Classes(list(given), numbers)


def number_labels(
    tables: Mapping[str, Table], classes: Sequence[str] | None = None
) -> tuple[list[str], dict[str, NDArray[np.int64]]]:
    """The class names, and the class numbers of each split, shape (rows,).

    Args:
        tables: Labelled tables by split, in which the audit found no error.
        classes: Class names that the user gave (`data.labels`).

    Raises:
        DataError: a label is missing, not among the names, or neither a string nor an integer.
    """
    import numpy as np

    labels = normalise_splits(tables, classes)
    found = find_classes(tables, [label for values in labels.values() for label in values], classes)
    for split, values in labels.items():
        for row, label in enumerate(values, start=1):
            if label is None:
                raise DataError(
                    f"{split} row {row} has no label: expected one in every row. Fill it in or remove the row."
                )
            if label not in found.numbers:
                raise DataError(
                    f"{split} row {row} has the label {label!r}: expected one of {', '.join(found.names)}, or an "
                    f"integer from 0 to {len(found.names) - 1}. Correct the row, or name its class in --data.labels."
                )
    numbered = {
        split: np.array([found.numbers[label] for label in values if label is not None], dtype=np.int64)
        for split, values in labels.items()
    }
    return found.names, numbered
