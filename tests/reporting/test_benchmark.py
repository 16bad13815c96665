"""A benchmark as a table and as a chart."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from understudy.reporting.benchmark_plot import benchmark_figure, draw_benchmark
from understudy.reporting.benchmark_table import show_benchmark
from understudy.timing.figures import Benchmark, Cost, Measurement, Percentiles, Side, Skipped

LONG = "a-student-whose-name-somebody-chose-in-a-hurry-and-never-changed-" * 2


def measurement(name: str, rate: float, p50: float, speedup: float | None = 1.0, **changes: Any) -> Measurement:
    options: dict[str, Any] = {"role": "teacher" if name == "teacher" else "student", "folder": f"export/{name}"}
    options |= {"runtime": "pytorch", "precision": "fp32", "dtype": "fp32", "device": "cpu", "threads": 2}
    side = Side(name=name, bytes=90_870_000, **{**options, **changes})
    latency = None if side.padded else Percentiles(p50, 2 * p50, 3 * p50)
    hours = 1e6 / rate / 3600
    return Measurement(side, rate, (rate,), speedup, latency, Cost(hours, 2 * hours))


def benchmark(*measurements: Measurement, **changes: Any) -> Benchmark:
    options: dict[str, Any] = {"machine": {"processor": "AMD EPYC", "cores": 2, "system": "Linux"}, "device": "cpu"}
    options |= {"threads": 2, "versions": {}, "max_length": 256, "texts": 256, "latency_texts": 100, "rounds": 3}
    return Benchmark(**{**options, "measurements": measurements, "skipped": (), **changes})


ORDINARY = benchmark(
    measurement("teacher", 19.9, 0.0, padded=True),
    measurement("teacher", 29.3, 34.7, 1.47),
    measurement("student", 60.5, 24.4, 3.04),
    measurement("student", 218.0, 10.9, 10.95, runtime="openvino", precision="int8", dtype="bf16"),
    measurement("no_distillation", 60.4, 24.5, 3.03, role="control"),
    measurement("linear", 2345.6, 0.61, 117.9, role="control", runtime="ngrams"),
)
MANY = benchmark(
    *(
        measurement(name, 0.011 * 5**place, 90_000.0 / 5**place, 1.0, runtime="openvino", precision="int8")
        for place, name in enumerate([*"123456789", LONG, "student"])
        for _ in range(3)
    ),
    machine={"processor": "W" * 300, "cores": 2, "system": "Linux"},
)
ALONE = benchmark(
    measurement("student", 50.0, 20.0, None), skipped=(Skipped("teacher", "PyTorch", "its scores were given"),)
)


def shown(found: Benchmark, **options: Any) -> list[str]:
    file = io.StringIO()
    show_benchmark(found, Console(file=file, **options), "runs/imdb")
    return [line.rstrip() for line in file.getvalue().splitlines()]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_a_row_a_model_and_runtime() -> None:
    rows = [cells(line) for line in shown(ORDINARY)]
    assert rows[0] == ["runs/imdb"]
    assert ["teacher", "PyTorch fp32, padded", "90.9 MB", "19.9", "1.0x", "-", "-", "-", "13 h 58 min", "28"] in rows
    assert ["OpenVINO int8 + bf16", "90.9 MB", "218", "10.9x", "10.9 ms", "21.8 ms", "32.7 ms", "76 min", "2.5"] in rows
    assert [row[0] for row in rows if "PyTorch fp32" in row] == [
        "PyTorch fp32",  # the teacher's; its name is in the row above
        "student",
        "no distillation (control)",
    ]


def test_the_conditions_stand_below() -> None:
    lines = shown(ORDINARY)
    assert lines[-3] == "AMD EPYC, 2 threads; 256 test texts in bulk (median of 3 rounds) and 100 one at a time."
    assert lines[-1] == "ratio: documents / s, relative to the teacher's padded row."


def test_what_was_left_out_and_why() -> None:
    lines = shown(ALONE)
    assert lines[-1] == "left out: teacher, PyTorch: its scores were given"
    assert lines[-2] == "no ratio: only the teacher's scores were given."


def test_in_a_pipe_no_row_is_broken() -> None:
    assert len([line for line in shown(ORDINARY, width=40) if "90.9 MB" in line]) == 6
    assert "no distillation (control)" in "\n".join(shown(ORDINARY, width=40))


@pytest.mark.parametrize("found", [ORDINARY, MANY, ALONE], ids=["ordinary", "many", "alone"])
def test_no_text_of_the_chart_covers_another_or_leaves_the_page(found: Benchmark) -> None:
    figure = benchmark_figure(found, "imdb " + "W" * 80)
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    width, height = figure.bbox.width, figure.bbox.height
    for place, box in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height
        for other in boxes[:place]:
            assert min(box.x1, other.x1) - max(box.x0, other.x0) <= 1 or (
                # Ascenders and descenders of neighbouring lines may share a little of their boxes' height.
                min(box.y1, other.y1) - max(box.y0, other.y0) <= 0.35 * min(box.height, other.height)
            )


@pytest.mark.parametrize("found", [ORDINARY, MANY, ALONE], ids=["ordinary", "many", "alone"])
def test_every_mark_is_left_of_its_figure(found: Benchmark) -> None:
    figure = benchmark_figure(found, "imdb")
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    axes = figure.axes[0]
    figures = [text.get_window_extent(renderer) for text in axes.texts if text.get_ha() == "right"]
    for patch in axes.patches:
        box = patch.get_window_extent(renderer)
        assert box.width > 0
        beside = [each for each in figures if each.y0 <= (box.y0 + box.y1) / 2 <= each.y1 and each.x1 > box.x0]
        assert beside and all(box.x1 < each.x0 for each in beside)


def test_the_chart_is_a_png_of_its_size_and_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        draw_benchmark(ORDINARY, tmp_path / f"{name}.png", "imdb")
    content = (tmp_path / "one.png").read_bytes()
    assert content == (tmp_path / "two.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (1920, 1080)


def test_a_longer_bar_is_a_higher_rate() -> None:
    patches = benchmark_figure(ORDINARY, "imdb").axes[0].patches
    hollow = [patch for patch in patches if patch.get_facecolor() == (1.0, 1.0, 1.0, 1.0)]
    lengths = [patch.get_width() for patch in patches if patch not in hollow]  # type: ignore[attr-defined]
    rates = [each.documents_per_second for each in ORDINARY.measurements]
    assert sorted(range(6), key=lengths.__getitem__) == sorted(range(6), key=rates.__getitem__)
    assert len(hollow) == 1
