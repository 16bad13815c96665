from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes

from drawn_evidence import HISTORY, evidence
from understudy.evaluation.metrics import expected_calibration_error
from understudy.evaluation.results import Metrics
from understudy.reporting import charts, slices
from understudy.reporting.charts import Chart
from understudy.reporting.evidence import Evidence
from understudy.reporting.svg import shortened, text_width


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The axes of all charts that are drawn."""
    found: list[Axes] = []
    drawing = charts.drawing

    @contextmanager
    def watched(width: float, height: float) -> Iterator[Any]:
        with drawing(width, height) as (drawn, finish):
            found.append(drawn)
            yield drawn, finish

    monkeypatch.setattr(charts, "drawing", watched)
    monkeypatch.setattr(slices, "drawing", watched)
    return found


def every_chart(metrics: Metrics, folder: Path) -> dict[str, Chart]:
    found = evidence(metrics, folder)
    intervals = dict.fromkeys(found.probabilities, (0.5, 0.9))
    made = {
        "quality": charts.quality_chart(found, intervals),
        "reliability": charts.reliability_chart(found, "student"),
        "confusion": slices.confusion_chart(found, "teacher"),
        "lengths": slices.length_chart(found),
        "classes": slices.class_chart(found),
        "learning": charts.learning_chart(HISTORY, "A training", "teacher"),
    }
    return {name: chart for name, chart in made.items() if chart is not None}


def test_charts_are_svg_in_the_colours_of_the_page(imdb: Metrics, tmp_path: Path) -> None:
    made = every_chart(imdb, tmp_path)
    assert len(made) == 6
    for chart in made.values():
        element = ElementTree.fromstring(chart.svg)
        assert element.tag.endswith("svg")
        colours = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6}|var\(--[a-z-]+\))", chart.svg))
        assert colours and all(colour.startswith("var") for colour in colours)
        assert chart.alt.endswith(".") and chart.grid.rows
        assert {len(row) for row in chart.grid.rows} == {len(chart.grid.headings)}
        referred = set(re.findall(r'(?:url\(#|href="#)([\w-]+)', chart.svg))
        assert referred <= set(re.findall(r' id="([\w-]+)"', chart.svg))


def test_users_settings_change_nothing(imdb: Metrics, tmp_path: Path) -> None:
    import matplotlib

    found = evidence(imdb, tmp_path)
    before = slices.class_chart(found).svg
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "lines.linewidth": 9}):
        assert slices.class_chart(found).svg == before


def test_the_confusion_matrix_counts_labels_in_rows(imdb: Metrics, tmp_path: Path) -> None:
    found = evidence(imdb, tmp_path, ["a", "b", "c"], count=90)
    counts = slices.confusion(found, "student")
    assert counts.sum() == 90 and counts.sum(axis=1).tolist() == [30, 30, 30]
    predicted = found.predicted["student"]
    assert counts[0, 2] == int(((found.labels == 0) & (predicted == 2)).sum())
    rows = slices.confusion_chart(found, "student").grid.rows
    shown = {(label, answer): int(texts) for label, answer, texts, _ in rows}
    assert shown == {
        (found.classes[row], found.classes[column]): counts[row, column]
        for row, column in zip(*np.nonzero(counts), strict=True)
    }
    assert rows[-1][0] == rows[-1][1] and rows[0][0] != rows[0][1]


def titles(chart: Chart) -> list[str]:
    return [str(title.text) for title in ElementTree.fromstring(chart.svg).iter("{http://www.w3.org/2000/svg}title")]


def test_every_cell_of_a_matrix_says_what_it_is(imdb: Metrics, tmp_path: Path) -> None:
    names = [f"""class {number} {'"' * (number % 2)}<b>{"'" * (number % 3)} & title: #040404""" for number in range(77)]
    chart = slices.confusion_chart(evidence(imdb, tmp_path, names, count=300), "student")
    rows = chart.grid.rows
    assert sorted(titles(chart)) == sorted(f"{label} → {answer}: {texts}" for label, answer, texts, _ in rows)
    assert len(chart.svg) < 5_000 + 300 * len(rows)


def test_a_name_that_is_cut_is_told_in_full(imdb: Metrics, tmp_path: Path) -> None:
    names = ["short", "a name " + "that goes on " * 20]
    chart = slices.class_chart(evidence(imdb, tmp_path, names))
    assert titles(chart) == [names[1]]


def test_what_a_model_was_before_its_temperature(imdb: Metrics, tmp_path: Path) -> None:
    found = evidence(imdb, tmp_path)
    logits = np.log(found.probabilities["student"]) * 2
    before = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = expected_calibration_error(before, found.labels)
    assert charts.uncalibrated_error(found, "student") == pytest.approx(expected)
    assert charts.uncalibrated_error(found, "teacher") is None
    alt = charts.reliability_chart(found, "student").alt
    assert f"Calibration error: {expected:.4f} before calibration" in alt


def test_lengths_hold_every_text_once(imdb: Metrics, tmp_path: Path) -> None:
    found = evidence(imdb, tmp_path)
    chart = slices.length_chart(found)
    assert chart is not None
    assert sum(int(row[1]) for row in chart.grid.rows) == len(found.labels)
    ends = [tuple(map(int, row[0].split("-"))) for row in chart.grid.rows]
    assert all(low <= high for low, high in ends) and ends == sorted(ends)
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(ends))


def test_lengths_are_told_apart_where_no_spaces_are(imdb: Metrics, tmp_path: Path) -> None:
    texts = ["很好看" * (1 + number % 50) for number in range(200)]
    chart = slices.length_chart(dataclasses.replace(evidence(imdb, tmp_path), texts=texts))
    assert chart is not None
    assert chart.grid.headings[0] == "characters in the text"
    assert [row[0] for row in chart.grid.rows] == ["3-30", "33-60", "63-90", "93-120", "123-150"]


@pytest.mark.parametrize("text", ["", "the same words in each"])
def test_texts_of_one_length(imdb: Metrics, tmp_path: Path, text: str) -> None:
    chart = slices.length_chart(dataclasses.replace(evidence(imdb, tmp_path), texts=[text] * 200))
    assert chart is not None and len(chart.grid.rows) == 1


def test_shares_by_class(imdb: Metrics, tmp_path: Path) -> None:
    found = evidence(imdb, tmp_path, ["a", "b", "never"], count=100)
    only_two = dataclasses.replace(found, labels=np.arange(100) % 2)
    rows = slices.class_chart(only_two).grid.rows
    assert [row[0] for row in rows] == ["a", "b"]
    right = only_two.predicted["teacher"] == only_two.labels
    assert rows[0][2].startswith(f"{right[only_two.labels == 0].mean() * 100:.1f} %")


def test_learning_is_drawn_where_there_was_any() -> None:
    assert charts.learning_chart([], "nothing", "student") is None
    chart = charts.learning_chart(HISTORY, "A training", "student")
    assert chart is not None
    assert chart.grid.rows == (
        ("10", "0.50", "0.7000", "-"),
        ("20", "1.00", "0.3000", "-"),
        ("20", "1.00", "-", "0.8750"),
    )
    assert "from 0.700 to 0.300 over 20 steps; validation accuracy 0.875" in chart.alt


COUNTS = (2, 3, 6, 20, 77)
NAMES = {
    "short": [f"c{number}" for number in range(77)],
    "middling": [f"card_payment_wrong_{number:03d}" for number in range(77)],
    "long": [f"refund_not_showing_up_after_a_disputed_payment_number_{number}" for number in range(77)],
    "chinese": [f"退款申请没有到账问题{number}" for number in range(77)],
}


def _confusion(found: Evidence) -> Chart:
    return slices.confusion_chart(found, "student")


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize(
    "names", [pytest.param(names[:count], id=f"{name}-{count}") for name, names in NAMES.items() for count in COUNTS]
)
@pytest.mark.parametrize("draw", [_confusion, slices.class_chart])
def test_no_name_covers_another_or_is_cut(
    imdb: Metrics, tmp_path: Path, axes: list[Axes], draw: Callable[[Evidence], Chart], names: list[str]
) -> None:
    draw(evidence(imdb, tmp_path, names, count=4 * len(names)))
    (drawn,) = axes
    page = drawn.figure.bbox
    pitches = np.abs(np.diff(drawn.transData.transform([(0, 0), (1, 1)]), axis=0)[0])
    for axis, pitch in zip((drawn.xaxis, drawn.yaxis), pitches, strict=True):
        labels = [label for label in axis.get_ticklabels() if re.search(r"[^\W\d_]", label.get_text())]
        boxes = [label.get_window_extent() for label in labels]
        assert all(page.contains(*box.min) and page.contains(*box.max) for box in boxes)
        assert not any(box.overlaps(axis.label.get_window_extent()) for box in boxes)
        for label, box in zip(labels, boxes, strict=True):
            turned = np.sin(np.radians(label.get_rotation()))
            height = label.get_fontsize() * drawn.figure.dpi / 72
            along = height / turned if turned else box.width if axis is drawn.xaxis else height
            assert along < pitch


@pytest.mark.acceptance
def test_a_matrix_has_its_room_whatever_the_names_are(imdb: Metrics, tmp_path: Path, axes: list[Axes]) -> None:
    for names in NAMES.values():
        for count in (2, 3, 6, 12, 20):
            _confusion(evidence(imdb, tmp_path, names[:count], count=4 * count))
    shares = [each.bbox.width / each.figure.bbox.width for each in axes]
    assert len(shares) == 20 and min(shares) > 0.55


def test_a_long_name_keeps_its_ends() -> None:
    name = NAMES["long"][21]
    short = shortened(name, 9, 1.5)
    beginning, end = short.split("…")
    assert name.startswith(beginning) and name.endswith(end) and abs(len(beginning) - len(end)) <= 1
    assert 1.3 < text_width(short, 9) <= 1.5
    assert shortened("as\nit  is", 9, 1.5) == "as it is"
    assert shortened(name, 9, 0) == "…"
