from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn_evidence import evidence
from understudy.evaluation.results import Metrics
from understudy.evaluation.significance import gain
from understudy.inference.exported import ExportManifest
from understudy.reporting.page import MOST_DISAGREEMENTS, disagreements, render, write_report
from understudy.timing.figures import Benchmark, Cost, Measurement, Percentiles, Side

VOID = {"meta", "link", "img", "input", "br"}
MARKUP = '<script>alert(1)</script> & "quotes" <img src=x onerror=alert(1)> </table> {{ 7 * 7 }}'


CPU: Any = ("fp32", "cpu", 2)


class Page(HTMLParser):
    """Tags in order, addresses, ids, and whether every element is closed where it should be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attributes)
        self.addresses += [str(found[name]) for name in ("src", "href", "xlink:href", "action") if name in found]
        self.ids += [str(found["id"])] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_asks_nobody(imdb: Metrics, tmp_path: Path) -> None:
    page = Page(render(evidence(imdb, tmp_path)))
    assert page.open == []
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert page.tags.count("script") == 1


@pytest.mark.usefixtures("no_charts")
def test_three_questions_are_answered_before_anything_else(imdb: Metrics, tmp_path: Path) -> None:
    text = Page(render(evidence(imdb, tmp_path))).text
    places = [text.index(words) for words in ("Can I swap it in?", "What do I lose?", "What do I gain?", "Quality on")]
    assert places == sorted(places)
    assert "Yes" in text[places[0] : places[1]] and "98.9 %" in text[places[0] : places[1]]
    found = evidence(imdb, tmp_path)
    lost = gain(found.predicted["student"], found.predicted["teacher"], found.labels)
    assert lost.accuracy < 0
    assert f"{-lost.accuracy * 100:.2f} points" in text[places[1] : places[2]]
    assert f"[{lost.ci95[0] * 100:+.2f}, {lost.ci95[1] * 100:+.2f}]" in text[places[1] : places[2]]
    assert "1.9×" in text[places[2] : places[3]]
    assert imdb.verdict.text in " ".join(text.split())


def test_every_table_can_be_scrolled_by_keyboard_and_has_a_name(imdb: Metrics, tmp_path: Path) -> None:
    page = render(evidence(imdb, tmp_path))
    regions = re.findall(r'<div class="scroll" role="region" aria-label="([^"]*)" tabindex="0">', page)
    assert len(regions) == page.count('class="scroll"') == page.count("<table") > 10
    assert all(regions)


@pytest.mark.usefixtures("no_charts")
def test_a_long_table_is_cut_on_paper_and_says_so(imdb: Metrics, tmp_path: Path) -> None:
    many = {f"stage {number}": 1.0 for number in range(99)}
    page = render(evidence(dataclasses.replace(imdb, seconds=many), tmp_path))
    assert "On paper: the first 60 of 100 rows." in page
    assert page.count('<tr class="late">') == 40


@pytest.mark.usefixtures("no_charts")
def test_every_kind_of_metrics_has_a_page(case: Any, tmp_path: Path) -> None:
    page = Page(render(evidence(case.metrics, tmp_path)))
    assert page.open == []
    assert "None" not in page.text
    assert "nan" not in page.text.lower().split()


def test_the_same_evidence_gives_the_same_page(imdb: Metrics, tmp_path: Path) -> None:
    assert render(evidence(imdb, tmp_path)) == render(evidence(imdb, tmp_path))


@pytest.mark.usefixtures("no_charts")
def test_texts_and_names_are_only_text(imdb: Metrics, tmp_path: Path) -> None:
    texts = [f"{number} {MARKUP}" for number in range(200)]
    html = render(evidence(imdb, tmp_path, ["<b>bad</b>", "good & fine"], texts=texts))
    page = Page(html)
    assert page.open == []
    assert page.tags.count("script") == 1 and "b" not in page.tags
    assert MARKUP in page.text and "<b>bad</b>" in page.text and "few <b>texts</b>" in page.text
    assert not re.search(r"<[^>]*\sonerror=", html)


@pytest.mark.usefixtures("no_charts")
def test_without_texts_none_is_on_the_page(imdb: Metrics, tmp_path: Path) -> None:
    texts = [f"private {number}" for number in range(200)]
    assert "private" in Page(render(evidence(imdb, tmp_path, texts=texts))).text
    found = evidence(imdb, tmp_path, texts=texts).with_texts(False)
    left_out = Page(render(found)).text
    assert "private" not in left_out and "report.texts = false" in left_out
    assert disagreements(found)[0].id in left_out


def test_texts_that_are_gone(imdb: Metrics, tmp_path: Path) -> None:
    found = dataclasses.replace(evidence(imdb, tmp_path), texts=None)
    text = Page(render(found)).text
    assert "test.csv no longer contains them" in text and "Quality by length is left out" in text


def test_disagreements_come_farthest_apart_first(imdb: Metrics, tmp_path: Path) -> None:
    found = evidence(imdb, tmp_path)
    apart = disagreements(found)
    assert len(apart) == int((found.predicted["teacher"] != found.predicted["student"]).sum()) > 5
    assert [each.distance for each in apart] == sorted((each.distance for each in apart), reverse=True)
    first = apart[0]
    row = found.ids.tolist().index(first.id.encode())
    gap = np.abs(found.probabilities["teacher"][row] - found.probabilities["student"][row]).sum() / 2
    assert first.distance == pytest.approx(gap)
    assert found.texts is not None and (first.text or "") + first.rest == found.texts[row]
    right = {"teacher": found.predicted["teacher"][row], "student": found.predicted["student"][row]}
    assert first.right == next(name for name, answer in right.items() if answer == found.labels[row])


@pytest.mark.usefixtures("no_charts")
def test_of_many_disagreements_only_so_many_are_shown(imdb: Metrics, tmp_path: Path) -> None:
    found = evidence(imdb, tmp_path, count=6000)
    assert len(disagreements(found)) == MOST_DISAGREEMENTS
    assert f"{MOST_DISAGREEMENTS} of " in Page(render(found)).text


@pytest.mark.usefixtures("no_charts")
def test_a_long_text_is_cut_and_says_so(imdb: Metrics, tmp_path: Path) -> None:
    found = evidence(imdb, tmp_path, texts=[f"{number} " + "x" * 10_000 for number in range(200)])
    assert all(each.cut and len((each.text or "") + each.rest) == 3000 for each in disagreements(found))
    assert len(render(found)) < 1_000_000


@pytest.mark.parametrize("count", [2, 77])
def test_many_classes(imdb: Metrics, tmp_path: Path, count: int) -> None:
    classes = [f"class {number} <b> #010101" for number in range(count)]
    page = Page(render(evidence(imdb, tmp_path, classes, count=4 * count)))
    assert page.open == [] and "b" not in page.tags
    assert all(name in page.text for name in classes) and "<b> var(--" not in page.text


@pytest.mark.usefixtures("no_charts")
def test_every_machine_that_did_something_is_named_with_what_it_did(imdb: Metrics, tmp_path: Path) -> None:
    found = evidence(imdb, tmp_path)
    assert "machinea processor, 2" in _cells(render(found))
    found.manifest.content["stages"]["student"]["machine"] = {"processor": "another", "cores": 64}
    cells = _cells(render(found))
    assert "machine of teachera processor, 2" in cells and "machine of studentanother, 64" in cells


def _cells(html: str) -> str:
    return Page(html).text.replace("\n", "")


@pytest.mark.usefixtures("no_charts")
def test_the_report_is_written_whole(imdb: Metrics, tmp_path: Path) -> None:
    path = tmp_path / "report" / "report.html"
    write_report(evidence(imdb, tmp_path), path)
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]


def measurement(
    name: str, runtime: Any, rate: float, size: int, *, precision: Any = "fp32", padded: bool = False
) -> Any:
    side = Side(
        name,
        "teacher" if name == "teacher" else "student",
        f"export/{precision}",
        runtime,
        precision,
        *CPU,
        size,
        padded,
    )
    return Measurement(side, rate, (rate,), rate / 10, Percentiles(1, 2, 3), Cost(1, 1))


@pytest.mark.usefixtures("no_charts")
def test_what_is_gained_is_that_of_the_fastest_ways_and_says_how_good_the_export_is(
    imdb: Metrics, tmp_path: Path
) -> None:
    measured = (
        measurement("teacher", "pytorch", 10, 800, padded=True),
        measurement("teacher", "pytorch", 40, 800),
        measurement("student", "pytorch", 60, 400),
        measurement("student", "openvino", 100, 100, precision="int8"),
    )
    found = Benchmark({"processor": "p"}, "cpu", 2, {}, 256, 10, 5, 3, measured, ())
    drawn = dataclasses.replace(evidence(imdb, tmp_path), benchmark=found)
    text = Page(render(drawn)).text
    gained = text[text.index("What do I gain?") : text.index("Quality on")]
    assert "2.5×" in gained and "OpenVINO int8 against PyTorch fp32" in gained and "8.0× smaller" in gained
    assert "validation texts" not in gained  # the export is gone
    assert "Ratio: documents / s" in text and "No ratio" not in text
    assert "Padded: batches of 128, all padded to 256 tokens" in text
    gate = {"texts": 1000, "flips": 0.007, "change": {"accuracy": 0.005, "ci95": [0.0, 0.011], "p_value": 0.1}}
    files = {"openvino_model.xml": "", "openvino_model.bin": "", "tokenizer.json": "", "config.json": ""}
    ExportManifest("openvino", "int8", ["a", "b"], 256, 0, 5, {}, None, gate, 9, files, {}).save(
        drawn.run.root / "export" / "int8"
    )
    changes = (
        "On 1,000 validation texts the int8 export changes 0.70 % of the student's labels and its accuracy by +0.50"
    )
    assert changes in Page(render(drawn)).text


@pytest.mark.usefixtures("no_charts")
def test_a_student_that_is_better_loses_nothing_and_one_that_is_larger_is_not_called_smaller(
    imdb: Metrics, tmp_path: Path
) -> None:
    found = evidence(dataclasses.replace(imdb, student=dataclasses.replace(imdb.student, bytes=10**9)), tmp_path)
    swapped = {"teacher": found.probabilities["student"], "student": found.probabilities["teacher"]}
    better = dataclasses.replace(found, probabilities={**found.probabilities, **swapped})
    text = Page(render(better)).text
    lost = text[text.index("What do I lose?") : text.index("What do I gain?")]
    assert "Nothing" in lost and "+" in lost
    assert "larger on disk" in text and "smaller" not in text[text.index("What do I gain?") : text.index("Quality on")]
