"""The student: distilled from the teacher's soft labels, or, as a control, trained without them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from understudy.artifacts import write_folder
from understudy.data.corpus import Corpus
from understudy.data.tokens import Tokens
from understudy.hardware import Hardware
from understudy.models.loading import Origin, load_classifier, load_tokenizer
from understudy.models.students import from_layers
from understudy.recipe import Recipe
from understudy.training.objectives import balanced_class_weights, distilled, supervised
from understudy.training.teacher import TrainedModel, save_model
from understudy.training.trainer import Examples, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Start:
    """Where a student starts.

    Attributes:
        folder: A checkpoint, or the model whose layers are taken.
        layers: How many layers are taken; None for a checkpoint.
    """

    folder: Path
    layers: int | None


def student_start(recipe: Recipe, teacher: Path, origin: Origin | None) -> Start:
    """The student's start: the fine-tuned teacher's layers, or a checkpoint.

    Args:
        recipe: Its `student` section.
        teacher: The fine-tuned teacher's folder.
        origin: The checkpoint, when the recipe names one.
    """
    return Start(teacher, recipe.student.layers) if origin is None else Start(origin.path, None)


def control_start(recipe: Recipe, teacher_origin: Origin, origin: Origin | None) -> Start:
    """Where the same student starts that has no teacher: never from what the teacher learned.

    A student made of the teacher's layers takes them from the encoder that the teacher was before fine-tuning. Only
    where the teacher came ready-made there is no such encoder, and the control starts from its layers as the student
    does.
    """
    return student_start(recipe, teacher_origin.path, origin)


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
) -> TrainedModel:
    """Trains one student and saves it.

    Args:
        recipe: Its `distillation` section and the student's seed.
        corpus: Training and validation texts.
        tokens: Of the splits `train` and `validation`, by the student's tokenizer.
        teacher_logits: Row for row of the training texts; None trains on the labels alone, all else being equal.
        start: Where the student starts.
        hardware: Where to train.
        folder: Where the Hugging Face folder goes.
        checkpoints: Folder for unfinished state.
        description: Names the stage in messages.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """
    options = recipe.distillation
    model = _build(start, corpus.classes, recipe.student_seed, options.attention_dropout)
    weights = balanced_class_weights(corpus.class_counts) if options.class_weights == "balanced" else None
    objective = (
        supervised(weights)
        if teacher_logits is None
        else distilled(options.objective, options.temperature, options.alpha, weights)
    )
    training = train(
        model,
        Examples(tokens["train"], corpus.train.labels, teacher_logits),
        Examples(tokens["validation"], corpus.validation.labels),
        options,
        objective,
        pad_id=load_tokenizer(start.folder).pad_token_id,
        seed=recipe.student_seed,
        hardware=hardware,
        checkpoints=checkpoints,
        description=description,
    )
    with write_folder(folder) as temporary:
        digest = save_model(model, start.folder, temporary, recipe.data.max_length)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return TrainedModel(folder, digest, training.seconds, False, training.history)


def _build(start: Start, classes: list[str], seed: int, attention_dropout: float | None) -> PreTrainedModel:
    if start.layers is None:
        return load_classifier(start.folder, classes, seed, attention_dropout)
    return from_layers(start.folder, start.layers, classes, seed, attention_dropout)
