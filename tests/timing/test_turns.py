"""Taking turns: who is asked what and in which order, and what the readings hold. No test asserts a duration."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from understudy.timing import turns
from understudy.timing.turns import Contender, Readings, take_turns

TEXTS = [str(number) for number in range(23)]
Calls = list[tuple[str, str]]
Clock = Callable[[Callable[[str, str, int], float]], None]


@pytest.fixture
def calls() -> Calls:
    return []


@pytest.fixture
def contender(calls: Calls) -> Callable[..., Contender]:
    """Makes stand-ins that record what they are asked."""

    def make(name: str, documents: int = 100, bulk_only: bool = False) -> Contender:
        single = None if bulk_only else lambda text: calls.append((name, text))
        return Contender(documents, lambda: calls.append((name, "bulk")), single)

    return make


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> Clock:
    """Replaces the clock: a function says how long the n-th call (of that name and kind, from 0) takes."""

    def set_to(seconds: Callable[[str, str, int], float]) -> None:
        def seconds_of(task: Callable[[], object]) -> float:
            task()
            name, what = calls[-1]
            earlier = sum(1 for call in calls[:-1] if call == (name, what))
            return seconds(name, what, earlier)

        monkeypatch.setattr(turns, "seconds_of", seconds_of)

    return set_to


def test_bulk_goes_round_and_single_texts_in_tens(contender: Callable[..., Contender], calls: Calls) -> None:
    take_turns({name: contender(name) for name in "ab"}, TEXTS, 1)
    expected: Calls = []
    for _ in range(2):  # the warm-up is a round like the others
        expected += [("a", "bulk"), ("b", "bulk")]
        for block in (TEXTS[:10], TEXTS[10:20], TEXTS[20:]):
            for name in ("a", "b"):
                expected += [(name, text) for text in (block[0], *block)]
    assert calls == expected


@pytest.mark.parametrize("rounds", [1, 4])
def test_one_round_more_than_counts(rounds: int, contender: Callable[..., Contender], calls: Calls) -> None:
    found = take_turns({name: contender(name) for name in "ab"}, TEXTS, rounds)
    assert [name for name, what in calls if what == "bulk"] == ["a", "b"] * (rounds + 1)
    assert [(name, each.rounds, each.texts) for name, each in found.items()] == [("a", rounds, 23), ("b", rounds, 23)]


def test_some_contenders_are_only_timed_in_bulk(contender: Callable[..., Contender], calls: Calls) -> None:
    found = take_turns({"padded": contender("padded", bulk_only=True), "student": contender("student")}, TEXTS, 1)
    assert [what for name, what in calls if name == "padded"] == ["bulk"] * 2
    assert (found["padded"].single, found["padded"].texts, found["student"].texts) == ((), 0, 23)


def test_the_warm_up_does_not_count(contender: Callable[..., Contender], clock: Clock) -> None:
    # A block's first text is asked twice per round; only the second call is timed.
    clock(lambda name, what, earlier: 1000.0 if earlier < (1 if what == "bulk" else 2) else float(earlier))
    found = take_turns({"student": contender("student")}, TEXTS[:1], 3)["student"]
    assert found == Readings(100, bulk=(1.0, 2.0, 3.0), single=(3.0, 5.0, 7.0))


def test_the_median_of_the_rounds_is_the_rate() -> None:
    found = Readings(200, bulk=(4.0, 1.0, 2.0))
    assert found.each_round == (50.0, 200.0, 100.0)
    assert (found.seconds, found.documents_per_second) == (2.0, 100.0)


def test_latencies_are_percentiles_of_every_timed_text(contender: Callable[..., Contender], clock: Clock) -> None:
    clock(lambda name, what, earlier: 1.0 if what == "bulk" else (int(what) + 1) / 1000)
    found = take_turns({"student": contender("student")}, [str(number) for number in range(101)], 2)["student"]
    assert found.latency_ms(50, 95, 99) == pytest.approx((51.0, 96.0, 100.0))


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [
        (1.0, 3),  # 4 seconds with the warm-up
        (4.0, 3),  # 12 after the second counted round, so the third starts
        (5.0, 2),
        (7.0, 1),
        (100.0, 1),  # one round always counts
    ],
)
def test_slow_rounds_are_fewer(
    seconds: float,
    rounds: int,
    contender: Callable[..., Contender],
    calls: Calls,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock(lambda name, what, earlier: seconds * {"a": 0.5, "b": 0.25}[name] if what == "bulk" else seconds * 0.125)
    with caplog.at_level(logging.INFO, "understudy"):
        found = take_turns({name: contender(name) for name in "ab"}, TEXTS[:1], 3, enough_seconds=12.0)
    assert [each.rounds for each in found.values()] == [rounds, rounds]
    assert calls.count(("a", "bulk")) == rounds + 1
    stopped = f"timing: stopped after {rounds} of 3 rounds; the limit is 12 s"
    assert (stopped in caplog.messages) == (rounds < 3)


def test_long_work_says_how_long(
    contender: Callable[..., Contender], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for seconds in (1.0, 20.0):
        clock(lambda name, what, earlier, seconds=seconds: seconds)  # type: ignore[misc]
        with caplog.at_level(logging.INFO, "understudy"):
            take_turns({"a": contender("a", bulk_only=True)}, (), 2)
    assert caplog.messages == [
        "timing: the warm-up took 20 s; up to 40 s left",
        "timing: round 1 of 2",
        "timing: round 2 of 2",
    ]
