"""From the models' test probabilities to `Metrics` and `predictions.parquet`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from understudy.data.corpus import Split
from understudy.evaluation.cautions import Answers, find_cautions
from understudy.evaluation.curves import Curve
from understudy.evaluation.metrics import agreement, quality
from understudy.evaluation.next_step import next_step
from understudy.evaluation.recommendation import Option, choose
from understudy.evaluation.repeats import SeedPredictions, compare_seeds, repeat_name
from understudy.evaluation.results import (
    Abstention,
    Compared,
    Controls,
    Gain,
    Metrics,
    ModelMetrics,
    Recommendation,
    Retention,
    Seeds,
    Speed,
    Verdict,
)
from understudy.evaluation.significance import FEW_TEXTS, Resampling, gain, mcnemar, retention
from understudy.evaluation.verdict import Case, Rival, Training, judge
from understudy.recipe.evidence import EvaluationOptions
from understudy.storage.files import write_file

log = logging.getLogger(__name__)

_REPORTED = ("teacher", "student", "no_distillation", "linear", "frozen", "static")
_RIVALS = ("linear", "frozen")


@dataclass(frozen=True)
class Candidate:
    """A model's test probabilities and its size.

    Attributes:
        probabilities: Shape (texts, classes).
        parameters: Number of parameters; None for a teacher whose scores were given.
        bytes: Size of the saved weights; None for a teacher whose scores were given.
    """

    probabilities: np.ndarray
    parameters: int | None
    bytes: int | None

    @property
    def predicted(self) -> np.ndarray:
        """Class indices, shape (texts,)."""
        predicted: np.ndarray = self.probabilities.argmax(axis=-1)
        return predicted

    def metrics(self, labels: np.ndarray) -> ModelMetrics:
        """The model's figures.

        Args:
            labels: True class indices, shape (texts,).
        """
        found = quality(self.probabilities, labels)
        return ModelMetrics(**asdict(found), parameters=self.parameters, bytes=self.bytes)


@dataclass(frozen=True)
class Plan:
    """What an evaluation needs to know besides texts and predictions.

    Attributes:
        options: The recipe's evaluation options.
        classes: Number of classes.
        seed: The bootstrap's seed.
        student_seeds: The shipped student's seed, then those of its repeats.
        names: Class names, for the verdict's words.
        training_share: Share of the test texts that are also training texts; None if unknown.
        unlearned: Controls that learned nothing in cross-validation.
        curves: How teacher and student were trained, by name.
    """

    options: EvaluationOptions
    classes: int
    seed: int
    student_seeds: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    training_share: float | None = None
    unlearned: tuple[str, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)

    @property
    def resampling(self) -> Resampling:
        """The bootstrap's settings."""
        return Resampling(self.options.resamples, self.seed)


@dataclass(frozen=True)
class Contest:
    """The models that can be shipped, on the validation texts.

    Attributes:
        options: The models by name.
        labels: True class indices of the validation texts, shape (texts,).
    """

    options: Mapping[str, Option]
    labels: np.ndarray


def assemble_metrics(
    test: Split,
    candidates: dict[str, Candidate],
    plan: Plan,
    *,
    speed: Speed,
    seconds: dict[str, float],
    abstention: Abstention | None = None,
    contest: Contest | None = None,
) -> Metrics:
    """All figures of `metrics.json`.

    Args:
        test: The test texts.
        candidates: `teacher`, `student`, the available controls, and the repeats under their `repeat_name`.
        plan: Options, classes and seeds.
        speed: Measured speed.
        seconds: Seconds spent, by stage.
        abstention: The student's threshold, if the recipe asks for one.
        contest: From which models one is recommended; None for no recommendation.
    """
    _warn_about_few(len(test))
    teacher, student = candidates["teacher"], candidates["student"]
    figures = {name: candidate.metrics(test.labels) for name, candidate in candidates.items() if name in _REPORTED}
    kept = retention(teacher.predicted, student.predicted, test.labels, plan.classes, plan.resampling)
    fraction = _parameter_fraction(teacher, student)
    gained = _gain(candidates, test.labels)
    seeds = _over_seeds(candidates, test.labels, plan) if len(plan.student_seeds) > 1 else None
    majority = np.full_like(test.labels, np.bincount(test.labels).argmax())
    case = Case(
        teacher=figures["teacher"],
        student=figures["student"],
        rivals=_rivals(candidates, test.labels, plan.unlearned),
        retention=_judged_retention(kept, seeds),
        gain=gained if seeds is None else seeds.gain,
        teacher_majority=_p_value(teacher.predicted, majority, test.labels),
        majority=float((test.labels == majority).mean()),
        texts=len(test),
        seeds=max(1, len(plan.student_seeds)),
        cautions=find_cautions(_answers(candidates, test.labels, plan)),
        training=Training(plan.curves, plan.classes, 1 if contest is None else len(contest.labels)),
    )
    required = plan.options.required_retention
    verdict = judge(case, required)
    accuracy = {name: agreement(each.predicted, test.labels) for name, each in candidates.items()}
    return Metrics(
        teacher=case.teacher,
        student=case.student,
        controls=Controls(figures.get("no_distillation"), figures.get("linear"), figures.get("frozen")),
        retention=kept,
        parameter_fraction=fraction,
        efficiency_ratio=None if fraction is None else kept.accuracy / fraction,
        agreement=agreement(teacher.predicted, student.predicted),
        distillation_gain=gained,
        verdict=verdict,
        speed=speed,
        seconds=seconds,
        seeds=seeds,
        abstention=abstention,
        students={name: figures[name] for name in ("static",) if name in figures},
        recommendation=None if contest is None else _recommended(contest, accuracy, case, verdict, required),
    )


def _warn_about_few(texts: int) -> None:
    if texts < FEW_TEXTS:
        log.warning(
            "The test set has %d texts. With fewer than %d, the interval of F1 is too narrow; rely on the accuracy's.",
            *(texts, FEW_TEXTS),
        )


def _recommended(
    contest: Contest, accuracy: Mapping[str, float], case: Case, verdict: Verdict, required: float
) -> Recommendation:
    """The model to ship, with its accuracy on the test set."""
    chosen = choose(contest.options, contest.labels)
    return Recommendation(
        model=chosen.model,
        folder=contest.options[chosen.model].folder,
        accuracy=accuracy[chosen.model],
        reason=chosen.reason,
        next_step=next_step(case, verdict, required, chosen.model),
        compared={
            name: Compared(agreement(option.predicted, contest.labels), option.operations, option.parameters)
            for name, option in contest.options.items()
        },
    )


def _parameter_fraction(teacher: Candidate, student: Candidate) -> float | None:
    if teacher.parameters is None or student.parameters is None:
        return None
    return student.parameters / teacher.parameters


def _gain(candidates: dict[str, Candidate], labels: np.ndarray) -> Gain | None:
    if "no_distillation" not in candidates:
        return None
    return gain(candidates["student"].predicted, candidates["no_distillation"].predicted, labels)


def _judged_retention(kept: Retention, seeds: Seeds | None) -> Retention:
    """The shipped student's retention; with several seeds, accuracy's is that over all seeds."""
    if seeds is None:
        return kept
    return replace(kept, accuracy=seeds.retention.mean, accuracy_ci95=seeds.retention_ci95)


def _answers(candidates: dict[str, Candidate], labels: np.ndarray, plan: Plan) -> Answers:
    names = ["no_distillation", *(repeat_name("no_distillation", seed) for seed in plan.student_seeds[1:])]
    return Answers(
        labels=labels,
        teacher=candidates["teacher"].predicted,
        student=candidates["student"].predicted,
        controls=[candidates[name].predicted for name in names if name in candidates],
        classes=plan.names,
        training_share=plan.training_share,
        unlearned=plan.unlearned,
    )


def _over_seeds(candidates: dict[str, Candidate], labels: np.ndarray, plan: Plan) -> Seeds:
    def with_every_seed(model: str) -> np.ndarray:
        names = [model, *(repeat_name(model, seed) for seed in plan.student_seeds[1:])]
        return np.stack([candidates[name].predicted for name in names])

    predicted = SeedPredictions(
        seeds=plan.student_seeds,
        teacher=candidates["teacher"].predicted,
        students=with_every_seed("student"),
        controls=with_every_seed("no_distillation") if "no_distillation" in candidates else None,
    )
    return compare_seeds(predicted, labels, plan.classes)


def _rivals(candidates: dict[str, Candidate], labels: np.ndarray, unlearned: Sequence[str]) -> tuple[Rival, ...]:
    """The controls that could be shipped and that learned the task, compared with student and teacher."""
    teacher, student = candidates["teacher"].predicted, candidates["student"].predicted
    controls = {name: candidates[name].predicted for name in _RIVALS if name in candidates and name not in unlearned}
    return tuple(
        Rival(
            name,
            agreement(predicted, labels),
            over_student=_p_value(student, predicted, labels),
            over_teacher=_p_value(teacher, predicted, labels),
        )
        for name, predicted in controls.items()
    )


def _p_value(predicted: np.ndarray, other: np.ndarray, labels: np.ndarray) -> float:
    """McNemar's p for two models' class indices, both of shape (texts,)."""
    right, other_right = predicted == labels, other == labels
    return mcnemar(int((right & ~other_right).sum()), int((~right & other_right).sum()))


def write_predictions(
    path: Path, test: Split, candidates: dict[str, Candidate], classes: list[str], texts: bool
) -> None:
    """Writes `predictions.parquet`: `id`, `label`, and per model `<model>_label` and `<model>_probability_<class>`.

    Args:
        path: The file to write.
        test: The test texts.
        candidates: By model name.
        classes: Class names.
        texts: Whether to add the column `text`.
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
