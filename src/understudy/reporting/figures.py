"""The evidence in words and figures, the same in every report: a table of the models, and what the figures mean."""

from __future__ import annotations

from collections.abc import Callable

from understudy.evaluation.recommendation import MODELS
from understudy.evaluation.results import (
    Abstention,
    Interval,
    Metrics,
    ModelMetrics,
    ModelSpeed,
    Seeds,
    Spread,
)
from understudy.evaluation.tradeoff import Tradeoff
from understudy.reporting import formats
from understudy.timing.figures import Benchmark

NOT_MEASURED = "-"
SCORES_ONLY = "only the teacher's scores were given"
"""Why the teacher's size and speed are unknown."""


def comparison(metrics: Metrics, intervals: bool) -> list[list[str]]:
    """The table of teacher, student, controls and static student: first the header, then one row per figure.

    Args:
        metrics: What the evaluation measured.
        intervals: Whether to show the intervals of the retention.
    """
    found = metrics.controls
    named = (
        ("no distillation", found.no_distillation),
        ("linear", found.linear),
        ("frozen", found.frozen),
        ("static", metrics.students.get("static")),
    )
    controls = {name: control for name, control in named if control is not None}
    rows = [["", "teacher", "student", "student / teacher", *controls]]
    teacher, student, retention = metrics.teacher, metrics.student, metrics.retention
    accuracy_ci95, f1_ci95 = (retention.accuracy_ci95, retention.f1_ci95) if intervals else (None, None)

    def row(name: str, write: Callable[[ModelMetrics], str], ratio: str) -> None:
        rows.append([name, write(teacher), write(student), ratio, *map(write, controls.values())])

    def speed_row(name: str, read: Callable[[ModelSpeed], float], write: Callable[[float], str]) -> None:
        slow = None if metrics.speed.teacher is None else read(metrics.speed.teacher)
        fast = read(metrics.speed.student)
        cells = [formats.known(slow, write), write(fast), _times(fast, slow), *(NOT_MEASURED for _ in controls)]
        rows.append([name, *cells])

    row("accuracy", lambda model: formats.score(model.accuracy), _kept(retention.accuracy, accuracy_ci95))
    if student.balanced_accuracy is not None:
        balanced = _share(student.balanced_accuracy, teacher.balanced_accuracy)
        row("balanced accuracy", lambda model: formats.known(model.balanced_accuracy, formats.score), balanced)
    row("F1", lambda model: formats.score(model.f1), _kept(retention.f1, f1_ci95))
    if student.macro_f1 is not None:
        macro = _share(student.macro_f1, teacher.macro_f1)
        row("macro F1", lambda model: formats.known(model.macro_f1, formats.score), macro)
    row("AUC", lambda model: formats.score(model.auc), _share(student.auc, teacher.auc))
    row("ECE", lambda model: formats.score(model.ece), _times(student.ece, teacher.ece))
    fraction = formats.known(metrics.parameter_fraction, formats.percent)
    row("parameters", lambda model: formats.known(model.parameters, formats.count), fraction)
    row("size", lambda model: formats.known(model.bytes, formats.size), _share(student.bytes, teacher.bytes))
    speed_row("documents / s", lambda model: model.documents_per_second, formats.significant)
    speed_row("latency p50", lambda model: model.latency_ms.p50, formats.milliseconds)
    return rows


def findings(metrics: Metrics) -> list[tuple[str, str]]:
    """What the figures mean, in addition to the table: for each finding its name and a line of text."""
    retention, gain, speed = metrics.retention, metrics.distillation_gain, metrics.speed
    lines = [
        (
            "retention",
            f"accuracy {_kept(retention.accuracy, retention.accuracy_ci95)}, "
            f"F1 {_kept(retention.f1, retention.f1_ci95)} (95 % intervals)",
        ),
        (
            "distillation gain",
            "not measured: there is no control without distillation"
            if gain is None
            else f"{formats.points(gain.accuracy)} points of accuracy {formats.points_interval(gain.ci95)}, "
            f"{formats.p_value(gain.p_value)}",
        ),
    ]
    if metrics.seeds is not None:
        lines.append((f"{len(metrics.seeds.repeats)} seeds", _over_seeds(metrics.seeds)))
    lines.append(("agreement", f"{formats.percent(metrics.agreement)} of the test texts get the same label"))
    if metrics.abstention is not None:
        lines.append(("abstention", _abstention(metrics.abstention)))
    slow, fast = speed.batch128.teacher_ms, speed.batch128.student_ms
    speedup = (
        f"unknown: {SCORES_ONLY}; the student takes {formats.milliseconds(fast)} for a batch of 128 "
        f"padded to {speed.max_length} tokens ({formats.conditions(speed)})"
        if speed.speedup is None or slow is None
        else f"{formats.times(speed.speedup)} on batches of 128 padded to {speed.max_length} tokens, teacher / student "
        f"{formats.milliseconds(slow, fast)} ({formats.conditions(speed)})"
    )
    efficiency = (
        "unknown: the teacher's size is unknown"
        if metrics.efficiency_ratio is None
        else f"{formats.ratio(metrics.efficiency_ratio)} (accuracy retention / parameter fraction)"
    )
    return [*lines, ("speedup", speedup), ("efficiency ratio", efficiency)]


def recommended(metrics: Metrics) -> tuple[str, str] | None:
    """The model to ship and why, then the next step; None for figures of earlier versions."""
    found = metrics.recommendation
    if found is None:
        return None
    name, accuracy = MODELS.get(found.model, found.model), formats.score(found.accuracy)
    return f"Ship {name} ({found.folder}), test accuracy {accuracy}. {found.reason}", found.next_step


def benchmark_notes(benchmark: Benchmark) -> list[str]:
    """How to read the table, one note per line."""
    ratio = "ratio: documents / s, relative to the teacher's padded row."
    lines = [
        f"{benchmark_conditions(benchmark)}.",
        f"padded: batches of 128, all padded to {benchmark.max_length} tokens, without tokenising.",
        ratio if benchmark.reference is not None else f"no ratio: {SCORES_ONLY}.",
    ]
    lines += [f"left out: {each.name}, {each.runtime}: {each.reason}" for each in benchmark.skipped]
    return lines


def benchmark_conditions(benchmark: Benchmark) -> str:
    """The settings of a benchmark, as one phrase."""
    threads = f"{benchmark.threads} thread{'' if benchmark.threads == 1 else 's'}"
    where = threads if benchmark.device == "cpu" else f"PyTorch on {benchmark.device}, the rest on {threads}"
    times = "once" if benchmark.rounds == 1 else f"median of {benchmark.rounds} rounds"
    return (
        f"{benchmark.machine['processor']}, {where}; {benchmark.texts:,} test texts in bulk ({times}) and "
        f"{benchmark.latency_texts:,} one at a time"
    )


def beaten_by_linear(tradeoff: Tradeoff) -> str | None:
    """The students that are slower than the linear control and no better on the test texts; None without it."""
    if tradeoff.linear is None:
        return None
    beaten = [
        point.name if point.p_value is None else f"{point.name} ({formats.p_value(point.p_value)})"
        for point in tradeoff.dominated()
    ]
    return f"Slower than the linear control, and not more accurate on the test texts: {', '.join(beaten) or 'none'}."


def _over_seeds(seeds: Seeds) -> str:
    def accuracy(model: str, spread: Spread) -> str:
        ends = f"{formats.score(spread.min)} to {formats.score(spread.max)}"
        return f"{model} accuracy {formats.score(spread.mean)} (sd {formats.score(spread.sd)}, {ends})"

    parts = [accuracy("student", seeds.accuracy)]
    if seeds.control_accuracy is not None:
        parts.append(accuracy("control", seeds.control_accuracy))
    if seeds.gain is not None:
        parts.append(f"gain {formats.gain(seeds.gain)}")
    parts.append(f"retention {_kept(seeds.retention.mean, seeds.retention_ci95)}")
    return "; ".join(parts)


def _abstention(found: Abstention) -> str:
    target = f"{found.target_precision * 100:g} %"
    if found.threshold is None:
        return f"no threshold reaches {target} correct answers on the validation texts with 95 % confidence"

    test, validation = found.test, found.validation
    answers = (
        "no test text"
        if test.precision is None
        else f"{formats.percent(test.coverage)} of the test texts, {formats.percent(test.precision)} of them correctly"
    )
    return (
        f"--threshold {found.threshold} answers {answers}; it was chosen for {target} on the validation texts "
        f"({formats.percent(validation.coverage)} answered, {formats.known(validation.precision, formats.percent)} "
        "correct)"
    )


def _kept(retention: float, interval: Interval | None) -> str:
    return " ".join([formats.percent(retention), *([formats.percent_interval(interval)] if interval else [])])


def _share(part: float | None, whole: float | None) -> str:
    return formats.percent(part / whole) if part is not None and whole else NOT_MEASURED


def _times(part: float, whole: float | None) -> str:
    return formats.times(part / whole) if whole else NOT_MEASURED
