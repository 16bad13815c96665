"""Fingerprints: what the result of every stage depends on. A stage is done again when its fingerprint changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from understudy.data.corpus import Corpus
from understudy.data.scores import Scores
from understudy.data.tokens import tokenizer_digest
from understudy.models.loading import Origin, load_tokenizer
from understudy.recipe.recipe import Recipe
from understudy.runtime.hardware import Hardware
from understudy.storage.files import file_sha256, fingerprint, folder_digest
from understudy.training.student import Start
from understudy.training.teacher import is_ready_made

# Training options that no fingerprint names: attention kernels differ by rounding only, checkpoints change nothing, and
# the compute type enters as what it turned out to be.
_NO_INFLUENCE = {"checkpoint_steps", "precision", "attention"}
# Of a teacher's options, those that its origin stands for.
_ORIGIN = {"model", "revision", "scores"}
# Of a student's options, those of the soft loss, which a control does not have.
_SOFT_LOSS = {"objective", "temperature", "alpha"}


def teacher_key(recipe: Recipe, corpus: Corpus, origin: Origin, hardware: Hardware, seed: int) -> str:
    """The fingerprint of an encoder that is fine-tuned, or used as it is."""
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
        options=recipe.teacher.model_dump(exclude=_NO_INFLUENCE | _ORIGIN),
        dtype=hardware.dtype(recipe.teacher.precision),
    )


def scores_key(scores: Scores, classes: list[str]) -> str:
    """The fingerprint of given probabilities: those of the texts that need them, whichever file they were in."""
    return fingerprint(kind="scores", scores=scores.digest, classes=classes)


def linear_key(corpus: Corpus) -> str:
    """The fingerprint of a linear model on the labelled training texts."""
    return fingerprint(kind="linear", train=corpus.train.digest, classes=corpus.classes)


def soft_labels_key(folders: Sequence[Path], data: str, computed: dict[str, str]) -> str:
    """The fingerprint of the soft labels.

    Args:
        folders: The teacher's.
        data: Digest of the texts.
        computed: Compute type and engine; empty where the answers were given.
    """
    return fingerprint(teacher=[folder_digest(folder) for folder in folders], data=data, **computed)


def start_key(start: Start) -> str:
    """Digest of the model with which training begins, apart from classes and seed."""
    kept = None if start.vocabulary is None else start.vocabulary.kept.tolist()
    origin = {"folder": folder_digest(start.folder), "layers": start.layers, "which": start.which}
    return fingerprint(**origin, kept=kept, static=start.static)


def student_key(recipe: Recipe, data: str, hardware: Hardware, start: Start, soft_labels: str | None) -> str:
    """The fingerprint of a student, or of a control where there are no soft labels.

    Args:
        recipe: Says how it learns.
        data: Digest of the texts.
        hardware: Where it is trained.
        start: Where it starts.
        soft_labels: Their fingerprint.
    """
    unused = _NO_INFLUENCE if soft_labels else _NO_INFLUENCE | _SOFT_LOSS
    options = recipe.distillation
    return fingerprint(
        data=data,
        max_length=recipe.data.max_length,
        start=start_key(start),
        soft_labels=soft_labels,
        options=options.model_dump(exclude=unused),
        seed=recipe.student_seed,
        dtype=hardware.dtype(options.precision),
    )


def linear_student_key(soft_labels: str) -> str:
    """The fingerprint of a linear model on the soft labels."""
    return fingerprint(kind="linear student", soft_labels=soft_labels)


def evaluation_key(recipe: Recipe, data: str, folders: Mapping[str, Path], computed: dict[str, str]) -> str:
    """The fingerprint of the figures.

    Args:
        recipe: Its `evaluation` section.
        data: Digest of the texts.
        folders: The models, by stage.
        computed: Compute type and engine.
    """
    models = {stage: folder_digest(folder) for stage, folder in folders.items()}
    return fingerprint(models=models, data=data, options=recipe.evaluation.model_dump(), **computed)
