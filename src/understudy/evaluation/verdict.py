"""The figures in words: can the student replace the teacher, did distilling help, would a control do?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from understudy.evaluation.cautions import Caution
from understudy.evaluation.curves import Curve, shortness
from understudy.evaluation.intervals import ALPHA
from understudy.evaluation.recommendation import MODELS
from understudy.evaluation.results import DistillationEffect, Gain, ModelMetrics, Retention, Verdict, VerdictCode


@dataclass(frozen=True)
class Rival:
    """A control that a user could ship instead of teacher and student.

    Attributes:
        name: `linear` or `frozen`.
        accuracy: Its accuracy on the test set.
        over_student: McNemar's exact p against the student.
        over_teacher: McNemar's exact p against the teacher.
    """

    name: str
    accuracy: float
    over_student: float
    over_teacher: float

    def beats_student(self, case: Case) -> bool:
        """Whether it is significantly more accurate than the student."""
        return self.over_student < ALPHA and self.accuracy > case.student.accuracy

    def beats_teacher(self, case: Case) -> bool:
        """Whether it is significantly more accurate than the teacher."""
        return self.over_teacher < ALPHA and self.accuracy > case.teacher.accuracy


@dataclass(frozen=True)
class Training:
    """How teacher and student were trained.

    Attributes:
        curves: Those that were trained by gradient descent.
        classes: Number of classes.
        validation_texts: Number of validation texts.
    """

    curves: Mapping[str, Curve] = field(default_factory=dict)
    classes: int = 2
    validation_texts: int = 1


@dataclass(frozen=True)
class Case:
    """The figures behind a verdict.

    Attributes:
        teacher: Its figures.
        student: Its figures.
        rivals: The controls that could be shipped; empty if they were left out.
        retention: Student / teacher, over all seeds.
        gain: Student minus the control without a teacher, over all seeds; None if that control was left out.
        teacher_majority: McNemar's exact p of the teacher against always answering the most frequent class.
        majority: Share of the most frequent class of the test set.
        texts: Number of test texts.
        seeds: Number of seeds behind retention and gain.
        cautions: Why a claim cannot be built on the figures.
        training: How teacher and student were trained.
    """

    teacher: ModelMetrics
    student: ModelMetrics
    rivals: tuple[Rival, ...]
    retention: Retention
    gain: Gain | None
    teacher_majority: float
    majority: float
    texts: int
    seeds: int = 1
    cautions: tuple[Caution, ...] = ()
    training: Training = field(default_factory=Training)

    @property
    def compares_nothing(self) -> bool:
        """Whether the test set cannot compare models."""
        return any(caution.about == "test_set" for caution in self.cautions)

    @property
    def rival(self) -> Rival | None:
        """The most accurate control; None if there is none, or if the test set cannot compare models."""
        if self.compares_nothing:
            return None
        return max(self.rivals, key=lambda rival: rival.accuracy, default=None)


def judge(case: Case, required: float) -> Verdict:
    """Decides, and gives the reasons.

    `replace` needs the whole interval of the accuracy retention at or above the required share; `keep_teacher` needs
    the whole interval below it. Otherwise the verdict is `inconclusive`. Distilling helped or hurt if p is below
    0.05.

    No claim is built on a teacher that is not significantly better than always answering the most frequent class, nor
    against a caution. The text then begins with that reason. The verdict is `inconclusive`, and distilling is
    `unproven`; a caution about the control concerns distilling alone.

    A control that beats both teacher and student comes before everything else.

    Args:
        case: The figures.
        required: Share of the teacher's accuracy that the student must keep.
    """
    reasons = blocked(case)
    code, swap = (
        _swap(case, required) if not reasons else ("inconclusive", f"{reasons} The student keeps {_kept(case)}.")
    )
    control = next((caution.text for caution in case.cautions if caution.about == "control"), "")
    distillation, effect = _distillation(case, bool(reasons or control))
    unproven = f"The gain from distilling is unproven: {control}" if control and not reasons else ""
    parts = (_neither(case), unproven, swap, effect, _compared(case))
    return Verdict(code, distillation, " ".join(filter(None, parts)))


def too_short(case: Case) -> str:
    """How short the training was, if a control beats teacher and student and the training says why; else empty."""
    if not _beaten(case):
        return ""
    return shortness(case.training.curves, case.training.classes, case.training.validation_texts)


def blocked(case: Case) -> str:
    """Why the student cannot be judged; empty if it can."""
    p = case.teacher_majority
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


def _beaten(case: Case) -> bool:
    """Whether the most accurate control beats both teacher and student."""
    rival = case.rival
    return rival is not None and rival.beats_student(case) and rival.beats_teacher(case)


def _neither(case: Case) -> str:
    """That a control beats both, and that the training was too short if it was."""
    rival = case.rival
    if rival is None or not _beaten(case):
        return ""
    short = too_short(case)
    return (
        f"{f'Training was too short: {short}. ' if short else ''}Ship neither teacher nor student: "
        f"{MODELS[rival.name]} beats both ({rival.accuracy:.4f} against {case.teacher.accuracy:.4f} and "
        f"{case.student.accuracy:.4f})."
    )


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


def _compared(case: Case) -> str:
    """The student against the most accurate control; empty if that was said before."""
    unlearned = next((caution.text for caution in case.cautions if caution.about == "linear"), "")
    return " ".join(filter(None, (unlearned, _against_the_best_control(case, bool(unlearned)))))


def _against_the_best_control(case: Case, unlearned: bool) -> str:
    rival, student, teacher = case.rival, case.student.accuracy, case.teacher.accuracy
    if not case.rivals and not case.compares_nothing and not unlearned:
        return "It is unknown how a linear model performs, because the recipe leaves out the linear control."
    if rival is None or _beaten(case):
        return ""
    name = MODELS[rival.name]
    begins, p = name[0].upper() + name[1:], f"p = {rival.over_student:.2g}"
    if rival.beats_student(case):
        return f"Consider {name} first: it beats the student ({rival.accuracy:.4f} against {student:.4f}, {p})."
    if rival.over_student < ALPHA:
        found = f"The student beats {name} ({student:.4f} against {rival.accuracy:.4f}, {p})."
    else:
        found = _undecided(student, rival, case.texts)
    if not rival.beats_teacher(case):
        return found
    p = f"p = {rival.over_teacher:.2g}"
    return f"{found} {begins} beats the teacher ({rival.accuracy:.4f} against {teacher:.4f}, {p})."


def _undecided(student: float, rival: Rival, texts: int) -> str:
    name, p = MODELS[rival.name], f"p = {rival.over_student:.2g}"
    points = f"{abs(student - rival.accuracy) * 100:.2f}"
    if points == "0.00":
        return f"The student and {name} have the same accuracy ({student:.4f}, {p})."
    if student > rival.accuracy:
        lead = f"The student is {points} points ahead of {name} ({student:.4f} against {rival.accuracy:.4f}, {p})"
    else:
        begins = name[0].upper() + name[1:]
        lead = f"{begins} is {points} points ahead of the student ({rival.accuracy:.4f} against {student:.4f}, {p})"
    return f"{lead}; {texts:,} texts cannot prove it."
