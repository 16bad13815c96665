"""The charts of the report: SVG by matplotlib whose colours the page decides, each with the table behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from understudy.evaluation.metrics import CALIBRATION_BINS, calibration_bins
from understudy.evaluation.results import Interval
from understudy.inference.logits import softmax
from understudy.reporting import formats
from understudy.reporting.evidence import MODELS, Evidence
from understudy.reporting.svg import COLOURS, FAINT, INK, RULE, drawing, explain, name_ticks, text_width

_MARKERS = {"teacher": "s", "student": "o", "no_distillation": "o", "linear": "D"}

_FEW, _MANY = 12, 30  # classes up to which a confusion matrix has their names in letters of full size, or at all
_MOST_COUNTS = 6  # and its counts
_LARGE, _SMALL = 9.0, 7.0  # points
_MOST_ROOM = 1.75, 2.6  # inches of a name beside a matrix, and beside rows
_DARKEST = 0.55  # opacity at which text in the page's colour can still be read, on light and on dark pages

_LENGTH_GROUPS = 5
_BY_GROUP = 6.4  # inches of an axis with groups


@dataclass(frozen=True)
class Table:
    """Rows for people, headings first."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chart:
    """A picture, what it shows in words, and its figures.

    Attributes:
        svg: An `<svg>` element.
        alt: For whoever does not see it.
        table: The figures behind it.
    """

    svg: str
    alt: str
    table: Table


def quality_chart(evidence: Evidence, intervals: dict[str, Interval]) -> Chart:
    """Accuracy of every model with its interval."""
    names = list(evidence.probabilities)
    accuracy = [float((evidence.predicted[name] == evidence.labels).mean()) for name in names]
    return points_chart([MODELS[name] for name in names], accuracy, [intervals[name] for name in names], names, "model")


def points_chart(
    names: Sequence[str], accuracy: Sequence[float], intervals: Sequence[Interval], looks: Sequence[str], heading: str
) -> Chart:
    """Accuracies with their 95 % intervals, one a row.

    Args:
        names: Of the rows.
        accuracy: Of each.
        intervals: Likewise.
        looks: Which model's colour and marker each has.
        heading: What the rows are.
    """
    with drawing(7.2, 0.5 + 0.42 * len(names)) as (axes, finish):
        for row, (value, (low, high), look) in enumerate(zip(accuracy, intervals, looks, strict=True)):
            colour = COLOURS[look]
            axes.plot([low, high], [row, row], color=colour, linewidth=1.6)
            face = "none" if look == "no_distillation" else colour
            axes.plot([value], [row], marker=_MARKERS[look], color=colour, markerfacecolor=face, markersize=7)
        name_ticks(axes.yaxis, names, _LARGE, _MOST_ROOM[1])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("accuracy, with its 95 % interval")
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        svg = finish()
    rows = tuple(
        (name, formats.score(value), *map(formats.score, ends))
        for name, value, ends in zip(names, accuracy, intervals, strict=True)
    )
    said = ", ".join(f"{name} {formats.percent(value)}" for name, value in zip(names, accuracy, strict=True))
    return Chart(svg, f"Accuracy on the test texts: {said}.", Table((heading, "accuracy", "from", "to"), rows))


def reliability_chart(evidence: Evidence, model: str) -> Chart:
    """How often a model is right when it is so sure, as it is and as it was before its temperature."""
    probabilities, temperature = evidence.probabilities[model], evidence.temperature(model)
    stages = {"as it is": probabilities}
    if temperature is not None:
        stages = {"before its temperature": _reheated(probabilities, temperature), **stages}
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
        axes.set(xlim=(start, 1.01), ylim=(0, 1.03), xlabel="top probability", ylabel="share of texts it gets right")
        axes.set_title(MODELS[model], fontsize=10, color=INK, loc="left")
        axes.grid(color=RULE, linewidth=0.6)
        if len(found) > 1:
            axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper left")
        svg = finish()
    bins = found["as it is"]
    rows = tuple(
        (
            f"{index / CALIBRATION_BINS:.2f} - {(index + 1) / CALIBRATION_BINS:.2f}",
            f"{bins.texts[index]:,}",
            formats.score(float(bins.confidence[index])),
            formats.score(float(bins.accuracy[index])),
        )
        for index in np.flatnonzero(bins.texts)
    )
    said = ", ".join(f"{name}: calibration error {each.error:.4f}" for name, each in found.items())
    headings = ("top probability", "texts", "mean probability", "share right")
    return Chart(svg, f"Reliability of the {model}; {said}.", Table(headings, rows))


def uncalibrated_error(evidence: Evidence, model: str) -> float | None:
    """Expected calibration error before the model got its temperature; None where it has none."""
    temperature = evidence.temperature(model)
    if temperature is None:
        return None
    return calibration_bins(_reheated(evidence.probabilities[model], temperature), evidence.labels).error


def confusion_chart(evidence: Evidence, model: str) -> Chart:
    """Which class is taken for which, as a picture of shares for many classes and few."""
    counts = confusion(evidence, model)
    classes = evidence.classes
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    named = classes if len(classes) <= _MANY else []
    side, points, turned = (3.2, _LARGE, 45) if len(classes) <= _FEW else (4.4, _SMALL, 90)
    widest = max((min(text_width(name, points), _MOST_ROOM[0]) for name in named), default=0.0)
    if widest + 0.1 <= side / len(classes):
        turned = 0
    below = widest * math.sin(math.radians(turned))
    with drawing(side + widest + 0.5, side + below + 0.7) as (axes, finish):
        # One colour whose opacity is the share, so that the page's theme shines through.
        for row, column in zip(*np.nonzero(counts), strict=True):
            cell = axes.add_patch(_square(column, row, COLOURS[model], float(shares[row, column])))
            explain(cell, f"{classes[row]} → {classes[column]}: {counts[row, column]:,}")
            if len(classes) <= _MOST_COUNTS:
                axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=9, color=INK)
        axes.set(xlim=(-0.5, len(classes) - 0.5), ylim=(len(classes) - 0.5, -0.5), aspect="equal")
        axes.set(xticks=[], yticks=[])
        if named:
            name_ticks(axes.xaxis, named, points, _MOST_ROOM[0], turned)
            name_ticks(axes.yaxis, named, points, _MOST_ROOM[0])
        axes.set_xlabel("answered")
        axes.set_ylabel("label")
        axes.set_title(MODELS[model], fontsize=10, color=INK, loc="left")
        svg = finish()
    cells = sorted(zip(*np.nonzero(counts), strict=True), key=lambda cell: (cell[0] == cell[1], -counts[cell]))
    rows = tuple(
        (classes[row], classes[column], f"{counts[row, column]:,}", formats.percent(float(shares[row, column])))
        for row, column in cells
    )
    headings = ("label", "answered", "texts", "share of the label's texts")
    alt = f"Confusion matrix of the {model}: {int(np.trace(counts)):,} of {int(counts.sum()):,} texts on the diagonal."
    return Chart(svg, alt, Table(headings, rows))


def confusion(evidence: Evidence, model: str) -> np.ndarray:
    """Texts by label and answer, int64 of shape (classes, classes)."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(evidence.labels, evidence.predicted[model], labels=range(len(evidence.classes)))


def length_chart(evidence: Evidence) -> Chart | None:
    """Accuracy by the number of characters, in fifths of the texts; None without texts.

    Words would say nothing where none are set apart, as in Chinese.
    """
    if evidence.texts is None:
        return None
    length = np.array([len(text) for text in evidence.texts])
    edges = np.unique(np.quantile(length, np.linspace(0, 1, _LENGTH_GROUPS + 1)).round().astype(int))
    group = np.clip(np.searchsorted(edges, length, side="right") - 1, 0, max(0, len(edges) - 2))
    names = [f"{length[group == index].min():,}-{length[group == index].max():,}" for index in np.unique(group)]
    return _by_group(evidence, names, np.unique(group, return_inverse=True)[1], "characters in the text")


def class_chart(evidence: Evidence) -> Chart:
    """Share of each class's texts that are answered rightly."""
    present = np.unique(evidence.labels)
    names = [evidence.classes[index] for index in present]
    return _by_group(evidence, names, np.searchsorted(present, evidence.labels), "class")


def _by_group(evidence: Evidence, names: Sequence[str], group: np.ndarray, heading: str) -> Chart:
    models = ("teacher", "student")
    counts = np.bincount(group, minlength=len(names))
    right = {name: (evidence.predicted[name] == evidence.labels).astype(float) for name in models}
    shares = {name: np.bincount(group, weights=right[name], minlength=len(names)) / counts for name in models}
    ends = {name: [_wilson(share, count) for share, count in zip(shares[name], counts, strict=True)] for name in models}
    upright = max(text_width(name, _LARGE) for name in names) + 0.1 <= _BY_GROUP / len(names)
    points, pitch = (_LARGE, 0.36) if len(names) <= _FEW else (_SMALL, 0.19)
    with drawing(7.2, 2.9 if upright else 0.8 + pitch * len(names)) as (axes, finish):
        for offset, name in zip((-0.12, 0.12), models, strict=True):
            place = np.arange(len(names)) + offset
            low, high = np.array(ends[name]).T
            look: dict[str, Any] = {"color": COLOURS[name], "linewidth": 1.4}
            mark = {**look, "linewidth": 0, "marker": _MARKERS[name], "markersize": 5, "label": MODELS[name]}
            if upright:
                axes.vlines(place, low, high, **look)
                axes.plot(place, shares[name], **mark)
            else:
                axes.hlines(place, low, high, **look)
                axes.plot(shares[name], place, **mark)
        if upright:
            name_ticks(axes.xaxis, names, _LARGE, _BY_GROUP / len(names))
            axes.set(xlabel=heading, ylabel="share answered rightly", xlim=(-0.5, len(names) - 0.5))
            axes.grid(axis="y", color=RULE, linewidth=0.6)
        else:
            name_ticks(axes.yaxis, names, points, _MOST_ROOM[1])
            axes.set(xlabel="share answered rightly", ylabel=heading, ylim=(len(names) - 0.5, -0.5))
            axes.grid(axis="x", color=RULE, linewidth=0.6)
        above: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.1}
        axes.legend(frameon=False, fontsize=8, labelcolor=INK, ncols=2, **above)
        svg = finish()
    rows = tuple(
        (
            names[index],
            f"{counts[index]:,}",
            *(
                f"{formats.percent(float(shares[name][index]))} {formats.percent_interval(ends[name][index])}"
                for name in models
            ),
        )
        for index in range(len(names))
    )
    lowest = shares["student"]
    worst = int(np.argmin(lowest))
    alt = (
        f"Share answered rightly by {heading}; the student's lowest is {formats.percent(float(lowest[worst]))}"
        f" on {names[worst]}."
    )
    return Chart(svg, alt, Table((heading, "texts", *(MODELS[name] for name in models)), rows))


def learning_chart(history: Sequence[dict[str, Any]], title: str, colour: str) -> Chart | None:
    """Loss of a training by step, and the validation accuracy after each epoch; None where nothing was trained."""
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
    return Chart(svg, alt, Table(("step", "epoch", "loss", "validation accuracy"), rows))


def _reheated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """What a calibrated model's probabilities were before its logits were divided by the temperature."""
    return softmax(np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)) * temperature)


def _wilson(share: float, count: int) -> Interval:
    """Wilson's 95 % interval of a share."""
    from scipy.stats import binomtest

    found = binomtest(round(share * count), int(count)).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def _square(x: float, y: float, colour: str, share: float) -> Any:
    from matplotlib.patches import Rectangle

    look: dict[str, Any] = {"alpha": max(0.04, _DARKEST * share), "linewidth": 0, "clip_on": False}
    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, **look)
