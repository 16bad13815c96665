"""`metrics.json`: the contract's keys, and reading back what was written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import RunDirectoryError
from understudy.evaluation.results import (
    Abstention,
    Answered,
    BatchTime,
    Compared,
    Controls,
    Gain,
    Latency,
    Metrics,
    ModelMetrics,
    ModelSpeed,
    Recommendation,
    Retention,
    SeedResult,
    Seeds,
    Speed,
    Spread,
    Verdict,
)

QUALITY = dict.fromkeys(("accuracy", "f1", "macro_f1", "balanced_accuracy", "auc", "ece"))
MODEL = {**QUALITY, "parameters": None, "bytes": None}
SPEED = {"documents_per_second": None, "latency_ms": {"p50": None, "p95": None}}
SPREAD = {"mean": None, "sd": None, "min": None, "max": None}
# The key tree of the contract. Lists and plain values are leaves.
CONTRACT = {
    "schema_version": None,
    "teacher": MODEL,
    "student": MODEL,
    "controls": {"no_distillation": MODEL, "linear": MODEL, "frozen": MODEL},
    "retention": {"accuracy": None, "accuracy_ci95": None, "f1": None, "f1_ci95": None},
    "parameter_fraction": None,
    "efficiency_ratio": None,
    "agreement": None,
    "distillation_gain": {"accuracy": None, "ci95": None, "p_value": None},
    "verdict": {"code": None, "distillation": None, "text": None},
    "recommendation": {
        "model": None,
        "folder": None,
        "accuracy": None,
        "reason": None,
        "next_step": None,
        "compared": {"student": {"validation_accuracy": None, "operations": None, "parameters": None}},
    },
    "speed": {
        "device": None,
        "threads": None,
        "dtype": None,
        "max_length": None,
        "batch128": {"teacher_ms": None, "student_ms": None},
        "speedup": None,
        "teacher": SPEED,
        "student": SPEED,
        "rounds": None,
    },
    "seconds": {"teacher": None, "soft_labels": None, "student": None},
    "seeds": {
        "repeats": None,
        "accuracy": SPREAD,
        "f1": SPREAD,
        "retention": SPREAD,
        "retention_ci95": None,
        "control_accuracy": SPREAD,
        "gain": {"accuracy": None, "ci95": None, "p_value": None},
    },
    "abstention": {
        "target_precision": None,
        "threshold": None,
        "validation": {"precision": None, "coverage": None},
        "test": {"precision": None, "coverage": None},
    },
    "students": {"static": MODEL},
}


def model(accuracy: float = 0.9) -> ModelMetrics:
    return ModelMetrics(
        accuracy=accuracy, f1=0.8, auc=0.95, ece=0.02, parameters=100, bytes=400, macro_f1=0.81, balanced_accuracy=0.88
    )


def model_speed(p50: float) -> ModelSpeed:
    return ModelSpeed(documents_per_second=20.0, latency_ms=Latency(p50=p50, p95=2 * p50))


GAIN = Gain(accuracy=0.006, ci95=(0.002, 0.01), p_value=0.001)
SEEDS = Seeds(
    repeats=(SeedResult(0, 0.91, 0.8, 0.989, 0.905, GAIN), SeedResult(1, 0.912, 0.81, 0.991, 0.905, GAIN)),
    accuracy=Spread(0.911, 0.0014, 0.91, 0.912),
    f1=Spread(0.805, 0.0071, 0.8, 0.81),
    retention=Spread(0.99, 0.0014, 0.989, 0.991),
    retention_ci95=(0.985, 0.995),
    control_accuracy=Spread(0.905, 0.0, 0.905, 0.905),
    gain=GAIN,
)
METRICS = Metrics(
    teacher=model(0.92),
    student=model(0.91),
    controls=Controls(no_distillation=model(0.905), linear=model(0.89), frozen=model(0.88)),
    retention=Retention(accuracy=0.989, accuracy_ci95=(0.98, 0.998), f1=0.988, f1_ci95=(0.979, 0.997)),
    parameter_fraction=0.612,
    efficiency_ratio=1.617,
    agreement=0.97,
    distillation_gain=Gain(accuracy=0.005, ci95=(0.001, 0.009), p_value=0.03),
    verdict=Verdict("replace", "helped", "It can replace the teacher: 98 % für sich."),
    speed=Speed("cpu", 2, "fp32", 256, BatchTime(38.0, 20.0), 1.9, model_speed(34.7), model_speed(17.0)),
    seconds={"teacher": 10.0, "soft_labels": 2.0, "student": 5.0},
    seeds=SEEDS,
    abstention=Abstention(0.98, 0.87, Answered(0.981, 0.9), Answered(0.979, 0.88)),
    students={"static": model(0.85)},
    recommendation=Recommendation("student", "student", 0.91, "Why.", "What now.", {"student": Compared(0.9, 10, 100)}),
)
WITHOUT_CONTROLS = dataclasses.replace(
    METRICS,
    controls=Controls(),
    distillation_gain=None,
    seeds=dataclasses.replace(
        SEEDS,
        repeats=tuple(dataclasses.replace(each, control_accuracy=None, gain=None) for each in SEEDS.repeats),
        control_accuracy=None,
        gain=None,
    ),
)
ONE_SEED = dataclasses.replace(METRICS, seeds=None)
ALL_ANSWERED = dataclasses.replace(METRICS, abstention=None)
NOTHING = Answered(None, 0.0)
NONE_ANSWERED = dataclasses.replace(METRICS, abstention=Abstention(0.98, None, NOTHING, NOTHING))
WITHOUT_AUC = dataclasses.replace(METRICS, student=dataclasses.replace(METRICS.student, auc=None))
SCORES_GIVEN = dataclasses.replace(
    METRICS,
    teacher=dataclasses.replace(METRICS.teacher, parameters=None, bytes=None),
    parameter_fraction=None,
    efficiency_ratio=None,
    speed=Speed("cpu", 2, "fp32", 256, BatchTime(None, 20.0), None, None, model_speed(17.0)),
)


def keys(content: Any) -> Any:
    return {name: keys(value) for name, value in content.items()} if isinstance(content, dict) else None


def saved(metrics: Metrics, folder: Path) -> Any:
    metrics.save(folder / "metrics.json")
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def change(folder: Path, **changes: Any) -> Path:
    """Writes `METRICS` with other top-level values; None removes a key."""
    content = {**saved(METRICS, folder), **changes}
    path = folder / "metrics.json"
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    return path


def test_the_keys_are_the_contracts(tmp_path: Path) -> None:
    assert keys(saved(METRICS, tmp_path)) == CONTRACT


def test_the_keys_stand_in_the_contracts_order(tmp_path: Path) -> None:
    assert json.dumps(keys(saved(METRICS, tmp_path))) == json.dumps(CONTRACT)


def test_the_schema_version_is_1(tmp_path: Path) -> None:
    assert saved(METRICS, tmp_path)["schema_version"] == 1


def test_an_interval_is_a_list_of_two(tmp_path: Path) -> None:
    assert saved(METRICS, tmp_path)["retention"]["accuracy_ci95"] == [0.98, 0.998]


def test_what_was_left_out_is_null_not_missing(tmp_path: Path) -> None:
    content = saved(WITHOUT_CONTROLS, tmp_path)
    assert content["controls"] == {"no_distillation": None, "linear": None, "frozen": None}
    assert content["distillation_gain"] is None


def test_unknown_figures_of_a_teacher_are_null(tmp_path: Path) -> None:
    content = saved(SCORES_GIVEN, tmp_path)
    speed = content["speed"]
    unknown = [content["teacher"]["parameters"], content["teacher"]["bytes"], content["parameter_fraction"]]
    unknown += [content["efficiency_ratio"], speed["teacher"], speed["speedup"], speed["batch128"]["teacher_ms"]]
    assert unknown == [None] * 7


@pytest.mark.parametrize(
    "metrics",
    [METRICS, WITHOUT_CONTROLS, WITHOUT_AUC, ONE_SEED, SCORES_GIVEN, ALL_ANSWERED, NONE_ANSWERED],
    ids=["all", "no controls", "no AUC", "one seed", "scores given", "all answered", "none answered"],
)
def test_what_was_saved_loads_equal(metrics: Metrics, tmp_path: Path) -> None:
    metrics.save(tmp_path / "metrics.json")
    assert Metrics.load(tmp_path / "metrics.json") == metrics


def test_loading_gives_dataclasses_and_tuples_all_the_way_down(tmp_path: Path) -> None:
    METRICS.save(tmp_path / "metrics.json")
    found = Metrics.load(tmp_path / "metrics.json")
    assert isinstance(found.controls.linear, ModelMetrics)
    assert isinstance(found.speed.teacher.latency_ms, Latency)
    assert isinstance(found.distillation_gain, Gain)
    assert type(found.retention.accuracy_ci95) is tuple
    assert found.seeds is not None
    assert all(isinstance(each, SeedResult) for each in found.seeds.repeats)
    assert type(found.seeds.repeats) is tuple
    assert isinstance(found.abstention, Abstention) and isinstance(found.abstention.test, Answered)


def test_each_seed_is_an_object(tmp_path: Path) -> None:
    content = saved(METRICS, tmp_path)["seeds"]["repeats"]
    assert [list(each) for each in content] == [
        ["seed", "accuracy", "f1", "retention", "control_accuracy", "gain"],
    ] * 2
    assert content[1]["gain"]["ci95"] == [0.002, 0.01]


def test_a_file_without_seeds_has_one_seed(tmp_path: Path) -> None:
    assert Metrics.load(change(tmp_path, seeds=None)) == ONE_SEED
    assert saved(ONE_SEED, tmp_path)["seeds"] is None


def test_a_file_of_an_earlier_version_has_no_recommendation_and_fewer_figures(tmp_path: Path) -> None:
    path = change(tmp_path, recommendation=None)
    content = json.loads(path.read_text())
    for model in (content["teacher"], content["student"], *content["controls"].values()):
        del model["macro_f1"], model["balanced_accuracy"]
    path.write_text(json.dumps(content))
    found = Metrics.load(path)
    assert found.recommendation is None
    assert (found.student.accuracy, found.student.macro_f1, found.student.balanced_accuracy) == (0.91, None, None)
    found.save(path)
    assert Metrics.load(path) == found


def test_a_file_without_a_threshold_has_none(tmp_path: Path) -> None:
    assert Metrics.load(change(tmp_path, abstention=None)) == ALL_ANSWERED
    assert saved(ALL_ANSWERED, tmp_path)["abstention"] is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused_and_nothing_is_written(value: float, tmp_path: Path) -> None:
    METRICS.save(tmp_path / "metrics.json")
    before = (tmp_path / "metrics.json").read_bytes()
    with pytest.raises(ValueError, match="Out of range float"):
        dataclasses.replace(METRICS, agreement=value).save(tmp_path / "metrics.json")
    assert (tmp_path / "metrics.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_missing_file_means_an_unfinished_run(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"the run is not finished\. Run the same command again"):
        Metrics.load(tmp_path / "metrics.json")


def test_another_schema_version_is_refused_by_number(tmp_path: Path) -> None:
    path = change(tmp_path, schema_version=2)
    with pytest.raises(RunDirectoryError) as caught:
        Metrics.load(path)
    assert str(caught.value) == f"{path} has schema version 2, this understudy reads 1. Run it again."


def test_no_schema_version_is_not_ours(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"is not a file that understudy wrote"):
        Metrics.load(change(tmp_path, schema_version=None))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"1", b"null", b"\xff"])
def test_a_file_that_is_something_else(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"is not a file that understudy wrote"):
        Metrics.load(tmp_path / "metrics.json")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"agreement": None}, "agreement: missing"),
        ({"extra": 1}, "extra: unknown key"),
        ({"teacher": 3}, "teacher: expected an object, got 3"),
        ({"teacher": {"accuracy": 0.9}}, "teacher.f1: missing; teacher.auc: missing; teacher.ece: missing; 2 more"),
        ({"controls": {"other": {}}}, "controls.other: unknown key"),
    ],
)
def test_other_keys_are_refused(changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    path = change(tmp_path, **changes)
    with pytest.raises(RunDirectoryError) as caught:
        Metrics.load(path)
    assert str(caught.value) == f"{path}: {problem}. Run it again."
