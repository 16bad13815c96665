"""Keys: what the result of every stage depends on, and with what it is computed.

The caches of tokens and logits name their entries in `data.tokens` and `inference.store`, by the same rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy.data.corpus import Corpus
from understudy.data.scores import Scores
from understudy.data.tokens import tokenizer_digest
from understudy.inference.store import answered_with
from understudy.models.attention import supports_per_text
from understudy.models.loading import Origin, load_config, load_tokenizer
from understudy.recipe.recipe import Recipe
from understudy.recipe.training import TrainingOptions
from understudy.runtime.hardware import Hardware
from understudy.runtime.packages import versions
from understudy.storage.files import file_sha256, fingerprint, folder_digest
from understudy.training.student import Start
from understudy.training.teacher import is_ready_made

# Raise a number when a change of our own code changes what is computed: no cache then mixes old and new results.
# `tests/training/test_trainer.py` compares a small training with kept figures. `inference.store.CODE` does the same
# for the answers of finished encoders.
CODE = {"training": 2, "linear": 2, "figures": 3}

# Training options that change no result.
_NO_INFLUENCE = {"checkpoint_steps"}
# Of a teacher's options, those that its origin stands for.
_ORIGIN = {"model", "revision", "scores"}
# Of a student's options, those of the soft loss, which a control does not have.
_SOFT_LOSS = {"objective", "temperature", "alpha"}


@dataclass(frozen=True)
class Key:
    """What a result depends on.

    Attributes:
        asked: Digest of data, options and models. A finished stage of a run stays as long as this is the same.
        made_with: With what it is made: compute type, kernels, versions, our own code. Only the cache asks for the
            same here; a finished stage stays, and the log says with what it was made.
    """

    asked: str
    made_with: dict[str, Any] = field(default_factory=dict)

    @property
    def entry(self) -> str:
        """The name of its entry in the cache."""
        return fingerprint(asked=self.asked, **self.made_with)


def teacher_key(recipe: Recipe, corpus: Corpus, origin: Origin, hardware: Hardware, seed: int) -> Key:
    """The key of an encoder that is fine-tuned, or used as it is."""
    # The same weights with another config or tokenizer are another model.
    source = {
        "weights": origin.sha256,
        "config": file_sha256(origin.path / "config.json"),
        "tokenizer": tokenizer_digest(load_tokenizer(origin.path)),
    }
    shared = {"classes": corpus.classes, "max_length": recipe.data.max_length}
    if is_ready_made(origin, corpus.classes):
        return Key(fingerprint(kind="teacher", ready_made=source, **shared), {"versions": versions(["transformers"])})
    asked = fingerprint(
        kind="teacher",
        origin=source,
        train=corpus.train.digest,
        validation=corpus.validation.digest,
        seed=seed,
        options=_asked_options(recipe.teacher, _ORIGIN),
        **shared,
    )
    return Key(asked, _training(recipe.teacher, origin.path, hardware))


def scores_key(scores: Scores, classes: list[str]) -> Key:
    """The key of given probabilities: those of the texts that need them, whichever file they were in."""
    return Key(fingerprint(kind="scores", scores=scores.digest, classes=classes))


def linear_key(corpus: Corpus) -> Key:
    """The key of a linear model on the labelled training texts."""
    return Key(fingerprint(kind="linear", train=corpus.train.digest, classes=corpus.classes), fitted_with())


def soft_labels_key(folders: Sequence[Path], data: str, computed: dict[str, str]) -> Key:
    """The key of the soft labels.

    Args:
        folders: The teacher's.
        data: Digest of the texts.
        computed: Compute type and engine; empty if the answers were given.
    """
    asked = fingerprint(teacher=[folder_digest(folder) for folder in folders], data=data)
    return Key(asked, _answered(computed) if computed else {})


def start_key(start: Start) -> str:
    """Digest of the model with which training begins, apart from classes and seed."""
    kept = None if start.vocabulary is None else start.vocabulary.kept.tolist()
    origin = {"folder": folder_digest(start.folder), "layers": start.layers, "which": start.which}
    return fingerprint(**origin, kept=kept, static=start.static)


def student_key(recipe: Recipe, data: str, hardware: Hardware, start: Start, soft_labels: Key | None) -> Key:
    """The key of a student, or of a control, which has no soft labels.

    Args:
        recipe: Says how it learns.
        data: Digest of the texts.
        hardware: Where it is trained.
        start: Where it starts.
        soft_labels: Their key.
    """
    options = recipe.distillation
    asked = fingerprint(
        data=data,
        max_length=recipe.data.max_length,
        start=start_key(start),
        soft_labels=soft_labels and soft_labels.asked,
        options=_asked_options(options, set() if soft_labels else _SOFT_LOSS),
        seed=recipe.student_seed,
    )
    taught = {"soft_labels": soft_labels.made_with} if soft_labels else {}
    return Key(asked, _training(options, start.folder, hardware) | taught)


def linear_student_key(soft_labels: Key) -> Key:
    """The key of a linear model on the soft labels."""
    asked = fingerprint(kind="linear student", soft_labels=soft_labels.asked)
    return Key(asked, fitted_with() | {"soft_labels": soft_labels.made_with})


def evaluation_key(recipe: Recipe, data: str, folders: Mapping[str, Path], computed: dict[str, str]) -> Key:
    """The key of the figures.

    Args:
        recipe: Its `evaluation` section.
        data: Digest of the texts.
        folders: The models, by stage.
        computed: Compute type and engine.
    """
    models = {stage: folder_digest(folder) for stage, folder in folders.items()}
    asked = fingerprint(models=models, data=data, options=recipe.evaluation.model_dump())
    return Key(asked, {"figures": CODE["figures"], **_answered(computed)})


def _asked_options(options: TrainingOptions, others: set[str]) -> dict[str, Any]:
    """A section's options, as far as a result depends on them."""
    unused = _NO_INFLUENCE | others | (set() if _draws_masks(options) else {"attention"})
    return options.model_dump(exclude=unused)


def _training(options: TrainingOptions, model: Path, hardware: Hardware) -> dict[str, Any]:
    """With what a model is trained."""
    dtype = hardware.dtype(options.precision)
    computed: dict[str, Any] = {
        "code": CODE["training"],
        "device": hardware.kind,
        "dtype": dtype,
        "versions": versions(["torch", "transformers", "tokenizers"]),
    }
    if _draws_masks(options):
        per_text = supports_per_text(load_config(model))
        computed["attention"] = hardware.attention(options.attention, dtype, training=True, per_text=per_text)
    return computed


def _draws_masks(options: TrainingOptions) -> bool:
    """Whether attention draws dropout masks: each kernel draws others. Without them kernels differ by rounding only."""
    return options.attention_dropout != 0


def fitted_with() -> dict[str, Any]:
    """With what a linear model is fitted."""
    return {"code": CODE["linear"], "versions": versions(["numpy", "scikit-learn", "scipy"])}


def _answered(computed: dict[str, str]) -> dict[str, Any]:
    return {**computed, **answered_with(computed["engine"])}
