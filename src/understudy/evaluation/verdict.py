"""The figures in words: can the student replace the teacher, did distilling help, does a linear model do as well?"""

from __future__ import annotations

from dataclasses import dataclass

from understudy.evaluation.cautions import Caution
from understudy.evaluation.intervals import ALPHA
from understudy.evaluation.results import DistillationEffect, Gain, ModelMetrics, Retention, Verdict, VerdictCode


@dataclass(frozen=True)
class Comparisons:
    """McNemar's exact p for pairs of models on the test set; None without a linear control.

    Attributes:
        teacher_majority: The teacher against always answering the most frequent class of the test set.
        student_linear: The student against the linear control.
        teacher_linear: The teacher against the linear control.
    """

    teacher_majority: float
    student_linear: float | None = None
    teacher_linear: float | None = None


@dataclass(frozen=True)
class Case:
    """The figures behind a verdict.

    Attributes:
        teacher: Its figures.
        student: Its figures.
        linear: The linear control's figures; None if it was left out.
        retention: Student / teacher, over all seeds.
        gain: Student minus the control without a teacher, over all seeds; None if that control was left out.
        comparisons: How certain the comparisons are.
        majority: Share of the most frequent class of the test set.
        texts: Number of test texts.
        seeds: Number of seeds behind retention and gain.
        cautions: Why a claim cannot be built on the figures.
    """

    teacher: ModelMetrics
    student: ModelMetrics
    linear: ModelMetrics | None
    retention: Retention
    gain: Gain | None
    comparisons: Comparisons
    majority: float
    texts: int
    seeds: int = 1
    cautions: tuple[Caution, ...] = ()


def judge(case: Case, required: float) -> Verdict:
    """Decides, and gives the reasons.

    `replace` needs the whole interval of the accuracy retention at or above the required share; `keep_teacher` needs
    the whole interval below it. Otherwise the verdict is `inconclusive`. Distilling helped or hurt if p is below
    0.05.

    No claim is built on a teacher that is not significantly better than always answering the most frequent class, nor
    against a caution. The text then begins with that reason. The verdict is `inconclusive`, and distilling is
    `unproven`; a caution about the control concerns distilling alone.

    Args:
        case: The figures.
        required: Share of the teacher's accuracy that the student must keep.
    """
    reasons = _reasons(case)
    code, swap = (
        _swap(case, required) if not reasons else ("inconclusive", f"{reasons} The student keeps {_kept(case)}.")
    )
    control = next((caution.text for caution in case.cautions if caution.about == "control"), "")
    distillation, effect = _distillation(case, bool(reasons or control))
    first = f"The gain from distilling is unproven: {control} " if control and not reasons else ""
    # On such a test set, a comparison with the linear model says nothing either.
    linear = "" if any(caution.about == "test_set" for caution in case.cautions) else f" {_linear(case)}"
    return Verdict(code, distillation, f"{first}{swap} {effect}{linear}")


def _reasons(case: Case) -> str:
    """Why the student cannot be judged; empty if it can."""
    p = case.comparisons.teacher_majority
    by_test_set = [caution.text for caution in case.cautions if caution.about == "test_set"]
    by_model = [caution.text for caution in case.cautions if caution.about == "model"]
    if by_test_set:
        return " ".join(f"Inconclusive: {text}" for text in by_test_set)
    if case.teacher.accuracy <= case.majority or p >= ALPHA:
        return (
            "Inconclusive: the teacher has not learned the task. "
            f"Its accuracy on {case.texts:,} test texts ({case.teacher.accuracy:.4f}) is not significantly better than "
            f"always answering the most frequent class ({case.majority:.4f}, p = {p:.2g})."
        )
    return " ".join(f"Inconclusive: {text}" for text in by_model)


def _kept(case: Case) -> str:
    low, high = case.retention.accuracy_ci95
    seeds = f" over {case.seeds} seeds" if case.seeds > 1 else ""
    return f"{case.retention.accuracy:.1%} [{low:.1%}, {high:.1%}] of the teacher's accuracy{seeds}"


def _swap(case: Case, required: float) -> tuple[VerdictCode, str]:
    (low, high), kept = case.retention.accuracy_ci95, _kept(case)
    if low >= required:
        return "replace", f"The student can replace the teacher: it keeps {kept} (required: {required:.1%})."
    if high < required:
        return "keep_teacher", f"Keep the teacher: the student keeps only {kept} (required: {required:.1%})."
    return "inconclusive", (
        f"The test set is too small to decide ({case.texts:,} texts): the student keeps {kept} "
        f"(required: {required:.1%})."
    )


def _distillation(case: Case, blocked: bool) -> tuple[DistillationEffect, str]:
    gain = case.gain
    if gain is None:
        return (
            "unproven",
            "It is unknown whether distilling helped, because the recipe leaves out the no_distillation control.",
        )
    p = f"p = {gain.p_value:.2g}"
    if case.seeds > 1:
        low, high = gain.ci95
        p = f"over {case.seeds} seeds [{low * 100:+.2f}, {high * 100:+.2f}], {p}"
    difference = f"{gain.accuracy * 100:+.2f} points compared with the same student without a teacher ({p})"
    if blocked:
        return "unproven", f"The measured gain from distilling proves nothing: {difference}."
    significant = gain.p_value < ALPHA
    if significant and gain.accuracy > 0:
        return "helped", f"Distilling helped: {difference}."
    if significant and gain.accuracy < 0:
        return "hurt", f"Distilling hurt: {difference}."
    return "unproven", f"The gain from distilling is not significant: {difference}."


def _linear(case: Case) -> str:
    teacher, student, linear = case.teacher.accuracy, case.student.accuracy, case.linear
    over_student, over_teacher = case.comparisons.student_linear, case.comparisons.teacher_linear
    unlearned = next((caution.text for caution in case.cautions if caution.about == "linear"), None)
    if unlearned is not None:
        return unlearned
    if linear is None or over_student is None or over_teacher is None:
        return "It is unknown how a linear model performs, because the recipe leaves out the linear control."
    by_teacher = ""
    if over_teacher < ALPHA and linear.accuracy > teacher:
        by_teacher = f"the teacher ({linear.accuracy:.4f} against {teacher:.4f}, p = {over_teacher:.2g})"
    p = f"p = {over_student:.2g}"
    if over_student < ALPHA and linear.accuracy > student:
        return (
            "Consider the linear n-gram model first: it needs no neural network and beats the student "
            f"({linear.accuracy:.4f} against {student:.4f}, {p}){by_teacher and f' and {by_teacher}'}."
        )
    if over_student < ALPHA:
        found = f"The student beats the linear n-gram model ({student:.4f} against {linear.accuracy:.4f}, {p})."
    else:
        found = _undecided(student, linear.accuracy, p, case.texts)
    return found + (by_teacher and f" The linear n-gram model beats {by_teacher}.")


def _undecided(student: float, linear: float, p: str, texts: int) -> str:
    points = f"{abs(student - linear) * 100:.2f}"
    if points == "0.00":
        return f"The student and the linear n-gram model have the same accuracy ({student:.4f}, {p})."
    if student > linear:
        lead = (
            f"The student is {points} points ahead of the linear n-gram model ({student:.4f} against {linear:.4f}, {p})"
        )
    else:
        lead = (
            f"The linear n-gram model is {points} points ahead of the student ({linear:.4f} against {student:.4f}, {p})"
        )
    return f"{lead}, but {texts:,} texts cannot prove it."
