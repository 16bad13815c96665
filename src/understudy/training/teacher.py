"""The teacher: fine-tuned once and kept in the cache, taken as it is, or known by its answers alone."""

from __future__ import annotations

import copy
import json
import logging
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.data.corpus import Corpus
from understudy.data.scores import Scores
from understudy.data.tokens import Tokens, tokenizer_digest
from understudy.errors import ModelError
from understudy.models.loading import Origin, classifier_labels, load_classifier, load_tokenizer, unnamed
from understudy.recipe.recipe import Recipe
from understudy.runtime.hardware import Hardware
from understudy.storage.artifacts import file_sha256, fingerprint, folder_digest, write_folder, write_json
from understudy.storage.usage import note_use
from understudy.training.calibration import Calibration, calibrate
from understudy.training.objectives import balanced_class_weights, supervised
from understudy.training.tracking import NO_TRACKING, Tracking
from understudy.training.trainer import Examples, TrainingLog, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

# What decides a teacher's weights, beside its data, origin and seed. Attention kernels differ by rounding only.
_IRRELEVANT = {"model", "revision", "scores", "precision", "attention", "checkpoint_steps"}


@dataclass(frozen=True)
class TrainedModel:
    """A finished model.

    Attributes:
        folder: A Hugging Face folder.
        digest: Of its weights, config and tokenizer.
        seconds: What making it took, when it was made.
        reused: Whether it was found finished.
        history: Training log; empty for a model that was taken as it is.
        calibration: What became of its probabilities; None where calibrating them was not tried.
    """

    folder: Path
    digest: str
    seconds: float
    reused: bool
    history: list[dict[str, Any]]
    calibration: Calibration | None = None


def teacher_fingerprint(recipe: Recipe, corpus: Corpus, origin: Origin, hardware: Hardware, seed: int) -> str:
    """Names a teacher by all that decides its weights."""
    # The same weights with another config or tokenizer are another model.
    source = {
        "weights": origin.sha256,
        "config": file_sha256(origin.path / "config.json"),
        "tokenizer": tokenizer_digest(load_tokenizer(origin.path)),
    }
    if is_ready_made(origin, corpus.classes):
        return fingerprint(kind="teacher", ready_made=source, classes=corpus.classes, max_length=recipe.data.max_length)
    return fingerprint(
        kind="teacher",
        origin=source,
        train=corpus.train.digest,
        validation=corpus.validation.digest,
        classes=corpus.classes,
        max_length=recipe.data.max_length,
        seed=seed,
        options=recipe.teacher.model_dump(exclude=_IRRELEVANT),
        dtype=hardware.dtype(recipe.teacher.precision),
    )


def scores_fingerprint(scores: Scores, classes: list[str]) -> str:
    """Names a teacher whose answers were given: the probabilities of the texts that need them, whatever file they were
    in."""
    return fingerprint(kind="scores", scores=scores.digest, classes=classes)


def keep_scores(scores: Scores, classes: list[str], folder: Path) -> TrainedModel:
    """Writes the given answers to `scores.parquet` in the teacher's folder, so that the run holds what it used."""
    start = time.monotonic()
    with write_folder(folder) as temporary:
        scores.save(temporary / "scores.parquet", classes)
    return TrainedModel(folder, folder_digest(folder), time.monotonic() - start, False, [])


def is_ready_made(origin: Origin, classes: list[str]) -> bool:
    """Whether a model already is a classifier for these classes, by its class names or, without names, their number."""
    labels = classifier_labels(origin.path)
    if labels is None or len(labels) != len(classes):
        return False
    return labels == classes or unnamed(labels)


def train_teacher(
    recipe: Recipe,
    corpus: Corpus,
    tokens: dict[str, Tokens],
    origin: Origin,
    hardware: Hardware,
    cache: Path,
    checkpoints: Path,
    seed: int,
    description: str = "teacher",
    tracking: Tracking = NO_TRACKING,
) -> TrainedModel:
    """Fine-tunes the teacher and calibrates it, or finds it in the cache.

    Args:
        recipe: Its `teacher` section and maximum length.
        corpus: Training and validation texts.
        tokens: Of the splits `train` and `validation`.
        origin: The encoder, or a ready-made classifier.
        hardware: Where to train.
        cache: The cache folder.
        checkpoints: Folder for unfinished state.
        seed: Of the head, the batches and dropout.
        description: Names the stage, in messages and for trackers.
        tracking: Where its curves go, if it is trained.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """
    key = teacher_fingerprint(recipe, corpus, origin, hardware, seed)
    entry = cache / "teachers" / key
    found = _from_cache(entry)
    if found is not None:
        note_use(entry)
        log.info("%s: found in the cache, %s", description, entry)
        return found

    tokenizer = load_tokenizer(origin.path)
    training, calibration = TrainingLog([], 0.0), None
    if is_ready_made(origin, corpus.classes):
        labels = classifier_labels(origin.path)
        if labels != corpus.classes:
            log.warning(
                "%s: %s names its classes %s; they are matched by number with %s. Check that this order is right.",
                description,
                origin.name,
                ", ".join(labels or []),
                ", ".join(corpus.classes),
            )
        log.info("%s: %s is a classifier with these classes and is taken as it is", description, origin.name)
        model = load_classifier(origin.path, corpus.classes)
    else:
        model = load_classifier(origin.path, corpus.classes, seed, recipe.teacher.attention_dropout)
        weights = balanced_class_weights(corpus.class_counts) if recipe.teacher.class_weights == "balanced" else None
        validation = Examples(tokens["validation"], corpus.validation.labels)
        training = train(
            model,
            Examples(tokens["train"], corpus.train.labels),
            validation,
            recipe.teacher,
            supervised(weights),
            pad_id=tokenizer.pad_token_id,
            seed=seed,
            hardware=hardware,
            checkpoints=checkpoints / key,
            description=description,
            tracking=tracking,
        )
        if recipe.teacher.calibrate:
            calibration = calibrate(
                model,
                validation,
                pad_id=tokenizer.pad_token_id,
                hardware=hardware,
                dtype=hardware.dtype(recipe.teacher.precision),
                description=description,
            )
    with write_folder(entry) as folder:
        digest = save_model(model, tokenizer, folder / "model", recipe.data.max_length)
        record = {
            "digest": digest,
            "seconds": round(training.seconds, 2),
            "history": training.history,
            "calibration": calibration and asdict(calibration),
        }
        write_json(folder / "training.json", record)
    note_use(entry)
    shutil.rmtree(checkpoints / key, ignore_errors=True)
    return TrainedModel(entry / "model", digest, training.seconds, False, training.history, calibration)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, max_length: int) -> str:
    """Writes a Hugging Face folder, tokenizer included, and returns its digest."""
    tokenizer = copy.deepcopy(tokenizer)  # the caller's keeps its length
    tokenizer.model_max_length = max_length
    model.to("cpu").save_pretrained(folder)  # type: ignore[arg-type]
    tokenizer.save_pretrained(folder)
    return folder_digest(folder)


def _from_cache(entry: Path) -> TrainedModel | None:
    try:
        if not entry.exists():
            return None
        record = json.loads((entry / "training.json").read_text(encoding="utf-8"))
        if folder_digest(entry / "model") != record["digest"]:
            raise ModelError("checksum")
        calibration = record["calibration"] and Calibration(**record["calibration"])
        return TrainedModel(entry / "model", record["digest"], record["seconds"], True, record["history"], calibration)
    except (ModelError, OSError, ValueError, KeyError, TypeError):
        log.warning("%s is damaged and is made again", entry)
        shutil.rmtree(entry, ignore_errors=True)
        return None
