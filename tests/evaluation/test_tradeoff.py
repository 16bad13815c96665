"""Which students are on the frontier, which the linear control beats, and which one to ship."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.errors import DataError, RunDirectoryError
from understudy.evaluation.results import Latency, ModelMetrics, ModelSpeed
from understudy.evaluation.tradeoff import Point, Role, Tradeoff


def point(
    name: str, accuracy: float, rate: float, megabytes: float, role: Role = "student", validated: float | None = None
) -> Point:
    """A model; its accuracy on the validation texts is that on the test texts, unless it is given."""
    return Point(
        name,
        role,
        f"students/{name}",
        ModelMetrics(accuracy, accuracy, None, 0.1, 1000, round(megabytes * 1e6)),
        (accuracy - 0.01, accuracy + 0.01),
        ModelSpeed(rate, Latency(1000 / rate, 2000 / rate)),
        0.0,
        1.0,
        accuracy if validated is None else validated,
    )


@pytest.fixture
def tradeoff() -> Tradeoff:
    points = (
        point("teacher", 0.95, 10, 90, "teacher"),
        point("6", 0.94, 20, 90),
        point("3", 0.93, 40, 70),
        point("3/8000", 0.92, 40, 30),
        point("1", 0.85, 100, 60),
        point("static", 0.88, 5000, 2),
        point("linear", 0.91, 1000, 20),
        point("linear", 0.90, 1000, 25, "control"),
    )
    return Tradeoff(points, 100, 50)


def names(points: list[Point]) -> list[str]:
    return [each.name for each in points]


def test_the_frontier(tradeoff: Tradeoff) -> None:
    assert names(tradeoff.by_speed()) == ["static", "linear", "3", "6"]
    assert names(tradeoff.by_size()) == ["static", "linear", "3/8000", "3", "6"]


def test_a_teacher_of_unknown_speed_and_size_changes_no_choice(tradeoff: Tradeoff) -> None:
    teacher, *others = tradeoff.points
    metrics = dataclasses.replace(teacher.metrics, parameters=None, bytes=None)
    unknown = Tradeoff((dataclasses.replace(teacher, metrics=metrics, speed=None), *others), 100)
    assert unknown.by_speed() == tradeoff.by_speed() and unknown.by_size() == tradeoff.by_size()
    assert unknown.dominated() == tradeoff.dominated()
    first = unknown.points[0]
    assert all(map(math.isnan, (first.rate, first.latency, first.size)))
    models = unknown.to_json()["models"]
    assert isinstance(models, dict)
    assert (models["teacher:teacher"]["speed"], models["teacher:teacher"]["bytes"]) == (None, None)


def test_what_the_linear_control_dominates(tradeoff: Tradeoff) -> None:
    assert names(tradeoff.dominated()) == ["1"]
    assert Tradeoff(tradeoff.points[:-1], 100).dominated() == []


@pytest.mark.parametrize(
    ("at_least", "at_most_ms", "chosen"),
    [
        (0.90, None, "linear"),
        (0.92, None, "3"),
        (None, 26, "3"),
        (None, 60, "6"),
        (0.92, 30, "3"),
        (0.94, 30, None),
        (0.99, None, None),
    ],
)
def test_which_one_to_ship(tradeoff: Tradeoff, at_least: Any, at_most_ms: Any, chosen: str | None) -> None:
    found = tradeoff.choose(at_least, at_most_ms)
    assert (found and found.name) == chosen


def test_if_no_student_meets_the_limits_the_nearest_are_named(tradeoff: Tradeoff) -> None:
    message = tradeoff.shortfall(0.99, 0.1)
    assert (
        "No student reaches an accuracy of 0.99 on the validation texts and answers within 0.1 ms per text." in message
    )
    assert "The most accurate, 6, reaches 0.9400 at 50 ms. The fastest, static, reaches 0.8800 at 0.2 ms." in message


# On the test texts "3" is the better student, on the validation texts "1" is.
_TURNED = (point("3", 0.95, 40, 70, validated=0.85), point("1", 0.85, 100, 60, validated=0.95))


@pytest.mark.parametrize(
    ("at_least", "at_most_ms", "chosen"), [(0.9, None, "1"), (None, 100, "1"), (0.8, 100, "1"), (0.96, None, None)]
)
def test_validation_chooses_whatever_the_test_figures_are(at_least: Any, at_most_ms: Any, chosen: str | None) -> None:
    found = Tradeoff(_TURNED, 100, 50)
    ship = found.choose(at_least, at_most_ms)
    assert (ship and ship.name) == chosen
    assert found.most_accurate == _TURNED[1]
    assert "The most accurate, 1, reaches 0.9500 at 10 ms." in found.shortfall(0.96, None)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2), st.floats(0, 1), st.floats(1, 100))
def test_no_test_figure_changes_the_choice(tested: list[float], at_least: float, at_most_ms: float) -> None:
    plain = Tradeoff(_TURNED, 100, 50).choose(at_least, at_most_ms)
    metrics = [
        dataclasses.replace(each, metrics=dataclasses.replace(each.metrics, accuracy=accuracy))
        for each, accuracy in zip(_TURNED, tested, strict=True)
    ]
    other = Tradeoff(tuple(metrics), 100, 50).choose(at_least, at_most_ms)
    assert (plain and plain.name) == (other and other.name)


def test_too_few_validation_texts_choose_nothing() -> None:
    few = Tradeoff(_TURNED, 100, 49)
    with pytest.raises(DataError, match=r"49 validation texts cannot tell which student to ship; expected at least 50"):
        few.choose(0.5, None)
    assert few.most_accurate is None


def test_a_frontier_of_an_earlier_version_is_read_but_chooses_nothing(tradeoff: Tradeoff, tmp_path: Path) -> None:
    tradeoff.save(tmp_path / "frontier.json")
    content = json.loads((tmp_path / "frontier.json").read_text())
    del content["validation_texts"]
    for model in content["models"].values():
        del model["validation_accuracy"]
    (tmp_path / "frontier.json").write_text(json.dumps(content))
    old = Tradeoff.load(tmp_path / "frontier.json")
    assert old.validation_texts is None and {each.validation_accuracy for each in old.points} == {None}
    assert old.by_speed() and old.most_accurate is None
    for found in (old, dataclasses.replace(old, validation_texts=100)):
        with pytest.raises(RunDirectoryError, match=r"no validation accuracies.*Measure the frontier again"):
            found.choose(0.5, None)


def test_what_was_saved_loads_equal(tradeoff: Tradeoff, tmp_path: Path) -> None:
    teacher, *others = tradeoff.points
    unknown = dataclasses.replace(teacher.metrics, parameters=None, bytes=None)
    given = dataclasses.replace(teacher, metrics=unknown, speed=None, gain=None, p_value=None)
    for found in (tradeoff, Tradeoff((given, *others), 7)):
        found.save(tmp_path / "frontier.json")
        assert Tradeoff.load(tmp_path / "frontier.json") == found


def test_a_student_and_a_control_may_have_the_same_name(tradeoff: Tradeoff, tmp_path: Path) -> None:
    tradeoff.save(tmp_path / "frontier.json")
    content = json.loads((tmp_path / "frontier.json").read_text())
    assert content["models"]["student:linear"]["accuracy"] == 0.91
    assert content["models"]["control:linear"]["accuracy"] == 0.90
    assert content["models"]["student:linear"]["validation_accuracy"] == 0.91
    assert content["validation_texts"] == 50
    assert content["frontier"]["bytes"] == ["static", "linear", "3/8000", "3", "6"]
    assert content["dominated_by_linear"] == ["1"]
