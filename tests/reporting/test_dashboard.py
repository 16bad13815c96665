from __future__ import annotations

import dataclasses
import itertools
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from understudy.evaluation.results import Controls, Metrics, Verdict
from understudy.reporting import dashboard, panels
from understudy.reporting.canvas import PANEL, STUDENT, TEACHER
from understudy.reporting.dashboard import dashboard_figure, draw_dashboard


def texts(figure: Figure) -> list[Text]:
    return [text for axes in figure.axes for text in axes.texts if text.get_text()]


def words(metrics: Metrics, title: str = "a run") -> list[str]:
    return [text.get_text() for text in texts(dashboard_figure(metrics, title))]


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts(figure)]


def dots(figure: Figure) -> list[Any]:
    return [line for axes in figure.axes for line in axes.lines if line.get_marker() not in ("", "None")]


def bars(figure: Figure, colour: str) -> list[Rectangle]:
    """Bars of a colour from top to bottom; the verdict's box is not one."""
    patches = [patch for axes in figure.axes for patch in axes.patches if isinstance(patch, Rectangle)]
    found = [patch for patch in patches if to_hex(patch.get_facecolor()) == colour.lower() and patch.get_height() == 7]
    return sorted(found, key=lambda patch: (patch.get_x() // panels.PANEL_WIDTH, -patch.get_y()))


def overlap(one: Bbox, other: Bbox) -> bool:
    return bool(one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1)


def test_is_a_png_of_a_slide_s_size(imdb: Metrics, tmp_path: Path) -> None:
    path = tmp_path / "report" / "dashboard.png"
    draw_dashboard(imdb, path, "imdb")
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (1920, 1080)
    assert b"Software" not in content
    svg = path.with_suffix(".svg").read_text(encoding="utf-8")
    assert svg.rstrip().endswith("</svg>") and "<text" not in svg and "<dc:date>" not in svg
    assert sorted(file.name for file in path.parent.iterdir()) == ["dashboard.png", "dashboard.svg"]


@pytest.mark.filterwarnings("error")
def test_same_metrics_give_the_same_bytes_in_threads_and_under_any_configuration(imdb: Metrics, tmp_path: Path) -> None:
    def draw(name: str) -> bytes:
        draw_dashboard(imdb, tmp_path / name, "imdb")
        return (tmp_path / name).read_bytes() + (tmp_path / name).with_suffix(".svg").read_bytes()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(draw, ("first.png", "second.png"))
    backend = matplotlib.get_backend(auto_select=False)
    settings: Any = {"font.family": "serif", "savefig.dpi": 50, "savefig.bbox": "tight", "figure.autolayout": True}
    with matplotlib.rc_context(settings):
        configured = draw("configured.png")
    assert first == second == configured
    assert matplotlib.get_backend(auto_select=False) == backend
    draw_dashboard(dataclasses.replace(imdb, parameter_fraction=0.5), tmp_path / "other.png", "imdb")
    assert (tmp_path / "other.png").read_bytes() != first


def test_a_failed_drawing_leaves_the_old_one(imdb: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dashboard.png"
    path.write_bytes(b"old")

    def half(self: Any, target: Path, **_: Any) -> None:
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", half)
    with pytest.raises(OSError, match="disk full"):
        draw_dashboard(imdb, path, "imdb")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_texts_overlap_or_leave_the_page(case: Any) -> None:
    found = boxes(dashboard_figure(case.metrics, case.title))
    assert len(found) > 40
    outside = [text for text, box in found if box.x0 < 0 or box.y0 < 0 or box.x1 > 1920 or box.y1 > 1080]
    assert outside == []
    pairs = [(a, b) for (a, one), (b, other) in itertools.combinations(found, 2) if overlap(one, other)]
    assert pairs == []


def test_no_mark_touches_a_text(case: Any) -> None:
    figure = dashboard_figure(case.metrics, case.title)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    (axes,) = figure.axes
    marks = [line.get_window_extent(renderer) for line in axes.lines]
    marks += [patch.get_window_extent(renderer) for patch in axes.patches if patch.get_height() == 7]  # type: ignore[attr-defined]
    assert len(marks) > 20
    assert [text for text, box in boxes(figure) for mark in marks if overlap(box, mark)] == []


def test_cards_hold_their_texts(case: Any) -> None:
    figure = dashboard_figure(case.metrics, case.title)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    (axes,) = figure.axes
    cards = [
        patch.get_window_extent(renderer) for patch in axes.patches if to_hex(patch.get_facecolor()) == PANEL.lower()
    ]
    assert len(cards) == 3
    top = cards[0].y1
    inside = [(text, box) for text, box in boxes(figure) if box.y0 < top]
    for text, box in inside:
        assert any(c.x0 < box.x0 and box.x1 < c.x1 and c.y0 < box.y0 and box.y1 < c.y1 for c in cards), text


def test_says_what_was_measured(imdb: Metrics) -> None:
    found = words(imdb, "imdb")
    for text in (
        "imdb",
        "REPLACE",
        "distillation: helped",
        "98.9 %",
        "accuracy retention, 95 % interval [98.6, 99.2]",
        "F1 retention 98.9 % [98.5, 99.2]",
        "distillation: +0.48 points [+0.18, +0.78], p = 0.002",
        "0.9211",
        "0.9111",
        "0.9063",
        "0.8931",
        "0.9106",
        "61.2 %",
        "61.2 % of its size on disk",
        "109.5 M",
        "67.0 M",
        "1.2 M",
        "438.0 MB",
        "1.9×",
        "efficiency ratio 1.62 =",
        "104",
        "202",
        "9.60 / 11.3 ms",
        "1.21 s",
        "637 ms",
    ):
        assert text in found, text
    together = " ".join(found)
    assert imdb.verdict.text in together
    assert "cuda (Tesla T4), 2 threads, float16; batches padded to 256 tokens" in together
    assert "Zoomed axis: it does not start at 0." in together


def test_a_long_verdict_is_whole(case: Any) -> None:
    together = " ".join(words(case.metrics, case.title))
    if case.name == "long_names":
        assert "…" in together
        assert "costs $5 or $6" in together
    else:
        assert case.metrics.verdict.text in together
        assert "…" not in together


def test_dollar_signs_are_no_formulas(imdb: Metrics) -> None:
    figure = dashboard_figure(imdb, "from $5 to $6")
    assert not any(text.get_parse_math() or text.get_usetex() for text in texts(figure))


def test_controls_that_were_left_out_leave_no_trace(imdb: Metrics) -> None:
    without = dataclasses.replace(imdb, controls=Controls(), distillation_gain=None)
    found = words(without)
    assert "distillation gain: not measured" in found
    assert not {"No distillation", "Linear"} & set(found)
    assert {"No distillation", "Linear"} <= set(words(imdb))
    assert len(dots(dashboard_figure(without, "a run"))) == 4


def test_what_nobody_knows_of_a_teacher_has_no_bar_and_no_figure(scores_given: Metrics) -> None:
    found = words(scores_given)
    assert {"67.0 M", "parameters of the student", "202", "documents per second by the student"} <= set(found)
    assert found.count("teacher unknown: only its scores were given") == 2
    assert not {"61.2 %", "109.5 M", "438.0 MB", "1.9×", "104"} & set(found)
    assert found.count("Teacher") == 2  # accuracy and F1
    figure = dashboard_figure(scores_given, "a run")
    assert len(bars(figure, STUDENT)) == 5 and not bars(figure, TEACHER)


def test_dots_stand_where_their_values_are(imdb: Metrics) -> None:
    figure = dashboard_figure(imdb, "a run")
    ticks = {text.get_text(): text.get_position()[0] for text in texts(figure) if text.get_text() in ("0.85", "0.95")}
    per_point = (ticks["0.95"] - ticks["0.85"]) / 10
    models = (imdb.teacher, imdb.student, imdb.controls.no_distillation, imdb.controls.linear)
    expected = [getattr(model, name) for name in ("accuracy", "f1") for model in models]
    places = [dot.get_xydata()[0][0] for dot in dots(figure)]
    found = [0.85 + (place - ticks["0.85"]) / per_point / 100 for place in places]
    assert found == pytest.approx(expected)


def test_each_seed_has_a_small_dot_under_its_model(imdb: Metrics, seeded: Metrics) -> None:
    figure = dashboard_figure(seeded, "a run")
    small = [dot.get_xydata()[0] for dot in dots(figure) if dot.get_markersize() < 3]
    ticks = {text.get_text(): text.get_position()[0] for text in texts(figure) if text.get_text() in ("0.85", "0.95")}
    per_point = (ticks["0.95"] - ticks["0.85"]) / 10
    found = [0.85 + (x - ticks["0.85"]) / per_point / 100 for x, _ in small]
    assert found == pytest.approx([0.9111, 0.9135, 0.9081, 0.9063, 0.9012, 0.9021])
    together = " ".join(words(seeded))
    assert "distillation, 3 seeds: +0.77 points [+0.31, +1.23], p < 0.001" in together
    assert "Small dots: single seeds." in together
    assert "Small dots" not in " ".join(words(imdb))


def test_bars_start_at_zero_and_are_in_proportion(imdb: Metrics) -> None:
    figure = dashboard_figure(imdb, "a run")
    teacher, student = bars(figure, TEACHER), bars(figure, STUDENT)
    assert [bar.get_x() for bar in teacher] == [bar.get_x() for bar in student]
    found = [small.get_width() / large.get_width() for small, large in zip(student, teacher, strict=True)]
    speed = imdb.speed
    assert found == pytest.approx(
        [
            imdb.student.parameters / imdb.teacher.parameters,
            imdb.student.bytes / imdb.teacher.bytes,
            speed.student.documents_per_second / speed.teacher.documents_per_second,
            speed.student.latency_ms.p50 / speed.teacher.latency_ms.p50,
            speed.batch128.student_ms / speed.batch128.teacher_ms,
        ]
    )


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([0.9211, 0.8931], (0.85, 0.95)),
        ([0.92, 0.92], (0.85, 0.95)),
        ([1.0, 1.0], (0.9, 1.0)),
        ([0.0, 0.0], (0.0, 0.1)),
        ([0.05, 1.0], (0.0, 1.0)),
        ([0.79, 0.93], (0.75, 0.95)),
        ([0.99, 1.02], (0.9, 1.0)),
    ],
)
def test_zoom_holds_all_values_and_shows_at_least_ten_points(values: list[float], ends: tuple[float, float]) -> None:
    low, high, step = dashboard._zoom(values)
    assert (low, high) == pytest.approx(ends)
    assert (high - low) / step <= 4.001


def test_verdict_has_the_colour_of_the_model_on_stage_and_its_word(imdb: Metrics) -> None:
    for code, word, colour in (
        ("replace", "REPLACE", STUDENT),
        ("keep_teacher", "KEEP TEACHER", TEACHER),
    ):
        verdict = Verdict(code, "hurt", "Because.")  # type: ignore[arg-type]
        figure = dashboard_figure(dataclasses.replace(imdb, verdict=verdict), "a run")
        badges = [patch for patch in figure.axes[0].patches if patch.get_height() == 19]  # type: ignore[attr-defined]
        assert [to_hex(badge.get_facecolor()) for badge in badges] == [colour.lower()]
        assert word in [text.get_text() for text in texts(figure)]


def test_importing_the_reports_loads_nothing_heavy() -> None:
    code = (
        "import sys, understudy.reporting.dashboard, understudy.reporting.terminal; "
        "print([name for name in ('matplotlib', 'torch', 'rich') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
