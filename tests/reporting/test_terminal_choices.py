"""What the terminal says about a choice: which texts chose, and which texts the figures are from."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from understudy.evaluation.results import Gain, Latency, ModelMetrics, ModelSpeed
from understudy.evaluation.tradeoff import Point, Tradeoff
from understudy.exporting.gate import Comparison
from understudy.inference.exported import ExportManifest
from understudy.reporting.terminal import shipped, show_export, show_tradeoff

POINT = Point(
    "3/8000",
    "student",
    "students/3-8000",
    ModelMetrics(0.91, 0.91, 0.95, 0.1, 1000, 4000),
    (0.89, 0.93),
    ModelSpeed(10.0, Latency(1.0, 2.0)),
    None,
    None,
    validation_accuracy=0.925,
)
COMPARISON = Comparison(
    texts=100,
    flips=0.01,
    flips_ci95=(0.0003, 0.0545),
    accuracy=0.9,
    source_accuracy=0.9,
    change=Gain(0.0, (-0.01, 0.01), 1.0),
    ece=0.1,
    source_ece=0.1,
    batch_texts=64,
    batch_flips=0,
    documents_per_second=20.0,
    source_documents_per_second=10.0,
    judged=100,
)
MANIFEST = ExportManifest("openvino", "int8", ["a", "b"], 256, 0, 5, {}, None, None, 9, {}, {})


def test_the_student_to_ship_has_the_accuracy_that_chose_it_and_its_test_accuracy() -> None:
    assert shipped(POINT) == "3/8000 (chosen by validation accuracy 0.9250; test 0.9100 [0.8900, 0.9300])"


@pytest.mark.parametrize(("validated", "cell"), [(0.925, "0.9250"), (None, "-")])
def test_the_frontier_shows_validation_beside_the_test_figures(validated: float | None, cell: str) -> None:
    file = io.StringIO()
    found = Tradeoff((dataclasses.replace(POINT, validation_accuracy=validated),), 100, 60)
    show_tradeoff(found, Console(file=file), "a run")
    (row,) = [line.split() for line in file.getvalue().splitlines() if line.startswith(" 3/8000")]
    assert row[:5] == ["3/8000", "0.9100", "[0.8900,", "0.9300]", cell]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "100"),
        ({"searched": 98}, "100; operators in float were chosen on 98 others"),
        ({"judged": 0}, "100, too few to judge the export"),
    ],
)
def test_an_export_says_which_texts_decided(changes: dict[str, int], words: str) -> None:
    file = io.StringIO()
    show_export(MANIFEST, dataclasses.replace(COMPARISON, **changes), Console(file=file), "an export")
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert f"{'validation texts':<21}{words}" in lines
    assert f"{'label flips':<21}1.0 % [0.0, 5.5]" in lines
