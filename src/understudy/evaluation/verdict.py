"""The figures in three sentences: can the student replace the teacher, did distilling help, would a linear model do?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from understudy.evaluation.results import Controls, Gain, ModelMetrics, Retention, Verdict

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Comparisons:
    """McNemar's exact p of pairs of models on the test set; None where there is no linear control.

    Attributes:
        teacher_majority: The teacher against always answering the most frequent class of the test set.
        student_linear: The student against the linear control.
        teacher_linear: The teacher against the linear control.
    """

    teacher_majority: float
    student_linear: float | None = None
    teacher_linear: float | None = None


def judge(
    teacher: ModelMetrics,
    student: ModelMetrics,
    retention: Retention,
    controls: Controls,
    gain: Gain | None,
    comparisons: Comparisons,
    *,
    majority: float,
    required: float,
    texts: int,
    seeds: int = 1,
) -> Verdict:
    """Decides, and says why.

    `replace` needs the whole interval of the accuracy's retention at or above what is required, `keep_teacher` the
    whole interval below it; in between, the test set cannot tell. Nor can it where the teacher is not significantly
    better than always answering the most frequent class, for then there is nothing to retain.

    Distilling helped or hurt where p is below `SIGNIFICANT`; over several seeds the interval must leave out 0 besides,
    for p says nothing about other seeds.

    Args:
        teacher: Its figures.
        student: Its figures.
        retention: Student / teacher.
        controls: The baselines, where there are any.
        gain: Student minus the control without a teacher; over all seeds, if there are several.
        comparisons: How sure the comparisons are.
        majority: Share of the most frequent class of the test set.
        required: Share of the teacher's accuracy that the student must keep.
        texts: How many test texts there were.
        seeds: How many seeds stand behind the gain.
    """
    low, high = retention.accuracy_ci95
    kept = f"{retention.accuracy:.1%} [{low:.1%}, {high:.1%}] of the teacher's accuracy"
    code: Literal["replace", "inconclusive", "keep_teacher"]
    if teacher.accuracy <= majority or comparisons.teacher_majority >= SIGNIFICANT:
        code = "inconclusive"
        swap = (
            f"Inconclusive: the teacher has not learned the task, for on {texts:,} test texts its accuracy of "
            f"{teacher.accuracy:.4f} is not demonstrably better than always answering the most frequent class "
            f"({majority:.4f}, p = {comparisons.teacher_majority:.2g}); the student keeps {kept}."
        )
    elif low >= required:
        code = "replace"
        swap = f"The student can replace the teacher: it keeps {kept}; at least {required:.1%} was asked for."
    elif high < required:
        code = "keep_teacher"
        swap = f"Keep the teacher: the student keeps only {kept}; at least {required:.1%} was asked for."
    else:
        code = "inconclusive"
        swap = (
            f"Inconclusive: {texts:,} test texts cannot tell, for the student keeps {kept}; at least {required:.1%} "
            "was asked for."
        )
    distillation, helped = _distillation(gain, seeds)
    return Verdict(code, distillation, f"{swap} {helped} {_linear(teacher, student, controls.linear, comparisons)}")


def _distillation(gain: Gain | None, seeds: int) -> tuple[Literal["helped", "unproven", "hurt"], str]:
    if gain is None:
        return "unproven", "Whether distilling helped is unknown: the control without a teacher was left out."
    points, p = gain.accuracy * 100, f"p = {gain.p_value:.2g}"
    clear = gain.p_value < SIGNIFICANT
    if seeds > 1:
        low, high = (end * 100 for end in gain.ci95)
        p = f"over {seeds} seeds [{low:+.2f}, {high:+.2f}], {p}"
        clear = clear and not low <= 0 <= high
    if clear and gain.accuracy > 0:
        return "helped", f"Distilling helped: {points:+.2f} points over the same student without a teacher ({p})."
    if clear and gain.accuracy < 0:
        return "hurt", f"Distilling hurt: {points:+.2f} points against the same student without a teacher ({p})."
    return (
        "unproven",
        f"Distilling did not demonstrably help: {points:+.2f} points over the same student without a teacher ({p}).",
    )


def _linear(teacher: ModelMetrics, student: ModelMetrics, linear: ModelMetrics | None, comparisons: Comparisons) -> str:
    if linear is None or comparisons.student_linear is None or comparisons.teacher_linear is None:
        return "How a linear model would do is unknown: the linear control was left out."
    beats_student = comparisons.student_linear < SIGNIFICANT and linear.accuracy > student.accuracy
    beats_teacher = comparisons.teacher_linear < SIGNIFICANT and linear.accuracy > teacher.accuracy
    p = f"p = {comparisons.student_linear:.2g}"
    by_teacher = f"({linear.accuracy:.4f} against {teacher.accuracy:.4f}, p = {comparisons.teacher_linear:.2g})"
    if beats_student:
        than = f"the student ({linear.accuracy:.4f} against {student.accuracy:.4f}, {p})"
        than += f" and than the teacher {by_teacher}" if beats_teacher else ""
        return f"The linear n-gram model is better than {than}, and needs no neural network: consider it first."
    if comparisons.student_linear < SIGNIFICANT:
        found = f"The student beats the linear n-gram model ({student.accuracy:.4f} against {linear.accuracy:.4f}, {p})"
    else:
        found = (
            "The student and the linear n-gram model cannot be told apart "
            f"({student.accuracy:.4f} and {linear.accuracy:.4f}, {p})"
        )
    return found + (f", which is better than the teacher {by_teacher}." if beats_teacher else ".")
