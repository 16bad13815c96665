"""The frozen control: a logistic regression on the vectors of the encoder as it came, and those vectors' cache."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.corpus import Corpus
from understudy.data.tokens import tokenizer_digest
from understudy.errors import ModelError
from understudy.inference.store import SHARD_TEXTS, answered_with, kept_logits
from understudy.inference.vectors import VectorEngine, Vectors, last_layer
from understudy.models.frozen import frozen_classifier
from understudy.models.loading import load_classifier, load_config, load_tokenizer
from understudy.recipe.base import settled
from understudy.recipe.recipe import Recipe
from understudy.storage.files import file_sha256, write_folder
from understudy.training.calibration import calibrate_trained
from understudy.training.head import HeadLesson, HeadStart, Sample, fit_head
from understudy.training.teacher import Encoder, TrainedModel, save_model
from understudy.training.trainer import Examples, TrainingContext

log = logging.getLogger(__name__)

CODE = 1
"""Raise it when a change of our own code changes the vectors."""


@dataclass(frozen=True)
class KeptVectors:
    """Reads the vectors of one encoder as it came, from the cache where they are kept.

    Attributes:
        encoder: The encoder.
        seed: Of the layers between encoder and last layer, where the encoder comes without them.
        max_length: Tokens after which a text is cut.
        cache: The cache folder.
    """

    encoder: Encoder
    seed: int
    max_length: int
    cache: Path

    def __call__(self, engine: VectorEngine, sample: Sample, description: str) -> Vectors:
        """The vectors of some texts.

        Args:
            engine: Computes those that are missing.
            sample: The texts.
            description: Names the work in messages.
        """
        origin, tokenizer = self.encoder.origin, load_tokenizer(self.encoder.origin.path)
        key: dict[str, Any] = {
            "vectors": origin.sha256,
            "config": file_sha256(origin.path / "config.json"),
            "tokenizer": tokenizer_digest(tokenizer),
            "seed": self.seed,
            "max_length": self.max_length,
            "vector_code": CODE,
            **engine.made_with,
            **answered_with(engine.name),
        }

        def compute(missing: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for start in range(0, len(missing), SHARD_TEXTS):
                rows = missing[start : start + SHARD_TEXTS]
                found = engine.read(sample.tokens.select(rows), tokenizer.pad_token_id, description, self.max_length)
                yield rows, np.hstack([found.entering, found.mean])

        found = kept_logits(key, sample.ids, engine.classes, compute, self.cache)
        return Vectors.split(found.logits, engine.width)


def train_frozen(
    recipe: Recipe, corpus: Corpus, encoder: Encoder, folder: Path, context: TrainingContext, cache: Path
) -> TrainedModel:
    """Fits the control on the labelled training texts, calibrates it and writes its folder.

    Args:
        recipe: Its `teacher` section says in which compute type the vectors are computed.
        corpus: Training and validation texts.
        encoder: The encoder, which stays as it is.
        folder: Where the Hugging Face folder goes.
        context: Where to compute.
        cache: The cache folder.

    Raises:
        ModelError: The encoder is of a family whose head has no last layer of its own.
    """
    start, options = time.monotonic(), recipe.teacher
    tokenizer = load_tokenizer(encoder.origin.path)
    source = load_classifier(encoder.origin.path, corpus.classes, recipe.seed)
    layer = last_layer(source, encoder.tokens["train"], tokenizer.pad_token_id)
    if layer is None:
        raise ModelError(
            f"The frozen control cannot use {encoder.origin.name}: no linear layer outputs its logits. Leave `frozen` "
            "out of evaluation.controls."
        )
    lesson = HeadLesson.of(corpus, encoder.tokens)
    read = KeptVectors(encoder, recipe.seed, settled(recipe.data.max_length), cache)
    engine = VectorEngine(source, layer, context.hardware, context.hardware.dtype(options.precision))
    vectors = read(engine, lesson.training, f"{context.description}, vectors")
    head = fit_head(vectors.mean, lesson.targets, recipe.seed)
    log.info("%s: logistic regression on the encoder's mean vectors with C = %g", context.description, head.strength)
    model = frozen_classifier(source, load_config(encoder.origin.path), head.weight, head.bias)
    calibration = None
    if options.calibrate:
        validation = Examples(encoder.tokens["validation"], corpus.validation.labels)
        calibration = calibrate_trained(model, validation, options, tokenizer.pad_token_id, context)
    with write_folder(folder) as temporary:
        digest = save_model(model, tokenizer, temporary, settled(recipe.data.max_length))
    began = HeadStart(head.strength, head.accuracy, None)
    return TrainedModel(folder, digest, time.monotonic() - start, False, [], calibration, began)
