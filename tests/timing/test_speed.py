"""Measuring speed: what is timed, how often and in which order. No test asserts a duration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from understudy.evaluation import speed
from understudy.runtime.hardware import Hardware
from understudy.timing.speed import BATCH, LATENCY_TEXTS, measure_speed

CPU = Hardware("cpu", 1)
TEXTS = [f"good film {'very ' * (row % 7)}bad" for row in range(30)]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, list[str]]]:
    """Stand-ins for both models, which write down what they are asked: side, kind of work, texts."""
    asked: list[tuple[str, str, list[str]]] = []

    class Side:
        def __init__(self, folder: Path, *_: Any) -> None:
            self._name = folder.name

        def classify(self, texts: Sequence[str]) -> None:
            asked.append((self._name, "classify", list(texts)))

        def padded_batch(self, texts: Sequence[str]) -> Callable[[], None]:
            return lambda: asked.append((self._name, "batch", list(texts)))

    monkeypatch.setattr(speed, "_Encoder", Side)
    return asked


def measure(teacher: Path = Path("teacher"), student: Path = Path("student"), **options: Any) -> Any:
    settings = {"max_length": 16, "sample": 20, "hardware": CPU, "dtype": "fp32", "seed": 0, **options}
    return measure_speed(
        [teacher], [student], options.pop("texts", TEXTS), **{k: v for k, v in settings.items() if k != "texts"}
    )


def test_tiny_models_get_finite_positive_figures(make_model: Callable[..., Path]) -> None:
    teacher, student = make_model("teacher", ["a", "b"], layers=3), make_model("student", ["a", "b"], layers=1)
    found = measure(teacher, student)
    figures = [found.speedup, found.batch128.teacher_ms, found.batch128.student_ms]
    for side in (found.teacher, found.student):
        figures += [side.documents_per_second, side.latency_ms.p50, side.latency_ms.p95]
        assert side.latency_ms.p50 <= side.latency_ms.p95
    assert all(math.isfinite(figure) and figure > 0 for figure in figures)
    assert (found.device, found.threads, found.dtype, found.max_length) == ("cpu", 1, "fp32", 16)


def test_a_teacher_that_is_no_model_has_no_speed(make_model: Callable[..., Path]) -> None:
    settings: dict[str, Any] = {"max_length": 16, "sample": 20, "hardware": CPU, "dtype": "fp32", "seed": 0}
    found = measure_speed((), [make_model("student", ["a", "b"], layers=1)], TEXTS, **settings)
    assert (found.teacher, found.speedup, found.batch128.teacher_ms) == (None, None, None)
    assert found.student.documents_per_second > 0 and found.batch128.student_ms > 0


def test_a_batch_is_padded_to_the_maximum_length(
    make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
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
    assert shapes[-6:] == [(BATCH, 20)] * 6
    assert max(width for _, width in shapes[:-6]) < 20


def test_the_models_take_turns(calls: list[tuple[str, str, list[str]]]) -> None:
    measure()
    assert [side for side, _, _ in calls] == ["teacher", "student"] * (len(calls) // 2)
    for (_, kind, texts), (_, other_kind, other_texts) in zip(calls[::2], calls[1::2], strict=True):
        assert (kind, texts) == (other_kind, other_texts)


def test_what_is_timed(calls: list[tuple[str, str, list[str]]]) -> None:
    measure()
    teacher = [(kind, len(texts)) for side, kind, texts in calls if side == "teacher"]
    singles = min(LATENCY_TEXTS, len(TEXTS))
    assert teacher == [("classify", 8), *[("classify", 20)] * 3, *[("classify", 1)] * singles, *[("batch", BATCH)] * 3]


@pytest.mark.parametrize(("sample", "used"), [(1, 1), (30, 30), (1000, 30)])
def test_a_sample_is_no_larger_than_the_test_set(
    sample: int, used: int, calls: list[tuple[str, str, list[str]]]
) -> None:
    measure(sample=sample)
    assert len(set(calls[2][2])) == len(calls[2][2]) or used > len(set(TEXTS))
    assert len(calls[2][2]) == used


def test_one_text_is_enough(calls: list[tuple[str, str, list[str]]]) -> None:
    measure(texts=["good"], sample=256)
    assert calls[-1] == ("student", "batch", ["good"] * BATCH)


def test_the_seed_chooses_the_texts(calls: list[tuple[str, str, list[str]]]) -> None:
    chosen = []
    for seed in (0, 0, 1):
        calls.clear()
        measure(seed=seed, texts=[str(row) for row in range(100)])
        chosen.append([texts for _, _, texts in calls])
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_speedup_is_teacher_over_student_and_medians_count(monkeypatch: pytest.MonkeyPatch, calls: Any) -> None:
    def seconds(task: Callable[[], None]) -> float:
        task()
        side, kind, texts = calls[-1]
        done = sum(1 for call in calls if call[:2] == (side, kind) and len(call[2]) == len(texts))
        outlier = 10.0 if done == 1 else 1.0  # the first of every three is slow
        return outlier * {"teacher": 0.4, "student": 0.1}[side] * (0.5 if len(texts) == 1 else 1)

    monkeypatch.setattr(speed, "seconds_of", seconds)
    found = measure(sample=20)
    assert found.speedup == 4.0
    assert (found.batch128.teacher_ms, found.batch128.student_ms) == (400.0, 100.0)
    assert (found.teacher.documents_per_second, found.student.documents_per_second) == (50.0, 200.0)
    assert (found.teacher.latency_ms.p50, found.student.latency_ms.p50) == (200.0, 50.0)


def test_rounds_that_take_long_are_timed_less_often(
    monkeypatch: pytest.MonkeyPatch, calls: list[tuple[str, str, list[str]]]
) -> None:
    def seconds(task: Callable[[], None]) -> float:
        task()
        return 4.0 if calls[-1][1] == "batch" else 0.1

    monkeypatch.setattr(speed, "seconds_of", seconds)
    found = measure(sample=20)
    assert [kind for side, kind, _ in calls if side == "student" and kind == "batch"] == ["batch"] * 2
    assert found.batch128.student_ms == 4000.0
