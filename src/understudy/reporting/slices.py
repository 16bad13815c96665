"""Charts of the report by class and by length of the text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from understudy.evaluation.intervals import exact_limits
from understudy.evaluation.results import Interval
from understudy.reporting import formats
from understudy.reporting.charts import LARGE, MARKERS, NAME_ROOM, SMALL, Chart, Grid
from understudy.reporting.evidence import MODELS, Evidence
from understudy.reporting.svg import COLOURS, INK, RULE, drawing, explain, name_ticks, text_width

_FEW, _MANY = 12, 30  # up to so many classes, names are large, and a confusion matrix shows names at all
_MOST_COUNTS = 6  # up to so many classes, a confusion matrix shows its counts
_MATRIX_ROOM = 1.75  # inches of a name next to a confusion matrix
_DARKEST = 0.55  # the highest opacity behind text that stays legible on light and dark pages

_LENGTH_GROUPS = 5
_BY_GROUP = 6.4  # inches of an axis with groups


def confusion_chart(evidence: Evidence, model: str) -> Chart:
    """The confusion matrix, as shares of each label's texts; few classes also show their counts."""
    counts = confusion(evidence, model)
    classes = evidence.classes
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    named = classes if len(classes) <= _MANY else []
    side, points, turned = (3.2, LARGE, 45) if len(classes) <= _FEW else (4.4, SMALL, 90)
    widest = max((min(text_width(name, points), _MATRIX_ROOM) for name in named), default=0.0)
    if widest + 0.1 <= side / len(classes):
        turned = 0
    below = widest * math.sin(math.radians(turned))
    with drawing(side + widest + 0.5, side + below + 0.7) as (axes, finish):
        # One colour whose opacity is the share, so that the page's theme stays visible.
        for row, column in zip(*np.nonzero(counts), strict=True):
            cell = axes.add_patch(_square(column, row, COLOURS[model], float(shares[row, column])))
            explain(cell, f"{classes[row]} → {classes[column]}: {counts[row, column]:,}")
            if len(classes) <= _MOST_COUNTS:
                axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=9, color=INK)
        axes.set(xlim=(-0.5, len(classes) - 0.5), ylim=(len(classes) - 0.5, -0.5), aspect="equal")
        axes.set(xticks=[], yticks=[])
        if named:
            name_ticks(axes.xaxis, named, points, _MATRIX_ROOM, turned)
            name_ticks(axes.yaxis, named, points, _MATRIX_ROOM)
        axes.set_xlabel("answer")
        axes.set_ylabel("label")
        axes.set_title(MODELS[model], fontsize=10, color=INK, loc="left")
        svg = finish()
    cells = sorted(zip(*np.nonzero(counts), strict=True), key=lambda cell: (cell[0] == cell[1], -counts[cell]))
    rows = tuple(
        (classes[row], classes[column], f"{counts[row, column]:,}", formats.percent(float(shares[row, column])))
        for row, column in cells
    )
    headings = ("label", "answer", "texts", "share of the label's texts")
    alt = f"Confusion matrix of the {model}: {int(np.trace(counts)):,} of {int(counts.sum()):,} answers are correct."
    return Chart(svg, alt, Grid(headings, rows))


def confusion(evidence: Evidence, model: str) -> np.ndarray:
    """Number of texts by label (rows) and answer (columns), int64 of shape (classes, classes)."""
    from sklearn.metrics import confusion_matrix

    predicted, classes = evidence.predicted[model], range(len(evidence.classes))
    counts: np.ndarray = confusion_matrix(evidence.labels, predicted, labels=classes)
    return counts


def length_chart(evidence: Evidence) -> Chart | None:
    """Accuracy by number of characters, in fifths of the texts; None without texts.

    Not by number of words, because some languages do not separate words.
    """
    if evidence.texts is None:
        return None
    length = np.array([len(text) for text in evidence.texts])
    edges = np.unique(np.quantile(length, np.linspace(0, 1, _LENGTH_GROUPS + 1)).round().astype(int))
    group = np.clip(np.searchsorted(edges, length, side="right") - 1, 0, max(0, len(edges) - 2))
    names = [f"{length[group == index].min():,}-{length[group == index].max():,}" for index in np.unique(group)]
    return _by_group(evidence, names, np.unique(group, return_inverse=True)[1], "characters in the text")


def class_chart(evidence: Evidence) -> Chart:
    """Share of correct answers for each class."""
    present = np.unique(evidence.labels)
    names = [evidence.classes[index] for index in present]
    return _by_group(evidence, names, np.searchsorted(present, evidence.labels), "class")


def _by_group(evidence: Evidence, names: Sequence[str], group: np.ndarray, heading: str) -> Chart:
    models = ("teacher", "student")
    counts = np.bincount(group, minlength=len(names))
    right = {name: (evidence.predicted[name] == evidence.labels).astype(float) for name in models}
    shares = {name: np.bincount(group, weights=right[name], minlength=len(names)) / counts for name in models}
    ends = {name: [_exact(share, count) for share, count in zip(shares[name], counts, strict=True)] for name in models}
    upright = max(text_width(name, LARGE) for name in names) + 0.1 <= _BY_GROUP / len(names)
    points, pitch = (LARGE, 0.36) if len(names) <= _FEW else (SMALL, 0.19)
    with drawing(7.2, 2.9 if upright else 0.8 + pitch * len(names)) as (axes, finish):
        for offset, name in zip((-0.12, 0.12), models, strict=True):
            place = np.arange(len(names)) + offset
            low, high = np.array(ends[name]).T
            look: dict[str, Any] = {"color": COLOURS[name], "linewidth": 1.4}
            mark = {**look, "linewidth": 0, "marker": MARKERS[name], "markersize": 5, "label": MODELS[name]}
            if upright:
                axes.vlines(place, low, high, **look)
                axes.plot(place, shares[name], **mark)
            else:
                axes.hlines(place, low, high, **look)
                axes.plot(shares[name], place, **mark)
        if upright:
            name_ticks(axes.xaxis, names, LARGE, _BY_GROUP / len(names))
            axes.set(xlabel=heading, ylabel="share of correct answers", xlim=(-0.5, len(names) - 0.5))
            axes.grid(axis="y", color=RULE, linewidth=0.6)
        else:
            name_ticks(axes.yaxis, names, points, NAME_ROOM)
            axes.set(xlabel="share of correct answers", ylabel=heading, ylim=(len(names) - 0.5, -0.5))
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
    share = formats.percent(float(lowest[worst]))
    alt = f"Share of correct answers by {heading}. The student's lowest share is {share} ({names[worst]})."
    return Chart(svg, alt, Grid((heading, "texts", *(MODELS[name] for name in models)), rows))


def _exact(share: float, count: int) -> Interval:
    """The exact 95 % interval for a share."""
    low, high = exact_limits(np.asarray(round(share * count)), int(count))
    return float(low), float(high)


def _square(x: float, y: float, colour: str, share: float) -> Any:
    from matplotlib.patches import Rectangle

    look: dict[str, Any] = {"alpha": max(0.04, _DARKEST * share), "linewidth": 0, "clip_on": False}
    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, **look)
