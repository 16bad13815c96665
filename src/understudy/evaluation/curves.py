"""How a training went, and whether it was too short."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

FEW_STEPS = 200
"""With fewer optimiser steps, a training may be too short whatever the task."""

STEPS_PER_CLASS = 10
"""With fewer optimiser steps a class, a training may be too short for that many classes."""


@dataclass(frozen=True)
class Curve:
    """The course of one training.

    Attributes:
        steps: Number of optimiser steps.
        accuracies: Accuracy on the validation texts after each epoch.
    """

    steps: int
    accuracies: tuple[float, ...] = ()

    @classmethod
    def of(cls, history: Iterable[Mapping[str, Any]]) -> Curve | None:
        """Reads a training log; None for a model that was not trained by gradient descent."""
        entries = list(history)
        steps = max((int(entry.get("step", 0)) for entry in entries), default=0)
        accuracies = tuple(entry["eval_accuracy"] for entry in entries if entry.get("eval_accuracy") is not None)
        return cls(steps, accuracies) if steps else None

    def has_few_steps(self, classes: int) -> bool:
        """Whether there are so few steps that the training may be too short."""
        return self.steps < max(FEW_STEPS, STEPS_PER_CLASS * classes)

    def was_rising(self, texts: int) -> bool:
        """Whether the last epoch raised the accuracy by more than one standard error.

        Args:
            texts: Number of validation texts.
        """
        if len(self.accuracies) < 2:
            return False
        best, last = max(self.accuracies[:-1]), self.accuracies[-1]
        return last - best > math.sqrt(last * (1 - last) / texts)


def shortness(curves: Mapping[str, Curve], classes: int, texts: int) -> str:
    """Why a training may be too short, as the words after "Training was too short: "; empty if nothing says so.

    Args:
        curves: Of the teacher, the student, or both, by name.
        classes: Number of classes.
        texts: Number of validation texts.
    """
    few = {name: curve.steps for name, curve in curves.items() if curve.has_few_steps(classes)}
    if few:
        counts = sorted(set(few.values()))
        many = f" for {classes} classes" if max(counts) >= FEW_STEPS else ""
        if len(counts) == 1:
            return f"{counts[0]:,} step{'' if counts[0] == 1 else 's'}{many}"
        return ", ".join(f"{steps:,} steps for the {name}" for name, steps in few.items())
    rising = [curve.steps for curve in curves.values() if curve.was_rising(texts)]
    return f"validation accuracy was still rising after {min(rising):,} steps" if rising else ""
