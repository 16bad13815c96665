"""Puts the evidence together: from test probabilities to `Metrics` and `predictions.parquet`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from understudy.data.corpus import Split
from understudy.evaluation.metrics import agreement, quality
from understudy.evaluation.repeats import compare_seeds, repeat_name
from understudy.evaluation.results import Abstention, Controls, Metrics, ModelMetrics, Seeds, Speed
from understudy.evaluation.significance import gain, mcnemar, retention
from understudy.evaluation.verdict import Comparisons, judge
from understudy.recipe.evidence import EvaluationOptions
from understudy.storage.files import write_file


@dataclass(frozen=True)
class Candidate:
    """A model's answers on the test set and its size.

    Attributes:
        probabilities: Shape (texts, classes).
        parameters: How many it has; None where only its answers are known.
        bytes: Size of its saved weights; likewise.
    """

    probabilities: np.ndarray
    parameters: int | None
    bytes: int | None

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=-1)

    def metrics(self, labels: np.ndarray) -> ModelMetrics:
        found = quality(self.probabilities, labels)
        return ModelMetrics(found.accuracy, found.f1, found.auc, found.ece, self.parameters, self.bytes)


def evaluate(
    test: Split,
    candidates: dict[str, Candidate],
    options: EvaluationOptions,
    classes: int,
    seed: int,
    speed: Speed,
    seconds: dict[str, float],
    student_seeds: Sequence[int] = (),
    abstention: Abstention | None = None,
) -> Metrics:
    """All of `metrics.json`.

    Args:
        test: The test texts.
        candidates: `teacher`, `student`, the controls that there are, and the repeats under their `repeat_name`.
        options: The recipe's.
        classes: Number of classes.
        seed: Of the bootstrap.
        speed: As measured.
        seconds: By stage.
        student_seeds: The student's, then those of its repeats.
        abstention: The student's threshold, where the recipe asks for one.
    """
    labels = test.labels
    teacher, student = candidates["teacher"], candidates["student"]
    named = ("teacher", "student", "no_distillation", "linear")
    figures = {name: candidates[name].metrics(labels) for name in named if name in candidates}
    controls = Controls(figures.get("no_distillation"), figures.get("linear"))
    kept = retention(teacher.predicted, student.predicted, labels, classes, options.resamples, seed)
    parameter_fraction = None
    if student.parameters is not None and teacher.parameters is not None:
        parameter_fraction = student.parameters / teacher.parameters
    gained = None
    if "no_distillation" in candidates:
        control = candidates["no_distillation"].predicted
        gained = gain(student.predicted, control, labels, options.resamples, seed)
    seeds = None
    if len(student_seeds) > 1:
        seeds = _over_seeds(candidates, student_seeds, labels, classes, options.resamples, seed)
    majority = int(np.bincount(labels).argmax())
    linear = candidates["linear"].predicted if "linear" in candidates else None
    comparisons = Comparisons(
        teacher_majority=_p_value(teacher.predicted, np.full_like(labels, majority), labels),
        student_linear=None if linear is None else _p_value(student.predicted, linear, labels),
        teacher_linear=None if linear is None else _p_value(teacher.predicted, linear, labels),
    )
    return Metrics(
        teacher=figures["teacher"],
        student=figures["student"],
        controls=controls,
        retention=kept,
        parameter_fraction=parameter_fraction,
        efficiency_ratio=None if parameter_fraction is None else kept.accuracy / parameter_fraction,
        agreement=agreement(teacher.predicted, student.predicted),
        distillation_gain=gained,
        verdict=judge(
            figures["teacher"],
            figures["student"],
            kept,
            controls,
            gained if seeds is None else seeds.gain,
            comparisons,
            majority=float((labels == majority).mean()),
            required=options.required_retention,
            texts=len(test),
            seeds=max(1, len(student_seeds)),
        ),
        speed=speed,
        seconds=seconds,
        seeds=seeds,
        abstention=abstention,
    )


def _over_seeds(
    candidates: dict[str, Candidate], seeds: Sequence[int], labels: np.ndarray, classes: int, resamples: int, seed: int
) -> Seeds:
    def every(model: str) -> np.ndarray:
        names = [model, *(repeat_name(model, each) for each in seeds[1:])]
        return np.stack([candidates[name].predicted for name in names])

    controls = every("no_distillation") if "no_distillation" in candidates else None
    return compare_seeds(
        seeds, candidates["teacher"].predicted, every("student"), controls, labels, classes, resamples, seed
    )


def _p_value(predicted: np.ndarray, other: np.ndarray, labels: np.ndarray) -> float:
    """McNemar's, for class indices of shape (texts,)."""
    right, other_right = predicted == labels, other == labels
    return mcnemar(int((right & ~other_right).sum()), int((~right & other_right).sum()))


def write_predictions(
    path: Path, test: Split, candidates: dict[str, Candidate], classes: list[str], texts: bool
) -> None:
    """Writes `predictions.parquet`: `id`, `label`, and per model `<model>_label` and `<model>_probability_<class>`.

    Args:
        path: Where to.
        test: The test texts.
        candidates: By model name.
        classes: Class names.
        texts: Whether a column `text` goes with it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = np.array(classes, dtype=object)
    columns: dict[str, pa.Array] = {"id": pa.array(test.ids.astype(str)), "label": pa.array(names[test.labels])}
    if texts:
        columns["text"] = pa.array(test.texts)
    for model, candidate in candidates.items():
        columns[f"{model}_label"] = pa.array(names[candidate.predicted])
        for index, name in enumerate(classes):
            columns[f"{model}_probability_{name}"] = pa.array(candidate.probabilities[:, index])
    write_file(path, lambda temporary: pq.write_table(pa.table(columns), temporary))
