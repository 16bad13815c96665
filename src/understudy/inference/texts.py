"""Texts and labels as users pass them: a list, a series, an array or a generator of strings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def one_dimensional(values: Any, name: str) -> Iterable[Any]:
    """Refuses containers that would be iterated over in a surprising way.

    Args:
        values: What the user passed.
        name: What it should hold, for messages: `texts` or `labels`.

    Raises:
        TypeError: It is one string, bytes, a data frame, a mapping, a set, or not a container at all.
        ValueError: It is an array that does not have one dimension.
    """
    kind = type(values).__name__
    if isinstance(values, str):
        raise TypeError(f"expected a sequence of {name}, got one string; put it in a list: [{name.removesuffix('s')}]")
    if isinstance(values, Mapping):
        raise TypeError(f"expected {name} as strings, got a {kind}; pass the list in it that holds the {name}")
    if hasattr(type(values), "columns") or hasattr(type(values), "column_names"):
        column = name.removesuffix("s")
        raise TypeError(f"expected {name} as strings, got a {kind}; pass one column of it: data['{column}']")
    if isinstance(values, set | frozenset):
        raise TypeError(f"expected a sequence of {name}, got a {kind}, which has no order; pass a list")
    if isinstance(values, bytes | bytearray | memoryview):
        raise TypeError(f"expected {name} as strings, got {kind}; decode it and put it in a list: [value.decode()]")
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        raise ValueError(f"expected one dimension, shape ({name},), got shape {shape}; pass one column: array[:, 0]")
    if not isinstance(values, Iterable):
        raise TypeError(f"expected a sequence of {name}, got {kind}; pass a list of strings")
    return values


def strings(texts: Iterable[Any]) -> list[str]:
    """The texts as a list.

    Raises:
        TypeError: As `one_dimensional`, or one of them is not a string.
        ValueError: As `one_dimensional`.
    """
    found = list(one_dimensional(texts, "texts"))
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(
                f"expected texts as strings, got {type(text).__name__} at position {place}; remove or fill "
                "missing values first"
            )
    return found


def named_labels(labels: Iterable[Any], classes: Sequence[str], texts: int) -> np.ndarray:
    """Labels as class indices, int64 of shape (texts,).

    Args:
        labels: Class names.
        classes: Names of the model's classes.
        texts: How many labels there should be.

    Raises:
        TypeError: As `one_dimensional`.
        ValueError: As `one_dimensional`; there are none, too few or too many; or one is not a class of the model.
    """
    given = list(one_dimensional(labels, "labels"))
    if len(given) != texts:
        raise ValueError(f"got {texts} texts and {len(given)} labels; pass one label per text")
    if not given:
        raise ValueError("got no texts; pass at least one text with its label")
    numbers = {name: index for index, name in enumerate(classes)}
    for place, label in enumerate(given):
        if not isinstance(label, str) or label not in numbers:
            raise ValueError(
                f"label {label!r} at position {place} is not a class of the model; expected one of {', '.join(classes)}"
            )
    return np.array([numbers[label] for label in given])
