"""The start of a last layer: a logistic regression on the vectors that enter it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from understudy.data.tokens import tokenise
from understudy.inference.logits import predict_logits
from understudy.inference.pytorch_engine import PyTorchEngine
from understudy.inference.vectors import VectorEngine, last_layer
from understudy.models.loading import load_classifier, load_tokenizer
from understudy.recipe.training import TrainingOptions
from understudy.runtime.hardware import Hardware
from understudy.training.head import HeadLesson, HeadStart, Sample, compared, fit_head, one_hot, start_head
from understudy.training.trainer import TrainingContext, TrainingLog

HARDWARE = Hardware("cpu", 1)
TEXTS = [f"{word} film {other}" for word in ("good", "bad", "dull") for other in ("a", "is", "was", "the", "story")]


def clusters(classes: int, texts: int = 90, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around a centre of each class, of very different scales, and their labels."""
    random = np.random.default_rng(0)
    labels = np.arange(texts) % classes
    vectors = random.normal(size=(texts, width)) + 2 * random.normal(size=(classes, width))[labels]
    return (vectors * 10.0 ** np.arange(width) + 3).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3])
def test_a_head_is_scikit_learns_logistic_regression_on_standardised_vectors(classes: int) -> None:
    vectors, labels = clusters(classes)
    head = fit_head(vectors, one_hot(labels, classes))
    scaled = (vectors - vectors.mean(axis=0, dtype=np.float64)) / vectors.std(axis=0, dtype=np.float64)
    model = LogisticRegression(C=head.strength, max_iter=1000, tol=1e-8).fit(scaled, labels)
    expected, found = model.predict_log_proba(scaled), torch.from_numpy(head.logits(vectors)).log_softmax(dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert head.accuracy is not None and head.accuracy > 0.8


def test_soft_labels_count_with_their_probabilities() -> None:
    vectors, labels = clusters(2)
    sure, unsure = one_hot(labels, 2), 0.8 * one_hot(labels, 2) + 0.1
    certain, doubtful = (fit_head(vectors, targets) for targets in (sure, unsure))
    assert (certain.logits(vectors).argmax(axis=1) == doubtful.logits(vectors).argmax(axis=1)).mean() > 0.9
    spread = [np.abs(np.diff(head.logits(vectors), axis=1)).mean() for head in (certain, doubtful)]
    assert spread[1] < spread[0]


def test_a_class_without_texts_is_never_the_answer() -> None:
    vectors, labels = clusters(2)
    head = fit_head(vectors, one_hot(2 * labels, 3))
    assert set(head.logits(vectors).argmax(axis=1)) == {0, 2}


def test_a_single_class_and_single_texts_are_enough() -> None:
    vectors, _ = clusters(2, texts=4)
    assert fit_head(vectors, one_hot(np.ones(4, dtype=int), 2)).logits(vectors).argmax(axis=1).tolist() == [1] * 4
    assert fit_head(vectors, one_hot(np.arange(4), 4)).accuracy is None


@pytest.fixture
def lesson(make_model: Callable[..., Path]) -> tuple[Path, HeadLesson]:
    folder = make_model("encoder")
    ids = np.array([str(row) for row in range(len(TEXTS))], dtype="S32")
    sample = Sample(ids, tokenise(TEXTS, load_tokenizer(folder), 16))
    labels = np.repeat(np.arange(3), len(TEXTS) // 3)
    return folder, HeadLesson(sample, one_hot(labels, 3), sample, labels)


def test_a_model_answers_as_the_regression_that_it_starts_from(lesson: tuple[Path, HeadLesson], tmp_path: Path) -> None:
    folder, learned = lesson
    model, pad_id = load_classifier(folder, ["a", "b", "c"]), 0
    layer = last_layer(model, learned.training.tokens, pad_id)
    assert layer is not None
    vectors = VectorEngine(model, layer, HARDWARE, "fp32").read(learned.training.tokens, pad_id, "test")
    start = start_head(
        model, learned, TrainingOptions(precision="fp32"), TrainingContext(HARDWARE, tmp_path, "test"), pad_id=0, seed=0
    )
    logits = predict_logits(PyTorchEngine(model, HARDWARE, "fp32"), learned.training.tokens, pad_id)
    head = fit_head(vectors.entering, learned.targets)
    expected, largest = head.logits(vectors.entering), np.linalg.norm(head.weight, axis=1).max()
    assert largest > 1  # an untrained encoder's vectors differ little
    np.testing.assert_allclose(logits * largest, expected, atol=0.05)
    assert np.linalg.norm(layer.weight.detach().numpy(), axis=1).max() == pytest.approx(1)
    assert start is not None
    assert start.validation_accuracy == (expected.argmax(axis=1) == learned.labels).mean()


def test_the_other_vector_is_the_mean_of_the_last_hidden_states(lesson: tuple[Path, HeadLesson]) -> None:
    folder, learned = lesson
    model, tokens = load_classifier(folder, ["a", "b", "c"]), learned.training.tokens
    layer = last_layer(model, tokens, 0)
    assert layer is not None
    found = VectorEngine(model, layer, HARDWARE, "fp32").read(tokens, 0, "test")
    with torch.no_grad():
        for row in (0, 7):
            states = model.base_model(input_ids=torch.from_numpy(tokens[row].astype(np.int64))[None]).last_hidden_state
            np.testing.assert_allclose(found.mean[row], states[0].mean(dim=0).numpy(), atol=1e-5)


def test_training_that_makes_a_model_worse_is_said(caplog: pytest.LogCaptureFixture) -> None:
    start = HeadStart(0.1, 0.8, validation_accuracy=0.9)
    with caplog.at_level(logging.WARNING, logger="understudy"):
        assert compared(start, TrainingLog([], 0.0, 0.92), "teacher") == HeadStart(0.1, 0.8, 0.9, 0.92)
        assert not caplog.records
        compared(start, TrainingLog([], 0.0, 0.85), "teacher")
    assert "teacher: training lowered the validation accuracy from 0.9000 to 0.8500." in caplog.text
