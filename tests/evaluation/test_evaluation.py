"""From test probabilities to metrics and `predictions.parquet`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from understudy.data.corpus import Split
from understudy.data.tokens import text_ids
from understudy.evaluation.curves import Curve
from understudy.evaluation.evaluation import Candidate, Contest, Plan, assemble_metrics, write_predictions
from understudy.evaluation.recommendation import Option
from understudy.evaluation.results import BatchTime, Compared, Latency, Metrics, ModelSpeed, Speed
from understudy.recipe.evidence import EvaluationOptions

SIDE = ModelSpeed(10.0, Latency(1.0, 2.0))
SPEED = Speed("cpu", 1, "fp32", 16, BatchTime(2.0, 1.0), 2.0, SIDE, SIDE)


def split(labels: list[int]) -> Split:
    texts = [f"text {row}" for row in range(len(labels))]
    return Split(texts, text_ids(texts), np.array(labels))


def candidate(predicted: list[int], classes: int = 2, parameters: int = 100) -> Candidate:
    """A model that gives its predicted class a probability of 0.8."""
    probabilities = np.full((len(predicted), classes), 0.2 / (classes - 1))
    probabilities[np.arange(len(predicted)), predicted] = 0.8
    return Candidate(probabilities, parameters, 4 * parameters)


def plan(classes: int = 2, student_seeds: tuple[int, ...] = (), **options: Any) -> Plan:
    return Plan(EvaluationOptions(resamples=200, **options), classes, seed=0, student_seeds=student_seeds)


def found(test: Split, candidates: dict[str, Candidate], classes: int = 2, **options: Any) -> Metrics:
    return assemble_metrics(test, candidates, plan(classes, **options), speed=SPEED, seconds={"teacher": 1.0})


LABELS = [0, 1] * 50
GOOD = LABELS[:90] + [1, 0] * 5  # 90 of 100 right
FAIR = LABELS[:80] + [1, 0] * 10  # 80 of 100 right
BLIND = [0] * 100


def test_figures_of_every_model() -> None:
    models = {
        "teacher": candidate(GOOD, parameters=400),
        "student": candidate(FAIR),
        "no_distillation": candidate(GOOD),
        "linear": candidate(BLIND, parameters=10),
    }
    metrics = found(split(LABELS), models)
    assert metrics.teacher.accuracy == pytest.approx(0.9)
    assert metrics.student.accuracy == pytest.approx(0.8)
    assert metrics.controls.no_distillation is not None
    assert metrics.controls.no_distillation.accuracy == pytest.approx(0.9)
    assert metrics.controls.linear is not None
    assert (metrics.controls.linear.accuracy, metrics.controls.linear.parameters) == (0.5, 10)
    assert metrics.retention.accuracy == pytest.approx(8 / 9)
    assert metrics.agreement == pytest.approx(0.9)
    assert metrics.parameter_fraction == 0.25
    assert metrics.efficiency_ratio == pytest.approx(8 / 9 / 0.25)
    assert metrics.distillation_gain is not None
    assert metrics.distillation_gain.accuracy == pytest.approx(-0.1)
    assert metrics.distillation_gain.p_value == pytest.approx(2 * 0.5**10)
    assert metrics.verdict.distillation == "hurt"
    assert metrics.speed is SPEED
    assert metrics.seconds == {"teacher": 1.0}


def test_several_seeds() -> None:
    models = {
        "teacher": candidate(GOOD),
        "student": candidate(FAIR),
        "no_distillation": candidate(FAIR),
        "student_seed_8": candidate(GOOD),
        "no_distillation_seed_8": candidate(LABELS[:50] + [1, 0] * 5 + [0, 1] * 20),
    }
    metrics = assemble_metrics(split(LABELS), models, plan(student_seeds=(7, 8)), speed=SPEED, seconds={})
    assert metrics.student.accuracy == pytest.approx(0.8)  # the one to ship
    assert metrics.distillation_gain is not None
    assert metrics.distillation_gain.accuracy == 0
    seeds = metrics.seeds
    assert seeds is not None and seeds.gain is not None
    assert [(each.seed, each.accuracy, each.control_accuracy) for each in seeds.repeats] == [
        (7, 0.8, 0.8),
        (8, 0.9, 0.9),
    ]
    assert seeds.gain.accuracy == pytest.approx(0)
    assert "The gain from distilling is not significant: +0.00 points" in metrics.verdict.text
    low, high = seeds.retention_ci95
    kept = (
        f"the student keeps {seeds.retention.mean:.1%} [{low:.1%}, {high:.1%}] of the teacher's accuracy over 2 seeds"
    )
    assert kept in metrics.verdict.text


def test_one_control_that_has_not_learned_makes_the_gain_over_seeds_unproven() -> None:
    models = {name: candidate(GOOD) for name in ("teacher", "student", "student_seed_8", "no_distillation")}
    models["no_distillation_seed_8"] = candidate(BLIND)
    verdict = assemble_metrics(split(LABELS), models, plan(student_seeds=(7, 8)), speed=SPEED, seconds={}).verdict
    assert verdict.distillation == "unproven"
    assert verdict.text.startswith(
        "The gain from distilling is unproven: the control without a teacher has not learned"
    )


def test_a_test_set_of_one_class_proves_nothing() -> None:
    """Even a control that always answers that class would be right."""
    models = {name: candidate([0] * 40) for name in ("teacher", "student", "linear")}
    models["no_distillation"] = candidate([1] * 40)
    asked = dataclasses.replace(plan(), names=("bad", "good"))
    verdict = assemble_metrics(split([0] * 40), models, asked, speed=SPEED, seconds={}).verdict
    assert (verdict.code, verdict.distillation) == ("inconclusive", "unproven")
    assert verdict.text.startswith("Inconclusive: all 40 test texts have the label 'bad'")
    assert "linear" not in verdict.text


def test_a_test_set_that_is_the_training_set_proves_nothing() -> None:
    models = {name: candidate(LABELS) for name in ("teacher", "student")}
    asked = dataclasses.replace(plan(), training_share=0.9)
    verdict = assemble_metrics(split(LABELS), models, asked, speed=SPEED, seconds={}).verdict
    assert verdict.code == "inconclusive"
    assert verdict.text.startswith("Inconclusive: 90% of the test texts are training texts")


def test_twelve_texts_that_are_all_right_decide_nothing() -> None:
    models = {name: candidate([0, 1] * 6) for name in ("teacher", "student")}
    assert found(split([0, 1] * 6), models).verdict.code == "inconclusive"


def test_a_small_test_set_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    models = {name: candidate(LABELS * 2) for name in ("teacher", "student")}
    found(split(LABELS * 2), models)
    assert not caplog.records
    found(split(LABELS), {name: candidate(LABELS) for name in models})
    assert "The test set has 100 texts. With fewer than 200, the interval of F1 is too narrow" in caplog.text


def test_one_seed_has_no_spread() -> None:
    models = {"teacher": candidate(GOOD), "student": candidate(FAIR)}
    one = assemble_metrics(split(LABELS), models, plan(student_seeds=(7,)), speed=SPEED, seconds={"teacher": 1.0})
    assert one.seeds is None
    assert one == found(split(LABELS), models)


def test_models_that_are_missing() -> None:
    metrics = found(split(LABELS), {"teacher": candidate(GOOD), "student": candidate(GOOD)})
    assert metrics.controls.no_distillation is None
    assert metrics.controls.linear is None
    assert metrics.distillation_gain is None
    assert metrics.verdict.code == "inconclusive"  # 100 texts cannot prove 97 %


def test_a_teacher_of_unknown_size() -> None:
    models = {"teacher": candidate(GOOD), "student": candidate(FAIR, parameters=10)}
    models["teacher"] = dataclasses.replace(models["teacher"], parameters=None, bytes=None)
    metrics = found(split(LABELS), models)
    assert metrics.teacher.accuracy == pytest.approx(0.9)
    assert metrics.retention.accuracy == pytest.approx(8 / 9)
    assert (metrics.teacher.parameters, metrics.teacher.bytes) == (None, None)
    assert (metrics.parameter_fraction, metrics.efficiency_ratio) == (None, None)


def test_a_teacher_that_always_gives_the_same_answer_has_learned_nothing() -> None:
    labels = [0] * 60 + [1] * 40
    metrics = found(split(labels), {"teacher": candidate(BLIND), "student": candidate(BLIND)})
    assert metrics.retention.accuracy == 1
    assert metrics.verdict.code == "inconclusive"
    assert "has not learned the task" in metrics.verdict.text
    assert (
        "(0.6000) is not significantly better than always answering the most frequent class (0.6000, p = 1)"
        in metrics.verdict.text
    )


def test_the_most_frequent_class_is_not_always_the_first() -> None:
    labels = [0] * 10 + [1] * 20 + [2] * 70
    metrics = found(split(labels), {"teacher": candidate([2] * 100, 3), "student": candidate([2] * 100, 3)}, 3)
    assert "(0.7000, p = 1)" in metrics.verdict.text


def test_the_p_values_of_the_verdict() -> None:
    models = {"teacher": candidate(GOOD), "student": candidate(FAIR), "linear": candidate(GOOD)}
    text = found(split(LABELS), models).verdict.text
    p = binomtest(10, 10).pvalue
    assert f"Consider the linear n-gram model first: it beats the student (0.9000 against 0.8000, p = {p:.2g})." in text
    models["teacher"] = candidate(FAIR)
    assert found(split(LABELS), models).verdict.text.startswith("Ship neither teacher nor student: the linear n-gram")
    models["linear"], models["frozen"] = candidate(FAIR), candidate(GOOD)
    text = found(split(LABELS), models).verdict.text
    assert text.startswith("Ship neither teacher nor student: logistic regression on the frozen encoder beats both")


def test_required_retention_comes_from_the_recipe() -> None:
    models = {"teacher": candidate(GOOD), "student": candidate(FAIR)}
    assert found(split(LABELS), models, required_retention=0.97).verdict.code == "keep_teacher"
    assert found(split(LABELS), models, required_retention=0.5).verdict.code == "replace"


def test_the_verdict_does_not_depend_on_speed() -> None:
    models = {"teacher": candidate(GOOD), "student": candidate(FAIR)}
    slow = Speed("cuda", 9, "bf16", 512, BatchTime(7.0, 9.0), 0.7, SIDE, SIDE)
    other = assemble_metrics(split(LABELS), models, plan(), speed=slow, seconds={"teacher": 99.0})
    assert other.verdict == found(split(LABELS), models).verdict


def test_the_recommendation_is_chosen_on_validation_and_shown_with_its_test_accuracy() -> None:
    """On the test set the linear model is the best, on the validation texts the teacher."""
    models = {"teacher": candidate(FAIR), "student": candidate(FAIR), "linear": candidate(LABELS)}
    labels = np.array([0, 1] * 200)
    worse = np.where(np.arange(400) < 40, 1 - labels, labels)
    options = {
        "teacher": Option("teacher", labels, 1000, 1000),
        "student": Option("student", worse, 100, 100),
        "linear": Option("controls/linear", worse, 10, 10),
    }
    metrics = assemble_metrics(split(LABELS), models, plan(), speed=SPEED, seconds={}, contest=Contest(options, labels))
    chosen = metrics.recommendation
    assert chosen is not None
    assert (chosen.model, chosen.folder, chosen.accuracy) == ("teacher", "teacher", 0.8)
    assert chosen.compared["linear"] == Compared(0.9, 10, 10)
    assert found(split(LABELS), models).recommendation is None


def test_a_short_training_is_read_from_the_curves() -> None:
    models = {"teacher": candidate(FAIR), "student": candidate(FAIR), "linear": candidate(LABELS)}
    asked = dataclasses.replace(plan(), curves={"student": Curve(34)})
    verdict = assemble_metrics(split(LABELS), models, asked, speed=SPEED, seconds={}).verdict
    assert verdict.text.startswith("Training was too short: 34 steps. Ship neither")


@pytest.mark.parametrize("texts", [False, True])
def test_predictions(texts: bool, tmp_path: Path) -> None:
    test = split([1, 0, 2])
    models = {"teacher": candidate([1, 1, 2], 3), "student": candidate([0, 0, 2], 3)}
    write_predictions(tmp_path / "predictions.parquet", test, models, ["a", "b,b", "ä"], texts)
    frame = pd.read_parquet(tmp_path / "predictions.parquet")
    answers = [
        f"{model}_{part}" for model in models for part in ("label", *(f"probability_{c}" for c in ("a", "b,b", "ä")))
    ]
    assert list(frame.columns) == ["id", "label", *(["text"] if texts else []), *answers]
    assert frame["label"].tolist() == ["b,b", "a", "ä"]
    assert frame["teacher_label"].tolist() == ["b,b", "b,b", "ä"]
    assert frame["student_label"].tolist() == ["a", "a", "ä"]
    assert frame["id"].tolist() == [identity.decode() for identity in test.ids]
    assert np.array_equal(frame["student_probability_ä"], models["student"].probabilities[:, 2])
    if texts:
        assert frame["text"].tolist() == test.texts
