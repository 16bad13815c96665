"""The verdict: every code, every boundary, and the figures in its text."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from understudy.evaluation.cautions import Caution
from understudy.evaluation.results import Gain, ModelMetrics, Retention, Verdict
from understudy.evaluation.verdict import Case, Comparisons, judge


def model(accuracy: float) -> ModelMetrics:
    return ModelMetrics(accuracy, accuracy, 0.9, 0.01, 1000, 4000)


def kept(low: float, high: float) -> Retention:
    return Retention(0.989, (low, high), 0.988, (low, high))


def gained(accuracy: float, p: float, half: float = 0.01) -> Gain:
    return Gain(accuracy, (accuracy - half, accuracy + half), p)


CASE = Case(
    teacher=model(0.92),
    student=model(0.91),
    linear=model(0.88),
    retention=kept(0.98, 0.995),
    gain=gained(0.005, 0.002),
    comparisons=Comparisons(teacher_majority=1e-9, student_linear=1e-4, teacher_linear=1e-5),
    majority=0.5,
    texts=25_000,
)
INTERVALS = [(0.98, 0.995), (0.95, 0.98), (0.9, 0.95)]


def verdict(**changes: Any) -> Verdict:
    return judge(dataclasses.replace(CASE, **changes), required=0.97)


def p_values(**changes: float) -> Comparisons:
    return dataclasses.replace(CASE.comparisons, **changes)


def sentences(found: Verdict) -> list[str]:
    return re.split(r"(?<=\.) (?=[A-Z])", found.text)


# Can the student replace the teacher?


@pytest.mark.parametrize(
    ("interval", "code"),
    [
        ((0.98, 0.995), "replace"),
        ((0.97, 0.995), "replace"),
        ((0.9699, 0.995), "inconclusive"),
        ((0.95, 0.97), "inconclusive"),
        ((0.95, 0.9699), "keep_teacher"),
        ((0.6, 0.7), "keep_teacher"),
        ((0.97, 0.97), "replace"),
        ((1.0, 1.02), "replace"),
    ],
)
def test_the_whole_interval_decides(interval: tuple[float, float], code: str) -> None:
    assert verdict(retention=kept(*interval)).code == code


@pytest.mark.parametrize("interval", INTERVALS)
def test_the_words_carry_the_figures(interval: tuple[float, float]) -> None:
    text = verdict(retention=kept(*interval)).text
    assert f"98.9% [{interval[0]:.1%}, {interval[1]:.1%}] of the teacher's accuracy" in text
    assert "of the teacher's accuracy (required: 97.0%)." in text


def test_the_size_of_the_test_set_is_named_if_it_is_too_small() -> None:
    text = verdict(retention=kept(0.95, 0.98), texts=1234).text
    assert text.startswith("The test set is too small to decide (1,234 texts): the student keeps 98.9% [95.0%, 98.0%]")
    assert verdict(retention=kept(0.98, 0.99)).text.startswith("The student can replace the teacher:")
    assert verdict(retention=kept(0.9, 0.95)).text.startswith("Keep the teacher:")


# A teacher that is no better than the most frequent class


@pytest.mark.parametrize(
    ("teacher", "majority", "p"),
    [(0.5, 0.5, 1.0), (0.45, 0.5, 0.001), (0.53, 0.5, 0.05), (0.53, 0.5, 0.3)],
)
@pytest.mark.parametrize("interval", INTERVALS)
def test_nothing_is_concluded_from_a_teacher_that_has_not_learned_the_task(
    teacher: float, majority: float, p: float, interval: tuple[float, float]
) -> None:
    found = verdict(
        retention=kept(*interval),
        teacher=model(teacher),
        majority=majority,
        comparisons=p_values(teacher_majority=p),
        texts=200,
    )
    assert (found.code, found.distillation) == ("inconclusive", "unproven")
    assert "the teacher has not learned the task" in found.text
    assert f"{teacher:.4f}" in found.text
    assert f"({majority:.4f}, p = {p:.2g})" in found.text
    assert "200 test texts" in found.text


def test_a_teacher_that_is_a_little_but_surely_better_has_learned_it() -> None:
    found = verdict(teacher=model(0.53), comparisons=p_values(teacher_majority=0.049))
    assert found.code == "replace"
    assert "learned" not in found.text


# Did distilling help?


@pytest.mark.parametrize(
    ("gain", "distillation", "words"),
    [
        (gained(0.005, 0.002), "helped", "Distilling helped: +0.50 points compared with"),
        (gained(-0.005, 0.002), "hurt", "Distilling hurt: -0.50 points compared with"),
        (gained(0.005, 0.05), "unproven", "The gain from distilling is not significant: +0.50 points compared with"),
        (gained(-0.005, 0.4), "unproven", "The gain from distilling is not significant: -0.50 points compared with"),
        (gained(0.0, 1.0), "unproven", "The gain from distilling is not significant: +0.00 points compared with"),
    ],
)
def test_distillation(gain: Gain, distillation: str, words: str) -> None:
    found = verdict(gain=gain)
    assert found.distillation == distillation
    assert f"{words} the same student without a teacher (p = {gain.p_value:.2g})." in found.text


@pytest.mark.parametrize("seeds", [1, 3])
def test_no_control_without_a_teacher(seeds: int) -> None:
    found = verdict(gain=None, seeds=seeds)
    assert found.distillation == "unproven"
    assert "unknown whether distilling helped, because the recipe leaves out the no_distillation control." in found.text


@pytest.mark.parametrize(
    ("gain", "distillation", "words"),
    [
        (gained(0.013, 1e-9, 0.006), "helped", "helped: +1.30 points (over 3 seeds [+0.70, +1.90], p = 1e-09)."),
        (gained(-0.013, 1e-9, 0.006), "hurt", "hurt: -1.30 points (over 3 seeds [-1.90, -0.70], p = 1e-09)."),
        (gained(0.005, 0.1, 0.006), "unproven", "significant: +0.50 points (over 3 seeds [-0.10, +1.10], p = 0.1)."),
        (gained(0.013, 0.06, 0.006), "unproven", "significant: +1.30 points (over 3 seeds [+0.70, +1.90], p = 0.06)."),
    ],
)
def test_distillation_over_seeds(gain: Gain, distillation: str, words: str) -> None:
    found = verdict(gain=gain, seeds=3)
    assert found.distillation == distillation
    assert words in found.text.replace(" compared with the same student without a teacher", "")
    assert len(sentences(found)) == 3


# Would a linear model do?


def test_a_worse_linear_model() -> None:
    assert "The student beats the linear n-gram model (0.9100 against 0.8800, p = 0.0001)." in judge(CASE, 0.97).text


def test_a_linear_model_that_is_better_than_the_student() -> None:
    text = verdict(linear=model(0.915), comparisons=p_values(teacher_linear=0.4)).text
    assert (
        "Consider the linear n-gram model first: it needs no neural network and beats the student "
        "(0.9150 against 0.9100, p = 0.0001)." in text
    )
    assert "and the teacher" not in text


def test_a_linear_model_that_is_better_than_both() -> None:
    text = verdict(linear=model(0.93)).text
    assert (
        "beats the student (0.9300 against 0.9100, p = 0.0001) and the teacher (0.9300 against 0.9200, p = 1e-05)."
        in text
    )


def test_a_linear_model_that_is_better_than_the_teacher_alone() -> None:
    text = verdict(teacher=model(0.88), linear=model(0.905), comparisons=p_values(student_linear=0.3)).text
    assert (
        "The student is 0.50 points ahead of the linear n-gram model (0.9100 against 0.9050, p = 0.3), but 25,000 "
        "texts cannot prove it. The linear n-gram model beats the teacher (0.9050 against 0.8800, p = 1e-05)." in text
    )


def test_a_student_that_beats_a_linear_model_that_beats_the_teacher() -> None:
    text = verdict(teacher=model(0.88), linear=model(0.9)).text
    assert (
        "The student beats the linear n-gram model (0.9100 against 0.9000, p = 0.0001). "
        "The linear n-gram model beats the teacher (0.9000 against 0.8800, p = 1e-05)." in text
    )


@pytest.mark.parametrize(
    ("linear", "sentence"),
    [
        (0.91, "The student and the linear n-gram model have the same accuracy (0.9100, p = 0.05)."),
        (0.91004, "The student and the linear n-gram model have the same accuracy (0.9100, p = 0.05)."),
        (
            0.97,
            "The linear n-gram model is 6.00 points ahead of the student (0.9700 against 0.9100, p = 0.05), "
            "but 160 texts cannot prove it.",
        ),
        (
            0.9,
            "The student is 1.00 points ahead of the linear n-gram model (0.9100 against 0.9000, p = 0.05), "
            "but 160 texts cannot prove it.",
        ),
    ],
)
def test_a_difference_that_is_not_significant(linear: float, sentence: str) -> None:
    comparisons = p_values(student_linear=0.05, teacher_linear=0.05)
    assert verdict(linear=model(linear), comparisons=comparisons, texts=160).text.endswith(f" {sentence}")


def test_no_linear_model() -> None:
    text = verdict(linear=None).text
    assert "unknown how a linear model performs, because the recipe leaves out the linear control." in text


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("gain", [None, gained(0.005, 0.002), gained(0.0, 1.0)])
@pytest.mark.parametrize("linear", [None, model(0.88), model(0.93)])
@pytest.mark.parametrize("majority_p", [1e-9, 1.0])
def test_a_verdict_is_a_few_short_sentences(interval: Any, gain: Any, linear: Any, majority_p: float) -> None:
    comparisons = p_values(teacher_majority=majority_p)
    found = sentences(verdict(retention=kept(*interval), gain=gain, linear=linear, comparisons=comparisons))
    assert len(found) == (3 if majority_p < 0.05 else 5)
    assert all(sentence.endswith(".") and len(sentence.split()) <= 30 for sentence in found)


# Cautions


@pytest.mark.parametrize("about", ["test_set", "model"])
@pytest.mark.parametrize("interval", INTERVALS)
def test_nothing_is_claimed_against_a_caution(about: Any, interval: tuple[float, float]) -> None:
    found = verdict(retention=kept(*interval), cautions=(Caution(about, "all 9 test texts have the label 'a'."),))
    assert (found.code, found.distillation) == ("inconclusive", "unproven")
    assert found.text.startswith("Inconclusive: all 9 test texts have the label 'a'. The student keeps 98.9%")
    assert "proves nothing: +0.50 points" in found.text
    assert ("linear" in found.text) == (about == "model")
    assert not re.search("helped|can replace|Keep the teacher|too small", found.text)


def test_a_control_that_has_not_learned_concerns_distilling_alone() -> None:
    found = verdict(cautions=(Caution("control", "the control has not learned the task."),))
    assert (found.code, found.distillation) == ("replace", "unproven")
    assert found.text.startswith(
        "The gain from distilling is unproven: the control has not learned the task. The student can replace"
    )


def test_the_retention_over_seeds_is_said_to_be_that() -> None:
    assert "of the teacher's accuracy over 3 seeds (required" in verdict(seeds=3).text


def test_nothing_is_claimed_from_a_linear_control_that_has_not_learned() -> None:
    caution = Caution("linear", "The linear control has not learned the task, so nothing is claimed from it.")
    found = verdict(cautions=(caution,))

    assert caution.text in found.text
    assert found.code == verdict().code
    assert "Consider the linear" not in found.text
