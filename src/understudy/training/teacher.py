"""The teacher: fine-tuned once and kept in the cache, used unchanged, or known by its answers alone."""

from __future__ import annotations

import copy
import logging
import shutil
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.data.corpus import Corpus
from understudy.data.scores import Scores
from understudy.data.tokens import Tokens
from understudy.models.heads import can_be_ordered
from understudy.models.loading import (
    Origin,
    classifier_labels,
    load_classifier,
    load_tokenizer,
    unnamed,
)
from understudy.recipe.base import settled
from understudy.recipe.recipe import Recipe
from understudy.storage.files import folder_digest, write_folder, write_json
from understudy.storage.records import load_record
from understudy.storage.usage import note_use
from understudy.training.calibration import Calibration, calibrate_trained
from understudy.training.head import HeadLesson, HeadStart, Reading, compared, start_head
from understudy.training.objectives import balanced_class_weights, supervised
from understudy.training.trainer import Examples, Method, TrainingContext, TrainingLog, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoder:
    """An encoder that was found, and the texts as it reads them.

    Attributes:
        origin: Where it comes from.
        tokens: Of `train`, `validation`, `test` and `transfer`, by its tokenizer.
    """

    origin: Origin
    tokens: dict[str, Tokens]


@dataclass(frozen=True)
class TrainedModel:
    """A finished model.

    Attributes:
        folder: A Hugging Face folder.
        digest: Of its weights, config and tokenizer.
        seconds: How long it took to make.
        reused: Whether it came from the cache.
        history: Training log; empty for a model that was used unchanged.
        calibration: How it was calibrated; None if that was not tried.
        head: How its last layer began; None if it kept the one that it came with.
        choice: How a linear model's settings were chosen; None for other models.
    """

    folder: Path
    digest: str
    seconds: float
    reused: bool
    history: list[dict[str, Any]]
    calibration: Calibration | None = None
    head: HeadStart | None = None
    choice: dict[str, Any] | None = None


def keep_scores(scores: Scores, classes: list[str], folder: Path) -> TrainedModel:
    """Writes the given answers to `scores.parquet` in the teacher's folder, so that the run keeps what it used."""
    start = time.monotonic()
    with write_folder(folder) as temporary:
        scores.save(temporary / "scores.parquet", classes)
    return TrainedModel(folder, folder_digest(folder), time.monotonic() - start, False, [])


def is_ready_made(origin: Origin, classes: list[str]) -> bool:
    """Whether a model already is a classifier for these classes: by their names or, if unnamed, by their number.

    If the names are in another order, it is one if its outputs can be put in this order.
    """
    labels = classifier_labels(origin.path)
    if labels is None or len(labels) != len(classes):
        return False
    if labels != classes and set(labels) == set(classes):
        return _can_be_ordered(origin)
    return labels == classes or unnamed(labels)


@lru_cache
def _can_be_ordered(origin: Origin) -> bool:
    return can_be_ordered(origin.path)


def train_teacher(
    recipe: Recipe,
    corpus: Corpus,
    encoder: Encoder,
    *,
    seed: int,
    entry: Path,
    context: TrainingContext,
    read: Reading | None = None,
) -> TrainedModel:
    """Fine-tunes the teacher and calibrates it, or finds it in the cache.

    Args:
        recipe: Its `teacher` section and maximum length.
        corpus: Training and validation texts.
        encoder: What is fine-tuned, or a ready-made classifier.
        seed: Of the head, the batches and dropout.
        entry: The teacher's folder in the cache, named by its fingerprint.
        context: Where it is trained.
        read: Reads the vectors for the start of its last layer; by default it computes them.

    Raises:
        TrainingDiverged: The loss is no longer finite.
    """
    found = _from_cache(entry)
    if found is not None:
        note_use(entry)
        log.info("%s: found in the cache, %s", context.description, entry)
        return found
    context = replace(context, checkpoints=context.checkpoints / entry.name)
    tokenizer = load_tokenizer(encoder.origin.path)
    training, calibration, head = TrainingLog([], 0.0), None, None
    began = time.monotonic()
    if is_ready_made(encoder.origin, corpus.classes):
        model = _as_it_is(corpus, encoder.origin, context.description)
    else:
        model = load_classifier(encoder.origin.path, corpus.classes, seed, recipe.teacher.attention_dropout)
        options, pad_id = recipe.teacher, tokenizer.pad_token_id
        weights = balanced_class_weights(corpus.class_counts) if options.class_weights == "balanced" else None
        validation = Examples(encoder.tokens["validation"], corpus.validation.labels)
        if options.head == "logistic":
            lesson = HeadLesson.of(corpus, encoder.tokens)
            head = start_head(model, lesson, options, context, pad_id=pad_id, seed=seed, read=read)
        spent = time.monotonic() - began
        training = train(
            model,
            Examples(encoder.tokens["train"], corpus.train.labels),
            validation,
            method=Method(options, supervised(weights), seed),
            pad_id=pad_id,
            context=context,
        )
        training = replace(training, seconds=training.seconds + spent)
        head = compared(head, training, context.description)
        if options.calibrate:
            calibration = calibrate_trained(model, validation, options, pad_id, context)
    with write_folder(entry) as folder:
        digest = save_model(model, tokenizer, folder / "model", settled(recipe.data.max_length))
        record = _Record(digest, round(training.seconds, 2), training.history, calibration, head)
        write_json(folder / "training.json", asdict(record))
    shutil.rmtree(context.checkpoints, ignore_errors=True)
    note_use(entry)
    return TrainedModel(entry / "model", digest, training.seconds, False, training.history, calibration, head)


def _as_it_is(corpus: Corpus, origin: Origin, description: str) -> PreTrainedModel:
    """A ready-made classifier, which is not trained."""
    labels = classifier_labels(origin.path) or []
    if set(labels) != set(corpus.classes):
        log.warning(
            "%s: %s names its classes %s; matching them by index with %s. Check that the order is right.",
            *(description, origin.name, ", ".join(labels), ", ".join(corpus.classes)),
        )
    log.info("%s: %s is a classifier with these classes and is not trained", description, origin.name)
    return load_classifier(origin.path, corpus.classes)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, max_length: int) -> str:
    """Writes a Hugging Face folder, tokenizer included, and returns its digest."""
    tokenizer = copy.deepcopy(tokenizer)  # the caller's tokenizer keeps its length
    tokenizer.model_max_length = max_length
    model.to("cpu").save_pretrained(folder)  # type: ignore[arg-type]
    tokenizer.save_pretrained(folder)
    return folder_digest(folder)


@dataclass(frozen=True)
class _Record:
    """What `training.json` holds, next to a model in the cache."""

    digest: str
    seconds: float
    history: list[dict[str, Any]]
    calibration: Calibration | None
    head: HeadStart | None = None


def _from_cache(entry: Path) -> TrainedModel | None:
    try:
        if not entry.exists():
            return None
        record = load_record(_Record, entry / "training.json")
        if folder_digest(entry / "model") != record.digest:
            raise ValueError("checksum")
        return TrainedModel(
            entry / "model", record.digest, record.seconds, True, record.history, record.calibration, record.head
        )
    except (OSError, ValueError):
        log.warning("%s is damaged; making it again", entry)
        shutil.rmtree(entry, ignore_errors=True)
        return None
