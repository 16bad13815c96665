"""The verdict: every code, every boundary, and the figures in its text."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from understudy.evaluation.cautions import Caution
from understudy.evaluation.curves import Curve
from understudy.evaluation.next_step import more_texts, next_step
from understudy.evaluation.results import Gain, ModelMetrics, Retention, Verdict
from understudy.evaluation.verdict import Case, Rival, Training, judge


def model(accuracy: float) -> ModelMetrics:
    return ModelMetrics(accuracy, accuracy, 0.9, 0.01, 1000, 4000)


def kept(low: float, high: float) -> Retention:
    return Retention(0.989, (low, high), 0.988, (low, high))


def gained(accuracy: float, p: float, half: float = 0.01) -> Gain:
    return Gain(accuracy, (accuracy - half, accuracy + half), p)


CASE = Case(
    teacher=model(0.92),
    student=model(0.91),
    rivals=(Rival("linear", 0.88, over_student=1e-4, over_teacher=1e-5),),
    retention=kept(0.98, 0.995),
    gain=gained(0.005, 0.002),
    teacher_majority=1e-9,
    majority=0.5,
    texts=25_000,
)
INTERVALS = [(0.98, 0.995), (0.95, 0.98), (0.9, 0.95)]


def verdict(**changes: Any) -> Verdict:
    return judge(dataclasses.replace(CASE, **changes), required=0.97)


def linear(accuracy: float, over_student: float = 1e-4, over_teacher: float = 1e-5) -> tuple[Rival, ...]:
    return (Rival("linear", accuracy, over_student, over_teacher),)


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
        teacher_majority=p,
        texts=200,
    )
    assert (found.code, found.distillation) == ("inconclusive", "unproven")
    assert "the teacher has not learned the task" in found.text
    assert f"{teacher:.4f}" in found.text
    assert f"({majority:.4f}, p = {p:.2g})" in found.text
    assert "200 test texts" in found.text


def test_a_teacher_that_is_a_little_but_surely_better_has_learned_it() -> None:
    found = verdict(teacher=model(0.53), teacher_majority=0.049)
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


# Would a control do?


def test_a_worse_linear_model() -> None:
    assert "The student beats the linear n-gram model (0.9100 against 0.8800, p = 0.0001)." in judge(CASE, 0.97).text


def test_a_linear_model_that_is_better_than_the_student() -> None:
    text = verdict(rivals=linear(0.915, over_teacher=0.4)).text
    assert text.endswith(
        " Consider the linear n-gram model first: it beats the student (0.9150 against 0.9100, p = 0.0001)."
    )
    assert "Ship neither" not in text


def test_a_linear_model_that_is_better_than_both() -> None:
    text = verdict(rivals=linear(0.93)).text
    assert text.startswith(
        "Ship neither teacher nor student: the linear n-gram model beats both (0.9300 against 0.9200 and 0.9100). The"
    )
    assert text.count("linear") == 1


def test_a_linear_model_that_is_better_than_the_teacher_alone() -> None:
    text = verdict(teacher=model(0.88), rivals=linear(0.905, over_student=0.3)).text
    assert (
        "The student is 0.50 points ahead of the linear n-gram model (0.9100 against 0.9050, p = 0.3); 25,000 "
        "texts cannot prove it. The linear n-gram model beats the teacher (0.9050 against 0.8800, p = 1e-05)." in text
    )


def test_a_student_that_beats_a_linear_model_that_beats_the_teacher() -> None:
    text = verdict(teacher=model(0.88), rivals=linear(0.9)).text
    assert (
        "The student beats the linear n-gram model (0.9100 against 0.9000, p = 0.0001). "
        "The linear n-gram model beats the teacher (0.9000 against 0.8800, p = 1e-05)." in text
    )


@pytest.mark.parametrize(
    ("accuracy", "sentence"),
    [
        (0.91, "The student and the linear n-gram model have the same accuracy (0.9100, p = 0.05)."),
        (0.91004, "The student and the linear n-gram model have the same accuracy (0.9100, p = 0.05)."),
        (
            0.97,
            "The linear n-gram model is 6.00 points ahead of the student (0.9700 against 0.9100, p = 0.05); "
            "160 texts cannot prove it.",
        ),
        (
            0.9,
            "The student is 1.00 points ahead of the linear n-gram model (0.9100 against 0.9000, p = 0.05); "
            "160 texts cannot prove it.",
        ),
    ],
)
def test_a_difference_that_is_not_significant(accuracy: float, sentence: str) -> None:
    assert verdict(rivals=linear(accuracy, 0.05, 0.05), texts=160).text.endswith(f" {sentence}")


def test_no_control() -> None:
    text = verdict(rivals=()).text
    assert "unknown how a linear model performs, because the recipe leaves out the linear control." in text


def test_the_most_accurate_control_is_the_one_to_name() -> None:
    frozen = Rival("frozen", 0.93, over_student=1e-4, over_teacher=0.4)
    text = verdict(rivals=(*linear(0.92), frozen)).text
    assert "Consider logistic regression on the frozen encoder first: it beats the student" in text
    assert "n-gram" not in text


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("gain", [None, gained(0.005, 0.002), gained(0.0, 1.0)])
@pytest.mark.parametrize("rivals", [(), linear(0.88), linear(0.93)])
@pytest.mark.parametrize("majority_p", [1e-9, 1.0])
def test_a_verdict_is_a_few_short_sentences(interval: Any, gain: Any, rivals: Any, majority_p: float) -> None:
    found = sentences(verdict(retention=kept(*interval), gain=gain, rivals=rivals, teacher_majority=majority_p))
    assert len(found) == (3 if majority_p < 0.05 else 5)
    assert all(sentence.endswith(".") and len(sentence.split()) <= 30 for sentence in found)


# Was the training too short?


def trained(steps: int, *accuracies: float, classes: int = 2, texts: int = 400) -> Training:
    curve = Curve(steps, accuracies)
    return Training({"teacher": curve, "student": curve}, classes, texts)


@pytest.mark.parametrize(
    ("training", "words"),
    [
        (trained(34, 0.5), "34 steps"),
        (trained(1, 0.5), "1 step"),
        (trained(281, 0.7, classes=77), "281 steps for 77 classes"),
        (trained(900, 0.5, 0.6), "validation accuracy was still rising after 900 steps"),
        (
            Training({"teacher": Curve(34), "student": Curve(68)}, 2, 100),
            "34 steps for the teacher, 68 steps for the student",
        ),
        (Training({"student": Curve(34)}, 2, 100), "34 steps"),
    ],
)
def test_a_short_training_that_a_control_beats_is_said_first(training: Training, words: str) -> None:
    found = verdict(rivals=linear(0.93), training=training)
    assert found.text.startswith(f"Training was too short: {words}. Ship neither teacher nor student: the linear")
    assert found.code == "replace"  # the code is about teacher and student alone


@pytest.mark.parametrize(
    "training",
    [
        Training(),
        trained(900),
        trained(900, 0.6),
        trained(900, 0.6, 0.61),
        trained(900, 0.9, 0.8),
        trained(900, 0.5, 0.6, texts=9),
    ],
)
def test_a_training_is_not_called_short_without_a_sign(training: Training) -> None:
    assert verdict(rivals=linear(0.93), training=training).text.startswith("Ship neither teacher nor student")


def test_a_short_training_that_no_control_beats_was_long_enough() -> None:
    for rivals in (linear(0.88), linear(0.93, over_teacher=0.1), ()):
        assert "short" not in verdict(rivals=rivals, training=trained(34, 0.5)).text


def test_a_curve_is_read_from_a_training_log() -> None:
    history = [
        {"loss": 0.7, "step": 10},
        {"eval_loss": 0.4, "eval_accuracy": 0.8, "step": 20},
        {"loss": 0.3, "step": 40},
        {"eval_accuracy": 0.9, "step": 40},
    ]
    assert Curve.of(history) == Curve(40, (0.8, 0.9))
    assert Curve.of([]) is None


# What to do next


def step(case: Case, which: str = "student") -> str:
    return next_step(case, judge(case, 0.97), 0.97, which)


def changed(**changes: Any) -> Case:
    return dataclasses.replace(CASE, **changes)


def test_a_good_student_is_exported_and_smaller_ones_are_tried() -> None:
    assert step(CASE) == (
        "Export it: understudy export RUN. For smaller students, try the frontier: "
        "understudy frontier RUN/recipe.toml --out RUN."
    )
    assert step(CASE, "teacher") == "Export it: understudy export RUN --which teacher."
    assert step(CASE, "linear") == "Use it without an export: understudy predict RUN --which linear."


def test_a_student_that_loses_too_much_sends_to_the_frontier() -> None:
    found = step(changed(retention=kept(0.9, 0.95)), "teacher")
    assert found.startswith("Export it: understudy export RUN --which teacher. For other students, try the frontier:")


def test_a_short_training_is_made_longer() -> None:
    found = step(changed(rivals=linear(0.93), training=trained(34, 0.5)), "linear")
    assert found == (
        "Train longer: raise --teacher.epochs and --distillation.epochs. Until then: "
        "use it without an export: understudy predict RUN --which linear."
    )


def test_a_test_set_that_proves_nothing_is_replaced() -> None:
    found = step(changed(cautions=(Caution("test_set", "all 9 test texts have the label 'a'."),)))
    assert found == "Give a test set that has every class and no training texts: --data.test."


def test_a_class_that_is_never_answered_needs_texts() -> None:
    found = step(changed(cautions=(Caution("model", "the student never answers 'a'."),)))
    assert found.endswith(" Then give more training texts, or train longer.")


@pytest.mark.parametrize(
    ("retention", "texts", "more"),
    [
        (Retention(0.99, (0.95, 1.03), 1, (1, 1)), 160, "480"),  # half as wide: 4 times as many
        (Retention(0.98, (0.95, 1.01), 1, (1, 1)), 1000, "8,000"),
        (Retention(0.96, (0.93, 0.99), 1, (1, 1)), 100, "800"),
        (Retention(0.99, (0.9697, 1.0), 1, (1, 1)), 1000, "31"),
    ],
)
def test_how_many_texts_would_decide(retention: Retention, texts: int, more: str) -> None:
    found = step(changed(retention=retention, texts=texts))
    assert found.endswith(f"To decide about the student, add about {more} test texts.")


def test_no_figure_where_no_test_set_decides() -> None:
    near = changed(retention=Retention(0.971, (0.95, 0.99), 1, (1, 1)))
    assert more_texts(near, 0.97) == (
        "The student keeps almost exactly the required share, so more test texts will hardly decide."
    )
    exactly = changed(retention=Retention(0.97, (0.95, 0.99), 1, (1, 1)))
    assert more_texts(exactly, 0.97) == more_texts(near, 0.97)
    assert more_texts(changed(seeds=3), 0.97) == "To decide about the student, add test texts or seeds."


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
