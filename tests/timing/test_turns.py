"""Taking turns: who is asked what and in which order, and what the figures are made of. No test asserts a duration."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from understudy.evaluation import turns
from understudy.timing.figures import Measurement, Side
from understudy.timing.turns import Contender, take_turns

TEXTS = [str(number) for number in range(23)]
Calls = list[tuple[str, str]]


def side(name: str = "student", **changes: Any) -> Side:
    options: dict[str, Any] = {"name": name, "role": "teacher" if name == "teacher" else "student", "folder": name}
    options |= {"runtime": "pytorch", "precision": "fp32", "dtype": "fp32", "device": "cpu", "threads": 2, "bytes": 8}
    return Side(**{**options, **changes})


@pytest.fixture
def calls() -> Calls:
    return []


@pytest.fixture
def contender(calls: Calls) -> Callable[..., Contender]:
    """Makes stand-ins that write down what they are asked; a padded one is asked in bulk only."""

    def make(name: str, documents: int = 100, **changes: Any) -> Contender:
        found = side(name, **changes)
        single = None if found.padded else lambda text: calls.append((name, text))
        return Contender(found, documents, lambda: calls.append((name, "bulk")), single)

    return make


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> Callable[[Callable[[str, str, int], float]], None]:
    """Replaces the clock: the n-th call (of that name and kind, from 0) takes what a function says."""

    def set_to(seconds: Callable[[str, str, int], float]) -> None:
        def seconds_of(task: Callable[[], object]) -> float:
            task()
            name, what = calls[-1]
            earlier = sum(1 for call in calls[:-1] if call == (name, what))
            return seconds(name, what, earlier)

        monkeypatch.setattr(turns, "seconds_of", seconds_of)

    return set_to


def test_bulk_goes_round_and_single_texts_in_tens(contender: Callable[..., Contender], calls: Calls) -> None:
    take_turns([contender("a"), contender("b")], TEXTS, 1)
    expected: Calls = []
    for _ in range(2):  # the warm-up is a round like the others
        expected += [("a", "bulk"), ("b", "bulk")]
        for block in (TEXTS[:10], TEXTS[10:20], TEXTS[20:]):
            for name in ("a", "b"):
                expected += [(name, text) for text in (block[0], *block)]
    assert calls == expected


@pytest.mark.parametrize("rounds", [1, 4])
def test_a_round_more_than_count(rounds: int, contender: Callable[..., Contender], calls: Calls) -> None:
    found = take_turns([contender("a"), contender("b")], TEXTS, rounds)
    assert [name for name, what in calls if what == "bulk"] == ["a", "b"] * (rounds + 1)
    assert [len(each.each_round) for each in found] == [rounds, rounds]


def test_a_padded_side_is_not_asked_for_single_texts(contender: Callable[..., Contender], calls: Calls) -> None:
    padded, other = take_turns([contender("teacher", padded=True), contender("student")], TEXTS, 1)
    assert {what for name, what in calls if name == "teacher"} == {"bulk"}
    assert padded.latency_ms is None
    assert other.latency_ms is not None


def test_the_median_of_the_rounds_counts_and_the_warm_up_does_not(
    contender: Callable[..., Contender], clock: Any
) -> None:
    clock(lambda name, what, earlier: [1000.0, 4.0, 2.0, 1.0][earlier] if what == "bulk" else 1.0)
    (found,) = take_turns([contender("student", documents=200)], TEXTS[:1], 3)
    assert found.each_round == (50.0, 100.0, 200.0)
    assert found.documents_per_second == 100.0


def test_latencies_are_percentiles_of_every_timed_text(contender: Callable[..., Contender], clock: Any) -> None:
    # The call of a block that is not timed comes before it, so that a text's timed calls are its odd ones or, for
    # texts that begin no block, all of them; here the seconds hang on the text alone.
    clock(lambda name, what, earlier: 1.0 if what == "bulk" else (int(what) + 1) / 1000)
    (found,) = take_turns([contender("student")], [str(number) for number in range(101)], 2)
    assert found.latency_ms is not None
    assert (found.latency_ms.p50, found.latency_ms.p95, found.latency_ms.p99) == (51.0, 96.0, 100.0)


def measured(contenders: list[Contender], clock: Any, **rates: float) -> list[Measurement]:
    clock(lambda name, what, earlier: 100 / rates[name])
    return take_turns(contenders, TEXTS[:1], 1)


def test_speedups_are_against_the_teachers_padded_batches(contender: Callable[..., Contender], clock: Any) -> None:
    sides = [contender("teacher"), contender("student", padded=True), contender("teacher", padded=True)]
    found = measured([*sides, contender("student")], clock, teacher=20, student=50)
    assert [each.speedup for each in found] == [1.0, 2.5, 1.0, 2.5]


def test_without_a_teacher_there_is_no_speedup(contender: Callable[..., Contender], clock: Any) -> None:
    found = measured([contender("student", padded=True), contender("student")], clock, student=50)
    assert [each.speedup for each in found] == [None, None]


def test_a_million_texts_cost_hours_and_those_times_threads(contender: Callable[..., Contender], clock: Any) -> None:
    sides = [contender("a", threads=2), contender("b", threads=1), contender("c", device="cuda")]
    a, b, c = (each.million_texts for each in measured(sides, clock, a=100, b=1000, c=10_000))
    assert (a.hours, a.core_hours) == (2.7778, 5.5556)
    assert (b.hours, b.core_hours) == (0.2778, 0.2778)
    assert (c.hours, c.core_hours) == (0.0278, None)


def test_what_is_left_is_told_after_the_warm_up(
    contender: Callable[..., Contender], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "understudy"):
        take_turns([contender("a")], TEXTS[:3], 2)
    first, second, *rounds = caplog.messages
    assert first == "benchmark: 1 sides, a round of warm-up and 2 that count, 3 texts one at a time"
    assert second == "benchmark: warmed up in 0 s; about 0 s left"
    assert rounds == ["benchmark: round 1 of 2", "benchmark: round 2 of 2"]
