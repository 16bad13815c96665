"""The report's tables and pictures, section by section."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from understudy.evaluation.metrics import ClassQuality, calibration_bins, class_qualities
from understudy.evaluation.results import Interval, ModelMetrics, Seeds
from understudy.reporting import charts, formats
from understudy.reporting.charts import Chart, Grid
from understudy.reporting.evidence import MODELS, REPORT, Evidence
from understudy.runtime.progress import duration
from understudy.storage.manifest import Manifest

_PICTURES = {"Benchmark": "benchmark", "Frontier": "frontier"}


def quality_table(evidence: Evidence, intervals: dict[str, Interval]) -> Grid:
    """Every model's quality and size."""
    metrics = evidence.metrics
    found: dict[str, ModelMetrics | None] = {
        "teacher": metrics.teacher,
        "student": metrics.student,
        "no_distillation": metrics.controls.no_distillation,
        "linear": metrics.controls.linear,
        "frozen": metrics.controls.frozen,
        "static": metrics.students.get("static"),
    }
    rows = tuple(
        (
            MODELS[name],
            f"{formats.score(model.accuracy)} [{intervals[name][0]:.4f}, {intervals[name][1]:.4f}]"
            if name in intervals
            else formats.score(model.accuracy),
            formats.known(model.balanced_accuracy, formats.score),
            formats.score(model.f1),
            formats.known(model.macro_f1, formats.score),
            formats.score(model.auc),
            formats.score(model.ece),
            formats.known(model.parameters, formats.count),
            formats.known(model.bytes, formats.size),
        )
        for name, model in found.items()
        if model is not None
    )
    figures = ("accuracy, 95 % interval", "balanced accuracy", "F1", "macro F1", "AUC", "ECE", "parameters", "size")
    return Grid(("model", *figures), rows)


def recommendation_table(evidence: Evidence) -> Grid | None:
    """The models that could be recommended, the most accurate first; None for figures of earlier versions."""
    found = evidence.metrics.recommendation
    if found is None:
        return None
    rows = tuple(
        (
            f"{MODELS.get(name, name.capitalize())}{' (recommended)' if name == found.model else ''}",
            formats.score(each.validation_accuracy),
            formats.count(each.operations),
            formats.count(each.parameters),
        )
        for name, each in sorted(found.compared.items(), key=lambda item: -item[1].validation_accuracy)
    )
    return Grid(("model", "validation accuracy", "operations per text", "parameters"), rows)


def class_tables(evidence: Evidence) -> list[tuple[str, Grid]]:
    """The figures of each class for teacher and student, with the model's name."""
    headings = ("class", "test texts", "precision", "recall, 95 % interval", "F1")
    found = []
    for name in ("teacher", "student"):
        each = class_qualities(evidence.predicted[name], evidence.labels, evidence.classes)
        found.append((MODELS[name], Grid(headings, tuple(map(_class_row, each)))))
    return found


def _class_row(each: ClassQuality) -> tuple[str, ...]:
    recall = "-"
    if each.recall is not None and each.recall_ci95 is not None:
        recall = f"{formats.score(each.recall)} [{each.recall_ci95[0]:.4f}, {each.recall_ci95[1]:.4f}]"
    precision, f1 = (formats.known(value, formats.score) for value in (each.precision, each.f1))
    return each.name, f"{each.support:,}", precision, recall, f1


def seeds_table(seeds: Seeds | None) -> Grid | None:
    """Student and control of every seed; None for a single seed."""
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
    return Grid(("seed", "student", "retention", "no distillation", "gain"), rows)


def calibration_table(evidence: Evidence) -> Grid:
    """Every model's calibration error and temperature."""
    rows = []
    for name in evidence.probabilities:
        calibration = evidence.manifest.details(name).get("calibration") or {}
        bins = calibration_bins(evidence.probabilities[name], evidence.labels)
        before = charts.uncalibrated_error(evidence, name)
        rows.append(
            (
                MODELS[name],
                formats.known(calibration.get("temperature"), lambda value: f"{value:.3f}"),
                formats.known(before, formats.score),
                formats.score(bins.error),
                "" if calibration.get("temperature") is not None else _why_uncalibrated(evidence, name),
            )
        )
    headings = ("model", "temperature", "ECE before", "ECE", "why not calibrated")
    if not any(why for *_, why in rows):
        return Grid(headings[:-1], tuple(row[:-1] for row in rows))
    return Grid(headings, tuple(rows))


def _why_uncalibrated(evidence: Evidence, name: str) -> str:
    recipe = evidence.recipe
    found = evidence.manifest.details(name).get("calibration")
    if found is not None:
        return str(found["left"])
    if name == "linear":
        return "linear models are not calibrated"
    if name == "teacher" and recipe.teacher.scores is not None:
        return "only its scores were given"
    if name == "teacher" and isinstance(evidence.manifest.content["models"]["teacher"], list):
        return "a committee: its members are calibrated one by one"
    return "not requested"


def agreement_table(evidence: Evidence) -> Grid:
    """On how many texts each model is right."""
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
    return Grid(("", "texts", "share"), rows)


def learning(evidence: Evidence) -> list[Chart]:
    """A learning curve for every training."""
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


def speed_table(evidence: Evidence) -> Grid:
    """The speeds that the run measured."""
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
    return Grid(
        ("model", "documents per second", "one text, p50 / p95", f"128 texts padded to {speed.max_length}"), rows
    )


def benchmark_table(evidence: Evidence) -> Grid | None:
    """Every runtime that was measured, None without a benchmark; `benchmark_notes` explains it."""
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
        "runtime",
        "documents per second",
        "ratio",
        "one text, p50 / p95",
        "size",
        "1,000,000 texts",
    )
    return Grid(headings, rows)


def frontier_table(evidence: Evidence) -> Grid | None:
    """The frontier's models, the most accurate first; None without a frontier."""
    if evidence.tradeoff is None:
        return None
    rows = tuple(
        (
            point.label,
            f"{point.metrics.accuracy:.4f} [{point.accuracy_ci95[0]:.4f}, {point.accuracy_ci95[1]:.4f}]",
            formats.known(point.validation_accuracy, formats.score),
            formats.known(point.rate, formats.significant),
            formats.known(point.metrics.bytes, formats.size),
            formats.known(point.metrics.parameters, formats.count),
        )
        for point in sorted(evidence.tradeoff.points, key=lambda point: -point.metrics.accuracy)
    )
    headings = ("model", "accuracy, 95 % interval", "validation", "documents per second", "size", "parameters")
    return Grid(headings, rows)


def pictures(evidence: Evidence) -> list[tuple[str, str]]:
    """The charts of the benchmark and of the frontier that exist, with their names."""
    found = [(name, picture(evidence.run.dashboard.with_name(f"{file}.png"))) for name, file in _PICTURES.items()]
    return [(name, picture) for name, picture in found if picture is not None]


def picture(path: Path) -> str | None:
    """A PNG as a data URL; None if the file is missing."""
    if not path.is_file():
        return None
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def durations(evidence: Evidence) -> Grid:
    """How long each stage took, and what came from the cache."""
    seconds = evidence.metrics.seconds
    rows = [
        (name.replace("_", " "), duration(value), _from_cache(evidence.manifest.details(name)))
        for name, value in seconds.items()
    ]
    return Grid(("stage", "time", "from the cache"), (*rows, ("total", duration(sum(seconds.values())), "")))


def _from_cache(details: dict[str, Any]) -> str:
    reused = details.get("reused")
    if reused is True:
        return "yes; the time is of the first computation"
    return f"{reused:,} of {reused + details['computed']:,} texts" if reused and "computed" in details else ""


def provenance(evidence: Evidence) -> Grid:
    """Versions, machines, models and fingerprints of the run."""
    content = evidence.manifest.content
    stages = {name: stage for name, stage in content["stages"].items() if name != REPORT}
    rows: list[tuple[str, str]] = [
        ("understudy", str(content.get("understudy", "-"))),
        ("versions", ", ".join(f"{name} {value}" for name, value in content.get("versions", {}).items())),
        *_machines(evidence.manifest, stages),
        ("seed", str(evidence.recipe.seed)),
        (
            "test texts",
            f"{len(evidence.labels):,} {evidence.recipe.data.test_origin} {evidence.recipe.data.test_source}",
        ),
        *((f"{name} model", _origin(value)) for name, value in content.get("models", {}).items() if value),
        *((f"fingerprint of {name.replace('_', ' ')}", stage["fingerprint"]) for name, stage in stages.items()),
    ]
    return Grid(("", ""), tuple(rows))


def _machines(manifest: Manifest, stages: Iterable[str]) -> list[tuple[str, str]]:
    """The machine; if several machines ran the stages, each with its stages."""
    found = [
        (", ".join(str(value) for value in machine.values()), names) for machine, names in manifest.machines(stages)
    ]
    if len(found) == 1:
        return [("machine", found[0][0])]
    return [(f"machine of {', '.join(names).replace('_', ' ')}", machine) for machine, names in found]


def _origin(record: Any) -> str:
    if isinstance(record, list):
        return "; ".join(map(_origin, record))
    if not isinstance(record, dict):
        return str(record)
    known = {name: record.get(name) for name in ("name", "kind", "revision", "sha256", "scores")}
    return ", ".join(f"{name} {value}" for name, value in known.items() if value)
