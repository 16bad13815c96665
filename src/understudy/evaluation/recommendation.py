"""Which model to ship: the cheapest one that is about as accurate as the best, judged on the validation texts.

The rule follows the one-standard-error rule of pruning (Breiman, Friedman, Olshen and Stone 1984, "Classification and
Regression Trees", section 3.4.3). It takes the cheapest model whose accuracy is within one standard error of the best.
Here the models answer the same texts, so the standard error is that of their difference, as in McNemar's test: with
`a` texts that only the one gets right and `b` that only the other does, sqrt(a + b) / texts. A loss of more than half
a point is never accepted, however large the standard error is. With fewer than 200 texts, one text is already more
than that. Then the most accurate model is chosen, and of equally accurate ones the cheapest.

The cost is the number of operations for one text, then the number of parameters. Both are counted and not timed, so
the choice is the same on every machine. The test set is not used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from understudy.evaluation.intervals import ALPHA
from understudy.evaluation.significance import mcnemar

MODELS = {
    "teacher": "the teacher",
    "student": "the student",
    "linear": "the linear n-gram model",
    "frozen": "logistic regression on the frozen encoder",
    "static": "the static student",
}
"""The models that can be recommended, and what sentences call them."""

LARGEST_LOSS = 0.005
"""The accuracy that a cheaper model may lose."""

FEW_TEXTS = 200
"""With fewer validation texts, a single text is more than `LARGEST_LOSS`."""

_CHEAPER = 0.9
"""A model is cheaper if it costs at most this share."""


@dataclass(frozen=True)
class Option:
    """A model that can be shipped.

    Attributes:
        folder: Its folder, relative to the run directory.
        predicted: Class indices for the validation texts, shape (texts,).
        operations: Operations for one text of average length.
        parameters: Number of parameters.
    """

    folder: str
    predicted: np.ndarray
    operations: int
    parameters: int

    @property
    def cost(self) -> tuple[int, int]:
        """The order of models by cost."""
        return self.operations, self.parameters

    def is_cheaper_than(self, other: Option) -> bool:
        """Whether it needs fewer operations, or as many and fewer parameters; by a tenth at least."""
        if self.operations <= _CHEAPER * other.operations:
            return True
        return _CHEAPER * self.operations <= other.operations and self.parameters <= _CHEAPER * other.parameters


@dataclass(frozen=True)
class Choice:
    """The chosen model.

    Attributes:
        model: Its name.
        reason: Why, in a few sentences.
    """

    model: str
    reason: str


def choose(options: Mapping[str, Option], labels: np.ndarray) -> Choice:
    """Applies the rule of this module.

    Args:
        options: The models by name, at least one; the names are keys of `MODELS`.
        labels: True class indices of the validation texts, shape (texts,).

    Raises:
        ValueError: there is no model.
    """
    if not options:
        raise ValueError("Got no model to choose from; expected at least one.")
    right = {name: option.predicted == labels for name, option in options.items()}
    by_cost = sorted(options, key=lambda name: (options[name].cost, name))
    best = max(by_cost, key=lambda name: int(right[name].sum()))
    chosen = next(
        (
            name
            for name in by_cost
            if options[name].is_cheaper_than(options[best]) and is_as_good(right[name], right[best])
        ),
        best,
    )
    accuracy = {name: float(right[name].mean()) for name in by_cost}
    reasons = [_why(options, accuracy, chosen, best), *_doubts(options, right[best], labels)]
    return Choice(chosen, " ".join(reasons))


def is_as_good(right: np.ndarray, best: np.ndarray) -> bool:
    """Whether a model is at most one standard error and `LARGEST_LOSS` less accurate than the best.

    Args:
        right: Whether the model is right, shape (texts,).
        best: Whether the best model is right, shape (texts,).
    """
    lost, won = int((best & ~right).sum()), int((right & ~best).sum())
    return lost - won <= min(math.sqrt(lost + won), LARGEST_LOSS * len(right))


def _why(options: Mapping[str, Option], accuracy: Mapping[str, float], chosen: str, best: str) -> str:
    texts = len(options[best].predicted)
    if chosen != best:
        return (
            f"It is about as accurate as {MODELS[best]} on {texts:,} validation texts "
            f"({accuracy[chosen]:.4f} against {accuracy[best]:.4f}) and needs "
            f"{_saving(options[chosen], options[best])}."
        )
    found = f"It has the highest accuracy on {texts:,} validation texts ({accuracy[best]:.4f})."
    cheaper = [name for name in options if options[name].is_cheaper_than(options[best])]
    if not cheaper:
        return found if len(options) == 1 else f"{found} No other model is cheaper."
    other = max(cheaper, key=lambda name: (accuracy[name], -options[name].operations, name))
    points = f"{(accuracy[best] - accuracy[other]) * 100:.1f}"
    name = MODELS[other][0].upper() + MODELS[other][1:]
    return f"{found} {name} needs {_saving(options[other], options[best])}, but is {points} points behind."


def _saving(cheap: Option, dear: Option) -> str:
    if cheap.operations <= _CHEAPER * dear.operations:
        return f"{_times(dear.operations / max(1, cheap.operations))} fewer operations per text"
    return f"{_times(dear.parameters / max(1, cheap.parameters))} fewer parameters"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio < 10 else f"{float(f'{ratio:.2g}'):,.0f}x"


def _doubts(options: Mapping[str, Option], best: np.ndarray, labels: np.ndarray) -> list[str]:
    """What the reader has to know about the choice."""
    found, texts = [], len(labels)
    majority = labels == np.bincount(labels).argmax()
    lost, won = int((majority & ~best).sum()), int((best & ~majority).sum())
    if won <= lost or mcnemar(won, lost) >= ALPHA:
        found.append("No model is significantly better there than always answering the most frequent class.")
    elif texts < FEW_TEXTS:
        found.append("With so few validation texts the choice is uncertain.")
    if "teacher" not in options:
        found.append("The teacher is not considered: it is a committee, or only its scores are known.")
    return found
