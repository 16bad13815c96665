"""How fast teacher and student are on this machine, measured in turn."""

from __future__ import annotations

import logging
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from understudy.data.tokens import Tokens, pad, tokenise
from understudy.evaluation.results import BatchTime, Latency, ModelSpeed, Speed
from understudy.inference.logits import predict_logits
from understudy.inference.pytorch_engine import PyTorchEngine
from understudy.models.linear import LinearModel, is_linear
from understudy.models.loading import load_classifier, load_tokenizer
from understudy.runtime.hardware import Dtype, Hardware

log = logging.getLogger(__name__)

BATCH = 128
LATENCY_TEXTS = 50
_ROUNDS = 3
_ENOUGH_SECONDS = 12.0


class _Side(ABC):
    """One model with everything that it needs to answer."""

    @abstractmethod
    def classify(self, texts: Sequence[str]) -> None:
        """From texts to logits."""

    @abstractmethod
    def padded_batch(self, texts: Sequence[str]) -> Callable[[], None]:
        """What a batch of these texts costs, as the original's notebook measures it."""


class _Encoder(_Side):
    def __init__(self, folder: Path, max_length: int, hardware: Hardware, dtype: Dtype) -> None:
        self._tokenizer = load_tokenizer(folder)
        self._engine = PyTorchEngine(load_classifier(folder), hardware, dtype)
        self._max_length = max_length

    def classify(self, texts: Sequence[str]) -> None:
        predict_logits(self._engine, self._tokens(texts), self._pad_id)  # batches by length

    def padded_batch(self, texts: Sequence[str]) -> Callable[[], None]:
        # Only the forward pass over one batch padded to the maximum length.
        batch = pad(self._tokens(texts), range(len(texts)), self._pad_id, to=self._max_length)

        def forward() -> None:
            with self._engine.computing():
                self._engine.forward(batch)  # the logits' way back waits for the device

        return forward

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        return tokenise(texts, self._tokenizer, self._max_length)

    @property
    def _pad_id(self) -> int:
        return int(self._tokenizer.pad_token_id)


class _Linear(_Side):
    def __init__(self, folder: Path) -> None:
        self._model = LinearModel.load(folder)

    def classify(self, texts: Sequence[str]) -> None:
        self._model.predict_proba(texts)

    def padded_batch(self, texts: Sequence[str]) -> Callable[[], None]:
        return partial(self.classify, texts)  # it has no padding


class _Together(_Side):
    """A committee: every member answers."""

    def __init__(self, members: list[_Side]) -> None:
        self._members = members

    def classify(self, texts: Sequence[str]) -> None:
        for member in self._members:
            member.classify(texts)

    def padded_batch(self, texts: Sequence[str]) -> Callable[[], None]:
        batches = [member.padded_batch(texts) for member in self._members]

        def forward() -> None:
            for batch in batches:
                batch()

        return forward


def measure_speed(
    teacher: Sequence[Path],
    student: Sequence[Path],
    texts: Sequence[str],
    *,
    max_length: int,
    sample: int,
    hardware: Hardware,
    dtype: Dtype,
    seed: int,
) -> Speed:
    """Measures both alternately on real texts, encoders in PyTorch; the student alone where the teacher is no model.

    Documents per second: from texts to logits, in batches by length. Latency: the same for one text at a time. Batches
    of 128: the forward pass only, padded to the maximum length. Rounds of many texts are timed three times, after a
    warm-up, and the median counts; rounds that take long are timed less often.

    Args:
        teacher: Its folder, or those of a committee, Hugging Face's or a linear model's; all of them have to answer.
            None where its answers were given.
        student: Likewise.
        texts: The test texts.
        max_length: Tokens after which a text is cut.
        sample: How many texts are used for documents per second.
        hardware: Where to measure.
        dtype: Compute type.
        seed: Chooses the texts.
    """
    chosen = _choose(texts, sample, seed)
    padded = [texts[chosen[index % len(chosen)]] for index in range(BATCH)]
    models = {"teacher": teacher, "student": student} if teacher else {"student": student}
    sides = _opened(models, max_length, hardware, dtype)
    speeds = _at_real_lengths(sides, [texts[row] for row in chosen], sample)
    batches = _alternate({name: side.padded_batch(padded) for name, side in sides.items()})
    return Speed(
        device=hardware.device,
        threads=hardware.threads,
        dtype=dtype,
        max_length=max_length,
        batch128=BatchTime(
            round(batches["teacher"] * 1000, 2) if teacher else None, round(batches["student"] * 1000, 2)
        ),
        speedup=round(batches["teacher"] / batches["student"], 3) if teacher else None,
        teacher=speeds.get("teacher"),
        student=speeds["student"],
    )


def measure_models(
    models: Mapping[str, Sequence[Path]],
    texts: Sequence[str],
    *,
    max_length: int,
    sample: int,
    hardware: Hardware,
    dtype: Dtype,
    seed: int,
) -> dict[str, ModelSpeed]:
    """Documents per second and latency of any number of models, as `measure_speed` measures two.

    Args:
        models: Folders by name; several folders of one name all have to answer.
        texts: The test texts.
        max_length: Tokens after which a text is cut.
        sample: How many texts are used for documents per second.
        hardware: Where to measure.
        dtype: Compute type.
        seed: Chooses the texts.
    """
    chosen = _choose(texts, sample, seed)
    return _at_real_lengths(_opened(models, max_length, hardware, dtype), [texts[row] for row in chosen], sample)


def padded_batch(
    folders: Sequence[Path], texts: Sequence[str], *, max_length: int, hardware: Hardware, dtype: Dtype
) -> Callable[[], None]:
    """A task to be timed: one forward pass over a batch of texts, padded to the maximum length.

    That is how the original's notebook measures speed. A linear model, which has no padding, starts from the texts.

    Args:
        folders: A model's, or those of a committee, all of which have to answer.
        texts: The batch.
        max_length: Tokens to which the batch is padded, and after which a text is cut.
        hardware: Where to compute.
        dtype: Compute type.
    """
    return _together(folders, max_length, hardware, dtype).padded_batch(texts)


def _choose(texts: Sequence[str], sample: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(texts))[: max(sample, LATENCY_TEXTS)]


def _opened(
    models: Mapping[str, Sequence[Path]], max_length: int, hardware: Hardware, dtype: Dtype
) -> dict[str, _Side]:
    log.info("speed: %s, %d threads, %s", hardware.device, hardware.threads, dtype)
    return {name: _together(folders, max_length, hardware, dtype) for name, folders in models.items()}


def _together(folders: Sequence[Path], max_length: int, hardware: Hardware, dtype: Dtype) -> _Together:
    return _Together(
        [_Linear(folder) if is_linear(folder) else _Encoder(folder, max_length, hardware, dtype) for folder in folders]
    )


def _at_real_lengths(sides: dict[str, _Side], texts: Sequence[str], sample: int) -> dict[str, ModelSpeed]:
    bulk, single = texts[:sample], texts[:LATENCY_TEXTS]
    for side in sides.values():
        side.classify(single[:8])
    seconds = _alternate({name: partial(side.classify, bulk) for name, side in sides.items()})
    latencies: dict[str, list[float]] = {name: [] for name in sides}
    for text in single:
        for name, side in sides.items():
            latencies[name].append(seconds_of(partial(side.classify, [text])))

    def speed(name: str) -> ModelSpeed:
        p50, p95 = np.percentile(latencies[name], [50, 95]) * 1000
        return ModelSpeed(round(len(bulk) / seconds[name], 2), Latency(round(float(p50), 2), round(float(p95), 2)))

    return {name: speed(name) for name in sides}


def _alternate(tasks: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median seconds of each task, the tasks taking turns so that a drift of the machine meets all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(_ROUNDS):
        for name, task in tasks.items():
            seconds[name].append(seconds_of(task))
        if sum(map(sum, seconds.values())) > _ENOUGH_SECONDS:
            break
    return {name: statistics.median(values) for name, values in seconds.items()}


def seconds_of(task: Callable[[], object]) -> float:
    """How long a task takes."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start
