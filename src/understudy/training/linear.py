"""The linear model as a stage: fitted once for a committee's member and for the control."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.corpus import Corpus
from understudy.errors import ModelError
from understudy.inference.logits import softmax
from understudy.models.linear import LinearModel
from understudy.storage.files import copy_folder, folder_digest, write_folder, write_json
from understudy.storage.records import load_record
from understudy.storage.usage import note_use
from understudy.training.linear_choice import choose_settings
from understudy.training.teacher import TrainedModel

log = logging.getLogger(__name__)


def train_linear(corpus: Corpus, entry: Path, folder: Path, description: str) -> TrainedModel:
    """Chooses the linear model's settings and fits it on the labelled training texts, or finds it in the cache.

    Args:
        corpus: Has the texts.
        entry: The model's folder in the cache, named by its fingerprint.
        folder: Where the model goes.
        description: Names the stage in messages.
    """
    record = _from_cache(entry)
    reused = record is not None
    if record is None:
        log.info("%s: choosing its settings and fitting the n-gram model", description)
        start = time.monotonic()
        texts, labels, classes = corpus.train.texts, corpus.train.labels, corpus.classes
        choice = choose_settings(texts, labels, len(classes))
        model = LinearModel.fit(texts, labels, len(classes), names=classes, settings=choice.settings)
        record = _Record(round(time.monotonic() - start, 2), choice.record())
        with write_folder(entry) as temporary:
            model.save(temporary / "model", record.choice)
            write_json(temporary / "training.json", asdict(record))
    note_use(entry)
    copy_folder(entry / "model", folder)
    return TrainedModel(folder, folder_digest(folder), record.seconds, reused, [], choice=record.choice)


def distil_linear(corpus: Corpus, soft_labels: np.ndarray, folder: Path, control: Path | None = None) -> TrainedModel:
    """Fits the linear model on the teacher's soft labels of all transfer texts; it ignores the given labels.

    Args:
        corpus: Has the texts.
        soft_labels: The teacher's logits, row for row of the transfer texts.
        folder: Where the model goes.
        control: The linear control, whose settings it takes; without one they are chosen again.
    """
    start = time.monotonic()
    if control is not None:
        settings = LinearModel.load(control).settings
    else:
        settings = choose_settings(corpus.train.texts, corpus.train.labels, len(corpus.classes)).settings
    texts = (text for chunk in corpus.transfer_chunks() for text in chunk)
    model = LinearModel.fit_soft(texts, softmax(soft_labels), corpus.classes, settings)
    with write_folder(folder) as temporary:
        model.save(temporary)
    return TrainedModel(folder, folder_digest(folder), time.monotonic() - start, False, [])


@dataclass(frozen=True)
class _Record:
    """What `training.json` holds, next to a model in the cache."""

    seconds: float
    choice: dict[str, Any]


def _from_cache(entry: Path) -> _Record | None:
    """The record of the model in an entry; None if there is no undamaged one."""
    if not entry.is_dir():
        return None
    try:
        LinearModel.load(entry / "model")
        return load_record(_Record, entry / "training.json")
    except (ModelError, OSError, ValueError):
        log.warning("%s is damaged; making it again", entry)
        return None
