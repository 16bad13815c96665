"""`benchmark.json`: how its figures are computed, and that it is read back as it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import RunDirectoryError
from understudy.timing.figures import Benchmark, Cost, Measurement, Percentiles, Side, Skipped, measurements
from understudy.timing.turns import Readings


def make_side(name: str = "student", **changes: Any) -> Side:
    options: dict[str, Any] = {"role": "teacher" if name == "teacher" else "student", "folder": name, "bytes": 90}
    options |= {"runtime": "pytorch", "precision": "fp32", "dtype": "fp32", "device": "cpu", "threads": 2, **changes}
    return Side(name=name, **options)


def measurement(name: str = "student", rate: float = 50.0, speedup: float | None = 2.5, **changes: Any) -> Measurement:
    side = make_side(name, **changes)
    latency = None if side.padded else Percentiles(1.0, 2.0, 3.0)
    return Measurement(side, rate, (rate, rate), speedup, latency, Cost(5.0, 10.0))


def benchmark(*measurements: Measurement, skipped: tuple[Skipped, ...] = ()) -> Benchmark:
    machine: dict[str, str | int] = {"processor": "AMD EPYC", "cores": 2, "system": "Linux"}
    return Benchmark(machine, "cpu", 2, {"python": "3.11"}, 256, 20, 10, 2, measurements, skipped)


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    sides = (measurement("teacher", 20.0, 1.0, padded=True), measurement(), measurement("3", speedup=None))
    found = benchmark(*sides, skipped=(Skipped("student", "OpenVINO int8", "flips"),))
    found.save(tmp_path / "benchmark.json")
    assert Benchmark.load(tmp_path / "benchmark.json") == found
    content = json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8"))
    assert content["schema_version"] == 1
    assert content == json.loads(json.dumps(found.to_json()))
    assert content["measurements"][0]["side"]["name"] == "teacher"
    assert content["measurements"][0]["latency_ms"] is None


def test_none_there_says_how_to_measure(tmp_path: Path) -> None:
    expected = f"No {tmp_path / 'benchmark.json'}: nothing was measured yet. Measure first: understudy benchmark"
    with pytest.raises(RunDirectoryError) as error:
        Benchmark.load(tmp_path / "benchmark.json")
    assert str(error.value) == f"{expected} {tmp_path}"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema_version": 2}', '{"schema_version": 1, "threads": 2}'])
def test_another_file_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "benchmark.json").write_text(content, encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=r"benchmark\.json.* Measure first: understudy benchmark"):
        Benchmark.load(tmp_path / "benchmark.json")


@pytest.mark.parametrize(
    ("options", "label", "way"),
    [
        ({}, "student", "PyTorch fp32"),
        ({"padded": True}, "student", "PyTorch fp32, padded"),
        ({"name": "3-8000", "precision": "bf16", "dtype": "bf16"}, "student 3-8000", "PyTorch bf16"),
        ({"name": "teacher"}, "teacher", "PyTorch fp32"),
        ({"name": "no_distillation", "role": "control"}, "no distillation (control)", "PyTorch fp32"),
        ({"name": "linear", "role": "control", "runtime": "ngrams"}, "linear (control)", "n-grams"),
        ({"runtime": "openvino", "precision": "int8"}, "student", "OpenVINO int8"),
        ({"runtime": "openvino", "precision": "int8", "dtype": "bf16"}, "student", "OpenVINO int8 + bf16"),
        ({"runtime": "onnxruntime"}, "student", "ONNX Runtime fp32"),
    ],
)
def test_sides_have_names_for_people(options: dict[str, Any], label: str, way: str) -> None:
    side = measurement(**options).side
    assert (side.label, side.way) == (label, way)


def test_two_exports_of_a_kind_are_told_apart_by_their_folders() -> None:
    export = {"runtime": "openvino", "precision": "int8"}
    found = benchmark(
        measurement(), measurement(folder="export/int8", **export), measurement(folder="export/mine", **export)
    )
    assert found.ways() == ["PyTorch fp32", "OpenVINO int8 (int8)", "OpenVINO int8 (mine)"]


def test_the_reference_is_the_teachers_and_the_fastest_is_the_students() -> None:
    teacher, padded = measurement("teacher", 900.0), measurement("teacher", 700.0, padded=True)
    slow, fast = measurement(rate=50.0), measurement(rate=60.0)
    found = benchmark(measurement(rate=70.0, padded=True), teacher, padded, slow, fast, measurement("3", 800.0))
    assert found.reference is padded
    assert found.fastest_student is fast
    assert benchmark(measurement(padded=True)).reference is None


# From readings to figures


def test_rate_and_latency_come_from_the_readings() -> None:
    readings = Readings(200, bulk=(4.0, 2.0, 1.0), single=tuple(number / 1000 for number in range(1, 102)))
    (found,) = measurements({make_side(): readings})
    assert found.each_round == (50.0, 100.0, 200.0)
    assert found.documents_per_second == 100.0
    assert found.latency_ms == Percentiles(51.0, 96.0, 100.0)


def test_padded_batches_have_no_latency() -> None:
    (found,) = measurements({make_side(padded=True): Readings(128, bulk=(1.0,))})
    assert found.latency_ms is None


def rated(*rates: tuple[Side, float]) -> tuple[Measurement, ...]:
    return measurements({side: Readings(100, (100 / rate,), (0.01,)) for side, rate in rates})


def test_speedups_are_against_the_teachers_padded_batches() -> None:
    teacher, student = make_side("teacher"), make_side()
    padded = [(make_side(padded=True), 50.0), (make_side("teacher", padded=True), 20.0)]
    found = rated((teacher, 40.0), *padded, (student, 60.0))
    assert [each.side for each in found] == [teacher, padded[0][0], padded[1][0], student]
    assert [each.speedup for each in found] == [2.0, 2.5, 1.0, 3.0]


def test_without_a_teacher_there_is_no_speedup() -> None:
    found = rated((make_side(padded=True), 50.0), (make_side(), 50.0))
    assert [each.speedup for each in found] == [None, None]


def test_a_million_texts_cost_hours_and_those_times_threads() -> None:
    sides = [(make_side(threads=2), 100.0), (make_side(threads=1), 1000.0), (make_side(device="cuda"), 10_000.0)]
    a, b, c = (each.million_texts for each in rated(*sides))
    assert (a.hours, a.core_hours) == (2.7778, 5.5556)
    assert (b.hours, b.core_hours) == (0.2778, 0.2778)
    assert (c.hours, c.core_hours) == (0.0278, None)
