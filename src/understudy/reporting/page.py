"""The report: one page that opens anywhere without a network, for whoever has to be convinced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from understudy.errors import ModelError
from understudy.evaluation.significance import Resampling, accuracy_interval, gain
from understudy.inference.exported import ExportManifest
from understudy.reporting import charts, formats, sections
from understudy.reporting.evidence import Evidence
from understudy.reporting.figures import benchmark_notes
from understudy.storage.files import write_text
from understudy.timing.figures import Side

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_DISAGREEMENTS = 300
"""Texts on which teacher and student differ most; more would make the page heavy and nobody would read them."""

_BEGINNING = 300
_LONGEST_TEXT = 3000
_WORDS = {"replace": "Yes", "inconclusive": "Not proven", "keep_teacher": "No"}


@dataclass(frozen=True)
class Disagreement:
    """A text that teacher and student answer differently.

    Attributes:
        text: How it begins; None where texts are left out.
        rest: How it goes on.
        cut: Whether it goes on even then.
        label: What it is.
        teacher: What the teacher answers, and how sure it is.
        student: Likewise.
        right: `teacher`, `student` or `neither`.
        distance: Total variation distance of their probabilities, 0 to 1.
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


def write_report(evidence: Evidence, path: Path) -> None:
    """Renders the page.

    Args:
        evidence: The finished run's.
        path: Where the page goes; it appears whole or not at all.
    """
    write_text(path, render(evidence))


def render(evidence: Evidence) -> str:
    """The page's HTML; the same evidence gives the same page."""
    options = evidence.recipe.evaluation
    intervals = {
        name: accuracy_interval(predicted, evidence.labels, Resampling(options.resamples, evidence.recipe.seed))
        for name, predicted in evidence.predicted.items()
    }
    compared = [name for name in ("teacher", "student") if name in evidence.probabilities]
    return (
        environment()
        .get_template("report.html")
        .render(
            evidence=evidence,
            metrics=evidence.metrics,
            word=_WORDS[evidence.metrics.verdict.code],
            lost=_lost(evidence),
            gained=_gained(evidence),
            dashboard=sections.picture(evidence.run.dashboard),
            quality_table=sections.quality_table(evidence, intervals),
            quality=charts.quality_chart(evidence, intervals),
            seeds=sections.seeds_table(evidence.metrics.seeds),
            confusions=[charts.confusion_chart(evidence, name) for name in compared],
            reliability=[charts.reliability_chart(evidence, name) for name in compared],
            calibration=sections.calibration_table(evidence),
            agreement=sections.agreement_table(evidence),
            disagreements=disagreements(evidence),
            differing=int((evidence.predicted["teacher"] != evidence.predicted["student"]).sum()),
            texts_why=_why_no_texts(evidence),
            lengths=charts.length_chart(evidence),
            by_class=charts.class_chart(evidence),
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
    """The texts on which teacher and student differ in label, the farthest apart first."""
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
        return "The texts are left out, as report.texts = false asks for."
    if evidence.texts is None:
        return f"The texts are left out: {evidence.recipe.data.test} no longer holds them."
    return None


def _lost(evidence: Evidence) -> tuple[str, str]:
    """What a swap costs, in a figure and a sentence."""
    resampling = Resampling(evidence.recipe.evaluation.resamples, evidence.recipe.seed)
    change = gain(evidence.predicted["student"], evidence.predicted["teacher"], evidence.labels, resampling)
    before, after = evidence.metrics.teacher.accuracy, evidence.metrics.student.accuracy
    lost = "Nothing" if change.accuracy >= 0 else f"{formats.points(-change.accuracy).removeprefix('+')} points"
    return (
        lost,
        f"of accuracy: {formats.score(before)} becomes {formats.score(after)}, {formats.gain(change)}; "
        f"{formats.percent(1 - evidence.metrics.agreement)} of the texts get another label",
    )


def _gained(evidence: Evidence) -> tuple[str, str]:
    """What it brings: each model by the fastest way that was measured for it, not padded."""
    metrics = evidence.metrics
    if evidence.benchmark is not None:
        teacher, student = evidence.benchmark.fastest("teacher"), evidence.benchmark.fastest("student")
        if teacher is not None and student is not None:
            said = (
                f"the teacher's documents per second ({student.side.way} against {teacher.side.way}), "
                f"{_smaller(teacher.side.bytes, student.side.bytes)}{_of_the_export(evidence, student.side)}"
            )
            return formats.times(student.documents_per_second / teacher.documents_per_second, "×"), said
    teacher_bytes, student_bytes = metrics.teacher.bytes, metrics.student.bytes
    smaller = f"{_smaller(teacher_bytes, student_bytes)} on disk" if teacher_bytes and student_bytes else None
    if metrics.speed.speedup is not None:
        said = f"the teacher's speed on batches of 128 ({formats.conditions(metrics.speed)})"
        return formats.times(metrics.speed.speedup, "×"), "; ".join(filter(None, [said, smaller]))
    return formats.significant(metrics.speed.student.documents_per_second), "documents per second by the student"


def _smaller(teacher: int, student: int) -> str:
    if student <= teacher:
        return f"{formats.times(teacher / student, '×')} smaller"
    return f"{formats.times(student / teacher, '×')} larger"


def _of_the_export(evidence: Evidence, side: Side) -> str:
    """What the export's gate found, for all other figures are those of the model that it was made of."""
    if side.precision != "int8":
        return ""
    try:
        gate = ExportManifest.read(evidence.run.root / side.folder).gate
        if gate is None:
            return "; the int8 export was compared with no texts"
        change = (
            f"{formats.points(gate['change']['accuracy'])} points {formats.points_interval(gate['change']['ci95'])}"
        )
        return (
            f"; of {gate['texts']:,} validation texts the int8 export gives {formats.percent(gate['flips'])} another "
            f"label than the student, accuracy {change}"
        )
    except (ModelError, KeyError, TypeError):  # it was removed since
        return ""


def environment() -> Environment:
    """Where the pages' templates are; whatever they are given is escaped."""
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
        "gain": formats.gain,
        "conditions": formats.conditions,
    }
    return found
