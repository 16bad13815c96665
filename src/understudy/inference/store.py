"""Logits that are computed once and stored by text id.

A store is a folder of shards in the cache. `Answering.key` says what it depends on, besides the texts. A shard is a
NumPy structured array of (text id, logits), named by its own SHA-256. It is memory-mapped once its checksum is
verified. Rows are found by text id and never by position; new texts add shards.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from understudy.data.tokens import Tokens
from understudy.inference.engine import Engine
from understudy.inference.engines import open_engine
from understudy.inference.logits import predict_logits
from understudy.inference.openvino_engine import OpenVinoEngine
from understudy.runtime.hardware import Dtype, Hardware
from understudy.runtime.packages import versions
from understudy.runtime.progress import progress
from understudy.storage.files import file_sha256, fingerprint, write_file, write_json
from understudy.storage.records import load_record
from understudy.storage.usage import note_use

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

SHARD_TEXTS = 2048
_FALLBACK = "fallback.json"
CODE = 1
"""Raise it when a change of our own code changes the logits of a finished model."""


def answered_with(engine: str) -> dict[str, Any]:
    """With what finished encoders answer, besides device and compute type: our own code and versions."""
    packages = ["torch", "transformers", "tokenizers", *(["openvino"] if engine == "openvino" else [])]
    return {"code": CODE, "versions": versions(packages)}


@dataclass(frozen=True)
class _Index:
    """Where the logits are.

    Attributes:
        ids: In ascending order.
        shard: The number of each id's shard.
        row: The row of each id in its shard.
    """

    ids: np.ndarray
    shard: np.ndarray
    row: np.ndarray


class LogitsStore:
    """Logits by text id.

    Args:
        folder: Holds the shards; the first one creates it.
        classes: Columns of the logits.
    """

    def __init__(self, folder: Path, classes: int) -> None:
        self._folder = folder
        self._record = np.dtype([("id", "S32"), ("logits", "<f4", (classes,))])
        self._shards: list[np.ndarray] = []
        for path in sorted(folder.glob("[!.]*.npy")):  # a leading dot: another process is still writing it
            shard = self._open(path)
            if shard is None:
                log.warning("%s is damaged; its logits are computed again", path)
                path.unlink(missing_ok=True)
            else:
                self._shards.append(shard)

    def missing(self, ids: np.ndarray) -> np.ndarray:
        """Positions of the ids that are not stored, the first of each; `ids` are bytes of shape (texts,)."""
        _, first = np.unique(ids, return_index=True)
        return np.sort(first[~np.isin(ids[first], self._index.ids)])

    def lookup(self, ids: np.ndarray) -> np.ndarray:
        """Logits for `ids`, float32 of shape (texts, classes).

        Raises:
            KeyError: An id is not stored.
        """
        if len(self.missing(ids)):
            raise KeyError(f"{len(self.missing(ids))} of {len(ids)} texts have no logits in {self._folder}")
        index = self._index
        place = np.searchsorted(index.ids, ids)
        result = np.empty((len(ids), self._record["logits"].shape[0]), dtype=np.float32)
        shards, rows = index.shard[place], index.row[place]
        for number in np.unique(shards):
            chosen = shards == number
            result[chosen] = self._shards[number]["logits"][rows[chosen]]
        return result

    def add(self, ids: np.ndarray, logits: np.ndarray) -> None:
        """Writes one shard."""
        shard = np.empty(len(ids), dtype=self._record)
        shard["id"], shard["logits"] = ids, logits
        buffer = io.BytesIO()
        np.save(buffer, shard, allow_pickle=False)
        content = buffer.getvalue()
        path = self._folder / f"{hashlib.sha256(content).hexdigest()}.npy"
        write_file(path, lambda temporary: temporary.write_bytes(content))
        self._shards.append(np.load(path, mmap_mode="r", allow_pickle=False))
        self.__dict__.pop("_index", None)

    def _open(self, path: Path) -> np.ndarray | None:
        try:
            if file_sha256(path) != path.stem:
                return None
            shard = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return shard if shard.dtype == self._record else None

    @cached_property
    def _index(self) -> _Index:
        """Built on demand: sorting again after every shard takes quadratic time."""
        sizes = [len(shard) for shard in self._shards]
        ids = np.concatenate([np.empty(0, "S32"), *(shard["id"] for shard in self._shards)])
        row = np.concatenate([np.empty(0, np.int64), *(np.arange(size) for size in sizes)])
        shard = np.repeat(np.arange(len(sizes)), sizes)
        order = np.argsort(ids, kind="stable")
        return _Index(ids[order], shard[order], row[order])


@dataclass(frozen=True)
class StoredLogits:
    """Logits of the requested texts.

    Attributes:
        logits: float32 of shape (texts, classes), in the order of the texts.
        computed: How many distinct texts the model ran on.
        reused: How many distinct texts were stored before.
        engine: What computed them; None if no encoder did.
    """

    logits: np.ndarray
    computed: int
    reused: int
    engine: str | None = None


@dataclass(frozen=True)
class Answering:
    """How a sequence classifier computes the logits of texts.

    Attributes:
        model_digest: Of the model's folder.
        tokenizer_digest: Of its tokenizer.
        max_length: Tokens after which a text is cut.
        pad_id: The padding token.
        hardware: Where to compute.
        dtype: Compute type.
    """

    model_digest: str
    tokenizer_digest: str
    max_length: int
    pad_id: int
    hardware: Hardware
    dtype: Dtype

    def key(self, engine: str) -> dict[str, Any]:
        """What the logits of a text depend on, besides the text.

        Args:
            engine: What computes them.
        """
        return {
            "model": self.model_digest,
            "tokenizer": self.tokenizer_digest,
            "max_length": self.max_length,
            "device": self.hardware.kind,
            "dtype": self.dtype,
            "engine": engine,
            **answered_with(engine),
            "step": OpenVinoEngine.step if engine == "openvino" else 1,
        }


def stored_logits(
    model: PreTrainedModel, tokens: Tokens, ids: np.ndarray, answering: Answering, *, cache: Path, description: str
) -> StoredLogits:
    """Takes logits from the cache and computes the missing ones; finished shards survive an interruption.

    Args:
        model: A sequence classifier.
        tokens: The texts, cut by the model's tokenizer.
        ids: Their ids, bytes of shape (texts,).
        answering: How the model computes them.
        cache: The cache folder.
        description: Names the work in messages.
    """
    classes, hardware = int(model.config.num_labels or 0), answering.hardware
    planned = hardware.engine_for(answering.dtype, tokens.total)
    plan = _folder(cache, answering.key(planned))
    # An engine that the user named computes or fails; only a choice of ours may fall back.
    chosen_by_us = hardware.engine == "auto"
    actual = _actual_engine(plan, planned) if chosen_by_us else planned
    engine: Engine | None = None
    if chosen_by_us and actual == "openvino" and len(LogitsStore(plan, classes).missing(ids)):
        engine = open_engine(model, hardware, answering.dtype, tokens.total)
        if engine.name != actual:  # it was left aside because its logits differ
            actual = engine.name
            write_json(plan / _FALLBACK, {"engine": actual})

    def compute(missing: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        opened = engine or open_engine(model, hardware, answering.dtype, tokens.total)
        with progress(description, len(missing)) as advance:
            for start in range(0, len(missing), SHARD_TEXTS):
                rows = missing[start : start + SHARD_TEXTS]
                chosen = tokens.select(rows)
                yield rows, predict_logits(opened, chosen, answering.pad_id, advance, answering.max_length)

    found = kept_logits(answering.key(actual), ids, classes, compute, cache)
    return replace(found, engine=actual)


def _folder(cache: Path, key: dict[str, Any]) -> Path:
    return cache / "logits" / fingerprint(**key)


@dataclass(frozen=True)
class _Fallback:
    """Says in the store of a planned engine which one computed instead."""

    engine: Literal["pytorch", "openvino", "onnxruntime"]


def _actual_engine(plan: Path, planned: str) -> str:
    """The engine that computed when this one was planned before; else the planned one."""
    try:
        return load_record(_Fallback, plan / _FALLBACK).engine
    except (OSError, ValueError):
        return planned


def kept_logits(
    key: dict[str, Any],
    ids: np.ndarray,
    classes: int,
    compute: Callable[[np.ndarray], Iterable[tuple[np.ndarray, np.ndarray]]],
    cache: Path,
) -> StoredLogits:
    """Takes logits from the cache and computes the missing ones; finished shards survive an interruption.

    Args:
        key: What the logits of a text depend on, besides the text.
        ids: Text ids, bytes of shape (texts,).
        classes: Columns of the logits.
        compute: Takes the missing rows of `ids` and yields them, with their logits, in groups.
        cache: The cache folder.
    """
    folder = _folder(cache, key)
    store = LogitsStore(folder, classes)
    missing = store.missing(ids)
    if len(missing):
        write_json(folder / "key.json", {**key, "classes": classes})
        for rows, logits in compute(missing):
            store.add(ids[rows], logits)
    note_use(folder)
    return StoredLogits(store.lookup(ids), len(missing), len(np.unique(ids)) - len(missing))
