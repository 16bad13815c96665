"""One model on one labelled source."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass
from typing import Any, Unpack

import numpy as np

from understudy.data.frames import as_table, is_data
from understudy.data.labels import has_names, number_labels
from understudy.data.sources import read
from understudy.data.tables import Table
from understudy.errors import DataError
from understudy.evaluation.metrics import ClassQuality, class_qualities, quality
from understudy.evaluation.results import Interval, ModelMetrics
from understudy.evaluation.significance import accuracy_interval
from understudy.inference.classifier import Classifier
from understudy.inference.opening import OpenOptions, open_classifier
from understudy.models.loading import unnamed
from understudy.recipe.arguments import reworded
from understudy.runtime.progress import progress
from understudy.storage.models import STUDENT

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SingleEvaluation:
    """The figures of one model on one source.

    Attributes:
        model: The model's name, as given.
        data: The source's name.
        texts: Number of texts.
        dtype: Compute type.
        metrics: The figures.
        accuracy_ci95: 95 % interval of the accuracy.
        classes: The figures of each class.
    """

    model: str
    data: str
    texts: int
    dtype: str
    metrics: ModelMetrics
    accuracy_ci95: Interval
    classes: tuple[ClassQuality, ...]


def evaluate(
    model: str | os.PathLike[str] | Classifier,
    data: Any,
    *,
    text: str = "text",
    label: str = "label",
    which: str = STUDENT,
    **options: Unpack[OpenOptions],
) -> SingleEvaluation:
    """Measures one model on labelled texts. Strings match its classes by name; integers by name, else by index.

    Args:
        model: A run directory, a Hugging Face folder, an export, or an open classifier.
        data: A source, or data in memory: a data frame, an Arrow table, a `datasets.Dataset`, a mapping of columns to
            lists, a list of rows, or a pair `(texts, labels)`.
        text: The text column.
        label: The label column.
        which: Which model of a run directory, as `understudy.load` takes it.
        **options: `device`, `threads`, `precision` and `engine`, as `understudy.load` takes them, for a model that is
            not open yet.

    Raises:
        ModelError: There is no single-label classifier at `model`.
        DataError: The source cannot be read or has no rows, or a label is missing or is not one of the
            model's classes, or only some integers are class names.
        TypeError: The data has an unsupported type, or options were given for an open classifier.
    """
    given = [*(["which"] if which != STUDENT else []), *options]
    if isinstance(model, Classifier) and given:
        raise TypeError(f"got an open classifier and {', '.join(given)}; pass the model's folder to open it anew")
    classifier = model if isinstance(model, Classifier) else open_classifier(model, which=which, **options)
    name = str(os.fspath(model if which == STUDENT else classifier))
    return evaluate_model(classifier, labelled_table(data, text, label), name=name, text=text, label=label)


def evaluate_model(
    classifier: Classifier, data: str | Table, *, name: str, text: str = "text", label: str = "label"
) -> SingleEvaluation:
    """Measures a classifier on labelled texts. Integer labels match its classes by number, strings by name.

    Args:
        classifier: The model.
        data: A source, or a table that is already read.
        name: The model's name in messages and in the result.
        text: The source's text column.
        label: The source's label column.

    Raises:
        DataError: The source cannot be read or has no rows, or a label is missing or is not one of the
            model's classes, or only some integers are class names.
    """
    table = data if isinstance(data, Table) else labelled_table(data, text, label)
    if not len(table):
        raise DataError(f"{table.source} has no rows: expected labelled texts. Check that it is the right source.")
    labels = matched_labels(table, table.source, classifier.classes, name)
    with progress("evaluate", len(table)) as advance:
        probabilities = classifier.predict_proba(table.texts, advance)
    figures, predicted = quality(probabilities, labels), probabilities.argmax(axis=-1)
    size = classifier.size
    return SingleEvaluation(
        model=name,
        data=table.source,
        texts=len(table),
        dtype=classifier.dtype,
        metrics=ModelMetrics(**asdict(figures), parameters=size.parameters, bytes=size.bytes),
        accuracy_ci95=accuracy_interval(predicted, labels),
        classes=class_qualities(predicted, labels, classifier.classes),
    )


def labelled_table(data: Any, text: str, label: str) -> Table:
    """Reads labelled texts, whose columns Python arguments name.

    Args:
        data: A source, or data in memory (see `understudy.data.frames.as_arrow`).
        text: The text column.
        label: The label column.

    Raises:
        DataError: The source cannot be read, or a column is missing.
        TypeError: The data has an unsupported type.
    """
    with reworded():
        return as_table(data, text, label) if is_data(data) else read(str(data), text, label)


def matched_labels(table: Table, source: str, classes: list[str], model: str) -> np.ndarray:
    """A table's labels as the model's class indices, int64 of shape (texts,).

    Args:
        table: Labelled texts.
        source: The table's name in messages.
        classes: The model's class names.
        model: The model's name in messages.

    Raises:
        DataError: A label is missing or is not one of the model's classes, or only some
            integers are class names.
    """
    _, labels = number_labels({source: table}, classes)
    if unnamed(classes):
        log.warning("%s has no class names; labels are matched by number.", model)
    elif table.classes and not has_names(table, classes):
        log.warning(
            "The classes of %s are %s, those of %s are %s. They are matched by number; check that the order agrees.",
            *(source, ", ".join(table.classes), model, ", ".join(classes)),
        )
    return labels[source]
