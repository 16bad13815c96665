"""Several finished runs beside each other: their figures, and how sure it is that one student is the better one."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from understudy.evaluation.results import Gain, Interval, Metrics
from understudy.evaluation.significance import Resampling, accuracy_interval, gain
from understudy.reporting import formats
from understudy.reporting.charts import (
    Chart,
    Table,
    class_chart,
    confusion_chart,
    points_chart,
    reliability_chart,
)
from understudy.reporting.evidence import Evidence
from understudy.reporting.page import environment
from understudy.storage.files import write_text

MARK = "runs beside each other</title>"
"""What every such page has."""


@dataclass(frozen=True)
class ComparedRun:
    """One run among several.

    Attributes:
        name: Its directory, as far as it tells it from the others.
        folder: Its directory.
        metrics: `metrics.json`.
        accuracy_ci95: Bootstrap interval of the student's accuracy.
        difference: The student's accuracy minus that of the first run's student, on the same texts; None for the first
            run itself, and where the test texts or their labels are others.
    """

    name: str
    folder: Path
    metrics: Metrics
    accuracy_ci95: Interval
    difference: Gain | None


@dataclass(frozen=True)
class RunComparison:
    """Runs in the order in which they were named; differences are to the first.

    Attributes:
        runs: Each of them.
        options: Dotted recipe options in which they differ, each with a value a run, written out.
    """

    runs: tuple[ComparedRun, ...]
    options: dict[str, tuple[str, ...]]


def compare_runs(found: Sequence[Evidence]) -> RunComparison:
    """Compares each run's student with the first run's.

    Args:
        found: Finished runs.
    """
    first = found[0]
    names = _names([evidence.run.root for evidence in found])
    runs = []
    for name, evidence in zip(names, found, strict=True):
        resampling = Resampling(evidence.recipe.evaluation.resamples, evidence.recipe.seed)
        interval = accuracy_interval(evidence.predicted["student"], evidence.labels, resampling)
        difference = None if evidence is first else _difference(evidence, first)
        runs.append(ComparedRun(name, evidence.run.root, evidence.metrics, interval, difference))
    differing = {name for evidence in found for name in evidence.recipe.differences(first.recipe)}
    differing -= {"name", "description"}
    flat = [evidence.recipe.flat() for evidence in found]
    options = {name: tuple(_written(each.get(name)) for each in flat) for name in sorted(differing)}
    return RunComparison(tuple(runs), options)


def write_comparison(found: RunComparison, evidence: Sequence[Evidence], path: Path) -> None:
    """Renders the page.

    Args:
        found: What was compared.
        evidence: The same runs.
        path: Where the page goes; it appears whole or not at all.
    """
    page = environment().get_template("comparison.html")
    write_text(
        path,
        page.render(
            found=found,
            quality=quality_table(found),
            size=size_table(found),
            chart=_chart(found),
            pages=[_address(each.run.page, path) for each in evidence],
            students=[_Charts.of(each) for each in evidence],
            options=_options(found),
        ),
    )


def quality_table(found: RunComparison) -> Table:
    """How good the students are."""
    rows = tuple(
        (
            each.name,
            formats.score(each.metrics.teacher.accuracy),
            f"{each.metrics.student.accuracy:.4f} [{each.accuracy_ci95[0]:.4f}, {each.accuracy_ci95[1]:.4f}]",
            f"{formats.percent(each.metrics.retention.accuracy)} "
            f"{formats.percent_interval(each.metrics.retention.accuracy_ci95)}",
            "-" if each.metrics.gain is None else formats.gain(each.metrics.gain),
            "-" if each.difference is None else formats.gain(each.difference),
            each.metrics.verdict.code.replace("_", " "),
        )
        for each in found.runs
    )
    return Table(
        ("run", "teacher", "student, 95 % interval", "retention", "distillation gain", "against the first", "verdict"),
        rows,
    )


def size_table(found: RunComparison) -> Table:
    """What the students cost."""
    rows = tuple(
        (
            each.name,
            formats.known(each.metrics.student.parameters, formats.count),
            formats.known(each.metrics.student.bytes, formats.size),
            formats.score(each.metrics.student.ece),
            formats.significant(each.metrics.speed.student.documents_per_second),
            formats.milliseconds(each.metrics.speed.student.latency_ms.p50),
            formats.conditions(each.metrics.speed),
        )
        for each in found.runs
    )
    return Table(("run", "parameters", "size", "ECE", "documents per second", "one text, p50", "measured on"), rows)


def _options(found: RunComparison) -> Table:
    rows = tuple((name, *values) for name, values in found.options.items())
    return Table(("option", *(each.name for each in found.runs)), rows)


class _Charts(NamedTuple):
    """What a run's own page shows of its student, as far as pictures need no texts, by their shape."""

    square: tuple[Chart, ...]
    wide: Chart

    @classmethod
    def of(cls, evidence: Evidence) -> _Charts:
        square = confusion_chart(evidence, "student"), reliability_chart(evidence, "student")
        return cls(square, class_chart(evidence))


def _address(page: Path, path: Path) -> str | None:
    """Of a run's own page as a link on the one at `path`; None where there is none."""
    if not page.is_file():
        return None
    try:
        return quote(Path(os.path.relpath(page, path.absolute().parent)).as_posix())
    except ValueError:  # on another drive
        return None


def _chart(found: RunComparison) -> Chart:
    comparable = [each is found.runs[0] or each.difference is not None for each in found.runs]
    names = [
        each.name if same else f"{each.name} (other texts)" for each, same in zip(found.runs, comparable, strict=True)
    ]
    values = [each.metrics.student.accuracy for each in found.runs]
    return points_chart(names, values, [each.accuracy_ci95 for each in found.runs], ["student"] * len(names), "student")


def _difference(evidence: Evidence, first: Evidence) -> Gain | None:
    """None where the runs were not tested on the same texts with the same labels."""
    if sorted(evidence.classes) != sorted(first.classes) or len(evidence.ids) != len(first.ids):
        return None
    number = np.array([evidence.classes.index(name) for name in first.classes])  # of a class of the first run's
    first_labels, first_predicted = number[first.labels], number[first.predicted["student"]]
    mine = np.lexsort((evidence.labels, evidence.ids))
    theirs = np.lexsort((first_labels, first.ids))
    labels = evidence.labels[mine]
    if not (np.array_equal(evidence.ids[mine], first.ids[theirs]) and np.array_equal(labels, first_labels[theirs])):
        return None
    own, other = evidence.predicted["student"][mine], first_predicted[theirs]
    return gain(own, other, labels, Resampling(evidence.recipe.evaluation.resamples, evidence.recipe.seed))


def _written(value: Any) -> str:
    """An option's value as in a recipe, a dash where it is not given."""
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with those above them where two are the same."""
    parts = [folder.resolve().parts for folder in folders]
    depth = 1
    while depth < max(map(len, parts)) and len({each[-depth:] for each in parts}) < len(set(parts)):
        depth += 1
    return ["/".join(each[-depth:]) for each in parts]
