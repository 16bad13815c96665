"""Measuring a run's speed: what is timed, how often and in which order. No test asserts a duration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from understudy.evaluation.results import Latency, ModelSpeed, Speed
from understudy.reporting.formats import conditions
from understudy.runtime.hardware import Hardware
from understudy.timing import speed, turns
from understudy.timing.speed import BATCH, LATENCY_TEXTS, Workload, measure_models, measure_speed, padded_batch

CPU = Hardware("cpu", 1)
TEXTS = [f"good film {'very ' * (row % 7)}bad" for row in range(30)]
Calls = list[tuple[str, list[str]]]


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call takes a hundredth of a second, however busy this machine is."""

    def seconds_of(task: Callable[[], object]) -> float:
        task()
        return 0.01

    monkeypatch.setattr(turns, "seconds_of", seconds_of)


@pytest.fixture
def calls(steady: None, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Stand-ins for all models, which record what they are asked: the model's name and the texts."""
    asked: Calls = []

    class Model:
        def __init__(self, folder: Path, **_: Any) -> None:
            self._name = folder.name

        def predict_proba(self, texts: Sequence[str]) -> None:
            asked.append((self._name, list(texts)))

    monkeypatch.setattr(speed, "open_classifier", Model)
    return asked


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> Callable[[Callable[[str, int], float]], None]:
    """Replaces the clock: a function of the model's name and the number of texts says how long a call takes."""

    def set_to(seconds: Callable[[str, int], float]) -> None:
        def seconds_of(task: Callable[[], object]) -> float:
            task()
            name, texts = calls[-1]
            return seconds(name, len(texts))

        monkeypatch.setattr(turns, "seconds_of", seconds_of)

    return set_to


def workload(texts: Sequence[str] = TEXTS, sample: int = 20, max_length: int = 16, seed: int = 0) -> Workload:
    return Workload(texts, sample, max_length, seed)


def measure(teacher: Path = Path("teacher"), student: Path = Path("student"), **options: Any) -> Speed:
    return measure_speed([teacher], [student], workload(**options), CPU, "fp32")


def test_tiny_models_get_finite_positive_figures(make_model: Callable[..., Path]) -> None:
    teacher, student = make_model("teacher", ["a", "b"], layers=3), make_model("student", ["a", "b"], layers=1)
    found = measure(teacher, student)
    figures = [found.speedup, found.batch128.teacher_ms, found.batch128.student_ms]
    for side in (found.teacher, found.student):
        assert side is not None
        figures += [side.documents_per_second, side.latency_ms.p50, side.latency_ms.p95]
        assert side.latency_ms.p50 <= side.latency_ms.p95
    assert all(figure is not None and math.isfinite(figure) and figure > 0 for figure in figures)
    assert (found.device, found.threads, found.dtype, found.max_length) == ("cpu", 1, "fp32", 16)


def test_a_teacher_with_given_scores_has_no_speed(calls: Calls) -> None:
    found = measure_speed((), [Path("student")], workload(), CPU, "fp32")
    assert (found.teacher, found.speedup, found.batch128.teacher_ms) == (None, None, None)
    assert (found.student.documents_per_second, found.batch128.student_ms) == (2000.0, 10.0)


def test_a_batch_is_padded_to_the_maximum_length(
    steady: None, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertForSequenceClassification

    shapes: list[tuple[int, ...]] = []
    forward = BertForSequenceClassification.forward

    def spy(model: Any, **inputs: Any) -> Any:
        shapes.append(tuple(inputs["input_ids"].shape))
        return forward(model, **inputs)

    monkeypatch.setattr(BertForSequenceClassification, "forward", spy)
    model = make_model("model", ["a", "b"])
    measure(model, model, max_length=20)
    assert shapes[-8:] == [(BATCH, 20)] * 8  # two models, the warm-up and three rounds
    assert max(width for _, width in shapes[:-8]) < 20
    shapes.clear()
    padded_batch([model, model], TEXTS[:5], 20, CPU, "fp32")()
    assert shapes == [(5, 20)] * 2  # every member of a committee


def test_models_in_a_run_are_the_ones_that_users_load(
    steady: None,
    make_model: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from understudy.inference.encoders import TransformersClassifier

    asked: list[int] = []
    plain = TransformersClassifier.predict_proba

    def spy(self: TransformersClassifier, texts: list[str], advance: Any = None) -> Any:
        asked.append(len(texts))
        return plain(self, texts, advance)

    monkeypatch.setattr(TransformersClassifier, "predict_proba", spy)
    measure_models({"m": [make_model("m", ["a", "b"])]}, workload(["bad " * 600], sample=1), CPU, "fp32")
    assert asked == [1] * 3 * 4  # in bulk, not timed, timed; the warm-up and three rounds
    assert not any("were cut" in message for message in caplog.messages)


def test_what_is_timed_and_in_which_order(calls: Calls) -> None:
    measure()
    names = ["teacher", "student"]
    bulk = [(name, 20) for name in names]
    block = [(name, 1) for name in names for _ in range(11)]  # one is not timed
    padded = [(name, BATCH) for name in names]
    assert [(name, len(texts)) for name, texts in calls] == (bulk + block * 3) * 4 + padded * 4


def test_both_models_get_the_same_texts(calls: Calls) -> None:
    measure()
    teacher, student = ([texts for name, texts in calls if name == each] for each in ("teacher", "student"))
    assert teacher == student


def test_every_member_of_a_committee_answers(calls: Calls) -> None:
    measure_speed([Path("1"), Path("2")], [Path("student")], workload(), CPU, "fp32")
    asked = [name for name, texts in calls if len(texts) == BATCH]
    assert asked == ["1", "2", "student"] * 4
    assert [name for name, _ in calls[:3]] == ["1", "2", "student"]


@pytest.mark.parametrize(("sample", "used"), [(1, 1), (30, 30), (1000, 30)])
def test_a_sample_is_no_larger_than_the_test_set(sample: int, used: int, calls: Calls) -> None:
    texts = [str(row) for row in range(30)]
    measure(sample=sample, texts=texts)
    assert len(calls[0][1]) == len(set(calls[0][1])) == used
    assert {text for _, (text, *others) in calls if not others} == set(texts)  # fewer than 50


def test_one_text_is_enough(calls: Calls) -> None:
    measure(texts=["good"], sample=256)
    assert calls[-1] == ("student", ["good"] * BATCH)


def test_more_texts_than_are_answered_one_at_a_time(calls: Calls) -> None:
    measure(texts=[str(row) for row in range(100)])
    assert len({texts[0] for _, texts in calls if len(texts) == 1}) == LATENCY_TEXTS


def test_the_seed_draws_the_texts(calls: Calls) -> None:
    chosen = []
    for seed in (0, 0, 1):
        calls.clear()
        measure(seed=seed, texts=[str(row) for row in range(100)])
        chosen.append([texts for _, texts in calls])
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_speedup_is_teacher_over_student(calls: Calls, clock: Any) -> None:
    clock(lambda name, texts: {"teacher": 0.4, "student": 0.1}[name] * (0.5 if texts == 1 else 1))
    found = measure()
    assert found.speedup == 4.0
    assert (found.batch128.teacher_ms, found.batch128.student_ms) == (400.0, 100.0)
    assert found.teacher == ModelSpeed(50.0, Latency(200.0, 200.0))
    assert found.student == ModelSpeed(200.0, Latency(50.0, 50.0))
    assert found.rounds == 3


def test_a_slow_machine_says_that_one_round_counted(calls: Calls, clock: Any) -> None:
    clock(lambda name, texts: 10.0)
    found = measure()
    assert found.rounds == 1
    assert conditions(found).endswith("fp32, one round")
    assert conditions(replace(found, rounds=3)).endswith("fp32, median of 3 rounds")
    assert conditions(replace(found, rounds=None)).endswith("fp32")


def test_many_models_are_measured_as_two_are(calls: Calls, clock: Any) -> None:
    clock(lambda name, texts: {"a": 0.4, "b": 0.1, "c": 2.0}[name] * (0.5 if texts == 1 else 1) / 10)
    found = measure_models({name: [Path(name)] for name in "abc"}, workload(), CPU, "fp32")
    assert {name: (each.documents_per_second, each.latency_ms.p50) for name, each in found.items()} == {
        "a": (500.0, 20.0),
        "b": (2000.0, 5.0),
        "c": (100.0, 100.0),
    }
    assert [name for name, _ in calls[:3]] == ["a", "b", "c"]


@pytest.mark.parametrize(("seconds", "times"), [(1.0, 4), (2.5, 3), (30.0, 2)])
def test_slow_batches_are_timed_less_often(seconds: float, times: int, calls: Calls, clock: Any) -> None:
    clock(lambda name, texts: seconds if texts == BATCH else 0.01)
    found = measure()
    assert [texts for name, texts in calls if name == "student" and len(texts) == BATCH] == [calls[-1][1]] * times
    assert [len(texts) for _, texts in calls].count(20) == 2 * 4  # the other part has a limit of its own
    assert found.batch128.student_ms == seconds * 1000
