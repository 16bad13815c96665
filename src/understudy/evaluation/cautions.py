"""Test sets and models on which no claim can be built, from labels and predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from understudy.data.findings import enumerated
from understudy.evaluation.intervals import ALPHA
from understudy.evaluation.significance import mcnemar

MOSTLY = 0.5
"""With this share of its texts in train, a test set counts as the training set."""

ENOUGH = 5
"""From this many test texts on, a class that is never answered blocks the verdict.

With none of 5 texts recognised, the class's recall is below one half at 95 % confidence: 1 - 0.05 ** (1 / 5) = 0.45
(Clopper and Pearson 1934, one-sided). With fewer texts a useful model may miss them all by chance.
"""

_NAMES_SHOWN = 3

About = Literal["test_set", "model", "control", "linear"]


@dataclass(frozen=True)
class Caution:
    """Why a claim cannot be built on the figures.

    Attributes:
        about: `test_set`: no comparison means anything. `model`: neither verdict can be given. `control`: only the gain
            from distilling is unproven. `linear`: nothing is claimed from the linear control.
        text: The reason, as the words after "Inconclusive: ".
    """

    about: About
    text: str


@dataclass(frozen=True)
class Answers:
    """What cautions are found from; predictions and labels are class indices of shape (texts,).

    Attributes:
        labels: True classes.
        teacher: The teacher's predictions.
        student: The student's predictions.
        controls: Those of the control without a teacher, for each seed; empty if it was left out.
        classes: Class names; without them, messages have the indices.
        training_share: Share of the test texts that are also training texts; None if unknown.
        unlearned: Controls that learned nothing in cross-validation.
    """

    labels: np.ndarray
    teacher: np.ndarray
    student: np.ndarray
    controls: Sequence[np.ndarray] = ()
    classes: Sequence[str] = ()
    training_share: float | None = None
    unlearned: Sequence[str] = ()


def find_cautions(answers: Answers) -> tuple[Caution, ...]:
    """All cautions: about the test set, about teacher and student, about the control."""
    models = {"teacher": answers.teacher, "student": answers.student}
    controls = (*_about_the_control(answers), *_about_the_linear_control(answers))
    return (*_about_the_test_set(answers), *_never_answered(answers, models), *controls)


def _about_the_test_set(answers: Answers) -> list[Caution]:
    found, texts = [], len(answers.labels)
    present = np.unique(answers.labels)
    if len(present) == 1:
        name = _name(answers.classes, int(present[0]))
        text = f"all {texts:,} test texts have the label {name}, so the test set cannot compare the models."
        found.append(Caution("test_set", text))
    if answers.training_share is not None and answers.training_share >= MOSTLY:
        text = f"{answers.training_share:.0%} of the test texts are training texts, so the test scores are inflated."
        found.append(Caution("test_set", text))
    return found


def _never_answered(answers: Answers, models: Mapping[str, np.ndarray]) -> list[Caution]:
    found = []
    for model, predicted in models.items():
        present, texts_of = np.unique(answers.labels, return_counts=True)
        missing = np.setdiff1d(present[texts_of >= ENOUGH], predicted)
        if len(missing):
            names = enumerated((_name(answers.classes, int(index)) for index in missing), _NAMES_SHOWN, str)
            texts = int(np.isin(answers.labels, missing).sum())
            text = f"the {model} never answers {names}, the label of {texts:,} of {len(answers.labels):,} test texts."
            found.append(Caution("model", text))
    return found


def _about_the_control(answers: Answers) -> list[Caution]:
    """The first control that is not significantly better than always answering the most frequent class."""
    labels = answers.labels
    majority = labels == np.bincount(labels).argmax()
    for predicted in answers.controls:
        right = predicted == labels
        p = mcnemar(int((right & ~majority).sum()), int((~right & majority).sum()))
        if right.mean() <= majority.mean() or p >= ALPHA:
            text = (
                "the control without a teacher has not learned the task. "
                f"Its accuracy ({right.mean():.4f}) is not significantly better than always answering the most "
                f"frequent class ({majority.mean():.4f}, p = {p:.2g})."
            )
            return [Caution("control", text)]
    return []


def _about_the_linear_control(answers: Answers) -> list[Caution]:
    if "linear" not in answers.unlearned:
        return []
    text = (
        "The linear control has not learned the task, so nothing is claimed from it. In cross-validation it is no "
        "better than always answering the most frequent class."
    )
    return [Caution("linear", text)]


def _name(classes: Sequence[str], index: int) -> str:
    return repr(classes[index]) if index < len(classes) else f"class {index}"
