"""A comparison of finished runs: their figures, and paired tests between their students."""

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
from understudy.evaluation.significance import accuracy_interval, gain
from understudy.reporting import formats
from understudy.reporting.charts import (
    Chart,
    Grid,
    points_chart,
    reliability_chart,
)
from understudy.reporting.evidence import Evidence
from understudy.reporting.page import environment
from understudy.reporting.slices import class_chart, confusion_chart
from understudy.storage.files import write_text

MARK = '<meta name="generator" content="understudy compare">'
"""A line of every comparison page."""


@dataclass(frozen=True)
class ComparedRun:
    """One run among several.

    Attributes:
        name: The end of its directory's path that no other run shares.
        folder: Its directory.
        metrics: `metrics.json`.
        accuracy_ci95: 95 % interval of the student's accuracy.
        difference: The student's accuracy minus that of the first run's student, on the same texts. None for the first
            run and for runs with different test texts or labels.
    """

    name: str
    folder: Path
    metrics: Metrics
    accuracy_ci95: Interval
    difference: Gain | None


@dataclass(frozen=True)
class RunComparison:
    """Runs in the order in which they were named; each difference is to the first run.

    Attributes:
        runs: The runs.
        options: Dotted recipe options that differ, each with one value per run, as in a recipe.
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
        interval = accuracy_interval(evidence.predicted["student"], evidence.labels)
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
        found: The comparison.
        evidence: The same runs.
        path: The page, which is written whole or not at all.
    """
    page = environment().get_template("comparison.html")
    write_text(
        path,
        page.render(
            found=found,
            mark=MARK,
            quality=runs_quality_table(found),
            size=size_table(found),
            chart=_chart(found),
            pages=[_address(each.run.page, path) for each in evidence],
            students=[_Charts.of(each) for each in evidence],
            options=_options(found),
        ),
    )


def runs_quality_table(found: RunComparison) -> Grid:
    """The quality of the students."""
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
            "-" if each.metrics.recommendation is None else each.metrics.recommendation.model,
        )
        for each in found.runs
    )
    return Grid(
        (
            *("run", "teacher", "student, 95 % interval", "retention", "distillation gain", "against the first"),
            *("verdict", "recommended"),
        ),
        rows,
    )


def size_table(found: RunComparison) -> Grid:
    """The size and speed of the students."""
    rows = tuple(
        (
            each.name,
            formats.known(each.metrics.student.parameters, formats.count),
            formats.known(each.metrics.student.bytes, formats.size),
            formats.known(each.metrics.student.balanced_accuracy, formats.score),
            formats.known(each.metrics.student.macro_f1, formats.score),
            formats.score(each.metrics.student.ece),
            formats.significant(each.metrics.speed.student.documents_per_second),
            formats.milliseconds(each.metrics.speed.student.latency_ms.p50),
            formats.conditions(each.metrics.speed),
        )
        for each in found.runs
    )
    quality = ("balanced accuracy", "macro F1", "ECE")
    speed = ("documents per second", "one text, p50", "measured on")
    return Grid(("run", "parameters", "size", *quality, *speed), rows)


def _options(found: RunComparison) -> Grid:
    rows = tuple((name, *values) for name, values in found.options.items())
    return Grid(("option", *(each.name for each in found.runs)), rows)


class _Charts(NamedTuple):
    """A student's charts that need no texts: square ones, and a wide one."""

    square: tuple[Chart, ...]
    wide: Chart

    @classmethod
    def of(cls, evidence: Evidence) -> _Charts:
        square = confusion_chart(evidence, "student"), reliability_chart(evidence, "student")
        return cls(square, class_chart(evidence))


def _address(page: Path, path: Path) -> str | None:
    """The link from the page at `path` to a run's own page; None without one."""
    if not page.is_file():
        return None
    try:
        return quote(Path(os.path.relpath(page, path.absolute().parent)).as_posix())
    except ValueError:  # it is on another drive
        return None


def _chart(found: RunComparison) -> Chart:
    first, *others = found.runs
    names = [first.name]
    names += [each.name if each.difference is not None else f"{each.name} (different texts)" for each in others]
    values = [each.metrics.student.accuracy for each in found.runs]
    return points_chart(names, values, [each.accuracy_ci95 for each in found.runs], ["student"] * len(names), "student")


def _difference(evidence: Evidence, first: Evidence) -> Gain | None:
    """None if the test texts or their labels differ."""
    if sorted(evidence.classes) != sorted(first.classes) or len(evidence.ids) != len(first.ids):
        return None
    number = np.array([evidence.classes.index(name) for name in first.classes])  # by index in the first run
    first_labels, first_predicted = number[first.labels], number[first.predicted["student"]]
    mine = np.lexsort((evidence.labels, evidence.ids))
    theirs = np.lexsort((first_labels, first.ids))
    labels = evidence.labels[mine]
    if not (np.array_equal(evidence.ids[mine], first.ids[theirs]) and np.array_equal(labels, first_labels[theirs])):
        return None
    own, other = evidence.predicted["student"][mine], first_predicted[theirs]
    return gain(own, other, labels)


def _written(value: Any) -> str:
    """An option's value as in a recipe, or a dash if it is not set."""
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with as many parent folders as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    depth = 1
    while depth < max(map(len, parts)) and len({each[-depth:] for each in parts}) < len(set(parts)):
        depth += 1
    return ["/".join(each[-depth:]) for each in parts]
