from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import DistilBertConfig

from understudy.runtime.hardware import Hardware
from understudy.training import estimate as module
from understudy.training.estimate import Work, estimate

CPU = Hardware("cpu", 1)
CONFIG = SimpleNamespace(hidden_size=10, intermediate_size=40, vocab_size=100)

# One layer: 4 * 10 * 10 of attention and 2 * 10 * 40 of feed-forward are 1,200 weights.
LAYER = 1200


def work(trained: int = 0, scored: int = 0, layers: int = 2, length: float = 0, config: Any = CONFIG) -> Work:
    return Work(config, layers, trained, scored, length)


@pytest.fixture
def rate(monkeypatch: pytest.MonkeyPatch) -> float:
    """1,000 operations a second, of which the efficiency is reached."""
    monkeypatch.setattr(module, "_layer_rate", lambda hardware, dtype, hidden, inner: 1000.0)
    return 1000 * module._EFFICIENCY


def test_a_token_costs_two_operations_a_weight() -> None:
    assert work(scored=1).operations == 2 * 2 * LAYER


def test_training_costs_three_times_as_much_as_scoring() -> None:
    assert work(trained=7).operations == 3 * work(scored=7).operations


def test_attention_grows_with_the_length() -> None:
    assert work(scored=1, length=50).operations - work(scored=1).operations == 2 * 2 * (2 * 50 * 10)


def test_parameters() -> None:
    assert work(layers=3).parameters == 100 * 10 + 3 * LAYER


def test_configs_that_name_things_otherwise() -> None:
    config = DistilBertConfig(dim=10, hidden_dim=40, vocab_size=100)
    assert work(scored=1, config=config).operations == work(scored=1).operations
    without = SimpleNamespace(hidden_size=10, vocab_size=100)
    assert work(scored=1, config=without).operations == work(scored=1).operations  # four times the width


def test_seconds_are_operations_by_rate(rate: float) -> None:
    works = [work(trained=10), work(scored=5, layers=1)]
    expected = (3 * 10 * 2 * 2 * LAYER + 5 * 2 * LAYER) / rate
    assert estimate(works, CPU, "fp32").seconds == pytest.approx(expected)


def test_disk_holds_each_model_and_the_largest_ones_checkpoints(rate: float) -> None:
    """Four bytes a parameter; three checkpoints of weights and two moments."""
    works = [work(layers=2), work(layers=1)]
    large, small = 1000 + 2 * LAYER, 1000 + LAYER
    assert estimate(works, CPU, "fp32").bytes == 4 * (large + small + 9 * large)


def test_the_rate_is_that_of_the_widest_models_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(module, "_layer_rate", lambda *asked: seen.append(asked) or 1.0)
    wide = SimpleNamespace(hidden_size=20, intermediate_size=30, vocab_size=5)
    estimate([work(), work(config=wide)], CPU, "bf16")
    assert seen == [(CPU, "bf16", 20, 30)]


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_layer_is_measured_forward_and_backward(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """Both matrix products have a forward and two backward ones; each round takes a second by this clock."""
    monkeypatch.setattr(module, "_TOKENS", 4)
    ticks = iter(range(100))
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    assert module._layer_rate(CPU, dtype, 8, 16) == 3 * (2 * 4 * 8 * 16) * 2
