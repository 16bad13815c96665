"""The report: one page that opens in any browser without a network, for sceptical readers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from understudy.errors import ModelError
from understudy.evaluation.significance import FEW_TEXTS, accuracy_interval, gain
from understudy.inference.exported import ExportManifest
from understudy.reporting import charts, formats, sections, slices
from understudy.reporting.evidence import Evidence
from understudy.reporting.figures import SCORES_ONLY, benchmark_notes, recommended
from understudy.storage.files import write_text
from understudy.storage.layout import source_of_test
from understudy.timing.figures import Side

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_DISAGREEMENTS = 300
"""How many texts with different answers the page shows. More would make it heavy, and nobody would read them."""

_BEGINNING = 300
_LONGEST_TEXT = 3000
_WORDS = {"replace": "Yes", "inconclusive": "Not proven", "keep_teacher": "No"}


@dataclass(frozen=True)
class Disagreement:
    """A text for which teacher and student give different labels.

    Attributes:
        id: The text's id.
        text: Its beginning; None if texts are left out.
        rest: The text after that.
        cut: Whether even `rest` ends before the text does.
        label: Its label.
        teacher: The teacher's answer and its probability.
        student: The student's answer and its probability.
        right: `teacher`, `student` or `neither`.
        distance: Total variation distance between their probabilities, 0 to 1.
    """

    id: str
    text: str | None
    rest: str
    cut: bool
    label: str
    teacher: str
    student: str
    right: str
    distance: float


@dataclass(frozen=True)
class _Answer:
    """The answer to a question at the top of the page: a figure, and sentences about it."""

    figure: str
    text: str


def write_report(evidence: Evidence, path: Path) -> None:
    """Renders the page.

    Args:
        evidence: The finished run's.
        path: The page, which is written whole or not at all.
    """
    write_text(path, render(evidence))


def render(evidence: Evidence) -> str:
    """The page as HTML; the same evidence gives the same page."""
    intervals = {name: accuracy_interval(each, evidence.labels) for name, each in evidence.predicted.items()}
    compared = [name for name in ("teacher", "student") if name in evidence.probabilities]
    return (
        environment()
        .get_template("report.html")
        .render(
            evidence=evidence,
            metrics=evidence.metrics,
            word=_WORDS[evidence.metrics.verdict.code],
            recommended=recommended(evidence.metrics),
            recommendation=sections.recommendation_table(evidence),
            lost=_lost(evidence),
            gained=_gained(evidence),
            dashboard=sections.picture(evidence.run.dashboard),
            quality_table=sections.quality_table(evidence, intervals),
            few_texts=FEW_TEXTS,
            quality=charts.quality_chart(evidence, intervals),
            seeds=sections.seeds_table(evidence.metrics.seeds),
            confusions=[slices.confusion_chart(evidence, name) for name in compared],
            reliability=[charts.reliability_chart(evidence, name) for name in compared],
            calibration=sections.calibration_table(evidence),
            agreement=sections.agreement_table(evidence),
            disagreements=disagreements(evidence),
            differing=int((evidence.predicted["teacher"] != evidence.predicted["student"]).sum()),
            texts_why=_why_no_texts(evidence),
            lengths=slices.length_chart(evidence),
            by_class=slices.class_chart(evidence),
            class_tables=sections.class_tables(evidence),
            learning=sections.learning(evidence),
            speed=sections.speed_table(evidence),
            pictures=sections.pictures(evidence),
            benchmark=sections.benchmark_table(evidence),
            benchmark_notes=evidence.benchmark and benchmark_notes(evidence.benchmark),
            frontier=sections.frontier_table(evidence),
            findings=evidence.manifest.content.get("audit", []),
            durations=sections.durations(evidence),
            provenance=sections.provenance(evidence),
            recipe=evidence.recipe.to_toml(),
        )
    )


def disagreements(evidence: Evidence) -> list[Disagreement]:
    """The texts to which teacher and student give different labels, the largest distance first."""
    teacher, student = (evidence.predicted[name] for name in ("teacher", "student"))
    theirs, own = (evidence.probabilities[name] for name in ("teacher", "student"))
    distance = np.abs(theirs - own).sum(axis=1) / 2
    rows = np.flatnonzero(teacher != student)
    rows = rows[np.argsort(-distance[rows], kind="stable")][:MOST_DISAGREEMENTS]
    texts = evidence.texts if evidence.recipe.report.texts else None

    def answer(row: int, predicted: np.ndarray, probabilities: np.ndarray) -> str:
        return f"{evidence.classes[predicted[row]]}\N{NO-BREAK SPACE}{probabilities[row].max():.2f}"

    return [
        Disagreement(
            id=evidence.ids[row].decode(),
            text=None if texts is None else texts[row][:_BEGINNING],
            rest="" if texts is None else texts[row][_BEGINNING:_LONGEST_TEXT],
            cut=texts is not None and len(texts[row]) > _LONGEST_TEXT,
            label=evidence.classes[evidence.labels[row]],
            teacher=answer(row, teacher, theirs),
            student=answer(row, student, own),
            right=_who_is_right(int(evidence.labels[row]), int(teacher[row]), int(student[row])),
            distance=float(distance[row]),
        )
        for row in rows.tolist()
    ]


def _who_is_right(label: int, teacher: int, student: int) -> str:
    return "teacher" if teacher == label else "student" if student == label else "neither"


def _why_no_texts(evidence: Evidence) -> str | None:
    if not evidence.recipe.report.texts:
        return "The texts are left out: the recipe sets report.texts = false."
    if evidence.texts is None:
        return f"The texts are left out: {source_of_test(evidence.run, evidence.recipe)} no longer contains them."
    return None


def _lost(evidence: Evidence) -> _Answer:
    """What a swap costs."""
    change = gain(evidence.predicted["student"], evidence.predicted["teacher"], evidence.labels)
    before, after = evidence.metrics.teacher.accuracy, evidence.metrics.student.accuracy
    return _Answer(
        "Nothing" if change.accuracy >= 0 else f"{formats.points(-change.accuracy).removeprefix('+')} points",
        f"Accuracy goes from {formats.score(before)} to {formats.score(after)}: {formats.gain(change)}. "
        f"{formats.percent(1 - evidence.metrics.agreement)} of the texts get a different label.",
    )


def _gained(evidence: Evidence) -> _Answer:
    """What a swap brings. Each model runs in the fastest way that was measured for it, without padding."""
    metrics = evidence.metrics
    if evidence.benchmark is not None:
        teacher, student = evidence.benchmark.fastest("teacher"), evidence.benchmark.fastest("student")
        if teacher is not None and student is not None:
            text = (
                f"Documents per second: {student.side.way} against {teacher.side.way}. "
                f"The student is {_smaller(teacher.side.bytes, student.side.bytes)}."
            )
            ratio = formats.times(student.documents_per_second / teacher.documents_per_second, "×")
            return _Answer(f"{ratio} as fast", text + _of_the_export(evidence, student.side))
    if metrics.speed.speedup is None:
        rate = formats.significant(metrics.speed.student.documents_per_second)
        return _Answer(rate, f"Documents per second of the student. There is no comparison: {SCORES_ONLY}.")
    text = f"In batches of 128, measured on {formats.conditions(metrics.speed)}."
    if metrics.teacher.bytes and metrics.student.bytes:
        text += f" The student is {_smaller(metrics.teacher.bytes, metrics.student.bytes)} on disk."
    return _Answer(f"{formats.times(metrics.speed.speedup, '×')} as fast", text)


def _smaller(teacher: int, student: int) -> str:
    if student == teacher:
        return "as large as the teacher"
    if student < teacher:
        return f"{formats.times(teacher / student, '×')} smaller"
    return f"{formats.times(student / teacher, '×')} larger"


def _of_the_export(evidence: Evidence, side: Side) -> str:
    """What the int8 export loses, because all other figures are of the student before its export."""
    if side.precision != "int8":
        return ""
    try:
        gate = ExportManifest.read(evidence.run.root / side.folder).gate
        if gate is None:
            return " The int8 export was not compared with the student."
        change = (
            f"{formats.points(gate['change']['accuracy'])} points {formats.points_interval(gate['change']['ci95'])}"
        )
        return (
            f" On {gate['texts']:,} validation texts the int8 export changes {formats.percent(gate['flips'])} of the "
            f"student's labels and its accuracy by {change}."
        )
    except (ModelError, KeyError, TypeError):  # the export was removed or is of another version
        return ""


def environment() -> Environment:
    """Loads the pages' templates; they escape all values."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("understudy.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "percent": formats.percent,
        "percent_interval": formats.percent_interval,
        "score": formats.score,
        "ratio": formats.ratio,
        "gain": formats.gain,
        "conditions": formats.conditions,
    }
    return found
