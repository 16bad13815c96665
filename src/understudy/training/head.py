"""The start of a classifier's last layer: a logistic regression on the vectors that enter it before training.

A new random layer first spoils what the encoder knows, and a short training ends before that is made good. With this
start, a model is at its first step as good as its untrained encoder allows (linear probing then fine-tuning, Kumar et
al. 2022, arXiv 2202.10054).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from understudy.data.corpus import Corpus
from understudy.data.tokens import Tokens
from understudy.inference.logits import softmax
from understudy.inference.vectors import VectorEngine, Vectors, last_layer
from understudy.recipe.training import TrainingOptions
from understudy.training.trainer import TrainingContext, TrainingLog

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

STRENGTHS = (0.003, 0.01, 0.03, 0.1, 1.0)
"""Values of C, the inverse strength of the penalty, between which cross-validation chooses."""
_FOLDS = 3
_MOST_FOLDED = 2000  # texts with which C is chosen
MOST_FITTED = 20_000
"""A head is fitted to at most so many texts."""
_ITERATIONS = 200
_NEGLIGIBLE = 0.01
_LARGEST_NORM = 1.0  # of a class's weights when training starts


@dataclass(frozen=True)
class Head:
    """A linear classifier of vectors.

    Attributes:
        weight: Shape (classes, width).
        bias: Shape (classes,).
        strength: Its C.
        accuracy: Its accuracy in cross-validation; None if C was not chosen.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    accuracy: float | None

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """Shape (texts, classes)."""
        found: np.ndarray = vectors @ self.weight.T + self.bias
        return found

    def moderated(self) -> Head:
        """The same predicted labels with weights that training can start from.

        Vectors of an untrained encoder differ little between texts, so a regression on them has large weights. The
        first steps of training move the vectors by more than that, and large weights then give wild logits. Dividing
        all weights by one number changes no label.
        """
        largest = float(np.linalg.norm(self.weight, axis=1).max())
        factor = np.float32(min(1.0, _LARGEST_NORM / max(largest, 1e-12)))
        return replace(self, weight=self.weight * factor, bias=self.bias * factor)

    def write_to(self, layer: nn.Linear) -> None:
        """Makes these the weights of a layer."""
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            layer.bias.copy_(torch.from_numpy(self.bias))


@dataclass(frozen=True)
class HeadStart:
    """How a model began, for the manifest.

    Attributes:
        strength: The C of the logistic regression.
        cross_validated: Its accuracy in cross-validation; None if C was not chosen.
        validation_accuracy: The accuracy on the validation texts before training; None without validation texts.
        trained_accuracy: The accuracy there after training.
    """

    strength: float
    cross_validated: float | None
    validation_accuracy: float | None
    trained_accuracy: float | None = None


@dataclass(frozen=True)
class Sample:
    """Texts of a split.

    Attributes:
        ids: Their ids, bytes of shape (texts,).
        tokens: Their tokens.
    """

    ids: np.ndarray
    tokens: Tokens

    def select(self, rows: np.ndarray) -> Sample:
        """The texts at `rows`."""
        return self if len(rows) == len(self.ids) else Sample(self.ids[rows], self.tokens.select(rows))


Reading = Callable[[VectorEngine, Sample, str], Vectors]
"""Gives the vectors of texts, in their order; the last argument names the work in messages."""


@dataclass(frozen=True)
class HeadLesson:
    """What a last layer learns from.

    Attributes:
        training: The texts.
        targets: Their probabilities; see `fit_head`.
        validation: The validation texts.
        labels: Their class numbers, shape (texts,).
    """

    training: Sample
    targets: np.ndarray
    validation: Sample
    labels: np.ndarray

    @classmethod
    def of(cls, corpus: Corpus, tokens: dict[str, Tokens], soft_labels: np.ndarray | None = None) -> HeadLesson:
        """The lesson of a model that learns from the labels, or from the teacher's soft labels: at most 20,000 texts.

        Args:
            corpus: Has the texts.
            tokens: Of `train`, `transfer` and `validation`, by the model's tokenizer.
            soft_labels: The teacher's logits, row for row of the transfer texts; None for the labels.
        """
        validation = Sample(corpus.validation.ids, tokens["validation"]), corpus.validation.labels
        if soft_labels is None:
            rows = evenly(len(corpus.train), MOST_FITTED)
            targets = one_hot(corpus.train.labels[rows], len(corpus.classes))
            return cls(Sample(corpus.train.ids, tokens["train"]).select(rows), targets, *validation)
        rows = evenly(len(soft_labels), MOST_FITTED)
        taught = Sample(corpus.transfer_ids, tokens["transfer"]).select(rows)
        return cls(taught, softmax(soft_labels[rows]), *validation)


def fit_head(vectors: np.ndarray, targets: np.ndarray, seed: int = 0) -> Head:
    """Fits a logistic regression to standardised vectors and folds the standardisation into its weights.

    C is the one with the highest accuracy in three folds of at most 2,000 texts; of equals, the smallest.

    Args:
        vectors: Shape (texts, width).
        targets: Probabilities of shape (texts, classes); of a labelled text, 1 for its class. Those below 0.01 are
            ignored.
        seed: Of the folds.
    """
    vectors = vectors.astype(np.float64)
    middle, spread = vectors.mean(axis=0), vectors.std(axis=0)
    spread[spread < 1e-6] = 1.0
    scaled = ((vectors - middle) / spread).astype(np.float32)
    strength, accuracy = _chosen(scaled, targets.argmax(axis=1), seed)
    weight, bias = _fitted(scaled, targets, strength)
    weight = weight / spread
    return Head(weight.astype(np.float32), (bias - weight @ middle).astype(np.float32), strength, accuracy)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels as probabilities, shape (texts, classes)."""
    found: np.ndarray = np.eye(classes, dtype=np.float32)[labels]
    return found


def _chosen(scaled: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, float | None]:
    """The C with the highest accuracy in cross-validation, and that accuracy."""
    from sklearn.model_selection import StratifiedKFold

    rows = evenly(len(labels), _MOST_FOLDED)
    scaled, labels = scaled[rows], labels[rows]
    if np.bincount(labels).max() < _FOLDS or len(np.unique(labels)) < 2:
        return STRENGTHS[0], None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class may have fewer texts than there are folds
        folds = list(StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(scaled, labels))
    models = [_regression(STRENGTHS[0], warm_start=True) for _ in folds]
    best, most = STRENGTHS[0], -1
    for strength in STRENGTHS:
        right = 0
        for model, (training, held) in zip(models, folds, strict=True):
            model.set_params(C=strength).fit(scaled[training], labels[training])
            right += int((model.predict(scaled[held]) == labels[held]).sum())
        if right < most:  # the accuracy rises and then falls
            break
        if right > most:
            best, most = strength, right
    return best, most / len(labels)


def _fitted(scaled: np.ndarray, targets: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights of shape (classes, width) and bias of shape (classes,); a class without texts gets the lowest bias."""
    texts, classes = np.nonzero(targets >= _NEGLIGIBLE)
    amounts = targets[texts, classes]
    present = np.unique(classes)
    weight = np.zeros((targets.shape[1], scaled.shape[1]))
    bias = np.zeros(targets.shape[1])
    if len(present) == 1:
        bias[present] = 1.0
        return weight, bias
    model = _regression(strength).fit(scaled[texts], classes, sample_weight=amounts)
    if len(present) == 2:  # one row, for the second class
        weight[present] = np.vstack([-model.coef_, model.coef_]) / 2
        bias[present] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        weight[present], bias[present] = model.coef_, model.intercept_
    absent = np.setdiff1d(np.arange(len(bias)), present)
    bias[absent] = bias[present].min() - 1
    return weight, bias


def _regression(strength: float, warm_start: bool = False) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=_ITERATIONS, tol=1e-3, warm_start=warm_start)


def evenly(texts: int, most: int) -> np.ndarray:
    """At most so many rows, evenly spread."""
    return np.arange(texts) if texts <= most else np.linspace(0, texts - 1, most).astype(int)


def start_head(
    model: PreTrainedModel,
    lesson: HeadLesson,
    options: TrainingOptions,
    context: TrainingContext,
    *,
    pad_id: int,
    seed: int,
    read: Reading | None = None,
) -> HeadStart | None:
    """Starts a classifier's last layer from a logistic regression; the rest of the model stays as it is.

    Args:
        model: A sequence classifier, changed in place.
        lesson: What the layer learns from.
        options: Of the training that follows.
        context: Where the model is trained.
        pad_id: The padding token.
        seed: Of the folds in which C is chosen.
        read: Reads the vectors; by default it computes them.

    Returns:
        How it began; None if no linear layer outputs the logits, and the layer stays as it is.
    """
    description = context.description
    layer = last_layer(model, lesson.training.tokens, pad_id)
    if layer is None or layer.bias is None:
        log.info("%s: its last layer stays as it is: no linear layer outputs the logits", description)
        return None
    engine = VectorEngine(model, layer, context.hardware, context.hardware.dtype(options.precision))
    each = read or (lambda engine, sample, name: engine.read(sample.tokens, pad_id, name))
    vectors = each(engine, lesson.training, f"{description}, vectors")
    head = fit_head(vectors.entering, lesson.targets, seed).moderated()
    head.write_to(layer)
    accuracy = None
    if len(lesson.labels):
        held = each(engine, lesson.validation, f"{description}, validation")
        accuracy = float((head.logits(held.entering).argmax(axis=1) == lesson.labels).mean())
    log.info(
        "%s: starts from a logistic regression with C = %g; validation accuracy %s",
        *(description, head.strength, "unknown" if accuracy is None else f"{accuracy:.4f}"),
    )
    return HeadStart(head.strength, head.accuracy, accuracy)


def compared(start: HeadStart | None, trained: TrainingLog, description: str) -> HeadStart | None:
    """The start with the accuracy after training; warns if training made the model worse.

    Args:
        start: How the model began.
        trained: The log of its training.
        description: Names the model in messages.
    """
    if start is None or start.validation_accuracy is None or trained.accuracy is None:
        return start
    if trained.accuracy < start.validation_accuracy:
        log.warning(
            "%s: training lowered the validation accuracy from %.4f to %.4f. Train more epochs or with a lower rate.",
            *(description, start.validation_accuracy, trained.accuracy),
        )
    return replace(start, trained_accuracy=trained.accuracy)
