"""The results of `imdb_steps.py`: accuracy, retention and differences, from the kept answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from imdb_recipes import STEPS
from student_experiments import RESAMPLES, figures

from understudy.evaluation.significance import Resampling, mcnemar, retention


def table(root: Path, texts: int, compare: list[tuple[str, str]]) -> dict[str, Any]:
    """What every step reached, and the comparisons that were asked for.

    Args:
        root: Where the answers are kept.
        texts: How many test texts there are.
        compare: Pairs of steps.
    """
    records: dict[str, dict[int, dict[str, Any]]] = {}
    for name in STEPS:
        paths = sorted(root.glob(f"answers/{name}-[0-9]*.json"))
        records[name] = {int(path.stem.rpartition("-")[2]): json.loads(path.read_text()) for path in paths}
    right = {
        name: {seed: ~np.isin(np.arange(texts), each["student"]) for seed, each in of_seeds.items()}
        for name, of_seeds in records.items()
    }
    found = {}
    for name, of_seeds in records.items():
        if not of_seeds:
            continue
        changes, first = STEPS[name].changes, next(iter(of_seeds.values()))
        compared: dict[str, Any] = {}
        if "teacher" in first:
            compared |= _against_teacher(list(of_seeds.values()), texts)
        if changes is not None:
            compared |= _difference(right[name], right[changes])
        accuracy = [round(float(each.mean()), 5) for each in right[name].values()]
        found[name] = {"changes": changes, "texts": first["texts"], **compared, "accuracy": accuracy}
    pairs = {f"{name} minus {other}": _difference(right[name], right[other]) for name, other in compare}
    return {"steps": found, "comparisons": pairs}


def _difference(right: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> dict[str, Any]:
    """One step minus another, over the seeds that both have; nothing if there is none."""
    both = sorted(right.keys() & other.keys())
    if not both:
        return {}
    compared = figures({seed: right[seed] for seed in both}, {seed: other[seed] for seed in both})
    del compared["accuracy"]
    return {**compared, "p_value": [_p_value(right[seed], other[seed]) for seed in both]}


def _against_teacher(answers: list[dict[str, Any]], texts: int) -> dict[str, Any]:
    """What the students of all seeds keep, by who is wrong on which texts."""
    labels = np.zeros(texts, dtype=np.int64)
    wrong = {which: [np.isin(np.arange(texts), each[which]) for each in answers] for which in ("teacher", "student")}
    teacher = wrong["teacher"][0].astype(np.int64)
    kept = [retention(teacher, each.astype(np.int64), labels, 2, Resampling(RESAMPLES, 0)) for each in wrong["student"]]
    return {
        "teacher": round(1 - float(teacher.mean()), 5),
        "retention": [round(each.accuracy, 4) for each in kept],
        "retention_ci95": [[round(end, 4) for end in each.accuracy_ci95] for each in kept],
    }


def _p_value(right: np.ndarray, other: np.ndarray) -> float:
    return mcnemar(int((right & ~other).sum()), int((~right & other).sum()))
