"""A rough estimate of a run's time and disk, from the time of one layer's step and the models' sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from understudy.runtime.hardware import Dtype, Hardware, torch_dtype

# Training MiniLM-L6 reaches this share of the rate of one feed-forward layer, forward and backward (measured on a CPU
# with AMX). A large matrix product is a worse measure: training reaches a quarter of its rate there, elsewhere half.
_EFFICIENCY = 0.45
_TOKENS = 4096  # in a batch of 16 texts of 256 tokens


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes, both rough."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Work:
    """Passes of one model over texts.

    Attributes:
        config: The model's config; `layers` overrides its number of layers.
        trained: Tokens that go forward and backward.
        scored: Tokens that only go forward.
        length: Mean tokens a text, for the attention's quadratic part.
    """

    config: Any
    layers: int
    trained: int
    scored: int
    length: float

    @property
    def inner(self) -> int:
        """Width of the feed-forward layers; DistilBERT names it differently."""
        width = getattr(self.config, "intermediate_size", None) or getattr(self.config, "hidden_dim", None)
        return int(width or 4 * self.config.hidden_size)

    @property
    def operations(self) -> float:
        hidden = int(self.config.hidden_size)
        per_token = 2 * self.layers * (4 * hidden**2 + 2 * hidden * self.inner + 2 * self.length * hidden)
        return per_token * (3 * self.trained + self.scored)

    @property
    def parameters(self) -> int:
        hidden = int(self.config.hidden_size)
        return int(self.config.vocab_size) * hidden + self.layers * (4 * hidden**2 + 2 * hidden * self.inner)


def estimate(works: list[Work], hardware: Hardware, dtype: Dtype) -> Estimate:
    """Divides the sum of operations by the rate that a layer of the largest model reaches now.

    On disk a model in training takes up to three checkpoints with the optimiser's two moments; a finished model is
    alone.
    """
    widest = max(works, key=lambda work: work.config.hidden_size)
    rate = _layer_rate(hardware, dtype, widest.config.hidden_size, widest.inner) * _EFFICIENCY
    largest = max(work.parameters for work in works)
    return Estimate(
        sum(work.operations for work in works) / rate,
        4 * (sum(work.parameters for work in works) + 3 * 3 * largest),
    )


def _layer_rate(hardware: Hardware, dtype: Dtype, hidden: int, inner: int) -> float:
    """Floating-point operations a second of the matrix products in one feed-forward layer, forward and backward."""
    import torch
    from torch import nn

    layers = nn.Linear(hidden, inner), nn.GELU(), nn.Linear(inner, hidden), nn.Dropout(0.1), nn.LayerNorm(hidden)
    layer = nn.Sequential(*layers).to(hardware.device)
    states = torch.ones(_TOKENS, hidden, device=hardware.device, requires_grad=True)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        with torch.autocast(hardware.kind, torch_dtype(dtype), enabled=dtype != "fp32"):
            answer = layer(states)
        gradients = torch.autograd.grad(answer.float().sum(), [states, *layer.parameters()])
        gradients[0][0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 3 * 2 * _TOKENS * 2 * hidden * inner / best
