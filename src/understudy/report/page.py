"""The report: one page that opens anywhere without a network, for whoever has to be convinced."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.artifacts import write_text
from understudy.evaluation.results import Interval, ModelMetrics, Seeds
from understudy.evaluation.significance import accuracy_interval
from understudy.progress import duration
from understudy.report import charts, formats
from understudy.report.charts import Chart, Table
from understudy.report.evidence import MODELS, Evidence

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_DISAGREEMENTS = 300
"""Texts on which teacher and student differ most; more would make the page heavy and nobody would read them."""

_LONGEST_TEXT = 3000
_WORDS = {"replace": "Yes", "inconclusive": "Not proven", "keep_teacher": "No"}
_PICTURES = {"Benchmark": "benchmark", "Frontier": "frontier"}


@dataclass(frozen=True)
class Disagreement:
    """A text that teacher and student answer differently.

    Attributes:
        text: How it begins; None where texts are left out.
        cut: Whether it goes on.
        label: What it is.
        teacher: What the teacher answers, and how sure it is.
        student: Likewise.
        right: `teacher`, `student` or `neither`.
        distance: Total variation distance of their probabilities, 0 to 1.
    """

    id: str
    text: str | None
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
        name: accuracy_interval(predicted, evidence.labels, options.resamples, evidence.recipe.seed)
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
            dashboard=_picture(evidence.run.dashboard),
            quality_table=_quality_table(evidence, intervals),
            quality=charts.quality_chart(evidence, intervals),
            seeds=_seeds_table(evidence.metrics.seeds),
            confusions=[charts.confusion_chart(evidence, name) for name in compared],
            reliability=[charts.reliability_chart(evidence, name) for name in compared],
            calibration=_calibration_table(evidence),
            agreement=_agreement_table(evidence),
            disagreements=disagreements(evidence),
            differing=int((evidence.predicted["teacher"] != evidence.predicted["student"]).sum()),
            texts_why=_why_no_texts(evidence),
            lengths=charts.length_chart(evidence),
            by_class=charts.class_chart(evidence),
            learning=_learning(evidence),
            speed=_speed_table(evidence),
            pictures=_pictures(evidence),
            benchmark=_benchmark_table(evidence),
            frontier=_frontier_table(evidence),
            findings=evidence.manifest.content.get("audit", []),
            durations=_durations(evidence),
            provenance=_provenance(evidence),
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
        return f"{evidence.classes[predicted[row]]} {probabilities[row].max():.2f}"

    return [
        Disagreement(
            id=evidence.ids[row].decode(),
            text=None if texts is None else texts[row][:_LONGEST_TEXT],
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
    metrics = evidence.metrics
    retention, teacher = metrics.retention, metrics.teacher.accuracy
    change = metrics.student.accuracy - teacher
    low, high = ((end - 1) * teacher for end in retention.accuracy_ci95)
    apart = 1 - metrics.agreement
    return (
        f"{formats.points(change)} points",
        f"of accuracy, 95 % interval {formats.points_interval((low, high))}; {formats.percent(apart)} of the texts "
        "get another label",
    )


def _gained(evidence: Evidence) -> tuple[str, str]:
    """What it brings."""
    metrics = evidence.metrics
    sizes = metrics.teacher.bytes, metrics.student.bytes
    smaller = f"{formats.times(sizes[0] / sizes[1], '×')} smaller on disk" if sizes[0] and sizes[1] else None
    found = evidence.benchmark
    fastest = None if found is None else found.fastest_student
    if fastest is not None and fastest.speedup is not None:
        said = f"the teacher's documents per second in padded batches, by {fastest.side.way}"
        return formats.times(fastest.speedup, "×"), "; ".join(filter(None, [said, smaller]))
    if metrics.speed.speedup is not None:
        said = f"the teacher's speed on batches of 128 ({formats.conditions(metrics.speed)})"
        return formats.times(metrics.speed.speedup, "×"), "; ".join(filter(None, [said, smaller]))
    return formats.significant(metrics.speed.student.documents_per_second), "documents per second by the student"


def _quality_table(evidence: Evidence, intervals: dict[str, Interval]) -> Table:
    metrics = evidence.metrics
    found: dict[str, ModelMetrics | None] = {
        "teacher": metrics.teacher,
        "student": metrics.student,
        "no_distillation": metrics.controls.no_distillation,
        "linear": metrics.controls.linear,
    }
    rows = tuple(
        (
            MODELS[name],
            f"{formats.score(model.accuracy)} [{intervals[name][0]:.4f}, {intervals[name][1]:.4f}]"
            if name in intervals
            else formats.score(model.accuracy),
            formats.score(model.f1),
            formats.score(model.auc),
            formats.score(model.ece),
            formats.known(model.parameters, formats.count),
            formats.known(model.bytes, formats.size),
        )
        for name, model in found.items()
        if model is not None
    )
    return Table(("model", "accuracy, 95 % interval", "F1", "AUC", "ECE", "parameters", "size"), rows)


def _seeds_table(seeds: Seeds | None) -> Table | None:
    if seeds is None:
        return None
    rows = tuple(
        (
            str(each.seed),
            formats.score(each.accuracy),
            formats.percent(each.retention),
            formats.known(each.control_accuracy, formats.score),
            "-" if each.gain is None else formats.gain(each.gain),
        )
        for each in seeds.repeats
    )
    return Table(("seed", "student", "retention", "no distillation", "gain"), rows)


def _calibration_table(evidence: Evidence) -> Table:
    rows = []
    for name in evidence.probabilities:
        calibration = evidence.manifest.details(name).get("calibration") or {}
        bins = charts.calibration_bins(evidence.probabilities[name], evidence.labels)
        before = charts.uncalibrated_error(evidence, name)
        rows.append(
            (
                MODELS[name],
                formats.known(calibration.get("temperature"), lambda value: f"{value:.3f}"),
                formats.known(before, formats.score),
                formats.score(bins.error),
                calibration.get("left") or "",
            )
        )
    return Table(("model", "temperature", "ECE before", "ECE", "why there is no temperature"), tuple(rows))


def _agreement_table(evidence: Evidence) -> Table:
    right = {name: evidence.predicted[name] == evidence.labels for name in ("teacher", "student")}
    same = evidence.predicted["teacher"] == evidence.predicted["student"]
    teacher, student = right["teacher"], right["student"]
    parts = {
        "both are right": teacher & student,
        "only the teacher is right": teacher & ~student,
        "only the student is right": ~teacher & student,
        "both are wrong, with the same label": ~teacher & ~student & same,
        "both are wrong, with different labels": ~teacher & ~student & ~same,
    }
    rows = tuple((name, f"{int(part.sum()):,}", formats.percent(float(part.mean()))) for name, part in parts.items())
    return Table(("", "texts", "share"), rows)


def _learning(evidence: Evidence) -> list[Chart]:
    colours = {"student": "student", "no_distillation": "no_distillation"}
    stages = [stage for stage in evidence.manifest.seconds() if evidence.manifest.details(stage).get("history")]
    found = [
        charts.learning_chart(
            evidence.manifest.details(stage)["history"],
            stage.replace("_", " ").capitalize(),
            colours.get(stage, "teacher" if stage.startswith("teacher") else "student"),
        )
        for stage in stages
    ]
    return [chart for chart in found if chart is not None]


def _speed_table(evidence: Evidence) -> Table:
    speed = evidence.metrics.speed
    sides = [
        ("Teacher", speed.teacher, speed.batch128.teacher_ms),
        ("Student", speed.student, speed.batch128.student_ms),
    ]
    rows = tuple(
        (
            name,
            formats.significant(side.documents_per_second),
            formats.milliseconds(side.latency_ms.p50, side.latency_ms.p95),
            formats.known(batch, formats.milliseconds),
        )
        for name, side, batch in sides
        if side is not None
    )
    return Table(
        ("model", "documents per second", "one text, p50 / p95", f"128 texts padded to {speed.max_length}"), rows
    )


def _benchmark_table(evidence: Evidence) -> Table | None:
    found = evidence.benchmark
    if found is None:
        return None
    rows = tuple(
        (
            each.side.label,
            way,
            formats.significant(each.documents_per_second),
            formats.known(each.speedup, formats.times),
            "-" if each.latency_ms is None else formats.milliseconds(each.latency_ms.p50, each.latency_ms.p95),
            formats.size(each.side.bytes),
            f"{each.million_texts.hours:.2f} h",
        )
        for each, way in zip(found.measurements, found.ways(), strict=True)
    )
    headings = (
        "model",
        "computed by",
        "documents per second",
        "speedup",
        "one text, p50 / p95",
        "size",
        "1,000,000 texts",
    )
    return Table(headings, rows)


def _frontier_table(evidence: Evidence) -> Table | None:
    if evidence.frontier is None:
        return None
    rows = tuple(
        (
            f"{point['name']}{' (control)' if point['role'] == 'control' else ''}",
            f"{point['accuracy']:.4f} [{point['accuracy_ci95'][0]:.4f}, {point['accuracy_ci95'][1]:.4f}]",
            "-" if point["speed"] is None else formats.significant(point["speed"]["documents_per_second"]),
            formats.known(point["bytes"], formats.size),
            formats.known(point["parameters"], formats.count),
        )
        for point in sorted(evidence.frontier, key=lambda point: -point["accuracy"])
    )
    return Table(("model", "accuracy, 95 % interval", "documents per second", "size", "parameters"), rows)


def _pictures(evidence: Evidence) -> list[tuple[str, str]]:
    found = [(name, _picture(evidence.run.dashboard.with_name(f"{file}.png"))) for name, file in _PICTURES.items()]
    return [(name, picture) for name, picture in found if picture is not None]


def _picture(path: Path) -> str | None:
    """A PNG as an address that needs no other file."""
    if not path.is_file():
        return None
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _durations(evidence: Evidence) -> Table:
    seconds = evidence.metrics.seconds
    rows = [(name.replace("_", " "), duration(value)) for name, value in seconds.items()]
    return Table(("stage", "time"), (*rows, ("all", duration(sum(seconds.values())))))


def _provenance(evidence: Evidence) -> Table:
    content = evidence.manifest.content
    stages = {name: stage for name, stage in content["stages"].items() if name != "report"}  # which this page is
    machine = content.get("machine", {})
    rows: list[tuple[str, str]] = [
        ("understudy", str(content.get("understudy", "-"))),
        ("versions", ", ".join(f"{name} {value}" for name, value in content.get("versions", {}).items())),
        ("machine", ", ".join(str(value) for value in machine.values())),
        ("seed", str(evidence.recipe.seed)),
        ("test texts", f"{len(evidence.labels):,} from {evidence.recipe.data.test}"),
        *((f"model of the {name}", _origin(value)) for name, value in content.get("models", {}).items() if value),
        *((f"fingerprint of {name.replace('_', ' ')}", stage["fingerprint"]) for name, stage in stages.items()),
    ]
    return Table(("", ""), tuple(rows))


def _origin(record: Any) -> str:
    if isinstance(record, list):
        return "; ".join(map(_origin, record))
    if not isinstance(record, dict):
        return str(record)
    known = {name: record.get(name) for name in ("name", "kind", "revision", "sha256", "scores")}
    return ", ".join(f"{name} {value}" for name, value in known.items() if value)


def environment() -> Environment:
    """Where the pages' templates are; whatever they are given is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("understudy.report"),
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
    }
    return found
