"""Cautions, from small hand-made test sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from understudy.evaluation.cautions import Answers, find_cautions

LABELS = np.array([0, 1, 2] * 20)


def cautions(labels: np.ndarray = LABELS, **changes: Any) -> list[tuple[str, str]]:
    models: dict[str, Any] = {"teacher": labels, "student": labels, "controls": [labels], "classes": ["a", "b", "c"]}
    return [(each.about, each.text) for each in find_cautions(Answers(labels, **{**models, **changes}))]


def test_good_models_on_a_good_test_set_have_none() -> None:
    assert cautions() == []
    assert cautions(controls=[]) == []


def test_one_class() -> None:
    found = cautions(np.full(1200, 1), controls=[])
    assert found == [
        ("test_set", "all 1,200 test texts have the label 'b', so the test set cannot compare the models.")
    ]


@pytest.mark.parametrize("model", ["teacher", "student"])
def test_a_class_that_is_never_answered(model: str) -> None:
    found = cautions(**{model: np.where(LABELS == 2, 0, LABELS)})
    assert found == [("model", f"the {model} never answers 'c', the label of 20 of 60 test texts.")]


def test_a_class_without_test_texts_may_stay_unanswered() -> None:
    labels = np.array([0, 1] * 20)
    assert cautions(labels) == []


@pytest.mark.parametrize(("texts", "expected"), [(1, []), (4, []), (5, ["model"]), (6, ["model"])])
def test_few_texts_of_a_class_that_is_never_answered_block_nothing(texts: int, expected: list[str]) -> None:
    """From 5 texts on, a model that recognises half of a class's texts misses them all in less than 5 % of cases."""
    assert (0.5**texts < 0.05) == bool(expected)
    labels = np.concatenate([np.array([0, 1] * 30), np.full(texts, 2)])
    found = cautions(labels, student=np.where(labels == 2, 0, labels))
    assert [about for about, _ in found] == expected


def test_classes_with_enough_texts_are_named_without_the_others() -> None:
    labels = np.array([0] * 30 + [1] * 5 + [2] * 4)
    found = cautions(labels, student=np.zeros(39, dtype=int), controls=[])
    assert found == [("model", "the student never answers 'b', the label of 5 of 39 test texts.")]


def test_many_classes_are_counted() -> None:
    labels = np.arange(60) % 6
    found = cautions(labels, student=np.zeros(60, dtype=int), classes=[], controls=[])
    assert found == [
        ("model", "the student never answers class 1, class 2, class 3 and 2 more, the label of 50 of 60 test texts.")
    ]


def test_a_control_at_the_majority_share() -> None:
    found = cautions(controls=[LABELS, np.zeros(60, dtype=int)])
    assert [about for about, _ in found] == ["control"]
    assert (
        "(0.3333) is not significantly better than always answering the most frequent class (0.3333, p = 1)."
        in (found[0][1])
    )


def test_a_control_that_is_better_by_chance_has_not_learned() -> None:
    barely = np.zeros(60, dtype=int)
    barely[1:13:3] = 1  # four more are right than with class 0 alone
    assert [about for about, _ in cautions(controls=[barely])] == ["control"]
    barely[1:20:3] = 1  # seven more: p = 0.016
    assert cautions(controls=[barely]) == []


@pytest.mark.parametrize(("share", "expected"), [(None, []), (0.0, []), (0.49, []), (0.5, ["test_set"])])
def test_a_test_set_of_training_texts(share: float | None, expected: list[str]) -> None:
    assert [about for about, _ in cautions(training_share=share)] == expected


def test_the_order_is_test_set_models_control() -> None:
    found = cautions(student=np.zeros(60, dtype=int), controls=[np.zeros(60, dtype=int)], training_share=1.0)
    assert [about for about, _ in found] == ["test_set", "model", "control"]


def test_sentences_are_short() -> None:
    found = cautions(student=np.zeros(60, dtype=int), controls=[np.zeros(60, dtype=int)], training_share=1.0)
    assert all(len(sentence.split()) <= 29 for _, text in found for sentence in text.split(". "))


def test_a_linear_control_that_has_not_learned_is_named() -> None:
    ((about, text),) = cautions(unlearned=["linear"])
    assert about == "linear"
    assert "The linear control has not learned the task, so nothing is claimed from it." in text
