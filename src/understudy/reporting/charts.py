"""The charts of the report: SVG from matplotlib in the page's colours, each with the figures that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from understudy.evaluation.metrics import CALIBRATION_BINS, calibration_bins
from understudy.evaluation.results import Interval
from understudy.inference.logits import softmax
from understudy.reporting import formats
from understudy.reporting.evidence import MODELS, Evidence
from understudy.reporting.svg import COLOURS, FAINT, INK, RULE, drawing, name_ticks

MARKERS = {
    "teacher": "s",
    "student": "o",
    "no_distillation": "o",
    "linear": "D",
    "frozen": "^",
    "static": "v",
}

LARGE, SMALL = 9.0, 7.0  # points of a name
NAME_ROOM = 2.6  # inches of a name to the left of its row


@dataclass(frozen=True)
class Grid:
    """Headings and rows of text."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chart:
    """A picture and its figures.

    Attributes:
        svg: An `<svg>` element.
        alt: What it shows, in words, for readers who cannot see it.
        grid: The figures that it shows.
    """

    svg: str
    alt: str
    grid: Grid


def quality_chart(evidence: Evidence, intervals: dict[str, Interval]) -> Chart:
    """Every model's accuracy with its interval."""
    names = list(evidence.probabilities)
    accuracy = [float((evidence.predicted[name] == evidence.labels).mean()) for name in names]
    return points_chart([MODELS[name] for name in names], accuracy, [intervals[name] for name in names], names, "model")


def points_chart(
    names: Sequence[str], accuracy: Sequence[float], intervals: Sequence[Interval], looks: Sequence[str], heading: str
) -> Chart:
    """Accuracies with their 95 % intervals, one per row.

    Args:
        names: The name of each row.
        accuracy: The accuracy of each row.
        intervals: The interval of each accuracy.
        looks: The model whose colour and marker each row has.
        heading: What the rows are.
    """
    with drawing(7.2, 0.5 + 0.42 * len(names)) as (axes, finish):
        for row, (value, (low, high), look) in enumerate(zip(accuracy, intervals, looks, strict=True)):
            colour = COLOURS[look]
            axes.plot([low, high], [row, row], color=colour, linewidth=1.6)
            face = "none" if look == "no_distillation" else colour
            axes.plot([value], [row], marker=MARKERS[look], color=colour, markerfacecolor=face, markersize=7)
        name_ticks(axes.yaxis, names, LARGE, NAME_ROOM)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("accuracy with 95 % interval")
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        svg = finish()
    rows = tuple(
        (name, formats.score(value), *map(formats.score, ends))
        for name, value, ends in zip(names, accuracy, intervals, strict=True)
    )
    said = ", ".join(f"{name} {formats.percent(value)}" for name, value in zip(names, accuracy, strict=True))
    headings = (heading, "accuracy", "interval from", "interval to")
    return Chart(svg, f"Accuracy on the test texts: {said}.", Grid(headings, rows))


def reliability_chart(evidence: Evidence, model: str) -> Chart:
    """How often a model is correct at each probability, before and after its calibration."""
    probabilities, temperature = evidence.probabilities[model], evidence.temperature(model)
    stages = {"": probabilities}
    if temperature is not None:
        before = _uncalibrated(probabilities, temperature)
        stages = {"before calibration": before, "after calibration": probabilities}
    found = {name: calibration_bins(values, evidence.labels) for name, values in stages.items()}
    colour = COLOURS[model]
    with drawing(3.5, 3.3) as (axes, finish):
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))
        for (name, bins), style in zip(found.items(), ([":", "-"] if len(found) > 1 else ["-"]), strict=True):
            filled = bins.texts > 0
            axes.plot(
                *(bins.confidence[filled], bins.accuracy[filled]),
                color=colour,
                linestyle=style,
                marker="o" if style == "-" else "",
                markersize=4,
                label=name,
            )
        lowest = min(float(bins.confidence[bins.texts > 0].min()) for bins in found.values())
        start = max(0.0, np.floor(lowest * 10) / 10)
        axes.set(xlim=(start, 1.01), ylim=(0, 1.03), xlabel="top probability", ylabel="share of correct answers")
        axes.set_title(MODELS[model], fontsize=10, color=INK, loc="left")
        axes.grid(color=RULE, linewidth=0.6)
        if len(found) > 1:
            axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper left")
        svg = finish()
    bins = list(found.values())[-1]
    rows = tuple(
        (
            f"{index / CALIBRATION_BINS:.2f} - {(index + 1) / CALIBRATION_BINS:.2f}",
            f"{bins.texts[index]:,}",
            formats.score(float(bins.confidence[index])),
            formats.score(float(bins.accuracy[index])),
        )
        for index in np.flatnonzero(bins.texts)
    )
    headings = ("top probability", "texts", "mean probability", "share correct")
    errors = ", ".join(f"{each.error:.4f} {name}".rstrip() for name, each in found.items())
    return Chart(svg, f"Reliability of the {model}. Calibration error: {errors}.", Grid(headings, rows))


def uncalibrated_error(evidence: Evidence, model: str) -> float | None:
    """Expected calibration error before calibration; None for a model that is not calibrated."""
    temperature = evidence.temperature(model)
    if temperature is None:
        return None
    return calibration_bins(_uncalibrated(evidence.probabilities[model], temperature), evidence.labels).error


def learning_chart(history: Sequence[dict[str, Any]], title: str, colour: str) -> Chart | None:
    """Training loss by step and validation accuracy after each epoch; None without a training loss."""
    losses = [(entry["step"], entry["loss"]) for entry in history if entry.get("loss") is not None]
    checked = [(entry["step"], entry["eval_accuracy"]) for entry in history if "eval_accuracy" in entry]
    if not losses:
        return None
    with drawing(3.5, 2.4) as (axes, finish):
        axes.plot(*zip(*losses, strict=True), color=COLOURS[colour], linewidth=1.5)
        axes.set(xlabel="step", ylabel="training loss", ylim=(0, None))
        axes.set_title(title, fontsize=10, color=INK, loc="left")
        axes.grid(color=RULE, linewidth=0.6)
        for step, accuracy in checked:
            axes.axvline(step, color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)))
            look: dict[str, Any] = {"ha": "right", "va": "top", "fontsize": 8, "color": INK}
            axes.annotate(f"{accuracy:.3f}", (step, 0.98), xycoords=("data", "axes fraction"), **look)
        svg = finish()
    rows = tuple(
        (
            str(entry["step"]),
            f"{entry['epoch']:.2f}",
            formats.known(entry.get("loss"), lambda value: f"{value:.4f}"),
            formats.known(entry.get("eval_accuracy"), formats.score),
        )
        for entry in history
        if entry.get("loss") is not None or "eval_accuracy" in entry
    )
    first, last = losses[0][1], losses[-1][1]
    alt = f"{title}: the training loss goes from {first:.3f} to {last:.3f} over {losses[-1][0]:,} steps"
    alt += f"; validation accuracy {checked[-1][1]:.3f} at the end." if checked else "."
    return Chart(svg, alt, Grid(("step", "epoch", "loss", "validation accuracy"), rows))


def _uncalibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """A calibrated model's probabilities before its logits were divided by the temperature."""
    return softmax(np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)) * temperature)
