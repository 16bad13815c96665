"""The student: distilled from the teacher's soft labels, or, as a control, trained without them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from understudy.data.corpus import Corpus
from understudy.data.tokens import Tokens
from understudy.models.loading import Origin, load_classifier, load_tokenizer
from understudy.models.students import from_layers, static_student
from understudy.models.vocabulary import Vocabulary, prune_embeddings
from understudy.recipe.recipe import Recipe
from understudy.recipe.training import LayerChoice
from understudy.runtime.hardware import Hardware
from understudy.storage.artifacts import fingerprint, folder_digest, write_folder
from understudy.training.calibration import calibrate
from understudy.training.objectives import balanced_class_weights, distilled, supervised
from understudy.training.teacher import TrainedModel, save_model
from understudy.training.tracking import NO_TRACKING, Tracking
from understudy.training.trainer import Examples, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Start:
    """Where a student starts.

    Attributes:
        folder: A checkpoint, or the model whose layers are taken.
        layers: How many layers are taken; None for a checkpoint.
        which: Which layers; see `understudy.models.students.taken_layers`.
        vocabulary: What is kept of the folder's vocabulary; None keeps it whole.
        static: Whether only the folder's word embeddings are taken, for a model without any layer.
    """

    folder: Path
    layers: int | None
    which: LayerChoice = "spread"
    vocabulary: Vocabulary | None = None
    static: bool = False

    def build(self, classes: list[str], seed: int, attention_dropout: float | None) -> PreTrainedModel:
        """The model with which training begins."""
        if self.static:
            model = static_student(self.folder, classes, seed)
        elif self.layers is None:
            model = load_classifier(self.folder, classes, seed, attention_dropout)
        else:
            model = from_layers(
                self.folder, self.layers, classes, seed, attention_dropout=attention_dropout, which=self.which
            )
        if self.vocabulary is not None:
            prune_embeddings(model, self.vocabulary)
        return model

    def tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(self.folder) if self.vocabulary is None else self.vocabulary.tokenizer

    def fingerprint(self) -> str:
        """Digest of what the model that training begins with depends on, but for classes and seed."""
        kept = None if self.vocabulary is None else self.vocabulary.kept.tolist()
        origin = {"folder": folder_digest(self.folder), "layers": self.layers, "which": self.which}
        return fingerprint(**origin, kept=kept, static=self.static)


def student_start(recipe: Recipe, teacher: Path, origin: Origin | None, vocabulary: Vocabulary | None = None) -> Start:
    """The student's start: the fine-tuned teacher's layers, or a checkpoint.

    Args:
        recipe: Its `student` section.
        teacher: The fine-tuned teacher's folder.
        origin: The checkpoint, when the recipe names one.
        vocabulary: What is kept of the tokens, when the recipe says so.
    """
    options = recipe.student
    if origin is not None:
        return Start(origin.path, None, vocabulary=vocabulary)
    return Start(teacher, options.layers, options.from_layers, vocabulary)


def control_start(
    recipe: Recipe, teacher_origin: Origin, origin: Origin | None, vocabulary: Vocabulary | None = None
) -> Start:
    """Where the same student starts that has no teacher: never from what the teacher learned.

    A student made of the teacher's layers takes them from the encoder that the teacher was before fine-tuning. Only
    where the teacher came ready-made there is no such encoder, and the control starts from its layers as the student
    does.
    """
    return student_start(recipe, teacher_origin.path, origin, vocabulary)


def train_student(
    recipe: Recipe,
    corpus: Corpus,
    tokens: dict[str, Tokens],
    teacher_logits: np.ndarray | None,
    start: Start,
    hardware: Hardware,
    folder: Path,
    checkpoints: Path,
    description: str,
    tracking: Tracking = NO_TRACKING,
) -> TrainedModel:
    """Trains one student, calibrates it and saves it.

    Args:
        recipe: Its `distillation` section and the student's seed.
        corpus: Training and validation texts.
        tokens: Of `transfer`, `train` and `validation`, by the student's tokenizer.
        teacher_logits: Row for row of the transfer texts, the labelled ones first; None trains on the labelled ones
            alone, all else being equal.
        start: Where the student starts.
        hardware: Where to train.
        folder: Where the Hugging Face folder goes.
        checkpoints: Folder for unfinished state.
        description: Names the stage, in messages and for trackers.
        tracking: Where its curves go.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """
    options = recipe.distillation
    model = start.build(corpus.classes, recipe.student_seed, options.attention_dropout)
    tokenizer = start.tokenizer()
    weights = balanced_class_weights(corpus.class_counts) if options.class_weights == "balanced" else None
    objective = (
        supervised(weights)
        if teacher_logits is None
        else distilled(options.objective, options.temperature, options.alpha, weights)
    )
    examples = (
        Examples(tokens["train"], corpus.train.labels)
        if teacher_logits is None
        else Examples(tokens["transfer"], corpus.transfer_labels, teacher_logits)
    )
    validation = Examples(tokens["validation"], corpus.validation.labels)
    training = train(
        model,
        examples,
        validation,
        options,
        objective,
        pad_id=tokenizer.pad_token_id,
        seed=recipe.student_seed,
        hardware=hardware,
        checkpoints=checkpoints,
        description=description,
        tracking=tracking,
    )
    calibration = None
    if options.calibrate:
        calibration = calibrate(
            model,
            validation,
            pad_id=tokenizer.pad_token_id,
            hardware=hardware,
            dtype=hardware.dtype(options.precision),
            description=description,
        )
    with write_folder(folder) as temporary:
        digest = save_model(model, tokenizer, temporary, recipe.data.max_length)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return TrainedModel(folder, digest, training.seconds, False, training.history, calibration)
