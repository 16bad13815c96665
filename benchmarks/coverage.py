"""How often the intervals contain the truth, and how often a verdict claims what is not true.

    python benchmarks/coverage.py [--simulations N] [--seed S]

Teacher, student and control are simulated with known accuracies. Only the counts of right and wrong answers matter for
accuracies, so a simulated test set is one multinomial draw. The number of classes matters for F1 alone, which is
simulated text by text with fewer simulations.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from understudy.evaluation.intervals import (
    ALPHA,
    PairedCounts,
    difference_limits,
    exact_limits,
    mcnemar_p,
    ratio_limits,
)
from understudy.evaluation.repeats import pooled_retention
from understudy.evaluation.significance import Resampling, retention

TEXTS = (12, 25, 50, 100, 160, 400, 1_000, 5_000, 25_000)
ACCURACIES = (0.5, 0.7, 0.9, 0.97, 0.99, 1.0)
CORRELATIONS = (0.0, 0.5, 0.9)
REQUIRED = 0.97
RETENTIONS = (0.9, REQUIRED, 1.0)
GAINS = (0.0, 0.03, 0.1)
ENOUGH = 100
"""The means are over cells with at least so many texts."""


@dataclass(frozen=True)
class Cell:
    """One simulated situation.

    Attributes:
        texts: Number of test texts.
        accuracy: Accuracy of the second model (teacher or control).
        first: Accuracy of the first model, the student.
        correlation: Correlation of "the first model is right" and "the second model is right", as far as the two
            accuracies allow it.
        truth: The true retention or gain.
    """

    texts: int
    accuracy: float
    first: float
    correlation: float
    truth: float

    def draw(self, simulations: int, rng: np.random.Generator) -> tuple[PairedCounts, np.ndarray]:
        """The distinct tables, and how often each was drawn."""
        a, b = self.first, self.accuracy
        both = a * b + self.correlation * float(np.sqrt(a * (1 - a) * b * (1 - b)))
        both = min(max(both, a + b - 1, 0.0), a, b)
        chances = np.maximum([both, a - both, b - both, 1 - a - b + both], 0)
        drawn = rng.multinomial(self.texts, chances / chances.sum(), size=simulations)
        tables, times = np.unique(drawn, axis=0, return_counts=True)
        return PairedCounts(*tables.T.astype(np.float64)), times


def retention_cells() -> Iterator[Cell]:
    for texts in TEXTS:
        for accuracy in ACCURACIES:
            for kept in RETENTIONS:
                for correlation in CORRELATIONS:
                    yield Cell(texts, accuracy, accuracy * kept, correlation, kept)


def gain_cells() -> Iterator[Cell]:
    for texts in TEXTS:
        for student in ACCURACIES:
            for gained in GAINS:
                for correlation in CORRELATIONS:
                    yield Cell(texts, student - gained, student, correlation, gained)


def measured(cell: Cell, limits: tuple[np.ndarray, np.ndarray], times: np.ndarray) -> dict[str, Any]:
    """Coverage, both kinds of misses and the mean width."""
    (low, high), share = limits, times / times.sum()
    too_high, too_low = (low > cell.truth + 1e-12) @ share, (high < cell.truth - 1e-12) @ share
    return {
        "texts": cell.texts,
        "accuracy": round(cell.first, 4),
        "truth": cell.truth,
        "correlation": cell.correlation,
        "coverage": round(float(1 - too_high - too_low), 4),
        "too_high": round(float(too_high), 4),
        "too_low": round(float(too_low), 4),
        "width": round(float((high - low) @ share), 4),
    }


def of_retention(simulations: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    found = []
    for cell in retention_cells():
        table, times = cell.draw(simulations, rng)
        low, high = ratio_limits(table)
        row = measured(cell, (low, high), times)
        if cell.truth == REQUIRED:
            row["claimed"] = round(float((low >= REQUIRED) @ times / simulations), 4)
        found.append(row)
    return found


def of_gain(simulations: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    found = []
    for cell in gain_cells():
        table, times = cell.draw(simulations, rng)
        low, high = difference_limits(table)
        p = mcnemar_p(table.first, table.second)
        row = measured(cell, (low, high), times)
        contradicts = (p < ALPHA) == ((low <= 0) & (high >= 0))
        row["contradictions"] = int(contradicts @ times)
        if cell.truth == 0:
            row["claimed"] = round(float(((p < ALPHA) & (table.first > table.second)) @ times / simulations), 4)
        found.append(row)
    return found


def of_accuracy() -> list[dict[str, Any]]:
    """Not simulated: the binomial distribution gives the exact coverage."""
    from scipy.stats import binom

    found = []
    for texts in TEXTS:
        for accuracy in ACCURACIES:
            right = np.arange(texts + 1)
            chances = binom.pmf(right, texts, accuracy)
            right, chances = right[chances > 0], chances[chances > 0]
            cell = Cell(texts, accuracy, accuracy, 0.0, accuracy)
            found.append(measured(cell, exact_limits(right, texts), chances))
    return found


def of_seeds(simulations: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Each seed's student has an accuracy of its own. The truth is the mean student's accuracy / the teacher's."""
    found = []
    for texts in (25, 160, 1_000, 5_000):
        for seeds in (2, 3, 5):
            for spread in (0.0, 0.005, 0.02):
                hits = claimed = 0
                widths = []
                for _ in range(simulations):
                    ranks = rng.random(texts)
                    teacher = ranks < 0.9
                    own = 0.9 * REQUIRED + spread * rng.standard_normal(seeds)
                    # A student shares the teacher's luck on four texts of five.
                    drawn = np.where(rng.random((seeds, texts)) < 0.8, ranks, rng.random((seeds, texts)))
                    students = drawn < own[:, None]
                    low, high = pooled_retention(
                        teacher.astype(np.int64), students.astype(np.int64), np.ones(texts, dtype=np.int64)
                    )
                    hits += low <= REQUIRED <= high
                    claimed += low >= REQUIRED
                    widths.append(high - low)
                found.append(
                    {
                        "texts": texts,
                        "seeds": seeds,
                        "sd_of_seeds": spread,
                        "coverage": round(hits / simulations, 4),
                        "claimed": round(claimed / simulations, 4),
                        "width": round(float(np.mean(widths)), 4),
                    }
                )
    return found


def of_f1(simulations: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Balanced classes and symmetric errors, so that the true retention of F1 is that of accuracy."""

    def answers(labels: np.ndarray, right: np.ndarray, classes: int) -> np.ndarray:
        wrong = (labels + rng.integers(1, classes, len(labels))) % classes
        return np.where(right, labels, wrong)

    found = []
    for texts in (50, 100, 200, 400, 1_000):
        for classes in (2, 20, 77):
            hits, widths = 0, []
            for _ in range(simulations):
                labels, ranks = rng.integers(0, classes, texts), rng.random(texts)
                drawn = np.where(rng.random(texts) < 0.8, ranks, rng.random(texts))
                teacher, student = answers(labels, ranks < 0.9, classes), answers(labels, drawn < 0.9 * 0.97, classes)
                low, high = retention(teacher, student, labels, classes, Resampling(1_000)).f1_ci95
                hits += low <= REQUIRED <= high
                widths.append(high - low)
            row = {"texts": texts, "classes": classes, "coverage": round(hits / simulations, 4)}
            found.append({**row, "width": round(float(np.mean(widths)), 4)})
    return found


def summary(rows: list[dict[str, Any]], simulations: int) -> dict[str, Any]:
    """The targets' figures: the lowest coverage, its mean, and the most frequent false claim."""
    enough = [row["coverage"] for row in rows if row["texts"] >= ENOUGH]
    found: dict[str, Any] = {
        "cells": len(rows),
        "lowest_coverage": min(row["coverage"] for row in rows),
        "below_0.94": [row for row in rows if row["coverage"] < 0.94],
        "mean_coverage_from_100_texts": round(float(np.mean(enough)), 4),
        "mean_coverage": {n: round(float(np.mean([r["coverage"] for r in rows if r["texts"] == n])), 4) for n in TEXTS},
        "mean_width": {n: round(float(np.mean([r["width"] for r in rows if r["texts"] == n])), 4) for n in TEXTS},
    }
    claims = [row for row in rows if "claimed" in row]
    if claims:
        found["claims"] = {
            "cells": len(claims),
            "mean": round(float(np.mean([row["claimed"] for row in claims])), 4),
            "highest": max(row["claimed"] for row in claims),
            "above_0.025": [row for row in claims if row["claimed"] > 0.025],
            "standard_error": round(float(np.sqrt(0.025 * 0.975 / simulations)), 4),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=10_000, help="simulated test sets per cell")
    parser.add_argument("--slow-simulations", type=int, default=200, help="the same for several seeds and for F1")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    start = time.monotonic()
    work = {
        "retention": (of_retention, asked.simulations),
        "gain": (of_gain, asked.simulations),
        "retention_over_seeds": (of_seeds, asked.slow_simulations),
        "f1_bootstrap": (of_f1, asked.slow_simulations),
    }
    with ProcessPoolExecutor(len(work)) as pool:
        # Each kind has a random stream of its own, so the figures do not depend on the number of processes.
        tasks = {
            name: pool.submit(simulate, simulations, np.random.default_rng([asked.seed, index]))
            for index, (name, (simulate, simulations)) in enumerate(work.items())
        }
        found = {"accuracy": of_accuracy()} | {name: task.result() for name, task in tasks.items()}
    kinds = ("accuracy", "retention", "gain")
    result = {
        "simulations": asked.simulations,
        "slow_simulations": asked.slow_simulations,
        "seed": asked.seed,
        "summary": {kind: summary(found[kind], asked.simulations) for kind in kinds},
        "cells": found,
        "seconds": round(time.monotonic() - start, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
