"""The figures in one sentence or two: can the student replace the teacher, and did distilling help?"""

from __future__ import annotations

from typing import Literal

from understudy.evaluation.results import Controls, Gain, ModelMetrics, Retention, Verdict

SIGNIFICANT = 0.05


def judge(
    student: ModelMetrics,
    retention: Retention,
    controls: Controls,
    gain: Gain | None,
    linear_p_value: float | None,
    *,
    required: float,
    texts: int,
) -> Verdict:
    """Decides, and says why.

    `replace` needs the whole interval of the accuracy's retention at or above what is required, `keep_teacher` the whole
    interval below it; in between, the test set cannot tell.

    Args:
        student: Its figures.
        retention: Student / teacher.
        controls: The baselines, where there are any.
        gain: Student minus the control without a teacher.
        linear_p_value: McNemar's test of the student against the linear control.
        required: Share of the teacher's accuracy that the student must keep.
        texts: How many test texts there were.
    """
    low, high = retention.accuracy_ci95
    kept = f"{retention.accuracy:.1%} [{low:.1%}, {high:.1%}] of the teacher's accuracy"
    code: Literal["replace", "inconclusive", "keep_teacher"]
    if low >= required:
        code = "replace"
        swap = f"The student can replace the teacher: it keeps {kept}; at least {required:.1%} was asked for."
    elif high < required:
        code = "keep_teacher"
        swap = f"Keep the teacher: the student keeps only {kept}; at least {required:.1%} was asked for."
    else:
        code = "inconclusive"
        swap = (
            f"Inconclusive: {texts:,} test texts cannot tell. The student keeps {kept}; {required:.1%} was asked for."
        )
    distillation, helped = _distillation(gain)
    parts = [swap, helped, _linear(student, controls.linear, linear_p_value)]
    return Verdict(code, distillation, " ".join(part for part in parts if part))


def _distillation(gain: Gain | None) -> tuple[Literal["helped", "unproven", "hurt"], str]:
    if gain is None:
        return "unproven", "Whether distilling helped is unknown: the control without a teacher was left out."
    points, p = gain.accuracy * 100, f"p = {gain.p_value:.2g}"
    if gain.p_value < SIGNIFICANT and gain.accuracy > 0:
        return "helped", f"Distilling helped: {points:+.2f} points over the same student without a teacher ({p})."
    if gain.p_value < SIGNIFICANT and gain.accuracy < 0:
        return "hurt", f"Distilling hurt: {points:+.2f} points against the same student without a teacher ({p})."
    return (
        "unproven",
        f"Distilling did not demonstrably help: {points:+.2f} points over the same student without a teacher ({p}).",
    )


def _linear(student: ModelMetrics, linear: ModelMetrics | None, p_value: float | None) -> str:
    if linear is None or p_value is None:
        return "There is no linear control to compare with." if linear is None else ""
    both = f"({linear.accuracy:.4f} against {student.accuracy:.4f}, p = {p_value:.2g})"
    if p_value < SIGNIFICANT and linear.accuracy > student.accuracy:
        return (
            f"The linear n-gram model is better than the student {both} and needs no neural network: consider it first."
        )
    if p_value < SIGNIFICANT:
        return f"The student beats the linear n-gram model {both}."
    return f"The student and the linear n-gram model cannot be told apart {both}."
