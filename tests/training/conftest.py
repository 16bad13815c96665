"""A training of two short epochs that can be broken off anywhere, and a workshop for teachers and students."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from conftest import FIXED
from understudy.data.corpus import Corpus, Split
from understudy.data.tokens import Tokens, text_ids, tokenise
from understudy.inference.logits import predict_logits, softmax
from understudy.inference.pytorch_engine import PyTorchEngine
from understudy.models.loading import load_classifier, load_tokenizer, resolve
from understudy.recipe.recipe import Recipe
from understudy.recipe.training import TrainingOptions
from understudy.run.keys import teacher_key
from understudy.runtime.hardware import Hardware
from understudy.training import trainer
from understudy.training.objectives import distilled
from understudy.training.student import Lesson, Start, train_student
from understudy.training.teacher import Encoder, TrainedModel, train_teacher
from understudy.training.tracking import NO_TRACKING, Tracking
from understudy.training.trainer import Examples, Method, TrainingContext

CLASSES = ["bad", "good"]


class BrokenOff(Exception):
    """What a test raises to interrupt a training."""


def examples(texts: int, seed: int) -> Examples:
    random = np.random.default_rng(seed)
    lengths = random.integers(3, 12, texts)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = random.integers(1, 30, offsets[-1]).astype(np.int32)
    labels = random.integers(0, 2, texts)
    return Examples(Tokens(ids, offsets, lengths.astype(np.int32)), labels, random.normal(size=(texts, 2)).astype("f4"))


def tiny_model() -> BertForSequenceClassification:
    """With dropout, so that exactness hangs on the random numbers, too."""
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )


@dataclass(frozen=True)
class Outcome:
    """What a training left."""

    weights: dict[str, Tensor]
    history: list[dict[str, Any]]

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Outcome)
        equal = all(torch.equal(value, other.weights[name]) for name, value in self.weights.items())
        return equal and self.history == other.history


def run_training(
    checkpoints: Path,
    break_at: int | None = None,
    accuracies: list[float] | None = None,
    objective: Any = None,
    validate: bool = True,
    seed: int = 1,
    tracking: Tracking = NO_TRACKING,
    **options: Any,
) -> Outcome:
    """Trains 23 texts in batches of 4: six steps an epoch, the last of them on three texts.

    Args:
        checkpoints: Folder for unfinished state.
        break_at: Raises `BrokenOff` in this training step of this call.
        accuracies: What the validations of this call shall find.
        objective: Instead of a distillation loss.
        validate: Whether there are validation texts.
        seed: Of batches and dropout.
        tracking: Where its curves go.
        **options: Of the recipe.
    """
    model, calls = tiny_model(), 0
    loss = objective or distilled("kl", 2.0, 0.5)

    def breaking(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        nonlocal calls
        calls += logits.requires_grad  # validation does not count
        if break_at is not None and calls == break_at:
            raise BrokenOff
        return loss(logits, labels, teacher_logits)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "_LOGS_PER_EPOCH", 2)
        if accuracies is not None:
            found = iter(accuracies)
            patch.setattr(trainer, "_accuracy", lambda prediction: {"accuracy": next(found)})
        small = {
            "batch_size": 4,
            "epochs": 2,
            "learning_rate": 0.01,
            "precision": "fp32",
            "early_stopping": 0,
            **options,
        }
        log = trainer.train(
            model,
            examples(23, seed=1),
            examples(10, seed=2) if validate else None,
            method=Method(TrainingOptions(**small), breaking, seed),
            pad_id=0,
            context=TrainingContext(Hardware("cpu", 1), checkpoints, "test", tracking),
        )
    return Outcome({name: value.clone() for name, value in model.state_dict().items()}, log.history)


@pytest.fixture
def tiny_weights() -> dict[str, Tensor]:
    """What every training here starts from."""
    return {name: value.clone() for name, value in tiny_model().state_dict().items()}


@pytest.fixture(scope="session")
def training() -> Callable[..., Outcome]:
    return run_training


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outcome]:
    """The outcome of a training that nothing interrupts, computed once."""
    outcomes: dict[str, Outcome] = {}

    def outcome(**options: Any) -> Outcome:
        key = repr(sorted(options.items()))
        if key not in outcomes:
            outcomes[key] = run_training(tmp_path_factory.mktemp("undisturbed"), **options)
        return outcomes[key]

    return outcome


@pytest.fixture(scope="session")
def broken_off() -> type[Exception]:
    return BrokenOff


@pytest.fixture
def tensorboard(tmp_path: Path) -> Tracking:
    return Tracking(("tensorboard",), "run", tmp_path / "tracking")


@dataclass(frozen=True)
class Workshop:
    """A corpus of two classes, and what makes teachers and students of it."""

    folder: Path
    corpus: Corpus
    hardware: Hardware

    def recipe(self, encoder: Path, /, **changes: Any) -> Recipe:
        training = {**FIXED, "batch_size": 8, "learning_rate": 0.001, "precision": "fp32"}
        options: dict[str, Any] = {
            "data": {"train": "train.csv", "test": "test.csv", "max_length": 12},
            "teacher": {"model": str(encoder), **training},
            "student": {"layers": 1} if "model" not in changes.get("student", {}) else {},
            "distillation": {**training, "temperature": 2.0, "alpha": 0.5},
        }
        for name, value in changes.items():
            options[name] = {**options.get(name, {}), **value} if isinstance(value, dict) else value
        return Recipe.from_mapping(options)

    def tokens(self, tokenizer_folder: Path) -> dict[str, Tokens]:
        tokenizer = load_tokenizer(tokenizer_folder)
        splits = {"train": self.corpus.train, "validation": self.corpus.validation, "transfer": self.corpus.train}
        return {name: tokenise(split.texts, tokenizer, 12) for name, split in splits.items()}

    def teacher(self, model: Path, /, cache: str = "cache", **changes: Any) -> TrainedModel:
        recipe, origin = self.recipe(model, **changes), resolve(str(model))
        key = teacher_key(recipe, self.corpus, origin, self.hardware, recipe.seed).entry
        return train_teacher(
            recipe,
            self.corpus,
            Encoder(origin, self.tokens(model)),
            seed=recipe.seed,
            entry=self.folder / cache / "teachers" / key,
            context=TrainingContext(self.hardware, self.folder / "checkpoints", "teacher"),
        )

    def student(
        self, teacher: Path, start: Start, logits: np.ndarray | None = None, /, name: str = "student", **changes: Any
    ) -> TrainedModel:
        return train_student(
            self.recipe(teacher, **changes),
            Lesson(self.corpus, self.tokens(start.folder), logits),
            start,
            self.folder / name,
            TrainingContext(self.hardware, self.folder / "checkpoints" / name, name),
        )

    def probabilities(self, folder: Path, texts: list[str]) -> np.ndarray:
        """As understudy computes them, float64 of shape (texts, classes)."""
        tokenizer = load_tokenizer(folder)
        tokens = tokenise(texts, tokenizer, 12)
        return softmax(
            predict_logits(
                PyTorchEngine(load_classifier(folder), self.hardware, "fp32"), tokens, tokenizer.pad_token_id
            )
        )


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    random = np.random.default_rng(0)

    def split(rows: int) -> Split:
        # One text in four is good; which, its words tell.
        labels = (np.arange(rows) % 4 == 0).astype(np.int64)
        texts = [
            f"{random.choice(['the', 'a', 'very'])} {CLASSES[label]} film and {row}" for row, label in enumerate(labels)
        ]
        return Split(texts, text_ids(texts), labels)

    return Workshop(tmp_path, Corpus(CLASSES, split(40), split(12), split(12)), Hardware("cpu", 1))
