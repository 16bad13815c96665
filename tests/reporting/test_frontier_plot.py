"""The frontier's chart has room for all names of students and recipes."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from understudy.evaluation.results import Latency, ModelMetrics, ModelSpeed
from understudy.evaluation.tradeoff import Point, Role, Tradeoff
from understudy.reporting.frontier_plot import frontier_figure


def point(name: str, accuracy: float, rate: float, role: Role = "student") -> Point:
    return Point(
        name,
        role,
        f"students/{name}",
        ModelMetrics(accuracy, accuracy, None, 0.1, 1000, round(1e9 / rate)),
        (accuracy - 0.01, accuracy + 0.01),
        ModelSpeed(rate, Latency(1000 / rate, 2000 / rate)),
        0.0,
        1.0,
    )


def tradeoff(students: list[str]) -> Tradeoff:
    """The linear control is faster than every student, and no less accurate than any but the first."""
    slow = [point(name, 0.93 - 0.005 * place, 20 + 5 * place) for place, name in enumerate(students)]
    return Tradeoff(
        (point("teacher", 0.95, 10, "teacher"), *slow, point("linear", 0.926, 1000, "control")),
        100,
    )


def texts(figure: Figure) -> list[Text]:
    """All texts except those of the ticks, some of which are not drawn."""
    return [text for group in (figure, *figure.axes) for text in group.texts if text.get_text()]


def test_long_names_stay_in_the_picture() -> None:
    students = [f"an-organisation/an-encoder-with-a-long-name-of-{layers}-layers/{layers}000" for layers in range(1, 9)]
    figure = frontier_figure(tradeoff(students), "A recipe with a name that says everything " * 4)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = {text.get_text(): text.get_window_extent(renderer) for text in texts(figure)}
    page = figure.bbox
    assert [name for name, box in boxes.items() if not (page.contains(*box.min) and page.contains(*box.max))] == []


def test_short_names_are_written_in_full() -> None:
    written = [text.get_text() for text in texts(frontier_figure(tradeoff(["6", "3", "2/8000"]), "imdb"))]
    assert {"imdb", "6", "3", "2/8000", "teacher", "linear (control)"} <= set(written)
    beaten = (
        "Slower than the linear control, and not more accurate on the test texts: 3 (p = 1.000), 2/8000 (p = 1.000)."
    )
    assert beaten in written


def test_validation_names_the_best_student_and_the_test_set_gives_its_figures() -> None:
    found = tradeoff(["6", "3"])
    teacher, six, three, linear = found.points
    six, three = (replace(each, validation_accuracy=value) for each, value in ((six, 0.90), (three, 0.95)))
    chosen = "Most accurate student on the validation texts: 3. On the test texts it reaches 0.9250 at 25.0 documents/s"
    between = "Students: 0.9250 to 0.9300 on the test texts; teacher 0.9500 at 10.0."
    for count, sentence in ((50, chosen), (49, between)):
        figure = frontier_figure(replace(found, points=(teacher, six, three, linear), validation_texts=count), "imdb")
        assert any(text.get_text().startswith(sentence) for text in texts(figure))
