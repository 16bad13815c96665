"""The linear model as a stage: fitted once for a committee's member and for the control."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from understudy.data.corpus import Corpus
from understudy.errors import ModelError
from understudy.inference.logits import softmax
from understudy.models.linear import LinearModel
from understudy.storage.files import copy_folder, folder_digest, write_folder, write_json
from understudy.storage.records import load_record
from understudy.storage.usage import note_use
from understudy.training.teacher import TrainedModel

log = logging.getLogger(__name__)


def train_linear(corpus: Corpus, entry: Path, folder: Path, description: str) -> TrainedModel:
    """Fits the linear model on the labelled training texts, or finds it in the cache, and writes it to a folder.

    Args:
        corpus: Has the texts.
        entry: The model's folder in the cache, named by its fingerprint.
        folder: Where the model goes.
        description: Names the stage in messages.
    """
    seconds = _from_cache(entry)
    reused = seconds is not None
    if seconds is None:
        log.info("%s: fitting the n-gram model", description)
        start = time.monotonic()
        model = LinearModel.fit(corpus.train.texts, corpus.train.labels, len(corpus.classes), names=corpus.classes)
        seconds = round(time.monotonic() - start, 2)
        with write_folder(entry) as temporary:
            model.save(temporary / "model")
            write_json(temporary / "training.json", asdict(_Record(seconds)))
    note_use(entry)
    copy_folder(entry / "model", folder)
    return TrainedModel(folder, folder_digest(folder), seconds, reused, [])


def distil_linear(corpus: Corpus, soft_labels: np.ndarray, folder: Path) -> TrainedModel:
    """Fits the linear model on the teacher's soft labels of all transfer texts; it ignores the given labels.

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


@dataclass(frozen=True)
class _Record:
    """What `training.json` holds, next to a model in the cache."""

    seconds: float


def _from_cache(entry: Path) -> float | None:
    """The seconds that it took to fit the model in an entry; None if there is no undamaged one."""
    if not entry.is_dir():
        return None
    try:
        LinearModel.load(entry / "model")
        return load_record(_Record, entry / "training.json").seconds
    except (ModelError, OSError, ValueError):
        log.warning("%s is damaged; making it again", entry)
        return None
