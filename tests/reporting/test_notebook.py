"""How results show themselves in notebooks."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from understudy.data.findings import Audit, Finding
from understudy.errors import UnderstudyError
from understudy.evaluation.results import Latency, Metrics, ModelMetrics, ModelSpeed
from understudy.evaluation.tradeoff import Point, Tradeoff
from understudy.recipe.recipe import Recipe
from understudy.run.frontier import Frontier
from understudy.run.pipeline import Run


class _Page(HTMLParser):
    """Rows of text, the attributes of pictures, and whether every tag was closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.pictures: list[dict[str, str | None]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"table", "tr", "td", "th", "p", "b", "pre", "img"}
        if tag == "img":
            self.pictures.append(dict(attrs))
            return
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._open[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += data


def page(shown: Any) -> _Page:
    html = shown._repr_html_()
    # Colours are the page's, be it light or dark.
    assert not re.search(r"color|background|<script|<style", re.sub(r'src="[^"]*"|color: inherit', "", html))
    return _Page(html)


def test_metrics_are_the_terminals_table_and_findings(imdb: Metrics) -> None:
    rows = page(imdb).rows
    assert rows[0] == ["", "teacher", "student", "student / teacher", "no distillation", "linear"]
    assert rows[1] == ["accuracy", "0.9211", "0.9111", "98.9 % [98.6, 99.2]", "0.9063", "0.8931"]
    assert ["verdict", "REPLACE, distillation helped"] in rows
    found = imdb.recommendation
    assert found is not None
    assert ["", imdb.verdict.text] in rows
    assert [row[0] for row in rows[-2:]] == ["recommendation", "next step"]
    assert rows[-2][1].endswith(found.reason) and rows[-1][1] == found.next_step
    assert len(imdb._repr_html_()) < 10_000


def test_metrics_of_every_kind_can_be_shown(case: Any) -> None:
    rows = page(case.metrics).rows
    assert len({len(row) for row in rows}) == 2  # the table's and the findings'


def test_a_finished_run_shows_figures_and_dashboard(finished: Any) -> None:
    shown = page(Run(finished.out))
    assert str(finished.out) in shown.text
    assert ["accuracy", f"{Run(finished.out).metrics.teacher.accuracy:.4f}"] == shown.rows[1][:2]
    (picture,) = shown.pictures
    assert str(picture["src"]).startswith("data:image/png;base64,iVBOR")


def test_a_run_without_a_dashboard(finished_copy: Any) -> None:
    (finished_copy.out / "report" / "dashboard.png").unlink()
    assert page(Run(finished_copy.out)).pictures == []


def test_a_run_that_is_not_finished_has_nothing_to_show(tmp_path: Path) -> None:
    assert Run(tmp_path)._repr_html_() is None
    with pytest.raises(UnderstudyError):
        Run(tmp_path).metrics  # noqa: B018


def test_text_from_outside_is_escaped(imdb: Metrics, make_recipe: Callable[..., Recipe]) -> None:
    bad = "<img src=x onerror='alert(1)'> & more"
    recipe = make_recipe(description=bad, data={"labels": ["<b>", "&"]})
    audit = Audit((Finding("warning", "leak", bad),))
    for shown in (recipe, audit):
        html = shown._repr_html_()
        assert "<img" not in html and "<b>" not in html and "&lt;img src=x" in html
        assert bad in "".join(page(shown).text)
    tradeoff = Tradeoff((_point(bad),), 60)
    assert "<img src=x" not in Frontier(Path("<img src=x>"), tradeoff)._repr_html_()


def test_a_recipe_is_its_toml(make_recipe: Callable[..., Recipe]) -> None:
    recipe = make_recipe()
    assert "".join(page(recipe).text) == recipe.to_toml()


def test_an_audit_lists_its_findings() -> None:
    audit = Audit((Finding("error", "leak", "a text twice"), Finding("note", "cut", "long texts")))
    assert page(audit).rows == [["error", "leak", "a text twice"], ["note", "cut", "long texts"]]
    assert page(Audit(())).text == ["no findings"]


def _point(name: str, accuracy: float = 0.9) -> Point:
    metrics = ModelMetrics(accuracy, accuracy, 0.9, 0.1, 1000, 4000)
    return Point(name, "student", "student", metrics, (0.8, 1.0), ModelSpeed(10.0, Latency(1.0, 2.0)), None, None)


def test_a_frontier_shows_its_students_best_first(tmp_path: Path) -> None:
    shown = page(Frontier(tmp_path, Tradeoff((_point("1", 0.8), _point("3", 0.9)), 60)))
    assert [row[:2] for row in shown.rows[1:3]] == [["3", "0.9000"], ["1", "0.8000"]]
    assert shown.rows[-1][0].startswith("* No other student")
    assert shown.pictures == []
