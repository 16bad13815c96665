"""One model on one labelled source."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from understudy.data.labels import number_labels
from understudy.data.sources import read
from understudy.data.tables import Table
from understudy.errors import DataError
from understudy.evaluation.metrics import quality
from understudy.evaluation.results import Interval, ModelMetrics
from understudy.evaluation.significance import accuracy_interval
from understudy.inference.classifier import Classifier
from understudy.models.loading import unnamed
from understudy.runtime.progress import progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SingleEvaluation:
    """What `evaluate_model` found.

    Attributes:
        model: As it was named.
        data: The source.
        texts: How many there were.
        dtype: Compute type.
        metrics: The figures.
        accuracy_ci95: Bootstrap interval of the accuracy.
    """

    model: str
    data: str
    texts: int
    dtype: str
    metrics: ModelMetrics
    accuracy_ci95: Interval


def evaluate_model(
    classifier: Classifier,
    model: str,
    source: str,
    *,
    text: str = "text",
    label: str = "label",
    resamples: int = 10_000,
    seed: int = 0,
) -> SingleEvaluation:
    """Measures a classifier on a labelled source; integer labels meet its classes by number, strings by name.

    Raises:
        DataError: the source cannot be read, or its labels are not the model's.
    """
    table = read(source, text, label)
    if not len(table):
        raise DataError(f"{source} has no rows: expected labelled texts. Check that it is the right source.")
    labels = matched_labels(table, source, classifier.classes, model)
    with progress("evaluate", len(table)) as advance:
        probabilities = classifier.predict_proba(table.texts, advance)
    figures = quality(probabilities, labels)
    size = classifier.size
    return SingleEvaluation(
        model=model,
        data=source,
        texts=len(table),
        dtype=classifier.dtype,
        metrics=ModelMetrics(figures.accuracy, figures.f1, figures.auc, figures.ece, size.parameters, size.bytes),
        accuracy_ci95=accuracy_interval(probabilities.argmax(axis=-1), labels, resamples, seed),
    )


def matched_labels(table: Table, source: str, classes: list[str], model: str) -> np.ndarray:
    """The labels of a table as a model's class numbers, int64 of shape (texts,).

    Args:
        table: With labels.
        source: Names the table in messages.
        classes: The model's.
        model: Names the model in messages.

    Raises:
        DataError: a label is none of the model's classes.
    """
    _, labels = number_labels({source: _in_order(table, classes)}, classes)
    if unnamed(classes):
        log.warning("%s has no class names; labels are matched with it by number", model)
    elif table.classes and set(table.classes) != set(classes):
        log.warning(
            "%s names its classes %s and %s %s; they are matched by number. Check that the order is the same.",
            *(source, ", ".join(table.classes), model, ", ".join(classes)),
        )
    return labels[source]


def _in_order(table: Table, classes: list[str]) -> Table:
    """The table with names for labels where it numbers the same classes in another order."""
    if not table.classes or table.classes == classes or set(table.classes) != set(classes):
        return table
    own = table.classes
    named = [own[label] if isinstance(label, int) and 0 <= label < len(own) else label for label in table.labels or []]
    return replace(table, labels=named, classes=None)
