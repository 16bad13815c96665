"""Containers of texts and labels that are taken, and those that are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from understudy.inference.classifier import Classifier

TEXTS = ["good film", "bad", "the story"]
FRAME = {"text": TEXTS, "label": ["negative"] * 3}


@pytest.mark.parametrize("kind", [tuple, np.array, iter, pd.Series, dict.fromkeys(TEXTS).keys().__class__])
def test_a_column_of_strings_is_taken(kind: Any, classifier: Classifier) -> None:
    given: Callable[[], Any] = lambda: dict.fromkeys(TEXTS).keys() if kind.__name__ == "dict_keys" else kind(TEXTS)  # noqa: E731
    expected = classifier.predict(TEXTS)
    assert classifier.predict(given()) == expected
    assert [each.label for each in classifier.stream(given(), chunk=2)] == expected
    assert classifier.score(given(), pd.Series(expected)) == 1.0


@pytest.mark.parametrize(
    ("texts", "error", "words"),
    [
        (pd.DataFrame(FRAME), TypeError, "got a DataFrame; pass one column of it: data['text']"),
        (pa.table(FRAME), TypeError, "got a Table; pass one column"),
        (FRAME, TypeError, "got a dict; pass the list in it that holds the texts"),
        (set(TEXTS), TypeError, "got a set, which has no order; pass a list"),
        (b"good film", TypeError, "got bytes; decode it"),
        (np.array([TEXTS, TEXTS]), ValueError, "got shape (2, 3); pass one column"),
        (np.array("good"), ValueError, "got shape ()"),
        ("good film", TypeError, "got one string"),
        (3, TypeError, "expected a sequence of texts, got int; pass a list of strings"),
        (None, TypeError, "got NoneType"),
        (pa.array(TEXTS), TypeError, "got StringScalar at position 0"),
    ],
)
def test_other_containers_are_refused(texts: Any, error: Any, words: str, classifier: Classifier) -> None:
    asked: list[Callable[[], Any]] = [
        lambda: classifier.predict(texts),
        lambda: classifier.predict_proba(texts),
        lambda: list(classifier.stream(texts)),
        lambda: classifier.score(texts, ["negative"] * 3),
    ]
    for ask in asked:
        with pytest.raises(error, match=re.escape(words)):
            ask()


@pytest.mark.parametrize(
    ("texts", "labels", "error", "words"),
    [
        (TEXTS, ["negative"], ValueError, "got 3 texts and 1 labels; pass one label per text"),
        (TEXTS, ["negative", "bad", "negative"], ValueError, "label 'bad' at position 1 is not a class of the model"),
        (TEXTS, [0, 1, 1], ValueError, "expected one of 'negative', 'positive'"),
        (TEXTS, ["negative", None, "positive"], ValueError, "label None at position 1"),
        ([], [], ValueError, "got no texts"),
        (TEXTS, "negative", TypeError, "got one string; put it in a list: [label]"),
        (TEXTS, pd.DataFrame(FRAME), TypeError, "data['label']"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    texts: Any, labels: Any, error: Any, words: str, classifier: Classifier
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        classifier.score(texts, labels)


def test_polars(classifier: Classifier) -> None:
    polars = pytest.importorskip("polars")
    assert classifier.predict(polars.Series(TEXTS)) == classifier.predict(TEXTS)
    for frame in (polars.DataFrame(FRAME), polars.LazyFrame(FRAME)):
        with pytest.raises(TypeError, match="Frame; pass one column"):
            classifier.predict(frame)
