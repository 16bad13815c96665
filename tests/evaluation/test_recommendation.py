"""Which model is recommended, on made-up answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.evaluation.recommendation import LARGEST_LOSS, MODELS, Option, choose, is_as_good

COSTS = {
    "teacher": (20_000_000, 22_000_000),
    "student": (5_000_000, 12_000_000),
    "linear": (100, 40_000),
    "frozen": (20_000_000, 22_000_000),
    "static": (2_000, 640_000),
}


def labels(texts: int) -> np.ndarray:
    return np.arange(texts) % 2


def option(name: str, texts: int, wrong: range = range(0)) -> Option:
    """A model that is wrong about some rows."""
    predicted = labels(texts)
    predicted[list(wrong)] = 1 - predicted[list(wrong)]
    return Option(name, predicted, *COSTS[name])


def chosen(texts: int, **wrong: range) -> tuple[str, str]:
    found = choose({name: option(name, texts, rows) for name, rows in wrong.items()}, labels(texts))
    return found.model, found.reason


def test_the_most_accurate_model_wins_if_the_others_lose_too_much() -> None:
    model, reason = chosen(1000, teacher=range(50), student=range(70), linear=range(200))
    assert model == "teacher"
    assert reason == (
        "It has the highest accuracy on 1,000 validation texts (0.9500). The student needs 4.0x fewer operations per "
        "text, but is 2.0 points behind."
    )


def test_the_cheapest_model_wins_if_it_is_about_as_accurate() -> None:
    """It is wrong about 22 texts of which the teacher gets 20 right, and right about 18 others."""
    model, reason = chosen(1000, teacher=range(20), student=range(18, 40))
    assert model == "student"
    assert reason == (
        "It is about as accurate as the teacher on 1,000 validation texts (0.9780 against 0.9800) and needs 4.0x "
        "fewer operations per text."
    )
    model, reason = chosen(1000, teacher=range(20), student=range(18, 40), linear=range(15, 38))
    assert model == "linear"
    assert "200,000x fewer operations" in reason


def test_one_standard_error_limits_the_loss() -> None:
    """Both lose 5 of 2,000 texts, the first for certain, the second within the noise."""
    assert chosen(2000, teacher=range(10), student=range(15))[0] == "teacher"
    assert chosen(2000, teacher=range(10), student=range(10, 25))[0] == "student"


def test_half_a_point_limits_the_loss() -> None:
    """Of 1,000 texts, 100 and more are decided by chance, but 6 are more than half a point."""
    assert chosen(1000, teacher=range(100), student=range(100, 205))[0] == "student"
    assert chosen(1000, teacher=range(100), student=range(100, 206))[0] == "teacher"


def test_a_cheap_model_that_is_the_best() -> None:
    model, reason = chosen(1000, teacher=range(50), linear=range(40))
    assert model == "linear"
    assert reason == "It has the highest accuracy on 1,000 validation texts (0.9600). No other model is cheaper."


def test_of_equally_accurate_models_the_cheapest_wins() -> None:
    assert chosen(50, teacher=range(5), student=range(5), linear=range(6))[0] == "student"
    assert chosen(50, teacher=range(5), student=range(5, 10))[0] == "student"


def test_few_texts_allow_no_loss_and_are_named() -> None:
    model, reason = chosen(199, teacher=range(40), student=range(39, 80))
    assert model == "teacher"
    assert reason.endswith(" With so few validation texts the choice is uncertain.")
    assert "uncertain" not in chosen(200, teacher=range(40), student=range(39, 80))[1]


def test_models_that_learned_nothing_are_named() -> None:
    reason = chosen(100, teacher=range(45), student=range(50))[1]
    assert "No model is significantly better there than always answering the most frequent class." in reason


def test_a_model_of_the_same_cost_is_not_cheaper() -> None:
    """Otherwise rounding would decide between the teacher and a head on its own encoder."""
    frozen = dataclasses.replace(option("frozen", 1000, range(19, 41)), operations=19_000_000, parameters=21_000_000)
    found = choose({"teacher": option("teacher", 1000, range(20)), "frozen": frozen}, labels(1000))
    assert found.model == "teacher"


def test_fewer_parameters_are_cheaper_where_the_operations_are_the_same() -> None:
    small = dataclasses.replace(option("student", 1000, range(19, 41)), operations=20_000_000)
    found = choose({"teacher": option("teacher", 1000, range(20)), "student": small}, labels(1000))
    assert found.model == "student"
    assert "1.8x fewer parameters" in found.reason


def test_a_teacher_that_cannot_be_shipped_is_named() -> None:
    assert chosen(1000, student=range(20))[1].endswith(
        "The teacher is not considered: it is a committee, or only its scores are known."
    )


def test_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="Got no model to choose from"):
        choose({}, labels(3))


ANSWERS = st.integers(20, 400).flatmap(
    lambda texts: st.dictionaries(
        st.sampled_from(sorted(MODELS)), st.lists(st.integers(0, texts - 1), max_size=40), min_size=1
    ).map(lambda wrong: (texts, wrong))
)


@settings(max_examples=100, deadline=None)
@given(ANSWERS)
def test_the_rule_holds_for_all_answers(case: tuple[int, dict[str, list[int]]]) -> None:
    texts, wrong = case
    options = {name: option(name, texts, rows) for name, rows in wrong.items()}  # type: ignore[arg-type]
    true = labels(texts)
    accuracy = {name: float((each.predicted == true).mean()) for name, each in options.items()}
    model = choose(options, true).model
    best = max(accuracy.values())
    assert best - accuracy[model] <= LARGEST_LOSS + 1e-9
    # Nothing as accurate is cheaper, and the order in which the models are given does not count.
    cheaper = [name for name in options if options[name].is_cheaper_than(options[model])]
    assert all(accuracy[name] < best for name in cheaper)
    assert choose(dict(reversed(options.items())), true).model == model
    for sentence in choose(options, true).reason.split(". "):
        assert len(sentence.split()) <= 30


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_a_model_that_is_at_least_as_often_right_is_as_good(pairs: list[tuple[bool, bool]]) -> None:
    one, other = np.array(pairs).T
    assert is_as_good(one, other) or is_as_good(other, one)
    assert is_as_good(one, one)
