from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
from rich.console import Console

from drawn_evidence import evidence
from understudy.data.tokens import text_ids
from understudy.evaluation.results import Metrics
from understudy.evaluation.significance import gain
from understudy.reporting.comparison import compare_runs, write_comparison
from understudy.reporting.evidence import Evidence
from understudy.reporting.terminal import show_comparison
from understudy.storage.files import write_text


def pair(metrics: Metrics, folder: Path) -> tuple[Evidence, Evidence]:
    """Two runs on the same texts, the second in another order and with the teacher's answers as its student's."""
    first = evidence(metrics, folder / "first")
    order = np.random.default_rng(1).permutation(len(first.labels))
    shuffled = {name: values[order] for name, values in first.probabilities.items()}
    other = evidence(metrics, folder / "second")
    recipe = other.recipe.model_copy(update={"seed": 7, "name": "other"})
    second = dataclasses.replace(
        other,
        recipe=recipe,
        ids=first.ids[order],
        labels=first.labels[order],
        probabilities={**shuffled, "student": shuffled["teacher"]},
    )
    return first, second


def test_students_are_compared_text_by_text(imdb: Metrics, tmp_path: Path) -> None:
    first, second = pair(imdb, tmp_path)
    found = compare_runs([first, second])
    expected = gain(first.predicted["teacher"], first.predicted["student"], first.labels)
    assert found.runs[0].difference is None
    assert found.runs[1].difference is not None
    assert found.runs[1].difference.accuracy == expected.accuracy > 0
    assert found.runs[1].difference.p_value == expected.p_value
    assert [each.name for each in found.runs] == ["first", "second"]
    assert found.options == {"seed": ("0", "7")}


def test_classes_are_matched_by_name_and_repeated_texts_by_label(imdb: Metrics, tmp_path: Path) -> None:
    first = evidence(imdb, tmp_path / "first", texts=["the same text"] * 200)
    other = evidence(imdb, tmp_path / "second", texts=["the same text"] * 200)
    turned = dataclasses.replace(
        other,
        classes=other.classes[::-1],
        labels=1 - other.labels,
        probabilities={name: values[:, ::-1] for name, values in other.probabilities.items()},
    )
    difference = compare_runs([first, turned]).runs[1].difference
    assert difference is not None and difference.accuracy == 0.0


def test_other_texts_are_not_compared(imdb: Metrics, tmp_path: Path) -> None:
    first, second = pair(imdb, tmp_path)
    other_texts = dataclasses.replace(second, ids=text_ids([f"other {number}" for number in range(200)]))
    other_labels = dataclasses.replace(second, labels=1 - second.labels)
    found = compare_runs([first, other_texts, other_labels])
    assert [each.difference for each in found.runs] == [None, None, None]


def test_runs_of_one_name_are_told_apart(imdb: Metrics, tmp_path: Path) -> None:
    runs = [evidence(imdb, tmp_path / name / "run") for name in ("a", "b")]
    assert [each.name for each in compare_runs(runs).runs] == ["a/run", "b/run"]


def test_the_page_and_the_table(imdb: Metrics, tmp_path: Path) -> None:
    runs = [*pair(imdb, tmp_path), evidence(imdb, tmp_path / "<b>third")]
    found = compare_runs(runs)
    write_text(runs[0].run.page, "its page")
    write_comparison(found, runs, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("Full report") == 1
    assert page.count("<figure>") == 1 + 3 * len(runs)
    assert "Comparison of 3 runs" in page and "&lt;b&gt;third" in page and "<b>third" not in page
    output = io.StringIO()
    show_comparison(found, Console(file=output, width=80))
    assert "second" in output.getvalue() and "98.9 % [98.6, 99.2]" in output.getvalue()
