"""What to do after a run. In the commands, `RUN` is the run directory."""

from __future__ import annotations

import math

from understudy.evaluation.results import Verdict
from understudy.evaluation.verdict import Case, blocked, too_short

_FRONTIER = "understudy frontier RUN/recipe.toml --out RUN"
_MOST = 100
"""A test set that would have to be this many times as large is not worth a figure."""


def next_step(case: Case, verdict: Verdict, required: float, model: str) -> str:
    """One or two sentences, the most useful first.

    Args:
        case: The figures behind the verdict.
        verdict: The verdict.
        required: Share of the teacher's accuracy that the student must keep.
        model: The recommended model.
    """
    if case.compares_nothing:
        return "Give a test set that has every class and no training texts: --data.test."
    use = _use(model)
    if too_short(case):
        return f"Train longer: raise --teacher.epochs and --distillation.epochs. Until then: {use}."
    use = use[0].upper() + use[1:] + "."
    if blocked(case):
        return f"{use} Then give more training texts, or train longer."
    if verdict.code == "inconclusive":
        return f"{use} {more_texts(case, required)}"
    if verdict.code == "keep_teacher":
        return f"{use} For other students, try the frontier: {_FRONTIER}."
    return f"{use} For smaller students, try the frontier: {_FRONTIER}." if model == "student" else use


def more_texts(case: Case, required: float) -> str:
    """How many test texts an inconclusive verdict needs.

    The distance from the retention to the end of its interval shrinks with the square root of the number of texts.

    Args:
        case: The figures behind the verdict.
        required: Share of the teacher's accuracy that the student must keep.
    """
    if case.seeds > 1:
        return "To decide about the student, add test texts or seeds."
    kept, (low, high) = case.retention.accuracy, case.retention.accuracy_ci95
    distance, half = abs(kept - required), kept - low if kept > required else high - kept
    if half >= math.sqrt(_MOST) * distance:
        return "The student keeps almost exactly the required share, so more test texts will hardly decide."
    more = math.ceil(case.texts * ((half / distance) ** 2 - 1))
    return f"To decide about the student, add about {_rounded_up(more):,} test texts."


def _rounded_up(number: int) -> int:
    """To two significant digits."""
    step = int(10 ** max(0, len(str(number)) - 2))
    return math.ceil(number / step) * step


def _use(model: str) -> str:
    which = "" if model == "student" else f" --which {model}"
    if model == "linear":
        return f"use it without an export: understudy predict RUN{which}"
    return f"export it: understudy export RUN{which}"
