from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.evaluation.temperature import choose_temperature, fit_temperature
from understudy.inference.logits import softmax

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NOT_SHOWN = "the validation texts do not prove that a temperature helps"


def drawn(texts: int, classes: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too large by a factor, and labels drawn with the true probabilities."""
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(texts, classes))
    labels = (softmax(logits).cumsum(axis=1) < random.random((texts, 1))).sum(axis=1)
    return temperature * logits, labels


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_a_temperature_is_found_again(temperature: float, classes: int) -> None:
    assert fit_temperature(*drawn(50_000, classes, temperature)) == pytest.approx(temperature, rel=0.05)


def test_two_thirds_right_at_one_confidence_is_a_hand_computed_case() -> None:
    """Three texts with the same logits (t, 0), two of them of class 0: softmax(t / T) = 2/3, so t / T = ln 2."""
    logits, labels = np.array([[3.0, 0.0]] * 3), np.array([0, 0, 1])
    assert fit_temperature(logits, labels, prior_texts=0) == pytest.approx(3 / np.log(2), rel=1e-3)


def test_the_prior_adds_texts_that_are_right_as_often_as_the_model_says() -> None:
    """40 texts, all right, and 20 of the prior, of which a share of sigmoid(3) is right."""
    right = (40 + 20 / (1 + np.exp(-3))) / 60
    found = fit_temperature(np.array([[3.0, 0.0]] * 40), np.zeros(40, dtype=np.int64), prior_texts=20)
    assert found == pytest.approx(3 / np.log(right / (1 - right)), rel=1e-4)


@pytest.mark.parametrize(("labels", "end"), [([0] * 4, -4), ([1] * 4, 4), ([0, 1] * 2, 4)])
def test_without_a_prior_uninformative_texts_lead_to_an_end(labels: list[int], end: int) -> None:
    found = fit_temperature(np.array([[3.0, 0.0]] * 4), np.array(labels), prior_texts=0)
    assert found == pytest.approx(np.exp(end))


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("temperature", [0.5, 2.5])
def test_a_wrong_confidence_is_corrected(temperature: float, classes: int) -> None:
    found = choose_temperature(*drawn(400, classes, temperature))
    assert found.left is None and found.temperature == pytest.approx(temperature, rel=0.25)
    assert found.nll_before is not None and found.nll_after is not None and found.nll_after < found.nll_before
    assert str(found).startswith(f"temperature {found.temperature:.3f}; held-out loss {found.nll_before:.4f} before")


@pytest.mark.parametrize("texts", [50, 100, 400])
def test_a_right_confidence_stays(texts: int) -> None:
    found = choose_temperature(*drawn(texts, 3, 1.0))
    assert (found.temperature, found.left) == (1.0, NOT_SHOWN)
    assert str(found).startswith(f"not calibrated: {NOT_SHOWN}; held-out loss ")


def test_all_right_is_no_proof_of_a_higher_confidence() -> None:
    """With a confidence of 95 %, 50 texts are all right in one case of 13."""
    all_right = np.zeros(50, dtype=np.int64)
    assert choose_temperature(np.array([[3.0, 0.0]] * 50), all_right).left == NOT_SHOWN
    assert choose_temperature(np.array([[9.0, 0.0]] * 50), all_right).left == NOT_SHOWN
    found = choose_temperature(np.array([[0.5, 0.0]] * 50), all_right)  # a confidence of 62 %
    assert found.left is None and 0.1 < found.temperature < 0.5


def test_worse_than_chance_is_flattened() -> None:
    found = choose_temperature(np.array([[3.0, 0.0]] * 60), np.ones(60, dtype=np.int64))
    assert found.left is None and found.temperature == pytest.approx(np.exp(4))


def test_without_any_confidence_there_is_nothing_to_choose() -> None:
    assert choose_temperature(np.zeros((60, 2)), np.arange(60) % 2).left == NOT_SHOWN


def test_fewer_than_fifty_texts_are_too_few() -> None:
    found = choose_temperature(np.array([[3.0, 0.0]] * 49), np.arange(49) % 2)
    assert found.temperature == 1 and found.nll_before is found.nll_after is None
    assert str(found) == "not calibrated: only 49 validation texts; calibration needs 50"


def test_made_twice_it_is_the_same() -> None:
    texts = drawn(200, 4, 2.0)
    assert choose_temperature(*texts) == choose_temperature(*texts)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("calibration")


@pytest.mark.parametrize("classes", [2, 20])
def test_few_texts_do_no_harm(benchmark: Any, classes: int) -> None:
    """A small part of `benchmarks/calibration.py`; there the plain temperature fails in the same cells."""
    found = benchmark.simulate(benchmark.Cell(50, classes, 1.0), 12, 0)
    for figure in ("ece", "nll"):
        assert not benchmark.is_worse(found, "guarded", figure), found["guarded"]
    assert benchmark.is_worse(found, "plain", "ece")


def test_most_of_the_gain_is_kept(benchmark: Any) -> None:
    found = benchmark.simulate(benchmark.Cell(200, 5, 2.0), 6, 0)
    for figure in ("ece", "nll"):
        gained = {method: -benchmark.rise(found, method, figure) for method in ("plain", "guarded")}
        assert gained["guarded"] > 0.9 * gained["plain"] > 0
