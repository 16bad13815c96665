"""The student: distilled from the teacher's soft labels; or, as a control, trained without them."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from understudy.data.corpus import Corpus
from understudy.data.tokens import Tokens
from understudy.models.loading import Origin, load_classifier, load_tokenizer
from understudy.models.students import from_layers, static_student
from understudy.models.vocabulary import Vocabulary, prune_embeddings
from understudy.recipe.base import settled
from understudy.recipe.recipe import Recipe
from understudy.recipe.training import DistillationOptions, LayerChoice
from understudy.storage.files import write_folder
from understudy.training.calibration import calibrate_trained
from understudy.training.head import HeadLesson, compared, start_head
from understudy.training.objectives import Objective, balanced_class_weights, distilled, supervised
from understudy.training.teacher import TrainedModel, save_model
from understudy.training.trainer import Examples, Method, TrainingContext, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Start:
    """Where a student starts.

    Attributes:
        folder: A checkpoint, or the model whose layers are taken.
        layers: How many layers are taken; None for a checkpoint.
        which: Which layers; see `understudy.models.students.taken_layers`.
        vocabulary: The tokens that are kept; None keeps all.
        static: Whether only the folder's word embeddings are taken, for a model without layers.
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


@dataclass(frozen=True)
class Lesson:
    """What a student learns from.

    Attributes:
        corpus: Training and validation texts.
        tokens: Of `transfer`, `train` and `validation`, by the student's tokenizer.
        teacher_logits: Row for row of the transfer texts, the labelled ones first. None for a control, which learns
            from the labelled texts alone; all else is equal.
    """

    corpus: Corpus
    tokens: dict[str, Tokens]
    teacher_logits: np.ndarray | None

    def examples(self) -> Examples:
        """The texts to train on."""
        if self.teacher_logits is None:
            return Examples(self.tokens["train"], self.corpus.train.labels)
        return Examples(self.tokens["transfer"], self.corpus.transfer_labels, self.teacher_logits)

    def objective(self, options: DistillationOptions) -> Objective:
        """The loss."""
        weights = balanced_class_weights(self.corpus.class_counts) if options.class_weights == "balanced" else None
        if self.teacher_logits is None:
            return supervised(weights)
        return distilled(options.objective, settled(options.temperature), settled(options.alpha), weights)


def student_start(recipe: Recipe, teacher: Path, origin: Origin | None, vocabulary: Vocabulary | None = None) -> Start:
    """The student's start: the fine-tuned teacher's layers, or a checkpoint.

    Args:
        recipe: Its `student` section.
        teacher: The fine-tuned teacher's folder.
        origin: The checkpoint, if the recipe names one.
        vocabulary: The tokens that are kept, if the recipe limits them.
    """
    options = recipe.student
    if origin is not None:
        return Start(origin.path, None, vocabulary=vocabulary)
    return Start(teacher, options.layers, options.from_layers, vocabulary)


def control_start(
    recipe: Recipe, teacher_origin: Origin, origin: Origin | None, vocabulary: Vocabulary | None = None
) -> Start:
    """Where the control starts, which is the same student without a teacher: never from what the teacher learned.

    If the student is made of the teacher's layers, the control takes the layers of the encoder before fine-tuning. A
    ready-made teacher has no such encoder; the control then starts from its layers, as the student does.
    """
    return student_start(recipe, teacher_origin.path, origin, vocabulary)


def train_student(recipe: Recipe, lesson: Lesson, start: Start, folder: Path, context: TrainingContext) -> TrainedModel:
    """Trains one student, calibrates it and saves it.

    Args:
        recipe: Its `distillation` section and the student's seed.
        lesson: What it learns from.
        start: Where it starts.
        folder: Where the Hugging Face folder goes.
        context: Where it is trained.

    Raises:
        TrainingDiverged: The loss is no longer finite.
    """
    options, corpus = recipe.distillation, lesson.corpus
    model = start.build(corpus.classes, recipe.student_seed, options.attention_dropout)
    tokenizer = start.tokenizer()
    validation = Examples(lesson.tokens["validation"], corpus.validation.labels)
    began, head = time.monotonic(), None
    if options.head == "logistic" and not start.static:
        head = start_head(
            model,
            HeadLesson.of(corpus, lesson.tokens, lesson.teacher_logits),
            options,
            context,
            pad_id=tokenizer.pad_token_id,
            seed=recipe.student_seed,
        )
    spent = time.monotonic() - began
    training = train(
        model,
        lesson.examples(),
        validation,
        method=Method(options, lesson.objective(options), recipe.student_seed),
        pad_id=tokenizer.pad_token_id,
        context=context,
    )
    head = compared(head, training, context.description)
    calibration = None
    if options.calibrate:
        calibration = calibrate_trained(model, validation, options, tokenizer.pad_token_id, context)
    with write_folder(folder) as temporary:
        digest = save_model(model, tokenizer, temporary, settled(recipe.data.max_length))
    shutil.rmtree(context.checkpoints, ignore_errors=True)
    return TrainedModel(folder, digest, training.seconds + spent, False, training.history, calibration, head)
