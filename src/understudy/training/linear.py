"""The linear model as a stage: fitted once for all that need it, a committee's member and the control."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import numpy as np

from understudy.data.corpus import Corpus
from understudy.errors import ModelError
from understudy.inference.logits import softmax
from understudy.models.linear import LinearModel
from understudy.storage.artifacts import copy_folder, fingerprint, folder_digest, write_folder, write_json
from understudy.storage.usage import note_use
from understudy.training.teacher import TrainedModel

log = logging.getLogger(__name__)


def linear_fingerprint(corpus: Corpus) -> str:
    """Names a linear model by all that decides it."""
    return fingerprint(kind="linear", train=corpus.train.digest, classes=corpus.classes)


def train_linear(corpus: Corpus, cache: Path, folder: Path, description: str) -> TrainedModel:
    """Fits the linear model on the labelled training texts, or finds it in the cache, and writes it to a folder.

    Args:
        corpus: Has the texts.
        cache: The cache folder.
        folder: Where the model goes.
        description: Names the stage in messages.
    """
    entry = cache / "linear" / linear_fingerprint(corpus)
    seconds = _from_cache(entry)
    reused = seconds is not None
    if seconds is None:
        log.info("%s: fitting the n-gram model", description)
        start = time.monotonic()
        model = LinearModel.fit(corpus.train.texts, corpus.train.labels, len(corpus.classes), names=corpus.classes)
        seconds = round(time.monotonic() - start, 2)
        with write_folder(entry) as temporary:
            model.save(temporary / "model")
            write_json(temporary / "training.json", {"seconds": seconds})
    note_use(entry)
    copy_folder(entry / "model", folder)
    return TrainedModel(folder, folder_digest(folder), seconds, reused, [])


def distil_linear(corpus: Corpus, soft_labels: np.ndarray, folder: Path) -> TrainedModel:
    """Fits the linear model on the teacher's soft labels of all transfer texts; the given labels are not used.

    Args:
        corpus: Has the texts.
        soft_labels: The teacher's logits, row for row of the transfer texts.
        folder: Where the model goes.
    """
    start = time.monotonic()
    texts = (text for chunk in corpus.transfer_chunks() for text in chunk)
    model = LinearModel.fit_soft(texts, softmax(soft_labels), corpus.classes)
    with write_folder(folder) as temporary:
        model.save(temporary)
    return TrainedModel(folder, folder_digest(folder), time.monotonic() - start, False, [])


def _from_cache(entry: Path) -> float | None:
    """The seconds that fitting the model in an entry took; None where there is none that is whole."""
    if not entry.is_dir():
        return None
    try:
        LinearModel.load(entry / "model")
        return float(json.loads((entry / "training.json").read_text(encoding="utf-8"))["seconds"])
    except (ModelError, OSError, ValueError, KeyError, TypeError):
        log.warning("%s is damaged and is made again", entry)
        return None
