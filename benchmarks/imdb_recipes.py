"""The recipes of `imdb_steps.py`: each is another one with a change."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

from harness import FIXED, MODEL

from understudy.recipe.files import merged
from understudy.recipe.recipe import Recipe

LINEAR = "linear"


@dataclass(frozen=True)
class Step:
    """One student.

    Attributes:
        changes: The step that it differs from; None for the first.
        options: In what, as in a recipe.
        taught: Whether it sees the teacher's answers.
        unlabelled: Whether it learns from the unlabelled texts as well; None as the step that it changes.
        linear: Whether it is an n-gram model instead of an encoder.
        taught_by: Steps whose finished students, the first seed's, are its teacher instead.
    """

    changes: str | None
    options: dict[str, Any] = field(default_factory=dict)
    taught: bool = True
    unlabelled: bool | None = None
    linear: bool = False
    taught_by: tuple[str, ...] = ()


def _student(layers: int, vocabulary: int) -> dict[str, Any]:
    return {"student": {"layers": layers, "vocabulary": vocabulary}}


_PATIENT = {"distillation": {"epochs": 3, "batch_size": 32, "learning_rate": 1.5e-4}}
_OF_FOUR = {"teacher": {"model": [MODEL, MODEL, MODEL, LINEAR]}}
STEPS = {
    "256 tokens": Step(None),
    "512 tokens": Step("256 tokens", {"data": {"max_length": 512}}),
    "unlabelled": Step("512 tokens", unlabelled=True),
    "committee": Step("unlabelled", {"teacher": {"model": [MODEL, LINEAR]}}),
    "patience": Step("committee", _PATIENT),
    "patience of 4": Step("patience", _OF_FOUR),
    "committee of 4": Step("committee", _OF_FOUR),
    "soft labels only": Step("committee", {"distillation": {"alpha": 1.0}}),
    "mse": Step("committee", {"distillation": {"objective": "mse"}}),
    "256 tokens, no teacher": Step("256 tokens", taught=False),
    "no teacher": Step("512 tokens", taught=False),
    "patience, no teacher": Step("patience", taught=False),
    "linear": Step("committee", linear=True),
    "linear of 4": Step("linear", _OF_FOUR, linear=True),
    "linear, no teacher": Step("linear", taught=False, linear=True),
    "6 layers": Step("patience", _student(6, 10_000)),
    "5 layers, 6,500 tokens": Step("patience", _student(5, 6_500)),
    "3 layers": Step("patience", _student(3, 10_000)),
    "2 layers, 8,000 tokens": Step("patience", _student(2, 8_000)),
    "1 layer, 8,000 tokens": Step("patience", _student(1, 8_000)),
    "1,000 labels": Step(None, {**_student(6, 30_522), "data": {"labelled": 1000, "validation": 0.1}}),
    "1,000 labels, 512 tokens": Step("1,000 labels", {"data": {"max_length": 512}}),
    "1,000 labels of 4": Step("1,000 labels, 512 tokens", _OF_FOUR),
    "1,000 labels of 4, linear": Step("1,000 labels of 4", linear=True),
    "1,000 labels, again": Step("1,000 labels of 4", taught_by=("1,000 labels of 4", "1,000 labels of 4, linear")),
}
_FEW_LABELS = {
    "teacher": {"model": [MODEL, LINEAR], "epochs": 4, "batch_size": 8},
    "student": {"vocabulary": None},
}


def recipe(name: str, options: argparse.Namespace) -> Recipe:
    """A step's recipe."""
    first, chain = chain_of(name)
    training = {
        **FIXED,
        "learning_rate": 1e-4,
        "attention_dropout": 0.0,
        "precision": options.precision,
        "checkpoint_steps": options.checkpoint_steps,
    }
    wanted: dict[str, Any] = {
        "data": {
            "train": options.train,
            "test": options.test,
            "validation": 1000,
            "labels": ["neg", "pos"],
            "max_length": 256,
        },
        "teacher": {"model": MODEL, **training},
        "distillation": {"temperature": 2.0, "alpha": 0.5, **training},
        **_student(4, 10_000),
    }
    for each in chain:
        wanted = merged(wanted, STEPS[each].options)
    if first == "1,000 labels":
        wanted = merged(wanted, _FEW_LABELS)
    if first == "1,000 labels" or any(STEPS[each].unlabelled for each in chain):
        wanted["data"]["unlabelled"] = options.unlabelled
    return Recipe.from_mapping(wanted, name)


def chain_of(name: str) -> tuple[str, list[str]]:
    """The first step, and all from it to the one that is named."""
    chain = [name]
    while (before := STEPS[chain[0]].changes) is not None:
        chain.insert(0, before)
    return chain[0], chain
