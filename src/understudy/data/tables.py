"""Texts and labels as every source gives them, before labels are numbered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.errors import DataError


@dataclass(frozen=True)
class Table:
    """Texts as they came, before labels are numbered.

    Attributes:
        source: What the user named.
        texts: One string a row; a missing text is the empty string.
        labels: One value a row: string, int, float, or None where it is missing. None when there is no label column.
        classes: Names that the source itself gives to its integer labels.
    """

    source: str
    texts: list[str]
    labels: list[Any] | None = None
    classes: list[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)


def text_of(value: Any, source: str | Path, row: int) -> str:
    """A cell as a text: numbers are written out, a missing one is the empty string.

    Raises:
        DataError: it is something else, such as bytes or a list.
    """
    if value is None or value != value:
        return ""
    if not isinstance(value, str | int | float):
        raise DataError(
            f"{source} row {row}: expected a string as text, got {type(value).__name__} ({str(value)[:40]}). "
            "Name another column with --data.text."
        )
    return str(value)


def unlabelled_as_none(labels: list[Any], classes: list[str] | None) -> list[Any]:
    """ClassLabel's -1 stands for "no label", as in the test splits of benchmarks, and so does NaN."""
    return [None if label != label or (classes and label == -1) else label for label in labels]
