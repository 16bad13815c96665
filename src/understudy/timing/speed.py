"""The speed of a run's models on this machine: what they are asked to answer, and the figures that come of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from understudy.data.tokens import pad, tokenise
from understudy.evaluation.results import BatchTime, Latency, ModelSpeed, Speed
from understudy.inference.classifier import Classifier
from understudy.inference.encoders import TransformersClassifier
from understudy.inference.exported import ExportedClassifier
from understudy.inference.opening import open_classifier
from understudy.inference.pytorch_engine import PyTorchEngine
from understudy.runtime.hardware import Dtype, Hardware
from understudy.timing.turns import Contender, take_turns

log = logging.getLogger(__name__)

BATCH = 128
LATENCY_TEXTS = 50
_ROUNDS = 3
_ENOUGH_SECONDS = 12.0


@dataclass(frozen=True)
class Workload:
    """What the models have to answer.

    Attributes:
        texts: The test texts.
        sample: How many of them are answered in bulk.
        max_length: Tokens to which a batch of 128 is padded.
        seed: Seed of the draw of texts.
    """

    texts: Sequence[str]
    sample: int
    max_length: int
    seed: int

    @property
    def drawn(self) -> list[str]:
        """The texts of the bulk and those answered one at a time, which overlap."""
        return draw(self.texts, max(self.sample, LATENCY_TEXTS), self.seed)


def measure_speed(
    teacher: Sequence[Path], student: Sequence[Path], workload: Workload, hardware: Hardware, dtype: Dtype
) -> Speed:
    """Measures teacher and student alternately on real texts, encoders in PyTorch.

    Documents per second and latency are measured at the texts' real lengths, from texts to probabilities, through the
    classifiers that `understudy.load` gives. A batch of 128 is padded to the maximum length, and only its forward pass
    is timed. Both parts go through `take_turns`: one warm-up round, then at most three rounds, whose median counts.

    Each part stops early on a slow machine: no further round starts once 12 seconds are timed, the warm-up included.
    So a part takes at most 12 seconds and one round, or the warm-up and one round if these take longer.

    `understudy benchmark` measures with the same contenders and turns. It adds exports and other compute types, has no
    time limit, and limits tokenizers to `threads`. Here they keep the threads that the run started for them.

    Args:
        teacher: The folders of its members, which all have to answer. Empty if the teacher's scores were given; then
            only the student is measured.
        student: Likewise.
        workload: What they answer.
        hardware: Where they compute.
        dtype: Compute type.
    """
    folders = {"teacher": teacher, "student": student} if teacher else {"student": student}
    models = _opened(folders, hardware, dtype)
    speeds = _at_real_lengths(models, workload)
    batch = full_batch(workload.drawn)
    padded = {name: Contender(BATCH, _padded(members, batch, workload.max_length)) for name, members in models.items()}
    readings = take_turns(padded, (), _ROUNDS, _ENOUGH_SECONDS)
    seconds = {name: each.seconds for name, each in readings.items()}
    return Speed(
        device=hardware.device,
        threads=hardware.threads,
        dtype=dtype,
        max_length=workload.max_length,
        batch128=BatchTime(
            round(seconds["teacher"] * 1000, 2) if teacher else None, round(seconds["student"] * 1000, 2)
        ),
        speedup=round(seconds["teacher"] / seconds["student"], 3) if teacher else None,
        teacher=speeds.get("teacher"),
        student=speeds["student"],
        rounds=readings["student"].rounds,
    )


def measure_models(
    models: Mapping[str, Sequence[Path]], workload: Workload, hardware: Hardware, dtype: Dtype
) -> dict[str, ModelSpeed]:
    """Measures documents per second and latency of any number of models, as `measure_speed` does.

    Args:
        models: The folders of each model's members, by its name. All members of a model have to answer.
        workload: What they answer.
        hardware: Where they compute.
        dtype: Compute type.
    """
    return _at_real_lengths(_opened(models, hardware, dtype), workload)


def padded_batch(
    folders: Sequence[Path], texts: Sequence[str], max_length: int, hardware: Hardware, dtype: Dtype
) -> Callable[[], None]:
    """One forward pass in PyTorch over a batch of padded texts, ready to be timed.

    This is how the original notebook measures speed. A linear model has no padding: it starts from the texts.

    Args:
        folders: The folders of a model's members, which all have to answer.
        texts: The batch.
        max_length: Tokens to which the batch is padded, and after which a text is cut.
        hardware: Where to compute.
        dtype: Compute type.
    """
    return _padded(open_in_pytorch(folders, hardware, dtype), texts, max_length)


def open_in_pytorch(folders: Sequence[Path], hardware: Hardware, dtype: Dtype) -> list[Classifier]:
    """Opens a model's members as `understudy.load` does: encoders in PyTorch, a linear model in its own form."""
    return [
        open_classifier(folder, device=hardware.device, threads=hardware.threads, precision=dtype, engine="pytorch")
        for folder in folders
    ]


def at_real_lengths(members: Sequence[Classifier], bulk: Sequence[str]) -> Contender:
    """A contender that goes from texts to probabilities.

    Args:
        members: All of them have to answer.
        bulk: The texts that are answered in one call.
    """
    for member in members:
        if isinstance(member, TransformersClassifier | ExportedClassifier):
            member.cut.said = True  # the run's audit has counted the cut texts

    def answer(texts: Sequence[str]) -> None:
        for member in members:
            member.predict_proba(texts)

    return Contender(len(bulk), partial(answer, bulk), lambda text: answer([text]))


def draw(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """Draws `count` texts without repetition, or all if there are fewer."""
    return [texts[row] for row in np.random.default_rng(seed).permutation(len(texts))[:count]]


def full_batch(texts: Sequence[str]) -> list[str]:
    """The first 128 texts; fewer texts are repeated."""
    return [texts[row % len(texts)] for row in range(BATCH)]


def _opened(models: Mapping[str, Sequence[Path]], hardware: Hardware, dtype: Dtype) -> dict[str, list[Classifier]]:
    log.info("speed: %s, %d threads, %s", hardware.device, hardware.threads, dtype)
    return {name: open_in_pytorch(folders, hardware, dtype) for name, folders in models.items()}


def _at_real_lengths(models: Mapping[str, Sequence[Classifier]], workload: Workload) -> dict[str, ModelSpeed]:
    texts = workload.drawn
    contenders = {name: at_real_lengths(members, texts[: workload.sample]) for name, members in models.items()}
    found = {}
    for name, readings in take_turns(contenders, texts[:LATENCY_TEXTS], _ROUNDS, _ENOUGH_SECONDS).items():
        p50, p95 = readings.latency_ms(50, 95)
        found[name] = ModelSpeed(round(readings.documents_per_second, 2), Latency(round(p50, 2), round(p95, 2)))
    return found


def _padded(members: Sequence[Classifier], texts: Sequence[str], max_length: int) -> Callable[[], None]:
    passes = [_forward_pass(member, texts, max_length) for member in members]

    def forward() -> None:
        for each in passes:
            each()

    return forward


def _forward_pass(member: Classifier, texts: Sequence[str], max_length: int) -> Callable[[], object]:
    if not isinstance(member, TransformersClassifier):
        return partial(member.predict_proba, texts)
    tokens = tokenise(texts, member.tokenizer, max_length)
    batch = pad(tokens, range(len(texts)), int(member.tokenizer.pad_token_id), to=max_length)
    engine = PyTorchEngine(member.model, member.hardware, member.dtype)

    def forward() -> None:
        with engine.computing():
            engine.forward(batch)  # the logits come back to the CPU, so the device has finished

    return forward
