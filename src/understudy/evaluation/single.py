"""One model on one labelled source."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from understudy.data.audit import audit
from understudy.data.labels import number_labels
from understudy.data.sources import read
from understudy.errors import DataError
from understudy.evaluation.metrics import quality
from understudy.evaluation.results import Interval, ModelMetrics
from understudy.evaluation.significance import accuracy_interval
from understudy.inference.classifier import Classifier
from understudy.models.loading import parameter_count, unnamed
from understudy.progress import progress

log = logging.getLogger(__name__)

# Findings that concern labels and so decide whether a model can be held against them at all.
_FATAL = {"empty_set", "missing_labels", "continuous_labels", "unknown_label", "unsupported_labels", "mixed_labels"}


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
    found = [finding for finding in audit({"test": table, "train": table}, classifier.classes).errors]
    fatal = [finding for finding in found if finding.code in _FATAL]
    if fatal:
        raise DataError("\n".join(dict.fromkeys(f"{finding.code}: {finding.message}" for finding in fatal)))
    if unnamed(classifier.classes):
        log.warning("%s has no class names; labels are matched with it by number", model)
    _, labels = number_labels({"test": table}, classifier.classes)
    with progress("evaluate", len(table)) as advance:
        probabilities = classifier.predict_proba(table.texts, advance)
    figures = quality(probabilities, labels["test"])
    size = sum(parameter.numel() * parameter.element_size() for parameter in classifier.model.parameters())
    return SingleEvaluation(
        model=model,
        data=source,
        texts=len(table),
        dtype=classifier.dtype,
        metrics=ModelMetrics(
            figures.accuracy, figures.f1, figures.auc, figures.ece, parameter_count(classifier.model), size
        ),
        accuracy_ci95=accuracy_interval(probabilities.argmax(axis=-1), labels["test"], resamples, seed),
    )
