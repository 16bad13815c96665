"""Whole runs on unusual labels and scripts: every published figure against scikit-learn and SciPy alone.

Nothing here imports `understudy.evaluation`. The limits come from root finding on the score tests, whose constrained
likelihood is maximised numerically.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, norm
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

import understudy
from conftest import write_model

pytestmark = pytest.mark.acceptance

REQUIRED = 0.97
MODELS = ["teacher", "student", "no_distillation", "linear"]
Z = float(norm.isf(0.025))
ENGLISH = ["good fine great", "bad awful dull", "odd strange weird", "film story actor scene house river table"]
CHINESE = ["棒好喜", "恶坏悲", "山花鱼书桌衣云窗园雨"]
THAI = ["ดีมาก สนุก น่ารัก", "แย่มาก น่าเบื่อ เศร้า", "หนัง เรื่อง บ้าน น้ำ ต้นไม้ โต๊ะ"]
HINDI = ["अच्छा बढ़िया सुंदर", "बुरा खराब उदास", "फिल्म कहानी घर नदी मेज़ पेड़"]
ARABIC = ["جيد رائع جميل", "سيئ ممل حزين", "فيلم قصة بيت نهر طاولة شجرة"]


@dataclass(frozen=True)
class Table:
    """Made texts: each has a word of its class, but every tenth has one of another class.

    Attributes:
        words: Words of each class, then words of all classes; without spaces, every character is a word.
        labels: The classes' labels.
        between: What stands between words.
        test: Number of test texts.
        copies: How often each training row occurs.
    """

    words: Sequence[str]
    labels: Sequence[int | str]
    between: str = " "
    test: int = 90
    copies: int = 1

    def split(self, rows: int, seed: int) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        *own, common = (part.split() if " " in part else list(part) for part in self.words)
        texts, labels = [], []
        for row in range(rows):
            number = row % len(self.labels)
            said = own[(number + (row % 10 == 9)) % len(own)]
            words = [*random.choice(common, 4), random.choice(said)]
            texts.append(self.between.join(random.permutation(words)))
            labels.append(self.labels[number])
        return pd.DataFrame({"text": texts, "label": labels})


TABLES = {
    "one to three": Table(ENGLISH, [1, 2, 3]),
    "minus one and one": Table(ENGLISH[:2] + ENGLISH[3:], [-1, 1]),
    "chinese": Table(CHINESE, ["好", "坏"], between=""),
    "thai": Table(THAI, ["ดี", "แย่"], between=""),
    "hindi": Table(HINDI, ["अच्छा", "बुरा"]),
    "arabic": Table(ARABIC, ["جيد", "سيئ"]),
    "twelve test texts": Table(ENGLISH[:2] + ENGLISH[3:], ["bad", "good"], test=12),
    "duplicated rows": Table(ENGLISH[:2] + ENGLISH[3:], ["bad", "good"], copies=4),
}


@dataclass(frozen=True)
class Ran:
    """A finished run and what it published."""

    table: Table
    out: Path
    test: pd.DataFrame
    metrics: dict[str, Any]
    predictions: pd.DataFrame

    def right(self, model: str) -> np.ndarray:
        return (self.predictions[f"{model}_label"] == self.predictions["label"]).to_numpy()


@pytest.fixture(scope="module", params=list(TABLES))
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    table, folder = TABLES[request.param], tmp_path_factory.mktemp("strange")
    train, test = table.split(240 // table.copies, 1), table.split(table.test, 2)
    train = pd.concat([train] * table.copies).sample(frac=1, random_state=3)
    train.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)
    plain = unicodedata.normalize("NFD", "".join(train["text"]) + "".join(test["text"]))
    characters = sorted({character for character in plain if not character.isspace()})
    pieces = [*characters, *(f"##{character}" for character in characters)]
    write_model(folder / "encoder", layers=2, hidden=32, words=pieces, positions=64)
    training = {"epochs": 4, "batch_size": 16, "learning_rate": 2e-3, "precision": "fp32"}
    recipe = {
        "name": "strange",
        "data": {"train": str(folder / "train.csv"), "test": str(folder / "test.csv"), "max_length": 48},
        "teacher": {"model": str(folder / "encoder"), **training},
        "student": {"layers": 1},
        "distillation": training,
        "evaluation": {"resamples": 200, "speed_texts": 8, "required_retention": REQUIRED},
    }
    understudy.distill(understudy.Recipe.from_mapping(recipe), folder / "run", device="cpu", cache_dir=folder / "cache")
    metrics = json.loads((folder / "run/metrics.json").read_text(encoding="utf-8"))
    return Ran(table, folder / "run", test, metrics, pd.read_parquet(folder / "run/predictions.parquet"))


# The figures, computed again


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    edges, error = np.linspace(0, 1, 16), 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return error


def least(likelihood: Callable[[float], float], low: float, high: float) -> float:
    """Where the log-likelihood is greatest, to many digits."""
    found = minimize_scalar(
        lambda value: -likelihood(value), bounds=(low, high), method="bounded", options={"xatol": 1e-13}
    )
    return max((low, high, float(found.x)), key=likelihood)


def log_likelihood(counts: Sequence[float], chances: Sequence[float]) -> float:
    total = 0.0
    for count, chance in zip(counts, chances, strict=True):
        if count:
            total += count * math.log(chance) if chance > 0 else -1e300
    return total


def ratio_limits(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """Nam and Blackwelder's limits of the ratio of two accuracies, with half a text as continuity correction."""
    texts, ones, twos = both + first + second, both + first, both + second
    largest = texts + neither + 1.0

    def excess(ratio: float, sign: int) -> float:
        def likelihood(chance: float) -> float:
            other = ratio * chance - ratio + 1
            return log_likelihood([both, first, second], [1 - chance - other, chance, other])

        by_first = least(likelihood, max(0.0, (ratio - 1) / ratio), ratio / (1 + ratio))
        by_second = ratio * by_first - ratio + 1
        variance = (1 - by_first - by_second) * (1 - ratio) ** 2 + by_first + by_second * ratio**2
        return sign * (ones - ratio * twos) - max(ratio, 1) / 2 - Z * math.sqrt(max(texts * variance, 0))

    estimate = ones / twos if twos else largest
    low = brentq(excess, 1e-9, max(estimate, 1e-9), args=(1,)) if ones and excess(1e-9, 1) > 0 else 0.0
    high = brentq(excess, max(estimate, 1 / largest), largest, args=(-1,)) if excess(largest, -1) > 0 else largest
    return with_equality(low, high, 1.0, first, second)


def difference_limits(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """Tango's limits of the difference of two accuracies, with half a text as continuity correction."""
    texts = both + first + second + neither

    def excess(difference: float, sign: int) -> float:
        def likelihood(chance: float) -> float:
            other = chance - difference
            return log_likelihood([both + neither, first, second], [1 - chance - other, chance, other])

        by_first = least(likelihood, max(0.0, difference), (1 + difference) / 2)
        variance = texts * max(2 * by_first - difference - difference**2, 0)
        return sign * (first - second - texts * difference) - 0.5 - Z * math.sqrt(variance)

    estimate = (first - second) / texts
    low = brentq(excess, -1.0, estimate, args=(1,)) if excess(-1.0, 1) > 0 else -1.0
    high = brentq(excess, estimate, 1.0, args=(-1,)) if excess(1.0, -1) > 0 else 1.0
    return with_equality(low, high, 0.0, first, second)


def with_equality(low: float, high: float, equal: float, first: int, second: int) -> tuple[float, float]:
    if exact_p(first, second) >= 0.05:
        return min(low, equal), max(high, equal)
    return low, high


def exact_p(first: int, second: int) -> float:
    return float(binomtest(first, first + second).pvalue) if first + second else 1.0


def cells(first: np.ndarray, second: np.ndarray) -> tuple[int, int, int, int]:
    pairs = (first & second, first & ~second, ~first & second, ~first & ~second)
    return tuple(int(pair.sum()) for pair in pairs)  # type: ignore[return-value]


# What was published


def test_the_labels_are_those_of_the_file(ran: Ran) -> None:
    assert ran.predictions["label"].tolist() == ran.test["label"].astype(str).tolist()
    classes = set(map(str, ran.table.labels))
    for model in MODELS:
        assert set(ran.predictions[f"{model}_label"]) <= classes
        shares = ran.predictions[[f"{model}_probability_{name}" for name in sorted(classes)]]
        assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
        named = shares.idxmax(axis=1).str.removeprefix(f"{model}_probability_")
        assert (named == ran.predictions[f"{model}_label"]).all()


def test_the_figures_of_each_model(ran: Ran) -> None:
    classes, labels = sorted(set(ran.predictions["label"]), key=order), ran.predictions["label"]
    for model in MODELS:
        found = ran.metrics[model] if model in ran.metrics else ran.metrics["controls"][model]
        answers = ran.predictions[f"{model}_label"]
        shares = ran.predictions[[f"{model}_probability_{name}" for name in classes]].to_numpy(np.float64)
        assert found["accuracy"] == pytest.approx(accuracy_score(labels, answers), abs=1e-9), model
        if len(classes) == 2:
            f1 = f1_score(labels, answers, pos_label=classes[1], zero_division=0)
            auc = roc_auc_score(labels == classes[1], shares[:, 1])
        else:
            f1 = f1_score(labels, answers, average="macro", labels=classes, zero_division=0)
            auc = np.mean([roc_auc_score(labels == name, shares[:, at]) for at, name in enumerate(classes)])
        assert (found["f1"], found["auc"]) == pytest.approx((f1, auc), abs=1e-9), model
        error = calibration_error(shares.max(axis=1), ran.right(model))
        assert found["ece"] == pytest.approx(error, abs=1e-9), model


def order(name: str) -> tuple[int, str]:
    """Integers by value, names by character."""
    return (int(name), "") if name.lstrip("-").isdigit() else (0, name)


def test_retention_and_its_interval(ran: Ran) -> None:
    student, teacher = ran.right("student"), ran.right("teacher")
    found = ran.metrics["retention"]
    assert teacher.any()
    assert found["accuracy"] == pytest.approx(student.mean() / teacher.mean(), abs=1e-9)
    low, high = ratio_limits(*cells(student, teacher))
    assert found["accuracy_ci95"] == pytest.approx([low, high], abs=1e-5)
    assert found["f1"] == pytest.approx(ran.metrics["student"]["f1"] / ran.metrics["teacher"]["f1"], abs=1e-9)
    assert found["f1_ci95"][0] <= found["f1_ci95"][1]


def test_gain_and_p(ran: Ran) -> None:
    student, control = ran.right("student"), ran.right("no_distillation")
    found = ran.metrics["distillation_gain"]
    table = cells(student, control)
    assert found["accuracy"] == pytest.approx(student.mean() - control.mean(), abs=1e-9)
    assert found["p_value"] == pytest.approx(exact_p(table[1], table[2]), rel=1e-9)
    assert found["ci95"] == pytest.approx(difference_limits(*table), abs=1e-5)


def test_agreement_and_efficiency(ran: Ran) -> None:
    same = ran.predictions["teacher_label"] == ran.predictions["student_label"]
    assert ran.metrics["agreement"] == pytest.approx(same.mean(), abs=1e-9)
    sizes = {}
    for model in ("teacher", "student"):
        tensors = load_file(ran.out / model / "model.safetensors")
        sizes[model] = sum(tensor.size for tensor in tensors.values())
        assert ran.metrics[model]["parameters"] == sizes[model]
    kept = ran.right("student").mean() / ran.right("teacher").mean()
    assert ran.metrics["efficiency_ratio"] == pytest.approx(kept / (sizes["student"] / sizes["teacher"]), rel=1e-9)


def test_the_verdict(ran: Ran) -> None:
    labels, teacher, student = ran.predictions["label"], ran.right("teacher"), ran.right("student")
    majority = (labels == labels.mode()[0]).to_numpy()
    _, better, worse, _ = cells(teacher, majority)
    learned = teacher.mean() > majority.mean() and exact_p(better, worse) < 0.05
    missing = [
        name
        for name, texts in labels.value_counts().items()
        for model in ("teacher", "student")
        if texts >= 5 and name not in set(ran.predictions[f"{model}_label"])
    ]
    low, high = ratio_limits(*cells(student, teacher))
    code = "replace" if low >= REQUIRED else "keep_teacher" if high < REQUIRED else "inconclusive"
    assert ran.metrics["verdict"]["code"] == (code if learned and not missing else "inconclusive")


def test_a_control_reads_every_script(ran: Ran) -> None:
    assert ran.metrics["controls"]["linear"]["accuracy"] > 0.7


def test_evaluating_again_gives_the_same_accuracy(ran: Ran) -> None:
    again = understudy.evaluate(ran.out, list_of_rows(ran.test))
    assert again.metrics.accuracy == pytest.approx(ran.right("student").mean(), abs=1e-9)


def list_of_rows(test: pd.DataFrame) -> list[dict[str, Any]]:
    return [{"text": text, "label": label} for text, label in zip(test["text"], test["label"].tolist(), strict=True)]
