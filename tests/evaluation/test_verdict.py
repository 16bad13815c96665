"""The verdict: every code, every boundary, and the figures in its words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from understudy.evaluation.results import Controls, Gain, ModelMetrics, Retention, Verdict
from understudy.evaluation.verdict import Comparisons, judge


def model(accuracy: float) -> ModelMetrics:
    return ModelMetrics(accuracy, accuracy, 0.9, 0.01, 1000, 4000)


def verdict(
    interval: tuple[float, float] = (0.98, 0.995),
    required: float = 0.97,
    teacher: float = 0.92,
    student: float = 0.91,
    linear: float | None = 0.88,
    gain: tuple[float, float] | None = (0.005, 0.002),
    majority: float = 0.5,
    majority_p: float = 1e-9,
    student_p: float = 1e-4,
    teacher_p: float = 1e-5,
    texts: int = 25_000,
    seeds: int = 1,
    half: float = 0.01,
) -> Verdict:
    return judge(
        model(teacher),
        model(student),
        Retention(0.989, interval, 0.988, interval),
        Controls(None if gain is None else model(0.9), None if linear is None else model(linear)),
        None if gain is None else Gain(gain[0], (gain[0] - half, gain[0] + half), gain[1]),
        Comparisons(majority_p) if linear is None else Comparisons(majority_p, student_p, teacher_p),
        majority=majority,
        required=required,
        texts=texts,
        seeds=seeds,
    )


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
    assert verdict(interval).code == code


@pytest.mark.parametrize("interval", [(0.98, 0.995), (0.95, 0.98), (0.9, 0.95)])
def test_the_words_carry_the_figures(interval: tuple[float, float]) -> None:
    text = verdict(interval).text
    assert f"98.9% [{interval[0]:.1%}, {interval[1]:.1%}] of the teacher's accuracy" in text
    assert "97.0% was asked for" in text


def test_the_size_of_the_test_set_is_named_where_it_is_too_small() -> None:
    assert "1,234 test texts cannot tell" in verdict((0.95, 0.98), texts=1234).text
    assert verdict((0.98, 0.99)).text.startswith("The student can replace the teacher:")
    assert verdict((0.9, 0.95)).text.startswith("Keep the teacher:")


# A teacher that is no better than the most frequent class


@pytest.mark.parametrize(
    ("teacher", "majority", "p"),
    [(0.5, 0.5, 1.0), (0.45, 0.5, 0.001), (0.53, 0.5, 0.05), (0.53, 0.5, 0.3)],
)
@pytest.mark.parametrize("interval", [(0.98, 0.995), (0.95, 0.98), (0.9, 0.95)])
def test_nothing_is_concluded_from_a_teacher_that_has_not_learned_the_task(
    teacher: float, majority: float, p: float, interval: tuple[float, float]
) -> None:
    found = verdict(interval, teacher=teacher, majority=majority, majority_p=p, texts=200)
    assert found.code == "inconclusive"
    assert "the teacher has not learned the task" in found.text
    assert f"{teacher:.4f}" in found.text
    assert f"({majority:.4f}, p = {p:.2g})" in found.text
    assert "200 test texts" in found.text


def test_a_teacher_that_is_a_little_but_surely_better_has_learned_it() -> None:
    found = verdict(teacher=0.53, majority=0.5, majority_p=0.049)
    assert found.code == "replace"
    assert "learned" not in found.text


# Did distilling help?


@pytest.mark.parametrize(
    ("gain", "distillation", "words"),
    [
        ((0.005, 0.002), "helped", "helped: +0.50 points over the same student without a teacher (p = 0.002)."),
        ((-0.005, 0.002), "hurt", "hurt: -0.50 points against the same student without a teacher (p = 0.002)."),
        ((0.005, 0.05), "unproven", "did not demonstrably help: +0.50 points"),
        ((-0.005, 0.4), "unproven", "did not demonstrably help: -0.50 points"),
        ((0.0, 1.0), "unproven", "+0.00 points over the same student without a teacher (p = 1)."),
        (None, "unproven", "unknown: the control without a teacher was left out."),
    ],
)  # fmt: skip
def test_distillation(gain: Any, distillation: str, words: str) -> None:
    found = verdict(gain=gain)
    assert found.distillation == distillation
    assert words in found.text


@pytest.mark.parametrize(
    ("gain", "half", "distillation", "words"),
    [
        (
            (0.013, 1e-9),
            0.006,
            "helped",
            "helped: +1.30 points over the same student without a teacher (over 3 seeds [+0.70, +1.90], p = 1e-09).",
        ),
        ((-0.013, 1e-9), 0.006, "hurt", "(over 3 seeds [-1.90, -0.70], p = 1e-09)."),
        ((0.005, 1e-9), 0.006, "unproven", "did not demonstrably help: +0.50 points"),  # for all seeds that there are
        ((-0.005, 1e-9), 0.006, "unproven", "did not demonstrably help: -0.50 points"),
        ((0.013, 0.06), 0.006, "unproven", "(over 3 seeds [+0.70, +1.90], p = 0.06)."),
        (None, 0.006, "unproven", "unknown: the control without a teacher was left out."),
    ],
)  # fmt: skip
def test_distillation_over_seeds(gain: Any, half: float, distillation: str, words: str) -> None:
    found = verdict(gain=gain, half=half, seeds=3)
    assert found.distillation == distillation
    assert words in found.text
    assert len(sentences(found)) == 3


# Would a linear model do?


def test_a_worse_linear_model() -> None:
    assert "The student beats the linear n-gram model (0.9100 against 0.8800, p = 0.0001)." in verdict().text


def test_a_linear_model_that_is_better_than_the_student() -> None:
    text = verdict(linear=0.915, teacher_p=0.4).text
    assert "The linear n-gram model is better than the student (0.9150 against 0.9100, p = 0.0001), and" in text
    assert "consider it first" in text
    assert "than the teacher" not in text


def test_a_linear_model_that_is_better_than_both() -> None:
    text = verdict(linear=0.93).text
    assert (
        "better than the student (0.9300 against 0.9100, p = 0.0001) and than the teacher (0.9300 against 0.9200, "
        "p = 1e-05), and needs no neural network" in text
    )


def test_a_linear_model_that_is_better_than_the_teacher_alone() -> None:
    text = verdict(teacher=0.88, student=0.91, linear=0.905, student_p=0.3).text
    assert "cannot be told apart (0.9100 and 0.9050, p = 0.3)" in text
    assert "which is better than the teacher (0.9050 against 0.8800, p = 1e-05)." in text


def test_a_student_that_beats_a_linear_model_that_beats_the_teacher() -> None:
    text = verdict(teacher=0.88, student=0.91, linear=0.9).text
    assert "The student beats the linear n-gram model (0.9100 against 0.9000, p = 0.0001), which is better than" in text


@pytest.mark.parametrize("linear", [0.91, 0.92, 0.9])
def test_a_linear_model_that_is_about_as_good(linear: float) -> None:
    text = verdict(linear=linear, student_p=0.05, teacher_p=0.05).text
    assert f"cannot be told apart (0.9100 and {linear:.4f}, p = 0.05)." in text


def test_no_linear_model() -> None:
    assert "unknown: the linear control was left out." in verdict(linear=None).text


@pytest.mark.parametrize("interval", [(0.98, 0.995), (0.95, 0.98), (0.9, 0.95)])
@pytest.mark.parametrize("gain", [None, (0.005, 0.002), (0.0, 1.0)])
@pytest.mark.parametrize("linear", [None, 0.88, 0.93])
@pytest.mark.parametrize("majority_p", [1e-9, 1.0])
def test_three_sentences_are_enough(interval: Any, gain: Any, linear: Any, majority_p: float) -> None:
    found = verdict(interval, gain=gain, linear=linear, majority_p=majority_p)
    assert len(sentences(found)) == 3
    assert all(sentence.endswith(".") for sentence in sentences(found))
