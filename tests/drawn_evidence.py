"""Evidence without a run: random answers around the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.tokens import text_ids
from understudy.evaluation.results import Metrics
from understudy.recipe.recipe import Recipe
from understudy.reporting.evidence import Evidence
from understudy.storage.layout import RunDirectory
from understudy.storage.manifest import Manifest

HISTORY = [
    {"loss": 0.7, "grad_norm": 1.0, "learning_rate": 1e-4, "epoch": 0.5, "step": 10},
    {"loss": 0.3, "grad_norm": None, "learning_rate": 0.0, "epoch": 1.0, "step": 20},
    {"eval_loss": 0.4, "eval_accuracy": 0.875, "epoch": 1.0, "step": 20},
]


def evidence(
    metrics: Metrics,
    folder: Path,
    classes: list[str] | None = None,
    count: int = 200,
    texts: list[str] | None = None,
    **report: Any,
) -> Evidence:
    """A run's evidence; the student has a temperature of 2 and the teacher none."""
    classes = classes or ["negative", "positive"]
    random = np.random.default_rng(0)
    labels = np.arange(count) % len(classes)

    def answers(noise: float) -> np.ndarray:
        scores = np.eye(len(classes))[labels] * 3 + random.normal(scale=noise, size=(count, len(classes)))
        powers = np.exp(scores)
        return powers / powers.sum(axis=1, keepdims=True)

    probabilities = {"teacher": answers(1.5), "student": answers(1.8), "no_distillation": answers(2.0)}
    texts = texts or [f"text {number} " + "word " * (number % 17) for number in range(count)]
    recipe = Recipe.from_mapping(
        {
            "name": "tiny",
            "data": {"train": "train.csv", "test": "test.csv"},
            "student": {"layers": 1},
            "evaluation": {"resamples": 100},
            "report": report,
        }
    )
    manifest = Manifest(folder / "manifest.json")
    manifest.content |= {
        "classes": classes,
        "audit": [{"level": "warning", "code": "tiny_test", "message": "few <b>texts</b>", "rows": [], "count": 3}],
        "versions": {"torch": "2"},
        "machine": {"processor": "a processor", "cores": 2},
        "models": {"teacher": {"name": "an/encoder", "kind": "hub"}, "student": None},
    }
    calibration = {"temperature": 2.0, "ece_before": 0.1, "ece_after": 0.05, "left": None}
    for stage, found in {"teacher": None, "student": calibration}.items():
        manifest.content["stages"][stage] = {
            "fingerprint": f"print of {stage}",
            "seconds": 3.0,
            "details": {"history": HISTORY, "calibration": found},
        }
    return Evidence(
        run=RunDirectory(folder),
        recipe=recipe,
        metrics=metrics,
        manifest=manifest,
        classes=classes,
        ids=text_ids(texts),
        labels=labels,
        probabilities=probabilities,
        texts=texts,
        benchmark=None,
        tradeoff=None,
    )
