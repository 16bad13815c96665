"""Texts and labels as every source gives them, before the labels are numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.errors import DataError


@dataclass(frozen=True)
class Table:
    """Texts and unprocessed labels.

    Attributes:
        source: The name that the user gave, for messages.
        texts: One string per row; a missing text is the empty string.
        labels: One value per row: string, int, float, or None if it is missing. None if there is no label column.
        classes: Class names that the source itself gives to its integer labels.
    """

    source: str
    texts: list[str]
    labels: list[Any] | None = None
    classes: list[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)


def choose_columns(
    wanted: Sequence[str], present: Sequence[str], source: str | Path, options: str = "--data.text and --data.label"
) -> list[str]:
    """The columns to read, in order, each once.

    Args:
        wanted: Names of the columns.
        present: Names of all columns that the source has.
        source: For the message.
        options: The options that name the columns, for the message.

    Raises:
        DataError: A column is missing, or its name occurs twice.
    """
    chosen = list(dict.fromkeys(wanted))
    missing = [column for column in chosen if column not in present]
    if missing:
        raise DataError(
            f"{source} has no column {' and no column '.join(map(repr, missing))}; its columns are: "
            f"{', '.join(present)}. Choose the columns with {options}."
        )
    twice = [column for column in chosen if present.count(column) > 1]
    if twice:
        raise DataError(f"{source} has more than one column {twice[0]!r}: expected unique names. Rename one of them.")
    return chosen


def text_of(value: Any, source: str | Path, row: int) -> str:
    """A cell as a text: a number becomes its digits, a missing value the empty string.

    Raises:
        DataError: The cell holds something else, such as bytes or a list.
    """
    if value is None or value != value:
        return ""
    if not isinstance(value, str | int | float):
        raise DataError(
            f"{source} row {row}: expected a string as text, got {type(value).__name__} ({str(value)[:40]}). "
            "Choose another column with --data.text."
        )
    return str(value)


def unlabelled_as_none(labels: list[Any], classes: list[str] | None) -> list[Any]:
    """Replaces NaN with None, and ClassLabel's -1 too, which means "no label" in the test splits of benchmarks."""
    return [None if label != label or (classes and label == -1) else label for label in labels]
