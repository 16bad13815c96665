"""Whether calibration on few validation texts does harm: none, the plain temperature, and the guarded one.

    python benchmarks/calibration.py [--simulations N] [--seed S]

Logits are simulated, so every text's true class probabilities are known. They replace labels on the test texts: the
figures are those of infinitely many labels, and a difference of two methods has little noise.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from understudy.evaluation.metrics import CALIBRATION_BINS
from understudy.evaluation.temperature import choose_temperature, fit_temperature

TEXTS = (50, 100, 200, 500, 1_000)
CLASSES = (2, 5, 20)
TRUE_TEMPERATURES = (0.7, 1.0, 1.3, 2.0)
TEST_TEXTS = 2_000
WRONG_LABELS = 0.08
"""Share of labels that are drawn at random where the model's shape is wrong: no temperature is then right."""

NOISE = {"ece": 0.002, "nll": 0.001}
"""A smaller rise does not count. On 1,000 test texts, a perfectly calibrated model has an ECE of about 0.02."""


@dataclass(frozen=True)
class Cell:
    """One simulated situation.

    Attributes:
        texts: Number of validation texts.
        classes: Number of classes.
        true_temperature: Above 1 the model is overconfident, below 1 underconfident.
        wrong_labels: Share of labels that are drawn at random.
    """

    texts: int
    classes: int
    true_temperature: float
    wrong_labels: float = 0.0

    def draw(self, texts: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The model's logits and the true class probabilities."""
        size = 2.5 if self.classes == 2 else 3.5
        logits = 0.6 * size * rng.standard_normal((texts, self.classes))
        own = rng.integers(self.classes, size=texts)
        logits[np.arange(texts), own] += 1.5 * size * np.abs(rng.standard_normal(texts))
        truth = (1 - self.wrong_labels) * softmax(logits, axis=1) + self.wrong_labels / self.classes
        return self.true_temperature * logits, truth


@dataclass(frozen=True)
class Figures:
    """A method's figures on the test texts, the mean over all simulated validation sets.

    Attributes:
        ece: Expected calibration error.
        nll: Mean negative log-likelihood.
        ece_error: Standard error of the mean ECE.
        nll_error: Standard error of the mean likelihood.
        changed: Share of the validation sets on which a temperature was used.
    """

    ece: float
    nll: float
    ece_error: float
    nll_error: float
    changed: float


def cells(wrong_labels: float) -> Iterator[Cell]:
    for texts, classes, temperature in itertools.product(TEXTS, CLASSES, TRUE_TEMPERATURES):
        yield Cell(texts, classes, temperature, wrong_labels)


def plain(logits: np.ndarray, labels: np.ndarray) -> float:
    """The method before: the maximum of the likelihood, unless it is at an end of the searched range."""
    found = fit_temperature(logits, labels, prior_texts=0)
    return 1.0 if abs(np.log(found)) > 3.99 else found


def guarded(logits: np.ndarray, labels: np.ndarray) -> float:
    return choose_temperature(logits, labels).temperature


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "none": lambda *_: 1.0,
    "plain": plain,
    "guarded": guarded,
}


def errors(logits: np.ndarray, truth: np.ndarray, temperature: float) -> tuple[float, float]:
    """ECE and negative log-likelihood under the true class probabilities."""
    logs = log_softmax(logits / temperature, axis=1)
    answer = logs.argmax(axis=1)
    rows, confidence = np.arange(len(logs)), np.exp(logs.max(axis=1))
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1).astype(np.int64)
    gaps = np.bincount(bins, weights=confidence - truth[rows, answer], minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(logs)), -float((truth * logs).sum(axis=1).mean())


def simulate(cell: Cell, simulations: int, seed: int) -> dict[str, Figures]:
    """Every method's figures in one cell; all methods see the same validation texts."""
    rng = np.random.default_rng([seed, cell.texts, cell.classes, round(100 * cell.true_temperature)])
    test, truth = cell.draw(TEST_TEXTS, rng)
    as_it_is = errors(test, truth, 1.0)
    found: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in METHODS}
    for _ in range(max(2, simulations * 200 // max(200, cell.texts))):  # many texts vary less, and take longer
        logits, chances = cell.draw(cell.texts, rng)
        labels = (chances.cumsum(axis=1)[:, :-1] < rng.random((cell.texts, 1))).sum(axis=1)
        for name, method in METHODS.items():
            temperature = method(logits, labels)
            of_test = as_it_is if temperature == 1 else errors(test, truth, temperature)
            found[name].append((*of_test, temperature != 1))
    return {name: _mean(np.array(values)) for name, values in found.items()}


def _mean(values: np.ndarray) -> Figures:
    (ece, nll, changed), spread = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return Figures(*(round(float(each), 5) for each in (ece, nll, spread[0], spread[1], changed)))


def rise(found: dict[str, Figures], method: str, figure: str) -> float:
    """How much larger a figure is than without calibration; below 0 where the method helps."""
    return float(getattr(found[method], figure) - getattr(found["none"], figure))


def is_worse(found: dict[str, Figures], method: str, figure: str) -> bool:
    """Whether a figure rises by more than noise: the smallest rise that counts, and two standard errors."""
    error = getattr(found[method], f"{figure}_error")
    return rise(found, method, figure) > max(NOISE[figure], 2 * error)


def summary(found: dict[Cell, dict[str, Figures]]) -> dict[str, Any]:
    """For each method the worst rise, the cells that get worse, and the gain where models are overconfident."""
    sure = [each for cell, each in found.items() if cell.true_temperature == max(TRUE_TEMPERATURES)]
    result: dict[str, Any] = {"cells": len(found)}
    for method, figure in itertools.product(("plain", "guarded"), NOISE):
        result[f"{method}_{figure}"] = {
            "worst_rise": round(max(rise(each, method, figure) for each in found.values()), 5),
            "worse_cells": sum(is_worse(each, method, figure) for each in found.values()),
            "mean_gain_where_overconfident": round(-float(np.mean([rise(each, method, figure) for each in sure])), 5),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=100, help="per cell; fewer from 500 texts on")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    start = time.monotonic()
    kinds = {"one_temperature_is_right": 0.0, "no_temperature_is_right": WRONG_LABELS}
    found = {
        kind: {cell: simulate(cell, asked.simulations, asked.seed) for cell in cells(wrong)}
        for kind, wrong in kinds.items()
    }
    result = {
        "simulations": asked.simulations,
        "seed": asked.seed,
        "summary": {kind: summary(each) for kind, each in found.items()},
        "cells": {
            kind: [asdict(cell) | {name: asdict(figures) for name, figures in of.items()} for cell, of in each.items()]
            for kind, each in found.items()
        },
        "seconds": round(time.monotonic() - start, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
