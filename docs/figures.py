"""Draws the figures of the documentation with understudy's own functions: make docs"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from understudy.reporting.canvas import STUDENT, TEACHER
from understudy.training.objectives import soft_kl

LOGITS = torch.tensor([[4.0, 2.0, 0.0]])
TEMPERATURES = (1, 2, 4)


def temperature(path: Path) -> None:
    """What the temperature does to the teacher's probabilities, and what the factor T² does to the gradient."""
    figure = Figure(figsize=(8, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, value in enumerate(TEMPERATURES):
        heights = torch.softmax(LOGITS / value, dim=-1)[0].tolist()
        positions = [index + 0.27 * (place - 1) for index in range(3)]
        bars = left.bar(positions, heights, 0.25, color=TEACHER, alpha=(1.0, 0.65, 0.35)[place], label=f"T = {value}")
        left.bar_label(bars, fmt="%.2f", fontsize=7)
    left.set_xticks(range(3), [f"class with t = {logit:g}" for logit in LOGITS[0].tolist()], fontsize=8)
    left.set_title("The teacher's probabilities", fontsize=10)
    left.set_ylim(0, 1)
    left.legend(frameon=False, fontsize=8)

    grid = [1 + step / 10 for step in range(91)]
    with_factor = [gradient(value) for value in grid]
    without = [length / value**2 for length, value in zip(with_factor, grid, strict=True)]
    right.plot(grid, with_factor, color=STUDENT, label="with the factor T²")
    right.plot(grid, without, color=STUDENT, linestyle="--", label="without")
    right.set_title("The soft loss's gradient", fontsize=10)
    right.set_xlabel("temperature T", fontsize=8)
    right.set_ylim(bottom=0)
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)

    canvas: Any = FigureCanvasSVG(figure)
    with rc_context({"svg.hashsalt": "understudy"}):
        canvas.print_svg(path, metadata={"Date": None, "Creator": None})


def gradient(temperature: float) -> float:
    """Length of the gradient for a student whose logits are all 0."""
    student = torch.zeros_like(LOGITS, requires_grad=True)
    soft_kl(student, LOGITS, temperature).sum().backward()
    assert student.grad is not None
    return float(student.grad.norm())


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    temperature(folder / "temperature.svg")
